"""Training sets on disk: reading any of four formats, and laying one out."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from medsr.augmentation.cases import Case, Dataset
from medsr.augmentation.datasets import bids, decathlon, nnunet, paired
from medsr.augmentation.datasets.bids_names import bids_copy_name, bids_name, suffixes_of
from medsr.augmentation.datasets.layout import PROVENANCE, RECORD, SPLITS, Layout, Places
from medsr.augmentation.datasets.nnunet_check import check_nnunet
from medsr.augmentation.datasets.nnunet_training import (
    division_faults,
    planned_spacing,
    preprocessed_faults,
    training_commands,
)
from medsr.augmentation.datasets.paths import read_json
from medsr.errors import InputError, InputNotFoundError, InvalidValueError

__all__ = [
    "LAYOUTS",
    "PROVENANCE",
    "RECORD",
    "SPLITS",
    "Layout",
    "Places",
    "check_nnunet",
    "copy_name",
    "division_faults",
    "layout_of",
    "planned_spacing",
    "preprocessed_faults",
    "read_dataset",
    "real_name",
    "training_commands",
]

LAYOUTS: dict[str, Callable[[Path], Layout]] = {
    "decathlon": decathlon.DecathlonLayout,
    "nnunet": nnunet.NnunetLayout,
    "bids": bids.BidsLayout,
    "paired": paired.PairedLayout,
}


def read_dataset(
    path: str | Path,
    images: str | None = None,
    labels: str | None = None,
    subjects: str | None = None,
    contrasts: Sequence[str] = (),
) -> Dataset:
    """Read a labelled training set; the format is recognised.

    Args:
        path: a ``dataset.json``, or the folder of a training set: Decathlon or MONAI, nnU-Net v2 raw, BIDS, or plain
            folders of images and label maps.
        images: pattern of the images below `path`, for plain folders.
        labels: pattern of the label maps, likewise.
        subjects: regular expression whose first group is the subject in a case's name; None takes what the format
            says, else every image as a subject of its own.
        contrasts: of BIDS, the suffixes of the images that are the channels of a case.

    Returns:
        The set. Cases that MedSR made say which case they come from (`Case.origin`).

    Raises:
        InputNotFoundError: there is nothing at `path`.
        InputError: no training set, or one whose description makes no sense.
    """
    place = Path(path)
    if not place.exists():
        raise InputNotFoundError(f"There is no file or folder {str(place)!r}. Check the path.")
    dataset = _read(place, images, labels, contrasts)
    if not dataset.cases:
        raise InputError(f"The training set {dataset.name!r} holds no case.")
    names = [case.name for case in dataset.cases]
    if len(set(names)) < len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise InputError(f"The training set has two cases called {twice!r}. Rename one of them.")
    return dataset if subjects is None else _with_subjects(dataset, subjects)


def real_name(case: Case, dataset: Dataset, target_format: str) -> str:
    """What a real case is called in a set of `target_format`."""
    return bids_name(case, dataset.channels[0]) if target_format == "bids" else case.name


def copy_name(original: str, recipe: str, copy: int, target_format: str) -> str:
    """What copy number `copy` of a case is called."""
    if target_format == "bids":
        return bids_copy_name(original, recipe, copy)
    return f"{original}_{recipe}-{copy}"


def layout_of(kind: str, root: Path, channels: Sequence[str]) -> Layout:
    """How a set of a format, whose cases have these channels, is laid out below `root`.

    Raises:
        InvalidValueError: the format has no names for these channels.
    """
    if kind == "bids" and len(channels) > 1:
        return bids.BidsLayout(root, suffixes_of(channels))
    return LAYOUTS[kind](root)


def _read(place: Path, images: str | None, labels: str | None, contrasts: Sequence[str]) -> Dataset:
    if contrasts and not (place.is_dir() and bids.is_bids(place)):
        raise InvalidValueError("--channels names contrasts of a BIDS folder; other formats state their channels.")
    if images is not None or labels is not None:
        if not place.is_dir():
            raise InvalidValueError("Patterns are for a folder; SOURCE is a file.")
        return paired.read(place, images, labels)
    if place.is_file() and place.suffix.lower() != ".json":
        raise InputError(f"{place.name!r} is no training set. Give a dataset.json, or a folder.")
    if place.is_file() or (place / "dataset.json").is_file():
        file = place if place.is_file() else place / "dataset.json"
        data = read_json(file)
        if isinstance(data, dict) and "training" in data:
            return decathlon.read(file)
        if isinstance(data, dict) and ("channel_names" in data or "file_ending" in data):
            return nnunet.read(file)
        raise InputError(
            f"{file.name!r} lists neither 'training' cases (Decathlon, MONAI) nor 'channel_names' (nnU-Net)."
        )
    if bids.is_bids(place):
        return bids.read(place, contrasts)
    if paired.folders_of(place) is not None:
        return paired.read(place)
    raise InputError(
        f"{str(place)!r} is no training set that MedSR knows. Accepted: dataset.json of Decathlon, MONAI or nnU-Net; a "
        "BIDS folder; folders 'images' and 'labels'; or --images and --labels with patterns."
    )


def _with_subjects(dataset: Dataset, expression: str) -> Dataset:
    pattern = re.compile(expression)
    cases = []
    for case in dataset.cases:
        match = pattern.search(case.origin or case.name)
        if not match or not match[1]:
            raise InvalidValueError(f"--subjects {expression!r} finds no subject in the name {case.name!r}.")
        cases.append(dataclasses.replace(case, subject=match[1]))
    return dataclasses.replace(dataset, cases=tuple(cases))
