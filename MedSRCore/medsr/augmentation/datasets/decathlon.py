"""Medical Segmentation Decathlon, and the data lists of MONAI: ``dataset.json`` beside imagesTr and labelsTr."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medsr.augmentation.cases import Case, Dataset, Split
from medsr.augmentation.datasets.decathlon_lists import TRAINING, VALIDATION, other_lists
from medsr.augmentation.datasets.layout import (
    PROVENANCE,
    SPLITS,
    Places,
    label_names,
    read_splits,
    splits_data,
    with_background,
    with_origin,
)
from medsr.augmentation.datasets.paths import distinct_names, folder_of, inside, read_json
from medsr.errors import InputError

_OWN_KEYS = (TRAINING, VALIDATION, "labels", "modality", "numTraining", "numTest", "name")
_ACQUIRED = ("acquired", "none")
"""Origin and recipe of an original. Empty texts would be taken for paths by MONAI."""

_ENTRY_KEYS = ("image", "label", "subject", "fold", "origin", "recipe")


def read(path: Path) -> Dataset:
    """The training set that a ``dataset.json`` lists.

    An entry of "training" (and of "validation") has "image", a path (of four dimensions for several channels, as in the
    Decathlon) or a list of one path per channel, and "label";
    "subject" and "fold" are taken where they are there, and all other keys handed on. So are lists of other images,
    such as "test". Paths are relative to the file and stay below its folder.

    Raises:
        InputError: not such a file, or a path that leads elsewhere.
    """
    data = read_json(path)
    if not isinstance(data, dict) or not isinstance(data.get(TRAINING), list):
        raise InputError(f"{path.name!r} has no list 'training'. A Decathlon or MONAI dataset.json has one.")
    root = folder_of(path.parent)
    entries = [(entry, TRAINING) for entry in data[TRAINING]]
    entries += [(entry, VALIDATION) for entry in data.get(VALIDATION) or []]
    images, labels = [], []
    for number, (entry, where) in enumerate(entries, 1):
        what = f"Entry {number} of {path.name!r}"
        if not isinstance(entry, dict) or "image" not in entry or "label" not in entry:
            raise InputError(f"{what} has no 'image' and 'label'; every training image needs its label map.")
        listed = entry["image"] if isinstance(entry["image"], list) else [entry["image"]]
        images.append(tuple(inside(root, text, f"{what}, image") for text in listed))
        labels.append(inside(root, entry["label"], f"{what}, label"))
        if not listed:
            raise InputError(f"{what} ({where}) lists no image.")
    names = distinct_names([files[0] for files in images], root)
    if len({len(files) for files in images}) > 1:
        raise InputError(f"The entries of {path.name!r} have different numbers of channels.")
    if images and len(images[0]) > 1:
        names = _without_channel(names)
    cases = [
        Case(
            name,
            str(entry.get("subject") or name),
            tuple(map(str, files)),
            str(label),
            keys={key: value for key, value in entry.items() if key not in _ENTRY_KEYS},
        )
        for name, files, label, (entry, _) in zip(names, images, labels, entries, strict=True)
    ]
    splits = _split_of_lists(cases, entries) or read_splits(root / SPLITS, names) or _splits_of_folds(cases, entries)
    others = other_lists(data, root, _OWN_KEYS)
    modality = data.get("modality") or data.get("channel_names") or {"0": "image"}
    channels = tuple(str(v) for v in modality.values()) if isinstance(modality, Mapping) else (str(modality),)
    marked = with_origin(cases, root)
    taken = {n for n, (entry, _) in zip(names, entries, strict=True) if entry.get("origin") not in (None, _ACQUIRED[0])}
    warnings = list(others.warnings)
    if any(case.name in taken and not case.is_synthetic for case in marked):
        warnings.append("The key 'origin' of an entry tells what a copy was made from; what it says here is dropped.")
    return Dataset(
        root=str(root),
        format="decathlon",
        name=str(data.get("name") or root.name),
        cases=marked,
        channels=channels,
        labels=label_names(data.get("labels")),
        splits=splits,
        description={k: v for k, v in data.items() if k not in _OWN_KEYS and k not in others.entries},
        lists=others.entries,
        carried=others.files,
        warnings=tuple(warnings),
    )


@dataclass(frozen=True)
class DecathlonLayout:
    """imagesTr, labelsTr and a ``dataset.json`` in `root`."""

    root: Path

    @property
    def records(self) -> Path:
        """Report, splits and sidecars lie beside ``dataset.json``."""
        return self.root

    def places(self, case: Case, image_ending: str, label_ending: str) -> Places:
        """``imagesTr/NAME.nii.gz`` (channels in several files: ``NAME_0000.nii.gz``, ...), ``labelsTr/NAME.nii.gz``."""
        channels = [f"_{c:04d}" for c in range(len(case.images))] if len(case.images) > 1 else [""]
        return Places(
            tuple(self.root / "imagesTr" / f"{case.name}{channel}{image_ending}" for channel in channels),
            self.root / "labelsTr" / f"{case.name}{label_ending}",
            self.root / PROVENANCE / f"{case.name}.json",
        )

    def documents(self, dataset: Dataset) -> Mapping[Path, str]:
        """``dataset.json``, whose entries also say subject, origin, recipe and fold, and ``splits_final.json``.

        A set with a fixed division has the lists "training" and "validation", one with folds the key "fold". Every
        entry has the same keys, because loaders put entries of one batch together key by key.
        """
        fixed = dataset.splits[0].val if len(dataset.splits) == 1 else ()
        folds = {name: number for number, split in enumerate(dataset.splits) for name in split.val}
        # A copy validates nowhere, but belongs to the fold of its original: it is trained on when that is.
        numbers = {case.name: folds.get(case.origin or case.name) for case in dataset.cases}
        if fixed or None in numbers.values():
            numbers = {}
        entries = {case.name: self._entry(case, numbers.get(case.name)) for case in dataset.cases}
        data: dict[str, Any] = {
            "name": dataset.name,
            **dataset.description,
            "modality": {str(i): name for i, name in enumerate(dataset.channels)},
            "labels": {str(value): name for name, value in with_background(dataset.labels).items()},
            "numTraining": len(entries) - len(fixed),
            "numTest": len(dataset.lists.get("test", ())),
            TRAINING: [entry for name, entry in entries.items() if name not in fixed],
            **({VALIDATION: [entries[name] for name in fixed]} if fixed else {}),
            "test": [],
            **dataset.lists,
        }
        return {
            self.root / "dataset.json": json.dumps(data, indent=1, ensure_ascii=False) + "\n",
            self.root / SPLITS: json.dumps(splits_data(dataset.splits), indent=1) + "\n",
        }

    def _entry(self, case: Case, fold: int | None) -> dict[str, Any]:
        files = [f"./{os.path.relpath(image, self.root)}".replace(os.sep, "/") for image in case.images]
        entry: dict[str, Any] = {
            **case.keys,
            "image": files[0] if len(files) == 1 else files,
            "label": f"./{os.path.relpath(case.label, self.root)}".replace(os.sep, "/"),
            "subject": case.subject,
            "origin": case.origin or _ACQUIRED[0],
            "recipe": case.recipe or _ACQUIRED[1],
        }
        return entry if fold is None else {**entry, "fold": fold}


def _split_of_lists(cases: list[Case], entries: list[tuple[Any, str]]) -> tuple[Split, ...]:
    """The division by the lists "training" and "validation", where both hold something."""
    parts = {w: tuple(c.name for c, (_, where) in zip(cases, entries, strict=True) if where == w) for _, w in entries}
    return (Split(parts[TRAINING], parts[VALIDATION]),) if len(parts) == 2 else ()


def _splits_of_folds(cases: list[Case], entries: list[tuple[Any, str]]) -> tuple[Split, ...]:
    """Folds from MONAI's key "fold", where all entries have it."""
    folds = [entry.get("fold") for entry, _ in entries]
    # One fold alone would train on nothing.
    if not all(isinstance(fold, int) for fold in folds) or len(set(folds)) < 2:
        return ()
    return tuple(
        Split(
            tuple(case.name for case, own in zip(cases, folds, strict=True) if own != fold),
            tuple(case.name for case, own in zip(cases, folds, strict=True) if own == fold),
        )
        for fold in sorted(set(folds))
    )


def _without_channel(names: list[str]) -> list[str]:
    """Names of first channels without the ``_0000`` that all of them may have."""
    return [n.removesuffix("_0000") for n in names] if all(n.endswith("_0000") for n in names) else names
