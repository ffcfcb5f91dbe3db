"""The copies of a control arm: those of the training set over again, with another model and the same draws."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from medsr.augmentation.building import digest_of
from medsr.augmentation.cases import Case, Dataset
from medsr.augmentation.contents import Contents
from medsr.augmentation.datasets import LAYOUTS, PROVENANCE
from medsr.augmentation.datasets.paths import provenance_of
from medsr.augmentation.executing import execute_task
from medsr.augmentation.tasks import Task
from medsr.cohort.work import FAILED
from medsr.errors import InputError


def enhanced_copies(dataset: Dataset) -> frozenset[str]:
    """Names of the copies that were made of their original as it is, nothing drawn."""
    records = LAYOUTS[dataset.format](Path(dataset.root)).records / PROVENANCE
    said = {copy.name: provenance_of(records, copy.name) for copy in dataset.synthetic}
    return frozenset(name for name, record in said.items() if record and not record.get("drawn"))


def make_controls(dataset: Dataset, model: str, folder: Path, report: Callable[[float], None]) -> tuple[Case, ...]:
    """Make every copy of `dataset` with `model` instead of its own.

    Args:
        dataset: with copies.
        model: a name of the catalog.
        folder: where the copies go; those that are there already are kept.
        report: receives the fraction done, and may raise to stop.

    Returns:
        The copies, named like those that they stand against.

    Raises:
        InputError: a copy without a record of its making, or one that could not be made: a control that lacks some
            of the copies would be none.
    """
    records = LAYOUTS[dataset.format](Path(dataset.root)).records / PROVENANCE
    contents = Contents(dataset.root)
    originals = {case.name: case for case in dataset.real}
    made = []
    for number, copy in enumerate(dataset.synthetic, 1):
        said = provenance_of(records, copy.name)
        if copy.origin not in originals or not isinstance(said.get("recipe"), Mapping):
            raise InputError(f"Nothing says how the copy {copy.name} was made, so {model} cannot make its counterpart.")
        task = _task(copy, originals[copy.origin], said, model, folder, dataset)
        task = dataclasses.replace(task, digest=digest_of(task, contents))
        result = execute_task(task)
        if result.status == FAILED:
            raise InputError(f"{model} could not make the counterpart of {copy.name}: {result.error}")
        made.append(dataclasses.replace(copy, images=task.image_outputs, label=task.label_output))
        report(number / len(dataset.synthetic))
    return tuple(made)


def _task(copy: Case, original: Case, said: Mapping[str, Any], model: str, folder: Path, dataset: Dataset) -> Task:
    channels: Sequence[Mapping[str, Any]] = said.get("channels", ())
    structures = {name: value for name, value in dataset.labels.items() if value}
    return Task(
        name=copy.name,
        case=original.name,
        subject=copy.subject,
        images=original.images,
        label=original.label,
        modalities=tuple(str(channel.get("modality", "auto")) for channel in channels),
        image_outputs=tuple(str(folder / "images" / Path(path).name) for path in copy.images),
        label_output=str(folder / "labels" / Path(copy.label).name),
        sidecar=str(folder / PROVENANCE / f"{copy.name}.json"),
        recipe={**said["recipe"], "model": model},
        copy=int(said.get("copy", 1)),
        seed=int(said.get("seed", 0)),
        values={value: value for value in (0, *structures.values())},
        structures=structures,
        digest="",
        sources=dict(said.get("source", {})),
        overwrite=True,
    )
