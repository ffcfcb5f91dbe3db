"""How the input samples the work grid: the evidence for each axis, or what a network of a fixed scale undoes."""

from __future__ import annotations

from collections.abc import Sequence

from medsr.notices import Notice, notice
from medsr.physics.profiles import Profile
from medsr.physics.sampling import Acquisition, AxisSampling
from medsr.planning.evidence import AxisEvidence, evidence_notice
from medsr.planning.target import Target
from medsr.volume import Volume

SLICE_PROFILES = ("gaussian", "box")
"""Downscalings that are slice profiles: what was found of the input is better than what a network learned."""

_CLEARLY_COARSER = 1.1


def decide_acquisition(
    volume: Volume,
    evidence: Sequence[AxisEvidence],
    target: Target,
    undone: tuple[str, Sequence[int]] = ("", ()),
) -> tuple[Acquisition, list[Notice], list[Notice]]:
    """Profile and sampling per array axis (z, y, x), with what was decided and what is doubtful.

    Args:
        volume: the input; its voxels are not looked at.
        evidence: how its axes x, y and z were sampled.
        target: its grids.
        undone: downscaling that a network of a fixed scale learned to undo, and the grid axes that it enlarges. There
            the input counts as made so, unless that is a slice profile.
    """
    decisions: list[Notice] = []
    warnings: list[Notice] = []
    offsets = target.work.to_index(volume.geometry.origin_mm)
    learned, downscaled = undone if undone[0] not in SLICE_PROFILES else ("", ())
    axes: list[AxisSampling] = []
    for axis, found in enumerate(evidence):
        fine, coarse, factor = target.work.size_xyz[axis], volume.array.shape[2 - axis], target.factors_xyz[axis]
        offset = float(round(offsets[axis], 9))
        centres = None
        if axis == 2 and volume.places:
            centres = tuple(float(round(offset + place * factor, 9)) for place in volume.places)
        profile = found.profile
        if axis in downscaled:
            profile = Profile(learned)
        elif factor <= 1:
            # What the scanner resolves along an axis that stays as it is stays, too.
            profile = Profile(width=min(profile.width, 1.0))
            offset = 0.0 if abs(offset) <= 1e-6 else offset
        else:
            spacing = volume.geometry.spacing_xyz_mm[axis]
            decisions.append(evidence_notice(found, spacing))
            warnings += _doubts(found, spacing)
        axes.append(AxisSampling(fine, coarse, factor, profile, offset, centres))
    return Acquisition((axes[2], axes[1], axes[0])), decisions, warnings


def _doubts(found: AxisEvidence, spacing: float) -> list[Notice]:
    doubts = []
    width = found.profile.width * spacing
    if found.stated_mm is not None:
        doubts.append(
            notice("acquisition.implausible", width=found.stated_mm, axis=found.axis, spacing=spacing, taken=width)
        )
    # Of a header or sidecar, who read it has said so.
    if found.source == "voxels" and found.profile.kind == "kspace" and found.profile.width >= _CLEARLY_COARSER:
        doubts.append(notice("acquisition.interpolated", axis=found.axis, resolution=width, spacing=spacing))
    return doubts
