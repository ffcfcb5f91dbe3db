"""Voxels that a text header describes: what NRRD and MetaImage have in common once their headers are understood.

These headers are read here and not by ITK, which opens whatever file they name, takes the memory they ask for, ends the
process on some of them, and passes over damage of packed voxels.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InputError, ResourceError
from medsr.geometry import Geometry
from medsr.io import provenance
from medsr.io.formats import check_promised_size, unreadable
from medsr.io.sidecar import with_sidecar
from medsr.io.streams import READ_ERRORS, read_array
from medsr.volume import Volume

MOST_AXES = 16
LONGEST_HEADER = 8 << 20  # bytes; NRRD headers may hold thousands of names and values
_COLOURS = (np.dtype(np.uint8), np.dtype(np.uint16))


@dataclass(frozen=True)
class Raster:
    """How voxels are stored.

    Attributes:
        source: the header file.
        what: the name of the format.
        sizes: of all axes, the fastest first.
        component_axis: which of them counts colours, or None.
        dtype: of one stored number, with its byte order.
        packing: "" for none, "gzip", "zlib", "bzip2", or "text" for numbers written out.
        files: where the voxels are, in order; the header itself where they follow it.
        offset: where they begin in each file; -1 where they are its last bytes.
        skip: bytes to pass over once unpacked.
        geometry: the grid.
        oriented: the header says how the axes lie in the patient.
        warnings: what a person should know.
        stamp: the header's provenance.
    """

    source: Path
    what: str
    sizes: tuple[int, ...]
    component_axis: int | None
    dtype: np.dtype[Any]
    packing: str
    files: tuple[Path, ...]
    offset: int
    geometry: Geometry
    skip: int = 0
    oriented: bool = True
    warnings: tuple[str, ...] = ()
    stamp: str = ""

    @property
    def count(self) -> int:
        """Numbers stored."""
        return math.prod(self.sizes)

    def volume(self) -> Volume:
        """The voxels on their grid, with what a sidecar says of them.

        Raises:
            InputError: they are truncated, corrupt, or not as many as the header says.
        """
        array = self._voxels()
        warnings = list(self.warnings)
        if array.ndim == 4 and array.shape[3] == 4:
            array = np.ascontiguousarray(array[..., :3])
            warnings.append(f"{self.source.name!r} has transparency (an alpha channel); it was dropped.")
        volume = Volume(
            array,
            self.geometry,
            planar=self.geometry.size_xyz[2] == 1,
            warnings=tuple(warnings),
            source=str(self.source),
            files=self.files,
            metadata=provenance.found(self.stamp),
        )
        return with_sidecar(volume, self.source, oriented=self.oriented)

    def check_size(self) -> None:
        """Raise InputError when the files cannot hold the voxels; no memory is taken and no voxel read."""
        if self.count % len(self.files):
            raise InputError(
                f"The voxels of {self.source.name!r} cannot be spread evenly over {len(self.files)} data files. "
                "Correct the header, or export it again."
            )
        promised = self.count // len(self.files) * self.dtype.itemsize
        for file in self.files:
            if self.packing:
                least = promised // self.dtype.itemsize if self.packing == "text" else promised
                check_promised_size(file, least, compressed=self.packing != "text")
                continue
            there = file.stat().st_size - max(0, self.offset) - self.skip
            if there < promised or (there > promised and self.offset >= 0):
                raise InputError(
                    f"{file.name!r} is truncated or its header is corrupt: the header promises {promised:,} bytes of "
                    f"voxels, the file has {max(0, there):,}. Correct the header, or export the image again."
                )

    def _voxels(self) -> NDArray[np.generic]:
        """Voxels ``(z, y, x)``, or ``(z, y, x, c)`` for colour, in the machine's byte order."""
        self.check_size()
        try:
            parts = [self._part(file, self.count // len(self.files)) for file in self.files]
            stored = parts[0] if len(parts) == 1 else np.concatenate(parts)
            array = stored.reshape(self.sizes[::-1])
            if self.component_axis is not None:
                array = np.moveaxis(array, len(self.sizes) - 1 - self.component_axis, -1)
            x, y, z = self.geometry.size_xyz
            array = array.reshape((z, y, x) if self.component_axis is None else (z, y, x, -1))
            return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
        except MemoryError as error:
            raise ResourceError(f"{self.source.name!r} does not fit into memory; crop it first.") from error

    def _part(self, file: Path, count: int) -> NDArray[np.generic]:
        if self.packing == "text":
            return self._written_out(file, count)
        offset = self.offset if self.offset >= 0 else file.stat().st_size - count * self.dtype.itemsize
        array, surplus = read_array(
            file, self.what, self.dtype, count, packing=self.packing, offset=offset, skip=self.skip
        )
        if surplus:
            raise InputError(
                f"{file.name!r} is corrupt, or its header is: there are {surplus:,} bytes of voxels more than the "
                "header promises. Correct the header, or export the image again."
            )
        return array

    def _written_out(self, file: Path, count: int) -> NDArray[np.generic]:
        """Numbers in decimal digits."""
        try:
            with file.open("rb") as opened:
                opened.seek(max(0, self.offset))
                words = re.split(rb"[\s,]+", opened.read().strip())
            if len(words) != count:
                raise ValueError(f"{len(words):,} of {count:,} voxels are there")
            if self.dtype.kind == "f":
                return np.array([float(word) for word in words], self.dtype)
            numbers = [int(word) for word in words]
            limits = np.iinfo(self.dtype)
            if not limits.min <= min(numbers) <= max(numbers) <= limits.max:
                raise ValueError(f"a voxel does not fit into {self.dtype}")
            return np.array(numbers, self.dtype)
        except READ_ERRORS as error:
            raise unreadable(self.source, self.what, error) from error


def header_error(source: Path, what: str, cause: str) -> InputError:
    """The error for a header that is not as its format says."""
    return InputError(
        f"{source.name!r} has a header that is no {what} header: {cause}. Correct it, or export it again."
    )


def check_kind(source: Path, sizes: Sequence[int], components: int, dtype: np.dtype[Any]) -> None:
    """Raise InputError unless the spatial axes of `sizes` are one volume, grey or in colour."""
    text = " x ".join(map(str, sizes))
    if not sizes or any(size < 1 for size in sizes):
        raise InputError(f"{source.name!r} has no voxels: its header gives the size {text}. Export it again.")
    if any(size > 1 for size in sizes[3:]):
        raise InputError(
            f"{source.name!r} has {len(sizes)} dimensions ({text}): several time points or echoes. One 3D volume is "
            "accepted; extract one first, for example with SimpleITK.Extract."
        )
    if components > 1 and (components not in (3, 4) or dtype.newbyteorder("=") not in _COLOURS):
        raise InputError(
            f"{source.name!r} has {components} components per voxel ({dtype.newbyteorder('=')}); grey and colour (RGB "
            "or RGBA of 8 or 16 bit) are accepted. Extract one component first, for example with "
            "SimpleITK.VectorIndexSelectionCast."
        )


def unit_warnings(source: Path, units: set[str]) -> list[str]:
    """What to tell of lengths that are stated in something else than mm; "" is no statement."""
    odd = sorted(units - {"", "mm", "?", "millimeter", "millimetre"})
    if not odd:
        return []
    return [
        f"The header of {source.name!r} states its lengths in {', '.join(map(repr, odd))}. They were read as mm, as 3D "
        "Slicer does: correct the header before anything is measured in mm."
    ]


def grid_of(
    sizes: Sequence[int], spacing: Sequence[float], origin: Sequence[float], direction: NDArray[np.float64]
) -> Geometry:
    """The 3D grid of 2D (one slice of 1 mm), 3D, or 4D with a last axis of one.

    Args:
        sizes: along each axis.
        spacing: along each axis, in mm.
        origin: of the first voxel.
        direction: square, column i is the direction of axis i.
    """
    axes = min(3, len(sizes))
    matrix = np.eye(3)
    matrix[:axes, :axes] = direction[:axes, :axes]
    x, y, z = [*sizes[:axes], 1, 1][:3]
    sx, sy, sz = [*spacing[:axes], 1.0, 1.0][:3]
    ox, oy, oz = [*origin[:axes], 0.0, 0.0][:3]
    return Geometry((x, y, z), (sx, sy, sz), (ox, oy, oz), tuple(matrix.ravel().tolist()))


def checked_spacing(
    source: Path, name: str, stated: Sequence[float | None] | None, axes: int
) -> tuple[list[float], list[str]]:
    """Spacings in mm, and a warning for those that the header leaves open, which are taken as 1 mm.

    Args:
        source: the header file.
        name: what the header calls a spacing.
        stated: one number per axis, None or NaN where it is unknown; None where the header has none at all.
        axes: how many there are; those beyond the third do not matter.

    Raises:
        InputError: a spacing that is zero, negative or infinite.
    """
    known = [None if value is None or math.isnan(value) else value for value in (stated or [None] * axes)]
    if any(value is not None and not (1e-9 < value < math.inf) for value in known):
        text = ", ".join("unknown" if value is None else f"{value:g}" for value in known)
        raise InputError(
            f"{source.name!r} has the voxel spacing ({name}) {text}; positive numbers of at least 1e-9 are accepted. "
            "Correct the header, its grid is unknown."
        )
    missing = [letter for letter, value in zip("xyz", known, strict=False) if value is None]
    warnings = []
    if missing:
        warnings.append(
            f"The header of {source.name!r} does not say how far apart the voxels are along {', '.join(missing)} (no "
            f"{name}). 1 mm was assumed: correct the header before anything is measured in mm."
        )
    return [1.0 if value is None else value for value in known], warnings
