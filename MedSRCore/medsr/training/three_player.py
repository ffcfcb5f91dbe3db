"""The training step with a third player: a feature network whose view of truth and result is compared."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import cast

import torch
from torch import nn

from medsr.errors import InvalidValueError
from medsr.losses.perceptual import feature_maps
from medsr.models.enlarger import Enlarger
from medsr.training.adversarial import AdversarialModule
from medsr.training.content import ContentLoss
from medsr.training.enlarging import Batch
from medsr.training.precision import trusted_precision
from medsr.training.recipe import Recipe


class ThreePlayerModule(AdversarialModule):
    """As `AdversarialModule`; where the recipe says so, the feature network learns with the generator.

    That is the published script: both make one loss small, so nothing keeps the features from becoming constant. Their
    spread ``feature_std`` is logged and watched.
    """

    def __init__(self, network: Enlarger, discriminator: nn.Module, content: ContentLoss, recipe: Recipe) -> None:
        if content.features is None:
            raise InvalidValueError(f"Recipe {recipe.name!r} has no third player: losses.perceptual must not be 0.")
        super().__init__(network, discriminator, content, recipe)

    @property
    def third(self) -> nn.Module:
        """The feature network."""
        return cast(nn.Module, self.content.features)

    def training_step(self, batch: Batch, index: int) -> None:  # type: ignore[override]
        """The step of two players; once per epoch a look at the third."""
        super().training_step(batch, index)
        if index:
            return
        with torch.no_grad(), trusted_precision(batch["fine"]):
            maps = feature_maps(self.third, batch["fine"])
        self.log("feature_std", self.guard.saw_features(maps[-1]), on_step=False, on_epoch=True)

    def generator_parameters(self) -> Iterable[nn.Parameter]:
        """The generator's, and the third player's where it learns."""
        if not self.recipe.adversary.train_features:
            return self.network.parameters()
        return chain(self.network.parameters(), self.third.parameters())
