"""Derived MR and CT images of one slice each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from medsr.io.dicom import elements, kept
from medsr.io.dicom.derived import (
    add_pixel_format,
    add_rescale,
    decimals,
    derivation,
    derived,
    image_type,
    new_uid,
    window,
)
from medsr.io.dicom.quantised import Quantised
from medsr.io.dicom.source import Source
from medsr.volume import Volume

CLASSES = {"MR": "1.2.840.10008.5.1.4.1.1.4", "CT": "1.2.840.10008.5.1.4.1.1.2"}
_EMPTY = {
    "MR": ("ScanOptions", "MRAcquisitionType", "RepetitionTime", "EchoTime", "EchoTrainLength"),
    "CT": ("KVP", "AcquisitionNumber"),
}
"""Elements that every image of its class has, be they known or not (type 2)."""

_GATED = {"CG", "PPG"}
_UNPAIRED = {
    "HEAD", "NECK", "BRAIN", "SKULL", "CHEST", "ABDOMEN", "PELVIS", "ABDOMENPELVIS", "CHESTABDOMEN",
    "CHESTABDPELVIS", "NECKCHEST", "NECKCHESTABDOMEN", "NECKCHESTABDPELV", "HEADNECK", "CSPINE", "TSPINE", "LSPINE",
    "SSPINE", "SPINE", "COCCYX", "TLSPINE", "LSSPINE", "CTSPINE", "WHOLEBODY", "HEART", "LIVER", "PANCREAS",
    "SPLEEN", "BLADDER", "PROSTATE", "UTERUS", "THYROID", "PENIS", "ESOPHAGUS", "STOMACH", "COLON", "RECTUM",
    "STERNUM", "JAW", "NOSE", "AORTA", "MEDIASTINUM", "GALLBLADDER", "LARYNX", "PHARYNX", "TRACHEA", "FACE",
    "CEREBELLUM", "TONGUE", "MAXILLA", "THYMUS", "CORONARYARTERY",
}  # fmt: skip
"""Body parts of which there is one: their images must not state a side, those of all others must (type 2C)."""


def classic_images(volume: Volume, source: Source, scale: Quantised) -> Iterator[Any]:
    """The dataset of each slice in turn; it is always the same one, with what differs exchanged."""
    image = _encoded(_common(volume, source, scale))
    grid = volume.geometry
    normal = np.cross(*np.array(grid.direction).reshape(3, 3).T[:2])
    for number, pixels in enumerate(scale.planes(volume.array)):
        position = grid.to_patient((0, 0, number))
        image.SOPInstanceUID = new_uid()
        image.InstanceNumber = number + 1
        image.ImagePositionPatient = decimals(*position)
        image.SliceLocation = decimals(float(position @ normal))[0]
        image.add_new("PixelData", "OW", pixels)
        yield image


def _common(volume: Volume, source: Source, scale: Quantised) -> Any:
    dataset = derived(source, volume)
    dataset.update(kept.agreed(source.headers, kept.ACQUISITION[source.modality]))
    dataset.SOPClassUID = CLASSES[source.modality]
    if elements.text(dataset, "BodyPartExamined").upper() not in _UNPAIRED:
        dataset.Laterality = kept.kept(source.headers[0], ("Laterality",)).get("Laterality")
    third = {"MR": "OTHER", "CT": "AXIAL"}[source.modality]
    words = image_type(source, "DERIVED", "SECONDARY")
    dataset.ImageType = words if len(words) > 2 else [*words, third]
    for keyword in _EMPTY[source.modality]:
        if keyword not in dataset:
            setattr(dataset, keyword, None)
    if source.modality == "MR":
        _complete_mr(dataset)
    add_pixel_format(dataset, volume, scale)
    if source.modality == "CT" or not scale.is_identity:
        add_rescale(dataset, source, scale)
    if not source.was_turned:
        dataset.update(window(source.headers[min(source.middle, len(source.headers) - 1)]))
    width, height, depth = volume.geometry.spacing_xyz_mm
    dataset.PixelSpacing = decimals(height, width)
    dataset.SliceThickness, dataset.SpacingBetweenSlices = decimals(depth, depth)
    axes = np.array(volume.geometry.direction).reshape(3, 3)
    dataset.ImageOrientationPatient = decimals(*axes[:, :2].T.ravel())
    dataset.update(derivation(source, volume))
    return dataset


def _encoded(dataset: Any) -> Any:
    """The same elements as they stand in a file: each slice has them all, and thousands of references take seconds."""
    pydicom = elements.pydicom_module()
    buffer = pydicom.filebase.DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    with elements.unheard():
        pydicom.filewriter.write_dataset(buffer, dataset)
    buffer.seek(0)
    return pydicom.filereader.read_dataset(buffer, is_implicit_VR=False, is_little_endian=True)


def _complete_mr(dataset: Any) -> None:
    # "Research mode": the only value that is true of whatever the scanner did.
    for keyword, unknown in (("ScanningSequence", "RM"), ("SequenceVariant", "NONE")):
        if keyword not in dataset:
            setattr(dataset, keyword, unknown)
    # Required of some images, and forbidden of the others.
    if "IR" in elements.words(dataset, "ScanningSequence"):
        dataset.InversionTime = dataset.get("InversionTime")
    elif "InversionTime" in dataset:
        del dataset.InversionTime
    if _GATED & set(elements.words(dataset, "ScanOptions")):
        dataset.TriggerTime = None
