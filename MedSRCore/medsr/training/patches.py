"""Training examples: a patch of a fine image, degraded by a random acquisition and deconvolved again.

Example number i of a seed is always the same, whatever the number of workers and wherever a training resumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from medsr.degradation import Acquisition, AxisSampling, Profile, add_rician_noise
from medsr.models.profile_refiner import acquisition_condition
from medsr.training.recipe import Recipe
from medsr.training.sections import AcquisitionRecipe, AppearanceRecipe
from medsr.training.volumes import TrainingVolume

Array = NDArray[np.float32]

_MARGIN_SAMPLES = 3
"""Coarse samples around a patch that are simulated and then cut away, so that a patch has no borders of its own."""


@dataclass(frozen=True)
class DrawnAcquisition:
    """The true and the stated acquisition of one example, per array axis in canonical order."""

    factors: tuple[float, ...]
    widths: tuple[float, ...]
    stated_widths: tuple[float, ...]
    box: bool
    noise: float


def draw_acquisition(recipe: AcquisitionRecipe, dims: int, rng: np.random.Generator) -> DrawnAcquisition:
    """Draw one acquisition; the most enlarged axis comes first."""
    kind = rng.random()
    if kind < recipe.single_axis:
        if rng.random() < recipe.whole_factors:
            factor = float(rng.choice(recipe.thick_factors))
        else:
            factor = float(rng.uniform(*recipe.thick_range))
        factors = (factor,) + (1.0,) * (dims - 1)
    else:
        factor = 2.0 if rng.random() < recipe.exact_two else float(rng.uniform(*recipe.isotropic_range))
        enlarged = min(2, dims) if kind < recipe.single_axis + recipe.two_axes else dims
        factors = (factor,) * enlarged + (1.0,) * (dims - enlarged)
    relative = 1.0 if rng.random() < recipe.exact_width else float(rng.uniform(*recipe.relative_width))
    error = 1.0
    if rng.random() < recipe.misstated:
        error = float(np.exp(rng.uniform(-1, 1) * np.log(recipe.misstated_by)))
    widths = tuple(f * relative if f > 1 else 1.0 for f in factors)
    stated = tuple(w * error if f > 1 else 1.0 for f, w in zip(factors, widths, strict=True))
    box = bool(rng.random() < recipe.box)
    noise = float(np.exp(rng.uniform(*np.log(recipe.noise_range)))) if rng.random() < recipe.noise else 0.0
    return DrawnAcquisition(factors, widths, stated, box, noise)


def random_intensity_curve(x: Array, strength: float, rng: np.random.Generator) -> Array:
    """Pass `x` (about [0, 1]) through a random smooth curve, which may reverse contrasts; 0 stays 0."""
    knots = int(rng.integers(3, 7))
    positions = np.concatenate([[0.0], np.sort(rng.uniform(0.05, 0.95, knots)), [1.0, 2.0]])
    levels = np.concatenate([[0.0], rng.uniform(0.0, 1.0, knots + 1)])
    levels = np.append(levels, levels[-1] + 0.3)
    amount = strength * rng.random()
    curved = np.interp(x, positions, levels).astype(np.float32)
    mixed = (1 - amount) * x + amount * curved
    scaled: Array = (mixed / max(float(np.percentile(mixed, 99.5)), 0.2)).astype(np.float32)
    return scaled


class DegradedPatches(Dataset[dict[str, torch.Tensor]]):
    """Endless examples of a recipe, addressed by number.

    Each item has ``input`` and ``target`` of shape ``(1, *patch)``, and ``condition`` of shape ``(3 dims,)``.
    """

    def __init__(self, recipe: Recipe, volumes: Sequence[TrainingVolume], first: int, count: int, seed: int) -> None:
        self.recipe = recipe
        self.volumes = volumes
        self.first = first
        self.count = count
        self.seed = seed
        weights = np.array([volume.weight for volume in volumes])
        self.probabilities = weights / weights.sum()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng([self.seed, self.first + index])
        dims = self.recipe.network.spatial_dims
        drawn = draw_acquisition(self.recipe.acquisition, dims, rng)
        margins = [int(np.ceil(_MARGIN_SAMPLES * f)) if f > 1 else 0 for f in drawn.factors]
        fine = self._draw_fine(rng, [self.recipe.patch + 2 * m for m in margins])
        start = deconvolve_degraded(fine, drawn, self.recipe.acquisition, rng)
        inside = tuple(slice(lo, lo + self.recipe.patch) for lo in ((n - self.recipe.patch) // 2 for n in fine.shape))
        boxes = [drawn.box] * dims
        return {
            "input": torch.from_numpy(np.ascontiguousarray(start[inside]))[None],
            "target": torch.from_numpy(np.ascontiguousarray(fine[inside]))[None],
            "condition": torch.tensor(acquisition_condition(drawn.factors, drawn.stated_widths, boxes)),
        }

    def _draw_fine(self, rng: np.random.Generator, shape: Sequence[int]) -> Array:
        """A random crop of a random volume in a random orientation and contrast, with something in it."""
        appearance: AppearanceRecipe = self.recipe.appearance
        volume = self.volumes[int(rng.choice(len(self.volumes), p=self.probabilities))]
        array = volume.coarser if rng.random() < appearance.coarser else volume.array
        best = crop = random_crop(array, shape, rng)
        for _ in range(3):
            if (crop > 0.1).mean() > 0.35:
                break
            crop = random_crop(array, shape, rng)
            if crop.std() > best.std():
                best = crop
        if self.recipe.modality == "MR" and rng.random() < appearance.contrast:
            best = random_intensity_curve(best, appearance.contrast_strength, rng)
        return best


def random_crop(array: NDArray[np.float16], shape: Sequence[int], rng: np.random.Generator) -> Array:
    """A crop of exactly `shape` from `array` after a random permutation of axes and random flips.

    With fewer dimensions in `shape` than in `array`, the crop is a plane. Where the volume is too small it is
    continued by reflection.
    """
    order = rng.permutation(array.ndim)
    view = np.transpose(array, order)
    while view.ndim > len(shape):
        view = view[int(rng.integers(view.shape[0] // 8, max(view.shape[0] - view.shape[0] // 8, 1)))]
    starts = [int(rng.integers(0, max(n - s, 0) + 1)) for n, s in zip(view.shape, shape, strict=True)]
    crop = view[tuple(slice(a, a + s) for a, s in zip(starts, shape, strict=True))].astype(np.float32)
    missing = [s - n for n, s in zip(crop.shape, shape, strict=True)]
    if any(missing):
        crop = np.pad(crop, [(m // 2, m - m // 2) for m in missing], mode="symmetric")
    flips = tuple(slice(None, None, -1) if rng.random() < 0.5 else slice(None) for _ in shape)
    return np.ascontiguousarray(crop[flips])


def deconvolve_degraded(
    fine: Array, drawn: DrawnAcquisition, recipe: AcquisitionRecipe, rng: np.random.Generator
) -> Array:
    """Degrade `fine` with the true acquisition, add noise, deconvolve with the stated one."""
    profile = Profile.BOX if drawn.box else Profile.GAUSSIAN
    true, stated = (
        Acquisition(
            tuple(
                AxisSampling(n, max(2, int(n / f)), f, w, profile)
                for n, f, w in zip(fine.shape, drawn.factors, ws, strict=True)
            )
        )
        for ws in (drawn.widths, drawn.stated_widths)
    )
    coarse = true.forward(fine)
    if drawn.noise:
        if recipe.rician:
            coarse = add_rician_noise(np.maximum(coarse, 0), drawn.noise, rng)
        else:
            coarse = coarse + rng.normal(0.0, drawn.noise, coarse.shape).astype(np.float32)
    return stated.tikhonov(coarse, recipe.smoothness)
