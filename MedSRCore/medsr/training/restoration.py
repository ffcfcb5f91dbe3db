"""The training step of networks that restore a known target: one loss, averaged weights, a picture of progress."""

from __future__ import annotations

import lightning as L
import torch
from torch import Tensor

from medsr.losses.pixel import mean_absolute_error
from medsr.training.recipe import OptimiserRecipe, Recipe


def rate_at(step: int, steps: int, recipe: OptimiserRecipe) -> float:
    """Learning rate at `step` relative to the peak: linear warm-up, constant, linear cool-down."""
    warm = min(1.0, (step + 1) / max(recipe.warmup, 1))
    cool = min(1.0, max(steps - step, 0) / max(recipe.cooldown, 1))
    return min(warm, max(cool, 0.01))


class RestorationModule(L.LightningModule):
    """Trains `network` to turn ``input`` into ``target``.

    Logs ``loss`` in training; in validation the mean PSNR gain in dB over the input, per acquisition.
    """

    def __init__(self, network: torch.nn.Module, recipe: Recipe) -> None:
        super().__init__()
        self.network = network
        self.recipe = recipe

    def training_step(self, batch: dict[str, Tensor], _index: int) -> Tensor:
        restored = self.network(batch["input"], batch["condition"])
        loss = mean_absolute_error(restored.float(), batch["target"])
        # Beside the loss, what it was before the network: their distance is what was learned.
        before = (batch["input"] - batch["target"]).abs().mean()
        self.log("loss", loss)
        self.log("relative_error", loss.detach() / before, prog_bar=True, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: dict[str, Tensor], _index: int) -> None:
        restored = self.network(batch["input"], batch["condition"]).float()
        spatial = tuple(range(1, restored.dim()))
        before = (batch["input"] - batch["target"]).square().mean(spatial)
        after = (restored - batch["target"]).square().mean(spatial)
        gain = 10 * torch.log10(before / after)
        self.log("gain", gain.mean(), batch_size=len(gain), prog_bar=True)
        single_axis = batch["condition"][:, 3] == 0
        for name, mask in (("gain_single_axis", single_axis), ("gain_all_axes", ~single_axis)):
            if mask.any():
                self.log(name, gain[mask].mean(), batch_size=int(mask.sum()))

    def configure_optimizers(self):  # type: ignore[no-untyped-def]
        recipe = self.recipe.optimiser
        optimiser = torch.optim.Adam(self.network.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.99))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: rate_at(step, self.recipe.steps, recipe)
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
