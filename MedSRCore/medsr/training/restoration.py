"""The training step of networks that restore a known target: one loss, averaged weights, a picture of progress."""

from __future__ import annotations

import math
from typing import Any

from lightning import LightningModule
from torch import Tensor

from medsr.losses.pixel import mean_absolute_error
from medsr.models.profile_refiner import ProfileRefiner
from medsr.physics.condition import PER_AXIS
from medsr.training.recipe import Recipe
from medsr.training.schedule import adam, muon


class RestorationModule(LightningModule):
    """Trains `network` to turn ``input`` into ``target``.

    Logs ``loss`` beside ``loss_before`` in training; in validation the PSNR gain in dB over the input.
    """

    def __init__(self, network: ProfileRefiner, recipe: Recipe) -> None:
        super().__init__()
        self.network = network
        self.recipe = recipe
        self._errors: dict[str, list[tuple[float, float]]] = {}

    def training_step(self, batch: dict[str, Tensor], _index: int) -> Tensor:
        """The error of one batch, logged beside the mean absolute error before the network."""
        restored = self.network(batch["input"], batch["condition"])
        loss = self._error(restored.float(), batch["target"])
        self.log("loss", loss, on_step=False, on_epoch=True, prog_bar=True)
        # Beside the loss, what it was before the network: their distance is what was learned.
        before = mean_absolute_error(batch["input"], batch["target"])
        self.log("loss_before", before, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def _error(self, restored: Tensor, target: Tensor) -> Tensor:
        """Mean absolute error; in a squared cool-down the root mean squared error, each patch alone."""
        recipe = self.recipe
        if not recipe.losses.squared_cooldown or self.global_step < recipe.steps - recipe.optimiser.cooldown:
            return mean_absolute_error(restored, target)
        # The root keeps difficult patches from outweighing all others.
        return (restored - target).square().flatten(1).mean(1).sqrt().mean()

    def validation_step(self, batch: dict[str, Tensor], _index: int) -> None:
        """Collect squared errors before and after, for all examples and per kind of acquisition."""
        restored = self.network(batch["input"], batch["condition"]).float()
        spatial = tuple(range(1, restored.dim()))
        before = (batch["input"] - batch["target"]).square().mean(spatial)
        after = (restored - batch["target"]).square().mean(spatial)
        # The second axis is enlarged in no single-axis example.
        single_axis = batch["condition"][:, PER_AXIS] == 0
        for name, chosen in (("", single_axis | True), ("_single_axis", single_axis), ("_more_axes", ~single_axis)):
            self._errors.setdefault(name, []).append((float(before[chosen].sum()), float(after[chosen].sum())))

    def on_validation_epoch_end(self) -> None:
        """Log the gain of the pooled error: empty patches weigh nothing, as in a whole volume."""
        for name, pairs in self._errors.items():
            before, after = (sum(column) for column in zip(*pairs, strict=True))
            if after > 0:
                self.log(f"gain_db{name}", 10 * math.log10(before / after), sync_dist=True, prog_bar=not name)
        self._errors.clear()

    def configure_optimizers(self) -> Any:
        """Muon for the hidden convolutions, or Adam for everything."""
        recipe = self.recipe.optimiser
        if recipe.muon:
            return muon(self.network, recipe.learning_rate, self.recipe.steps, recipe)
        return adam(self.network.parameters(), recipe.learning_rate, self.recipe.steps, recipe)
