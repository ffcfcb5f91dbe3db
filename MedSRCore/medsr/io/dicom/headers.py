"""DICOM series and their slices, from headers alone.

Every number is checked, every text is cut and stripped of control characters, and what identifies the patient is never
read.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medsr.errors import InputError
from medsr.io import provenance
from medsr.io.dicom import acquisition, diffusion, elements, stored
from medsr.io.dicom.files import files_below, read_header
from medsr.io.dicom.slices import ORDER, Slice, slices_of
from medsr.io.dicom.stored import stored_pixels
from medsr.io.formats import READABLE, suffix_of

_SHOWN = 5
_NO_UID = "none"
# Objects that have rows and columns, or none, but are no measured image.
_NOT_IMAGES = {"SEG", "RTSTRUCT", "RTDOSE", "RTPLAN", "RTRECORD", "PR", "SR", "KO", "REG", "DOC", "FID", "AU", "ECG"}
_TEXTS = {
    "series_description": "SeriesDescription",
    "protocol": "ProtocolName",
    "manufacturer": "Manufacturer",
    "manufacturer_model": "ManufacturerModelName",
    "body_part": "BodyPartExamined",
    "field_strength_t": "MagneticFieldStrength",
    "convolution_kernel": "ConvolutionKernel",
}
# The only elements that are read. No name, identifier or date of a person is among them.
_TAGS = [
    *_TEXTS.values(), *acquisition.TAGS, *stored.TAGS,
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "Modality", "ImageType", "SoftwareVersions",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "ImagerPixelSpacing",
    "SliceThickness", "SpacingBetweenSlices", "GantryDetectorTilt", "RescaleSlope", "RescaleIntercept",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "TemporalResolution", "RepetitionTime",
    "ScanningSequence", *ORDER, *diffusion.TAGS,
]  # fmt: skip


@dataclass(frozen=True)
class Damaged:
    """A file that is, or may be, a slice of a series and cannot be read."""

    path: Path
    error: InputError


@dataclass
class Series:
    """All images of one SeriesInstanceUID, in the order of the file names; `header` is that of the first."""

    uid: str
    series_number: int
    modality: str
    multiframe: bool
    metadata: dict[str, str]
    tilt_deg: float
    header: Any = None
    slices: list[Slice] = field(default_factory=list)
    damaged: list[Damaged] = field(default_factory=list)

    @property
    def description(self) -> str:
        """What the scanner's operator called the series, or nothing."""
        return self.metadata.get("series_description", "")

    @property
    def files(self) -> int:
        """Number of files; a multi-frame file holds several slices."""
        return len({s.path for s in self.slices})


def scan(source: Path) -> list[Series]:
    """The series in a file or in a folder and its subfolders, by series number. Other files are passed over.

    Damaged files are those of a series, and those beside its slices whose series is not known.

    Raises:
        InputError: no DICOM image, or more files than a study can have.
    """
    by_uid: dict[str, Series] = {}
    if source.is_file():
        dataset = read_header(source, _TAGS)
        _check_image(source, dataset)
        _add(by_uid, source, dataset)
        return list(by_uid.values())
    found = files_below(source)
    damaged: list[tuple[str, Damaged]] = []
    for path in found.dicom:
        uid = _NO_UID
        try:
            dataset = read_header(path, _TAGS)
            if _is_image(dataset) or _is_broken(dataset):
                _check_image(path, dataset)
                uid = _uid(dataset)
                _add(by_uid, path, dataset)
        except InputError as error:
            damaged.append((uid, Damaged(path, error)))
    others = [Damaged(path, _no_image(path)) for path in [*found.suspicious(), *found.locked]]
    if not by_uid:
        if damaged or others:
            raise damage_error([*(one for _, one in damaged), *others])
        raise InputError(f"There is no DICOM image in the folder {str(source)!r}.{_other_images(source)}")
    strays = [*(one for uid, one in damaged if uid == _NO_UID), *others]
    for series in by_uid.values():
        folders = {one.path.parent for one in series.slices}
        series.damaged = [one for uid, one in damaged if uid == series.uid != _NO_UID]
        series.damaged += [one for one in strays if one.path.parent in folders]
    return sorted(by_uid.values(), key=lambda s: (s.series_number, s.uid))


def names(slices: Iterable[Slice | Damaged | Path]) -> str:
    """The names of the first files, and how many more there are."""
    paths = dict.fromkeys(one if isinstance(one, Path) else one.path for one in slices)
    listed = ", ".join(repr(path.name) for path in list(paths)[:_SHOWN])
    return f"{listed} and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else listed


def damage_error(damaged: Sequence[Damaged]) -> InputError:
    """The error for files that cannot be read."""
    if len(damaged) == 1:
        return damaged[0].error
    return InputError(f"{len(damaged)} files cannot be read: {names(damaged)}. The first: {damaged[0].error}")


def _no_image(path: Path) -> InputError:
    if not os.access(path, os.R_OK):
        return InputError(f"{path.name!r} may not be read by this user. Change its permissions.")
    what = "is empty (0 bytes)" if path.stat().st_size == 0 else "is no DICOM file, though named like one"
    return InputError(f"{path.name!r} {what}. Copy or export it again.")


def _other_images(folder: Path) -> str:
    found = sorted(p.name for p in folder.iterdir() if p.is_file() and suffix_of(p) in READABLE)
    return (
        f" It holds other images: pass one of them, such as {found[0]!r}." if found else " Pass the folder of a series."
    )


def _check_image(path: Path, dataset: Any) -> None:
    if _is_image(dataset):
        return
    if _is_broken(dataset):
        raise InputError(
            f"{path.name!r} is truncated or corrupt: its header gives no rows and columns. Copy or export it again."
        )
    modality = elements.code(dataset, "Modality") or "not stated"
    raise InputError(
        f"{path.name!r} is DICOM but no image (modality {modality}); CT, MR and other measured images are accepted."
    )


def _is_broken(dataset: Any) -> bool:
    """True where the class of the file is that of measured images, and the header is that of none."""
    modality = elements.code(dataset, "Modality")
    return bool(dataset.should_be_image) and not _is_image(dataset) and modality not in _NOT_IMAGES


def _is_image(dataset: Any) -> bool:
    rows, columns = elements.whole(dataset, "Rows"), elements.whole(dataset, "Columns")
    return rows > 0 and columns > 0 and elements.code(dataset, "Modality") not in _NOT_IMAGES


def _uid(dataset: Any) -> str:
    return elements.text(dataset, "SeriesInstanceUID") or _NO_UID


def _series(dataset: Any) -> Series:
    metadata = {key: text for key, tag in _TEXTS.items() if (text := elements.text(dataset, tag))}
    modality = elements.code(dataset, "Modality")
    if modality:
        metadata["modality"] = modality
    metadata |= provenance.found("; ".join(elements.words(dataset, "SoftwareVersions")))
    tilt = elements.number(dataset, "GantryDetectorTilt")
    number = elements.whole(dataset, "SeriesNumber")
    return Series(_uid(dataset), number, modality, False, metadata, tilt or 0.0, dataset)


def _add(by_uid: dict[str, Series], path: Path, dataset: Any) -> None:
    """Put the image of a file, or the frames of a multi-frame file, to its series."""
    slices = slices_of(path, dataset, stored_pixels(path, dataset))
    uid = _uid(dataset)
    series = by_uid.get(uid) or by_uid.setdefault(uid, _series(dataset))
    series.multiframe = series.multiframe or len(slices) > 1
    series.slices += slices
