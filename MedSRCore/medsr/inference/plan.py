"""Deciding what to do before doing it: modality, acquisition, model, and what it will cost.

Needs neither torch nor the voxels, so that a panel can show size, memory and time before the click.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np

from medsr.catalog import CatalogEntry, find_model, load_catalog
from medsr.degradation import Acquisition, AxisSampling, Profile
from medsr.errors import InvalidValueError, ModelError
from medsr.geometry import Geometry
from medsr.inference.noise import noise_level
from medsr.inference.target import ANISOTROPIC_RATIO, Target, resolve_target
from medsr.options import UpscaleOptions
from medsr.volume import Volume

AXES = "xyz"
MIN_SLICES_3D = 8
"""Volumes with fewer voxels along an axis are enlarged slice by slice."""

FALLBACK = "tikhonov"
"""What is chosen where no network fits, or none can run."""

_CT_AIR_HU = -500.0
_PLAUSIBLE_WIDTHS = (0.2, 4.0)


@dataclass(frozen=True)
class Plan:
    """Everything decided about one job.

    Attributes:
        target: grids of input, work and output.
        entry: the model.
        spatial_dims: 3, or 2 for slice by slice.
        plane_axis: array axis (z, y, x order) across the slices in 2D mode.
        modality: "MR" or "CT".
        acquisition: how the input samples the work grid, per array axis (z, y, x).
        decisions: sentences: what was picked and why.
        warnings: sentences that a person should read.
        noise: noise level of the input as a fraction of its 99th percentile, None where it cannot be told.
        channels: colours, each enlarged alone.
    """

    target: Target
    entry: CatalogEntry
    spatial_dims: int
    plane_axis: int
    modality: str
    acquisition: Acquisition
    decisions: tuple[str, ...]
    warnings: tuple[str, ...]
    noise: float | None = None
    channels: int = 1

    def estimate(self) -> dict[str, Any]:
        """Rough cost on this kind of machine: ``memory_bytes`` and ``seconds`` on two CPU cores."""
        work = self.target.work.voxels * self.channels
        weights = float(self.entry.network.get("weights", 0))
        # Output, input and one tile of features; interpolation by ITK holds two outputs.
        memory = 4 * (2.2 * work + 3 * self.target.source.voxels) + (0.9e9 if self.entry.needs_torch else 1e8)
        # Folded voxels x multiply-adds x halo overhead over a typical rate of two cores.
        seconds = 1.5 + work * (2.0e-7 + (weights * 2 / 2**self.spatial_dims * 1.6 / 1.0e11 if weights else 0))
        return {"memory_bytes": int(memory), "seconds": round(seconds, 1)}

    def to_dict(self) -> dict[str, Any]:
        """For reports: sizes and decisions."""
        return {
            "input": _grid(self.target.source),
            "output": _grid(self.target.output),
            "target": self.target.reason,
            "factors_xyz": [round(f, 6) for f in self.target.factors_xyz],
            "model": self.entry.name,
            "model_version": self.entry.version,
            "mode": f"{self.spatial_dims}d",
            "modality": self.modality,
            "profile_widths_mm_xyz": [
                round(axis.width * s, 6)
                for axis, s in zip(reversed(self.acquisition.axes), self.target.work.spacing_xyz_mm, strict=True)
            ],
            "profile": self.acquisition.axes[0].profile.value,
            "noise": None if self.noise is None else round(self.noise, 5),
            "decisions": list(self.decisions),
            "warnings": list(self.warnings),
        }


def make_plan(
    volume: Volume, options: UpscaleOptions, reference: Geometry | None = None, *, runnable: bool = False
) -> Plan:
    """Decide how to super-resolve `volume`.

    Args:
        volume: the input; its voxels are looked at only to guess the modality.
        options: what was asked.
        reference: grid of the file that ``options.reference`` names.
        runnable: choose among the models that run in this Python, without torch no network. By default the best
            model is chosen: the work may be done in another Python, or torch be installed before.

    Raises:
        InvalidValueError, UnknownNameError, ModelError: what was asked cannot be done.
    """
    target = resolve_target(volume.geometry, options, reference, planar=volume.planar)
    modality, why = decide_modality(volume, options.modality)
    decisions = [f"Target: {target.reason}.", f"Modality: {modality} ({why})."]
    warnings = list(volume.warnings)
    acquisition = _decide_acquisition(volume, options, target, decisions, warnings)
    if options.isotropic or (options.scale is None and options.spacing is None and reference is None):
        _warn_capped(target, warnings)
    found = noise_level(volume.array) if modality == "MR" and volume.array.ndim == 3 and not volume.planar else None
    noise = found[0] if found else None
    if found:
        decisions.append(f"Noise: {100 * found[0]:.1f} % of the brightest signal, read from {found[1]}.")
    entry, dims = _decide_model(options, modality, target, decisions, warnings, noise=noise, runnable=runnable)
    plane_axis = _decide_plane_axis(options, target)
    if dims == 2:
        decisions.append(f"Slice by slice across {AXES[2 - plane_axis]}.")
    return Plan(
        target,
        entry,
        dims,
        plane_axis,
        modality,
        acquisition,
        tuple(decisions),
        tuple(warnings),
        noise,
        volume.channels,
    )


def decide_modality(volume: Volume, asked: str) -> tuple[str, str]:
    """The modality and how it is known: option, header, or the range of the intensities."""
    if asked != "auto":
        return asked, "as asked"
    if volume.modality in ("MR", "CT"):
        return volume.modality, "from the header"
    low = float(volume.array.min())
    if low <= _CT_AIR_HU:
        return "CT", f"guessed: the lowest intensity, {low:g}, is air in Hounsfield units"
    return "MR", f"guessed: intensities start at {low:g}"


def _decide_acquisition(
    volume: Volume, options: UpscaleOptions, target: Target, decisions: list[str], warnings: list[str]
) -> Acquisition:
    """Profile and sampling per array axis; the stated slice thickness belongs to the slice axis."""
    profile = Profile.GAUSSIAN if options.profile == "auto" else Profile.parse(options.profile)
    thickness, thick_axis, source = _decide_thickness(volume, options)
    offsets = target.work.to_index(volume.geometry.origin_mm)
    axes: list[AxisSampling] = []
    for axis in range(3):
        factor = target.factors_xyz[axis]
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
            kind = f", gap {gap:.3g} mm" if gap > 1e-3 else f", overlap {-gap:.3g} mm" if gap < -1e-3 else ""
            decisions.append(f"Slice profile: {profile.value}, {thickness:g} mm along {AXES[axis]} ({source}{kind}).")
        axes.append(
            AxisSampling(
                target.work.size_xyz[axis], volume.geometry.size_xyz[axis], factor, width, profile,
                float(round(offsets[axis], 9)) if enlarged or abs(offsets[axis]) > 1e-6 else 0.0,
            )
        )  # fmt: skip
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


def _warn_capped(target: Target, warnings: list[str]) -> None:
    spacing = target.work.spacing_xyz_mm
    if target.reason.startswith("isotropic") and max(spacing) / min(spacing) > 1.01:
        warnings.append(
            f"The slices are more than 8 times as thick as the pixels: brought down to {max(spacing):.3g} mm, not to "
            f"{min(spacing):.3g} mm."
        )


def _decide_model(
    options: UpscaleOptions,
    modality: str,
    target: Target,
    decisions: list[str],
    warnings: list[str],
    *,
    noise: float | None,
    runnable: bool,
) -> tuple[CatalogEntry, int]:
    """The model and whether it works on volumes (3) or slices (2)."""
    thin = min(target.source.size_xyz) < MIN_SLICES_3D
    if options.model != "auto":
        entry = find_model(options.model)
        dims = _dims_for(entry, options.mode, thin)
        if entry.needs_torch and modality not in entry.modalities:
            raise ModelError(
                f"{entry.name} is for {' and '.join(entry.modalities)}, this volume is {modality}. Choose another "
                f"model (`medsr models`), or give --modality {entry.modalities[0]} if it was recognised wrongly."
            )
        decisions.append(f"Model: {entry.name}, as asked.")
    else:
        dims = {"3d": 3, "2d": 2}.get(options.mode, 2 if thin else 3)
        entry = _automatic_model(modality, dims, noise or 0.0)
        shape = "slice by slice" if dims == 2 else "volumetric"
        reason = f"fewer than {MIN_SLICES_3D} slices" if thin and options.mode == "auto" else shape
        if runnable and entry.needs_torch and find_spec("torch") is None:
            warnings.append(
                f"torch is not installed: {FALLBACK} does the work instead of the network {entry.name}, which resolves "
                "more. For the network: pip install 'medsr[network]'."
            )
            reason += f", torch is not installed: {entry.name} cannot run"
            entry = find_model(FALLBACK)
        decisions.append(f"Model: {entry.name}, chosen for {modality}, {reason}.")
    high = entry.factors[1]
    largest = max(target.factors_xyz)
    if entry.needs_torch and not largest <= high * 1.01:
        warnings.append(f"{entry.name} was trained for factors up to {high:g}; {largest:.3g} is asked.")
    return entry, dims


def _dims_for(entry: CatalogEntry, mode: str, thin: bool) -> int:
    if mode != "auto":
        dims = int(mode[0])
        if dims not in entry.spatial_dims:
            raise ModelError(
                f"{entry.name} works in {entry.spatial_dims[0]}D only. Leave --mode away, or choose another model."
            )
        return dims
    if len(entry.spatial_dims) == 1:
        dims = entry.spatial_dims[0]
        if dims == 3 and thin:
            raise ModelError(
                f"{entry.name} is volumetric and needs at least {MIN_SLICES_3D} voxels along each axis. Use a 2D "
                "model, or --model auto."
            )
        return dims
    return 2 if thin else 3


def _automatic_model(modality: str, dims: int, noise: float) -> CatalogEntry:
    """The shipped network for this modality, dimension and noise level; Tikhonov where there is none."""
    fitting = [
        entry
        for entry in load_catalog().values()
        if entry.kind == "network"
        and not entry.perceptual
        and modality in entry.modalities
        and dims in entry.spatial_dims
    ]
    if not fitting:
        return find_model(FALLBACK)
    # Made for this noise, then the most specialised: for fewer modalities.
    return min(fitting, key=lambda e: (not e.noise[0] <= noise < e.noise[1], len(e.modalities), e.name))


def _decide_plane_axis(options: UpscaleOptions, target: Target) -> int:
    """Array axis across the slices in 2D mode: as asked, else the least enlarged one, z first."""
    if options.slice_axis != "auto":
        return 2 - AXES.index(options.slice_axis)
    factors_zyx = target.factors_xyz[::-1]
    return min(range(3), key=lambda axis: (round(factors_zyx[axis], 3), axis))


def _grid(geometry: Geometry) -> Mapping[str, Sequence[float]]:
    return {
        "size_xyz": list(geometry.size_xyz),
        "spacing_xyz_mm": list(geometry.spacing_xyz_mm),
        "origin_lps_mm": list(geometry.origin_mm),
        "direction": list(geometry.direction),
    }


def check_memory(plan: Plan, limit: int) -> None:
    """Raise InvalidValueError when the plan cannot fit into `limit` bytes, saying what it needs."""
    needed = plan.estimate()["memory_bytes"]
    if needed > limit:
        raise InvalidValueError(
            f"The target of {plan.target.output.describe()} needs about {needed / 1e9:.1f} GB, {limit / 1e9:.1f} GB "
            "may be used. Ask for a coarser target, crop the volume, or raise --memory."
        )
