"""nnU-Net v2 raw folders: ``imagesTr/CASE_0000.nii.gz``, ``labelsTr/CASE.nii.gz`` and ``dataset.json``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medsr.augmentation.cases import BACKGROUND, Case, Dataset
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
from medsr.augmentation.datasets.nnunet_training import padded_folds
from medsr.augmentation.datasets.paths import folder_of, inside, read_json, safe_name
from medsr.errors import InputError
from medsr.io.formats import PLANAR_ONLY

_OWN_KEYS = ("channel_names", "modality", "labels", "numTraining", "file_ending", "dataset", "name")


def read(path: Path) -> Dataset:
    """The training set of a raw folder, or of its ``dataset.json``.

    Raises:
        InputError: not such a folder.
    """
    file = path if path.is_file() else path / "dataset.json"
    data = read_json(file)
    root = folder_of(file.parent)
    channels = data.get("channel_names") or data.get("modality")
    if not isinstance(channels, Mapping) or not channels:
        raise InputError(f'{file.name!r} has no \'channel_names\' such as {{"0": "CT"}}.')
    names = tuple(str(v) for v in channels.values())
    ending = data.get("file_ending", ".nii.gz")
    if not isinstance(ending, str) or not re.fullmatch(r"(\.[A-Za-z0-9]+)+", ending):
        raise InputError(f"The file_ending {ending!r} of {file.name!r} is none; '.nii.gz' and '.png' are.")
    cases = _listed(root, data["dataset"]) if isinstance(data.get("dataset"), dict) else _found(root, ending, names)
    labels, regions = _labels(data.get("labels"))
    description = {key: value for key, value in data.items() if key not in _OWN_KEYS}
    if regions:
        description["regions"] = data["labels"]
    return Dataset(
        root=str(root),
        format="nnunet",
        name=str(data.get("name") or root.name),
        cases=with_origin(cases, root),
        channels=names,
        labels=labels,
        splits=read_splits(root / SPLITS, [case.name for case in cases]),
        description=description,
    )


@dataclass(frozen=True)
class NnunetLayout:
    """A raw folder at `root`."""

    root: Path

    @property
    def records(self) -> Path:
        """Report, splits and sidecars lie beside ``dataset.json``."""
        return self.root

    def places(self, case: Case, image_ending: str, label_ending: str) -> Places:
        """``imagesTr/NAME_0000.nii.gz``, ``_0001``, ... and ``labelsTr/NAME.nii.gz``; nnU-Net has one ending only."""
        return Places(
            tuple(self.root / "imagesTr" / f"{case.name}_{c:04d}{image_ending}" for c in range(case.channels)),
            self.root / "labelsTr" / f"{case.name}{image_ending}",
            self.root / PROVENANCE / f"{case.name}.json",
        )

    def documents(self, dataset: Dataset) -> Mapping[Path, str]:
        """``dataset.json`` and ``splits_final.json``, which planning copies to what nnU-Net preprocessed."""
        description = dict(dataset.description)
        regions = description.pop("regions", None)
        for key in ("tensorImageSize", "numTest"):
            description.pop(key, None)
        ending = Path(dataset.cases[0].label).name.removeprefix(dataset.cases[0].name) if dataset.cases else ".nii.gz"
        data: dict[str, Any] = {
            "name": dataset.name,
            **description,
            "channel_names": {str(i): name for i, name in enumerate(dataset.channels)},
            "labels": regions or with_background(dataset.labels),
            "numTraining": len(dataset.cases),
            "file_ending": ending,
        }
        return {
            self.root / "dataset.json": json.dumps(data, indent=1, ensure_ascii=False) + "\n",
            self.root / SPLITS: json.dumps(splits_data(padded_folds(dataset.splits)), indent=1) + "\n",
        }


def _found(root: Path, ending: str, channels: tuple[str, ...]) -> list[Case]:
    """The cases of imagesTr and labelsTr."""
    pattern = re.compile(rf"(.+)_(\d{{4}}){re.escape(ending)}")
    images: dict[str, dict[int, Path]] = {}
    for file in sorted((root / "imagesTr").glob(f"[!.]*{ending}")):
        match = pattern.fullmatch(file.name)
        if not match:
            raise InputError(f"'imagesTr/{file.name}' has no channel number: CASE_0000{ending} is expected.")
        images.setdefault(match[1], {})[int(match[2])] = file
    wanted = set(range(len(channels)))
    # A picture holds all its colours in one file, as nnU-Net's reader of natural images expects.
    accepted = [wanted, {0}] if ending in PLANAR_ONLY else [wanted]
    for name, files in images.items():
        if set(files) not in accepted:
            raise InputError(f"Case {name!r} has the channels {sorted(files)}, 'channel_names' has {len(wanted)}.")
    return [
        Case(name, name, tuple(str(files[c]) for c in sorted(files)), str(root / "labelsTr" / f"{name}{ending}"))
        for name, files in images.items()
    ]


def _listed(root: Path, listed: Mapping[str, Any]) -> list[Case]:
    """The cases of the key "dataset", which names the files of each."""
    cases = []
    for name, entry in listed.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("images"), list) or "label" not in entry:
            raise InputError(f"Case {name!r} of 'dataset' needs 'images', a list, and 'label'.")
        images = tuple(str(inside(root, text, f"Case {name!r}, image")) for text in entry["images"])
        label = inside(root, entry["label"], f"Case {name!r}, label")
        cases.append(Case(safe_name(str(name)), safe_name(str(name)), images, str(label)))
    return cases


def _labels(data: object) -> tuple[dict[str, int], bool]:
    """Label names, and whether they were regions: lists of values, which are then named by their numbers."""
    if isinstance(data, Mapping) and any(isinstance(v, list | tuple) for v in data.values()):
        values = sorted({int(n) for v in data.values() for n in (v if isinstance(v, list | tuple) else [v])})
        return {BACKGROUND if v == 0 else f"label {v}": v for v in values}, True
    return label_names(data), False
