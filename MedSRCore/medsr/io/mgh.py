"""Reading MGH files, those of FreeSurfer, with nibabel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from medsr.geometry import Geometry
from medsr.io.after_header import check_form, check_size, head_of, nibabel_module, size_of, voxels_of
from medsr.io.formats import unreadable
from medsr.io.streams import READ_ERRORS
from medsr.volume import Volume

_HEADER = 284  # bytes
_PLACED = slice(28, 30)  # goodRASFlag; nibabel fills in what is missing, and sets it


def read_mgh(source: Path) -> Volume:
    """An MGH or MGZ file as a Volume."""
    geometry, dtype, warnings = _read_mgh_header(source)
    # What follows the voxels (scan parameters, the commands that made the file) has no stated length.
    array, _ = voxels_of(source, "MGH", geometry.size_xyz, dtype, _HEADER)
    return Volume(array, geometry, planar=geometry.size_xyz[2] == 1, warnings=warnings, source=str(source))


def mgh_geometry(source: Path) -> Geometry:
    """The grid of an MGH or MGZ file; no voxel is read."""
    return _read_mgh_header(source)[0]


def _read_mgh_header(source: Path) -> tuple[Geometry, Any, tuple[str, ...]]:
    """The grid, the stored type, and what a person should know."""
    nibabel = nibabel_module("MGH")
    mgh = nibabel.freesurfer.mghformat
    try:
        head = head_of(source, _HEADER)
        if len(head) < _HEADER:
            raise EOFError(f"the header ends after {len(head)} bytes")
        fields = mgh.MGHHeader(head)
        shape, dtype = fields.get_data_shape(), fields.get_data_dtype().newbyteorder(">")
        with np.errstate(all="ignore"):
            affine = np.asarray(fields.get_affine(), dtype=float)
    except (*READ_ERRORS, mgh.MGHError, nibabel.spatialimages.HeaderDataError) as error:
        raise unreadable(source, "MGH", error) from error
    size = size_of(source, shape)
    check_size(source, size, dtype, offset=_HEADER)
    check_form(source, "affine", affine, size)
    told = (
        f"{source.name!r} does not say how it lies in the patient, nor how far apart its voxels are (goodRASFlag is "
        "0). Coronal slices of 1 mm were assumed, as FreeSurfer does."
    )
    return Geometry.from_affine(affine, size, "RAS"), dtype, () if any(head[_PLACED]) else (told,)
