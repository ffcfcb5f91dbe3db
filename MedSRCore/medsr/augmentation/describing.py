"""A plan in words and numbers: counts, disk, time, and what to do next."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medsr.augmentation.costs import slowdown
from medsr.augmentation.datasets import planned_spacing, training_commands
from medsr.augmentation.planning import CohortPlan


def describe_plan(plan: CohortPlan) -> dict[str, Any]:
    """The plan as JSON data, with sentences for people."""
    output = Path(plan.layout.records).absolute()
    existing = next(folder for folder in (output, *output.parents) if folder.is_dir())
    recipes = Counter(str(task.recipe["name"]) for task in plan.tasks)
    subjects = {case.subject for case, _ in plan.originals}
    free = shutil.disk_usage(existing).free
    there = f", {plan.already_there} of them finished" if plan.already_there else ""
    lines = [
        f"{len(plan.originals)} cases of {len(subjects)} subjects ({plan.dataset.format}), labels: "
        f"{', '.join(plan.structures)}.",
        f"{len(plan.tasks)} copies{there}: {', '.join(f'{n} {name}' for name, n in recipes.items())}.",
        f"Output as {plan.format}, about {plan.disk_bytes / 1e6:.3g} MB; {free / 1e9:.3g} GB are free.",
    ]
    if plan.refused:
        lines.append(f"{len(plan.refused)} cases cannot be used.")
    commands, about = _nnunet(plan) if plan.format == "nnunet" else ([], "")
    if about:
        lines.append(about)
    return {
        "cases": len(plan.originals),
        "subjects": len(subjects),
        "copies": len(plan.tasks),
        "already_there": plan.already_there,
        "recipes": dict(recipes),
        "structures": dict(plan.structures),
        "format": plan.format,
        "disk_bytes": plan.disk_bytes,
        "disk_free_bytes": free,
        "seconds": round(plan.seconds, 1),
        "seconds_now": round(plan.seconds * slowdown(), 1),
        "memory_bytes": plan.memory_bytes,
        "lines": lines,
        "warnings": list(plan.warnings),
        "next": commands,
    }


def _nnunet(plan: CohortPlan) -> tuple[list[str], str]:
    """What to run to train, and how nnU-Net would plan where copies have other voxels than their originals."""
    planar = all(grid.size_xyz[2] == 1 for grid in plan.original_grids)
    everything = (*plan.original_grids, *plan.copy_grids)
    finest = np.min([grid.spacing_xyz_mm[::-1] for grid in everything], axis=0).tolist()
    unchanged = np.min([grid.spacing_xyz_mm[::-1] for grid in plan.original_grids], axis=0).tolist()
    # Copies on the grids of their originals change nothing about the plan.
    if planar or np.allclose(finest, unchanged, rtol=0.01):
        return training_commands(plan.output, planar=planar), ""
    alone, both = planned_spacing(plan.original_grids), planned_spacing(everything)
    about = (
        f"nnU-Net resamples all images to one spacing, by itself to {_mm(both)} mm (z, y, x; {_mm(alone)} mm without "
        f"the copies). The commands ask for {_mm(finest)} mm, so that the finest images stay as they are."
    )
    return training_commands(plan.output, finest), about


def _mm(spacing: Sequence[float]) -> str:
    return " x ".join(f"{value:.3g}" for value in spacing)
