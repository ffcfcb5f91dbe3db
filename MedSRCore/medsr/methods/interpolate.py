"""Interpolation onto a grid with SimpleITK: linear, cubic B-spline and windowed sinc."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from medsr.geometry import Geometry
from medsr.volume import Volume

Array = NDArray[np.float32]

INTERPOLATORS = {"linear": sitk.sitkLinear, "bspline": sitk.sitkBSpline, "lanczos": sitk.sitkLanczosWindowedSinc}
_BORDER = 4
"""Voxels of repeated border, so that the outer half voxel is continued and not extrapolated or cut."""

_CHUNK_VOXELS = {"linear": 250_000, "bspline": 250_000, "lanczos": 50_000}
"""Computed in one call of ITK, during which nobody can stop the work: a second at most, also of windowed sinc."""


def interpolate(
    array: Array,
    source: Geometry,
    target: Geometry,
    method: str,
    progress: Callable[[float], None] | None = None,
    *,
    outside: float | None = None,
) -> Array:
    """`array` on `source` interpolated at the voxel centres of `target`.

    Args:
        array: ``(z, y, x)`` float32.
        source: its grid.
        target: where to interpolate.
        method: a key of `INTERPOLATORS`.
        progress: receives the fraction done.
        outside: value beyond the outer faces of `source`; None takes the smallest of `array`.

    Returns:
        float32 of shape ``target.shape_zyx``.
    """
    image = Volume(array, source).to_sitk()
    padded = sitk.ZeroFluxNeumannPad(image, [_BORDER] * 3, [_BORDER] * 3)
    if method == "bspline":
        # Decompose once, not once per chunk.
        padded = sitk.BSplineDecomposition(padded, 3)
        interpolator = getattr(sitk, "sitkBSplineResamplerOrder3", sitk.sitkBSplineResampler)
    else:
        interpolator = INTERPOLATORS[method]
    outside = float(array.min()) if outside is None else outside
    result = np.empty(target.shape_zyx, dtype=np.float32)
    depth = max(1, _CHUNK_VOXELS[method] // (target.size_xyz[0] * target.size_xyz[1]))
    for start in range(0, target.size_xyz[2], depth):
        stop = min(start + depth, target.size_xyz[2])
        part = target.cropped((0, 0, start), (*target.size_xyz[:2], stop - start))
        chunk = sitk.Resample(
            padded, part.size_xyz, sitk.Transform(), interpolator, part.origin_mm, part.spacing_xyz_mm,
            part.axes.ravel().tolist(), outside, sitk.sitkFloat32,
        )  # fmt: skip
        result[start:stop] = sitk.GetArrayViewFromImage(chunk)
        if progress:
            progress(stop / target.size_xyz[2])
    _blank_outside(result, source, target, outside)
    return result


def _blank_outside(result: Array, source: Geometry, target: Geometry, value: float) -> None:
    """Set voxels whose centres lie beyond the outer faces of `source`: the border continues the last half voxel."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in target.size_xyz])).reshape(3, -1).T
    index = source.to_index(target.to_patient(corners))
    size = np.array(source.size_xyz)
    if (index > -0.5 - 1e-6).all() and (index < size - 0.5 + 1e-6).all():
        return
    step = np.linalg.inv(source.affine[:3, :3]) @ target.affine[:3, :3]
    first = source.to_index(target.to_patient((0, 0, 0)))
    y, x = np.meshgrid(np.arange(target.size_xyz[1]), np.arange(target.size_xyz[0]), indexing="ij")
    for z in range(target.size_xyz[2]):
        inside = np.ones(y.shape, dtype=bool)
        for axis in range(3):
            position = first[axis] + step[axis, 0] * x + step[axis, 1] * y + step[axis, 2] * z
            inside &= (position > -0.5 - 1e-6) & (position < size[axis] - 0.5 + 1e-6)
        result[z][~inside] = value
