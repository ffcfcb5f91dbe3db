"""Writing a volume: complete under its name, or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from medsr.errors import InvalidValueError, OutputError
from medsr.io import provenance
from medsr.io.formats import PLANAR_ONLY, StrPath, native, one_line, suffix_of
from medsr.io.itk import quiet
from medsr.io.nifti_writing import TimeAxis, write_mgh, write_nifti, write_nifti_frames
from medsr.io.outputs import check_output, files_of
from medsr.io.staging import Staging
from medsr.volume import Volume

_PICTURE_TYPES = {
    ".png": ("uint8", "uint16"),
    ".jpg": ("uint8",),
    ".jpeg": ("uint8",),
    ".tif": ("uint8", "int8", "uint16", "int16", "float32"),
    ".tiff": ("uint8", "int8", "uint16", "int16", "float32"),
}


def write_volume(volume: Volume, path: StrPath, *, overwrite: bool = False) -> Path:
    """Write a volume in the format of the extension.

    The file is written into a hidden folder beside the target and renamed when it is complete, so that neither a full
    disk nor an interruption leaves half a file or destroys an old one. NIfTI carries the grid in sform and qform.

    Args:
        volume: what to write. Pictures (.png, .jpg, .tif) take one slice, without its position in the patient.
        path: .nii, .nii.gz, .nrrd, .nhdr, .mha, .mhd, .mgz, .mgh, .png, .jpg or .tif. The voxels of .nhdr and .mhd go
            to a file .raw of the same name.
        overwrite: replace an existing file.

    Returns:
        The path written.

    Raises:
        InvalidValueError: an extension that cannot be written, or that cannot hold this volume.
        OutputError: the file exists, or the folder or the disk does not take it.
    """
    with Staging(overwrite=overwrite) as staging:
        return stage_volume(volume, path, staging)


def stage_volume(volume: Volume, path: StrPath, staging: Staging, others: Sequence[Volume] = ()) -> Path:
    """As `write_volume`, but the file is put in place together with the other files of `staging`.

    Args:
        volume: what to write.
        path: where.
        staging: the files that belong together.
        others: further channels on the grid of `volume`: then the file is a NIfTI file of four dimensions.
    """
    # libjpeg ends the whole program on a full disk, so space is asked for first; packed formats may need less.
    packed = suffix_of(Path(path)) in (".nii.gz", ".mgz", ".png", ".tif", ".tiff")
    needed = 0 if packed else volume.array.nbytes * (1 + len(others))
    target = check_output(path, staging.overwrite, needed_bytes=needed)
    _check_fits(volume, target)
    if others:
        _check_channels(volume, others, target)
    try:
        # The header comes last: it is there only when its voxels are.
        *voxels, header = files_of(target)
        draft = staging.draft(header, *voxels)
        _write(volume, draft, others)
        _check_written(volume, draft)
    except OutputError:
        raise
    except (OSError, RuntimeError) as error:
        raise OutputError(
            f"{str(target)!r} could not be written ({one_line(error)}). Nothing was left behind."
        ) from error
    return target


def stage_frames(volumes: Iterable[Volume], count: int, time: TimeAxis, path: StrPath, staging: Staging) -> Path:
    """As `stage_volume`, volumes of one grid and type along the fourth axis of a NIfTI file; each is held alone.

    Args:
        volumes: as they come.
        count: how many.
        time: what the fourth axis is.
        path: .nii or .nii.gz.
        staging: the files that belong together.
    """
    target = check_output(path, staging.overwrite)
    try:
        write_nifti_frames(volumes, count, time, staging.draft(target))
    except OSError as error:
        raise OutputError(
            f"{str(target)!r} could not be written ({one_line(error)}). Nothing was left behind."
        ) from error
    return target


def _check_fits(volume: Volume, target: Path) -> None:
    """Raise InvalidValueError for a volume that the format cannot hold."""
    suffix, dtype = suffix_of(target), volume.array.dtype
    if dtype.kind not in "iufb":
        raise InvalidValueError(f"Voxels of type {dtype} cannot be written; integer and real numbers can.")
    if volume.channels not in (1, 3):
        raise InvalidValueError(f"An image of {volume.channels} channels cannot be written; grey and RGB can.")
    if suffix in (".mgz", ".mgh") and volume.channels > 1:
        raise InvalidValueError("MGH files hold no colours; write .nrrd, .nii or .png.")
    if suffix in (".nii", ".nii.gz") and volume.channels > 1 and dtype != np.uint8:
        raise InvalidValueError(f"NIfTI holds colours of uint8, not {dtype}; write .nrrd, or pass --dtype uint8.")
    if volume.places:
        raise InvalidValueError("The slices of this volume are uneven, which no format holds; super-resolve it first.")
    if volume.geometry.shear is not None and suffix not in (".nii", ".nii.gz"):
        raise InvalidValueError(
            f"The slices of this volume are stacked at {volume.geometry.shear.degrees:.1f} degrees to their normal "
            f"(gantry tilt), which {suffix} does not hold; write .nii.gz."
        )
    if suffix not in PLANAR_ONLY:
        return
    slices = volume.geometry.size_xyz[2]
    if slices > 1:
        raise InvalidValueError(
            f"{suffix} holds one slice, the volume has {slices}. Write .nii.gz, .nrrd or .mha instead."
        )
    accepted = _PICTURE_TYPES[suffix]
    if str(dtype) not in accepted:
        first = next(name for name in ("uint16", "uint8") if name in accepted)
        raise InvalidValueError(
            f"{suffix} holds voxels of type {' or '.join(accepted)}, not {dtype}. Pass --dtype {first}, or write "
            ".nrrd, which holds every type."
        )
    if volume.channels > 1 and dtype not in (np.uint8, np.uint16):
        raise InvalidValueError(f"{suffix} holds colours of uint8 or uint16, not {dtype}.")


def _check_channels(volume: Volume, others: Sequence[Volume], target: Path) -> None:
    """Raise InvalidValueError for channels that one file cannot hold."""
    if suffix_of(target) not in (".nii", ".nii.gz"):
        raise InvalidValueError(f"{suffix_of(target)} holds one channel here, not {1 + len(others)}; write .nii.gz.")
    if any(v.channels > 1 or not v.geometry.is_same_as(volume.geometry) for v in (volume, *others)):
        raise InvalidValueError("The channels of one file are grey and lie on one grid; these do not.")


def _write(volume: Volume, draft: Path, others: Sequence[Volume]) -> None:
    suffix = suffix_of(draft)
    if suffix in (".nii", ".nii.gz"):
        write_nifti(volume, draft, others)
    elif suffix in (".mgz", ".mgh"):
        write_mgh(volume, draft)
    else:
        with quiet():
            sitk.WriteImage(
                _image(volume, flat=suffix in PLANAR_ONLY), str(draft), useCompression=suffix in PLANAR_ONLY
            )
        if suffix in (".png", ".jpg", ".jpeg") and provenance.KEY in volume.metadata:
            provenance.stamp_picture(draft, volume.metadata[provenance.KEY])


def _image(volume: Volume, *, flat: bool) -> sitk.Image:
    """The volume for ITK: always 3D, since a 2D image would lose where the slice lies, but for pictures."""
    array, grid = native(volume.array), volume.geometry
    is_vector = array.ndim == 4
    if flat:
        image = sitk.GetImageFromArray(array[0], isVector=is_vector)
        image.SetSpacing(grid.spacing_xyz_mm[:2])
        return image
    image = sitk.GetImageFromArray(array, isVector=is_vector)
    if provenance.KEY in volume.metadata:
        image.SetMetaData(provenance.KEY, volume.metadata[provenance.KEY])
    image.SetSpacing(grid.spacing_xyz_mm)
    image.SetOrigin(grid.origin_mm)
    image.SetDirection(grid.direction)
    return image


def _check_written(volume: Volume, draft: Path) -> None:
    """ITK reports no error when the disk is full: see that all voxels are there."""
    for file in files_of(draft):
        if not file.is_file() or file.stat().st_size == 0:
            raise OutputError(f"{file.name!r} could not be written. Is the disk full?")
    if suffix_of(draft) in (".nrrd", ".mha", ".nhdr", ".mhd"):
        there = files_of(draft)[0].stat().st_size
        if there < volume.array.nbytes:
            raise OutputError(f"Only {there:,} of {volume.array.nbytes:,} bytes were written. Is the disk full?")
