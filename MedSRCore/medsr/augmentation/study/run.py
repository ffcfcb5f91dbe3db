"""Running a study: prepare the images, train and test every network, resume where it was stopped."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import medsr
from medsr.augmentation.cases import Case, Dataset
from medsr.augmentation.study.controls import enhanced_copies, make_controls
from medsr.augmentation.study.design import (
    DUPLICATE,
    SYNTHETIC,
    Arm,
    Run,
    StudyDesign,
    held_out_subjects,
    training_subjects,
)
from medsr.augmentation.study.recipe import SegmentationRecipe
from medsr.augmentation.study.results import ResultFolder, RunResult
from medsr.augmentation.study.samples import Sample, Spacing, class_values, finest_spacing, prepare, training_grid
from medsr.augmentation.study.scores import Score, score_labels
from medsr.errors import CancelledError, InputError, MissingDependencyError
from medsr.geometry import Geometry
from medsr.io import read_channels_geometry, read_volume
from medsr.io.formats import PLANAR_ONLY, suffix_of
from medsr.jobs import Progress
from medsr.methods.interpolate import interpolate

if TYPE_CHECKING:
    import torch

    from medsr.augmentation.study.training import Segmenter

_CONTROLS_DONE, _PREPARED = 0.03, 0.05


@dataclass(frozen=True)
class Study:
    """Everything that decides the results.

    Attributes:
        dataset: real images and their copies.
        truth: case name -> label map to score against, on whatever grid it is.
        design: arms, folds, seeds, sizes.
        recipe: of the networks.
        spacing: of the training grid (x, y, z in mm).
        enhanced: names of the copies that show their original itself, not a degraded one: networks are tested on
            them, too.
    """

    dataset: Dataset
    truth: Mapping[str, str]
    design: StudyDesign
    recipe: SegmentationRecipe
    spacing: Spacing
    enhanced: frozenset[str] = frozenset()

    @property
    def structures(self) -> dict[str, int]:
        """Name -> value in label maps."""
        return class_values(self.dataset.labels)

    @property
    def subjects(self) -> list[str]:
        """All of them, by name."""
        return sorted({case.subject for case in self.dataset.real})

    @property
    def digest(self) -> str:
        """Of the conditions: results of other ones do not count."""
        return hashlib.sha256(json.dumps(self.conditions(), sort_keys=True).encode()).hexdigest()

    def conditions(self) -> dict[str, Any]:
        """What all runs have in common, ready for JSON."""
        return {
            "medsr": medsr.__version__,
            "recipe": self.recipe.to_dict(),
            "spacing_xyz_mm": list(self.spacing),
            "folds": self.design.folds,
            "structures": self.structures,
            "images": [[*map(_state, (*case.images, case.label))] for case in self.dataset.cases],
            "truth": [[name, _state(path)] for name, path in sorted(self.truth.items())],
            "subjects": self.subjects,
        }


def plan_study(
    dataset: Dataset,
    design: StudyDesign,
    recipe: SegmentationRecipe,
    *,
    truth: Dataset | None = None,
    spacing: Spacing | None = None,
) -> Study:
    """Check that `design` can be done with `dataset`.

    Args:
        dataset: real images and copies, as `medsr augment` makes it.
        design: what to compare.
        recipe: of the networks.
        truth: labels of the same real cases to score against; None for those of `dataset`.
        spacing: of the training grid; None for the finest of the set.

    Raises:
        InputError: no copies where an arm needs them, too few subjects, no labels, or a case without truth.
    """
    if not class_values(dataset.labels):
        raise InputError(f"The training set {dataset.name!r} names no structure to segment.")
    needing = [arm.name for arm in design.arms if arm.extra]
    if needing and not dataset.synthetic:
        raise InputError(
            f"The training set {dataset.name!r} holds no copies, which {', '.join(needing)} need. Make some first: "
            "medsr augment SOURCE OUT --recipe sr-x2, and give OUT."
        )
    labels = {case.name: case.label for case in (truth or dataset).real}
    missing = [case.name for case in dataset.real if case.name not in labels]
    if missing:
        raise InputError(f"The truth has no case {missing[0]!r}; {len(missing)} of {len(dataset.real)} are missing.")
    design.check(sorted({case.subject for case in dataset.real}))
    return Study(
        dataset,
        {case.name: labels[case.name] for case in dataset.real},
        design,
        recipe,
        spacing or finest_spacing(dataset.cases),
        enhanced_copies(dataset),
    )


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
            samples = _prepare_arms(study, folder / study.digest[:12], progress)
            step = (1 - _PREPARED) / len(waiting)
            for number, run in enumerate(waiting):
                progress.stage(f"Run {total - len(waiting) + number + 1} of {total}: {run.key}")
                start = _PREPARED + number * step
                results.save(_run(study, run, samples, device, progress.section(start, start + step)))
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


def _prepare_arms(study: Study, folder: Path, progress: Progress) -> dict[str, list[Sample]]:
    """Arm -> its samples, real ones first."""
    cases: dict[str, tuple[Case, ...]] = {"": study.dataset.real}
    wanted = {arm.extra for arm in study.design.arms}
    if SYNTHETIC in wanted:
        cases[SYNTHETIC] = study.dataset.synthetic
    models = sorted(arm.control_model for arm in study.design.arms if arm.control_model)
    for number, model in enumerate(models):
        progress.stage(f"Making the copies of the control: {model}")
        share = _CONTROLS_DONE / len(models)
        section = progress.section(number * share, (number + 1) * share)
        cases[model] = make_controls(study.dataset, model, folder / f"copies-{model}", section)
    progress.stage("Preparing the images")
    values, everything = list(study.structures.values()), sum(map(len, cases.values()))
    prepared: dict[str, list[Sample]] = {}
    report, done = progress.section(_CONTROLS_DONE, _PREPARED), 0
    for extra, members in cases.items():
        place = folder / f"prepared-{extra or 'real'}"
        place.mkdir(parents=True, exist_ok=True)
        prepared[extra] = []
        for case in members:
            prepared[extra].append(prepare(case, place, study.spacing, values))
            done += 1
            report(done / everything)
    return {arm.name: _samples_of(arm, prepared, study.dataset) for arm in study.design.arms}


def _samples_of(arm: Arm, prepared: Mapping[str, list[Sample]], dataset: Dataset) -> list[Sample]:
    real = prepared[""]
    if arm.extra != DUPLICATE:
        return real + (prepared[arm.extra] if arm.extra else [])
    by_name = {sample.name: sample for sample in real}
    return real + [by_name[copy.origin] for copy in dataset.synthetic]


def _run(
    study: Study, run: Run, samples: Mapping[str, list[Sample]], device: str, report: Callable[[float], None]
) -> RunResult:
    train_segmenter, chosen = _load_training(device)
    started = time.perf_counter()
    folds = study.design.folds
    trained_on = training_subjects(study.subjects, folds, run.fold, run.size, run.seed)
    tested_on = set(held_out_subjects(study.subjects, folds, run.fold))
    of_arm = [sample for sample in samples[run.arm] if sample.subject in set(trained_on)]
    # Training takes nearly all the time; the rest is the test.
    segmenter = train_segmenter(
        of_arm,
        len(study.structures) + 1,
        study.recipe,
        run.seed,
        device=chosen,
        step_done=lambda step: report(0.95 * step / study.recipe.steps),
    )
    originals = {case.name: case for case in study.dataset.real}
    copies = {case.name: case for case in study.dataset.synthetic if case.name in study.enhanced}
    scores: dict[str, dict[str, Score]] = {}
    copy_scores: dict[str, dict[str, Score]] = {}
    for sample in samples[run.arm]:
        case = originals.get(sample.name) or copies.get(sample.name)
        if case is not None and case.subject in tested_on:
            kept = copy_scores if case.is_synthetic else scores
            if case.name not in kept:
                kept[case.name] = _judge(study, segmenter, sample, case)
            report(0.95)
    subjects = {name: {**originals, **copies}[name].subject for name in (*scores, *copy_scores)}
    seconds = time.perf_counter() - started
    report(1.0)
    return RunResult(run, scores, copy_scores, subjects, tuple(trained_on), len(of_arm), segmenter.loss, seconds)


def _judge(study: Study, segmenter: Segmenter, sample: Sample, case: Case) -> dict[str, Score]:
    """Segment one image and score it on the grid of its truth."""
    image, _ = sample.open()
    truth = read_volume(study.truth[case.origin or case.name])
    grid = grid_of(case, truth.geometry, study.spacing)
    found = _classes_on(segmenter.probabilities(image), grid, truth.geometry)
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


def _classes_on(probabilities: NDArray[np.float32], grid: Geometry, target: Geometry) -> NDArray[np.intp]:
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


def _state(path: str) -> Sequence[int | str]:
    """Name, size and time of a file: another file is another study."""
    found = Path(path).stat()
    return [Path(path).name, found.st_size, found.st_mtime_ns]
