"""What came of a damaged image: nothing, a refusal, a warning, or a defect."""

from __future__ import annotations

import json
import os
import re
import shutil
import traceback
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from damage import Damage
from originals import SIZE_XYZ, Original

from medsr.api import super_resolve
from medsr.errors import InputError, MedSRError
from medsr.io import read_geometry, read_volume
from medsr.io.describing import describe_volume
from medsr.volume import Volume

FINE = ("same", "refused", "told", "voxels", "restated")
DEFECTS = ("unnoticed", "traceback", "sentence", "memory", "inconsistent", "crash", "hang")


@dataclass(frozen=True)
class Verdict:
    """One of FINE or DEFECTS, and why."""

    verdict: str
    why: str = ""


def write(files: dict[str, bytes], folder: Path) -> None:
    """Files in an empty folder, beside things that no image may be read from."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    if not any(name.endswith(".dcm") for name in files):
        (folder / "folder").mkdir()
        (folder / "out").symlink_to("/etc/passwd")
        os.mkfifo(folder / "pipe")


def judge(original: Original, whole: Volume, damage: Damage, folder: Path) -> Verdict:
    """Read damaged files as the command does, and say what came of it.

    Args:
        original: the image before.
        whole: as it is read before.
        damage: the damage, which is written into `folder`.
        folder: is emptied.
    """
    write(damage.files, folder)
    source = folder / original.opened
    try:
        volume = read_volume(source)
    except MedSRError as error:
        return _refusal(error)
    except Exception:
        return Verdict("traceback", traceback.format_exc()[-1500:])
    try:
        if read_geometry(source) != volume.geometry:
            return Verdict("inconsistent", "read_geometry gives another grid than read_volume")
        json.dumps(describe_volume(volume), allow_nan=False)
        _enlarge(volume)
    except MedSRError as error:
        if (said := _refusal(error)).verdict != "refused":
            return said
    except Exception:
        return Verdict("traceback", traceback.format_exc()[-1500:])
    return _difference(whole, volume, damage)


def _enlarge(volume: Volume) -> None:
    """The cheapest job; what it refuses, such as voxels that are no numbers, is refused by a sentence too."""
    if volume.array.size > 4 * np.prod(SIZE_XYZ):
        return
    result = super_resolve(volume, scale=(2, 1, 1), model="linear", modality="MR", slice_thickness=1.0).volume
    if not np.isfinite(result.array).all():
        raise AssertionError("the result holds NaN or infinite voxels")


def _refusal(error: MedSRError) -> Verdict:
    text = str(error)
    if not isinstance(error, InputError):
        memory = "memory" if type(error).__name__ == "ResourceError" else "sentence"
        return Verdict(memory, f"{type(error).__name__}: {text}")
    odd = "\n" in text or not text.endswith(".") or len(text) < 30
    listed = "Choose one with --series" in text  # a list, on lines of its own
    if (odd and not listed) or re.search(r"0x[0-9a-f]{6}|itk::|Traceback", text):
        return Verdict("sentence", text)
    return Verdict("refused", text)


def _difference(whole: Volume, volume: Volume, damage: Damage) -> Verdict:
    """How an image that was read differs from what it was."""
    grid = volume.geometry.is_same_as(whole.geometry, 1e-3) and np.allclose(
        volume.geometry.spacing_xyz_mm, whole.geometry.spacing_xyz_mm, rtol=1e-4
    )
    voxels = volume.array.dtype == whole.array.dtype and np.array_equal(volume.array, whole.array)
    told = [text for text in volume.warnings if text not in whole.warnings]
    if grid and voxels:
        return Verdict("same", "; ".join(told))
    if damage.promise == "whole":
        return Verdict("unnoticed", f"{damage.what}: the {'grid' if voxels else 'voxels'} differ")
    if told:
        return Verdict("told", "; ".join(told))
    if damage.promise == "stated":
        return Verdict("restated", volume.geometry.describe())
    if damage.promise == "voxels" and grid and volume.array.shape == whole.array.shape:
        differ = int((volume.array != whole.array).sum())
        bytes_changed = sum(last - first + 1 for _, first, last in damage.changed)
        if differ <= bytes_changed // whole.array.itemsize + 1:
            return Verdict("voxels")
        return Verdict("unnoticed", f"{differ} voxels differ after {bytes_changed} bytes were changed")
    return Verdict("unnoticed", f"{damage.what}: {volume.geometry.describe()}, without a warning")
