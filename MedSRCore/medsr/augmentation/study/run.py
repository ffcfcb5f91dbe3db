"""Running a study: train and test every network, resume where it was stopped."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medsr.augmentation.cases import Case
from medsr.augmentation.study.design import Run, held_out_subjects, training_subjects
from medsr.augmentation.study.plan import Study
from medsr.augmentation.study.preparing import PREPARED, ArmImages, prepare_arms
from medsr.augmentation.study.results import ResultFolder, RunResult
from medsr.augmentation.study.samples import Sample, Spacing, training_grid
from medsr.augmentation.study.scores import Score, score_labels
from medsr.errors import CancelledError, MissingDependencyError
from medsr.geometry import Geometry
from medsr.io import read_channels_geometry, read_volume
from medsr.io.formats import PLANAR_ONLY, suffix_of
from medsr.jobs import Progress
from medsr.methods.interpolate import interpolate

if TYPE_CHECKING:
    import torch

    from medsr.augmentation.study.training import Segmenter


def run_study(study: Study, folder: Path, progress: Progress, device: str = "auto") -> list[RunResult]:
    """Do every run that is not done yet.

    Args:
        study: what to do.
        folder: gets the prepared images, the copies of the controls and a file for each finished run.
        progress: receives stages and fractions, and may cancel.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Returns:
        The results of all runs of the design.

    Raises:
        CancelledError: stopped; finished runs stay, and the same call goes on from there.
        MissingDependencyError: torch or monai is not installed.
    """
    results = ResultFolder(folder / "runs", study.digest)
    waiting = [run for run in study.design.runs() if results.load(run) is None]
    total = len(list(study.design.runs()))
    try:
        if waiting:
            images = prepare_arms(study, folder / study.digest[:12], progress)
            step = (1 - PREPARED) / len(waiting)
            for number, run in enumerate(waiting):
                progress.stage(f"Run {total - len(waiting) + number + 1} of {total}: {run.key}")
                start = PREPARED + number * step
                results.save(_run(study, run, images[run.arm], device, progress.section(start, start + step)))
    except (CancelledError, KeyboardInterrupt) as error:
        done = total - sum(results.load(run) is None for run in waiting)
        raise CancelledError(
            f"Stopped: {done} of {total} runs are finished and stay; the same command goes on from there."
        ) from error
    return list(finished(study, folder))


def finished(study: Study, folder: Path) -> Iterator[RunResult]:
    """The results that are there, in the order of the design."""
    results = ResultFolder(folder / "runs", study.digest)
    for run in study.design.runs():
        if (found := results.load(run)) is not None:
            yield found


def _run(study: Study, run: Run, images: ArmImages, device: str, report: Callable[[float], None]) -> RunResult:
    train_segmenter, chosen = _load_training(device)
    started = time.perf_counter()
    folds = study.design.folds
    trained_on = training_subjects(study.subjects, folds, run.fold, run.size, run.seed)
    tested_on = set(held_out_subjects(study.subjects, folds, run.fold))
    of_arm = [sample for sample in images.train if sample.subject in set(trained_on)]
    # Training takes nearly all the time; the rest is the test.
    segmenter = train_segmenter(
        of_arm,
        len(study.structures) + 1,
        study.recipe,
        run.seed,
        device=chosen,
        step_done=lambda step: report(0.95 * step / study.recipe.steps),
    )
    # A set that is only tested on may name its subjects otherwise: the name of the real case counts.
    subject_of = {case.name: case.subject for case in study.dataset.real}
    scores: dict[str, dict[str, dict[str, Score]]] = {}
    subjects: dict[str, str] = {}
    for where, members in images.tests.items():
        for sample, case in members:
            subject = subject_of[case.origin or case.name]
            if subject in tested_on:
                scores.setdefault(where, {})[case.name] = _judge(study, segmenter, sample, case)
                subjects[case.name] = subject
                report(0.95)
    seconds = time.perf_counter() - started
    report(1.0)
    return RunResult(run, scores, subjects, tuple(trained_on), len(of_arm), segmenter.loss, seconds)


def _judge(study: Study, segmenter: Segmenter, sample: Sample, case: Case) -> dict[str, Score]:
    """Segment one image and score it on the grid of its truth."""
    image, _ = sample.open()
    truth = read_volume(study.truth[case.origin or case.name])
    grid = grid_of(case, truth.geometry, study.spacing)
    found = classes_on(segmenter.probabilities(image), grid, truth.geometry)
    values = np.array([0, *study.structures.values()])
    return score_labels(
        values[found],
        truth.array.astype(values.dtype),
        truth.geometry.spacing_xyz_mm[::-1],
        study.structures,
        study.recipe.tolerance_mm,
    )


def grid_of(case: Case, truth: Geometry, spacing: Spacing) -> Geometry:
    """The training grid of an image, in the space of its `truth`."""
    source, _ = read_channels_geometry(case.images[0])
    if suffix_of(Path(case.images[0])) in PLANAR_ONLY:
        # Pictures hold no position: a finer one covers what its original covers.
        source = truth.with_grid(source.spacing_xyz_mm, source.size_xyz)
    return training_grid(source, spacing)


def classes_on(probabilities: NDArray[np.float32], grid: Geometry, target: Geometry) -> NDArray[np.intp]:
    """The most probable class at the voxels of `target`; background where `grid` does not reach."""
    if not grid.is_same_as(target):
        structures = [interpolate(p, grid, target, "linear", outside=0.0) for p in probabilities[1:]]
        probabilities = np.stack([1 - np.sum(structures, axis=0), *structures])
    return np.asarray(probabilities.argmax(axis=0))


def _load_training(device: str) -> tuple[Callable[..., Segmenter], torch.device]:
    missing = [name for name in ("torch", "monai") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingDependencyError(
            f"Training segmentation networks needs {' and '.join(missing)}, not installed here. Install with: "
            "pip install 'medsr[network]'"
        )
    import torch

    from medsr.augmentation.study.training import train_segmenter

    automatic = "cuda" if torch.cuda.is_available() else "cpu"
    return train_segmenter, torch.device(automatic if device == "auto" else device)
