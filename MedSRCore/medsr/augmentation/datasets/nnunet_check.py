"""nnU-Net's own look at a raw folder, replayed, so that it fails here and not after a night in a queue.

The rules are those of nnU-Net v2 (``verify_dataset_integrity`` and ``LabelManager``), read there and written anew.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from medsr.augmentation.datasets.paths import read_json
from medsr.augmentation.labels import label_values
from medsr.errors import MedSRError
from medsr.io import read_volume
from medsr.volume import Volume

_KEYS = ("channel_names", "labels", "numTraining", "file_ending")


def check_nnunet(folder: Path, report: Callable[[float], None] = lambda fraction: None) -> list[str]:
    """What nnU-Net would complain about.

    Args:
        folder: a raw folder such as ``Dataset001_Name``.
        report: receives the fraction of the cases looked at.

    Returns:
        A sentence for each fault; none for a folder that nnU-Net accepts.
    """
    try:
        data = read_json(folder / "dataset.json")
    except MedSRError as error:
        return [str(error)]
    missing = [key for key in _KEYS if not isinstance(data, Mapping) or key not in data]
    missing_folders = [name for name in ("imagesTr", "labelsTr") if not (folder / name).is_dir()]
    if missing or missing_folders:
        faults = [f"dataset.json has no {key!r}." for key in missing]
        return faults + [f"There is no folder {name!r}." for name in missing_folders]
    values, faults = _labels(data["labels"])
    ending, channels = str(data["file_ending"]), len(data["channel_names"])
    names = _identifiers(folder / "imagesTr", ending)
    if len(names) != data["numTraining"]:
        faults.append(f"numTraining is {data['numTraining']}, but imagesTr holds {len(names)} cases.")
    for number, name in enumerate(names, 1):
        faults += [f"{name}: {fault}" for fault in _case(folder, name, ending, channels, values)]
        report(number / len(names))
    return faults


def _labels(labels: object) -> tuple[set[int], list[str]]:
    """The values that label maps may hold, and what is wrong with the list."""
    if not isinstance(labels, Mapping):
        return set(), ["'labels' is no object of names and values."]
    faults = []
    if labels.get("background") != 0:
        faults.append("The label 'background' must be there and be 0.")
    given = {n: v for n, v in labels.items() if n != "ignore"}
    values = sorted({int(v) for value in given.values() for v in (value if isinstance(value, list) else [value])})
    if "ignore" in labels:
        if labels["ignore"] != max(values, default=-1) + 1:
            faults.append("The label 'ignore' must have the highest value.")
        values.append(int(labels["ignore"]))
    if any(b - a != 1 for a, b in itertools.pairwise(values)):
        faults.append(f"Label values must follow one another without a gap, got {values}.")
    return set(values), faults


def _identifiers(folder: Path, ending: str) -> list[str]:
    """Case names: what stands before ``_0000`` and the extension."""
    names = (re.sub(rf"_\d{{4}}{re.escape(ending)}$", "", f.name) for f in folder.iterdir() if f.name.endswith(ending))
    return sorted(set(names))


def _case(folder: Path, name: str, ending: str, channels: int, values: set[int]) -> Iterator[str]:
    label_file = folder / "labelsTr" / f"{name}{ending}"
    files = sorted(folder.joinpath("imagesTr").glob(f"{name}_[0-9][0-9][0-9][0-9]{ending}"))
    if not label_file.is_file():
        yield "it has no label map in labelsTr."
        return
    try:
        label = read_volume(label_file)
        images = [read_volume(file) for file in files]
        unexpected = [value for value in label_values(label) if value not in values]
    except MedSRError as error:
        yield str(error)
        return
    found = sum(image.channels for image in images)
    if found != channels:
        yield f"it has {found} channels, 'channel_names' has {channels}."
    if unexpected:
        yield f"its label map holds {unexpected}, which 'labels' does not name."
    for image in images:
        yield from _image(image, label)


def _image(image: Volume, label: Volume) -> Iterator[str]:
    if image.array.dtype.kind == "f" and np.isnan(image.array).any():
        yield "an image holds NaN."
    if image.geometry.size_xyz != label.geometry.size_xyz:
        yield f"image and label map differ in size: {image.geometry.size_xyz} and {label.geometry.size_xyz}."
    elif not np.allclose(image.geometry.affine, label.geometry.affine, rtol=1e-5, atol=1e-3):
        yield "image and label map differ in spacing, origin or direction."
