"""How noisy is a magnitude image? Read from the air around the body, where there is nothing but noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SAMPLE = 500_000
_MOST_EQUAL = 0.15
_LEAST_BACKGROUND = 0.05
_RAYLEIGH_MEDIAN = 1.17741
"""Median of a Rayleigh distribution over its sigma."""

_RAYLEIGH_SPREAD = (0.40, 0.65)
"""Accepted standard deviation / mean; 0.523 for a Rayleigh distribution, less once noise was averaged."""


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
