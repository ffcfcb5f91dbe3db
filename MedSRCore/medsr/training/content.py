"""The terms that compare the enlarged image with the truth, each by its name and weight."""

from __future__ import annotations

from torch import Tensor, nn

from medsr.losses.grid import grid_difference
from medsr.losses.perceptual import feature_distance, feature_maps
from medsr.losses.pixel import mean_absolute_error, mean_squared_error
from medsr.losses.structural import structural_dissimilarity
from medsr.training.precision import trusted_precision
from medsr.training.sections import LossRecipe


class ContentLoss(nn.Module):
    """Pixel, structural and perceptual terms of a recipe.

    Args:
        recipe: the weights.
        features: the feature network of the perceptual term; None where its weight is 0.
        train_features: the feature network learns too; otherwise it is frozen.
    """

    def __init__(self, recipe: LossRecipe, features: nn.Module | None, train_features: bool = False) -> None:
        super().__init__()
        self.recipe = recipe
        self.features = features
        self.train_features = train_features
        if features is not None:
            features.requires_grad_(train_features)

    def train(self, mode: bool = True) -> ContentLoss:
        """As usual, but a frozen feature network stays in evaluation mode."""
        super().train(mode)
        if self.features is not None and not self.train_features:
            self.features.eval()
        return self

    def forward(self, enlarged: Tensor, fine: Tensor, *, factor: int, perceptual: bool = True) -> dict[str, Tensor]:
        """The weighted terms of one batch by name; only those with a weight.

        Args:
            enlarged: ``(B, C, *size)`` from the network.
            fine: the truth, same shape.
            factor: by which the network enlarged.
            perceptual: False leaves the perceptual term away.
        """
        recipe = self.recipe
        terms = {}
        if recipe.l1:
            terms["l1"] = recipe.l1 * mean_absolute_error(enlarged, fine)
        if recipe.mse:
            terms["mse"] = recipe.mse * mean_squared_error(enlarged, fine)
        if recipe.structural:
            terms["structural"] = recipe.structural * structural_dissimilarity(enlarged, fine)
        if recipe.grid:
            terms["grid"] = recipe.grid * grid_difference(enlarged, fine, factor)
        if self.features is not None and perceptual:
            with trusted_precision(fine):
                seen, wanted = (feature_maps(self.features, image) for image in (enlarged, fine))
            terms["perceptual"] = recipe.perceptual * feature_distance(seen, wanted, recipe.feature_distance)
        return terms
