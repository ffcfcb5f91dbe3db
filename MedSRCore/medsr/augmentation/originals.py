"""The originals in the new training set: linked or copied where they fit as they are, rewritten where they do not."""

from __future__ import annotations

import filecmp
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from medsr.augmentation.cases import Case
from medsr.augmentation.channels import SAME_GRID
from medsr.augmentation.labels import label_values, resample_labels
from medsr.errors import OutputError
from medsr.io import Staging, read_channels, read_channels_geometry, read_geometry, read_volume, stage_volume
from medsr.io.formats import suffix_of
from medsr.volume import Volume


def place_original(source: Case, placed: Case, values: Mapping[int, int], how: str) -> None:
    """Put image and label map of `source` where `placed` says.

    A file is rewritten when its extension changes, its label values are translated, or the label map lies on another
    grid than the image. A rewritten file that is there is kept: one that was made from another was removed before.

    Args:
        source: the case as it is.
        placed: the same case in the new training set.
        values: value in the source -> value in the new set.
        how: "link" (hard links; a copy where the disk has none), "symlink" or "copy" for the other files.

    Raises:
        OutputError: a file cannot be written.
    """
    _place_images(source, placed, how)
    old, new = Path(source.label), Path(placed.label)
    grid, _ = read_channels_geometry(source.images[0])
    fits = read_geometry(old).is_same_as(grid, SAME_GRID)
    if fits and suffix_of(old) == suffix_of(new) and all(a == b for a, b in values.items()):
        place_file(old, new, how)
    elif not new.is_file():
        label = translated(read_volume(old), values)
        _write([label if fits else resample_labels(label, grid)], [str(new)])


def _place_images(source: Case, placed: Case, how: str) -> None:
    if len(source.images) != len(placed.images):
        # One file of four dimensions becomes one for each channel.
        if not all(Path(file).is_file() for file in placed.images):
            _write([volume for file in source.images for volume in read_channels(file)], placed.images)
        return
    for old, new in zip(map(Path, source.images), map(Path, placed.images), strict=True):
        if suffix_of(old) == suffix_of(new):
            place_file(old, new, how)
        elif not new.is_file():
            _write(read_channels(old), [str(new)])


def translated(label: Volume, values: Mapping[int, int]) -> Volume:
    """A label map with other values, in the smallest type that holds them.

    Args:
        label: array of whole numbers, all of them keys of `values`.
        values: value in `label` -> value in the result.
    """
    array = np.zeros(label.array.shape, dtype=np.uint8 if max(values.values()) < 256 else np.uint16)
    for value in label_values(label):
        array[label.array == value] = values[value]
    return label.replace(array=array, warnings=())


def place_file(old: Path, new: Path, how: str) -> None:
    """Put a file of the source where `new` says, as it is.

    Args:
        old: the file.
        new: its place.
        how: "link" (a hard link; a copy where the disk has none), "symlink" or "copy".

    Raises:
        OutputError: it cannot be written.
    """
    try:
        if new.exists() and (new.samefile(old) or filecmp.cmp(old, new)):
            return
        new.parent.mkdir(parents=True, exist_ok=True)
        # Beside its place and renamed, so that a killed run leaves no half file.
        with tempfile.TemporaryDirectory(prefix=".medsr-", dir=new.parent) as folder:
            draft = Path(folder) / new.name
            if how == "symlink":
                draft.symlink_to(old)
            elif how == "copy" or not _linked(old, draft):
                shutil.copy2(old, draft)
            draft.replace(new)
    except OSError as error:
        raise OutputError(f"{str(new)!r} could not be written: {error.strerror}.") from error


def _linked(old: Path, draft: Path) -> bool:
    try:
        os.link(old.resolve(), draft)
    except OSError:  # another disk, or one without hard links
        return False
    return True


def stage_channels(volumes: Sequence[Volume], paths: Sequence[str], staging: Staging) -> None:
    """Write channels: each into a file of its own, or all into the only one."""
    if len(paths) == 1:
        stage_volume(volumes[0], paths[0], staging, volumes[1:])
        return
    for volume, path in zip(volumes, paths, strict=True):
        stage_volume(volume, path, staging)


def _write(volumes: Sequence[Volume], paths: Sequence[str]) -> None:
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
    with Staging(overwrite=True) as staging:
        stage_channels(volumes, paths, staging)
