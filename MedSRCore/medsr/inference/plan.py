"""Deciding what to do before doing it: modality, acquisition, model, and what it will cost.

Needs neither torch nor the voxels, so that a panel can show size, memory and time before the click.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from typing import Any

from medsr.catalog import PERCEPTUAL, CatalogEntry, find_model, load_catalog
from medsr.degradation import Acquisition
from medsr.errors import InvalidValueError, ModelError
from medsr.geometry import Geometry
from medsr.inference.noise import noise_level
from medsr.inference.own_factor import AXES, resolve_own_factor
from medsr.inference.sampling import PHYSICAL, decide_acquisition
from medsr.inference.target import Target, across_axis, resolve_target
from medsr.options import UpscaleOptions
from medsr.volume import Volume

MIN_SLICES_3D = 8
"""Volumes with fewer voxels along an axis are enlarged slice by slice."""

FALLBACK = "tikhonov"
"""What is chosen where no network fits, or none can run."""

_CT_AIR_HU = -500.0
_FLOATING_POINT_RATE = 2.0e11
"""Operations per second of two CPU cores in convolutions, roughly; in bfloat16 up to twice as many."""

_HALO_OVERHEAD = {2: 1.0, 3: 1.3}
"""Voxels computed for each that is kept, by dimension: slices are computed whole."""


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
        channels: colours.
        scale: factor of a network that enlarges by its own; None for the others.
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
    scale: int | None = None

    @property
    def together(self) -> bool:
        """True when the model takes all colours at once; each alone otherwise."""
        return self.entry.channels > 1

    @property
    def corrects(self) -> bool:
        """True when the result may be moved to where it agrees with the measured data.

        Interpolation and Tikhonov are what their names say; only what was learned is corrected. A network that learned
        to undo what no scanner does would be moved towards data that were never measured so.
        """
        return self.entry.kind == "network" and (self.scale is None or self.entry.downscaling in PHYSICAL)

    @cached_property
    def planes(self) -> tuple[Plan, ...]:
        """The slice-wise jobs whose answers are averaged with that of a volumetric network.

        One for each axis that is not enlarged: slices across it were measured complete. Where there is none, and the
        model wants slices always, one for each axis, across which the slices are deconvolved first.
        """
        if self.spatial_dims == 2 or not self.entry.planes:
            return ()
        entry = find_model(self.entry.planes)
        across = [i for i, axis in enumerate(self.acquisition.axes) if axis.is_identity]
        if not across and self.entry.planes_always:
            across = [0, 1, 2]
        factors = [axis.factor for axis in self.acquisition.axes]
        within = [axis for axis in across if _beyond(entry, [f for i, f in enumerate(factors) if i != axis]) is None]
        return tuple(replace(self, entry=entry, spatial_dims=2, plane_axis=axis) for axis in within)

    def estimate(self) -> dict[str, Any]:
        """Rough cost on this kind of machine: ``memory_bytes`` and ``seconds`` on two CPU cores."""
        work = self.target.work.voxels * self.channels
        # Output, input and one tile of features; interpolation by ITK holds two outputs, planes one more.
        memory = 4 * ((3.2 if self.planes else 2.2) * work + 3 * self.target.source.voxels * self.channels)
        memory += 0.6e9 if self.entry.needs_torch else 1e8
        seconds = 1.5 + work * 2.0e-7
        if self.entry.needs_torch:
            seconds += work * 2 * sum(plan._multiply_adds for plan in (self, *self.planes)) / _FLOATING_POINT_RATE
        return {"memory_bytes": int(memory), "seconds": round(seconds, 1)}

    @property
    def _multiply_adds(self) -> float:
        """Of the network, halos included, per voxel of the work grid."""
        network = self.entry.network
        # A refiner uses every weight once for each block of 2 x 2 (x 2) voxels.
        each = float(network.get("multiply_adds", network.get("weights", 0) / 2**self.spatial_dims))
        return _HALO_OVERHEAD[self.spatial_dims] * each

    def to_dict(self) -> dict[str, Any]:
        """For reports: sizes and decisions."""
        return {
            "input": _grid(self.target.source),
            "output": _grid(self.target.output),
            "target": self.target.reason,
            "factors_xyz": [round(f, 6) for f in self.target.factors_xyz],
            "model": self.entry.name,
            "model_version": self.entry.version,
            "model_sha256": self.entry.sha256,
            "mode": f"{self.spatial_dims}d",
            "modality": self.modality,
            "profile_widths_mm_xyz": [
                round(axis.width * s, 6)
                for axis, s in zip(reversed(self.acquisition.axes), self.target.work.spacing_xyz_mm, strict=True)
            ],
            "profile": self.acquisition.axes[0].profile.value,
            "downscaling": self.entry.downscaling,
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
    named = None if options.model == "auto" else find_model(options.model)
    own = resolve_own_factor(volume, options, named, reference) if named and named.scales else None
    target = own.target if own else resolve_target(volume.geometry, options, reference, planar=volume.planar)
    modality, why = decide_modality(volume, options.modality)
    decisions = [f"Target: {target.reason}.", f"Modality: {modality} ({why})."]
    warnings = list(volume.warnings)
    undone = (named, own) if named and own else None
    acquisition = decide_acquisition(volume, options, target, decisions, warnings, undone)
    if options.isotropic or (own is None and not options.has_target):
        _warn_capped(target, warnings)
    found = noise_level(volume.array) if modality == "MR" and volume.array.ndim == 3 and not volume.planar else None
    noise = found[0] if found else None
    if found:
        decisions.append(f"Noise: {100 * found[0]:.1f} % of the brightest signal, read from {found[1]}.")
    entry, dims = _decide_model(options, modality, target, decisions, warnings, noise=noise, runnable=runnable)
    _check_channels(entry, volume)
    plane_axis = own.plane_axis if own else across_axis(options, target.factors_xyz)
    if dims == 2:
        decisions.append(f"Slice by slice across {AXES[2 - plane_axis]}.")
    if own:
        decisions += own.notes
        warnings += own.warnings
    if entry.perceptual:
        warnings.append(f"{PERCEPTUAL}. {entry.name} was trained to look right; do not measure on its result.")
    plan = Plan(
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
        own.scale if own else None,
    )
    if not plan.planes:
        return plan
    across = " and ".join(AXES[2 - job.plane_axis] for job in plan.planes)
    complete = "" if len(plan.planes) == 3 else " were measured complete;"
    sentence = f"Planes: slices across {across}{complete} are refined by {entry.planes} too, averaged in."
    return replace(plan, decisions=(*plan.decisions, sentence))


def _check_channels(entry: CatalogEntry, volume: Volume) -> None:
    """Raise ModelError for a network of colours and another image."""
    if entry.channels > 1 and volume.channels != entry.channels:
        kind = "grey" if volume.channels == 1 else f"of {volume.channels} channels"
        raise ModelError(
            f"{entry.name} takes the {entry.channels} colours of an image together, this image is {kind}. Choose "
            "another model (`medsr models`)."
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
        if (factor := _beyond(entry, _own_axes(target.factors_xyz, dims, options))) is not None:
            warnings.append(
                f"{entry.name} learned factors up to {entry.several_axes:g} along several axes; {factor:.3g} is asked. "
                f"{FALLBACK} does better there."
            )
    else:
        dims = {"3d": 3, "2d": 2}.get(options.mode, 2 if thin else 3)
        entry = _automatic_model(modality, dims, noise or 0.0)
        shape = "slice by slice" if dims == 2 else "volumetric"
        reason = f"fewer than {MIN_SLICES_3D} slices" if thin and options.mode == "auto" else shape
        if (factor := _beyond(entry, _own_axes(target.factors_xyz, dims, options))) is not None:
            reason += f", factor {factor:.3g} along several axes: {entry.name} learned {entry.several_axes:g} at most"
            entry = find_model(FALLBACK)
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
    if entry.needs_torch and not entry.scales and not largest <= high * 1.01:
        warnings.append(f"{entry.name} was trained for factors up to {high:g}; {largest:.3g} is asked.")
    return entry, dims


def _own_axes(factors_xyz: tuple[float, float, float], dims: int, options: UpscaleOptions) -> list[float]:
    """Factors of the axes that a network of `dims` dimensions works on."""
    across = 2 - across_axis(options, factors_xyz)
    return [factor for axis, factor in enumerate(factors_xyz) if dims == 3 or axis != across]


def _beyond(entry: CatalogEntry, factors: Sequence[float]) -> float | None:
    """The second largest factor, where it is beyond what a refiner learned; else None."""
    second = sorted(factors)[-2]
    return second if entry.kind == "network" and not entry.scales and second > entry.several_axes * 1.01 else None


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
        and not entry.scales
        and not entry.perceptual
        and modality in entry.modalities
        and dims in entry.spatial_dims
    ]
    if not fitting:
        return find_model(FALLBACK)
    # Made for this noise, then the most specialised: for fewer modalities.
    return min(fitting, key=lambda e: (not e.noise[0] <= noise < e.noise[1], len(e.modalities), e.name))


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
