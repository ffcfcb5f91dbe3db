"""What a derived series keeps of the headers of its source.

Only elements that are named here are carried over. All else is left out, since nobody can know whether it is still
true: the private blocks of vendors, smallest and largest pixel values, curves, overlays, digests, references to
procedure steps, and whatever a later standard adds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from medsr.io.dicom import elements

IDENTITY = ("PatientName", "PatientID")
"""Kept to the letter, also where they break a rule: by them an archive finds the patient."""

EMPTY_IF_MISSING = (
    *IDENTITY, "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID",
    "AccessionNumber", "PositionReferenceIndicator", "PatientPosition",
)  # fmt: skip
"""Of patient, study, and frame of reference: every image has them, be they known or not (type 2)."""

OF_ALL = (
    # patient
    "IssuerOfPatientID", "TypeOfPatientID", "PatientBirthTime", "PatientIdentityRemoved", "DeidentificationMethod",
    "DeidentificationMethodCodeSequence", "LongitudinalTemporalInformationModified",
    # study and the patient in it
    "StudyInstanceUID", "StudyDescription", "ProcedureCodeSequence", "PatientAge", "PatientSize", "PatientWeight",
    # series and frame of reference
    "BodyPartExamined", "ProtocolName", "FrameOfReferenceUID", "AnatomicalOrientationType",
    # image
    "BurnedInAnnotation", "RecognizableVisualFeatures", "LossyImageCompression", "LossyImageCompressionRatio",
    "LossyImageCompressionMethod", "ContrastBolusAgent", "ContrastBolusRoute", "ContrastBolusVolume",
    "TimezoneOffsetFromUTC",
)  # fmt: skip

_TRIAL = ("ClinicalTrialSponsorName", "ClinicalTrialProtocolID")
_TRIAL_SUBJECT = ("ClinicalTrialSubjectID", "ClinicalTrialSubjectReadingID")
_TRIAL_EMPTY = (
    "ClinicalTrialProtocolName", "ClinicalTrialSiteID", "ClinicalTrialSiteName", "ClinicalTrialTimePointID",
    "ClinicalTrialCoordinatingCenterName",
)  # fmt: skip

ACQUISITION = {
    "MR": (
        "AcquisitionDate", "AcquisitionNumber", "ScanningSequence", "SequenceVariant", "ScanOptions",
        "MRAcquisitionType", "SequenceName", "AngioFlag", "RepetitionTime", "EchoTime", "EchoTrainLength",
        "InversionTime", "NumberOfAverages", "ImagingFrequency", "ImagedNucleus", "EchoNumbers",
        "MagneticFieldStrength", "NumberOfPhaseEncodingSteps", "PercentSampling", "PercentPhaseFieldOfView",
        "PixelBandwidth", "ReceiveCoilName", "TransmitCoilName", "AcquisitionMatrix", "InPlanePhaseEncodingDirection",
        "FlipAngle", "VariableFlipAngleFlag",
    ),
    "CT": (
        "AcquisitionDate", "AcquisitionNumber", "ScanOptions", "KVP", "DataCollectionDiameter",
        "DistanceSourceToDetector", "DistanceSourceToPatient", "TableHeight", "RotationDirection", "ExposureTime",
        "FilterType", "GeneratorPower", "FocalSpots", "ConvolutionKernel", "RevolutionTime", "SingleCollimationWidth",
        "TotalCollimationWidth", "TableSpeed", "SpiralPitchFactor", "IrradiationEventUID",
    ),
}  # fmt: skip
"""How the images were acquired; kept where all of them agree."""

ENHANCED = {
    "MR": (
        "AcquisitionNumber", "ResonantNucleus", "MagneticFieldStrength", "KSpaceFiltering",
        "ApplicableSafetyStandardAgency", "ComplexImageComponent", "AcquisitionContrast",
    ),
    "CT": ("AcquisitionNumber",),
}  # fmt: skip
"""The same for enhanced objects, at their top level."""

MACROS = {
    "MR": (
        "FrameAnatomySequence", "MRTimingAndRelatedParametersSequence", "MREchoSequence", "MRAveragesSequence",
        "MRFOVGeometrySequence", "MRImagingModifierSequence",
    ),
    "CT": ("FrameAnatomySequence",),
}  # fmt: skip
"""Functional groups of enhanced objects; kept where all frames agree."""

TRIAL = (*_TRIAL, *_TRIAL_SUBJECT, *_TRIAL_EMPTY)
EQUIPMENT = (
    "Manufacturer", "InstitutionName", "StationName", "ManufacturerModelName", "DeviceSerialNumber", "SoftwareVersions",
)  # fmt: skip
WINDOW = ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation", "VOILUTFunction")

_YEAR = re.compile(r"[12]\d{3}")


def kept(dataset: Any, keywords: Iterable[str]) -> Any:
    """The valid ones among some elements, in a dataset of their own."""
    found = elements.pydicom_module().Dataset()
    for keyword in keywords:
        element = _valid(dataset, keyword)
        if element is not None:
            found.add(element)
    return found


def trial(dataset: Any) -> Any:
    """The clinical trial that a patient takes part in; nothing where the header does not say which and as whom."""
    found = kept(dataset, TRIAL)
    if not all(keyword in found for keyword in _TRIAL) or not any(keyword in found for keyword in _TRIAL_SUBJECT):
        return kept(dataset, ())
    for keyword in _TRIAL_EMPTY:
        if keyword not in found:
            setattr(found, keyword, None)
    return found


def equipment(dataset: Any) -> list[Any]:
    """The machines and programs that contributed to an image, of which it is known what for."""
    found = kept(dataset, ("ContributingEquipmentSequence",)).get("ContributingEquipmentSequence", [])
    return [item for item in found if "Manufacturer" in item and "PurposeOfReferenceCodeSequence" in item]


def agreed(datasets: Sequence[Any], keywords: Iterable[str]) -> Any:
    """As `kept`, of the elements that have one value in all datasets."""
    tag_of = elements.pydicom_module().datadict.tag_for_keyword
    same = [keyword for keyword in keywords if _is_one([_raw(d, int(tag_of(keyword))) for d in datasets])]
    return kept(datasets[0], same)


def copied_item(item: Any) -> Any:
    """The public elements of a sequence item; None where one of them is invalid, since it may be a required one."""
    found = elements.pydicom_module().Dataset()
    try:
        tags = [tag for tag in item.keys() if not tag.is_private]  # noqa: SIM118  a Dataset iterates over elements
    except Exception:
        return None
    for tag in tags:
        element = _valid(item, tag)
        if element is None:
            return None
        found.add(element)
    return found


def _is_one(values: Sequence[Any]) -> bool:
    return values[0] is not None and all(value == values[0] for value in values[1:])


def _raw(dataset: Any, tag: int) -> Any:
    """What an element holds, not yet converted where nobody has asked for it."""
    if tag not in dataset:
        return None
    try:
        return dataset.get_item(tag).value
    except Exception:
        return None


def _valid(dataset: Any, key: Any) -> Any:
    """An element with its value checked against its type; None where it is missing, empty or against the rules."""
    pydicom = elements.pydicom_module()
    if key not in dataset:
        return None
    try:
        with elements.unheard():
            element = dataset[key]
            if element.keyword in IDENTITY:
                return element
            if element.VR == "SQ":
                items = [copied_item(item) for item in element.value]
                return None if None in items or not items else pydicom.DataElement(element.tag, "SQ", items)
            values = list(element.value) if element.VM > 1 else [element.value]
            if values in ([None], [""], []):
                return None
            for value in values:
                pydicom.valuerep.validate_value(element.VR, _written(value), pydicom.config.RAISE)
                if element.VR in ("DA", "DT") and not _YEAR.match(str(value)):
                    return None
            return pydicom.DataElement(element.tag, element.VR, element.value)
    except Exception:  # garbage in one element is the same as that element missing
        return None


def _written(value: Any) -> Any:
    """A value as pydicom's checks of texts take it."""
    return getattr(value, "original_string", value)
