"""From what a header or sidecar states in the scanner's terms to facts about the axes of a grid.

Both readers fill a `Stated`; what follows from it, and what is impossible, is decided here once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from medsr.facts import AXES, Fact, Facts
from medsr.geometry import Geometry
from medsr.io.acquisition_words import interpolation_words, warning_sentences
from medsr.io.stated import ScanAxes, Stated

_ROUNDING = 1.03  # matrices are rounded to what a Fourier transform likes
_COARSEST = 10.0  # times coarser than the grid: beyond, the header is wrong
_OVERSAMPLED = 2.1  # readout and phase oversampling, cut off by the scanner
_CUT = 0.03
_LENGTHS_MM = (0.01, 500.0)


def facts_of(stated: Stated, axes: ScanAxes, geometry: Geometry) -> tuple[Facts, tuple[str, ...]]:
    """Facts about the axes of a grid, and what a person should know.

    Args:
        stated: what the source says.
        axes: how the scanner's slices lie in the grid.
        geometry: the grid, whose slices must be complete for `partition_steps` to mean anything.

    Returns:
        The facts, and sentences: what was impossible and therefore ignored, and what the scanner has already done.
    """
    complaints = list(stated.warnings)
    thickness = _length(stated.thickness_mm, "slice thickness", complaints)
    facts = [_fact(stated, "encoding", encoding, axis) for axis, encoding in _encodings(stated, axes).items()]
    facts += [_fact(stated, "thickness_mm", thickness, axes.across)]
    if stated.modality == "CT":
        collimation = _length(stated.collimation_mm, "collimation", complaints)
        facts += [_fact(stated, "collimation_mm", collimation, axes.across)]
    resolutions = _resolutions(stated, axes, geometry, thickness, complaints)
    facts += [_fact(stated, "resolution_mm", resolutions[axis], axis) for axis in AXES if axis in resolutions]
    facts += _of_the_volume(stated, interpolation_words(stated, axes, resolutions))
    spacing = dict(zip(AXES, geometry.spacing_xyz_mm, strict=True))
    complaints += warning_sentences(stated, axes, resolutions, spacing)
    return Facts(tuple(fact for fact in facts if fact is not None)), tuple(complaints)


def _of_the_volume(stated: Stated, interpolated: str) -> list[Fact | None]:
    low, high = stated.padding or (None, None)
    found = {
        "modality": stated.modality,
        "dimensions": stated.dimensions,
        "kernel": stated.kernel,
        "scan": stated.scan,
        "filter": stated.filter,
        "partial_fourier": stated.partial_fourier,
        "coverage": stated.coverage,
        "interpolated": interpolated,
        "enhanced_by": stated.enhanced_by,
        "denoised_by": stated.denoised_by,
        "padding": low,
        "padding_limit": high if high != low else None,
    }
    return [_fact(stated, name, value) for name, value in found.items()]


def _fact(stated: Stated, name: str, value: Any, axis: str | None = None) -> Fact | None:
    if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return Fact(name, value, stated.source, axis)


def _encodings(stated: Stated, axes: ScanAxes) -> dict[str, str]:
    """How each axis is resolved, as far as it is known."""
    if stated.reformatted or stated.mosaic:
        return {}
    if stated.modality == "CT":
        return {axes.row: "detector", axes.column: "detector", axes.across: "slice"}
    if stated.modality != "MR":
        return {}
    phase = axes.of(stated.phase_along)
    found = dict.fromkeys((axes.row, axes.column), "fourier")
    if phase:
        found = {axis: "phase" if axis == phase else "frequency" for axis in found}
    if stated.dimensions:
        found[axes.across] = "partition" if stated.dimensions == "3D" else "slice"
    return found


def _resolutions(
    stated: Stated, axes: ScanAxes, geometry: Geometry, thickness: float | None, complaints: list[str]
) -> dict[str, float]:
    """Distance at which each axis was sampled, in mm, where that is coarser than the grid."""
    if stated.modality != "MR" or stated.reformatted or stated.mosaic:
        return {}
    found = {}
    spacing = dict(zip(AXES, geometry.spacing_xyz_mm, strict=True))
    size = dict(zip(AXES, geometry.size_xyz, strict=True))
    extent = {axis: size[axis] * spacing[axis] for axis in AXES}
    if _is_whole(stated, axes, size, extent, complaints):
        for axis, steps, covered in _matrix(stated, axes, extent):
            if _is_coarser(covered / steps, spacing[axis], steps, size[axis], axis, complaints):
                found[axis] = covered / steps
    if stated.dimensions == "3D":
        across = spacing[axes.across]
        candidates = [thickness or 0.0, across * (stated.interpolated_across or 1)]
        if stated.partition_steps and stated.partition_steps > 1 and not stated.partial_fourier:
            candidates.append(extent[axes.across] / stated.partition_steps)
        coarse = [width for width in candidates if _ROUNDING < width / across <= _COARSEST]
        if coarse:
            found[axes.across] = max(coarse)
    return found


def _is_whole(
    stated: Stated, axes: ScanAxes, size: dict[str, int], extent: dict[str, float], complaints: list[str]
) -> bool:
    """False for an image that was cut or resampled after the scanner: its matrix says nothing about it."""
    phase = axes.of(stated.phase_along)
    covered = max(extent[axes.row], extent[axes.column])
    if stated.diameter_mm and abs(covered / stated.diameter_mm - 1) > _CUT:
        was, made = f"covers {covered:.4g} mm", f"{stated.diameter_mm:.4g} mm"
    elif phase and stated.reconstructed_phase_steps and stated.reconstructed_phase_steps != size[phase]:
        was, made = f"has {size[phase]} pixels along {phase}", f"{stated.reconstructed_phase_steps}"
    else:
        return True
    if stated.frequency_steps or stated.phase_steps:
        complaints.append(
            f"The image {was}, the scanner reconstructed {made}: it was cut or resampled since. At what distance it "
            "was acquired is therefore not known."
        )
    return False


def _matrix(stated: Stated, axes: ScanAxes, extent: dict[str, float]) -> Iterator[tuple[str, int, float]]:
    """Axis, acquired steps and the length in mm that they cover, for the two axes of the plane."""
    frequency, phase = stated.frequency_steps, stated.phase_steps
    phase_axis = axes.of(stated.phase_along)
    if phase_axis is None:
        # Without the direction, the matrix has a meaning only where it is the same both ways.
        if frequency and frequency == phase and math.isclose(extent[axes.row], extent[axes.column], rel_tol=0.01):
            yield axes.row, frequency, extent[axes.row]
            yield axes.column, frequency, extent[axes.column]
        return
    other = axes.column if phase_axis == axes.row else axes.row
    if frequency:
        yield other, frequency, extent[other]
    share = stated.percent_phase_fov / 100 if stated.percent_phase_fov else None
    if not phase and frequency and stated.percent_sampling and share:
        phase = round(frequency * share * stated.percent_sampling / 100)
    if phase:
        # Some scanners add empty borders to a rectangular field of view, until the image is square.
        yield phase_axis, phase, min(extent[phase_axis], share * extent[other]) if share else extent[phase_axis]


def _is_coarser(acquired: float, spacing: float, steps: int, pixels: int, axis: str, complaints: list[str]) -> bool:
    """True where the acquired distance is wider than the voxels; what cannot be is told."""
    ratio = acquired / spacing
    if ratio > _COARSEST or steps > _OVERSAMPLED * pixels:
        complaints.append(
            f"The matrix acquired along {axis} is stated as {steps}, that of the image is {pixels}, which cannot be; "
            "the statement was ignored."
        )
        return False
    return ratio > _ROUNDING


def _length(value: float | None, what: str, complaints: list[str]) -> float | None:
    """A length in mm that can be; another one is told and ignored."""
    if value is None or _LENGTHS_MM[0] <= value <= _LENGTHS_MM[1]:
        return value
    complaints.append(f"The stated {what} is {value:g} mm, which cannot be; it was ignored.")
    return None
