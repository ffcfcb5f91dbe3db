"""The steps in which an image stores its intensities, so that a copy stores no digits that no scanner measured.

Many images hold whole numbers, or multiples of a step, in floating voxels. What is computed between them has random
digits, which are no information and do not pack: such a copy takes three times the space.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SAMPLE = 200_000
_MOST_LEVELS = 65_536
_NEAR = 0.02
"""Of a step: what rounding in float32 leaves."""


def find_step(array: NDArray[np.generic]) -> tuple[float, float] | None:
    """An offset and the step above it in which floating intensities were stored; None where there is none.

    Args:
        array: finite voxels. Those of integer type need no step and have none.
    """
    if array.dtype.kind != "f":
        return None
    flat = array.reshape(-1)
    sample = flat[:: max(1, flat.size // _SAMPLE)].astype(np.float64)
    levels = np.unique(sample)
    if len(levels) < 2:
        return None
    if _fits(flat, 0.0, 1.0):
        return 0.0, 1.0
    # More than half of the voxels with a value of their own: a continuum.
    if len(levels) > min(_MOST_LEVELS, sample.size // 2):
        return None
    first, step = float(levels[0]), float(np.diff(levels).min())
    count = np.rint((levels[-1] - first) / step)
    if not 0 < count <= _MOST_LEVELS:
        return None
    # Over the whole range the step is known better than from two neighbours.
    step = float((levels[-1] - first) / count)
    return (first, step) if _fits(flat, first, step) else None


def rounded(array: NDArray[np.generic], offset: float, step: float) -> NDArray[np.generic]:
    """`array` at the nearest levels, in its own type."""
    levels = np.rint((array.astype(np.float64) - offset) / step)
    return (offset + step * levels).astype(array.dtype)


def _fits(flat: NDArray[np.generic], offset: float, step: float) -> bool:
    for start in range(0, flat.size, _SAMPLE):
        place = (flat[start : start + _SAMPLE].astype(np.float64) - offset) / step
        if np.abs(place - np.rint(place)).max() > _NEAR:
            return False
    return True
