"""Making one copy: image, label map and the sidecar that says how, complete or not at all."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import medsr
from medsr.augmentation.acquisition import Drawn, describe
from medsr.augmentation.channels import make_channels, on_one_grid
from medsr.augmentation.labels import label_values, resample_labels
from medsr.augmentation.levels import find_step, rounded
from medsr.augmentation.originals import stage_channels, translated
from medsr.augmentation.recipes import Recipe
from medsr.augmentation.structures import compare_structures
from medsr.augmentation.tasks import Task
from medsr.cohort.work import FAILED, FAILURES, KEPT, MADE, TaskResult, reason
from medsr.errors import CancelledError, InputError, OutputError
from medsr.inference.pipeline import Result
from medsr.io import Staging, read_channels, read_volume, stage_volume
from medsr.jobs import Progress
from medsr.jsontext import parse_json
from medsr.options import UpscaleOptions
from medsr.volume import Volume

# What the report of a super-resolution says that is the same on every machine.
_REPORTED = (
    "model", "model_version", "mode", "modality", "factors_xyz", "acquisition", "noise",
    "perceptual", "decisions", "warnings",
)  # fmt: skip


def make_copy(task: Task, progress: Progress) -> TaskResult:
    """Make the copy that `task` describes; a failure is told in the result.

    Raises:
        CancelledError: `progress` says so; nothing of this copy is left behind.
    """
    started = time.perf_counter()
    try:
        if is_complete(task):
            return TaskResult(task.name, KEPT)
        warnings = _make(task, progress)
    except CancelledError:
        raise
    except FAILURES as error:
        seconds = time.perf_counter() - started
        return TaskResult(task.name, FAILED, reason(error), seconds=seconds)
    return TaskResult(task.name, MADE, warnings=warnings, seconds=time.perf_counter() - started)


def is_complete(task: Task) -> bool:
    """True when all files of the copy are there and were made from the same task."""
    made_from = recorded_digest(Path(task.sidecar))
    return made_from == task.digest and all(
        path.is_file() and path.stat().st_size for path in map(Path, (*task.image_outputs, task.label_output))
    )


def recorded_digest(sidecar: Path) -> str | None:
    """The digest of the task that a finished copy was made from; None where there is no finished copy."""
    try:
        found = parse_json(sidecar.read_bytes())["digest"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return found if isinstance(found, str) else None


def _make(task: Task, progress: Progress) -> tuple[str, ...]:
    recipe = Recipe.from_dict(task.recipe)
    # A sidecar is written last: files without one are what a killed run left.
    finished = recorded_digest(Path(task.sidecar)) is not None
    if finished and not task.overwrite:
        raise OutputError(
            f"A copy {task.name} is there that was made otherwise. Choose another folder, or pass --overwrite."
        )
    label = _read_label(task)
    volumes = _read_images(task)
    options = UpscaleOptions(device=task.device, memory=task.memory, dtype=task.dtype)
    made = make_channels(volumes, recipe, task.seed, task.modalities, options, progress)
    results = [one.result for one in made]
    if task.dtype == "same":
        results = [_in_steps(result, volume) for result, volume in zip(results, volumes, strict=True)]
    finer = resample_labels(label, results[0].volume.geometry)
    progress.check()
    drawn = [one.drawn for one in made if one.drawn is not None]
    record = _record(task, recipe, drawn, results, [_intensities(volume) for volume in volumes], label, finer)
    _write(task, results, finer, record)
    return tuple(dict.fromkeys(warning["text"] for result in results for warning in result.report["warnings"]))


def _read_images(task: Task) -> list[Volume]:
    """The channels of the original."""
    volumes = [volume for path in task.images for volume in read_channels(path)]
    if len(volumes) != len(task.modalities):
        raise InputError(f"{task.case} holds {len(volumes)} channels, not {len(task.modalities)}: its files changed.")
    for volume in volumes:
        volume.check_usable()
    return on_one_grid(volumes, [str(number) for number in range(1, len(volumes) + 1)])


def _in_steps(result: Result, volume: Volume) -> Result:
    """The result with the intensities that `volume` could have, where these are steps stored in floating voxels."""
    step = find_step(volume.array)
    if step is None:
        return result
    return dataclasses.replace(result, volume=result.volume.replace(array=rounded(result.volume.array, *step)))


def _read_label(task: Task) -> Volume:
    """The label map with the values that shall be written."""
    label = read_volume(task.label)
    found = label_values(label)
    unknown = [value for value in found if value not in task.values]
    if unknown:
        raise InputError(f"The label map of {task.case} holds {unknown}, which the training set does not name.")
    return translated(label, task.values)


def _record(
    task: Task,
    recipe: Recipe,
    drawn: list[Drawn],
    results: list[Result],
    intensities: list[list[float]],
    before: Volume,
    after: Volume,
) -> dict[str, Any]:
    """What the sidecar says. It holds neither times nor names of machines: equal copies have equal sidecars."""
    first = results[0].volume
    return {
        "name": task.name,
        "case": task.case,
        "subject": task.subject,
        "source": dict(task.sources),
        "recipe": recipe.to_dict(),
        "copy": task.copy,
        "seed": task.seed,
        "drawn": [describe(one) for one in drawn],
        "channels": [{key: result.report[key] for key in _REPORTED} for result in results],
        "intensities": [
            {"before": was, "after": _intensities(result.volume)}
            for was, result in zip(intensities, results, strict=True)
        ],
        "grid": {
            "size_xyz": list(first.geometry.size_xyz),
            "spacing_xyz_mm": [round(s, 6) for s in first.geometry.spacing_xyz_mm],
        },
        "structures": compare_structures(before, after, task.structures),
        "files": {
            "images": [_from(task.sidecar, path) for path in task.image_outputs],
            "label": _from(task.sidecar, task.label_output),
        },
        "version": medsr.__version__,
        "digest": task.digest,
        "notice": "Made by MedSR from the image named under source. Not acquired by a scanner.",
    }


def _intensities(volume: Volume) -> list[float]:
    """The 1st, 50th and 99th percentile, of at most a million voxels."""
    sample = volume.array.reshape(-1)[:: max(1, volume.array.size // 1_000_000)]
    return [float(f"{value:.6g}") for value in np.percentile(sample.astype(np.float64), (1, 50, 99))]


def _from(sidecar: str, path: str) -> str:
    """`path` as seen from the folder of the sidecar."""
    return os.path.relpath(path, Path(sidecar).parent).replace(os.sep, "/")


def _write(task: Task, results: list[Result], label: Volume, record: Mapping[str, Any]) -> None:
    sidecar = Path(task.sidecar)
    for path in map(Path, (*task.image_outputs, task.label_output, task.sidecar)):
        path.parent.mkdir(parents=True, exist_ok=True)
    with Staging(overwrite=True) as staging:
        stage_channels([result.volume for result in results], task.image_outputs, staging)
        stage_volume(label, task.label_output, staging)
        staging.draft(sidecar).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
