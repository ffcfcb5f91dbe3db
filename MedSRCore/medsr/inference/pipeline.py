"""The main job: a volume in, a sharper volume in the same patient space out, with a report of what was done."""

from __future__ import annotations

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import medsr
from medsr.catalog import PERCEPTUAL, CatalogEntry
from medsr.errors import InputError, InvalidValueError
from medsr.facts import Facts
from medsr.geometry import Geometry
from medsr.inference.calibration import Calibration, calibration_for
from medsr.inference.consistency import Consistency
from medsr.inference.error_map import for_report
from medsr.inference.maps import make_maps
from medsr.inference.null_space import undetermined_part
from medsr.inference.planner import make_plan
from medsr.inference.profile_fit import fit_notices
from medsr.inference.regridding import to_output_grid
from medsr.inference.solving import solve
from medsr.inference.voxel_types import as_dtype, check_dtype, give_back
from medsr.jobs import Progress
from medsr.jsontext import finite
from medsr.methods.plan import Plan
from medsr.options import UpscaleOptions
from medsr.volume import Volume


@dataclass(frozen=True)
class Result:
    """What a super-resolution gives.

    Attributes:
        volume: the sharper volume.
        report: JSON-ready: input and output grids, model, decisions, warnings, consistency, seconds, versions.
        maps: further volumes by name, see `medsr.maps`, where they were asked for.
    """

    volume: Volume
    report: Mapping[str, Any]
    maps: Mapping[str, Volume] = field(default_factory=dict)


_AGREEMENT = ("residual_before", "residual", "bias", "noise", "strength")


def super_resolve(
    volume: Volume,
    options: UpscaleOptions | None = None,
    progress: Progress | None = None,
    *,
    reference: Geometry | None = None,
    maps: tuple[str, ...] = (),
    calibration: Calibration | None = None,
    plan: Plan | None = None,
) -> Result:
    """Super-resolve one volume.

    Args:
        volume: the input.
        options: how; the defaults are sensible.
        progress: receives stages, fractions and warnings, and may cancel.
        reference: the target grid, when ``options.reference`` names a file.
        maps: names of `medsr.maps.MAPS` to make as well.
        calibration: of an error map, in place of what is known of the model.
        plan: of another frame of the same series, for these options; None makes one.

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
    plan = plan or make_plan(volume, options, reference, runnable=True)
    calibration = (calibration or calibration_for(plan)) if "error" in maps else None
    for warning in plan.warnings:
        progress.warn(warning)
    solved = solve(volume, plan, options, progress)
    extra, errors = make_maps(maps, solved, calibration)
    progress.stage("Finishing")
    output = to_output_grid(solved.work, plan.target, float(solved.coarse.min()))
    bound, checks, device = solved.bound, solved.checks, solved.device
    del solved  # its arrays are as large as the output
    if bound and plan.target.needs_resampling:
        replace(bound, padding=None).hold(output)
    voxels, rounded, clipped = as_dtype(plan.units.invert(output), volume.array.dtype, options.dtype)
    del output
    held = max((check.bounded for check in checks), key=lambda each: each.count)
    fitted = fit_notices(plan.acquisition, checks[0].acquisition, plan.target.source.spacing_xyz_mm)
    bounded = bound.notice(held, plan.target.work.voxels, plan.units) if bound else None
    late = (*clipped, *(errors.widened if errors else ()))
    for warning in late:
        progress.warn(warning)
    plan = replace(
        plan,
        decisions=(*plan.decisions, *fitted, *filter(None, [bounded]), *rounded),
        warnings=(*plan.warnings, *late),
    )
    if plan.padding is not None:
        give_back(voxels, plan.target.output, plan.padding, volume)
    result = volume.replace(
        array=voxels,
        geometry=plan.target.output,
        places=(),
        facts=Facts(),
        warnings=(),
        modality=volume.modality or (plan.modality if not volume.planar else None),
        metadata={**volume.metadata, "provenance": provenance_text(plan.entry)},
    )
    report = {
        **plan.to_dict(),
        "source": volume.source,
        "device": device,
        "consistency": _worst(checks, plan),
        "undetermined": undetermined_part(
            [check.seen for check in checks], plan.target, len(volume.array) / volume.geometry.size_xyz[2]
        ),
        **({"error": for_report(errors, calibration, plan)} if errors and calibration else {}),
        "perceptual": plan.entry.perceptual,
        "phantoms": plan.entry.on_phantoms,
        "seconds": round(time.perf_counter() - started, 3),
        "versions": versions(),
        "notice": "Not a medical device. Not for clinical decisions.",
    }
    progress.at(1.0)
    return Result(result, finite(report), extra)


def provenance_text(entry: CatalogEntry) -> str:
    """What made a result, for the header of its file; the mark comes first, since headers are short."""
    mark = f"{PERCEPTUAL}; " if entry.perceptual else ""
    return f"MedSR {medsr.__version__}; {mark}model {entry.name} {entry.version}".strip()


def _worst(agreement: Sequence[Consistency], plan: Plan) -> dict[str, Any]:
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


def versions() -> dict[str, str]:
    """What made a result, for its report."""
    return {"medsr": medsr.__version__, "python": platform.python_version(), **_packages()}


@lru_cache(maxsize=1)
def _packages() -> dict[str, str]:
    """Versions of the packages that compute; finding them takes as long as enlarging a patch."""
    versions = {}
    for package in ("numpy", "SimpleITK", "torch"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
