"""Writing NIfTI and MGH files with nibabel."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.geometry import Geometry
from medsr.io import provenance
from medsr.io.after_header import nibabel_module
from medsr.io.formats import native
from medsr.volume import Volume

_SCANNER = 1  # the code of scanner coordinates: the one with which ITK and nibabel both take the sform
_LARGEST_NIFTI1 = 32767
_MILLIMETRES = 2
_ROUNDINGS = 5  # tried on either side of each number of a quaternion
_MGH_TYPES = {"uint8": "uint8", "int8": "int16", "int16": "int16", "uint16": "int32", "int32": "int32"}


@dataclass(frozen=True)
class TimeAxis:
    """What the fourth axis of a NIfTI file is, as its header says it.

    Attributes:
        step: distance of two volumes.
        unit: code of its unit: 8 for seconds, 16 for milliseconds, ..., 0 for unknown.
        offset: of the first volume.
    """

    step: float
    unit: int
    offset: float = 0.0


def write_nifti(volume: Volume, draft: Path, others: Sequence[Volume] = ()) -> None:
    """NIfTI-1 (NIfTI-2 for axes beyond 32767), the grid in both sform and qform, lengths in mm.

    Args:
        volume: what to write.
        draft: where.
        others: further channels on the grid of `volume`, along a fourth axis.
    """
    nibabel = nibabel_module("NIfTI")
    array = _stored(volume)
    if others:
        array = np.stack([array, *(native(other.array) for other in others)])
    image = _image(volume, array, nibabel)
    with _opened(draft, array, nibabel) as file:
        image.to_stream(file)


def write_nifti_frames(volumes: Iterable[Volume], count: int, time: TimeAxis, draft: Path) -> None:
    """As `write_nifti`, volumes of one grid and type one after the other along a fourth axis; each is held alone.

    Args:
        volumes: as they come.
        count: how many.
        time: what the fourth axis is.
        draft: where.
    """
    nibabel = nibabel_module("NIfTI")
    frames = iter(volumes)
    first = next(frames)
    array = _stored(first)
    header = _image(first, array, nibabel).header
    header.set_data_shape((*first.geometry.size_xyz, count))
    header.set_slope_inter(1, 0)
    header["pixdim"][4] = time.step
    header["xyzt_units"] = _MILLIMETRES | time.unit
    header["toffset"] = time.offset
    header["vox_offset"] = header.single_vox_offset
    header["magic"] = header.single_magic
    with _opened(draft, array, nibabel) as file:
        file.write(header.binaryblock)
        file.write(bytes(header.single_vox_offset - header.template_dtype.itemsize))
        file.write(array.tobytes())
        del array, first
        for volume in frames:
            array = _stored(volume)
            if array.dtype != header.get_data_dtype():
                raise ValueError(f"a volume of {array.dtype} among those of {header.get_data_dtype()}")
            file.write(array.tobytes())


def _stored(volume: Volume) -> NDArray[np.generic]:
    """The voxels as the file holds them: colours as one value."""
    array = native(volume.array)
    if array.ndim < 4:
        return array
    colours: NDArray[np.generic] = np.ascontiguousarray(array).view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
    return colours


def _opened(draft: Path, array: NDArray[np.generic], nibabel: Any) -> Any:
    """A file to write to, packed where its name says so."""
    # Floating voxels that were rounded pack by a seventh better at a higher level, others not at all.
    level = {"compresslevel": 6 if array.dtype.kind == "f" else 1} if draft.name.lower().endswith(".gz") else {}
    return nibabel.openers.ImageOpener(draft, "wb", **level)


def _image(volume: Volume, array: NDArray[np.generic], nibabel: Any) -> Any:
    """An image of nibabel with the grid of `volume`."""
    kind = nibabel.Nifti2Image if max(volume.geometry.size_xyz) > _LARGEST_NIFTI1 else nibabel.Nifti1Image
    image = kind(array.T, None, dtype=array.dtype)
    image.set_sform(volume.geometry.affine_ras, _SCANNER)
    image.set_qform(volume.geometry.upright.affine_ras, _SCANNER)
    _sharpen_qform(image.header, volume.geometry, nibabel)
    if volume.geometry.shear is not None:
        # A quaternion holds no shear: the distances stay, where the voxels lie is in the sform alone.
        image.header["qform_code"] = 0
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = volume.metadata.get(provenance.KEY, "").encode("ascii", "replace")[:79]
    return image


def write_mgh(volume: Volume, draft: Path) -> None:
    """MGH or MGZ; voxels become the narrowest of uint8, int16, int32 and float32 that holds their type."""
    nibabel = nibabel_module("MGH")
    dtype = _MGH_TYPES.get(str(volume.array.dtype), "uint8" if volume.array.dtype.kind == "b" else "float32")
    image = nibabel.MGHImage(volume.array.astype(dtype, copy=False).T, volume.geometry.affine_ras)
    nibabel.save(image, draft)


def _sharpen_qform(header: Any, geometry: Geometry, nibabel: Any) -> None:
    """Choose the roundings of the quaternion that readers decode best.

    NIfTI-1 stores three of four numbers as float32 and readers take the fourth as ``sqrt(1 - b^2 - c^2 - d^2)``. For
    half turns, which is what slices tilted about one axis are in RAS, that fourth number is 0, and rounding alone
    makes it up to 2.4e-4: a tenth of a millimetre at the border of a head. Among the neighbouring roundings some
    are nearly a thousand times better, for nibabel as well as for ITK. Within 0.04 degrees of a half turn, but not on
    it, no rounding helps; readers that take the sform are right all the same.
    """
    matrix = geometry.upright.affine_ras[:3, :3] / np.array(geometry.spacing_xyz_mm)
    if np.linalg.det(matrix) < 0:
        matrix[:, 2] *= -1
    left, _, right = np.linalg.svd(matrix)
    wanted = nibabel.quaternions.mat2quat(left @ right)
    names = ("quatern_b", "quatern_c", "quatern_d")
    dtype = header[names[0]].dtype
    candidates = np.array(list(itertools.product(*(_neighbours(v, dtype) for v in wanted[1:]))))
    error = sum(_apart(decoded, wanted) for decoded in _decoded(candidates))
    for name, value in zip(names, candidates[int(np.argmin(error))], strict=True):
        header[name] = value


def _neighbours(value: float, dtype: Any) -> list[float]:
    """`value` rounded to `dtype`, and the next representable numbers on either side."""
    middle = np.array(value, dtype=dtype)
    found = [float(middle)]
    for side in (-2, 2):
        number = middle
        for _ in range(_ROUNDINGS):
            number = np.nextafter(number, np.array(side, dtype=dtype))
            found.append(float(number))
    return found


def _decoded(bcd: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Unit quaternions that nibabel and the NIfTI C library make of stored ones, shape ``(n, 4)``."""
    rest = 1 - (bcd**2).sum(axis=1)
    # nibabel raises when the norm exceeds 1 by three float32 epsilons; two leave a margin.
    nibabels = np.where(rest < -2 * np.finfo(np.float32).eps, np.nan, np.sqrt(np.maximum(rest, 0)))
    c_library = np.where(rest < 1e-7, 0.0, np.sqrt(np.maximum(rest, 0)))
    quaternions = [np.column_stack([a, bcd]) for a in (nibabels, c_library)]
    return [q / np.linalg.norm(q, axis=1, keepdims=True) for q in quaternions]


def _apart(found: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each quaternion is from the wanted rotation; q and -q are the same one."""
    near = np.minimum(np.linalg.norm(found - wanted, axis=1), np.linalg.norm(found + wanted, axis=1))
    return np.where(np.isfinite(near), near, np.inf)
