"""From slices to one regular grid, or to the reason why there is none.

Slices are ordered by their position along the common normal; names and instance numbers mean nothing. What a
regular grid cannot represent (tilted or uneven stacks, several images in one place) is refused, never bent; who can do
with tilted and uneven slices gets them with their places.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InputError
from medsr.geometry import Geometry, Shear
from medsr.io.dicom.headers import Series, names
from medsr.io.dicom.slices import Slice

_TILT_RADIANS = 1e-3  # what Geometry accepts as a right angle
_SIDEWAYS_PIXELS = 0.1
_UNEVEN_REFUSED = 0.05
_UNEVEN_TOLD = 0.002
_ON_A_PLANE = 0.02
_SAME_PLACE = 0.01  # of the largest distance between neighbours
_SHOWN = 5


@dataclass(frozen=True)
class Stack:
    """Slices in the order of their position, and their grid.

    `places` says where uneven slices lie along z in voxels of the grid, which then is even and complete; else empty.
    """

    slices: list[Slice]
    geometry: Geometry
    thickness_mm: float | None
    warnings: tuple[str, ...]
    places: tuple[float, ...] = ()


def stack(series: Series, *, as_acquired: bool = False) -> Stack:
    """Order the slices of a series and give their grid.

    Args:
        series: the slices.
        as_acquired: accept a tilted or uneven stack.

    Raises:
        InputError: mixed sizes, orientations or spacings; no positions; several images in one place; a tilted or
            uneven stack.
    """
    notes: list[str] = []
    if len(series.slices) == 1:
        return _single(series, notes)
    orientation, spacing_xy = common_plane(series)
    row, column, normal = axes_of(orientation)
    positions = np.array([s.position for s in series.slices], dtype=float)
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    along, positions = along[order], positions[order]
    slices = [series.slices[i] for i in order]
    _check_places(along, slices)
    shear = _tilt(series, positions, (row, column, normal), min(spacing_xy), accepted=as_acquired)
    spacing, places, uneven = _spacing(along, accepted=as_acquired)
    notes += uneven
    if shear is None and abs(series.tilt_deg) > 0.05:
        notes.append(
            f"The header states a gantry tilt of {series.tilt_deg:g} degrees, but the slice positions show none; they "
            "were taken at right angles."
        )
    thickness, told = _thickness(slices)
    notes += told
    # A little beyond a plane is that plane.
    planes = math.ceil(places[-1] - _UNEVEN_REFUSED) + 1 if places else len(slices)
    geometry = replace(_geometry(slices[0], spacing, (row, column, normal), planes), shear=shear)
    return Stack(slices, geometry, thickness, tuple(notes), places)


def _single(series: Series, notes: list[str]) -> Stack:
    """One slice: a plane whose depth is the slice distance or thickness that the header states."""
    only = series.slices[0]
    if only.spacing_xy is None:
        notes.append("The header gives no pixel spacing; 1 mm was assumed.")
    if only.position is None or only.orientation is None:
        notes.append("The header does not say where the image lies in the patient; it was put at the origin.")
        axes = tuple(np.eye(3))
    else:
        axes = axes_of(only.orientation)
    depth = only.distance or only.thickness or 1.0
    return Stack([only], _geometry(only, depth, axes, 1), only.thickness, tuple(notes))


def _geometry(first: Slice, spacing_z: float, axes: Sequence[NDArray[np.float64]], count: int) -> Geometry:
    width, height = first.spacing_xy or (1.0, 1.0)
    x, y, z = (float(v) for v in (first.position if first.position and first.orientation else (0.0, 0.0, 0.0)))
    direction = np.stack(axes, axis=1)
    return Geometry((*first.size_xy, count), (width, height, spacing_z), (x, y, z), tuple(direction.ravel().tolist()))


def axes_of(orientation: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors along the rows, down the columns, and of the slice normal."""
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = [float(np.linalg.norm(v)) for v in (row, column)]
    if not all(abs(length - 1) < 0.01 for length in lengths) or abs(row @ column) > _TILT_RADIANS:
        raise InputError(
            "The image orientation in the DICOM header is not two unit vectors at right angles "
            f"({', '.join(f'{v:g}' for v in orientation)}). Correct the header."
        )
    row, column = row / lengths[0], column / lengths[1]
    normal = np.cross(row, column)
    return row, column, normal / np.linalg.norm(normal)


def common_plane(series: Series) -> tuple[tuple[float, ...], tuple[float, float]]:
    """Orientation and pixel spacing of all slices; InputError unless they can be planes of one grid."""
    slices = series.slices
    placed = [(s.orientation, s.spacing_xy) for s in slices if s.position and s.orientation and s.spacing_xy]
    if len(placed) < len(slices):
        kind, name = "frames" if series.multiframe else "slices", series.description or series.uid
        raise InputError(
            f"{len(slices) - len(placed)} of {len(slices)} {kind} of series {name!r} have no "
            "position, orientation or pixel spacing (as cine loops and screenshots), so they form no volume. Pass a "
            "volumetric series, or one slice as a file."
        )
    sizes = sorted({s.size_xy for s in slices})
    if len(sizes) > 1:
        listed = ", ".join(f"{x} x {y}" for x, y in sizes[:_SHOWN])
        raise InputError(_mixed("sizes", listed))
    orientations = np.array([orientation for orientation, _ in placed])
    if np.abs(orientations - orientations[0]).max() > _TILT_RADIANS:
        kinds = np.unique(np.round(orientations, 2) + 0.0, axis=0)
        raise InputError(_mixed("orientations", f"{max(2, len(kinds))} of them, as in a localizer"))
    spacings = np.array([spacing_xy for _, spacing_xy in placed])
    if (spacings <= 0).any():
        raise InputError("The pixel spacing in the DICOM header is not positive. Correct the header.")
    if np.abs(spacings / spacings[0] - 1).max() > 1e-3:
        listed = ", ".join(f"{x:.4g} x {y:.4g} mm" for x, y in np.unique(spacings, axis=0)[:_SHOWN])
        raise InputError(_mixed("pixel spacings", listed))
    return placed[0]


def _mixed(what: str, listed: str) -> str:
    return (
        f"The slices of this series have different {what} ({listed}), so they form no single volume. Put the "
        "slices that belong together into a folder of their own and pass that."
    )


def in_one_place(along: NDArray[np.float64]) -> NDArray[np.bool_]:
    """For each image but the first, in the order of their heights, whether it lies where the one before it does."""
    gaps = np.diff(along)
    return np.asarray(gaps <= max(_SAME_PLACE * float(gaps.max()), 1e-4))


def _check_places(along: NDArray[np.float64], slices: Sequence[Slice]) -> None:
    """Raise InputError when several images lie in one place: time points, echoes, diffusion directions."""
    same = in_one_place(along)
    if not same.any():
        return
    places = int(np.count_nonzero(~same)) + 1
    where = ", ".join(f"{v:.2f}" for v in along[:-1][same][:_SHOWN])
    crowded = [one for n, one in enumerate(slices) if same[max(n - 1, 0) : n + 1].any()]
    files = f", such as {names(crowded)}" if len({one.path for one in slices}) > 1 else ""
    raise InputError(
        f"The series holds {len(along)} images at {places} positions: several lie in the same place (at {where} mm "
        f"along the slice normal{files}), as with time points, echoes or diffusion directions. One volume is accepted "
        "here; `medsr upscale` takes them frame by frame. Or put the images of one volume into a folder of their own."
    )


def _tilt(
    series: Series,
    positions: NDArray[np.float64],
    axes: Sequence[NDArray[np.float64]],
    pixel_mm: float,
    *,
    accepted: bool,
) -> Shear | None:
    """How slices are shifted within their planes, each by as much as the next; None for an upright stack.

    Raises:
        InputError: a tilted stack that is not `accepted`, or slices that are shifted one by one.
    """
    row, column, normal = axes
    offsets = positions - positions[0]
    heights = offsets @ normal
    sideways = offsets - np.outer(heights, normal)
    angle = math.atan2(float(np.linalg.norm(sideways[-1])), float(heights[-1]))
    stated = f" The header states a gantry tilt of {series.tilt_deg:g} degrees." if abs(series.tilt_deg) > 0.05 else ""
    if angle > _TILT_RADIANS and not accepted:
        raise InputError(
            f"The slices are stacked at {math.degrees(angle):.1f} degrees to their normal (gantry tilt), so the grid "
            f"is sheared.{stated} `medsr upscale` reads it onto an upright grid; here upright stacks are accepted. "
            "Pass its result, or import the series in 3D Slicer with acquisition geometry regularization."
        )
    # The tilt within tolerance is taken off, so that only a slice out of line is left.
    jitter = sideways - np.outer(heights / heights[-1], sideways[-1])
    worst = int(np.argmax(np.linalg.norm(jitter, axis=1)))
    shift = float(np.linalg.norm(jitter[worst]))
    if shift > _SIDEWAYS_PIXELS * pixel_mm:
        raise InputError(
            f"Slice {worst + 1} of {len(positions)} is shifted by {shift:.3g} mm within its plane against the others. "
            "Slices in line are accepted; correct the positions or leave the slice out."
        )
    if angle <= _TILT_RADIANS:
        return None
    per_mm = sideways[-1] / heights[-1]
    return Shear(2, (float(per_mm @ row), float(per_mm @ column), 0.0))


def _spacing(along: NDArray[np.float64], *, accepted: bool) -> tuple[float, tuple[float, ...], list[str]]:
    """The usual distance of the slices, the places of uneven ones in such steps, and what to say about unevenness.

    Raises:
        InputError: distances that differ by more than 5 % and are not `accepted`, or more gaps than slices.
    """
    gaps = np.diff(along)
    usual = float(np.median(gaps))
    if len(gaps) < 4:  # with so few, the median may itself be a gap where a slice is missing
        usual = float(gaps.min())
    off = np.abs(gaps - usual) / usual
    bad = np.flatnonzero(off > _UNEVEN_REFUSED)
    if bad.size:
        listed = "; ".join(
            f"{gaps[i]:.4g} mm between slices {i + 1} and {i + 2} (at {along[i]:.2f} and {along[i + 1]:.2f} mm)"
            for i in bad[:_SHOWN]
        )
        more = f"; and {bad.size - _SHOWN} more" if bad.size > _SHOWN else ""
        uneven = f"The slices are unevenly spaced: {usual:.4g} mm usually, but {listed}{more}."
        ratios = gaps[bad] / usual
        lost = int(np.round(ratios - 1).sum()) if (np.abs(ratios - np.round(ratios)) < 0.05).all() else 0
        guess = f" {lost} slice(s) seem to be missing." if lost > 0 else ""
        steps = (along - along[0]) / usual
        if accepted and steps[-1] + 1 <= 2 * len(along):
            on_plane = np.abs(steps - np.rint(steps)) < _ON_A_PLANE
            places = tuple(float(v) for v in np.where(on_plane, np.rint(steps), np.round(steps, 6)))
            told = f"{uneven}{guess} Each is taken where it lies; what was not measured is made of its neighbours."
            return usual, places, [told]
        raise InputError(
            f"{uneven}{guess} Evenly spaced slices (within 5 %) are accepted here, and by `medsr upscale` also uneven "
            "ones, unless more are missing than there are. Add them, or pass a folder with an even part of the series."
        )
    spacing = float((along[-1] - along[0]) / (len(along) - 1))
    if off.max() > _UNEVEN_TOLD:
        varies = f"from {gaps.min():.4g} to {gaps.max():.4g} mm"
        return spacing, (), [f"The distance between slices varies {varies}; {spacing:.4g} mm was used."]
    return spacing, (), []


def _thickness(slices: Sequence[Slice]) -> tuple[float | None, list[str]]:
    stated = sorted({round(s.thickness, 4) for s in slices if s.thickness})
    if not stated:
        return None, []
    values = [s.thickness for s in slices if s.thickness]
    middle = float(np.median(values))
    if stated[-1] - stated[0] > 0.01 * middle:
        return middle, [f"The slice thickness varies from {stated[0]:g} to {stated[-1]:g} mm; {middle:g} mm was used."]
    return middle, []
