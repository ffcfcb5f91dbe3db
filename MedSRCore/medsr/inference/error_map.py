"""The error map of a result: per voxel half the width of an interval that holds the truth in nine of ten voxels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.inference.calibration import COVERAGE, Calibration, scale_path
from medsr.inference.consistency import Consistency
from medsr.inference.error_scale import ErrorScale
from medsr.inference.solving import Solved
from medsr.methods.plan import Plan
from medsr.normalisation import Normalisation
from medsr.notices import Notice, notice
from medsr.physics.condition import acquisition_condition, canonical_axes
from medsr.physics.sampling import AxisSampling

Array = NDArray[np.float32]

_USUAL_NOISE, _LEAST_MISFIT = 0.03, 1e-4
_TAIL = math.log(1 / (1 - COVERAGE))
_EDGES = 90
_SAMPLE = 500_000


@dataclass(frozen=True)
class ErrorMap:
    """What was found.

    Attributes:
        half_widths: on the grid of the work, in the units of the image; changed by nobody.
        widened: why they are wider than those of calibrated inputs.
        typical: nine of ten voxels of the body lie within this.
        at_edges: the same of the tenth of the body with the steepest edges.
        signal: the brightest intensities above the darkest, in the same units.
    """

    half_widths: Array
    widened: tuple[Notice, ...]
    typical: float
    at_edges: float
    signal: float


def error_map(solved: Solved, calibration: Calibration) -> ErrorMap:
    """How far each voxel of a result may be off.

    Args:
        solved: the result.
        calibration: of its model.

    Raises:
        ModelError: the error scale is missing or is not the one that was calibrated.
    """
    plan = solved.plan
    scale = ErrorScale.load(scale_path(plan.modality), calibration.scale_sha256)
    seen = view_of(solved)
    factor, widened = calibration.factor_for(plan, roughness_of(solved.coarse, seen.units))
    half_widths = scale.half_widths(seen.result, seen.plain, seen.condition, seen.order)
    half_widths *= np.float32(factor * seen.units.span)
    gaps = _gaps(plan.acquisition.axes[0])
    if gaps.max() > 1:
        half_widths *= gaps[:, None, None]
        widened = [*widened, notice("error.gaps", times=float(gaps.max()))]
    typical, at_edges = _in_words(half_widths, solved.work)
    return ErrorMap(half_widths, tuple(widened), typical, at_edges, seen.units.span)


def _gaps(slices: AxisSampling) -> Array:
    """For each plane of the work, how much farther off it is than between slices in line: 1 where it is not.

    What is interpolated over twice the distance is off by four times as much, as far as an image is smooth.
    """
    if slices.centres is None:
        return np.ones(slices.n_fine, dtype=np.float32)
    away = np.abs(np.arange(slices.n_fine)[:, None] - np.array(slices.centres)).min(axis=1)
    return np.asarray(np.maximum(away / (slices.factor / 2), 1.0) ** 2, dtype=np.float32)


@dataclass(frozen=True)
class View:
    """What the error scale looks at, see `ErrorScale.half_widths`; intensities are normalised by `units`."""

    result: Array
    plain: Array
    condition: tuple[float, ...]
    order: tuple[int, ...]
    units: Normalisation


def view_of(solved: Solved) -> View:
    """A result as the error scale sees it."""
    plan = solved.plan
    units = Normalisation.of(solved.coarse, plan.modality)
    axes = plan.acquisition.axes
    order = canonical_axes([axis.factor for axis in axes])
    condition = (*acquisition_condition([axes[i] for i in order]), *_further(plan, solved.checks[0]))
    return View(units.apply(solved.work), units.apply(solved.plain), condition, order, units)


def _further(plan: Plan, agreement: Consistency) -> Sequence[float]:
    """What else is told: noise, how badly the bare result explained the input, and the kind of model."""
    return (
        float(plan.noise is not None),
        (plan.noise or 0.0) / _USUAL_NOISE,
        math.log10(max(agreement.residual_before, _LEAST_MISFIT)) + 2,
        float(plan.entry.kind == "deconvolution"),
        float(plan.entry.kind == "interpolation"),
    )


def roughness_of(coarse: Array, units: Normalisation) -> float:
    """Mean step between neighbours inside the body, normalised: a texture that was never met has another."""
    inside = body(coarse)
    steps = [np.abs(np.diff(coarse, axis=axis)) for axis in range(3) if coarse.shape[axis] > 1]
    within = [np.take(inside, range(1, inside.shape[axis]), axis=axis) for axis in range(3) if coarse.shape[axis] > 1]
    found = [float(step[mask].mean()) for step, mask in zip(steps, within, strict=True) if mask.any()]
    return max(found, default=0.0) / units.span


def body(image: Array) -> NDArray[np.bool_]:
    """What is brighter than the darkest tenth of the range of intensities."""
    low, high = np.percentile(image.reshape(-1)[:: max(1, image.size // _SAMPLE)], (1, 99))
    return np.asarray(image > low + 0.1 * (high - low))


def _in_words(half_widths: Array, work: Array) -> tuple[float, float]:
    """Within what nine of ten voxels of the body lie, and of its steepest tenth."""
    inside = body(work)
    steep = np.zeros(work.shape, dtype=np.float32)
    for axis in range(3):
        if work.shape[axis] > 1:
            steep += np.square(np.gradient(work, axis=axis))
    if not inside.any():
        inside = np.ones(work.shape, dtype=bool)
    widths, steep = half_widths[inside], steep[inside]
    at_edges = widths[steep >= np.percentile(steep, _EDGES)]
    return _pooled(widths), _pooled(at_edges)


def _pooled(widths: Array) -> float:
    """The error that `COVERAGE` of the voxels stay below, where errors of each are spread exponentially."""
    some = widths[:: max(1, widths.size // 20_000)].astype(np.float64)
    low, high = 0.0, float(some.max())
    for _ in range(40):
        middle = (low + high) / 2
        held = float((1 - np.exp(-_TAIL * middle / some)).mean())
        low, high = (middle, high) if held < COVERAGE else (low, middle)
    return high


def for_report(found: ErrorMap, calibration: Calibration, plan: Plan) -> dict[str, Any]:
    """What reports and the terminal say of an error map."""
    typical, edges = found.typical * plan.units.unit, found.at_edges * plan.units.unit
    # The intensities of MR have no unit; a share of the signal says more.
    unit = " HU" if plan.modality == "CT" else ""
    share = "" if unit else f" ({100 * found.typical / found.signal:.2g} % of the brightest signal)"
    measured = [
        {"volumes": group.volumes, "coverage": group.coverage, "range": [group.lowest, group.highest]}
        for group in calibration.alike(plan)
    ]
    return {
        "coverage": COVERAGE,
        "typical": float(f"{typical:.4g}"),
        "at_edges": float(f"{edges:.4g}"),
        "unit": unit.strip(),
        "percent_of_signal": float(f"{100 * found.typical / found.signal:.2g}"),
        "measured": measured,
        "widened": [one.to_json() for one in found.widened],
        "meaning": f"9 of 10 voxels lie within +-{typical:.3g}{unit}{share} of the truth, at edges within "
        f"+-{edges:.3g}{unit}.",
    }
