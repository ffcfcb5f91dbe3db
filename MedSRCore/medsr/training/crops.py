"""What is cut out of a training image: a random crop or the whole, in an orientation and contrast of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medsr.physics.downscaling import bicubic_matrix
from medsr.physics.sampling import apply_along
from medsr.training.sections import AppearanceRecipe

Array = NDArray[np.float32]

_USUAL = AppearanceRecipe()


def random_crop(
    array: NDArray[np.float16],
    shape: Sequence[int],
    rng: np.random.Generator,
    across: int | None = None,
    appearance: AppearanceRecipe = _USUAL,
) -> Array:
    """A crop of exactly `shape` from `array`, or the whole resampled to it, in an orientation that the recipe allows.

    With fewer dimensions in `shape` than in `array`, it is of a plane; across the axis `across`, if that is given.
    Where the volume is too small for a crop it is continued by reflection.
    """
    # Drawn whether used or not: the examples of recipes that swap stay what they were.
    order = rng.permutation(array.ndim)
    if not appearance.swaps:
        order = np.arange(array.ndim)
    if across is not None:
        order = np.concatenate([[across], order[order != across]])
    view = np.transpose(array, order)
    while view.ndim > len(shape):
        view = view[int(rng.integers(view.shape[0] // 8, max(view.shape[0] - view.shape[0] // 8, 1)))]
    crop = _resampled(view, shape) if appearance.whole else _cut(view, shape, rng)
    if appearance.flips:
        crop = crop[tuple(slice(None, None, -1) if rng.random() < 0.5 else slice(None) for _ in shape)]
    return np.ascontiguousarray(crop)


def _cut(view: NDArray[np.float16], shape: Sequence[int], rng: np.random.Generator) -> Array:
    starts = [int(rng.integers(0, max(n - s, 0) + 1)) for n, s in zip(view.shape, shape, strict=True)]
    crop = view[tuple(slice(a, a + s) for a, s in zip(starts, shape, strict=True))].astype(np.float32)
    missing = [s - n for n, s in zip(crop.shape, shape, strict=True)]
    if any(missing):
        crop = np.pad(crop, [(m // 2, m - m // 2) for m in missing], mode="symmetric")
    return crop


def _resampled(view: NDArray[np.float16], shape: Sequence[int]) -> Array:
    matrices = {axis: bicubic_matrix(n, s) for axis, (n, s) in enumerate(zip(view.shape, shape, strict=True)) if n != s}
    return np.asarray(apply_along(view.astype(np.float32), matrices), dtype=np.float32)


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
