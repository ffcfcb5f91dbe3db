"""Deciding how the input samples the work grid: slice profiles from header and options, or what a network undoes."""

from __future__ import annotations

import numpy as np

from medsr.catalog import CatalogEntry
from medsr.degradation import Acquisition, AxisSampling, Profile
from medsr.inference.own_factor import AXES, Downscaled, OwnFactor
from medsr.inference.target import ANISOTROPIC_RATIO, Target
from medsr.options import UpscaleOptions
from medsr.volume import Volume

PHYSICAL = ("gaussian", "box")
"""Downscalings that are slice profiles: what a scanner does, not what a program did to an image."""

_PLAUSIBLE_WIDTHS = (0.2, 4.0)


def decide_acquisition(
    volume: Volume,
    options: UpscaleOptions,
    target: Target,
    decisions: list[str],
    warnings: list[str],
    undone: tuple[CatalogEntry, OwnFactor] | None = None,
) -> Acquisition:
    """Profile and sampling per array axis (z, y, x); the stated slice thickness belongs to the slice axis.

    Args:
        volume: the input; its voxels are not looked at.
        options: what was asked.
        target: its grids.
        decisions: gets a sentence for what was decided.
        warnings: gets a sentence for what is doubtful.
        undone: a network with a factor of its own. Along its axes the input counts as made by the downscaling that the
            network learned to undo, unless that is a slice profile.
    """
    profile = Profile.GAUSSIAN if options.profile == "auto" else Profile.parse(options.profile)
    thickness, thick_axis, source = _decide_thickness(volume, options)
    if profile is Profile.KSPACE:
        decisions.append("Acquisition: Fourier-encoded, the spectrum ends where the samples do (as asked).")
    offsets = target.work.to_index(volume.geometry.origin_mm)
    learned = undone[0].downscaling if undone else ""
    downscaled = undone[1].axes if undone and learned not in PHYSICAL else ()
    axes: list[AxisSampling] = []
    for axis in range(3):
        fine, coarse, factor = target.work.size_xyz[axis], volume.geometry.size_xyz[axis], target.factors_xyz[axis]
        offset = float(round(offsets[axis], 9))
        if axis in downscaled:
            axes.append(Downscaled(fine, coarse, round(factor), round(factor), offset=offset, kind=learned))
            continue
        enlarged = factor > 1
        width = factor if enlarged else 1.0
        if enlarged and thickness is not None and axis == thick_axis:
            width = thickness / target.work.spacing_xyz_mm[axis]
            low, high = (limit * factor for limit in _PLAUSIBLE_WIDTHS)
            if not low <= width <= high:
                warnings.append(
                    f"A slice thickness of {thickness:g} mm is implausible for slices every "
                    f"{volume.geometry.spacing_xyz_mm[axis]:g} mm; {np.clip(width, low, high) / factor:g} times the "
                    "spacing is used."
                )
                width = float(np.clip(width, low, high))
            gap = volume.geometry.spacing_xyz_mm[axis] - thickness
            space = f", gap {gap:.3g} mm" if gap > 1e-3 else f", overlap {-gap:.3g} mm" if gap < -1e-3 else ""
            decisions.append(f"Slice profile: {profile.value}, {thickness:g} mm along {AXES[axis]} ({source}{space}).")
        if not enlarged and abs(offsets[axis]) <= 1e-6:
            offset = 0.0
        axes.append(AxisSampling(fine, coarse, factor, width, profile, offset))
    return Acquisition((axes[2], axes[1], axes[0]))


def _decide_thickness(volume: Volume, options: UpscaleOptions) -> tuple[float | None, int, str]:
    """Slice thickness in mm (None: as wide as the spacing), its grid axis, and where it comes from."""
    spacing = volume.geometry.spacing_xyz_mm
    if options.slice_axis != "auto":
        axis = AXES.index(options.slice_axis)
    elif volume.slice_thickness_mm is not None:
        axis = AXES.index(volume.slice_axis)
    else:
        axis = int(np.argmax(spacing)) if max(spacing) / min(spacing) >= ANISOTROPIC_RATIO else 2
    if options.slice_thickness is not None:
        return options.slice_thickness, axis, "as asked"
    if volume.slice_thickness_mm is not None and axis == AXES.index(volume.slice_axis):
        return volume.slice_thickness_mm, axis, "from the header"
    return None, axis, ""
