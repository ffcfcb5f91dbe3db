"""The main job: a volume in, a sharper volume in the same patient space out, with a report of what was done."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

import medsr
from medsr.catalog import PERCEPTUAL, CatalogEntry
from medsr.errors import InputError, InvalidValueError, ModelError
from medsr.facts import Facts
from medsr.geometry import Geometry
from medsr.inference.bounds import Bound
from medsr.inference.consistency import Consistency, make_consistent
from medsr.inference.null_space import SeenEnergy, seen_energy, undetermined_part
from medsr.inference.planner import make_plan, working_array
from medsr.inference.profile_fit import fit_notices, fitted_acquisition
from medsr.inference.voxel_types import as_dtype, check_dtype, give_back
from medsr.jobs import Progress
from medsr.jsontext import finite
from medsr.methods.interpolate import interpolate
from medsr.methods.method import Enlarger
from medsr.methods.plan import Plan, check_memory
from medsr.normalisation import Units
from medsr.options import UpscaleOptions, parse_bytes
from medsr.physics.profiles import Profile
from medsr.physics.sampling import AxisSampling, apply_along
from medsr.planning.target import Target
from medsr.resources import available_memory
from medsr.volume import Volume

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Result:
    """What a super-resolution gives.

    Attributes:
        volume: the sharper volume.
        report: JSON-ready: input and output grids, model, decisions, warnings, consistency, seconds, versions.
        maps: further volumes: "difference" (result minus linear enlargement, on the output grid) and "residual"
            (degraded result minus input, on the input's grid), where they were asked for.
    """

    volume: Volume
    report: Mapping[str, Any]
    maps: Mapping[str, Volume] = field(default_factory=dict)


MAPS = ("difference", "residual")
_AGREEMENT = ("residual_before", "residual", "bias", "noise", "strength")


def super_resolve(
    volume: Volume,
    options: UpscaleOptions | None = None,
    progress: Progress | None = None,
    *,
    reference: Geometry | None = None,
    maps: tuple[str, ...] = (),
) -> Result:
    """Super-resolve one volume.

    Args:
        volume: the input.
        options: how; the defaults are sensible.
        progress: receives stages, fractions and warnings, and may cancel.
        reference: the target grid, when ``options.reference`` names a file.
        maps: which of `MAPS` to make as well.

    Raises:
        InputError: voxels that cannot be processed.
        InvalidValueError, UnknownNameError, ModelError: options that cannot be met for this volume.
        ResourceError: not enough memory.
        MissingDependencyError: a network was asked for by name, and torch is not installed.
        CancelledError: `progress` said stop.
    """
    started = time.perf_counter()
    options = options or UpscaleOptions()
    progress = progress or Progress()
    progress.stage("Checking the input")
    volume.check_usable(labels_allowed=options.not_labels)
    if options.reference is not None and reference is None:
        raise InputError("The grid of the reference image was not given.")
    if maps and volume.channels > 1:
        raise InvalidValueError(f"Maps are made of grey images; this one has {volume.channels} channels.")
    check_dtype(volume.array, options.dtype)
    plan = make_plan(volume, options, reference, runnable=True)
    for warning in plan.warnings:
        progress.warn(warning)
    limit = parse_bytes(options.memory) if options.memory else available_memory()
    if limit is not None:
        check_memory(plan, limit)

    coarse = working_array(volume, plan.padding, plan.units)
    bound = Bound.of(coarse, plan)
    enlarge = plan.method.enlarger(plan, options.device, limit, coarse)
    work, checks = _each_channel(coarse, plan, enlarge, bound, options, progress)
    extra = _make_maps(work, coarse, checks[0][0], plan, volume, maps)
    progress.stage("Finishing")
    output = _to_output_grid(work, plan.target, float(coarse.min()))
    del work, coarse
    if bound and plan.target.needs_resampling:
        replace(bound, padding=None).hold(output)
    voxels, rounded, clipped = as_dtype(plan.units.invert(output), volume.array.dtype, options.dtype)
    del output
    held = max((check.bounded for check, _ in checks), key=lambda each: each.count)
    fitted = fit_notices(plan.acquisition, checks[0][0].acquisition, plan.target.source.spacing_xyz_mm)
    bounded = bound.notice(held, plan.target.work.voxels, plan.units) if bound else None
    for warning in clipped:
        progress.warn(warning)
    plan = replace(
        plan,
        decisions=(*plan.decisions, *fitted, *filter(None, [bounded]), *rounded),
        warnings=(*plan.warnings, *clipped),
    )
    if plan.padding is not None:
        give_back(voxels, plan.target.output, plan.padding, volume)
    result = volume.replace(
        array=voxels,
        geometry=plan.target.output,
        facts=Facts(),
        warnings=(),
        modality=volume.modality or (plan.modality if not volume.planar else None),
        metadata={**volume.metadata, "provenance": provenance_text(plan.entry)},
    )
    report = {
        **plan.to_dict(),
        "source": volume.source,
        "device": enlarge.device,
        "consistency": _worst([check for check, _ in checks], plan),
        "undetermined": undetermined_part([seen for _, seen in checks], plan.target),
        "perceptual": plan.entry.perceptual,
        "seconds": round(time.perf_counter() - started, 3),
        "versions": _versions(),
        "notice": "Not a medical device. Not for clinical decisions.",
    }
    progress.at(1.0)
    return Result(result, finite(report), extra)


def provenance_text(entry: CatalogEntry) -> str:
    """What made a result, for the header of its file; the mark comes first, since headers are short."""
    mark = f"{PERCEPTUAL}; " if entry.perceptual else ""
    return f"MedSR {medsr.__version__}; {mark}model {entry.name} {entry.version}".strip()


def _each_channel(
    coarse: Array, plan: Plan, enlarge: Enlarger, bound: Bound | None, options: UpscaleOptions, progress: Progress
) -> tuple[Array, list[tuple[Consistency, SeenEnergy]]]:
    """Enlarge, every colour alone or all together, and compare; ``(z, y, x)`` or ``(z, y, x, c)``."""
    parts = [coarse] if plan.together else _colours(coarse)
    results, checks = [], []
    for number, part in enumerate(parts):
        progress.stage(f"Enlarging with {plan.entry.name}")
        start, share = number / len(parts), 0.97 / len(parts)
        fine = enlarge(np.ascontiguousarray(part), progress.section(start, start + 0.9 * share))
        progress.stage("Comparing with the measured data")
        for result, measured in zip(_colours(fine), _colours(part), strict=True):
            checks.append(_compare(result, measured, plan, bound, apply=options.consistency))
        results.append(fine)
        progress.at(start + share)
    return (results[0] if len(results) == 1 else np.stack(results, axis=-1)), checks


def _colours(image: Array) -> list[Array]:
    """Views ``(z, y, x)`` of every colour; of a grey image the image."""
    return [image] if image.ndim == 3 else [image[..., colour] for colour in range(image.shape[3])]


def _compare(
    fine: Array, coarse: Array, plan: Plan, bound: Bound | None, *, apply: bool
) -> tuple[Consistency, SeenEnergy]:
    """How one enlarged channel agrees with what was measured; a network's result is moved towards it where allowed."""
    apply = apply and plan.method.corrects(plan)
    # In CT, with noise and kernels, the network's own smoothness is taken for a wider profile.
    fits = apply and plan.modality == "MR"
    acquisition = fitted_acquisition(fine, coarse, plan.acquisition) if fits else plan.acquisition
    agreement = make_consistent(
        fine,
        coarse,
        acquisition,
        noise=plan.noise,
        apply=apply,
        bound=bound,
        padding=None if plan.padding is None else plan.padding.mask,
    )
    if not math.isfinite(agreement.residual):
        raise ModelError(
            f"{plan.entry.name} gave numbers that are not finite. Nothing was written. Rescale the intensities of the "
            "image, or choose another model."
        )
    return agreement, seen_energy(fine, agreement.difference + coarse, acquisition)


def _to_output_grid(work: Array, target: Target, outside: float) -> Array:
    """Bring the work grid's result onto the output grid, where they differ."""
    if not target.needs_resampling:
        return work
    if work.ndim == 4:
        return np.stack([_to_output_grid(work[..., c], target, outside) for c in range(work.shape[3])], axis=-1)
    grid = target.work
    # Coarser along an axis: average as a scanner with voxels of that size would, before sampling.
    coarser = np.array(target.output.affine[:3, :3])
    steps = np.abs(np.linalg.inv(grid.affine[:3, :3]) @ coarser).max(axis=1)
    blur = {}
    for axis, step in enumerate(steps):
        if step > 1 + 1e-3:
            n = grid.size_xyz[axis]
            blur[2 - axis] = AxisSampling(n, n, 1.0, Profile("gaussian", float(step)), 0.0).matrix
    smooth = apply_along(work, blur) if blur else work
    # On its own lattice a voxel is taken as it is; elsewhere a cubic spline is the best local guess.
    return interpolate(np.asarray(smooth, dtype=np.float32), grid, target.output, "bspline", outside=outside)


def _make_maps(
    work: Array, coarse: Array, agreement: Consistency, plan: Plan, volume: Volume, names: tuple[str, ...]
) -> dict[str, Volume]:
    maps: dict[str, Volume] = {}
    differences = Units(0.0, plan.units.unit)
    if work.ndim == 4 or not names:
        return maps
    if "difference" in names:
        plain = interpolate(coarse, plan.target.source, plan.target.work, "linear")
        change = _to_output_grid(work - plain, plan.target, 0.0)
        if plan.padding is not None:
            plan.padding.give_back(change, plan.target.source, plan.target.output)
        change = differences.invert(change)
        maps["difference"] = volume.replace(array=change, geometry=plan.target.output, warnings=())
    if "residual" in names:
        residual = agreement.difference
        if plan.padding is not None:
            residual[plan.padding.mask] = 0
        maps["residual"] = volume.replace(array=differences.invert(residual), warnings=())
    return maps


def _worst(agreement: list[Consistency], plan: Plan) -> dict[str, Any]:
    """The consistency of the worst channel, with explanations for people."""
    worst = max(agreement, key=lambda c: c.residual)
    percent = 100 * worst.residual
    model = plan.entry
    as_measured = not plan.scale or plan.method.corrects(plan)
    learned = "" if as_measured else f" ({model.downscaling}, which {model.name} learned to undo)"
    measured = " It was measured, not corrected." if learned else ""
    return {
        **{name: float(f"{getattr(worst, name):.6g}") for name in _AGREEMENT},
        "bias": float(f"{worst.bias * plan.units.unit:.6g}"),
        "residual_percent": round(percent, 4),
        "meaning": f"Degraded again{learned}, the result differs from the measured data by {percent:.2g} % of the "
        f"signal.{measured}",
    }


def _versions() -> dict[str, str]:
    versions = {"medsr": medsr.__version__, "python": platform.python_version()}
    for package in ("numpy", "SimpleITK", "torch"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
