"""The header of a NRRD file as it is written: fields, and names with values."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from medsr.errors import InputError
from medsr.io.raster import LONGEST_HEADER, header_error

T = TypeVar("T")

_ALIASES = {
    "centerings": "centers", "axismins": "axis mins", "axismaxs": "axis maxs", "blocksize": "block size",
    "oldmin": "old min", "oldmax": "old max", "lineskip": "line skip", "byteskip": "byte skip",
    "sampleunits": "sample units", "datafile": "data file",
}  # fmt: skip
_FIELDS = {
    "content", "number", "type", "block size", "dimension", "space", "space dimension", "space units", "space origin",
    "space directions", "measurement frame", "sizes", "spacings", "thicknesses", "axis mins", "axis maxs", "centers",
    "labels", "units", "kinds", "min", "max", "old min", "old max", "endian", "encoding", "line skip", "byte skip",
    "sample units", "data file",
}  # fmt: skip


@dataclass(frozen=True)
class Fields:
    """The header as written: fields in small letters, names and values, and where it ends."""

    source: Path
    fields: dict[str, str]
    values: dict[str, str]
    listed: tuple[str, ...]
    end: int

    def error(self, cause: str) -> InputError:
        """The error for a header that is not as NRRD wants it."""
        return header_error(self.source, "NRRD", cause)

    def parsed(self, name: str, parse: Callable[[str], T], default: T | None = None) -> T:
        """A field, or `default` where it is missing."""
        text = self.fields.get(name)
        if text is None:
            if default is None:
                raise self.error(f"the field {name!r} is missing")
            return default
        try:
            return parse(text)
        except (ValueError, KeyError, OverflowError):
            line = f"{name}: {text[:80]}"
            raise self.error(f"{line!r} is not understood") from None

    def per_axis(self, name: str, parse: Callable[[str], list[T]], axes: int) -> list[T] | None:
        """One value per axis, or None where the field is missing."""
        if name not in self.fields:
            return None
        found = self.parsed(name, parse)
        if len(found) != axes:
            raise self.error(f"{name!r} has {len(found)} values for {axes} axes")
        return found


def read_fields(source: Path) -> Fields:
    """The header of a file.

    Raises:
        InputError: it is not as NRRD wants it.
    """
    fields: dict[str, str] = {}
    values: dict[str, str] = {}
    listed: list[str] = []
    with source.open("rb") as file:
        magic = file.readline(100).rstrip(b"\r\n")
        if not re.fullmatch(rb"NRRD000[1-6]", magic):
            raise header_error(source, "NRRD", "its first line is not 'NRRD0001' to 'NRRD0006'")
        while raw := file.readline(LONGEST_HEADER):
            if file.tell() > LONGEST_HEADER:
                raise header_error(source, "NRRD", f"it does not end within {LONGEST_HEADER:,} bytes")
            line = raw.decode("latin-1").rstrip("\r\n")
            if not line:
                break
            if fields.get("data file", "").startswith("LIST"):
                listed.append(line)
            elif not line.startswith("#"):
                _take(source, line, fields, values)
        return Fields(source, fields, values, tuple(listed), file.tell())


def _take(source: Path, line: str, fields: dict[str, str], values: dict[str, str]) -> None:
    """Add one line to `fields` or `values`."""
    parts = re.fullmatch(r"([^:]+)(: |:=|:$)(.*)", line, re.DOTALL)
    if parts is None:
        raise header_error(source, "NRRD", f"the line {line[:80]!r} is neither a field nor a name with a value")
    name, separator, text = parts.groups()
    if separator == ":=":
        values[name] = text
        return
    name = _ALIASES.get(name.lower(), name.lower())
    if name not in _FIELDS:
        raise header_error(source, "NRRD", f"there is no field {name[:80]!r}")
    if name in fields:
        raise header_error(source, "NRRD", f"the field {name!r} is there twice")
    fields[name] = text.strip()


def whole(text: str) -> int:
    """A number of digits only."""
    if not re.fullmatch(r"\d{1,18}", text):
        raise ValueError(text)
    return int(text)
