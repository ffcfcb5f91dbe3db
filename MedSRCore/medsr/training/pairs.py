"""Training examples of networks that enlarge: a fine patch, and the coarse patch that was made of it.

As in `medsr.training.patches`, example number i of a seed is always the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from medsr.physics.downscaling import downscale
from medsr.physics.noise import add_gaussian_noise
from medsr.training.crops import random_crop, random_intensity_curve
from medsr.training.images import TrainingImage
from medsr.training.recipe import Recipe
from medsr.training.sections import AppearanceRecipe

Array = NDArray[np.float32]

_MARGIN_SAMPLES = 3
"""Coarse voxels around a patch that are made and then cut away, so that a patch has no borders of its own."""

_MARGIN_SAMPLES_KSPACE = 8
"""For truncation of the spectrum, which takes the patch as periodic: what rings from its borders fades slowly."""

_TRIES = 4


class FinePatches:
    """Random crops of images in a random orientation and contrast, with something in them.

    Args:
        recipe: how images are varied.
        images: what to draw from.
    """

    def __init__(self, recipe: Recipe, images: Sequence[TrainingImage]) -> None:
        self.recipe, self.images = recipe, images
        weights = np.array([image.weight for image in images])
        self.probabilities = weights / weights.sum()

    def draw(self, shape: Sequence[int], rng: np.random.Generator) -> tuple[Array, int]:
        """A crop ``(C, *shape)`` and the number of its image."""
        appearance = self.recipe.appearance
        number = int(rng.choice(len(self.images), p=self.probabilities))
        from_coarser = rng.random() < appearance.coarser
        planes = [channel.coarser if from_coarser else channel.array for channel in self.images[number].channels]
        best = crop = _same_crop(planes, shape, rng, appearance)
        for _ in range(_TRIES - 1):
            if (crop > 0.1).mean() > 0.35:
                break
            crop = _same_crop(planes, shape, rng, appearance)
            if crop.std() > best.std():
                best = crop
        if self.recipe.modality == "MR" and rng.random() < appearance.contrast:
            best = random_intensity_curve(best, appearance.contrast_strength, rng)
        return best, number


def margin_of(recipe: Recipe) -> int:
    """Coarse voxels around each patch of a recipe; a whole image has no surroundings."""
    if recipe.appearance.whole:
        return 0
    return _MARGIN_SAMPLES_KSPACE if recipe.enlarging.downscaling == "kspace" else _MARGIN_SAMPLES


def drawn_side(recipe: Recipe, scale: int) -> int:
    """Fine voxels a side of what is drawn for an example: the patch in whole coarse voxels, and its margins."""
    return (recipe.patch // scale + 2 * margin_of(recipe)) * scale


class EnlargingPairs(Dataset[dict[str, torch.Tensor]]):
    """Endless pairs of a recipe, addressed by number.

    Each item has ``fine`` of shape ``(C, *patch)``, ``coarse`` of shape ``(C, *patch / scale)`` and its ``number``.
    All examples of one step have the same scale: scales take turns from step to step.

    Args:
        recipe: what to make.
        images: what to draw from.
        scales: whole factors of the network.
        per_step: examples per step, over all processes.
        first: number of the first example.
        count: how many there are.
        seed: another seed gives other examples.
    """

    def __init__(
        self,
        recipe: Recipe,
        images: Sequence[TrainingImage],
        scales: Sequence[int],
        per_step: int,
        first: int,
        count: int,
        seed: int,
    ) -> None:
        self.recipe, self.patches, self.scales, self.per_step = recipe, FinePatches(recipe, images), scales, per_step
        self.first, self.count, self.seed = first, count, seed
        self.margin = margin_of(recipe)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        number = self.first + index
        rng = np.random.default_rng([self.seed, number])
        scale = self.scales[number // self.per_step % len(self.scales)]
        dims = self.recipe.network.spatial_dims
        fine, source = self.patches.draw([drawn_side(self.recipe, scale)] * dims, rng)
        if self.recipe.enlarging.intensities == "z-score":
            image = self.patches.images[source]
            fine = (fine - np.float32(image.mean)) / np.float32(image.deviation)
        coarse = downscale(fine, self.recipe.enlarging.downscaling, (1,) + (scale,) * dims)
        if rng.random() < self.recipe.enlarging.noise:
            low, high = np.log(self.recipe.enlarging.noise_range)
            coarse = add_gaussian_noise(coarse, float(np.exp(rng.uniform(low, high))), rng)
        return {
            "fine": _inside(fine, self.margin * scale),
            "coarse": _inside(coarse, self.margin),
            "number": torch.tensor(number),
        }


def _same_crop(
    planes: Sequence[NDArray[np.float16]], shape: Sequence[int], rng: np.random.Generator, appearance: AppearanceRecipe
) -> Array:
    """The same random crop of every channel."""
    place = int(rng.integers(2**32))
    return np.stack([random_crop(plane, shape, np.random.default_rng(place), None, appearance) for plane in planes])


def _inside(array: Array, margin: int) -> torch.Tensor:
    cut = (slice(None), *(slice(margin, size - margin) for size in array.shape[1:]))
    return torch.from_numpy(np.ascontiguousarray(array[cut]))
