"""How noisy is a magnitude image? Read from the air around the body, else from its smoothest tissue."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import i0e, i1e

_SAMPLE = 500_000
_MOST_EQUAL = 0.15
_LEAST_BACKGROUND = 0.05
_RAYLEIGH_MEDIAN = 1.17741
"""Median of a Rayleigh distribution over its sigma."""

_RAYLEIGH_SPREAD = (0.40, 0.65)
"""Accepted standard deviation / mean; 0.523 for a Rayleigh distribution, less once noise was averaged."""


_BLOCK_ZYX = (2, 6, 6)
_FEWEST_BLOCKS = 50
_SAME_IN_TISSUE = 0.6
_CERTAIN = 0.0145
"""Roughness of the smoothest tissue from which it is called noise; detail of clean images stays below."""


def noise_level(array: NDArray[np.generic], padding: NDArray[np.bool_] | None = None) -> tuple[float, str] | None:
    """Noise as a fraction of the 99th percentile, and where it was read; None for images that may be clean.

    Args:
        array: the voxels ``(z, y, x)``.
        padding: voxels that show nothing, and hold what is beside them.
    """
    level = background_noise(array if padding is None else array[~padding])
    roughness = tissue_roughness(array, padding)
    # Noise is everywhere: a dim, varied surrounding beside smooth tissue is anatomy.
    if level is not None and (roughness is None or roughness > _SAME_IN_TISSUE * level):
        return level, "the background"
    return (roughness, "the smoothest tissue") if roughness is not None and roughness >= _CERTAIN else None


def expected_magnitude(signal: NDArray[np.floating], sigma: float) -> NDArray[np.float32]:
    """Mean of the magnitude that is measured of `signal` in Rician noise: dark places look brighter than they are.

    The mean of Rice's distribution (Gudbjartsson and Patz 1995): 1.25 sigma where there is no signal, the signal itself
    where it is strong.

    Args:
        signal: noise-free magnitudes, any shape; negative ones count as none.
        sigma: standard deviation of the noise of each channel, in the units of `signal`, more than 0.
    """
    t = np.square(np.maximum(signal, 0, dtype=np.float32) / np.float32(2 * sigma))
    mean = (1 + 2 * t) * i0e(t) + 2 * t * i1e(t)
    return np.asarray(sigma * math.sqrt(math.pi / 2) * mean, dtype=np.float32)


def tissue_roughness(array: NDArray[np.generic], padding: NDArray[np.bool_] | None = None) -> float | None:
    """What noise there can be at most, from the smoothest twentieth of the bright blocks; None without such blocks.

    Immerkaer's mask (1996), the product of two second differences, cancels planes and edges along the axes.

    Args:
        array: the voxels ``(z, y, x)``.
        padding: voxels that do not count.
    """
    middle = slice(array.shape[0] // 2 - 16 if array.shape[0] > 32 else 0, array.shape[0] // 2 + 16)
    image = np.asarray(array[middle], dtype=np.float64)
    if min(image.shape[1:]) < 8 or image.shape[0] < _BLOCK_ZYX[0]:
        return None
    high = float(np.percentile(image, 99))
    if image.min() < 0 or high <= 0:
        return None
    detail = np.diff(np.diff(image, 2, axis=1), 2, axis=2) / 6
    roughness = np.sqrt((_blocks(detail) ** 2).mean(axis=1))
    bright = _blocks(image[:, 1:-1, 1:-1]).min(axis=1) > 0.25 * high
    if padding is not None:
        bright &= ~_blocks(padding[middle, 1:-1, 1:-1]).any(axis=1)
    if np.count_nonzero(bright) < _FEWEST_BLOCKS:
        return None
    return float(np.percentile(roughness[bright], 5)) / high


def _blocks(image: NDArray[Any]) -> NDArray[Any]:
    """The whole blocks of an image, one a row."""
    counts = [n // b for n, b in zip(image.shape, _BLOCK_ZYX, strict=True)]
    cut = image[tuple(slice(n * b) for n, b in zip(counts, _BLOCK_ZYX, strict=True))]
    split = cut.reshape([part for n, b in zip(counts, _BLOCK_ZYX, strict=True) for part in (n, b)])
    rows: NDArray[Any] = split.transpose(0, 2, 4, 1, 3, 5).reshape(-1, int(np.prod(_BLOCK_ZYX)))
    return rows


def background_noise(array: NDArray[np.generic]) -> float | None:
    """Noise level of a magnitude MR image as a fraction of its 99th percentile, or None where it cannot be told.

    Without signal, the magnitude of complex Gaussian noise is Rayleigh distributed (Gudbjartsson and Patz, 1995). None
    is returned for images whose background was blanked, smoothed or cut away, and for images with negative values.

    Args:
        array: the voxels, any shape.
    """
    flat = array.reshape(-1)[:: max(1, array.size // _SAMPLE)].astype(np.float64)
    low, high = float(flat.min()), float(np.percentile(flat, 99))
    if low < 0 or high <= low or np.mean(flat == low) > _MOST_EQUAL:
        return None
    limit = 0.15 * high
    sigma = 0.0
    for _ in range(12):
        background = flat[flat < limit]
        if background.size < _LEAST_BACKGROUND * flat.size:
            return None
        sigma = float(np.median(background)) / _RAYLEIGH_MEDIAN
        limit = min(limit, 4 * sigma)
    background = flat[flat < 4 * sigma]
    spread = float(background.std() / max(background.mean(), 1e-12))
    if background.size < _LEAST_BACKGROUND * flat.size or not _RAYLEIGH_SPREAD[0] < spread < _RAYLEIGH_SPREAD[1]:
        return None
    return sigma / high
