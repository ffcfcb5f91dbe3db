"""Training patches: subjects in turn, random places, light variation; the same for every arm."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from medsr.augmentation.study.recipe import SegmentationRecipe
from medsr.augmentation.study.samples import Sample


class Patches:
    """Draws batches from the samples of one arm.

    A subject is drawn first and then one of its images, so that a subject with more copies weighs no more than
    another. There is no mirroring: left and right may be different structures.

    Args:
        samples: real images and copies.
        recipe: sizes and amounts of variation.
        seed: of everything drawn.
        planar: the images are pictures; patches are then 2D.
    """

    def __init__(self, samples: Sequence[Sample], recipe: SegmentationRecipe, seed: int, *, planar: bool) -> None:
        self._recipe, self._planar = recipe, planar
        self._rng = np.random.default_rng(seed)
        self._by_subject: dict[str, list[tuple[NDArray[np.float16], NDArray[np.uint8]]]] = {}
        for sample in samples:
            self._by_subject.setdefault(sample.subject, []).append(sample.open())
        self._subjects = list(self._by_subject)

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """Images ``(batch, channel, *patch)`` float32 and classes ``(batch, *patch)`` int64."""
        drawn = [self._patch() for _ in range(self._recipe.batch)]
        image = torch.from_numpy(np.stack([a for a, _ in drawn]).astype(np.float32))
        label = torch.from_numpy(np.stack([b for _, b in drawn]))
        if self._planar:
            image, label = image[:, :, 0], label[:, 0]
        return self._varied(image, label)

    def _patch(self) -> tuple[NDArray[np.float16], NDArray[np.uint8]]:
        choices = self._by_subject[self._subjects[self._rng.integers(len(self._subjects))]]
        image, label = choices[self._rng.integers(len(choices))]
        patch = (1, *self._recipe.patch[1:]) if self._planar else self._recipe.patch
        padding = []
        for axis, (size, side) in enumerate(zip(label.shape, patch, strict=True)):
            start = int(self._rng.integers(max(size - side, 0) + 1))
            image = image[(slice(None),) * (axis + 1) + (slice(start, start + side),)]
            label = label[(slice(None),) * axis + (slice(start, start + side),)]
            lacking = max(side - size, 0)
            padding.append((lacking // 2, lacking - lacking // 2))
        return np.pad(image, [(0, 0), *padding], mode="edge"), np.pad(label, padding)

    def _varied(self, image: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Turned, scaled, brighter or darker, noisier."""
        count, spatial = image.shape[0], image.shape[2:]
        affine = np.stack([self._affine(spatial) for _ in range(count)])
        grid = functional.affine_grid(torch.from_numpy(affine).float(), [count, 1, *spatial], align_corners=False)
        image = functional.grid_sample(image, grid, padding_mode="border", align_corners=False)
        moved = functional.grid_sample(label[:, None].float(), grid, mode="nearest", align_corners=False)
        shape = (count, image.shape[1], *[1] * len(spatial))
        amount = self._recipe.intensity
        gain = self._rng.uniform(1 - amount, 1 + amount, shape)
        shift = self._rng.uniform(-amount, amount, shape)
        noise = self._rng.standard_normal(image.shape, dtype=np.float32) * np.float32(self._recipe.noise)
        image = image * torch.from_numpy(gain).float() + torch.from_numpy(shift).float() + torch.from_numpy(noise)
        return image, moved[:, 0].long()

    def _affine(self, spatial: Sequence[int]) -> NDArray[np.float64]:
        """A random rotation and scaling in the coordinates of ``affine_grid``: x, y, z, each from -1 to 1."""
        dims = len(spatial)
        matrix = np.eye(dims) * self._rng.uniform(1 - self._recipe.scaling, 1 + self._recipe.scaling)
        limit = math.radians(self._recipe.rotation_degrees)
        for a, b in [(0, 1)] if dims == 2 else [(0, 1), (0, 2), (1, 2)]:
            angle = self._rng.uniform(-limit, limit)
            turn = np.eye(dims)
            turn[a, a] = turn[b, b] = math.cos(angle)
            turn[a, b], turn[b, a] = -math.sin(angle), math.sin(angle)
            matrix = matrix @ turn
        half = np.array(spatial[::-1], dtype=float)
        matrix = matrix * half[None, :] / half[:, None]
        return np.concatenate([matrix, np.zeros((dims, 1))], axis=1)
