"""The headers of the series that a volume was read from, read once more for a derived series.

Nothing of them is kept in a volume, since they name the patient; they go from DICOM to DICOM.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medsr.errors import InputError, InvalidValueError
from medsr.io.dicom import elements, kept, stored
from medsr.io.dicom.files import read_header
from medsr.io.dicom.padding import Range, rescaled_padding
from medsr.io.dicom.slices import Slice, slices_of
from medsr.io.dicom.stored import stored_pixels
from medsr.io.formats import looks_like_dicom
from medsr.volume import MODALITIES, Volume

_TAGS = [
    *kept.EMPTY_IF_MISSING, *kept.OF_ALL, *kept.TRIAL, *kept.EQUIPMENT,
    *kept.WINDOW,
    *(keyword for table in (kept.ACQUISITION, kept.ENHANCED) for row in table.values() for keyword in row),
    *stored.TAGS, "PixelPaddingValue", "PixelPaddingRangeLimit",
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "Modality", "ImageType",
    "Laterality",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "ImagerPixelSpacing", "SliceThickness",
    "SpacingBetweenSlices", "RescaleSlope", "RescaleIntercept", "ContributingEquipmentSequence",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip


@dataclass(frozen=True)
class Source:
    """The images that a derived series is made of.

    Attributes:
        modality: "MR" or "CT".
        headers: the elements that may be kept, of each file.
        slices: of each image or frame, where it lies and how its numbers are stored.
    """

    modality: str
    headers: tuple[Any, ...]
    slices: tuple[Slice, ...]

    @property
    def is_enhanced(self) -> bool:
        """True for an object whose frames are described by functional groups."""
        return bool(self.frames)

    @property
    def frames(self) -> list[Any]:
        """The functional groups of each frame; none of a classic series."""
        return elements.sequence(self.headers[0], "PerFrameFunctionalGroupsSequence")

    @property
    def shared(self) -> Any:
        """The functional groups of all frames, or None."""
        found = elements.sequence(self.headers[0], "SharedFunctionalGroupsSequence")
        return found[0] if found else None

    @property
    def middle(self) -> int:
        """The image in the middle, whose window a derived series takes."""
        return len(self.slices) // 2

    @property
    def was_turned(self) -> bool:
        """True where a negative was turned when it was read, so that its stored numbers mean something else."""
        stored = self.slices[self.middle].stored
        return stored is not None and stored.photometric == "MONOCHROME1" and self.modality != "CT"

    @property
    def rescale(self) -> tuple[float, float]:
        """The finest slope of all images, and the intercept of the image that has it."""
        scales = [one.rescale or (1.0, 0.0) for one in self.slices]
        slope, intercept = min(scales, key=lambda scale: abs(scale[0]))
        return abs(slope), intercept

    @property
    def is_signed(self) -> bool:
        """True where numbers are stored with a sign."""
        return any(one.stored is not None and one.stored.signed for one in self.slices)

    @property
    def padding(self) -> Range | None:
        """The intensities of what was never measured, where all images that state one agree."""
        if self.was_turned:
            return None
        found = {
            rescaled_padding(one.stored.padding, one.rescale)
            for one in self.slices
            if one.stored is not None and one.stored.padding is not None
        }
        return found.pop() if len(found) == 1 else None


def source_of(volume: Volume) -> Source:
    """The headers of the series that `volume`, or what it was made of, was read from.

    Raises:
        InvalidValueError: it was not read from DICOM, or is of a kind that is not written as DICOM.
        InputError: its files are gone or damaged.
    """
    if volume.channels > 1:
        raise InvalidValueError("DICOM is written of grey images; this one has colours. Write .nrrd, .nii or .png.")
    if not volume.files or not looks_like_dicom(volume.files[0]):
        raise InvalidValueError(
            "A DICOM series is derived from a DICOM series, which gives it the patient, the study and the frame of "
            f"reference; {volume.source or 'this volume'!r} has none of them. Pass the DICOM folder as input, or write "
            ".nii.gz or .nrrd."
        )
    headers = [read_header(path, _TAGS) for path in volume.files]
    slices = [one for path, header in zip(volume.files, headers, strict=True) for one in _slices(path, header)]
    modality = elements.code(headers[0], "Modality")
    if modality not in MODALITIES:
        raise InvalidValueError(
            f"DICOM is written for MR and CT, and this series is of modality {modality or 'not stated'}. Write .nii.gz "
            "or .nrrd."
        )
    _check_complete(volume.files[0], headers[0], slices)
    return Source(modality, tuple(headers), tuple(slices))


def _slices(path: Path, header: Any) -> list[Slice]:
    return slices_of(path, header, stored_pixels(path, header))


def _check_complete(path: Path, header: Any, slices: Sequence[Slice]) -> None:
    """Raise InputError for a source that no image may be derived from."""
    for keyword, meaning in (("StudyInstanceUID", "study"), ("SOPInstanceUID", "image"), ("SOPClassUID", "class")):
        if not elements.text(header, keyword):
            raise InputError(
                f"{path.name!r} does not say which {meaning} it is ({keyword} is missing), so no DICOM series can be "
                "derived from it. Export the series again, or write .nii.gz or .nrrd."
            )
    if any(one.position is None or one.orientation is None for one in slices):
        raise InputError(
            f"{path.name!r} does not say where its image lies in the patient, so no DICOM series can be derived from "
            "it. Write .nii.gz or .nrrd."
        )
