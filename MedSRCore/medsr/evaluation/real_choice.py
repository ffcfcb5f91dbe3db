"""Which test two series of one patient allow, from how they lie to each other."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InputError
from medsr.evaluation.real_rows import DETAIL, DIFFERENCE, RealTest
from medsr.facts import AXES
from medsr.geometry import Geometry
from medsr.options import UpscaleOptions
from medsr.planning.evidence import ANISOTROPIC_RATIO, slice_axis
from medsr.volume import Volume

PARALLEL_DEGREES, CROSSING_DEGREES = 10.0, 30.0
"""Angle between the slices up to which two series count as parallel, and from which one sees into the other."""

_FEWEST_SLICES = 6


def choose_test(thick: Volume, other: Volume) -> RealTest:
    """The test that the two series allow, from how they lie to each other.

    Raises:
        InputError: neither is possible; the text says why.
    """
    for name, volume in (("The series to enlarge", thick), ("The other series", other)):
        if volume.channels > 1:
            raise InputError(f"{name} has {volume.channels} channels; this test takes grey images.")
        if volume.planar or min(volume.geometry.size_xyz) < _FEWEST_SLICES:
            raise InputError(
                f"{name} has {volume.geometry.describe()}; a stack of at least {_FEWEST_SLICES} slices is needed."
            )
    if thick.modality and other.modality and thick.modality != other.modality:
        raise InputError(f"One series is {thick.modality}, the other {other.modality}: they show different things.")
    across, _ = _slices(thick)
    other_across, stacked = _slices(other)
    normal = _direction(thick.geometry, across)
    cosines = [abs(float(normal @ _direction(other.geometry, axis))) for axis in range(3)]
    if not stacked:
        # Fine in every direction. In CT it may be the same scan, reconstructed finer; else it is looked at from the
        # side, where intensities need not be comparable.
        aligned = _degrees(max(cosines)) <= PARALLEL_DEGREES
        same_scan = thick.modality == "CT" and aligned
        other_across = int(np.argmax(cosines) if same_scan else np.argmin(cosines))
    angle = _degrees(cosines[other_across])
    if angle <= PARALLEL_DEGREES:
        kind, why = DIFFERENCE, _parallel(thick, across, other, other_across, angle)
    elif angle >= CROSSING_DEGREES:
        kind, why = DETAIL, _crossing(thick, across, other, other_across, angle)
    else:
        raise InputError(
            f"The slices of the two series are inclined by {angle:.0f} degrees: neither parallel (up to "
            f"{PARALLEL_DEGREES:g} degrees) nor does one see into the other (from {CROSSING_DEGREES:g})."
        )
    apart = thick.geometry.spacing_xyz_mm[across]
    return RealTest(kind, across, apart, other_across, _width(other, other_across), why)


def _parallel(thick: Volume, across: int, other: Volume, other_across: int, angle: float) -> str:
    """Why the finer series is the truth; raises where it is not finer."""
    ours = max(_width(thick, across), thick.geometry.spacing_xyz_mm[across])
    theirs = max(_width(other, other_across), other.geometry.spacing_xyz_mm[other_across])
    if ANISOTROPIC_RATIO * theirs > ours:
        raise InputError(
            f"The slices of the two series are parallel ({angle:.1f} degrees), and those of the other one are not "
            f"finer: {theirs:.3g} mm against {ours:.3g} mm. A series is needed that is finer across the slices, or "
            "whose plane holds that direction."
        )
    return (
        f"The slices are parallel ({angle:.1f} degrees) and finer in the other series ({theirs:.3g} mm against "
        f"{ours:.3g} mm): it is the truth, voxel by voxel."
    )


def _crossing(thick: Volume, across: int, other: Volume, other_across: int, angle: float) -> str:
    """Why the other series can confirm detail; raises where it cannot."""
    apart = thick.geometry.spacing_xyz_mm[across]
    pixel = max(s for axis, s in enumerate(other.geometry.spacing_xyz_mm) if axis != other_across)
    if ANISOTROPIC_RATIO * pixel > apart:
        raise InputError(
            f"The pixels of the other series are {pixel:.3g} mm wide, the slices that they should look into "
            f"{apart:.3g} mm apart: it is not finer there."
        )
    return (
        f"The slices cross at {angle:.0f} degrees: the plane of the other series (pixels of {pixel:.3g} mm) holds the "
        f"direction across the slices ({apart:.3g} mm apart), and its detail is correlated with what the models make."
    )


def _slices(volume: Volume) -> tuple[int, bool]:
    """Grid axis across the slices, and whether they are coarser than the pixels."""
    found = slice_axis(volume.facts, UpscaleOptions(), volume.geometry)
    spacing = volume.geometry.spacing_xyz_mm
    axis = AXES.index(found) if found else max(range(3), key=lambda axis: (round(spacing[axis], 3), axis))
    return axis, spacing[axis] >= ANISOTROPIC_RATIO * min(spacing)


def _width(volume: Volume, axis: int) -> float:
    """Thickness of slices: as stated, else their distance."""
    return volume.facts.number("thickness_mm", AXES[axis]) or volume.geometry.spacing_xyz_mm[axis]


def _direction(geometry: Geometry, axis: int) -> NDArray[np.float64]:
    return np.array(geometry.direction).reshape(3, 3)[:, axis]


def _degrees(cosine: float) -> float:
    return math.degrees(math.acos(min(1.0, cosine)))
