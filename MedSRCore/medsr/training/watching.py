"""How far a training is: all its steps, not those of one epoch, and the time that they will take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

Report = Callable[[int, int, float | None], None]
"""Receives the steps done, all steps, and the seconds left, None before that can be told."""


class Watcher(Callback):
    """Tells `report` after every step. What was done before a resumption counts as done, but tells no speed."""

    def __init__(self, report: Report, steps_per_epoch: int) -> None:
        self._report = report
        self._steps_per_epoch = steps_per_epoch
        self._begun: tuple[float, int] | None = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Note when the first step of this run began."""
        if self._begun is None:
            self._begun = time.monotonic(), self._done(trainer, batch_idx)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Tell where the training is."""
        if self._begun is None or not trainer.is_global_zero:
            return
        done, total = self._done(trainer, batch_idx + 1), (trainer.max_epochs or 0) * self._steps_per_epoch
        since, first = self._begun
        each = (time.monotonic() - since) / (done - first)
        self._report(done, total, each * (total - done))

    def _done(self, trainer: Trainer, in_epoch: int) -> int:
        # Not the trainer's own counter: with several optimisers it counts each of their steps.
        return trainer.current_epoch * self._steps_per_epoch + in_epoch
