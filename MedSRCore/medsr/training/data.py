"""Numbered examples for Lightning: each epoch and process gets its own, so a resumed training sees what it would have.

Step s of W processes with batches of B takes the examples from ``s W B`` on, B for each process: what one process
with batches of ``W B`` would take.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from pathlib import Path
from typing import Generic, TypeVar

import torch
from lightning import LightningDataModule, Trainer
from torch.utils.data import DataLoader, Dataset

from medsr.models.enlarger import Enlarger
from medsr.training.cache import ArrayCache
from medsr.training.images import TrainingImage, load_images
from medsr.training.pairs import EnlargingPairs, drawn_side
from medsr.training.patches import DegradedPatches
from medsr.training.recipe import Recipe
from medsr.training.volumes import IN_MEMORY, TrainingVolume, load_volumes

logger = logging.getLogger(__name__)

Example = dict[str, torch.Tensor]
Source = TypeVar("Source")

_VALIDATION_BATCH = 4
_VALIDATION_SEED = 7919


class NumberedData(LightningDataModule, Generic[Source]):
    """Deals numbered examples to epochs and processes.

    Args:
        recipe: what to make.
        data_list: JSON file with "train" and "validation" lists.
        root: folder that its files are relative to.
        workers: processes that prepare examples; 0 prepares them between steps.
        cache: keeps what was read; in memory where it has no folder.
    """

    def __init__(
        self, recipe: Recipe, data_list: Path, root: Path, workers: int, cache: ArrayCache = IN_MEMORY
    ) -> None:
        super().__init__()
        self.recipe, self.data_list, self.root, self.workers = recipe, data_list, root, workers
        self.cache = cache
        self.sources: dict[str, list[Source]] = {}

    @abstractmethod
    def load(self, subset: str) -> list[Source]:
        """What the examples of "train" or "validation" are drawn from."""

    @abstractmethod
    def examples(self, sources: list[Source], per_step: int, first: int, count: int, seed: int) -> Dataset[Example]:
        """Examples `first` and following of a seed; `per_step` of them make one step of all processes."""

    def setup(self, stage: str) -> None:
        """Load what examples are drawn from, once."""
        for subset in ("train", "validation"):
            if subset not in self.sources:
                self.sources[subset] = self.load(subset)

    def train_dataloader(self) -> DataLoader[Example]:
        """The examples of the current epoch and process."""
        if self.trainer is None:
            raise RuntimeError("Examples are numbered by the epoch of a trainer, and there is none.")
        recipe, epoch = self.recipe, self.trainer.current_epoch
        per_step = recipe.batch * self.trainer.world_size
        done = epoch * recipe.steps_per_epoch
        # The last epoch may be a short one.
        steps = max(min(recipe.steps_per_epoch, recipe.steps - done), 1)
        data = self.examples(self.sources["train"], per_step, done * per_step, steps * per_step, recipe.seed)
        own = self.trainer.global_rank * recipe.batch
        mine = [step * per_step + own + i for step in range(steps) for i in range(recipe.batch)]
        return DataLoader(
            data, recipe.batch, sampler=mine, num_workers=self.workers, pin_memory=self._on_gpu(self.trainer)
        )

    def val_dataloader(self) -> DataLoader[Example]:
        """The same examples every time."""
        data = self.examples(
            self.sources["validation"], _VALIDATION_BATCH, 0, self.recipe.validation_patches, _VALIDATION_SEED
        )
        pinned = self.trainer is not None and self._on_gpu(self.trainer)
        return DataLoader(data, _VALIDATION_BATCH, pin_memory=pinned)

    @staticmethod
    def _on_gpu(trainer: Trainer) -> bool:
        """Whether examples go to a GPU, which copies from pinned memory while it computes."""
        return trainer.strategy.root_device.type == "cuda"


class RefiningData(NumberedData[TrainingVolume]):
    """Deconvolved patches for networks that refine."""

    def load(self, subset: str) -> list[TrainingVolume]:
        """See `NumberedData.load`."""
        factor = self.recipe.appearance.coarser_factor
        return load_volumes(self.data_list, self.root, subset, self.recipe.modality, factor, self.cache)

    def examples(
        self, sources: list[TrainingVolume], per_step: int, first: int, count: int, seed: int
    ) -> Dataset[Example]:
        """See `NumberedData.examples`."""
        return DegradedPatches(self.recipe, sources, first, count, seed)


class EnlargingData(NumberedData[TrainingImage]):
    """Coarse and fine patches for `network`, which enlarges."""

    def __init__(
        self,
        recipe: Recipe,
        network: Enlarger,
        data_list: Path,
        root: Path,
        workers: int,
        cache: ArrayCache = IN_MEMORY,
    ) -> None:
        super().__init__(recipe, data_list, root, workers, cache)
        self.channels, self.scales = network.channels, network.scales

    def load(self, subset: str) -> list[TrainingImage]:
        """See `NumberedData.load`."""
        appearance = self.recipe.appearance
        images = load_images(
            self.data_list,
            self.root,
            subset,
            self.recipe.modality,
            channels=self.channels,
            dims=self.recipe.network.spatial_dims,
            coarser_factor=appearance.coarser_factor if appearance.coarser else None,
            cache=self.cache,
        )
        if not appearance.whole:
            self._name_small(images)
        return images

    def _name_small(self, images: list[TrainingImage]) -> None:
        """Warn of images that are continued by reflection, as no crop fits into them."""
        side = max(drawn_side(self.recipe, scale) for scale in self.scales)
        # Without swaps, slices lie across the first axis.
        axes = 0 if self.recipe.appearance.swaps else -self.recipe.network.spatial_dims
        volumes = {volume.name: volume.array.shape for image in images for volume in image.channels}
        small = [f"{name} ({' x '.join(map(str, size))})" for name, size in volumes.items() if min(size[axes:]) < side]
        if small:
            more = f", and {len(small) - 1} more" if len(small) > 1 else ""
            logger.warning(
                "%s is smaller than %d voxels a side, a patch with its margins%s: continued by reflection. A smaller "
                "`patch` avoids that.", small[0], side, more,
            )  # fmt: skip

    def examples(
        self, sources: list[TrainingImage], per_step: int, first: int, count: int, seed: int
    ) -> Dataset[Example]:
        """See `NumberedData.examples`."""
        return EnlargingPairs(self.recipe, sources, self.scales, per_step, first, count, seed)
