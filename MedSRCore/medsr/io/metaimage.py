"""Reading MetaImage files: lines ``Name = value``, and voxels after them or in files of their own."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from medsr.errors import InputError
from medsr.geometry import Geometry
from medsr.io import provenance
from medsr.io.detached import data_files
from medsr.io.raster import (
    LONGEST_HEADER,
    MOST_AXES,
    Raster,
    check_kind,
    checked_spacing,
    grid_of,
    header_error,
    unit_warnings,
)
from medsr.volume import Volume

T = TypeVar("T")

_TYPES = {
    "CHAR": "i1", "UCHAR": "u1", "SHORT": "i2", "USHORT": "u2", "INT": "i4", "UINT": "u4", "LONG": "i4", "ULONG": "u4",
    "LONG_LONG": "i8", "ULONG_LONG": "u8", "FLOAT": "f4", "DOUBLE": "f8",
}  # fmt: skip
_POSITIONS = ("Offset", "Position", "Origin")
_DIRECTIONS = ("TransformMatrix", "Orientation", "Rotation")
_KNOWN = (
    "ObjectType", "NDims", "BinaryData", "BinaryDataByteOrderMSB", "ElementByteOrderMSB", "CompressedData",
    "CompressedDataSize", "DimSize", "ElementType", "ElementNumberOfChannels", "ElementSpacing", "ElementSize",
    "HeaderSize", "ElementDataFile", *_POSITIONS, *_DIRECTIONS,
)  # fmt: skip


def read_metaimage(source: Path) -> Volume:
    """A MetaImage file as a Volume."""
    return metaimage_raster(source).volume()


def metaimage_geometry(source: Path) -> Geometry:
    """The grid of a MetaImage file; no voxel is read."""
    raster = metaimage_raster(source)
    raster.check_size()
    return raster.geometry


@dataclass(frozen=True)
class _Lines:
    """The header as written, the lines after it where they name files, and where it ends."""

    source: Path
    values: dict[str, str]
    listed: tuple[str, ...]
    end: int

    def error(self, cause: str) -> InputError:
        return header_error(self.source, "MetaImage", cause)

    def first(self, *names: str) -> str | None:
        """Which of several names for one thing is there."""
        there = [name for name in names if name in self.values]
        if len(there) > 1 and len({self.values[name] for name in there}) > 1:
            raise self.error(f"{' and '.join(there)} contradict each other")
        return there[0] if there else None

    def parsed(self, name: str | None, parse: Callable[[str], T], default: T | None = None) -> T:
        """A value, or `default` where it is missing."""
        text = self.values.get(name or "")
        if text is None:
            if default is None:
                raise self.error(f"{name} is missing")
            return default
        try:
            return parse(text)
        except (ValueError, KeyError, OverflowError):
            line = f"{name} = {text[:80]}"
            raise self.error(f"{line!r} is not understood") from None

    def numbers(self, name: str | None, count: int) -> list[float] | None:
        """Numbers, or None where there are none."""
        if name is None:
            return None
        found = self.parsed(name, lambda text: [float(word) for word in text.split()])
        if len(found) != count:
            raise self.error(f"{name} has {len(found)} values instead of {count}")
        return found


def metaimage_raster(source: Path) -> Raster:
    """What the header of a MetaImage file says.

    Raises:
        InputError: it is corrupt, or describes no volume that is read.
    """
    header = _read_lines(source)
    if header.parsed("ObjectType", str.strip, "Image") != "Image":
        raise header.error(f"it describes {header.values['ObjectType'][:80]!r} and no image")
    axes = header.parsed("NDims", _whole)
    sizes = header.parsed("DimSize", lambda text: [_whole(word) for word in text.split()])
    if len(sizes) != axes or axes > MOST_AXES:
        raise header.error(f"DimSize has {len(sizes)} values for {axes} axes")
    components = header.parsed("ElementNumberOfChannels", _whole, 1)
    written_out = not header.parsed("BinaryData", _flag, True)
    packed = header.parsed("CompressedData", _flag, False)
    if written_out and packed:
        raise header.error("voxels are either written out or compressed")
    dtype = _dtype(header)
    check_kind(source, sizes, components, dtype)
    if components < 1:
        raise header.error("there are no channels")
    geometry, oriented, warnings = _geometry(header, sizes)
    packing = "text" if written_out else "zlib" if packed else ""
    files, offset = _place(header, packing, math.prod(sizes[2:]))
    return Raster(
        source,
        "MetaImage",
        (components, *sizes) if components > 1 else tuple(sizes),
        0 if components > 1 else None,
        dtype,
        packing,
        files,
        offset,
        geometry,
        oriented=oriented,
        warnings=tuple(warnings),
        stamp=header.values.get(provenance.KEY, ""),
    )


def _read_lines(source: Path) -> _Lines:
    values: dict[str, str] = {}
    with source.open("rb") as file:
        while "ElementDataFile" not in values:
            raw = file.readline(LONGEST_HEADER)
            if not raw or file.tell() > LONGEST_HEADER:
                raise header_error(source, "MetaImage", "ElementDataFile, which ends it, is missing")
            line = raw.decode("latin-1").strip()
            if line:
                _take(source, line, values)
        end = file.tell()
        listed: tuple[str, ...] = ()
        if values["ElementDataFile"].startswith("LIST"):
            listed = tuple(file.read(LONGEST_HEADER).decode("latin-1").splitlines())
        return _Lines(source, values, listed, end)


def _take(source: Path, line: str, values: dict[str, str]) -> None:
    """Add one line to `values`."""
    parts = re.fullmatch(r"([^=:]+?)\s*[=:]\s*(.*)", line)
    if parts is None:
        raise header_error(source, "MetaImage", f"the line {line[:80]!r} is no name with a value")
    name, text = parts.groups()
    if name in _KNOWN and name in values:
        raise header_error(source, "MetaImage", f"{name!r} is there twice")
    for known in _KNOWN:
        # Any name may be there. One that misses the name of something by a letter was meant to be that.
        if name != known and len(name) == len(known) and sum(map(str.__ne__, name.lower(), known.lower())) < 2:
            raise header_error(source, "MetaImage", f"{name!r} has no meaning; {known!r} has")
    values[name] = text


def _dtype(header: _Lines) -> np.dtype[Any]:
    kind = header.parsed("ElementType", lambda text: _TYPES[text.removeprefix("MET_").removesuffix("_ARRAY")])
    name = header.first("BinaryDataByteOrderMSB", "ElementByteOrderMSB")
    return np.dtype((">" if header.parsed(name, _flag, False) else "<") + kind)


def _place(header: _Lines, packing: str, most: int) -> tuple[tuple[Path, ...], int]:
    """Files of the voxels, and where in each they begin."""
    skipped = header.parsed("HeaderSize", int, 0)
    if skipped < -1 or (skipped and packing):
        raise header.error(f"'HeaderSize = {skipped}' is not supported")
    value = header.values["ElementDataFile"]
    if value.upper() == "LOCAL":
        if skipped > 0 and skipped != header.end:
            raise header.error(f"'HeaderSize = {skipped}' is not where it ends")
        return (header.source,), -1 if skipped else header.end
    return data_files(header.source, value, header.listed, most), skipped


def _geometry(header: _Lines, sizes: list[int]) -> tuple[Geometry, bool, list[str]]:
    """The grid, whether the file says how it lies in the patient, and what a person should know."""
    axes = len(sizes)
    # Where only the size of a voxel is stated, its neighbours touch it.
    name = "ElementSpacing" if "ElementSpacing" in header.values else "ElementSize"
    stated = header.numbers(name if name in header.values else None, axes)
    spacing, warnings = checked_spacing(header.source, "ElementSpacing", stated, axes)
    place, turn = header.first(*_POSITIONS), header.first(*_DIRECTIONS)
    origin = header.numbers(place, axes) or [0.0] * axes
    matrix = np.eye(axes)
    rows = header.numbers(turn, axes * axes)
    if rows is not None:
        # Each row is the direction of an axis.
        matrix = np.array(rows).reshape(axes, axes).T
    if axes > 2 and not (place and turn):
        missing = " and ".join(words for words, there in (("where", place), ("how", turn)) if not there)
        told = [
            *([] if place else ["the first voxel was put at 0, 0, 0"]),
            *([] if turn else ["the axes were taken as left, posterior, superior"]),
        ]
        warnings.append(f"{header.source.name!r} does not say {missing} it lies in the patient; {', and '.join(told)}.")
    warnings += unit_warnings(header.source, {header.values.get("DistanceUnits", "")})
    return grid_of(sizes, spacing, origin, matrix), bool(turn), warnings


def _whole(text: str) -> int:
    if not re.fullmatch(r"\d{1,18}", text):
        raise ValueError(text)
    return int(text)


def _flag(text: str) -> bool:
    return {"true": True, "t": True, "1": True, "yes": True, "false": False, "f": False, "0": False, "no": False}[
        text.lower()
    ]
