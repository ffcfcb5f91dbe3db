"""From the numbers of the work to voxels of the type that was asked for, and what that cost."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InvalidValueError
from medsr.geometry import Geometry
from medsr.notices import Notice, notice
from medsr.options import DTYPES
from medsr.planning.padding import Padding
from medsr.volume import Volume

_FEW_LEVELS = 50
"""Whole numbers in the range of an image below which rounding to them is told."""

_STEPS = 1000
"""Steps of float32 in the range of an image below which that is told."""


def check_dtype(array: NDArray[np.generic], asked: str) -> None:
    """Raise InvalidValueError for a floating type that overflows with the intensities of the input."""
    if asked != "float32" or array.dtype.kind != "f" or array.dtype.itemsize <= 4:
        return
    largest = max(abs(float(array.min())), abs(float(array.max())))
    if largest > float(np.finfo(np.float32).max):
        raise InvalidValueError(
            f"The intensities reach {largest:g}, float32 ends at 3.4e38. Choose --dtype float64, or divide the image "
            "by a constant first."
        )


def as_dtype(
    array: NDArray[Any], original: np.dtype[Any], asked: str
) -> tuple[NDArray[np.generic], list[Notice], list[Notice]]:
    """Round and clip to a voxel type.

    Args:
        array: the result, of two axes or more.
        original: type of the input.
        asked: name of the type; "same" is `original`.

    Returns:
        The voxels, decisions, and warnings: what did not fit into the type.
    """
    dtype = original if asked == "same" else np.dtype(asked)
    if array.dtype == dtype and dtype.itemsize > 2:
        return array, [], []
    if dtype.kind in "iu":
        return _as_whole(array, original, dtype, same=asked == "same")
    if dtype.kind == "b":
        return array, [], []
    low, high = float(array.min()), float(array.max())
    warnings = []
    largest = max(abs(low), abs(high))
    if asked == "float32" and original != dtype and largest * np.finfo(np.float32).eps * _STEPS > high - low:
        step = float(np.spacing(np.float32(largest)))
        warnings = [notice("voxels.rounded", dtype=str(dtype), step=step, span=high - low)]
    end = float(np.finfo(dtype).max)
    if largest > end:  # ringing beyond what a type of 16 bits, or an image near the end of its type, can hold
        array = np.clip(array, -end, end)
    return array.astype(dtype, copy=False), [], warnings


def give_back(voxels: NDArray[np.generic], grid: Geometry, padding: Padding, volume: Volume) -> None:
    """Put the padding of `volume` into a result on `grid`, in the type that the result has."""
    dtype = str(voxels.dtype)
    values, _, _ = as_dtype(volume.array, volume.array.dtype, dtype)
    beyond, _, _ = as_dtype(np.full((1, 1), padding.value), volume.array.dtype, dtype)
    padding.give_back(voxels, volume.geometry, grid, values, beyond[0, 0])


def _as_whole(
    array: NDArray[Any], original: np.dtype[Any], dtype: np.dtype[Any], *, same: bool
) -> tuple[NDArray[np.generic], list[Notice], list[Notice]]:
    limits = np.iinfo(dtype)
    low, high = float(limits.min), float(limits.max)
    # The last number before the limit where float64 cannot hold the limit itself.
    top = high if int(high) == limits.max else float(np.nextafter(high, 0))
    out = np.empty(array.shape, dtype=dtype)
    count, ends = 0, [np.inf, -np.inf]
    for number, part in enumerate(array):
        # float32 cannot hold the limits of 32-bit integers exactly.
        whole = np.rint(part.astype(np.float64) if dtype.itemsize > 2 else part)
        darkest, brightest = float(whole.min()), float(whole.max())
        ends = [min(ends[0], darkest), max(ends[1], brightest)]
        if darkest < low or brightest > top:
            count += int(np.count_nonzero((whole < low) | (whole > top)))
            np.clip(whole, low, top, out=whole)
        out[number] = whole
    values = {"percent": 100 * count / array.size, "dtype": str(dtype), "low": low, "high": high}
    worst = max(low - ends[0], ends[1] - high)
    if count and same:
        return out, [notice("voxels.same", worst=worst, **values)], []
    if count:
        instead = _holding(ends[0], ends[1], original)
        return out, [], [notice("voxels.clipped", count=count, worst=worst, instead=instead, **values)]
    span = ends[1] - ends[0]
    if not same and original.kind == "f" and span < _FEW_LEVELS:
        return out, [], [notice("voxels.coarse", dtype=str(dtype), span=span)]
    return out, [], []


def _holding(low: float, high: float, original: np.dtype[Any]) -> str:
    """The type of the input where it holds these intensities, else the smallest signed or floating one that does."""
    names = [str(original), "int16", "int32", "float32"] if original.kind in "iu" else ["float32"]
    for name in names:
        if name in DTYPES and (name == "float32" or np.iinfo(name).min <= low <= high <= np.iinfo(name).max):
            return name
    return "float32"
