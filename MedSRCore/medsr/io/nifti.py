"""Reading NIfTI files with nibabel.

nibabel rather than ITK, because ITK replaces a sheared sform by something that is not what the file says, and does
so silently. Which of sform and qform counts follows ITK all the same, so that MedSR and 3D Slicer see one patient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InputError
from medsr.geometry import Geometry
from medsr.io import provenance
from medsr.io.after_header import check_form, check_size, head_of, nibabel_module, size_of, voxels_of
from medsr.io.formats import rescaled, unreadable
from medsr.io.sidecar import with_sidecar
from medsr.io.streams import READ_ERRORS
from medsr.volume import Volume

_FORMS_AGREE = 1e-3  # in any element of the matrices; the rounding of quaternions is below it
_MM_PER_UNIT = {1: 1000.0, 3: 0.001}
_UNIT_NAMES = {1: "metres", 3: "micrometres"}


@dataclass(frozen=True)
class NiftiHeader:
    """What a NIfTI header says, before nibabel repairs it; `channels` is how many volumes there are."""

    fields: Any
    geometry: Geometry
    dtype: Any
    offset: int
    planar: bool
    warnings: tuple[str, ...]
    channels: int = 1

    @property
    def oriented(self) -> bool:
        """False where the file does not say how its axes lie in the patient."""
        return int(self.fields["sform_code"]) > 0 or int(self.fields["qform_code"]) > 0

    @property
    def encoded(self) -> dict[str, str]:
        """Grid axis to "frequency", "phase" or "slice", as far as dim_info says."""
        packed = int(self.fields["dim_info"])
        stated = {"frequency": packed & 3, "phase": packed >> 2 & 3, "slice": packed >> 4 & 3}
        axes = [number for number in stated.values() if number]
        if len(set(axes)) < len(axes):
            return {}
        return {"xyz"[number - 1]: encoding for encoding, number in stated.items() if number}


def read_nifti(source: Path, *, as_acquired: bool = False) -> Volume:
    """A NIfTI-1 or NIfTI-2 file as a Volume; scl_slope and scl_inter are applied.

    Args:
        source: the file.
        as_acquired: accept a sform that leans to one side, as dcm2niix writes it of a tilted gantry.
    """
    return _volumes(source, read_header(source, sheared=as_acquired))[0]


def read_nifti_channels(source: Path) -> tuple[Volume, ...]:
    """As `read_nifti`, and every volume of a file of four dimensions: channels on one grid."""
    return _volumes(source, read_header(source, several=True))


def _volumes(source: Path, header: NiftiHeader) -> tuple[Volume, ...]:
    size = (*header.geometry.size_xyz, header.channels)
    arrays, surplus = voxels_of(source, "NIfTI", size, header.dtype, header.offset)
    scaling, told = scaling_of(source, header), (*header.warnings, *surplus_told(source, surplus))
    return tuple(volume_of(source, header, rescaled(array, *scaling), told) for array in arrays)


def volume_of(source: Path, header: NiftiHeader, array: NDArray[np.generic], warnings: tuple[str, ...]) -> Volume:
    """A volume of the file, with what its sidecar says."""
    text = bytes(header.fields["descrip"]).split(b"\0")[0].decode("latin-1")
    volume = Volume(
        array,
        header.geometry,
        planar=header.planar,
        warnings=warnings,
        source=str(source),
        metadata=provenance.found(text),
    )
    return with_sidecar(volume, source, oriented=header.oriented, encoded=header.encoded)


def surplus_told(source: Path, surplus: int) -> tuple[str, ...]:
    """What to say of bytes behind the voxels."""
    if not surplus:
        return ()
    return (
        f"{source.name!r} holds {surplus:,} bytes behind the voxels that its header describes; they were ignored. "
        "If the image looks cut or sheared, its header is wrong.",
    )


def nifti_geometry(source: Path) -> Geometry:
    """The grid of a NIfTI file; no voxel is read."""
    return read_header(source).geometry


def nifti_channels_geometry(source: Path) -> tuple[Geometry, int]:
    """As `nifti_geometry`, and how many volumes the file holds on this grid."""
    header = read_header(source, several=True)
    return header.geometry, header.channels


def scaling_of(source: Path, header: NiftiHeader) -> tuple[float, float]:
    """Slope and intercept; a slope of 0 or that is no number means none."""
    slope, intercept = float(header.fields["scl_slope"]), float(header.fields["scl_inter"])
    if slope == 0 or not math.isfinite(slope):
        return 1.0, 0.0
    if not math.isfinite(intercept):
        raise InputError(f"{source.name!r} has a scl_slope or scl_inter that is no number. Correct the header.")
    return slope, intercept


def read_header(source: Path, *, several: bool = False, sheared: bool = False) -> NiftiHeader:
    """The header; with `several` a file may hold several volumes on one grid, `sheared` one of tilted slices."""
    nibabel = nibabel_module("NIfTI")
    try:
        head = head_of(source, 540)
        two = head[4:6] == b"n+" or head[4:6] == b"ni"
        kind, length = (nibabel.Nifti2Header, 540) if two else (nibabel.Nifti1Header, 348)
        if len(head) < length:
            raise EOFError(f"the header ends after {len(head)} bytes")
        # Unchecked: nibabel would repair zero and negative spacings, which hides that the grid is unknown.
        fields = kind(head[:length], check=False)
        if int(fields["sizeof_hdr"]) != length:
            raise ValueError("no NIfTI header")
        shape, dtype = fields.get_data_shape(), fields.get_data_dtype()
    except (*READ_ERRORS, nibabel.spatialimages.HeaderDataError) as error:
        raise unreadable(source, "NIfTI", error) from error
    _check_single(source, fields, length)
    further = [int(n) for n in shape[3:] if n > 1]
    channels = further[0] if several and len(further) == 1 else 1
    size = size_of(source, shape[:3] if channels > 1 else shape)
    if dtype.kind == "c":
        raise InputError(
            f"{source.name!r} holds complex numbers ({dtype}); real ones are accepted. Save its magnitude first."
        )
    if dtype.kind not in "iufb" and dtype.names is None:
        raise InputError(f"{source.name!r} holds voxels of type {dtype}; integer, real and RGB ones are accepted.")
    offset = float(fields["vox_offset"])
    if not length <= offset < 2**62:
        raise InputError(f"{source.name!r} has its voxels at byte {offset:g}; the header is corrupt. Export it again.")
    check_size(source, (*size, channels), dtype, offset=int(offset))
    geometry, warnings = _geometry(source, fields, size, sheared)
    bits = int(fields["bitpix"])
    if bits not in (0, dtype.itemsize * 8):
        warnings.append(
            f"The header of {source.name!r} contradicts itself: voxels of {bits} bits (bitpix) and of type {dtype} "
            "(datatype); the type was used. If the image looks wrong, its header is."
        )
    return NiftiHeader(fields, geometry, dtype, int(offset), size[2] == 1, tuple(warnings), channels)


def _check_single(source: Path, fields: Any, length: int) -> None:
    """Raise InputError for a header whose voxels are in another file, or that is not sure to be NIfTI."""
    magic, version = bytes(fields["magic"])[:3], b"1" if length == 348 else b"2"
    if magic == b"ni" + version:
        raise InputError(
            f"{source.name!r} is the header of a pair of files (.hdr and .img). Save the image as one, for example "
            "with nibabel: nibabel.save(nibabel.load('image.hdr'), 'image.nii.gz')."
        )
    if magic != b"n+" + version:
        raise unreadable(source, "NIfTI", ValueError(f"its magic is {magic!r} instead of {b'n+' + version!r}"))


def _geometry(source: Path, fields: Any, size: tuple[int, int, int], sheared: bool) -> tuple[Geometry, list[str]]:
    """The grid that the header describes, and what a person should know about it."""
    axes = min(3, int(fields["dim"][0]))
    pixdim = [float(v) for v in fields["pixdim"][1:4]]
    if not all(math.isfinite(v) and v > 0 for v in pixdim[:axes]):
        raise InputError(
            f"{source.name!r} has the voxel spacing (pixdim) {', '.join(f'{v:g}' for v in pixdim[:axes])}; three "
            "positive numbers are accepted. Correct the header, its grid is unknown."
        )
    pixdim = [*pixdim[:axes], 1.0, 1.0][:3]
    affine, warnings = _affine(source, fields, pixdim, size, sheared)
    unit = int(fields["xyzt_units"]) & 7
    if unit in _MM_PER_UNIT:
        affine = np.diag([_MM_PER_UNIT[unit]] * 3 + [1.0]) @ affine
        affine[3, 3] = 1.0
        warnings.append(
            f"The header of {source.name!r} is in {_UNIT_NAMES[unit]}; it was converted to millimetres "
            f"({' x '.join(f'{v:.4g}' for v in np.linalg.norm(affine[:3, :3], axis=0))} mm voxels)."
        )
    elif unit not in (0, 2):
        warnings.append(
            f"The header of {source.name!r} has an unknown unit of length ({unit}); millimetres were assumed."
        )
    return Geometry.from_affine(affine, size, "RAS", sheared=sheared), warnings


def _affine(
    source: Path, fields: Any, pixdim: list[float], size: tuple[int, int, int], sheared: bool
) -> tuple[NDArray[np.float64], list[str]]:
    """The RAS affine in the header's unit: sform or qform, as ITK chooses."""
    sform_code, qform_code = int(fields["sform_code"]), int(fields["qform_code"])
    sform = _sform(fields) if sform_code > 0 else None
    qform = _qform(source, fields, pixdim) if qform_code > 0 else None
    # ITK takes the sform only when it is in scanner coordinates or alone. A sheared one is refused all the same when
    # it claims to place these voxels (codes 1 and 2); as a map to a template (3 to 5) it is of no concern here.
    takes_qform = qform is not None and (sform is None or sform_code != 1)
    if sform is not None and sform_code in (1, 2):
        check_form(source, "sform", sform, size, sheared=sheared and not takes_qform)
    ignored: NDArray[np.float64] | None
    if qform is not None and takes_qform:
        used, chosen, other, ignored = "qform", qform, "sform", sform
    elif sform is not None:
        used, chosen, other, ignored = "sform", sform, "qform", qform
    else:
        told = f"{source.name!r} does not say how it lies in the patient (sform and qform codes are 0); its axes were "
        return np.diag([-pixdim[0], -pixdim[1], pixdim[2], 1.0]), [f"{told}taken as left, posterior, superior."]
    check_form(source, used, chosen, size, sheared=sheared and not takes_qform)
    warnings = []
    grid = Geometry.from_affine(chosen, size, sheared=sheared)
    # Of a sheared grid the qform can say nothing right.
    if ignored is not None and grid.shear is None and np.abs(chosen - ignored).max() > _FORMS_AGREE:
        warnings.append(
            f"The sform and the qform of {source.name!r} place voxels up to {_apart(chosen, ignored, size):.3g} apart; "
            f"the {used} was used, as 3D Slicer does, and the {other} ignored."
        )
    scales = np.linalg.norm(chosen[:3, :3], axis=0)
    if grid.shear is not None:
        along, apart = float(scales[grid.shear.axis]), grid.spacing_xyz_mm[grid.shear.axis]
        warnings.append(
            f"The slices of {source.name!r} lean by {grid.shear.degrees:.1f} degrees (gantry tilt), with {along:.4g} "
            f"along the stack and so {apart:.4g} between their planes. dcm2niix writes the distance of the planes in "
            "place of the first; if it made this file, pass the DICOM series or its file named _Tilt instead."
        )
    # Of tilted slices some programs give the distance of the planes, others that of the voxels.
    if min(np.abs(np.array(s) / pixdim - 1).max() for s in (scales, grid.spacing_xyz_mm)) > 1e-3:
        warnings.append(
            f"The sform of {source.name!r} has voxels of {' x '.join(f'{v:.4g}' for v in scales)}, its pixdim says "
            f"{' x '.join(f'{v:.4g}' for v in pixdim)}; the sform was used. Other programs may take the other."
        )
    return chosen, warnings


def _sform(fields: Any) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        rows = [np.asarray(fields[name], dtype=float) for name in ("srow_x", "srow_y", "srow_z")]
    return np.vstack([*rows, [0.0, 0.0, 0.0, 1.0]])


def _qform(source: Path, fields: Any, pixdim: list[float]) -> NDArray[np.float64]:
    """Method 2 of the NIfTI standard, with its special case for half turns."""
    b, c, d = (float(fields[name]) for name in ("quatern_b", "quatern_c", "quatern_d"))
    offset = [float(fields[name]) for name in ("qoffset_x", "qoffset_y", "qoffset_z")]
    norm2 = b * b + c * c + d * d
    if not math.isfinite(norm2) or norm2 > 1.01:
        raise InputError(
            f"{source.name!r} has a qform that is no rotation (quaternion {b:g}, {c:g}, {d:g}). Correct the header."
        )
    a = 0.0 if 1.0 - norm2 < 1e-7 else math.sqrt(1.0 - norm2)
    a, b, c, d = np.array([a, b, c, d]) / math.sqrt(a * a + norm2)
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    handed = -1.0 if float(fields["pixdim"][0]) < 0 else 1.0
    affine = np.eye(4)
    affine[:3, :3] = rotation * [pixdim[0], pixdim[1], pixdim[2] * handed]
    affine[:3, 3] = offset
    return affine


def _apart(one: NDArray[np.float64], other: NDArray[np.float64], size: tuple[int, int, int]) -> float:
    """Largest distance between what two affines make of the corners of the grid."""
    corners = np.array([[x, y, z, 1.0] for x in (0, size[0] - 1) for y in (0, size[1] - 1) for z in (0, size[2] - 1)])
    return float(np.linalg.norm((corners @ (one - other).T)[:, :3], axis=1).max())
