"""Several tasks on one trunk: the "Hydra" of Zamzmi et al. (2020, Applied Sciences).

From the source (its abstract): task-specific heads are attached to the trained super-resolution trunk and run at once.
Ours, as no head is published: a classifier of the features' means, and a segmentation of three convolutions, both on
the last hidden layer of `VDSR7`.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from medsr.errors import InvalidValueError
from medsr.models.interpolation import enlarge_cubic
from medsr.models.layers import convolution, initialise
from medsr.models.vdsr7 import VDSR7


class HydraAnswer(NamedTuple):
    """What one pass gives."""

    image: Tensor
    """``(B, C, *size * scale)``."""
    classes: Tensor | None
    """Logits ``(B, classes)``; None without a classifier."""
    labels: Tensor | None
    """Logits ``(B, labels, *size * scale)``; None without a segmentation."""


class Hydra(nn.Module):
    """A trained trunk that enlarges, classifies and segments in one pass.

    Args:
        trunk: the enlarging network.
        classes: of the classifier; 0 for none.
        labels: of the segmentation, background among them; 0 for none.
        hidden: features inside the segmentation head.
        frozen: the trunk keeps its weights and its running means; the heads learn alone.
    """

    def __init__(
        self, trunk: VDSR7, classes: int = 0, labels: int = 0, hidden: int = 32, frozen: bool = True
    ) -> None:
        super().__init__()
        if classes < 1 and labels < 1:
            raise InvalidValueError("A Hydra needs a head: give classes, labels or both.")
        dims, features = trunk.spatial_dims, trunk.widths[-1]
        self.classifier = nn.Linear(features, classes) if classes > 0 else None
        self.segmentation = (
            nn.Sequential(
                convolution(dims, features, hidden),
                nn.ReLU(),
                convolution(dims, hidden, hidden),
                nn.ReLU(),
                convolution(dims, hidden, labels),
            )
            if labels > 0
            else None
        )
        initialise(self)
        self.trunk = trunk
        self.frozen = frozen
        trunk.requires_grad_(not frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> Hydra:
        """As of every module, but a frozen trunk stays in evaluation, or its running means would move."""
        super().train(mode)
        if self.frozen:
            self.trunk.eval()
        return self

    def forward(self, coarse: Tensor, scale: int | None = None) -> HydraAnswer:
        """Run all heads on one pass of the trunk; arguments and errors as `Enlarger.forward`."""
        factor = self.trunk.checked_scale(scale)
        self.trunk.check_shape(coarse)
        fine = enlarge_cubic(coarse, factor)
        features = self.trunk.features(fine)
        return HydraAnswer(
            image=fine + self.trunk.tail(features),
            classes=self.classifier(features.flatten(2).mean(2)) if self.classifier is not None else None,
            labels=self.segmentation(features) if self.segmentation is not None else None,
        )
