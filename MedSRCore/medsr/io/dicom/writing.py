"""Writing a volume as a derived DICOM series: a folder of its own, complete or not there at all."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from medsr.errors import InputError, InvalidValueError, OutputError
from medsr.io.dicom import elements
from medsr.io.dicom.anonymous import anonymised
from medsr.io.dicom.classic import classic_images
from medsr.io.dicom.derived import MAKER
from medsr.io.dicom.enhanced import enhanced_image
from medsr.io.dicom.files import read_header
from medsr.io.dicom.quantised import quantised
from medsr.io.dicom.source import Source, source_of
from medsr.io.formats import READABLE, StrPath, one_line, suffix_of
from medsr.io.outputs import check_free_folder, check_space
from medsr.io.staging import Staging
from medsr.volume import Volume

_EXPLICIT = "1.2.840.10008.1.2.1"
_HEADER, _REFERENCE = 5_000, 250
"""About how many bytes an image takes beside its pixels, and for each image that it refers to."""


def write_dicom(volume: Volume, folder: StrPath, *, overwrite: bool = False, anonymize: bool = False) -> Path:
    """Write a volume as a series derived from the DICOM series that it, or what it was made of, was read from.

    MR and CT: one image per slice, or one enhanced object where the source is one. Patient, study and frame of
    reference are those of the source, series and images get new identifiers.

    Args:
        volume: its `files` are those of the source, as `read_volume` and `super_resolve` give them.
        folder: is made; may exist if it is empty.
        overwrite: a series that MedSR wrote there before is replaced.
        anonymize: apply the Basic Application Confidentiality Profile of DICOM to what the source says. The pixels stay
            as they are: a face can be recognised in a scan of the head.

    Returns:
        The folder.

    Raises:
        InvalidValueError: the volume was not read from DICOM, or is of a kind that is not written as DICOM.
        InputError: the files of the source are gone or damaged.
        MissingDependencyError: dicom-anonymizer is needed for `anonymize` and not installed.
        OutputError: the folder holds something else, or the disk does not take the series.
        ResourceError: more voxels than an enhanced object holds.
    """
    with Staging(overwrite=overwrite) as staging:
        return stage_dicom(volume, folder, staging, source_for(volume, anonymize=anonymize))


def source_for(volume: Volume, *, anonymize: bool) -> Source:
    """The headers that a series of `volume` is derived from; the errors are those of `write_dicom`."""
    source = source_of(volume)
    return anonymised(source) if anonymize else source


def stage_dicom(volume: Volume, folder: StrPath, staging: Staging, source: Source) -> Path:
    """As `write_dicom`, but put in place together with the files of `staging`; `source` is that of the volume."""
    target = check_series_folder(folder, overwrite=staging.overwrite)
    check_outside(target, volume.files, "is read for it")
    beside = len(volume.array) * (_HEADER + _REFERENCE * len(source.headers))
    check_space(target.parent, 2 * volume.geometry.voxels + beside)
    try:
        _write_series(volume, source, staging.draft_folder(target))
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(
            f"{str(target)!r} could not be written ({error.strerror or one_line(error)}). Nothing was left behind."
        ) from error
    return target


def check_series_folder(path: StrPath, *, overwrite: bool) -> Path:
    """Find out before hours of work whether a series can be written into the folder `path`.

    Raises:
        InvalidValueError: the name of a file.
        OutputError: it holds something, but for a series that MedSR wrote and that may be replaced.
    """
    folder = Path(path)
    if suffix_of(folder) in READABLE:
        raise InvalidValueError(
            f"A DICOM series is written into a folder, and {str(folder)!r} is the name of a file. Name a folder, or "
            "leave out --format dicom."
        )
    is_empty = check_free_folder(folder)
    if is_empty:
        return folder
    if not overwrite:
        raise OutputError(
            f"The folder {str(folder)!r} is not empty. Name another one, or pass --overwrite to replace a series that "
            "MedSR wrote there."
        )
    for file in sorted(folder.iterdir()):
        if not _is_own(file):
            raise OutputError(
                f"The folder {str(folder)!r} holds {file.name!r}, which MedSR did not write, and is not replaced. Name "
                "another one."
            )
    return folder


def check_outside(folder: Path, files: Iterable[Path], why: str) -> None:
    """Raise InvalidValueError when one of `files` lies in `folder`, which is replaced as a whole."""
    place = Path(os.path.realpath(folder))
    for file in files:
        if place in Path(os.path.realpath(file)).parents:
            raise InvalidValueError(
                f"The folder {str(folder)!r} takes the DICOM series and nothing else; {file.name!r} in it {why}. "
                "Name another folder."
            )


def _is_own(file: Path) -> bool:
    """True for an image that this module wrote."""
    if not file.is_file():
        return False
    try:
        return elements.text(read_header(file, ["Manufacturer"]), "Manufacturer") == MAKER
    except InputError:
        return False


def _write_series(volume: Volume, source: Source, folder: Path) -> None:
    """Write ``0001.dcm`` and so on, in the order of the slices; an enhanced object is one file."""
    scale = quantised(volume.array, source)
    images: Iterable[Any]
    images = [enhanced_image(volume, source, scale)] if source.is_enhanced else classic_images(volume, source, scale)
    digits = max(4, len(str(len(volume.array))))
    for number, image in enumerate(images, start=1):
        _write(image, folder / f"{number:0{digits}d}.dcm")


def _write(image: Any, path: Path) -> None:
    image.file_meta = elements.pydicom_module().dataset.FileMetaDataset()
    image.file_meta.TransferSyntaxUID = _EXPLICIT
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    with elements.unheard():
        elements.save(image, path)
