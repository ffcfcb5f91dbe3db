"""A derived enhanced MR or CT object: all slices in one file."""

from __future__ import annotations

from typing import Any

import numpy as np

from medsr.errors import ResourceError
from medsr.io.dicom import elements, kept
from medsr.io.dicom.derived import (
    add_pixel_format,
    add_rescale,
    coded,
    decimals,
    derivation,
    derived,
    image_type,
    new_uid,
    source_images,
    window,
)
from medsr.io.dicom.quantised import Quantised
from medsr.io.dicom.source import Source
from medsr.volume import Volume

CLASSES = {"MR": "1.2.840.10008.5.1.4.1.1.4.1", "CT": "1.2.840.10008.5.1.4.1.1.2.1"}
_MOST_BYTES = 2**32 - 2
_BODY = ("38266002", "SCT", "Entire body")
_STACK_ID, _POSITION = 0x00209056, 0x00209057
_FRAME_CONTENT = 0x00209111


def enhanced_image(volume: Volume, source: Source, scale: Quantised) -> Any:
    """The dataset of the object.

    Raises:
        ResourceError: more voxels than one object holds.
    """
    if 2 * volume.geometry.voxels > _MOST_BYTES:
        raise ResourceError(
            f"The result has {volume.geometry.voxels:,} voxels, and an enhanced DICOM object holds "
            f"{_MOST_BYTES // 2:,}. Ask for a coarser target, or write .nii.gz or .nrrd."
        )
    dataset = derived(source, volume)
    dataset.update(kept.kept(source.headers[0], kept.ENHANCED[source.modality]))
    dataset.SOPClassUID, dataset.SOPInstanceUID = CLASSES[source.modality], new_uid()
    dataset.InstanceNumber = 1
    # PRIMARY is the only second value that an enhanced image may have.
    dataset.ImageType = [*[*image_type(source, "DERIVED", "PRIMARY"), "VOLUME"][:3], "RESAMPLED"]
    _complete(dataset, source)
    add_pixel_format(dataset, volume, scale)
    dataset.NumberOfFrames = len(volume.array)
    _add_dimensions(dataset)
    _add_evidence(dataset, source)
    dataset.SharedFunctionalGroupsSequence = [_shared(dataset, volume, source, scale)]
    dataset.PerFrameFunctionalGroupsSequence = [_frame(volume, number) for number in range(len(volume.array))]
    dataset.add_new("PixelData", "OW", b"".join(scale.planes(volume.array)))
    return dataset


def _complete(dataset: Any, source: Source) -> None:
    """What every enhanced image says of itself."""
    dataset.DeviceSerialNumber = "none"
    dataset.ContentQualification = "RESEARCH"
    dataset.PixelPresentation, dataset.VolumetricProperties = "MONOCHROME", "VOLUME"
    dataset.VolumeBasedCalculationTechnique = "NONE"
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.AcquisitionContextSequence = []
    unknown = {"BurnedInAnnotation": "NO", "LossyImageCompression": "00"}
    if source.modality == "MR":
        unknown |= {"ComplexImageComponent": "MAGNITUDE", "AcquisitionContrast": "UNKNOWN"}
        unknown |= {"ApplicableSafetyStandardAgency": "IEC"}
    for keyword, value in unknown.items():
        if keyword not in dataset:
            setattr(dataset, keyword, value)


def _add_dimensions(dataset: Any) -> None:
    """Frames are ordered by their place in one stack."""
    pydicom = elements.pydicom_module()
    organization = pydicom.Dataset()
    organization.DimensionOrganizationUID = new_uid()
    dataset.DimensionOrganizationSequence = [organization]
    dataset.DimensionOrganizationType = "3D"
    items = []
    for pointer in (_STACK_ID, _POSITION):
        item = pydicom.Dataset()
        item.DimensionOrganizationUID = organization.DimensionOrganizationUID
        item.DimensionIndexPointer, item.FunctionalGroupPointer = pointer, _FRAME_CONTENT
        items.append(item)
    dataset.DimensionIndexSequence = items


def _add_evidence(dataset: Any, source: Source) -> None:
    """Where the images are that the object refers to."""
    pydicom = elements.pydicom_module()
    study, series = pydicom.Dataset(), pydicom.Dataset()
    study.StudyInstanceUID = elements.text(source.headers[0], "StudyInstanceUID")
    series.SeriesInstanceUID = elements.text(source.headers[0], "SeriesInstanceUID")
    references = source_images(source)
    for item in references:
        del item.PurposeOfReferenceCodeSequence
    series.ReferencedSOPSequence = references
    study.ReferencedSeriesSequence = [series]
    dataset.SourceImageEvidenceSequence = [study]


def _shared(dataset: Any, volume: Volume, source: Source, scale: Quantised) -> Any:
    pydicom = elements.pydicom_module()
    shared = pydicom.Dataset()
    for keyword in kept.MACROS[source.modality]:
        shared.update(_macro(source, keyword))
    if "FrameAnatomySequence" not in shared:
        anatomy = pydicom.Dataset()
        anatomy.AnatomicRegionSequence, anatomy.FrameLaterality = [coded(_BODY)], "U"
        shared.FrameAnatomySequence = [anatomy]
    measures, orientation, transformation = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    width, height, depth = volume.geometry.spacing_xyz_mm
    measures.PixelSpacing = decimals(height, width)
    measures.SliceThickness, measures.SpacingBetweenSlices = decimals(depth, depth)
    axes = np.array(volume.geometry.direction).reshape(3, 3)
    orientation.ImageOrientationPatient = decimals(*axes[:, :2].T.ravel())
    add_rescale(transformation, source, scale)
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [orientation]
    shared.PixelValueTransformationSequence = [transformation]
    found = window(_first_item(source, "FrameVOILUTSequence", source.middle))
    if found and not source.was_turned:
        shared.FrameVOILUTSequence = [found]
    shared.DerivationImageSequence = [derivation(source, volume)]
    if source.modality == "CT":
        event = pydicom.Dataset()
        event.IrradiationEventUID = _irradiation_events(source)
        shared.IrradiationEventIdentificationSequence = [event]
    _add_frame_type(shared, dataset, source)
    return shared


def _add_frame_type(shared: Any, dataset: Any, source: Source) -> None:
    item = elements.pydicom_module().Dataset()
    item.FrameType = list(dataset.ImageType)
    for keyword in (
        "PixelPresentation", "VolumetricProperties", "VolumeBasedCalculationTechnique", "ComplexImageComponent",
        "AcquisitionContrast",
    ):  # fmt: skip
        if keyword in dataset:
            setattr(item, keyword, dataset[keyword].value)
    setattr(shared, f"{source.modality}ImageFrameTypeSequence", [item])


def _irradiation_events(source: Source) -> list[str]:
    """The exposures of all frames (CT), of which every derived one is made.

    An enhanced image must name them. There was one at least, so a new identifier stands for one that the source does
    not name, as a converted classic series.
    """
    found: dict[str, None] = {}
    for place in (source.shared, *source.frames):
        for item in elements.sequence(place, "IrradiationEventIdentificationSequence"):
            found |= dict.fromkeys(elements.words(item, "IrradiationEventUID"))
    return list(found) or [new_uid()]


def _macro(source: Source, keyword: str) -> Any:
    """A functional group that all frames share, in a dataset of its own; an empty one where they differ."""
    if source.shared is not None and keyword in source.shared:
        return kept.kept(source.shared, (keyword,))
    frames = [kept.kept(frame, (keyword,)) for frame in source.frames]
    return frames[0] if all(frame == frames[0] for frame in frames[1:]) else kept.kept(frames[0], ())


def _first_item(source: Source, keyword: str, number: int) -> Any:
    """The item of a functional group of one frame, else of all; an empty dataset where there is none."""
    for place in (source.frames[number], source.shared):
        items = elements.sequence(place, keyword)
        if items:
            return items[0]
    return elements.pydicom_module().Dataset()


def _frame(volume: Volume, number: int) -> Any:
    pydicom = elements.pydicom_module()
    frame, content, position = pydicom.Dataset(), pydicom.Dataset(), pydicom.Dataset()
    content.StackID, content.InStackPositionNumber = "1", number + 1
    content.DimensionIndexValues = [1, number + 1]
    position.ImagePositionPatient = decimals(*volume.geometry.to_patient((0, 0, number)))
    frame.FrameContentSequence, frame.PlanePositionSequence = [content], [position]
    return frame
