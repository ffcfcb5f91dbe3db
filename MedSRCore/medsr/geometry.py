"""Where the voxels are: the grid of a volume in patient space.

Patient coordinates are LPS millimetres (x to the left, y to posterior, z to superior), as in DICOM, ITK and
SimpleITK. Grid axes are named x, y, z as SimpleITK does: x is the *last* axis of a numpy array. A voxel's index
names its centre; its faces lie half a voxel away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medsr.errors import InputError, InvalidValueError

Floats = NDArray[np.float64]

_LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SHEAR_TOLERANCE = 1e-3
_SAME = 1e-4
_THICK = 1.25

STEEPEST_TILT = 45.0
"""Degrees at which slices may be stacked to their normal. A gantry tilts by 30; what leans further is no tilt."""


@dataclass(frozen=True)
class Shear:
    """Slices that are shifted within their own planes, each by as much as the next: gantry tilt.

    Attributes:
        axis: grid axis across the slices (0, 1 or 2 for x, y, z).
        shifts: millimetres that a slice is shifted along x, y and z for each millimetre across the slices; 0 along
            `axis`.
    """

    axis: int
    shifts: tuple[float, float, float]

    def __post_init__(self) -> None:
        if self.axis not in (0, 1, 2) or len(self.shifts) != 3 or self.shifts[self.axis] != 0:
            raise InvalidValueError(
                f"A shear shifts slices within their planes, got {self.shifts} for axis {self.axis}."
            )
        if not self.degrees <= STEEPEST_TILT:
            raise InputError(
                f"The slices are stacked at {self.degrees:.1f} degrees to their normal; gantry tilt of up to "
                f"{STEEPEST_TILT:g} is accepted. Resample the image to a regular grid first."
            )

    @property
    def degrees(self) -> float:
        """Angle between the stack and the normal of its slices."""
        return math.degrees(math.atan(math.hypot(*self.shifts)))


@dataclass(frozen=True)
class Geometry:
    """A regular grid in patient space.

    Attributes:
        size_xyz: number of voxels along each grid axis.
        spacing_xyz_mm: distance between voxel centres along each grid axis.
        origin_mm: patient position (LPS) of the centre of voxel (0, 0, 0).
        direction: 3 x 3 orthonormal matrix, row by row as SimpleITK gives it; column i is the unit vector of grid
            axis i.
        shear: of slices that lie beside each other's normal, which only the input of a job has; else None. Spacing and
            direction are then those of the upright grid: across the slices, the distance of their planes.

    Raises:
        InputError: sizes or spacings that are not positive, numbers that are not finite, or a direction that is
            singular or sheared.
    """

    size_xyz: tuple[int, int, int]
    spacing_xyz_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    origin_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    shear: Shear | None = None

    def __post_init__(self) -> None:
        if len(self.size_xyz) != 3 or any(n < 1 for n in self.size_xyz):
            raise InputError(f"A grid needs three sizes of at least 1 voxel, got {self.size_xyz}.")
        if len(self.spacing_xyz_mm) != 3 or not all(math.isfinite(s) and s > 0 for s in self.spacing_xyz_mm):
            raise InputError(
                f"Voxel spacing must be three positive numbers of millimetres, got {_numbers(self.spacing_xyz_mm)}. "
                "Correct the header of the file."
            )
        if len(self.origin_mm) != 3 or not all(map(math.isfinite, self.origin_mm)):
            raise InputError(f"The origin must be three finite numbers, got {_numbers(self.origin_mm)}.")
        matrix = np.array(self.direction, dtype=float)
        if matrix.size != 9 or not np.isfinite(matrix).all():
            raise InputError("The direction must be nine finite numbers. Correct the header of the file.")
        matrix = matrix.reshape(3, 3)
        if abs(np.linalg.det(matrix)) < 1e-6:
            raise InputError("The direction matrix is singular: two axes of the image coincide. Correct the header.")
        error = np.abs(matrix.T @ matrix - np.eye(3)).max()
        if error > _SHEAR_TOLERANCE:
            raise InputError(
                f"The axes of the image are not at right angles (deviation {error:.3g}; up to {_SHEAR_TOLERANCE:g} is "
                "accepted), as after gantry tilt or an affine registration. Resample the image to a regular grid first."
            )

    @classmethod
    def from_affine(
        cls, affine: ArrayLike, size_xyz: Sequence[int], space: str = "LPS", *, sheared: bool = False
    ) -> Geometry:
        """Geometry of a 4 x 4 `affine` that maps voxel index (x, y, z) to patient millimetres.

        Args:
            affine: the matrix.
            size_xyz: grid size.
            space: "LPS" (DICOM, ITK) or "RAS" (NIfTI, 3D Slicer).
            sheared: accept slices that are stacked beside their normal (gantry tilt).
        """
        matrix = np.array(affine, dtype=float)
        if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
            raise InputError(f"An affine is a 4 x 4 matrix of finite numbers, got shape {matrix.shape}.")
        if space not in ("LPS", "RAS"):
            raise InvalidValueError(f"The space of an affine is 'LPS' or 'RAS', got {space!r}.")
        if space == "RAS":
            matrix = _LPS_FROM_RAS @ matrix
        spacing = np.linalg.norm(matrix[:3, :3], axis=0)
        if (spacing < 1e-9).any():
            raise InputError("The affine is singular: an axis has no length. Correct the header of the file.")
        axes, shear = matrix[:3, :3] / spacing, None
        if sheared:
            axes, spacing, shear = _without_shear(axes, spacing)
        direction = tuple(axes.ravel().tolist())
        return cls(_three_ints(size_xyz), _three(spacing), _three(matrix[:3, 3]), direction, shear)

    @property
    def axes(self) -> Floats:
        """3 x 3 matrix whose column i leads along grid axis i: unit vectors, but for an axis that is sheared."""
        matrix = np.array(self.direction, dtype=float).reshape(3, 3)
        if self.shear is not None:
            matrix[:, self.shear.axis] += matrix @ np.array(self.shear.shifts)
        return matrix

    @property
    def upright(self) -> Geometry:
        """The grid with its slices pushed above each other; voxel (0, 0, 0) stays. Itself where nothing is sheared."""
        return self if self.shear is None else replace(self, shear=None)

    @property
    def affine(self) -> Floats:
        """4 x 4 matrix: voxel index (x, y, z, 1) -> patient LPS millimetres."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.axes * np.array(self.spacing_xyz_mm)
        matrix[:3, 3] = self.origin_mm
        return matrix

    @property
    def affine_ras(self) -> Floats:
        """As `affine`, in RAS millimetres (NIfTI, 3D Slicer)."""
        affine: Floats = _LPS_FROM_RAS @ self.affine
        return affine

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Shape of the numpy array on this grid."""
        x, y, z = self.size_xyz
        return (z, y, x)

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        return math.prod(self.size_xyz)

    def to_patient(self, index_xyz: ArrayLike) -> Floats:
        """Patient position of (fractional) voxel indices, shape ``(..., 3)``."""
        point: Floats = np.asarray(index_xyz, dtype=float) @ self.affine[:3, :3].T + self.affine[:3, 3]
        return point

    def to_index(self, point_mm: ArrayLike) -> Floats:
        """(Fractional) voxel index of patient positions, shape ``(..., 3)``."""
        from_first = np.asarray(point_mm, dtype=float) - self.affine[:3, 3]
        index: Floats = from_first @ np.linalg.inv(self.affine[:3, :3]).T
        return index

    def with_grid(self, spacing_xyz_mm: Sequence[float], size_xyz: Sequence[int]) -> Geometry:
        """A grid of another spacing whose first outer corner is where this grid's is.

        The centre of voxel 0 therefore moves: by ``-(0.5 - 0.5 / r)`` voxels of this grid for an enlargement by r.
        """
        shift = (np.array(spacing_xyz_mm) / np.array(self.spacing_xyz_mm) - 1) / 2
        size, spacing, first = _three_ints(size_xyz), _three(spacing_xyz_mm), _three(self.to_patient(shift))
        return Geometry(size, spacing, first, self.direction, self.shear)

    def cropped(self, start_xyz: Sequence[int], size_xyz: Sequence[int]) -> Geometry:
        """The grid of a box of voxels; `start_xyz` may be negative, which extends the grid."""
        return replace(self, size_xyz=_three_ints(size_xyz), origin_mm=_three(self.to_patient(start_xyz)))

    def strides_of(self, other: Geometry) -> Floats:
        """Largest step that `other` takes along each axis of this grid, in its voxels; a shear is no step."""
        steps = np.linalg.inv(self.upright.affine[:3, :3]) @ other.upright.affine[:3, :3]
        return np.asarray(np.abs(steps).max(axis=1))

    def is_parallel_to(self, other: Geometry) -> bool:
        """True when the axes of both grids point the same way, axis by axis."""
        return bool(np.abs(self.axes - other.axes).max() < _SAME)

    def is_same_as(self, other: Geometry, tolerance: float = _SAME) -> bool:
        """True when both grids have the same voxels; `tolerance` is a fraction of a voxel at the far corner."""
        if self.size_xyz != other.size_xyz:
            return False
        corners = np.array([(0, 0, 0), *np.diag(np.array(self.size_xyz) - 1)], dtype=float)
        error = np.abs(self.to_index(other.to_patient(corners)) - corners).max()
        return bool(error < tolerance) and self.is_parallel_to(other)

    def describe(self) -> str:
        """One line for people: ``96 x 128 x 96 voxels of 2 x 2 x 2 mm``."""
        size = " x ".join(map(str, self.size_xyz))
        spacing = " x ".join(f"{s:.4g}" for s in self.spacing_xyz_mm)
        return f"{size} voxels of {spacing} mm"


def _without_shear(axes: Floats, spacing: Floats) -> tuple[Floats, Floats, Shear | None]:
    """Unit vectors and spacings of the upright grid, and its shear, where one axis leans and the others do not."""
    angles = np.abs(axes.T @ axes - np.eye(3))
    if angles.max() <= _SHEAR_TOLERANCE:
        return axes, spacing, None
    # Two axes lean against each other. Slices lie across the last one, unless the file was turned and another is thick.
    thick = int(np.argmax(spacing))
    is_thick = spacing[thick] >= _THICK * np.delete(spacing, thick).max()
    for axis in (thick,) if is_thick else (2,):
        one, other = (n for n in range(3) if n != axis)
        if angles[one, other] > _SHEAR_TOLERANCE:
            continue
        normal = np.cross(axes[:, one], axes[:, other])
        normal /= np.linalg.norm(normal)
        upright = axes.copy()
        upright[:, axis] = normal if normal @ axes[:, axis] > 0 else -normal
        along = np.linalg.solve(upright, axes[:, axis])
        if along[axis] <= 1e-6:
            break
        shifts, spacing = along / along[axis], spacing.copy()
        shifts[axis] = 0.0
        spacing[axis] *= along[axis]
        return upright, spacing, Shear(axis, _three(shifts))
    return axes, spacing, None


def _three(values: Sequence[float] | Floats) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return (x, y, z)


def _three_ints(values: Sequence[int]) -> tuple[int, int, int]:
    x, y, z = (int(v) for v in values)
    return (x, y, z)


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{v:g}" for v in values)
