"""What every format shares: where files of a case go, label names, splits."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from medsr.augmentation.cases import BACKGROUND, Case, Dataset, Split
from medsr.augmentation.datasets.paths import provenance_of, read_json
from medsr.errors import InputError

PROVENANCE = "provenance"
SPLITS = "splits_final.json"
RECORD = "augmentation.json"


@dataclass(frozen=True)
class Places:
    """Where the files of a case go.

    Attributes:
        images: one for each channel.
        label: the label map.
        sidecar: how a copy was made.
    """

    images: tuple[Path, ...]
    label: Path
    sidecar: Path


class Layout(Protocol):
    """How a format lays out a training set in a folder."""

    @property
    def records(self) -> Path:
        """Where the report, the splits and the folder of the sidecars go."""

    def places(self, case: Case, image_ending: str, label_ending: str) -> Places:
        """Where the files of `case` go; endings with their dot."""

    def documents(self, dataset: Dataset) -> Mapping[Path, str]:
        """The files that describe `dataset`, whose cases lie where `places` puts them."""


def label_names(data: object) -> dict[str, int]:
    """Label names in either direction, ``{"1": "liver"}`` or ``{"liver": 1}``, as name -> value.

    Raises:
        InputError: no object of names and whole numbers, or two names for a value.
    """
    if data is None:
        return {}
    if not isinstance(data, Mapping):
        raise InputError(f"'labels' should be an object such as {{'0': 'background', '1': 'liver'}}, got {data!r}.")
    found: dict[str, int] = {}
    for key, value in data.items():
        name, number = (str(value), key) if str(key).lstrip("-").isdigit() else (str(key), value)
        try:
            whole = int(str(number))
        except ValueError:
            raise InputError(f"Label {name!r} has the value {number!r}; a whole number is needed.") from None
        if whole < 0 or whole > 65535:
            raise InputError(f"Label {name!r} has the value {whole}; 0 to 65535 is accepted.")
        if name in found or whole in found.values():
            raise InputError(f"'labels' names {name!r} or the value {whole} twice.")
        found[name] = whole
    return dict(sorted(found.items(), key=lambda item: item[1]))


def with_origin(cases: Sequence[Case], records: Path) -> tuple[Case, ...]:
    """The cases in the order of their names, those that were made here marked as such.

    In a set that was made here all cases get the subjects that the source gave them: formats such as nnU-Net's have no
    place for them.
    """
    subjects = read_record(records).get("subjects")
    known: Mapping[str, Any] = subjects if isinstance(subjects, Mapping) else {}
    found = []
    for case in sorted(cases, key=lambda c: c.name):
        said = provenance_of(records / PROVENANCE, case.name)
        recipe, origin = said.get("recipe"), str(said.get("case") or "unknown") if said else ""
        case = dataclasses.replace(
            case,
            subject=str(known.get(origin or case.name) or said.get("subject") or case.subject),
            origin=origin,
            recipe=str(recipe.get("name", "")) if isinstance(recipe, Mapping) else "",
        )
        found.append(case)
    return tuple(found)


def read_record(records: Path) -> Mapping[str, Any]:
    """What a set that was made here says of itself; nothing for any other.

    Raises:
        InputError: it is damaged.
    """
    path = records / RECORD
    record = read_json(path) if path.is_file() else {}
    return record if isinstance(record, Mapping) else {}


def read_splits(path: Path, names: Collection[str], *, repeated: bool = False) -> tuple[Split, ...]:
    """The folds of a file in the form of nnU-Net; none where there is no such file.

    Args:
        path: the file.
        names: of the cases that it may name.
        repeated: keep folds that are there several times.

    Raises:
        InputError: it is no list of folds, or names cases that are not there.
    """
    if not path.is_file():
        return ()
    data: Any = read_json(path)
    splits = []
    for fold in data if isinstance(data, list) else [None]:
        if not isinstance(fold, dict) or not all(isinstance(fold.get(k), list) for k in ("train", "val")):
            raise InputError(f"{path.name!r} should be a list of objects with 'train' and 'val'.")
        unknown = sorted({str(n) for k in ("train", "val") for n in fold[k]} - set(names))
        if unknown:
            raise InputError(f"{path.name!r} names cases that are not there, such as {unknown[0]!r}.")
        splits.append(Split(tuple(fold["train"]), tuple(fold["val"])))
    return tuple(splits if repeated else dict.fromkeys(splits))


def splits_data(splits: Sequence[Split]) -> list[dict[str, list[str]]]:
    """Folds in the form of nnU-Net's ``splits_final.json``."""
    return [{"train": list(split.train), "val": list(split.val)} for split in splits]


def with_background(labels: Mapping[str, int]) -> dict[str, int]:
    """The labels with a name for 0."""
    return dict(labels) if 0 in labels.values() else {BACKGROUND: 0, **labels}
