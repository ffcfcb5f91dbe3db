"""Where the voxels are: the grid of a volume in patient space.

Patient coordinates are LPS millimetres (x to the left, y to posterior, z to superior), as in DICOM, ITK and
SimpleITK. Grid axes are named x, y, z as SimpleITK does: x is the *last* axis of a numpy array. A voxel's index
names its centre; its faces lie half a voxel away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medsr.errors import InputError, InvalidValueError

Floats = NDArray[np.float64]

_LPS_FROM_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SHEAR_TOLERANCE = 1e-3
_SAME = 1e-4


@dataclass(frozen=True)
class Geometry:
    """A regular grid in patient space.

    Attributes:
        size_xyz: number of voxels along each grid axis.
        spacing_xyz_mm: distance between voxel centres along each grid axis.
        origin_mm: patient position (LPS) of the centre of voxel (0, 0, 0).
        direction: 3 x 3 orthonormal matrix, row by row as SimpleITK gives it; column i is the unit vector of grid
            axis i.

    Raises:
        InputError: sizes or spacings that are not positive, numbers that are not finite, or a direction that is
            singular or sheared.
    """

    size_xyz: tuple[int, int, int]
    spacing_xyz_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    origin_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)

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
    def from_affine(cls, affine: ArrayLike, size_xyz: Sequence[int], space: str = "LPS") -> Geometry:
        """Geometry of a 4 x 4 `affine` that maps voxel index (x, y, z) to patient millimetres.

        Args:
            affine: the matrix.
            size_xyz: grid size.
            space: "LPS" (DICOM, ITK) or "RAS" (NIfTI, 3D Slicer).
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
        direction = tuple((matrix[:3, :3] / spacing).ravel().tolist())
        return cls(_three_ints(size_xyz), _three(spacing), _three(matrix[:3, 3]), direction)

    @property
    def affine(self) -> Floats:
        """4 x 4 matrix: voxel index (x, y, z, 1) -> patient LPS millimetres."""
        matrix = np.eye(4)
        matrix[:3, :3] = np.array(self.direction).reshape(3, 3) * np.array(self.spacing_xyz_mm)
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
        return Geometry(_three_ints(size_xyz), _three(spacing_xyz_mm), _three(self.to_patient(shift)), self.direction)

    def cropped(self, start_xyz: Sequence[int], size_xyz: Sequence[int]) -> Geometry:
        """The grid of a box of voxels; `start_xyz` may be negative, which extends the grid."""
        return Geometry(_three_ints(size_xyz), self.spacing_xyz_mm, _three(self.to_patient(start_xyz)), self.direction)

    def is_parallel_to(self, other: Geometry) -> bool:
        """True when the axes of both grids point the same way, axis by axis."""
        return bool(np.abs(np.array(self.direction) - np.array(other.direction)).max() < _SAME)

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


def _three(values: Sequence[float] | Floats) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return (x, y, z)


def _three_ints(values: Sequence[int]) -> tuple[int, int, int]:
    x, y, z = (int(v) for v in values)
    return (x, y, z)


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{v:g}" for v in values)
