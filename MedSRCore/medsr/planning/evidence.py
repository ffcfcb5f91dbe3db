"""How each axis was sampled: from what a person says, what the source says, and else from what the voxels show.

Every answer carries its source and how sure it is, so that the report can say so and a network can trust an assumed
profile less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from medsr.facts import AXES, FOURIER_ENCODED, Fact, Facts
from medsr.geometry import Geometry
from medsr.notices import Notice, notice
from medsr.options import StatedProfile, UpscaleOptions
from medsr.physics.profiles import Profile
from medsr.physics.spectra import Candidate, Likeliest, likeliest_profile
from medsr.planning.looks import Looks
from medsr.volume import Volume

ANISOTROPIC_RATIO = 1.25
"""Ratio of the coarsest to the finest spacing from which a volume counts as anisotropic."""

HELICAL = 0.9
"""Full width at half maximum of a helical CT profile over the stated thickness (measured on a series that was
reconstructed at 1 and at 5 mm from one scan)."""

SAFE = Profile("gaussian", 0.6, assumed=True)
"""Costs least where a slice profile and Fourier encoding are as likely as each other."""

_OPEN = 0.75
"""Probability of a kind below which the question stays open."""

_PLAUSIBLE_WIDTHS = (0.2, 4.0)
_SAME_PIXEL = 1.01

_TAPERS = (0.15, 0.3, 0.5, 0.75, 1.0)
_ENCODED = (
    Candidate(Profile("kspace"), 1.0),
    *(Candidate(Profile("kspace", 1.0, taper), 0.12) for taper in _TAPERS),
    *(Candidate(Profile("kspace", width), 0.06) for width in (1.15, 1.33)),
)
_PLANE = (*_ENCODED, *(Candidate(Profile("gaussian", width), 0.002) for width in (0.85, 1.0)))
"""The plane of 2D MR, every axis of 3D MR: Fourier-encoded, unless a program made the image coarser afterwards."""

_SLICES = (*_ENCODED, *(Candidate(Profile("gaussian", width), 0.7) for width in (0.6, 0.85, 1.0, 1.2)))
"""The thick axis of an MR volume: mostly slices, sometimes partitions."""


@dataclass(frozen=True)
class AxisEvidence:
    """What is taken for one axis.

    Attributes:
        axis: "x", "y" or "z".
        profile: as a multiple of the spacing; `Profile.assumed` where nobody stated it.
        source: "option", "header", "sidecar", "Slicer", "voxels" or "modality".
        probability: of the kind of profile, where it was read from the voxels; else None.
        stated_mm: a stated thickness or resolution that makes no sense and was not taken, else None.
    """

    axis: str
    profile: Profile
    source: str
    probability: float | None = None
    stated_mm: float | None = None

    def to_json(self, spacing_mm: float) -> dict[str, Any]:
        """For reports; lengths in mm."""
        profile = self.profile
        return {
            "axis": self.axis,
            "profile": profile.kind,
            "width_mm": round(profile.width * spacing_mm, 6),
            "taper": profile.taper,
            "resolution_mm": round(profile.resolution * spacing_mm, 6),
            "assumed": profile.assumed,
            "source": self.source,
            "probability": None if self.probability is None else round(self.probability, 3),
        }


def slice_axis(facts: Facts, options: UpscaleOptions, geometry: Geometry, *, planar: bool = False) -> str | None:
    """The axis across the slices; None where nothing tells one from the others.

    As asked, as a source says, else by the shape of the voxels: the axis whose spacing differs from two equal ones, or
    the coarsest.
    """
    if options.slice_axis != "auto":
        return options.slice_axis
    if planar:
        return "z"
    if facts.slice_axis is not None:
        return facts.slice_axis
    spacing = geometry.spacing_xyz_mm
    for axis in (2, 1, 0):
        first, second = (spacing[other] for other in range(3) if other != axis)
        ratio = spacing[axis] / first
        if max(first, second) / min(first, second) < _SAME_PIXEL and not (
            1 / ANISOTROPIC_RATIO < ratio < ANISOTROPIC_RATIO
        ):
            return AXES[axis]
    return AXES[int(np.argmax(spacing))] if max(spacing) / min(spacing) >= ANISOTROPIC_RATIO else None


def find_profiles(
    volume: Volume, options: UpscaleOptions, modality: str, looks: Looks | None = None
) -> tuple[AxisEvidence, ...]:
    """How x, y and z were sampled.

    Args:
        volume: the input; its voxels are looked at where nothing was stated.
        options: what was asked.
        modality: "MR" or "CT".
        looks: at these voxels, of earlier plans.
    """
    facts = known_facts(volume, options)
    across = slice_axis(facts, options, volume.geometry, planar=volume.planar)
    found: dict[str, AxisEvidence] = {}
    for axis, stated in zip(AXES, options.profiles_xyz, strict=True):
        spacing = volume.geometry.spacing_xyz_mm[AXES.index(axis)]
        evidence = _stated(facts, modality, axis, spacing, stated)
        if evidence is not None:
            found[axis] = evidence
    unknown = [axis for axis in AXES if axis not in found]
    found.update(_of_ct(unknown, across) if modality == "CT" else _look_mr(volume, unknown, across, looks or Looks()))
    return tuple(found[axis] for axis in AXES)


def known_facts(volume: Volume, options: UpscaleOptions) -> Facts:
    """What the sources say, and what a person says above them."""
    if options.slice_thickness is None:
        return volume.facts
    # A thickness belongs to the slices; where nothing tells which axis that is, to the last.
    axis = slice_axis(volume.facts, options, volume.geometry, planar=volume.planar) or "z"
    return Facts((*volume.facts, Fact("thickness_mm", options.slice_thickness, "option", axis)))


def _stated(facts: Facts, modality: str, axis: str, spacing: float, stated: StatedProfile) -> AxisEvidence | None:
    """What a person or the source says of an axis; None where they say nothing."""
    encoding, thickness = facts.get("encoding", axis), facts.get("thickness_mm", axis)
    if stated.kind != "auto":
        width = stated.width_mm
        if width is None and stated.kind != "kspace" and thickness is not None:
            width = float(thickness.value)
        return _evidence(axis, stated.kind, width, spacing, "option", stated.taper)
    if thickness is not None and thickness.source == "option":
        # The width of the profile itself, not what a protocol calls the thickness.
        return _evidence(axis, "box" if _is_axial(facts) else "gaussian", float(thickness.value), spacing, "option")
    if modality == "MR" and encoding is not None and encoding.value in FOURIER_ENCODED:
        acquired = facts.number("resolution_mm", axis)
        if encoding.value == "partition" and thickness is not None:
            # Partitions that lie closer than they are thick were interpolated.
            acquired = max(acquired or 0.0, float(thickness.value))
        return _evidence(axis, "kspace", max(acquired or spacing, spacing), spacing, encoding.source)
    if thickness is None:
        return None
    if modality == "CT":
        kind, share = ("box", 1.0) if _is_axial(facts) else ("gaussian", HELICAL)
        return _evidence(axis, kind, share * float(thickness.value), spacing, thickness.source)
    return _evidence(axis, "gaussian", float(thickness.value), spacing, thickness.source)


def _is_axial(facts: Facts) -> bool:
    return bool(facts.value("scan") == "axial")


def _evidence(
    axis: str, kind: str, width_mm: float | None, spacing: float, source: str, taper: float = 0.0
) -> AxisEvidence:
    width = 1.0 if width_mm is None else width_mm / spacing
    low, high = (1.0, _PLAUSIBLE_WIDTHS[1]) if kind == "kspace" else _PLAUSIBLE_WIDTHS
    plausible = low - 0.02 <= width <= high
    profile = Profile(kind, float(np.clip(width, low, high)), taper)
    return AxisEvidence(axis, profile, source, stated_mm=None if plausible else width_mm)


def _of_ct(axes: Sequence[str], across: str | None) -> dict[str, AxisEvidence]:
    """CT of which nothing is known: helical slices, as most are; in the plane the detector and the kernel."""
    return {
        axis: AxisEvidence(axis, Profile("gaussian", HELICAL if axis == across else 1.0, assumed=True), "modality")
        for axis in axes
    }


def _look_mr(volume: Volume, axes: Sequence[str], across: str | None, looks: Looks) -> dict[str, AxisEvidence]:
    """MR: thick slices are looked at alone, axes that are encoded alike together."""
    found: dict[str, AxisEvidence] = {}
    spacing = dict(zip(AXES, volume.geometry.spacing_xyz_mm, strict=True))
    finest = min(spacing.values())
    thick = [axis for axis in axes if axis == across and spacing[axis] >= ANISOTROPIC_RATIO * finest]
    plane = [axis for axis in axes if axis not in thick]
    # Axes of one spacing were encoded alike.
    groups = [thick] if thick else []
    while plane:
        alike = [axis for axis in plane if spacing[axis] / spacing[plane[0]] < ANISOTROPIC_RATIO]
        alike = [axis for axis in alike if spacing[plane[0]] / spacing[axis] < ANISOTROPIC_RATIO]
        groups.append(alike)
        plane = [axis for axis in plane if axis not in alike]
    for group in groups:
        candidates = _SLICES if group == thick else _PLANE
        seen = looks.once((*group, candidates), partial(_seen, volume, group, candidates))
        for axis in group:
            found[axis] = _assumed(axis, seen, is_slice=group == thick)
    return found


def _seen(volume: Volume, axes: Sequence[str], candidates: Sequence[Candidate]) -> Likeliest | None:
    array = volume.array if volume.array.ndim == 3 else volume.array.mean(axis=3)
    long = [2 - AXES.index(axis) for axis in axes if not (volume.planar and axis == "z")]
    if not long or array.dtype.kind not in "iufb":
        return None
    return likeliest_profile(array, volume.geometry.spacing_xyz_mm[::-1], long, candidates)


def _assumed(axis: str, seen: Likeliest | None, *, is_slice: bool) -> AxisEvidence:
    if seen is None:
        return AxisEvidence(axis, SAFE if is_slice else Profile("kspace", assumed=True), "modality")
    if seen.probability < _OPEN:
        # A plane is Fourier-encoded unless a program made it coarser; of a slice nothing is that sure.
        return AxisEvidence(axis, SAFE if is_slice else Profile("kspace", assumed=True), "voxels", seen.probability)
    best = seen.profile
    profile = Profile(best.kind, best.width, best.taper, assumed=True)
    return AxisEvidence(axis, profile, "voxels", seen.probability)


def evidence_notice(evidence: AxisEvidence, spacing_mm: float) -> Notice:
    """How the axis was sampled, how that is known, and how sure it is."""
    what = profile_notice(evidence.profile, spacing_mm)
    if evidence.source == "voxels":
        known = notice("known.voxels", percent=100 * (evidence.probability or 0.0))
    else:
        known = notice(f"known.{evidence.source.lower()}")
    return notice("acquisition", axis=evidence.axis, profile=what, known=known)


def profile_notice(profile: Profile, spacing_mm: float) -> Notice:
    """A profile in words, lengths in mm."""
    what = notice(f"profile.{profile.kind}", width=profile.width * spacing_mm)
    return notice("profile.filtered", profile=what, percent=100 * profile.taper) if profile.taper else what
