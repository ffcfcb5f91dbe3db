"""One call for every format: `read_volume`, and `read_geometry` for the grid alone."""

from __future__ import annotations

from medsr.errors import InvalidValueError
from medsr.geometry import Geometry
from medsr.io.dicom.reading import dicom_geometry, read_dicom
from medsr.io.formats import StrPath, existing_input, reader_of
from medsr.io.itk import picture_geometry, read_picture
from medsr.io.metaimage import metaimage_geometry, read_metaimage
from medsr.io.mgh import mgh_geometry, read_mgh
from medsr.io.nifti import nifti_channels_geometry, nifti_geometry, read_nifti, read_nifti_channels
from medsr.io.nrrd import nrrd_geometry, read_nrrd
from medsr.volume import Volume

_READERS = {
    "mgh": read_mgh,
    "nrrd": read_nrrd,
    "metaimage": read_metaimage,
    "picture": read_picture,
}
_GEOMETRIES = {
    "nifti": nifti_geometry,
    "mgh": mgh_geometry,
    "nrrd": nrrd_geometry,
    "metaimage": metaimage_geometry,
    "picture": picture_geometry,
}

_SMALLEST_MM, _LARGEST_MM = 1e-4, 100.0
_FARTHEST_MM = 1e4


def read_volume(path: StrPath, *, series: str | None = None, as_acquired: bool = False) -> Volume:
    """Read an image file, a DICOM file or a DICOM folder.

    Args:
        path: NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr), MetaImage (.mha, .mhd), MGH (.mgz, .mgh), a picture (.png,
            .jpg, .tif, .bmp), a DICOM file of any name, or a folder with DICOM files.
        series: which series of a DICOM folder: its number in the list that the error shows, or its UID.
        as_acquired: accept slices that were stacked beside their normal (gantry tilt), in DICOM and NIfTI, and in
            DICOM uneven and missing ones, as super-resolution does. What else is done with volumes needs upright, even
            grids.

    Returns:
        A Volume with array ``(z, y, x)``, or ``(z, y, x, 3)`` for colour, in the stored type. Rescale slope and
        intercept are applied, so CT from DICOM is in Hounsfield units. Spacing is in mm, positions in LPS. One slice
        is `planar`; pictures have pixels of 1 mm unless the file says otherwise. What a person should know about
        the file is in `warnings`.

    Raises:
        InputNotFoundError: there is nothing at `path`.
        InputError: a file that is corrupt, of no known format, or no single 3D volume on a regular grid.
        UnknownNameError: `series` is not in the folder.
        InvalidValueError: `series` given for something else than DICOM.
        MissingDependencyError: nibabel or pydicom is needed and not installed.
    """
    source = existing_input(path)
    kind = reader_of(source)
    _check_series(kind, series)
    if kind == "dicom":
        volume = read_dicom(source, series, as_acquired=as_acquired)
    else:
        volume = read_nifti(source, as_acquired=as_acquired) if kind == "nifti" else _READERS[kind](source)
    files = volume.files if kind == "dicom" else tuple(dict.fromkeys((source, *volume.files)))
    return with_doubts(volume.replace(files=files))


def with_doubts(volume: Volume) -> Volume:
    """A volume with what to tell of numbers that are possible, and hardly ever meant."""
    return volume.replace(warnings=(*volume.warnings, *_doubts(volume.geometry)))


def read_geometry(path: StrPath, *, series: str | None = None) -> Geometry:
    """Read where the voxels of a file are, as `read_volume` does, from the header alone.

    Raises:
        As `read_volume`.
    """
    source = existing_input(path)
    kind = reader_of(source)
    _check_series(kind, series)
    return dicom_geometry(source, series) if kind == "dicom" else _GEOMETRIES[kind](source)


def read_channels(path: StrPath) -> tuple[Volume, ...]:
    """As `read_volume`, and every volume of a NIfTI file of four dimensions: channels on one grid, such as T1 and T2.

    Raises:
        As `read_volume`.
    """
    source = existing_input(path)
    if reader_of(source) != "nifti":
        return (read_volume(source),)
    volumes = read_nifti_channels(source)
    doubts = _doubts(volumes[0].geometry)
    return tuple(
        volume.replace(files=tuple(dict.fromkeys((source, *volume.files))), warnings=(*volume.warnings, *doubts))
        for volume in volumes
    )


def read_channels_geometry(path: StrPath) -> tuple[Geometry, int]:
    """As `read_geometry`, and how many channels `read_channels` finds.

    Raises:
        As `read_volume`.
    """
    source = existing_input(path)
    return nifti_channels_geometry(source) if reader_of(source) == "nifti" else (read_geometry(source), 1)


def _doubts(grid: Geometry) -> list[str]:
    """What to tell of numbers that are possible, and hardly ever meant."""
    told = []
    if not all(_SMALLEST_MM <= spacing <= _LARGEST_MM for spacing in grid.spacing_xyz_mm):
        text = " x ".join(f"{spacing:.4g}" for spacing in grid.spacing_xyz_mm)
        told.append(
            f"The header says that voxels have {text} mm, which is hardly so. Check it before you measure in mm."
        )
    if max(map(abs, grid.origin_mm)) > _FARTHEST_MM:
        text = ", ".join(f"{value:.4g}" for value in grid.origin_mm)
        told.append(f"The header puts the first voxel at {text} mm, metres away from any scanner. Check where it lies.")
    return told


def _check_series(kind: str, series: str | None) -> None:
    if series is not None and kind != "dicom":
        raise InvalidValueError("--series chooses among DICOM series, and the input is not DICOM. Leave it out.")
