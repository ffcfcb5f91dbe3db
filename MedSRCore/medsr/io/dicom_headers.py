"""Finding DICOM series and reading their headers, without a pixel.

DICOM is input from strangers: every number is checked, every text is cut and stripped of control characters, nothing
inside a file is followed as a path, and what identifies the patient is never read.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medsr.errors import InputError, MissingDependencyError
from medsr.io import dicom_acquisition
from medsr.io import dicom_elements as elements
from medsr.io.formats import READABLE, check_promised_size, looks_like_dicom, suffix_of, unreadable

MAX_FILES = 50_000
_MAX_FRAMES = 20_000
_PIXEL_DATA = 0x7FE00010
_PIXELS = (0x7FE00008, 0x7FE00009, _PIXEL_DATA)  # reals, doubles, integers
_UNDEFINED_LENGTH = 0xFFFFFFFF
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
    *_TEXTS.values(), *dicom_acquisition.TAGS,
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "Modality", "ImageType",
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "BitsAllocated", "PhotometricInterpretation",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "ImagerPixelSpacing",
    "SliceThickness", "SpacingBetweenSlices", "GantryDetectorTilt", "RescaleSlope", "RescaleIntercept",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip


@dataclass(frozen=True)
class Slice:
    """One DICOM image or frame. Lengths in mm, positions and directions in LPS; None where the header says nothing."""

    path: Path
    frame: int
    size_xy: tuple[int, int]
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing_xy: tuple[float, float] | None
    thickness: float | None
    distance: float | None
    rescale: tuple[float, float] | None


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
    copies: int = 0

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

    Raises:
        InputError: no DICOM image, or more files than a study can have.
    """
    if source.is_file():
        dataset = _header(source)
        if not _is_image(dataset):
            modality = elements.text(dataset, "Modality") or "not stated"
            raise InputError(
                f"{source.name!r} is DICOM but no image (modality {modality}); CT, MR and other measured images are "
                "accepted."
            )
        return _grouped([(source, dataset)])
    found = []
    for path in _files_below(source):
        try:
            dataset = _header(path)
        except InputError:
            continue
        if _is_image(dataset):
            found.append((path, dataset))
    if not found:
        raise InputError(f"There is no DICOM image in the folder {str(source)!r}.{_other_images(source)}")
    return _grouped(found)


def pydicom_module() -> Any:
    """pydicom, imported when it is first needed."""
    try:
        import pydicom
    except ImportError as error:
        raise MissingDependencyError(
            "DICOM needs the package pydicom, which is not installed: pip install pydicom."
        ) from error
    return pydicom


def _files_below(folder: Path) -> list[Path]:
    """Files that look like DICOM, in the order of their names."""
    found: list[Path] = []
    seen = 0
    for root, folders, names in os.walk(folder):
        folders.sort()
        seen += len(names)
        if seen > MAX_FILES:
            raise InputError(
                f"The folder {str(folder)!r} holds more than {MAX_FILES:,} files. Pass the folder of one series or "
                "study."
            )
        paths = (Path(root, name) for name in sorted(names) if name.upper() != "DICOMDIR")
        found += [path for path in paths if path.is_file() and looks_like_dicom(path)]
    return found


def _other_images(folder: Path) -> str:
    names = sorted(p.name for p in folder.iterdir() if p.is_file() and suffix_of(p) in READABLE)
    return (
        f" It holds other images: pass one of them, such as {names[0]!r}." if names else " Pass the folder of a series."
    )


def _header(path: Path) -> Any:
    """Read the elements in `_TAGS`. pydicom meets arbitrary bytes here, so whatever it raises means "not readable"."""
    pydicom = pydicom_module()
    if not looks_like_dicom(path):
        raise InputError(f"{path.name!r} is no DICOM file: it lacks the mark 'DICM'. Copy or export it again.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = _read_before_pixels(path, pydicom)
            dataset.get("SOPClassUID")
    except Exception as error:
        raise unreadable(path, "DICOM", error) from error
    return dataset


def _read_before_pixels(path: Path, pydicom: Any) -> Any:
    """The elements in `_TAGS`; `stored_pixel_bytes` is the length of the pixels, None where it is not stated."""
    stored: int | None = None

    def at_pixels(tag: int, _vr: str | None, length: int) -> bool:
        nonlocal stored
        if tag == _PIXEL_DATA and length != _UNDEFINED_LENGTH:
            stored = length
        return tag in _PIXELS

    with path.open("rb") as file:
        tags = [pydicom.tag.Tag(keyword) for keyword in _TAGS]
        dataset = pydicom.filereader.read_partial(file, stop_when=at_pixels, force=True, specific_tags=tags)
    dataset.stored_pixel_bytes = stored
    return dataset


def _is_image(dataset: Any) -> bool:
    rows, columns = elements.whole(dataset, "Rows"), elements.whole(dataset, "Columns")
    return rows > 0 and columns > 0 and elements.text(dataset, "Modality") not in _NOT_IMAGES


def _grouped(found: Sequence[tuple[Path, Any]]) -> list[Series]:
    by_uid: dict[str, Series] = {}
    instances: set[str] = set()
    for path, dataset in found:
        uid = elements.text(dataset, "SeriesInstanceUID") or "none"
        series = by_uid.get(uid)
        if series is None:
            series = by_uid[uid] = _series(uid, dataset)
        instance = elements.text(dataset, "SOPInstanceUID")
        if instance and instance in instances:
            series.copies += 1
            continue
        instances.add(instance)
        slices = _slices(path, dataset)
        series.multiframe = series.multiframe or len(slices) > 1
        series.slices += slices
    return sorted(by_uid.values(), key=lambda s: (s.series_number, s.uid))


def _series(uid: str, dataset: Any) -> Series:
    metadata = {key: text for key, tag in _TEXTS.items() if (text := elements.text(dataset, tag))}
    modality = elements.text(dataset, "Modality")
    if modality:
        metadata["modality"] = modality
    tilt = elements.number(dataset, "GantryDetectorTilt")
    return Series(uid, elements.whole(dataset, "SeriesNumber"), modality, False, metadata, tilt or 0.0, dataset)


def _slices(path: Path, dataset: Any) -> list[Slice]:
    """The image of a file, or the frames of a multi-frame file."""
    size = (elements.whole(dataset, "Columns"), elements.whole(dataset, "Rows"))
    frames = max(1, elements.whole(dataset, "NumberOfFrames"))
    groups = elements.sequence(dataset, "PerFrameFunctionalGroupsSequence")
    if frames > _MAX_FRAMES or (groups and len(groups) != frames):
        raise InputError(
            f"{path.name!r} states {frames} frames and describes {len(groups)}; the header is corrupt. Export it again."
        )
    packed = _is_packed(dataset)
    promised = _promised_bytes(dataset, math.prod(size) * frames)
    check_promised_size(path, promised, compressed=packed)
    stored = dataset.stored_pixel_bytes
    if not packed and stored is not None and stored < promised:
        raise InputError(
            f"{path.name!r} is truncated or its header is corrupt: {size[1]} rows of {size[0]} pixels take "
            f"{promised:,} bytes, the file states {stored:,}. Copy or export it again."
        )
    if not groups:
        plain = plain_slice(path, dataset, size)
        if frames == 1:
            return [plain]
        # A cine or an old multi-frame object: where its frames lie is unknown.
        return [Slice(path, n, size, None, None, plain.spacing_xy, None, None, plain.rescale) for n in range(frames)]
    shared = elements.sequence(dataset, "SharedFunctionalGroupsSequence")
    return [_frame_slice(path, n, size, group, shared[0] if shared else None) for n, group in enumerate(groups)]


def _promised_bytes(dataset: Any, pixels: int) -> int:
    """Bytes that so many uncompressed pixels take."""
    samples = max(1, elements.whole(dataset, "SamplesPerPixel"))
    if elements.text(dataset, "PhotometricInterpretation") == "YBR_FULL_422":
        samples = 2  # two neighbours share their colours
    return (pixels * samples * max(1, elements.whole(dataset, "BitsAllocated")) + 7) // 8


def _is_packed(dataset: Any) -> bool:
    syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
    try:
        return bool(getattr(syntax, "is_compressed", False) or getattr(syntax, "is_deflated", False))
    except ValueError:  # pydicom's answer to a UID that is no transfer syntax; GDCM will say what it thinks of it
        return True


def plain_slice(path: Path, dataset: Any, size: tuple[int, int]) -> Slice:
    """The image of a classic header, whose elements stand at the top level."""
    spacing = elements.numbers(dataset, "PixelSpacing", 2) or elements.numbers(dataset, "ImagerPixelSpacing", 2)
    return Slice(
        path,
        0,
        size,
        elements.numbers(dataset, "ImagePositionPatient", 3),
        elements.numbers(dataset, "ImageOrientationPatient", 6),
        (spacing[1], spacing[0]) if spacing else None,
        elements.positive(dataset, "SliceThickness"),
        elements.positive(dataset, "SpacingBetweenSlices"),
        _rescale(dataset),
    )


def _frame_slice(path: Path, frame: int, size: tuple[int, int], group: Any, shared: Any) -> Slice:
    """A frame of an enhanced object; each property stands in the group of the frame or in the shared one."""

    def macro(name: str) -> Any:
        for place in (group, shared):
            items = elements.sequence(place, name) if place is not None else []
            if items:
                return items[0]
        return None

    measures = macro("PixelMeasuresSequence")
    spacing = elements.numbers(measures, "PixelSpacing", 2)
    return Slice(
        path,
        frame,
        size,
        elements.numbers(macro("PlanePositionSequence"), "ImagePositionPatient", 3),
        elements.numbers(macro("PlaneOrientationSequence"), "ImageOrientationPatient", 6),
        (spacing[1], spacing[0]) if spacing else None,
        elements.positive(measures, "SliceThickness"),
        elements.positive(measures, "SpacingBetweenSlices"),
        _rescale(macro("PixelValueTransformationSequence")),
    )


def _rescale(dataset: Any) -> tuple[float, float] | None:
    slope, intercept = elements.number(dataset, "RescaleSlope"), elements.number(dataset, "RescaleIntercept")
    return None if slope is None or intercept is None else (slope, intercept)
