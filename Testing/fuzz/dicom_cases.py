"""DICOM for the fuzzer: series in several forms, and damage that only a folder of files or DICOM elements can have.

In a series a header protects the others: what one slice says differently must be noticed. So a changed header in one
of them leaves the image as it was, is refused, or is told.
"""

from __future__ import annotations

import io
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from damage import Damage, damaged
from originals import Original, Part, phantom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    CTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
)

_SEEN_IN_THE_RESULT = (
    "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PhotometricInterpretation",
    "SamplesPerPixel", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope",
    "RescaleIntercept", "PixelPaddingValue", "NumberOfFrames", "Modality", "SeriesInstanceUID", "SOPInstanceUID",
)  # fmt: skip
_KINDS = ("AE", "AS", "AT", "CS", "DA", "DS", "FD", "FL", "IS", "LO", "OB", "OW", "PN", "SH", "SL", "SQ", "SS", "UL",
          "UN", "US", "UT", "XX", "\0\0")  # fmt: skip
_TEXTS = (b"", b"0", b"-1", b"1e400", b"nan", b"1\\2", b"1\\2\\3\\4\\5\\6\\7", b"\xff\xfe", b"x" * 300, b"9" * 60)


def dicom_originals() -> list[Original]:
    """One volume in each form."""
    return [
        _series("DICOM folder", MRImageStorage, "MR", ExplicitVRLittleEndian),
        _series("DICOM folder, CT", CTImageStorage, "CT", ImplicitVRLittleEndian),
        _series("DICOM folder, big-endian", MRImageStorage, "MR", ExplicitVRBigEndian),
        _series("DICOM folder, JPEG 2000", MRImageStorage, "MR", JPEG2000Lossless),
        _enhanced(),
    ]


def dicom_damaged(original: Original, rng: np.random.Generator) -> Damage:
    """One damage of `original`; half of them those of any format."""
    kinds: list[Callable[[Original, np.random.Generator], Damage]] = [damaged] * 8 + [_element] * 3 + [_length] * 2
    if len(original.files) > 1:
        kinds += [_swapped, _repeated, _over_another, _emptied, _renamed]
    return kinds[rng.integers(len(kinds))](original, rng)


def _two(original: Original, rng: np.random.Generator) -> tuple[str, str]:
    names = sorted(original.files)
    one, other = rng.choice(len(names), 2, replace=False)
    return names[one], names[other]


def _swapped(original: Original, rng: np.random.Generator) -> Damage:
    one, other = _two(original, rng)
    files = {**original.files, one: original.files[other], other: original.files[one]}
    return Damage(f"{one} and {other} swapped", files, "whole")


def _repeated(original: Original, rng: np.random.Generator) -> Damage:
    one, _ = _two(original, rng)
    return Damage(f"{one} copied", {**original.files, f"copy of {one}": original.files[one]}, "whole")


def _over_another(original: Original, rng: np.random.Generator) -> Damage:
    one, other = _two(original, rng)
    return Damage(f"{one} copied over {other}", {**original.files, other: original.files[one]}, "told")


def _emptied(original: Original, rng: np.random.Generator) -> Damage:
    one, _ = _two(original, rng)
    content = (b"", bytes(len(original.files[one])), original.files[one][:131], b"<html>Not found</html>")
    return Damage(f"{one} emptied", {**original.files, one: content[rng.integers(len(content))]}, "whole")


def _renamed(original: Original, rng: np.random.Generator) -> Damage:
    one, _ = _two(original, rng)
    files = {name: content for name, content in original.files.items() if name != one}
    new = ("0", "IM0001", "a\u00e4.DCM", "1.2.840.1", f"{one}.bak")[rng.integers(5)]
    return Damage(f"{one} renamed to {new}", {**files, new: original.files[one]}, "whole")


def _element(original: Original, rng: np.random.Generator) -> Damage:
    """An element of one file lost, empty, of another type, or of a text that it should not have."""
    name = sorted(original.files)[rng.integers(len(original.files))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(io.BytesIO(original.files[name]))
    there = [keyword for keyword in _SEEN_IN_THE_RESULT if keyword in dataset]
    keyword = there[rng.integers(len(there))]
    tag = dataset[keyword].tag
    content = original.files[name]
    place, head, length = _found(content, dataset, tag)
    implicit, little = dataset.original_encoding
    order = "little" if little else "big"
    action = ("lost", "empty", "type", "text")[rng.integers(4)]
    if action == "lost":
        new = b""
    elif action == "type" and not implicit:
        kind = _KINDS[rng.integers(len(_KINDS))]
        new = content[place : place + 4] + kind.encode() + content[place + 6 : place + head + length]
        action = f"type {kind!r}"
    else:
        text = b"" if action in ("empty", "type") else _TEXTS[rng.integers(len(_TEXTS))]
        text += b" " * (len(text) % 2)
        width = 4 if implicit else 2
        new = content[place : place + head - width] + len(text).to_bytes(width, order) + text
        action = f"text {text[:20]!r}"
    files = {**original.files, name: content[:place] + new + content[place + head + length :]}
    return Damage(f"{keyword} of {name}: {action}", files, _promise(original))


def _length(original: Original, rng: np.random.Generator) -> Damage:
    """The length of an element, which says where the next one starts."""
    name = sorted(original.files)[rng.integers(len(original.files))]
    content = original.files[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(io.BytesIO(content))
    tags = [element.tag for element in dataset]
    place, head, _ = _found(content, dataset, tags[rng.integers(len(tags))])
    implicit, little = dataset.original_encoding
    width = 4 if implicit or head == 12 else 2
    new = (0, 1, 2, 8, 16, 255, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)[rng.integers(10)] & (256**width - 1)
    at = place + head - width
    files = {
        **original.files,
        name: content[:at] + new.to_bytes(width, "little" if little else "big") + content[at + width :],
    }
    return Damage(f"length at byte {at} of {name} made {new}", files, _promise(original))


def _found(content: bytes, dataset: Dataset, tag: pydicom.tag.BaseTag) -> tuple[int, int, int]:
    """Where an element of the top level starts, and the lengths of its head and its value."""
    implicit, little = dataset.original_encoding
    order = "little" if little else "big"
    key = tag.group.to_bytes(2, order) + tag.element.to_bytes(2, order)
    place = content.index(key, 132)
    if implicit:
        return place, 8, int.from_bytes(content[place + 4 : place + 8], order)
    if content[place + 4 : place + 6] in (b"OB", b"OW", b"SQ", b"UN", b"UT"):
        length = int.from_bytes(content[place + 8 : place + 12], order)
        return place, 12, min(length, len(content) - place - 12)
    return place, 8, int.from_bytes(content[place + 6 : place + 8], order)


def _promise(original: Original) -> str:
    """A single file has no other one that contradicts it."""
    return "told" if len(original.files) > 1 else "stated"


def _blank(sop_class: str, modality: str, syntax: str, number: int) -> Dataset:
    """A header with identifiers that are always the same, so that a case of a seed is, too."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"2.25.77.{number + 1}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.Modality = "2.25.78", "2.25.79", modality
    dataset.InstanceNumber, dataset.SeriesNumber, dataset.SeriesDescription = number + 1, 1, "phantom"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    return dataset


def _series(name: str, sop_class: str, modality: str, syntax: str) -> Original:
    volume, files, parts = phantom(), {}, []
    matrix = np.array(volume.geometry.direction).reshape(3, 3)
    array = np.tile(volume.array, (1, 4, 4)) if syntax == JPEG2000Lossless else volume.array  # GDCM's smallest
    for number, pixels in enumerate(array):
        dataset = _blank(sop_class, modality, syntax, number)
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.PixelSpacing, dataset.SliceThickness = [0.9, 0.7], 3.3
        position = volume.geometry.to_patient((0, 0, number))
        dataset.ImagePositionPatient = [f"{value:.10g}" for value in position]
        dataset.ImageOrientationPatient = [f"{value:.10g}" for value in matrix[:, :2].T.ravel()]
        if modality == "CT":
            pixels = (pixels - 1000).astype(np.int16)
            dataset.BitsStored, dataset.HighBit = 12, 11
            dataset.RescaleSlope, dataset.RescaleIntercept, dataset.PixelPaddingValue = 1, -1024, -2000
        stored = _stored(pixels, syntax)
        dataset.PixelData = encapsulate([stored]) if syntax == JPEG2000Lossless else stored
        dataset["PixelData"].VR = "OB" if syntax == JPEG2000Lossless else "OW"
        buffer = io.BytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
        file = f"{number}.dcm"
        data = files[file] = buffer.getvalue()
        start = data.index(stored)
        # What encodes the pixels may say anything, but its size and the way it is written are checked.
        kind = "stated" if syntax == JPEG2000Lossless else "voxels"
        parts += [Part(file, 132, start, "told"), Part(file, start, start + len(stored), kind)]
    return Original(name, ".", files, tuple(parts))


def _stored(pixels: np.ndarray, syntax: str) -> bytes:
    if syntax == ExplicitVRBigEndian:
        return pixels.astype(">i2").tobytes()
    if syntax != JPEG2000Lossless:
        return pixels.astype("<i2").tobytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "frame.dcm")
        writer = sitk.ImageFileWriter()
        writer.SetImageIO("GDCMImageIO")
        writer.SetFileName(str(path))
        writer.SetUseCompression(True)
        writer.SetCompressor("JPEG2000")
        writer.Execute(sitk.GetImageFromArray(pixels[None].astype(np.int16)))
        return next(generate_frames(pydicom.dcmread(path).PixelData, number_of_frames=1))


def _enhanced() -> Original:
    volume, name = phantom(), "enhanced.dcm"
    matrix = np.array(volume.geometry.direction).reshape(3, 3)
    dataset = _blank(EnhancedMRImageStorage, "MR", ExplicitVRLittleEndian, 0)
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = volume.array.shape
    shared, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = [f"{value:.10g}" for value in matrix[:, :2].T.ravel()]
    measures.PixelSpacing, measures.SliceThickness = [0.9, 0.7], 3.3
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    dataset.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for number in range(len(volume.array)):
        group, position = Dataset(), Dataset()
        place = volume.geometry.to_patient((0, 0, number))
        position.ImagePositionPatient = [f"{value:.10g}" for value in place]
        group.PlanePositionSequence = [position]
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = groups
    stored = volume.array.astype("<i2").tobytes()
    dataset.PixelData = stored
    dataset["PixelData"].VR = "OW"
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    data = buffer.getvalue()
    start = data.index(stored)
    parts = (Part(name, 132, start, "stated"), Part(name, start, start + len(stored), "voxels"))
    return Original("DICOM enhanced", name, {name: data}, parts)
