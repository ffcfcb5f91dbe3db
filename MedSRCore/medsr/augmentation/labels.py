"""Label maps on another grid, so that structures neither grow nor shrink.

Each structure is an indicator of 0 and 1. Weighing it with cubic B-splines (without the usual prefilter, so the kernel
is a smooth bump of 0.58 voxels standard deviation) gives a smooth field from 0 to 1 on any grid, and the fields of all
classes sum to one (Unser 1999, section II). Its level 0.5 is the surface of a large structure; of small and thin ones
it lies too far inside. So every class gets an offset, and all offsets together leave every volume as it was
(`medsr.augmentation.partition`).

A grid that has the same voxels in another order or a part of them, as after flipping, turning by right angles or
cropping, gets them as they are.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from medsr.augmentation.partition import Share, divide
from medsr.errors import InputError
from medsr.geometry import Geometry
from medsr.physics.profiles import Profile
from medsr.physics.sampling import AxisSampling, apply_along
from medsr.volume import Volume

_MARGIN = 3
_SAME_VOXELS = 0.02
"""Fraction of a voxel at the far corner: rounding in headers."""


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
    taken = taken_over(label, grid)
    if taken is not None:
        return label.replace(array=taken, geometry=grid)
    structures = [value for value in values if value]
    shares = []
    numbers = np.arange(grid.voxels).reshape(grid.shape_zyx)
    for value in structures:
        where = label.array == value
        field, part = _smooth_indicator(where, label.geometry, grid)
        wanted = where.sum() * np.prod(label.geometry.spacing_xyz_mm) / np.prod(grid.spacing_xyz_mm)
        some = field > 0
        inside = _share_inside(where, label.geometry, grid) if field.size else 0.0
        shares.append(Share(numbers[part][some], field[some], wanted * inside))
    kinds = np.array([0, *structures], dtype=label.array.dtype)
    return label.replace(array=kinds[divide(shares, grid.voxels)].reshape(grid.shape_zyx), geometry=grid)


def taken_over(label: Volume, grid: Geometry) -> NDArray[np.generic] | None:
    """The voxels of `label` on a `grid` whose voxels are the same, mirrored, turned or cropped; None for any other.

    Voxels of `grid` beyond the label map are background.
    """
    matrix = np.linalg.inv(label.geometry.affine) @ grid.affine
    steps, shift = np.rint(matrix[:3, :3]), np.rint(matrix[:3, 3])
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in grid.size_xyz])).reshape(3, -1)
    exact = steps @ corners + shift[:, None]
    is_turn = (np.abs(steps).sum(axis=0) == 1).all() and (np.abs(steps).sum(axis=1) == 1).all()
    if not is_turn or np.abs(matrix[:3, :3] @ corners + matrix[:3, 3:] - exact).max() > _SAME_VOXELS:
        return None
    # For each axis of the label map, which axis of the grid runs along it, and where.
    result = np.zeros(grid.shape_zyx, dtype=label.array.dtype)
    along = [int(np.flatnonzero(steps[axis])[0]) for axis in range(3)]
    places = [steps[axis, along[axis]] * np.arange(grid.size_xyz[along[axis]]) + shift[axis] for axis in range(3)]
    inside = [(place >= 0) & (place < size) for place, size in zip(places, label.geometry.size_xyz, strict=True)]
    x, y, z = (place[good].astype(int) for place, good in zip(places, inside, strict=True))
    # Axes of the block are z, y, x of the label map; those of the result z, y, x of the grid.
    block = label.array[np.ix_(z, y, x)].transpose([2 - along.index(axis) for axis in (2, 1, 0)])
    result[np.ix_(*(inside[along.index(axis)] for axis in (2, 1, 0)))] = block
    return result


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
    image = Volume(averaged(inside, cut, grid), cut).to_sitk()
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


def averaged(indicator: NDArray[np.float32], source: Geometry, grid: Geometry) -> NDArray[np.float32]:
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
