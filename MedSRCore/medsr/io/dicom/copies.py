"""Files that repeat others: position and pixels decide, not the SOP Instance UID.

The UID should tell images apart, but tools that anonymise or convert give many files the same one, and exports hold a
slice twice under two. So a file is a copy if it lies in the same place and holds the same pixels. The same UID with
another place or other pixels is another image.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medsr.io.dicom.headers import names
from medsr.io.dicom.slices import Slice
from medsr.io.dicom.stored import NATIVE

_CHUNK = 1 << 20


def without_copies(slices: Sequence[Slice]) -> tuple[list[Slice], list[str]]:
    """The slices of files that repeat no other one, and sentences with the names of what was left out or is odd."""
    by_file: dict[Path, list[Slice]] = {}
    for one in slices:
        by_file.setdefault(one.path, []).append(one)
    alike: dict[Any, list[Path]] = {}
    for path, held in by_file.items():
        alike.setdefault(tuple(map(_place, held)), []).append(path)
    copies: list[Path] = []
    for paths in alike.values():
        seen: set[bytes] = set()
        for path in paths if len(paths) > 1 else ():
            digest = _digest(by_file[path][0])
            if digest in seen:
                copies.append(path)
            seen.add(digest)
    kept = {path: held for path, held in by_file.items() if path not in copies}
    told = []
    if copies:
        told.append(
            f"{len(copies)} file(s) repeat others of the series, with the same position and pixels, and were left out: "
            f"{names(copies)}."
        )
    counted = Counter(held[0].instance for held in kept.values() if held[0].instance)
    shared = [held[0] for held in kept.values() if counted[held[0].instance] > 1]
    if shared:
        told.append(
            f"{len(shared)} files share a SOP Instance UID, which only one image should have: {names(shared)}. Their "
            "positions or pixels differ, so all were kept."
        )
    return [one for held in kept.values() for one in held], told


def _place(one: Slice) -> Any:
    """All that has to be equal before pixels are compared."""
    stored = one.stored and dataclasses.replace(one.stored, offset=0, length=None)
    return (one.frame, one.size_xy, one.position, one.orientation, one.spacing_xy, one.rescale, stored)


def _digest(one: Slice) -> bytes:
    """A digest of the pixels as they lie in the file."""
    digest = hashlib.sha256()
    stored = one.stored
    if stored is None:
        return digest.digest()
    left = stored.frame_bytes * stored.frames if stored.syntax in NATIVE else one.path.stat().st_size
    with one.path.open("rb") as file:
        file.seek(stored.offset)
        while left > 0 and (chunk := file.read(min(left, _CHUNK))):
            digest.update(chunk)
            left -= len(chunk)
    return digest.digest()
