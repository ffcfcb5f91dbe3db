"""NIfTI files of several volumes on one grid (fMRI, DCE, DWI), read one volume at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from medsr.errors import InputError, ResourceError
from medsr.io.after_header import as_voxels, packing_of
from medsr.io.companions import EXTENSIONS, beside, companions
from medsr.io.formats import unreadable
from medsr.io.nifti import NiftiHeader, read_header, scaling_of, volume_of
from medsr.io.nifti_writing import TimeAxis
from medsr.io.streams import READ_ERRORS, arrays_of, packed_pieces
from medsr.volume import Volume

_VECTORS = (1006, 1007)
"""NIFTI_INTENT_DISPVECT and NIFTI_INTENT_VECTOR."""


class NiftiFrames:
    """The volumes of a file, one after the other; to iterate again reads it again.

    Attributes:
        source: the file.
        count: how many there are.
        time: what its fourth axis is.
    """

    def __init__(self, source: Path, header: NiftiHeader) -> None:
        self._header = header
        self.source = source
        self.count = header.channels
        fields = header.fields
        if int(fields["intent_code"]) in _VECTORS or int(fields["dim"][4]) != self.count:
            raise InputError(
                f"{source.name!r} holds vectors, {self.count} numbers for each voxel; an image, or one for each time "
                "point, is accepted."
            )
        step, offset = float(fields["pixdim"][4]), float(fields["toffset"])
        self.time = TimeAxis(
            step if math.isfinite(step) and step > 0 else 0.0,
            int(fields["xyzt_units"]) & 0x38,
            offset if math.isfinite(offset) else 0.0,
        )

    @property
    def beside(self) -> Mapping[str, Path]:
        """Where sidecar, b-values and directions would be."""
        return {extension: beside(self.source, extension) for extension in EXTENSIONS}

    def companions(self) -> Mapping[str, str]:
        """Sidecar, b-values and directions; see `medsr.io.companions`."""
        return companions(self.source, self.count)

    def __iter__(self) -> Iterator[Volume]:
        header, size = self._header, self._header.geometry.size_xyz
        slope, intercept = scaling_of(self.source, header)
        with packed_pieces(self.source, packing_of(self.source)) as pieces:
            frames = arrays_of(pieces, header.dtype, math.prod(size), self.count, skip=header.offset)
            while True:
                try:
                    stored = next(frames, None)
                except MemoryError as error:
                    raise ResourceError(f"A volume of {self.source.name!r} does not fit into memory.") from error
                except READ_ERRORS as error:
                    raise unreadable(self.source, "NIfTI", error) from error
                if stored is None:
                    return
                array = as_voxels(stored, size)
                if (slope, intercept) != (1.0, 0.0):
                    # Integers, as single files keep them, would make the type of a volume depend on what it shows.
                    array = array.astype(np.float64 if array.dtype.itemsize > 2 else np.float32) * slope + intercept
                yield volume_of(self.source, header, array, header.warnings)


def nifti_frames(source: Path) -> NiftiFrames | None:
    """The volumes of a NIfTI file that holds several; None for one that holds one.

    Raises:
        InputError: as `read_volume`, or a file of vectors.
    """
    header = read_header(source, several=True, sheared=True)
    return None if header.channels == 1 else NiftiFrames(source, header)
