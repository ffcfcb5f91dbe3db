"""The stored numbers of a DICOM file as an array: uncompressed ones straight from the file, others through GDCM.

GDCM is given nothing but checked pixels in a file of its own: what else a header of a stranger holds (nested sequences,
lengths, tables) never reaches it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from medsr.errors import ResourceError
from medsr.io.dicom import streams
from medsr.io.dicom.elements import pydicom_module, save
from medsr.io.dicom.stored import COMPRESSED, NATIVE, Stored, corrupt_pixels
from medsr.io.formats import one_line, unreadable
from medsr.io.itk import quiet

_BIG = NATIVE[2]
_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # Secondary Capture: pixels without meaning


def stored_frames(path: Path, stored: Stored) -> Iterator[NDArray[np.generic]]:
    """Each frame ``(y, x)`` or ``(y, x, 3)``, one at a time, as stored: neither rescaled nor inverted."""
    if stored.syntax in NATIVE and not stored.photometric.startswith("YBR"):
        for frame in _native(path, stored):
            yield _whole_numbers(frame, stored)
    elif stored.syntax in NATIVE:
        for frame in _native(path, stored, flat=True):
            yield _by_gdcm(path, stored, frame.tobytes())
    else:
        for stream in streams.frames(path, stored):
            yield _by_gdcm(path, stored, stream)


def _native(path: Path, stored: Stored, *, flat: bool = False) -> Iterator[NDArray[np.generic]]:
    order = ">" if stored.syntax == _BIG else "<"
    dtype = np.dtype(f"{order}u{stored.bits_allocated // 8}")
    count = stored.frame_bytes // dtype.itemsize
    for number in range(stored.frames):
        offset = stored.offset + number * stored.frame_bytes
        try:
            words = np.fromfile(path, dtype, count, offset=offset)
        except MemoryError as error:
            raise ResourceError(f"{path.name!r} does not fit into memory.") from error
        except OSError as error:
            raise unreadable(path, "DICOM", error) from error
        if words.size < count:
            raise corrupt_pixels(path, "its pixels are cut short")
        words = words.astype(dtype.newbyteorder("="), copy=False)
        if flat or stored.samples == 1:
            yield words if flat else words.reshape(stored.rows, stored.columns)
        elif stored.planar:
            yield np.moveaxis(words.reshape(stored.samples, stored.rows, stored.columns), 0, -1)
        else:
            yield words.reshape(stored.rows, stored.columns, stored.samples)


def _whole_numbers(words: NDArray[Any], stored: Stored) -> NDArray[np.generic]:
    """Numbers of the bits in use.

    Words that use more bits than the header states are taken whole: padding is often written so (-2000 in pixels of 12
    bits), and no value is lost. Where the header states graphics in these bits, they are cut off.
    """
    spare = stored.high_bit + 1 - stored.bits_stored
    words = words >> spare if spare else words
    signed = np.dtype(f"i{words.dtype.itemsize}")
    if stored.bits_stored == stored.bits_allocated:
        return words.view(signed) if stored.signed else words
    beyond = words >> stored.bits_stored
    used = words & ((1 << stored.bits_stored) - 1)
    if not stored.signed:
        return used if stored.overlay or not beyond.any() else words
    top = used >> (stored.bits_stored - 1)
    extended = (used.view(signed) ^ (1 << (stored.bits_stored - 1))) - (1 << (stored.bits_stored - 1))
    filled = (1 << (stored.bits_allocated - spare - stored.bits_stored)) - 1
    if stored.overlay or bool(((beyond == 0) | ((beyond == filled) & (top == 1))).all()):
        return extended
    return words.view(signed)


def _by_gdcm(path: Path, stored: Stored, pixels: bytes) -> NDArray[np.generic]:
    """Decode one frame."""
    kind = COMPRESSED.get(stored.syntax, "uncompressed")
    with tempfile.TemporaryDirectory(prefix="medsr-") as folder:
        single = Path(folder, "frame.dcm")
        try:
            _write_plain(single, stored, pixels)
        except OSError as error:
            raise ResourceError(
                f"{path.name!r} cannot be decompressed: {folder} takes no file ({error.strerror}). Make room there, or "
                "set TMPDIR to another folder."
            ) from error
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(single))
        with quiet():
            try:
                image = reader.Execute()
            except RuntimeError as error:
                if "allocate" in one_line(error):
                    raise ResourceError(f"{path.name!r} does not fit into memory.") from error
                raise unreadable(path, f"DICOM ({kind})", error) from error
    array: NDArray[np.generic] = sitk.GetArrayFromImage(image)
    array = array[0] if image.GetDimension() == 3 else array
    wanted = (stored.rows, stored.columns) if stored.samples == 1 else (stored.rows, stored.columns, stored.samples)
    if array.shape != wanted:
        raise corrupt_pixels(path, "its pixels do not have the size that its header gives")
    return array


def _write_plain(path: Path, stored: Stored, pixels: bytes) -> None:
    pydicom = pydicom_module()
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = stored.syntax if stored.syntax in COMPRESSED else NATIVE[1]
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = _CAPTURE
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "2.25.1"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = stored.rows, stored.columns, stored.samples
    dataset.PhotometricInterpretation = stored.photometric if stored.samples > 1 else "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored = stored.bits_allocated, stored.bits_stored
    dataset.HighBit = stored.high_bit
    dataset.PixelRepresentation = int(stored.signed)
    if stored.samples > 1:
        dataset.PlanarConfiguration = int(stored.planar)
    if stored.syntax in COMPRESSED:
        dataset.PixelData = pydicom.encaps.encapsulate([pixels])
        dataset["PixelData"].VR = "OB"
    else:
        dataset.PixelData = pixels + b"\0" * (len(pixels) % 2)
        dataset["PixelData"].VR = "OB" if stored.bits_allocated == 8 else "OW"
    save(dataset, path)
