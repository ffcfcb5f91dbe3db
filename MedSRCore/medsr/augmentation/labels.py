"""Label maps on another grid, so that structures neither grow nor shrink.

Each structure is an indicator of 0 and 1. Weighing it with cubic B-splines (without the usual prefilter, so the kernel
is a smooth bump of 0.58 voxels standard deviation) gives a smooth field from 0 to 1 on any grid, and the fields of all
classes sum to one (Unser 1999, section II). Its level 0.5 is the surface of a large structure; of small and thin ones
it lies too far inside. So each structure gets the level that leaves its volume as it was, and a voxel goes to the class
that is furthest above its level.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from medsr.errors import InputError
from medsr.geometry import Geometry
from medsr.physics.profiles import Profile
from medsr.physics.sampling import AxisSampling, apply_along
from medsr.volume import Volume

_MARGIN = 3
_NEAR_ENOUGH = 0.002


def resample_labels(label: Volume, grid: Geometry) -> Volume:
    """The label map `label` on `grid`.

    Args:
        label: array ``(z, y, x)`` of whole numbers, 0 is background.
        grid: finer, coarser or turned; what of it lies outside the label map becomes background.

    Returns:
        A volume on `grid` of the same voxel type. Each structure has the volume that it has in `label`, as closely as
        whole voxels allow and as far as the structure lies within `grid`.

    Raises:
        InputError: `label` holds colours or fractions.
    """
    values = label_values(label)
    if label.geometry.is_same_as(grid):
        return label
    winner = np.zeros(grid.shape_zyx, dtype=label.array.dtype)
    highest = np.full(grid.shape_zyx, -np.inf, dtype=np.float32)
    structures = np.zeros(grid.shape_zyx, dtype=np.float32)
    for value in values:
        if value == 0:
            continue
        where = label.array == value
        field, part = _smooth_indicator(where, label.geometry, grid)
        if field.size == 0:
            continue
        wanted = where.sum() * np.prod(label.geometry.spacing_xyz_mm) / np.prod(grid.spacing_xyz_mm)
        # Against the background, whose field is one less this one, the structure now wins above its level.
        score = field + np.float32(1 - 2 * _level(field, wanted * _share_inside(where, label.geometry, grid)))
        structures[part] += field
        better = (score > highest[part]) & (field > 0)
        winner[part] = np.where(better, np.asarray(value, dtype=winner.dtype), winner[part])
        highest[part] = np.where(better, score, highest[part])
    background = np.subtract(1, structures, out=structures)
    winner[highest <= background] = 0
    return label.replace(array=winner, geometry=grid)


def label_values(label: Volume) -> list[int]:
    """The values in a label map, in order.

    Raises:
        InputError: colours, or voxels that are no whole numbers.
    """
    if label.channels > 1:
        raise InputError("The label map is a colour picture; one grey value for each class is needed.")
    found = np.unique(label.array)
    if found.dtype.kind == "f" and not (np.isfinite(found).all() and (found == np.rint(found)).all()):
        raise InputError("The label map holds fractions; whole numbers are needed, one for each class.")
    return [int(v) for v in found]


def structure_volumes(label: Volume, structures: Mapping[str, int]) -> dict[str, float]:
    """Cubic millimetres of each structure; of a picture, square millimetres of its pixels."""
    voxel = float(np.prod(label.geometry.spacing_xyz_mm[: 2 if label.planar else 3]))
    return {name: float(np.count_nonzero(label.array == value)) * voxel for name, value in structures.items() if value}


def _smooth_indicator(
    where: NDArray[np.bool_], source: Geometry, grid: Geometry
) -> tuple[NDArray[np.float32], tuple[slice, slice, slice]]:
    """The smooth field of one structure, and the part of `grid` that it covers."""
    box = [np.flatnonzero(where.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    start = [max(0, int(b[0]) - _MARGIN) for b in box]
    stop = [min(n, int(b[-1]) + 1 + _MARGIN) for b, n in zip(box, where.shape, strict=True)]
    inside = where[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))].astype(np.float32)
    cut = source.cropped(start[::-1], [b - a for a, b in zip(start, stop, strict=True)][::-1])
    part, target = _covered(cut, grid)
    if target is None:
        return np.zeros((0, 0, 0), dtype=np.float32), part
    image = Volume(_averaged(inside, cut, grid), cut).to_sitk()
    # Repeated at the border, so that a structure that touches it is not pulled inwards.
    padded = sitk.ZeroFluxNeumannPad(image, [_MARGIN] * 3, [_MARGIN] * 3)
    smooth = getattr(sitk, "sitkBSplineResamplerOrder3", sitk.sitkBSplineResampler)
    field = sitk.Resample(
        padded, target.size_xyz, sitk.Transform(), smooth, target.origin_mm, target.spacing_xyz_mm, target.direction,
        0.0, sitk.sitkFloat32,
    )  # fmt: skip
    return sitk.GetArrayFromImage(field), part


def _covered(cut: Geometry, grid: Geometry) -> tuple[tuple[slice, slice, slice], Geometry | None]:
    """The voxels of `grid` whose centres may lie within `cut`, as slices and as a grid; None where there are none."""
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in cut.size_xyz])).reshape(3, -1).T
    index = grid.to_index(cut.to_patient(corners))
    low = np.maximum(np.ceil(index.min(axis=0) - 1e-6), 0).astype(int)
    high = np.minimum(np.floor(index.max(axis=0) + 1e-6) + 1, grid.size_xyz).astype(int)
    part = tuple(slice(int(a), int(max(a, b))) for a, b in zip(low[::-1], high[::-1], strict=True))
    found = (part[0], part[1], part[2])
    if (high <= low).any():
        return found, None
    return found, grid.cropped(low.tolist(), (high - low).tolist())


def _averaged(indicator: NDArray[np.float32], source: Geometry, grid: Geometry) -> NDArray[np.float32]:
    """The indicator as voxels of `grid` see it: averaged over their extent where they are larger."""
    steps = np.abs(np.linalg.inv(source.affine[:3, :3]) @ grid.affine[:3, :3]).max(axis=1)
    boxes = {
        2 - axis: AxisSampling(n, n, 1.0, Profile("box", float(step)), 0.0).matrix
        for axis, (step, n) in enumerate(zip(steps, source.size_xyz, strict=True))
        if step > 1 + 1e-3 and n > 1
    }
    return np.asarray(apply_along(indicator, boxes), dtype=np.float32) if boxes else indicator


def _share_inside(where: NDArray[np.bool_], source: Geometry, grid: Geometry) -> float:
    """Share of a structure's voxels whose centres lie within `grid`."""
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in source.size_xyz])).reshape(3, -1).T
    limits = np.array(grid.size_xyz) - 0.5
    index = grid.to_index(source.to_patient(corners))
    if (index > -0.5 - 1e-6).all() and (index < limits + 1e-6).all():
        return 1.0
    z, y, x = np.nonzero(where)
    index = grid.to_index(source.to_patient(np.stack([x, y, z], axis=1)))
    return float(((index > -0.5 - 1e-6) & (index < limits + 1e-6)).all(axis=1).mean())


def _level(field: NDArray[np.float32], wanted: float) -> float:
    """The level above which `field` has `wanted` voxels, 0.5 where that is near enough."""
    count = round(wanted)
    if abs(np.count_nonzero(field > 0.5) - wanted) <= _NEAR_ENOUGH * wanted or not 0 < count < field.size:
        return 0.5
    flat = np.partition(field.ravel(), (field.size - count - 1, field.size - count))
    below, above = float(flat[field.size - count - 1]), float(flat[field.size - count])
    level = (below + above) / 2
    if below == above:
        # Voxels of equal value go together: with or without them, whichever is nearer.
        more, fewer = np.count_nonzero(field >= above), np.count_nonzero(field > above)
        level = above - 1e-6 if more - wanted < wanted - fewer else above + 1e-6
    return level
