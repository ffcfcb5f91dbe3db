"""What the readers of NIfTI and MGH share: nibabel for the header, and voxels that follow it, perhaps gzipped.

nibabel's own way to the voxels stops before the checksum of gzip, which comes last.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InputError, MissingDependencyError
from medsr.geometry import Geometry
from medsr.io.formats import check_promised_size, suffix_of
from medsr.io.streams import packed_pieces, read_array


def nibabel_module(what: str) -> Any:
    """nibabel, imported when it is first needed."""
    try:
        import nibabel
    except ImportError as error:
        raise MissingDependencyError(
            f"{what} files need the package nibabel, which is not installed: pip install nibabel."
        ) from error
    return nibabel


def head_of(source: Path, length: int) -> bytes:
    """The first bytes of a file, unpacked."""
    head = b""
    with packed_pieces(source, packing_of(source), at_once=4096) as pieces:
        for piece in pieces:
            head += piece[:length]
            if len(head) >= length:
                break
    return head[:length]


def packing_of(source: Path) -> str:
    """Whether the name of a file says that it is gzipped, as `packed_pieces` takes it."""
    return "gzip" if suffix_of(source) in (".nii.gz", ".mgz") else ""


def voxels_of(
    source: Path, what: str, size: tuple[int, ...], dtype: Any, offset: int
) -> tuple[NDArray[np.generic], int]:
    """Voxels ``(z, y, x)``, or ``(z, y, x, 3)`` for colour, in the machine's byte order; and how many bytes follow.

    A fourth entry of `size` is the number of volumes in the file: they come first, ``(c, z, y, x)``.
    """
    stored, surplus = read_array(source, what, dtype, math.prod(size), packing=packing_of(source), skip=offset)
    return as_voxels(stored, size), surplus


def as_voxels(stored: NDArray[np.generic], size: tuple[int, ...]) -> NDArray[np.generic]:
    """Stored numbers in the shape and the types that volumes have, in the machine's byte order."""
    data: Any = stored.reshape(size[::-1])
    if data.dtype.names:
        return np.stack([data[name] for name in "RGB"], axis=-1)
    if data.dtype.kind == "f" and data.dtype.itemsize > 8:
        return np.asarray(data.astype(np.float64))
    return np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("="))


def size_of(source: Path, shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Grid size of a data shape; further axes of length 1 are dropped, longer ones refused."""
    if not shape or any(n < 1 for n in shape):
        raise InputError(f"{source.name!r} has no voxels: its header gives the size {shape}. Export it again.")
    if any(n > 1 for n in shape[3:]):
        raise InputError(
            f"{source.name!r} has {len(shape)} dimensions ({' x '.join(map(str, shape))}): several time points, echoes "
            "or components. One 3D volume is accepted here; `medsr upscale` takes time points, echoes and directions "
            "of a NIfTI file frame by frame. Else extract one, for example with nibabel.four_to_three."
        )
    x, y, z = (*shape[:3], 1, 1)[:3]
    return (int(x), int(y), int(z))


def check_size(source: Path, size: tuple[int, ...], dtype: Any, *, offset: int) -> None:
    """Raise InputError when the file cannot hold the voxels; nothing is read."""
    check_promised_size(source, math.prod(size) * dtype.itemsize + offset, compressed=bool(packing_of(source)))


def check_form(
    source: Path, name: str, affine: NDArray[np.float64], size: tuple[int, int, int], *, sheared: bool = False
) -> None:
    """Raise InputError, with the file and the form named, for a matrix that is no regular grid."""
    if not np.isfinite(affine).all():
        raise InputError(
            f"The {name} of {source.name!r} holds numbers that are NaN or infinite, so it is unknown where the voxels "
            "lie. Correct the header, or export it again."
        )
    try:
        Geometry.from_affine(affine, size, "RAS", sheared=sheared)
    except InputError as error:
        raise InputError(f"The {name} of {source.name!r} cannot be used. {error}") from error
