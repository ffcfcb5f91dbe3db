"""Reading NRRD files: a header of fields, and voxels after it or in files of their own."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from medsr.errors import InputError
from medsr.geometry import Geometry
from medsr.io import provenance
from medsr.io.detached import data_files
from medsr.io.nrrd_fields import Fields, read_fields, whole
from medsr.io.nrrd_grid import grid_of_fields
from medsr.io.raster import MOST_AXES, Raster, check_kind
from medsr.volume import Volume

_TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64", "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}
_ENCODINGS = {
    "raw": "", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2",
    "txt": "text", "text": "text", "ascii": "text",
}  # fmt: skip
_SPATIAL_KINDS = ("domain", "space", "time", "???", "none")


def read_nrrd(source: Path) -> Volume:
    """A NRRD file as a Volume."""
    return nrrd_raster(source).volume()


def nrrd_geometry(source: Path) -> Geometry:
    """The grid of a NRRD file; no voxel is read."""
    raster = nrrd_raster(source)
    raster.check_size()
    return raster.geometry


def nrrd_raster(source: Path) -> Raster:
    """What the header of a NRRD file says.

    Raises:
        InputError: it is corrupt, or describes no volume that is read.
    """
    header = read_fields(source)
    axes = header.parsed("dimension", whole)
    if axes > MOST_AXES:
        raise header.error(f"it has {axes} dimensions")
    sizes = header.per_axis("sizes", lambda text: [whole(word) for word in text.split()], axes)
    if sizes is None:
        raise header.error("the field 'sizes' is missing")
    kinds = header.per_axis("kinds", lambda text: text.lower().split(), axes) or ["???"] * axes
    if "complex" in kinds:
        raise InputError(f"{source.name!r} holds complex numbers; real ones are accepted. Save its magnitude first.")
    colours = [axis for axis, kind in enumerate(kinds) if kind not in _SPATIAL_KINDS]
    if len(colours) > 1:
        raise InputError(
            f"{source.name!r} has {len(colours)} axes that are not in space ({', '.join(map(repr, kinds))}); one, of "
            "colours, is accepted. Extract one volume first."
        )
    spatial = [axis for axis in range(axes) if axis not in colours]
    space_sizes = [sizes[axis] for axis in spatial]
    packing = header.parsed("encoding", lambda text: _ENCODINGS[text.lower()])
    dtype = _dtype(header, packing)
    check_kind(source, space_sizes, sizes[colours[0]] if colours else 1, dtype)
    if any(size < 1 for size in sizes):
        raise InputError(f"{source.name!r} has no voxels: its header gives the sizes {sizes}. Export it again.")
    geometry, oriented, warnings = grid_of_fields(header, axes, spatial, space_sizes)
    files, offset, skip = _place(header, packing, math.prod(space_sizes[2:]))
    return Raster(
        source,
        "NRRD",
        tuple(sizes),
        colours[0] if colours else None,
        dtype,
        packing,
        files,
        offset,
        geometry,
        skip=skip,
        oriented=oriented,
        warnings=tuple(warnings),
        stamp=header.values.get(provenance.KEY, ""),
    )


def _dtype(header: Fields, packing: str) -> np.dtype[Any]:
    known = {name: code for code, names in _TYPES.items() for name in names}
    code = header.parsed("type", lambda text: known[text.lower()])
    # One byte has no order, and numbers written out have none.
    if code[1] == "1" or packing == "text":
        return np.dtype(code)
    order = header.parsed("endian", lambda text: {"little": "<", "big": ">"}[text.lower()])
    return np.dtype(order + code)


def _place(header: Fields, packing: str, most: int) -> tuple[tuple[Path, ...], int, int]:
    """Files of the voxels, where in each they begin, and bytes to pass over once unpacked."""
    lines = header.parsed("line skip", whole, 0)
    skipped = header.parsed("byte skip", int, 0)
    if lines or skipped < -1 or (skipped and packing == "text"):
        raise header.error("'line skip' and this 'byte skip' are not supported")
    if "data file" not in header.fields:
        files: tuple[Path, ...] = (header.source,)
        begin = header.end
    else:
        files, begin = data_files(header.source, header.fields["data file"], header.listed, most), 0
    if skipped == -1:
        if packing:
            raise header.error("'byte skip: -1' is for voxels that are not packed")
        return files, -1, 0
    return files, begin, skipped
