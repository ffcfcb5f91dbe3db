"""Which volumes the inputs are, and what each result is called."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from medsr.batch.spec import BatchSpec
from medsr.errors import InputError, InputNotFoundError, InvalidValueError
from medsr.io.dicom.files import files_below
from medsr.io.dicom.headers import Series, scan
from medsr.io.formats import PLANAR_ONLY, READABLE, WRITABLE, suffix_of

_DICOM = (".dcm", ".ima")
_LONGEST_NAME = 60


@dataclass(frozen=True)
class Item:
    """One volume to be enlarged.

    Attributes:
        source: file or folder.
        series: UID where the folder may hold several.
        place: of the result below the output folder.
        files: that decide the result.
    """

    source: Path
    series: str | None
    place: Path
    files: tuple[Path, ...]


def items_of(spec: BatchSpec) -> list[Item]:
    """The volumes that `spec` names, in the order of the inputs.

    Raises:
        InputNotFoundError: an input that is not there.
        InputError: a folder that holds no image, or may not be read.
        InvalidValueError: results of two inputs would be one file.
    """
    paths = [Path(text) for text in spec.inputs]
    for path in paths:
        # Also what a name with spaces became that was not quoted.
        if not path.exists():
            raise InputNotFoundError(
                f"There is no file or folder {str(path)!r}. Check the path; names with spaces need quotes."
            )
    items = [item for path in paths for item in _items(path, spec)]
    taken: dict[str, Item] = {}
    for item in items:
        # Some file systems take A.nii and a.nii for one name.
        other = taken.setdefault(str(item.place).casefold(), item)
        if other is not item:
            raise InvalidValueError(
                f"The results of {str(other.source)!r} and {str(item.source)!r} would both be {str(item.place)!r}. "
                "Rename one of them, or call the command for each with a folder of its own."
            )
    return items


def _items(path: Path, spec: BatchSpec) -> Iterator[Item]:
    if not path.is_dir():
        yield Item(path, None, _place(Path(path.name), spec), _with_companions(path))
    elif not spec.everything:
        name = Path(path.resolve().name)
        yield Item(path, None, _folder_place(name, spec), _all_files(path))
    else:
        yield from _everything(path, spec)


def _everything(folder: Path, spec: BatchSpec) -> Iterator[Item]:
    """Each series and each image file below a folder."""
    found = files_below(folder)
    images = [path for path in found.others if suffix_of(path) in READABLE]
    if found.dicom:
        # What is no DICOM among DICOM files is told with the series that it may belong to.
        images = [path for path in images if suffix_of(path) not in _DICOM]
        yield from _series(folder, spec)
    elif not images:
        accepted = ", ".join(READABLE)
        raise InputError(f"There is no image in the folder {str(folder)!r}. Accepted: {accepted}, and DICOM files.")
    for path in images:
        yield Item(path, None, _place(path.relative_to(folder), spec), _with_companions(path))


def _series(folder: Path, spec: BatchSpec) -> Iterator[Item]:
    """Each series of the list that `medsr info` shows, under its number there."""
    try:
        found = scan(folder)
    except InputError:  # told again, and in full, when it is read as a volume
        yield Item(folder, None, _folder_place(Path(folder.resolve().name), spec), _all_files(folder))
        return
    for number, series in enumerate(found, start=1):
        place = Path(f"{number:03d}{_as_file_name(series.description)}")
        files = sorted({one.path for one in series.slices} | {one.path for one in series.damaged})
        yield Item(_home(series), series.uid, _folder_place(place, spec), tuple(files))


def _as_file_name(description: str) -> str:
    """Of a description what is safe in the name of a file, behind a line; nothing where nothing is left."""
    safe = re.sub(r"[^A-Za-z0-9.+-]+", "_", description).strip("._")[:_LONGEST_NAME]
    return f"_{safe}" if safe else ""


def _home(series: Series) -> Path:
    """The innermost folder that holds all files of a series."""
    return Path(os.path.commonpath([one.path.parent for one in series.slices]))


def _folder_place(name: Path, spec: BatchSpec) -> Path:
    return name if spec.format == "dicom" else name.with_name(f"{name.name}.nii.gz")


def _place(name: Path, spec: BatchSpec) -> Path:
    """Of the result of a file: its own name, and its extension where that can be written."""
    ending = suffix_of(name)
    stem = name.name[: -len(ending)] if ending in READABLE else name.name
    if spec.format == "dicom":
        return name.with_name(stem)
    kept = ".png" if ending in PLANAR_ONLY else ".nii.gz"
    return name.with_name(stem + (ending if ending in WRITABLE else kept))


def _with_companions(path: Path) -> tuple[Path, ...]:
    """A file and what may belong to it: sidecar, b-values, voxels of a detached header."""
    ending = suffix_of(path)
    stem = path.name[: -len(ending)] if ending else path.name
    beside = [other for other in path.parent.glob("*") if other.name.startswith(f"{stem}.") and other.is_file()]
    return tuple(sorted({path, *beside}))


def _all_files(folder: Path) -> tuple[Path, ...]:
    found = files_below(folder)
    return tuple(sorted({*found.dicom, *found.others}))
