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
from medsr.augmentation.acquisition import Drawn, acquire, describe, draw
from medsr.augmentation.labels import label_values, resample_labels
from medsr.augmentation.levels import find_step, rounded
from medsr.augmentation.originals import translated
from medsr.augmentation.recipes import Recipe
from medsr.augmentation.structures import compare_structures
from medsr.augmentation.tasks import FAILED, KEPT, MADE, Task, TaskResult
from medsr.errors import CancelledError, InputError, MedSRError, OutputError
from medsr.facts import Fact, Facts
from medsr.geometry import Geometry
from medsr.inference.pipeline import Result, super_resolve
from medsr.inference.planner import decide_modality
from medsr.inference.voxel_types import give_back
from medsr.io import Staging, read_volume, stage_volume
from medsr.jobs import Progress
from medsr.jsontext import parse_json
from medsr.options import UpscaleOptions
from medsr.planning.padding import without_padding
from medsr.volume import Volume

# What a file or a model may throw. One bad case must not cost the others' night.
_FAILURES = (
    MedSRError, ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, MemoryError, OSError,
    RuntimeError, TypeError, ValueError,
)  # fmt: skip
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
            return TaskResult(task.name, task.case, KEPT)
        warnings = _make(task, progress)
    except CancelledError:
        raise
    except _FAILURES as error:
        seconds = time.perf_counter() - started
        return TaskResult(task.name, task.case, FAILED, _reason(error), seconds=seconds)
    return TaskResult(task.name, task.case, MADE, warnings=warnings, seconds=time.perf_counter() - started)


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
    results: list[Result] = []
    before: list[list[float]] = []
    drawn: Drawn | None = None
    warnings: list[str] = []
    for channel, path in enumerate(task.images):
        volume = read_volume(path)
        volume.check_usable()
        modality, _ = decide_modality(volume, task.modalities[channel])
        options = UpscaleOptions(
            model=recipe.model,
            modality=modality,
            device=task.device,
            memory=task.memory,
            dtype=task.dtype,
            profile=recipe.profile,
            **{key: value for key, value in recipe.target.items() if key != "grid"},
        )
        reference: Geometry | None = None
        if recipe.noise is not None and modality == "MR":
            volume = volume.replace(facts=Facts((*volume.facts, Fact("noise", recipe.noise, "option"))))
        measured, padding = volume, None
        if recipe.degrade is not None:
            # The same for all channels of a case; the noise is each channel's own.
            drawn = draw(recipe.degrade, volume.geometry, np.random.default_rng(task.seed), planar=volume.planar)
            noise = np.random.default_rng((task.seed, channel))
            shown, padding = without_padding(volume, modality)
            measured = acquire(shown, drawn, noise, modality=modality)
            profile = drawn.stated_profile(measured.geometry.spacing_xyz_mm)
            options = dataclasses.replace(options, profile=_known_first(profile, recipe.profile))
            reference = volume.geometry if "grid" in recipe.target else None
        result = super_resolve(measured, options, progress, reference=reference)
        if padding is not None:
            give_back(result.volume.array, result.volume.geometry, padding, volume)
        if task.dtype == "same" and (step := find_step(volume.array)) is not None:
            stored = result.volume.replace(array=rounded(result.volume.array, *step))
            result = dataclasses.replace(result, volume=stored)
        if results and not result.volume.geometry.is_same_as(results[0].volume.geometry):
            raise InputError(f"Channel {channel + 1} of {task.case} lies on another grid than channel 1.")
        results.append(result)
        before.append(_intensities(volume))
        told = [warning["text"] for warning in result.report["warnings"]]
        warnings += [text for text in told if text not in warnings]
    grid = results[0].volume.geometry
    made = resample_labels(label, grid)
    progress.check()
    record = _record(task, recipe, drawn, results, before, label, made)
    _write(task, results, made, record)
    return tuple(warnings)


def _known_first(drawn: str, stated: str) -> str:
    """For each axis what was drawn, or else what the recipe states."""
    parts = stated.split(",")
    both = zip(drawn.split(","), parts if len(parts) == 3 else parts * 3, strict=True)
    return ",".join(known if known != "auto" else told for known, told in both)


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
    drawn: Drawn | None,
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
        "drawn": describe(drawn) if drawn else {},
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
        for result, output in zip(results, task.image_outputs, strict=True):
            stage_volume(result.volume, output, staging)
        stage_volume(label, task.label_output, staging)
        staging.draft(sidecar).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _reason(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "There was not enough memory."
    text = " ".join(str(error).split())[:500] or "no reason given"
    return text if isinstance(error, MedSRError) else f"{type(error).__name__}: {text}"
