"""The training step of networks that enlarge: pixel and structural losses against the fine patch."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.nn import functional

from medsr.errors import ModelError
from medsr.losses.pixel import mean_absolute_error
from medsr.models.enlarger import Enlarger
from medsr.models.interpolation import enlarge_cubic
from medsr.models.progressive_gan import ProgressiveNet
from medsr.training.content import ContentLoss
from medsr.training.pictures import contact_sheet, write_sheet
from medsr.training.recipe import Recipe
from medsr.training.schedule import adam

Batch = dict[str, Tensor]


def scale_of(batch: Batch) -> int:
    """The factor of the examples of a batch."""
    return batch["fine"].shape[-1] // batch["coarse"].shape[-1]


class EnlargingModule(LightningModule):
    """Trains `network` to turn ``coarse`` into ``fine``.

    Logs each loss term by its name; in validation the PSNR gain in dB over bicubic interpolation, of the error pooled
    over all patches, and a contact sheet (bicubic, network, truth) in ``pictures`` of the run's folder.
    """

    def __init__(self, network: Enlarger, content: ContentLoss, recipe: Recipe) -> None:
        super().__init__()
        self.network = network
        self.content = content
        self.recipe = recipe
        self._errors: dict[int, list[tuple[float, float]]] = {}

    @property
    def step(self) -> int:
        """Training steps so far, whatever the number of optimisers."""
        return self.trainer.fit_loop.epoch_loop.total_batch_idx + 1

    def enlarge(self, batch: Batch) -> Tensor:
        """The network's answer to the coarse patches, float32."""
        scale = scale_of(batch)
        enlarged: Tensor = self.network(batch["coarse"], scale)
        return enlarged.float()

    def answer(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The enlarged patches, and the term of the picture half-way where the recipe weighs it."""
        weight = self.recipe.losses.intermediate
        if not weight:
            return self.enlarge(batch), {}
        if not isinstance(self.network, ProgressiveNet):
            raise ModelError("losses.intermediate needs a network with a picture half-way: progressive-gan.")
        middle, enlarged = self.network.pictures(batch["coarse"])
        half = functional.interpolate(batch["fine"], size=middle.shape[2:], mode="bicubic", antialias=True)
        return enlarged.float(), {"intermediate": weight * mean_absolute_error(middle.float(), half)}

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        """The weighted sum of the content terms."""
        enlarged, middle = self.answer(batch)
        return self.total(self.content(enlarged, batch["fine"], factor=scale_of(batch)) | middle)

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """The sum of weighted terms; logs each of them.

        Raises:
            ModelError: the sum is not finite.
        """
        loss = torch.stack(list(terms.values())).sum()
        for name, term in terms.items():
            self.log(name, term.detach(), on_step=False, on_epoch=True)
        self.log("loss", loss.detach(), on_step=False, on_epoch=True, prog_bar=True)
        if not torch.isfinite(loss):
            parts = ", ".join(f"{name} {float(term):.3g}" for name, term in terms.items())
            raise ModelError(
                f"The training of {self.recipe.name} fell apart at step {self.step}: {parts}. Go on from the last "
                "checkpoint with --resume and a lower optimiser.learning_rate, or precision=32-true."
            )
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        """Collect squared errors of bicubic interpolation and of the network, per scale."""
        fine = batch["fine"]
        scale = scale_of(batch)
        bicubic, enlarged = enlarge_cubic(batch["coarse"], scale), self.enlarge(batch)
        pair = (float((bicubic - fine).square().mean()), float((enlarged - fine).square().mean()))
        self._errors.setdefault(scale, []).append(pair)
        if index == 0 and self.trainer.is_global_zero:
            self._show([self._shown(image, fine) for image in (bicubic, enlarged, fine)])

    def on_validation_epoch_end(self) -> None:
        """Log the gain of the pooled error: empty patches weigh nothing, as in a whole image."""
        gains = []
        for scale, pairs in sorted(self._errors.items()):
            before, after = (sum(column) for column in zip(*pairs, strict=True))
            gains.append(10 * math.log10(before / after))
            if len(self._errors) > 1:
                self.log(f"gain_db_x{scale}", gains[-1], sync_dist=True)
        self.log("gain_db", sum(gains) / len(gains), sync_dist=True, prog_bar=True)
        self._errors.clear()

    def configure_optimizers(self) -> Any:
        """Adam for the network."""
        recipe = self.recipe.optimiser
        return adam(self.network.parameters(), recipe.learning_rate, self.recipe.steps, recipe)

    def _shown(self, image: Tensor, fine: Tensor) -> Tensor:
        """An image on the scale of pictures, [0, 1]: z-scores from the darkest to the brightest voxel of the truth."""
        if self.recipe.enlarging.intensities == "range":
            return image
        return (image - fine.min()) / (fine.max() - fine.min()).clamp_min(1e-6)

    def _show(self, columns: list[Tensor]) -> None:
        sheet = contact_sheet(columns)
        write_sheet(sheet, Path(self.trainer.default_root_dir) / "pictures", self.step)
        for logger in self.loggers:
            if isinstance(logger, TensorBoardLogger):
                layout = "HW" if sheet.ndim == 2 else "HWC"
                logger.experiment.add_image("bicubic, network, truth", sheet, self.step, dataformats=layout)
