"""From a raw folder to a training that tests on patients whom it never saw: what to run, and a check before it.

nnU-Net v2 divides by case, and takes copies of a patient for other patients. It does so wherever it finds no
``splits_final.json`` in its folder of preprocessed data, and for fold numbers that this file does not have. Planning
copies the file there from the raw folder; other ways of preprocessing, such as plans moved from another data set, do
not (nnU-Net 2.8, ``ExperimentPlanner`` and ``nnUNetTrainer.do_split``).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from medsr.augmentation.cases import Dataset, Split
from medsr.augmentation.datasets.layout import SPLITS, read_splits
from medsr.errors import MedSRError
from medsr.geometry import Geometry

FOLDS = 5
"""Fold numbers that nnU-Net's documents use, 0 to 4."""

_THICK = 3
_PLANS = "medsrPlans"
_COPY = re.compile(r"(.+)_[A-Za-z0-9-]+-\d+")


def padded_folds(splits: Sequence[Split]) -> tuple[Split, ...]:
    """The folds, repeated from the first until nnU-Net's five numbers all have one: for others it draws its own."""
    return tuple(splits[number % len(splits)] for number in range(max(FOLDS, len(splits)))) if splits else ()


def training_commands(
    folder: Path, spacing_zyx_mm: Sequence[float] | None = None, *, planar: bool = False
) -> list[str]:
    """What to run to train on a raw folder, in the order of the lines.

    Args:
        folder: such as ``nnUNet_raw/Dataset501_Larger``; nnU-Net finds none of another name: then no commands.
        spacing_zyx_mm: target spacing to plan for, in the order of nnU-Net; None leaves it to nnU-Net.
        planar: the images are single pictures.
    """
    match = re.fullmatch(r"Dataset(\d{3})_.+", folder.name)
    if match is None:
        return []
    configuration = "2d" if planar else "3d_fullres"
    plan = f"nnUNetv2_plan_and_preprocess -d {match[1]} -c {configuration} --verify_dataset_integrity"
    train = f"nnUNetv2_train {match[1]} {configuration} 0"
    if spacing_zyx_mm is not None and not planar:
        numbers = " ".join(f"{value:g}" for value in spacing_zyx_mm)
        plan += f" -overwrite_target_spacing {numbers} -overwrite_plans_name {_PLANS}"
        train += f" -p {_PLANS}"
    return [plan, f"medsr augment check {shlex.quote(str(folder))} && {train}"]


def planned_spacing(grids: Sequence[Geometry]) -> tuple[float, float, float]:
    """The spacing (z, y, x) that nnU-Net chooses for images on `grids`: their median along each axis.

    Along an axis more than three times as coarse as the others, and with that many fewer voxels, it is the 10th
    percentile (``ExperimentPlanner.determine_fullres_target_spacing``).
    """
    spacings = np.array([grid.spacing_xyz_mm[::-1] for grid in grids])
    target, size = np.median(spacings, axis=0), np.median([grid.shape_zyx for grid in grids], axis=0)
    worst = int(np.argmax(target))
    others = [axis for axis in range(3) if axis != worst]
    finest = float(target[others].max())
    if target[worst] > _THICK * finest and size[worst] * _THICK < size[others].min():
        target[worst] = max(float(np.percentile(spacings[:, worst], 10)), finest)
    return (float(target[0]), float(target[1]), float(target[2]))


def division_faults(dataset: Dataset) -> list[str]:
    """Where the folds of a set with copies would test on what was trained on; nothing for a set without copies.

    A set that another program converted has lost what tells copies from originals, but not their names.
    """
    names = {case.name for case in dataset.real}
    nameless = [name for name in names if (match := _COPY.fullmatch(name)) and match[1] in names]
    if nameless:
        return [
            f"{len(nameless)} cases have names of copies, such as {min(nameless)}, and nothing says so: the set was "
            "converted after it was made. Make it in the format that you need (--format)."
        ]
    if not dataset.synthetic:
        return []
    if not dataset.splits:
        return [f"There is no {SPLITS} with folds: copies of a patient would come to the other side of the patient."]
    subject = {case.name: case.subject for case in dataset.cases}
    made = {case.name for case in dataset.synthetic}
    faults = []
    for number, split in enumerate(dataset.splits):
        copies = [name for name in split.val if name in made]
        both = sorted({subject[n] for n in split.train} & {subject[n] for n in split.val})
        if copies:
            faults.append(f"Fold {number} validates on {len(copies)} copies, such as {copies[0]}.")
        if both:
            faults.append(f"Fold {number} trains and validates on images of {len(both)} subjects, such as {both[0]}.")
    return faults


def preprocessed_faults(folder: Path, preprocessed: Path, names: Collection[str]) -> list[str]:
    """What is wrong with the folds in nnU-Net's folder of preprocessed data.

    Args:
        folder: the raw folder; its own folds are sound.
        preprocessed: what ``nnUNet_preprocessed`` names.
        names: of the cases.
    """
    target = preprocessed / folder.name / SPLITS
    remedy = f"Run: cp {shlex.quote(str(folder / SPLITS))} {shlex.quote(str(target))}"
    if not target.parent.is_dir():
        return [f"{str(target.parent)!r} is not there: plan and preprocess first, then check again."]
    if not target.is_file():
        return [f"{str(target.parent)!r} has no {SPLITS}, so nnU-Net would divide by itself. {remedy}"]
    try:
        theirs, ours = (_sets(path, names) for path in (target, folder / SPLITS))
    except MedSRError as error:
        return [f"{str(target)!r}: {error} {remedy}"]
    if theirs[: len(ours)] == ours and len(theirs) >= FOLDS:
        return []
    return [f"{str(target)!r} divides otherwise; trainings that used it are void. {remedy}"]


def _sets(path: Path, names: Collection[str]) -> list[tuple[frozenset[str], frozenset[str]]]:
    return [(frozenset(split.train), frozenset(split.val)) for split in read_splits(path, names, repeated=True)]
