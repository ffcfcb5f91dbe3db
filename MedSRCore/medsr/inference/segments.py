"""Volume and mean of segments of a result, with intervals that follow from its error map.

A boundary lies where the intensity passes from one tissue to the other. If the intensities beside it may be off by
``h`` and differ by ``d``, it may lie elsewhere by ``h / d`` of a voxel, one at most. The volume is off by the sum over
the boundary, less what cancels; the mean by the half-widths over the root of the number of voxels, more for what
neighbours share. How much less and more was found on hippocampi that were segmented in results and by hand
(docs/reference/error-maps.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from medsr.errors import InputError
from medsr.volume import Volume

_SHIFTED, _SHARED = 0.233, 3.05
"""Shares of the largest change of a volume, and of the error of a mean of independent voxels, that 90 % stay below."""

_LARGEST_LABEL = 65_535
_LEAST = 1e-9


@dataclass(frozen=True)
class Segment:
    """One label.

    Attributes:
        voxels: how many.
        volume_mm3: of them.
        volume_interval_mm3: holds the true volume in 9 of 10.
        mean: of the intensities.
        mean_interval: holds the true mean in 9 of 10.
    """

    voxels: int
    volume_mm3: float
    volume_interval_mm3: tuple[float, float]
    mean: float
    mean_interval: tuple[float, float]


def measure_segments(image: Volume, labels: Volume, error: Volume) -> Mapping[int, Segment]:
    """Every label but 0.

    Args:
        image: a result.
        labels: its segmentation, whole numbers, on the same grid.
        error: its error map, on the same grid.

    Raises:
        InputError: other grids, colours, or labels that are no whole numbers.
    """
    for name, volume in (("label map", labels), ("error map", error)):
        if not volume.geometry.is_same_as(image.geometry):
            raise InputError(
                f"The {name} lies on {volume.geometry.describe()}, the image on {image.geometry.describe()}. Both are "
                "needed on the grid of the result: segment the result itself."
            )
    if image.channels > 1:
        raise InputError(f"Segments are measured in grey images; this one has {image.channels} channels.")
    if float(error.array.min()) < 0:
        raise InputError("The error map has negative values: half-widths have none. Give what --map error=FILE wrote.")
    classes = _whole_numbers(labels.array)
    values, half_widths = image.array.astype(np.float32), error.array.astype(np.float32)
    found = {}
    for label, place in enumerate(find_objects(classes), start=1):
        if place is not None:
            # With the voxels around it, beyond which its boundary does not lie.
            box = tuple(slice(max(along.start - 1, 0), along.stop + 1) for along in place)
            spacing = image.geometry.spacing_xyz_mm
            found[label] = _segment(values[box], half_widths[box], classes[box] == label, spacing)
    return found


def _whole_numbers(labels: NDArray[np.generic]) -> NDArray[np.int32]:
    rounded = np.rint(labels.astype(np.float64))
    if not np.array_equal(rounded, labels) or rounded.min() < 0 or rounded.max() > _LARGEST_LABEL:
        raise InputError(f"A label map holds whole numbers from 0 to {_LARGEST_LABEL}; this one holds others.")
    return rounded.astype(np.int32)


def _segment(
    values: NDArray[np.float32],
    half_widths: NDArray[np.float32],
    inside: NDArray[np.bool_],
    spacing_xyz: tuple[float, ...],
) -> Segment:
    count, voxel = int(inside.sum()), float(np.prod(spacing_xyz))
    off = _SHIFTED * voxel * _shifts(values, half_widths, inside)
    mean = float(values[inside].mean(dtype=np.float64))
    mean_off = _SHARED * float(half_widths[inside].mean(dtype=np.float64)) / count**0.5
    volume = count * voxel
    return Segment(count, volume, (max(volume - off, 0.0), volume + off), mean, (mean - mean_off, mean + mean_off))


def _shifts(values: NDArray[np.float32], half_widths: NDArray[np.float32], inside: NDArray[np.bool_]) -> float:
    """Sum over the boundary of how far it may lie elsewhere, in voxels."""
    total = 0.0
    for axis in range(3):
        before, after = (np.take(inside, range(a, inside.shape[axis] - 1 + a), axis=axis) for a in (0, 1))
        across = before != after
        sides = [
            [np.take(each, range(a, each.shape[axis] - 1 + a), axis=axis)[across] for a in (0, 1)]
            for each in (values, half_widths)
        ]
        step, width = np.abs(sides[0][0] - sides[0][1]), 0.5 * (sides[1][0] + sides[1][1])
        total += float(np.minimum(1.0, width / np.maximum(step, _LEAST)).sum())
    return total
