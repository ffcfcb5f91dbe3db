"""From the header of a DICOM file to its slices: where each lies, and how its numbers become intensities."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medsr.errors import InputError
from medsr.io.dicom import elements
from medsr.io.dicom.diffusion import Diffusion, diffusion_of
from medsr.io.dicom.stored import Stored

ORDER = {
    "TemporalPositionIdentifier": ("FrameContentSequence", "TemporalPositionIndex"),
    "TriggerTime": ("CardiacSynchronizationSequence", "NominalCardiacTriggerDelayTime"),
    "AcquisitionNumber": ("FrameContentSequence", "FrameAcquisitionNumber"),
    "EchoTime": ("MREchoSequence", "EffectiveEchoTime"),
    "DiffusionBValue": ("MRDiffusionSequence", "DiffusionBValue"),
    "InstanceNumber": ("", ""),
}
"""What tells images of one place apart, the surest first: element of a header -> group and element of a frame."""


@dataclass(frozen=True)
class Slice:
    """One DICOM image or frame. Lengths in mm, positions and directions in LPS; None where the header says nothing.

    `stored` is how the pixels of its file are stored; `instance` the UID that no other file should have; `order` what
    tells images of one place apart, as `ORDER` names it; `diffusion` how it was weighted.
    """

    path: Path
    frame: int
    size_xy: tuple[int, int]
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing_xy: tuple[float, float] | None
    thickness: float | None
    distance: float | None
    rescale: tuple[float, float] | None
    stored: Stored | None = None
    instance: str = ""
    order: tuple[float | None, ...] = ()
    diffusion: Diffusion | None = None


def slices_of(path: Path, dataset: Any, stored: Stored) -> list[Slice]:
    """The image of a file, or the frames of a multi-frame file.

    Raises:
        InputError: frames that are not described, or a scale that is no number.
    """
    instance = elements.text(dataset, "SOPInstanceUID")
    return [replace(one, stored=stored, instance=instance) for one in _slices(path, dataset, stored)]


def _slices(path: Path, dataset: Any, stored: Stored) -> list[Slice]:
    size = (stored.columns, stored.rows)
    groups = elements.sequence(dataset, "PerFrameFunctionalGroupsSequence")
    if groups and len(groups) != stored.frames:
        raise InputError(
            f"{path.name!r} states {stored.frames} frames and describes {len(groups)}; the header is corrupt. Export "
            "it again."
        )
    if groups:
        shared = elements.sequence(dataset, "SharedFunctionalGroupsSequence")
        return [_frame_slice(path, n, size, group, shared[0] if shared else None) for n, group in enumerate(groups)]
    _check_scale(path, dataset)
    plain = plain_slice(path, dataset, size)
    if stored.frames == 1:
        return [plain]
    # A cine or an old multi-frame object: where its frames lie is unknown.
    unplaced = Slice(path, 0, size, None, None, plain.spacing_xy, None, None, plain.rescale)
    return [replace(unplaced, frame=n) for n in range(stored.frames)]


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
        order=tuple(elements.number(dataset, keyword) for keyword in ORDER),
        diffusion=diffusion_of(dataset, dataset),
    )


def _frame_slice(path: Path, frame: int, size: tuple[int, int], group: Any, shared: Any) -> Slice:
    """A frame of an enhanced object; each property stands in the group of the frame or in the shared one."""

    def macro(name: str) -> Any:
        for place in (group, shared):
            items = elements.sequence(place, name) if place is not None else []
            if items:
                return items[0]
        return None

    diffusion = macro("MRDiffusionSequence")
    gradients = elements.sequence(diffusion, "DiffusionGradientDirectionSequence") if diffusion is not None else []
    measures, transformation = macro("PixelMeasuresSequence"), macro("PixelValueTransformationSequence")
    _check_scale(path, transformation)
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
        _rescale(transformation),
        order=(
            *(elements.number(macro(name), keyword) for name, keyword in list(ORDER.values())[:-1]),
            float(frame + 1),
        ),
        diffusion=diffusion_of(diffusion, gradients[0] if gradients else None),
    )


def _rescale(dataset: Any) -> tuple[float, float] | None:
    slope, intercept = elements.number(dataset, "RescaleSlope"), elements.number(dataset, "RescaleIntercept")
    if slope is None and intercept is None:
        return None
    return (1.0 if slope is None else slope, intercept or 0.0)


def _check_scale(path: Path, dataset: Any) -> None:
    """Raise InputError for a scale that is there and no scale: intensities would be wrong by all of it."""
    for keyword in ("RescaleSlope", "RescaleIntercept"):
        number = elements.number(dataset, keyword)
        if (number is None and elements.states(dataset, keyword)) or (keyword == "RescaleSlope" and number == 0):
            raise InputError(
                f"{path.name!r} gives a {' '.join(re.findall('[A-Z][a-z]+', keyword))} that is no number, or 0. "
                "Correct the header, or export the file again."
            )
