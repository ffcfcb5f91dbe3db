"""How the slices of the scanner lie in the grid of a file that was converted, and perhaps turned, since.

dcm2niix keeps rows, columns and slices as the file's axes, but turns volumes of 3D acquisitions to the nearest patient
axes, as other tools do with any. Mirrored axes do not matter here, exchanged ones do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medsr.facts import AXES
from medsr.geometry import Geometry
from medsr.io.stated import ScanAxes

_PARALLEL = 0.9  # cosine
_SAME_DISTANCE = 0.02
_NEAR_DISTANCE = 0.1


@dataclass(frozen=True)
class Clues:
    """What tells how the slices lie.

    Attributes:
        orientation: DICOM's direction cosines of rows and columns, in LPS.
        slice_direction: "i", "j" or "k" of the file, with or without a sign.
        phase_direction: the same, of phase encoding.
        phase_in_plane: "ROW" or "COL" of the scanner's slices.
        distance_mm, thickness_mm: of the slices.
        across: "x", "y" or "z", where the image's own header says which axis leads across the slices.
    """

    orientation: tuple[float, ...] | None = None
    slice_direction: str = ""
    phase_direction: str = ""
    phase_in_plane: str = ""
    distance_mm: float | None = None
    thickness_mm: float | None = None
    across: str | None = None


def scan_axes(clues: Clues, geometry: Geometry, *, oriented: bool) -> tuple[ScanAxes, str | None, list[str]]:
    """The axes along rows, columns and across slices; that of phase encoding, or None; and what to tell."""
    turned = _by_orientation(clues.orientation, geometry) if oriented and clues.orientation else None
    axes = turned or _with_across(across_slices(clues, geometry))
    told = []
    in_plane = {"ROW": axes.row, "COL": axes.column, "COLUMN": axes.column}.get(clues.phase_in_plane.upper())
    phase = _axis(clues.phase_direction)
    if phase == axes.across:
        told.append(
            f"The sidecar puts the phase encoding along {phase}, which leads across the slices of this file: it was "
            "turned since, or the sidecar is wrong. That statement was ignored."
        )
        phase = None
    if phase is None or (in_plane and turned and (axes.row, axes.column) != ("x", "y")):
        phase = in_plane  # the file was turned, and its sidecar was not
    return axes, phase, told + _other_distance(clues, axes.across, geometry)


def _other_distance(clues: Clues, across: str, geometry: Geometry) -> list[str]:
    """What to tell where the slices of the file are not those of the sidecar."""
    number = AXES.index(across)
    distance = geometry.spacing_xyz_mm[number]
    # Some scanners state a distance that is not that of the images; then it is the thickness that fits.
    stated = [length for length in (clues.distance_mm, clues.thickness_mm) if length and length > 0]
    fits = any(abs(distance / length - 1) <= _NEAR_DISTANCE for length in stated)
    if geometry.size_xyz[number] < 2 or not clues.distance_mm or fits:
        return []
    return [
        f"The sidecar states slices {clues.distance_mm:.4g} mm apart, this file has them {distance:.4g} mm apart along "
        f"{across}: it was resampled since, or the sidecar is that of another image."
    ]


def across_slices(clues: Clues, geometry: Geometry) -> str:
    """The axis across the slices: stated, else the only one of their distance, else the last."""
    stated = _axis(clues.slice_direction) or clues.across
    distance = clues.distance_mm or clues.thickness_mm
    if stated or not distance or distance <= 0:
        return stated or "z"
    off = [abs(spacing / distance - 1) for spacing in geometry.spacing_xyz_mm]
    fitting = [axis for axis, by in zip(AXES, off, strict=True) if by <= _SAME_DISTANCE]
    return fitting[0] if len(fitting) == 1 else "z"


def _by_orientation(orientation: tuple[float, ...], geometry: Geometry) -> ScanAxes | None:
    """Axes parallel to the rows and columns of the scanner, or None where the file has none."""
    matrix = np.array(geometry.direction).reshape(3, 3)
    cosines = np.array(orientation).reshape(2, 3)
    if np.abs(np.linalg.norm(cosines, axis=1) - 1).max() > 0.05:
        return None
    row, column = np.abs(cosines @ matrix)
    if row.max() < _PARALLEL or column.max() < _PARALLEL or row.argmax() == column.argmax():
        return None
    first, second = AXES[int(row.argmax())], AXES[int(column.argmax())]
    return ScanAxes(first, second, next(axis for axis in AXES if axis not in (first, second)))


def _with_across(across: str) -> ScanAxes:
    row, column = (axis for axis in AXES if axis != across)
    return ScanAxes(row, column, across)


def _axis(direction: str) -> str | None:
    """Grid axis of BIDS' i, j, k with or without a sign."""
    return {"i": "x", "j": "y", "k": "z"}.get(direction.strip().rstrip("-+?").lower())
