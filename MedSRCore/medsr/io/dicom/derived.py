"""What every image of a derived series says of itself: whose it is, what it was made of, by what, and how.

Identifiers are fresh in every run. Two runs with other options or another version give other voxels, and an archive
keeps but the first of two images with one identifier.
"""

from __future__ import annotations

import datetime
import re
from typing import Any

import medsr
from medsr.catalog import PERCEPTUAL
from medsr.io import provenance
from medsr.io.dicom import elements, kept
from medsr.io.dicom.quantised import Quantised
from medsr.io.dicom.source import Source
from medsr.volume import Volume

MAKER = "MedSR"
NOTICE = "not for diagnostic use"
_LONGEST = 64
"""Characters of a DICOM LO."""

_OWN_END = re.compile(rf" *\[{MAKER}, [^]]*\]$")
_DIGITS = 10
_SERIES_OFFSET = 1000
_MOST_NUMBER = 2**31 - 1
_CODE_STRING = re.compile(r"[A-Z0-9_ ]{1,16}")
_RESAMPLED = ("113085", "DCM", "Spatial resampling")
_SOURCE_IMAGE = ("121322", "DCM", "Source image for image processing operation")
_PROCESSING = ("109102", "DCM", "Processing Equipment")
_ACQUISITION = ("109101", "DCM", "Acquisition Equipment")


def new_uid() -> str:
    """An identifier that nothing else has."""
    return str(elements.pydicom_module().uid.generate_uid(prefix=None))


def coded(code: tuple[str, str, str]) -> Any:
    """A code as a sequence item."""
    item = elements.pydicom_module().Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code
    return item


def derived(source: Source, volume: Volume) -> Any:
    """Everything that holds for a whole derived series, as a dataset: patient, study, series, equipment, history."""
    header = source.headers[0]
    dataset = kept.kept(header, ("SpecificCharacterSet", *kept.EMPTY_IF_MISSING, *kept.OF_ALL))
    dataset.update(kept.trial(header))
    for keyword in kept.EMPTY_IF_MISSING:
        if keyword not in dataset:
            setattr(dataset, keyword, None)
    if "FrameOfReferenceUID" not in dataset:
        dataset.FrameOfReferenceUID = new_uid()
    dataset.Modality = source.modality
    dataset.SeriesInstanceUID = new_uid()
    dataset.SeriesDescription = _description(elements.text(header, "SeriesDescription"), _made_by(volume))
    number = elements.whole(header, "SeriesNumber")
    dataset.SeriesNumber = number + _SERIES_OFFSET if 0 <= number <= _MOST_NUMBER - _SERIES_OFFSET else None
    _add_times(dataset)
    _add_equipment(dataset, source, volume)
    dataset.ImageComments = _derivation_text(volume)
    return dataset


def derivation(source: Source, volume: Volume) -> Any:
    """How the images were derived, and of which."""
    found = elements.pydicom_module().Dataset()
    found.DerivationDescription = _derivation_text(volume)
    found.DerivationCodeSequence = [coded(_RESAMPLED)]
    found.SourceImageSequence = source_images(source)
    return found


def source_images(source: Source) -> list[Any]:
    """A reference to every image that was used."""
    pydicom = elements.pydicom_module()
    found = []
    # Copies of a file have one identifier.
    named = {elements.text(header, "SOPInstanceUID"): elements.text(header, "SOPClassUID") for header in source.headers}
    for instance, kind in named.items():
        item = pydicom.Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = kind, instance
        item.PurposeOfReferenceCodeSequence = [coded(_SOURCE_IMAGE)]
        found.append(item)
    return found


def image_type(source: Source, *own: str) -> list[str]:
    """`own` in the first places, then what the source says beyond the second."""
    kept = elements.words(source.headers[0], "ImageType")[2:]
    return [*own, *(word for word in kept if _CODE_STRING.fullmatch(word))]


def add_pixel_format(dataset: Any, volume: Volume, scale: Quantised) -> None:
    """How the pixels are stored."""
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Columns, dataset.Rows, _ = volume.geometry.size_xyz
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelRepresentation = int(scale.signed)
    if scale.padding is not None:
        kind = "SS" if scale.signed else "US"
        dataset.add_new("PixelPaddingValue", kind, scale.padding[0])
        if scale.padding[1] != scale.padding[0]:
            dataset.add_new("PixelPaddingRangeLimit", kind, scale.padding[1])


def add_rescale(dataset: Any, source: Source, scale: Quantised) -> None:
    """What leads from stored numbers to intensities."""
    valuerep = elements.pydicom_module().valuerep
    dataset.RescaleIntercept = valuerep.DSfloat(scale.intercept, auto_format=True)
    dataset.RescaleSlope = valuerep.DSfloat(scale.slope, auto_format=True)
    dataset.RescaleType = "HU" if source.modality == "CT" else "US"


def decimals(*numbers: float) -> list[Any]:
    """Lengths, positions and directions in the 16 characters that DICOM has for each."""
    valuerep = elements.pydicom_module().valuerep
    # What is left of a sum of roundings (4.99999999999996 mm) is no length; -0 is none either.
    return [valuerep.DSfloat(round(float(number), _DIGITS) + 0.0, auto_format=True) for number in numbers]


def window(dataset: Any) -> Any:
    """The window of an image or of the group of a frame; an empty dataset where there is none that holds."""
    found = kept.kept(dataset, kept.WINDOW)
    widths = elements.items(found.get("WindowWidth")) or [found.get("WindowWidth", 0)]
    centers = elements.items(found.get("WindowCenter")) or [found.get("WindowCenter")]
    if centers != [None] and len(centers) == len(widths) and all(float(width) >= 1 for width in widths):
        return found
    return kept.kept(dataset, ())


def _derivation_text(volume: Volume) -> str:
    return f"Super-resolved by {_made_by(volume)}; {NOTICE}"


def _made_by(volume: Volume) -> str:
    return volume.metadata.get(provenance.KEY) or f"{MAKER} {medsr.__version__}"


def _description(original: str, made_by: str) -> str:
    mark = "may invent detail, " if PERCEPTUAL in made_by else ""
    end = f"[{MAKER}, {mark}{NOTICE}]"
    return f"{_OWN_END.sub('', original)[: _LONGEST - len(end) - 1].rstrip()} {end}".strip()


def _add_times(dataset: Any) -> None:
    """When it was made, in the time zone that the times of the study are in."""
    now = datetime.datetime.now()
    try:
        zone = datetime.datetime.strptime(elements.text(dataset, "TimezoneOffsetFromUTC"), "%z").tzinfo
        now = datetime.datetime.now(zone)
    except ValueError:  # none is stated, or one that is none
        dataset.pop("TimezoneOffsetFromUTC", None)
    day, time = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    # One time for all images: 3D Slicer takes images of several times for several volumes.
    dataset.SeriesDate = dataset.ContentDate = dataset.InstanceCreationDate = day
    dataset.SeriesTime = dataset.ContentTime = dataset.InstanceCreationTime = time


def _add_equipment(dataset: Any, source: Source, volume: Volume) -> None:
    """What made these images, and what made those that they were made of."""
    pydicom = elements.pydicom_module()
    header = source.headers[0]
    made_by = _made_by(volume).split("; ")
    model = next((part.removeprefix("model ") for part in made_by if part.startswith("model ")), "")
    dataset.Manufacturer = MAKER
    dataset.ManufacturerModelName = (model or MAKER)[:_LONGEST]
    dataset.SoftwareVersions = [part[:_LONGEST] for part in made_by]
    own = pydicom.Dataset()
    own.Manufacturer, own.ManufacturerModelName = MAKER, dataset.ManufacturerModelName
    own.SoftwareVersions = dataset.SoftwareVersions
    own.ContributionDateTime = dataset.ContentDate + dataset.ContentTime
    own.ContributionDescription = f"Super-resolution; {NOTICE}"
    own.PurposeOfReferenceCodeSequence = [coded(_PROCESSING)]
    earlier = kept.equipment(header)
    scanner = kept.kept(header, kept.EQUIPMENT)
    if "Manufacturer" in scanner and scanner.Manufacturer != MAKER:  # of its own, the source tells already
        original = elements.words(header, "ImageType")[:1] == ("ORIGINAL",)
        scanner.PurposeOfReferenceCodeSequence = [coded(_ACQUISITION if original else _PROCESSING)]
        earlier = [*earlier, scanner]
    dataset.ContributingEquipmentSequence = [*earlier, own]
