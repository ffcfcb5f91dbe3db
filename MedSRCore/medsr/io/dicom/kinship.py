"""What two volumes say of whose they are and where they lie: the same or not. What they say is compared, never told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medsr.errors import InputError
from medsr.io.dicom import elements
from medsr.io.dicom.files import read_header
from medsr.io.dicom.kept import IDENTITY
from medsr.io.formats import looks_like_dicom
from medsr.jsontext import parse_json
from medsr.volume import Volume

_FRAME, _REMOVED = "FrameOfReferenceUID", "PatientIdentityRemoved"
_SIDECAR_BYTES = 10_000_000


def same_patient(first: Volume, second: Volume) -> bool | None:
    """False where name or identifier of the patient differ, True where what both state agrees, None where unknown.

    It is unknown, too, where one of the two was made anonymous and the other not.
    """
    one, other = _stated(first), _stated(second)
    if _is_anonymous(one) != _is_anonymous(other):
        return None
    found = [one[key] == other[key] for key in IDENTITY if one.get(key) and other.get(key)]
    return all(found) if found else None


def same_frame(first: Volume, second: Volume) -> bool | None:
    """Whether positions of both are in one frame of reference; None where one does not say."""
    one, other = (_stated(volume).get(_FRAME) for volume in (first, second))
    return one == other if one and other else None


def _stated(volume: Volume) -> Mapping[str, str]:
    """What the DICOM header, or the sidecar, behind a volume states, in a form to be compared."""
    for path in volume.files:
        if path.suffix.lower() == ".json":
            return _of_sidecar(path)
    for path in volume.files[:1]:
        if looks_like_dicom(path):
            return _of_header(path)
    return {}


def _of_header(path: Path) -> dict[str, str]:
    try:
        header = read_header(path, [*IDENTITY, _FRAME, _REMOVED])
    except InputError:
        return {}
    return {key: _comparable(elements.text(header, key)) for key in (*IDENTITY, _FRAME, _REMOVED)}


def _of_sidecar(path: Path) -> dict[str, str]:
    try:
        data: Any = parse_json(path.read_bytes()[:_SIDECAR_BYTES])
    except (OSError, ValueError):
        return {}
    return {key: _comparable(str(data[key])) for key in IDENTITY if key in data} if isinstance(data, dict) else {}


def _comparable(text: str) -> str:
    """Without what differs between two ways of writing one name: case, and ``^`` for a blank."""
    return re.sub(r"[\s^]+", " ", text).strip().casefold()


def _is_anonymous(stated: Mapping[str, str]) -> bool:
    return stated.get(_REMOVED) == "yes"
