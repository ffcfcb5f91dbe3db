"""How good a segmentation is: overlap, distance of the boundaries, volume. numpy and scipy only."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from medsr.errors import InputError
from medsr.evaluation.rows import Metric

Mask = NDArray[np.bool_]

SCORES: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("dice", "Dice", "", 4, True),
        Metric("hd95", "HD95", "mm", 2, False),
        Metric("boundary_dice", "Boundary Dice", "", 4, True),
        Metric("volume_error", "Volume error", "%", 2, False),
    )
}


@dataclass(frozen=True)
class Score:
    """How one structure of one image was segmented.

    Attributes:
        dice: twice the common voxels over the sum of both, 0 to 1 (Dice 1945).
        hd95: mm; the larger of the 95th percentiles of the distances from either boundary to the other (Huttenlocher
            et al. 1993, made robust). Where nothing was found, the diagonal of the image: the worst that can happen.
        boundary_dice: share of both boundaries within a tolerance of the other, 0 to 1 (Nikolov et al. 2021; here
            boundaries are the voxels of a structure that touch its outside).
        volume_error: percent by which the volume is wrong, without sign.
    """

    dice: float
    hd95: float
    boundary_dice: float
    volume_error: float


def score_labels(
    found: NDArray[np.integer],
    truth: NDArray[np.integer],
    spacing_zyx_mm: Sequence[float],
    structures: Mapping[str, int],
    tolerance_mm: float,
) -> dict[str, Score]:
    """Judge a label map structure by structure; one that `truth` does not hold is left out.

    Args:
        found: label map ``(z, y, x)``.
        truth: of the same shape.
        spacing_zyx_mm: of both.
        structures: name -> value.
        tolerance_mm: of the boundary Dice.

    Raises:
        InputError: the shapes differ.
    """
    if found.shape != truth.shape:
        raise InputError(f"The label maps have shapes {found.shape} and {truth.shape}; only equal ones compare.")
    return {
        name: score_masks(found == value, truth == value, spacing_zyx_mm, tolerance_mm)
        for name, value in structures.items()
        if (truth == value).any()
    }


def score_masks(found: Mask, truth: Mask, spacing_zyx_mm: Sequence[float], tolerance_mm: float) -> Score:
    """Judge one structure, of which `truth` holds at least one voxel."""
    wanted, got = int(truth.sum()), int(found.sum())
    if not got:
        diagonal = math.hypot(*(n * s for n, s in zip(truth.shape, spacing_zyx_mm, strict=True)))
        return Score(0.0, diagonal, 0.0, 100.0)
    # Boundaries are compared within the box of both: nothing outside it is on either.
    box = ndimage.find_objects((found | truth).astype(np.uint8))[0]
    flat = tuple(axis for axis, n in enumerate(truth.shape) if n == 1)
    there, back = _distances(_boundary(found[box], flat), _boundary(truth[box], flat), spacing_zyx_mm)
    met = int((there <= tolerance_mm).sum() + (back <= tolerance_mm).sum())
    return Score(
        2 * int((found & truth).sum()) / (wanted + got),
        float(max(np.percentile(there, 95), np.percentile(back, 95))),
        met / (there.size + back.size),
        100 * abs(got - wanted) / wanted,
    )


def _distances(a: Mask, b: Mask, spacing: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distances in mm of each voxel of either boundary to the nearest one of the other."""
    to_a = ndimage.distance_transform_edt(~a, sampling=tuple(spacing))
    to_b = ndimage.distance_transform_edt(~b, sampling=tuple(spacing))
    return to_b[a], to_a[b]


def _boundary(mask: Mask, flat: Sequence[int]) -> Mask:
    """Voxels of the mask with a face outside it or the array; the axes `flat` of a picture have none."""
    cross = ndimage.generate_binary_structure(3, 1)
    for axis in flat:
        cross = np.take(cross, [1], axis=axis)
    padded = np.pad(mask, [(0, 0) if axis in flat else (1, 1) for axis in range(3)])
    core = tuple(slice(None) if axis in flat else slice(1, -1) for axis in range(3))
    boundary: Mask = (padded & ~ndimage.binary_erosion(padded, cross))[core]
    return boundary
