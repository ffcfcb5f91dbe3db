"""Finding DICOM files and reading their headers, up to the pixels.

DICOM is input from strangers: only elements that are asked for are read, and nothing inside a file is followed as a
path.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medsr.errors import InputError
from medsr.io.dicom import elements
from medsr.io.dicom.stored import UNDEFINED_LENGTH
from medsr.io.formats import looks_like_dicom, unreadable

MAX_FILES = 50_000
_PIXEL_DATA = 0x7FE00010
_PIXELS = (0x7FE00008, 0x7FE00009, _PIXEL_DATA)  # reals, doubles, integers
_DEFLATED = "1.2.840.10008.1.2.1.99"
_SUFFIXES = (".dcm", ".ima")


@dataclass(frozen=True)
class Found:
    """What a folder holds: files that look like DICOM, other files, and folders that may not be read."""

    dicom: list[Path]
    others: list[Path]
    locked: list[Path]

    def suspicious(self) -> list[Path]:
        """Files without DICOM content whose names are those of DICOM files: emptied or overwritten.

        Numbers in names count as equal, so ``IM0012`` is a name like ``IM0013``.
        """
        alike = {(path.parent, _pattern(path)) for path in self.dicom}
        return [p for p in self.others if p.suffix.lower() in _SUFFIXES or (p.parent, _pattern(p)) in alike]


def _pattern(path: Path) -> str:
    return re.sub(r"\d+", "#", path.name)


def files_below(folder: Path) -> Found:
    """The files of a folder and its subfolders in the order of their names."""
    found = Found([], [], [])
    seen = 0

    def locked(error: OSError) -> None:
        path = Path(error.filename)
        if path == folder:
            raise InputError(f"The folder {str(folder)!r} may not be read by this user. Change its permissions.")
        found.locked.append(path)

    for root, folders, names in os.walk(folder, onerror=locked):
        folders.sort()
        seen += len(names)
        if seen > MAX_FILES:
            raise InputError(
                f"The folder {str(folder)!r} holds more than {MAX_FILES:,} files. Pass the folder of one series or "
                "study."
            )
        for name in sorted(names):
            path = Path(root, name)
            if name.upper() == "DICOMDIR" or name.startswith(".") or not path.is_file():
                continue
            (found.dicom if looks_like_dicom(path) else found.others).append(path)
    return found


def read_header(path: Path, tags: Sequence[Any]) -> Any:
    """The elements in `tags`, as a pydicom dataset with three attributes more.

    ``pixel_offset`` is where the pixels start, None where there are none; ``stored_pixel_bytes`` their length, None
    where it is not stated; ``should_be_image`` is false for a file of another class than images.

    Raises:
        InputError: whatever pydicom raises on arbitrary bytes means "not readable".
    """
    pydicom = elements.pydicom_module()
    if not looks_like_dicom(path):
        raise InputError(f"{path.name!r} is no DICOM file: it lacks the mark 'DICM'. Copy or export it again.")
    try:
        with elements.unheard():
            dataset = _read_before_pixels(path, pydicom, tags)
            dataset.get("SOPClassUID")
    except InputError:
        raise
    except Exception as error:
        raise unreadable(path, "DICOM", error) from error
    return dataset


def _read_before_pixels(path: Path, pydicom: Any, tags: Sequence[Any]) -> Any:
    offset: int | None = None
    stored: int | None = None

    def at_pixels(tag: int, _vr: str | None, length: int) -> bool:
        nonlocal offset, stored
        if tag == _PIXEL_DATA:
            offset, stored = file.tell(), None if length == UNDEFINED_LENGTH else length
        return tag in _PIXELS

    with path.open("rb") as file:
        _refuse_deflated(path, file, pydicom)
        wanted = [pydicom.tag.Tag(tag) for tag in tags]
        dataset = pydicom.filereader.read_partial(file, stop_when=at_pixels, force=True, specific_tags=wanted)
    dataset.pixel_offset, dataset.stored_pixel_bytes = offset, stored
    kinds = (elements.value(dataset, "SOPClassUID"), elements.value(dataset.file_meta, "MediaStorageSOPClassUID"))
    known = [kind.name for kind in kinds if isinstance(kind, pydicom.uid.UID) and kind.name != kind]
    # Objects of classes that vendors made say at least what they are and where they belong.
    complete = all(elements.text(dataset, keyword) for keyword in ("Modality", "SeriesInstanceUID"))
    dataset.should_be_image = any("Image Storage" in name for name in known) or not (known or complete)
    return dataset


def _refuse_deflated(path: Path, file: Any, pydicom: Any) -> None:
    """A deflated header inflates to a thousand times its size before anything in it can be asked."""
    try:
        meta = pydicom.filereader.read_file_meta_info(path) if file.read(132)[128:] == b"DICM" else {}
    finally:
        file.seek(0)
    if elements.clean(elements.value(meta, "TransferSyntaxUID")) == _DEFLATED:
        raise InputError(
            f"{path.name!r} is deflated as a whole (transfer syntax Deflated Explicit VR), which MedSR does not read. "
            "Inflate it, for example with dcmconv +te."
        )
