"""What is told of a fusion: as JSON, and in lines for people."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from medsr.fusion.observing import Observation
from medsr.fusion.placing import Placed
from medsr.geometry import Geometry
from medsr.inference.pipeline import versions
from medsr.jsontext import finite
from medsr.methods.plan import grid_json

SCHEMA = "medsr-fuse/1"


def make_report(
    placed: Sequence[Placed],
    observations: Sequence[Observation],
    residuals: Sequence[float],
    smoothness: float,
    networks: Sequence[str],
    warnings: Sequence[str],
    output: Geometry,
    started: float,
) -> dict[str, Any]:
    """The report, JSON-ready."""
    stacks = [
        _of_stack(each, observation, residual)
        for each, observation, residual in zip(placed, observations, residuals, strict=True)
    ]
    report = {
        "schema": SCHEMA,
        "output": grid_json(output),
        "modality": placed[0].stack.modality,
        "stacks": stacks,
        "smoothness": float(f"{smoothness:.6g}"),
        "networks": list(networks),
        "warnings": list(warnings),
        "seconds": round(time.perf_counter() - started, 3),
        "versions": versions(),
        "notice": "Not a medical device. Not for clinical decisions.",
    }
    found: dict[str, Any] = finite(report)
    return found


def _of_stack(placed: Placed, observation: Observation, residual: float) -> dict[str, Any]:
    stack, fit, found = placed.stack, placed.fit, placed.match
    registration = intensities = None
    if fit is not None and found is not None:
        registration = {
            "shift_mm": round(fit.shift_mm, 3),
            "shift_xyz_mm": [round(v, 3) for v in fit.translation_mm],
            "degrees": round(fit.degrees, 3),
            "matrix_lps_mm": [[round(float(v), 8) for v in row] for row in fit.matrix],
            "agreement": round(found.agreement, 4),
            "agreement_before_shading": round(found.unshaded, 4),
        }
        intensities = {"scale": float(f"{found.scale:.5g}"), "shading_percent": round(found.shading_percent, 2)}
    return {
        "source": stack.volume.source,
        "input": grid_json(stack.volume.geometry),
        "acquisition": [
            axis.to_json(spacing)
            for axis, spacing in zip(stack.evidence, stack.volume.geometry.spacing_xyz_mm, strict=True)
        ],
        "decisions": [one.to_json() for one in placed.decisions],
        "registration": registration,
        "intensities": intensities,
        "used_percent": round(100 * float(observation.used.mean()), 2),
        "noise_percent": None if stack.noise is None else round(100 * stack.noise, 3),
        "weight": round(observation.weight, 4),
        "residual_percent": float(f"{100 * residual:.4g}"),
    }
