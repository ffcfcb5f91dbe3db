"""How a DICOM file stores its pixels, checked against the size of the file before memory is taken for them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medsr.errors import InputError
from medsr.io.dicom import elements
from medsr.io.dicom.padding import Range, stored_padding
from medsr.io.formats import check_promised_size

UNDEFINED_LENGTH = 0xFFFFFFFF
MAX_FRAMES = 20_000
_OVERLAY_GROUPS = range(0x6000, 0x6020, 2)
TAGS: list[Any] = [
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "ModalityLUTSequence",
    *((group << 16) | 0x0102 for group in _OVERLAY_GROUPS),
]  # fmt: skip
"""Elements that are read here."""

_LITTLE, _EXPLICIT, _BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
NATIVE = (_LITTLE, _EXPLICIT, _BIG)
RLE = "1.2.840.10008.1.2.5"
LOSSY = {
    "1.2.840.10008.1.2.4.50": "JPEG",
    "1.2.840.10008.1.2.4.51": "JPEG",
    "1.2.840.10008.1.2.4.81": "JPEG-LS",
}
COMPRESSED = {
    **LOSSY,
    "1.2.840.10008.1.2.4.57": "JPEG",
    "1.2.840.10008.1.2.4.70": "JPEG",
    "1.2.840.10008.1.2.4.80": "JPEG-LS",
    "1.2.840.10008.1.2.4.90": "JPEG 2000",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
    RLE: "RLE",
}
"""Transfer syntax -> name of the compression, of those that are read."""


@dataclass(frozen=True)
class Stored:
    """The pixels of a file.

    Attributes:
        syntax: UID of the transfer syntax.
        offset: where they start in the file.
        length: in bytes; None where it is not stated, as for compressed ones.
        frames, rows, columns, samples: their shape.
        photometric: MONOCHROME1, MONOCHROME2, RGB, YBR_FULL, ...
        planar: colours are stored plane by plane.
        bits_allocated, bits_stored, high_bit, signed: how a number is written.
        overlay: the bits that numbers leave are used for graphics.
        padding: values that were never measured, as stored.
    """

    syntax: str
    offset: int
    length: int | None
    frames: int
    rows: int
    columns: int
    samples: int
    photometric: str
    planar: bool
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    overlay: bool
    padding: Range | None

    @property
    def frame_bytes(self) -> int:
        """Size of an uncompressed frame."""
        # In YBR_FULL_422 two neighbours share their colours.
        samples = 2 if self.photometric == "YBR_FULL_422" and self.syntax in NATIVE else self.samples
        return self.rows * self.columns * samples * self.bits_allocated // 8


def stored_pixels(path: Path, dataset: Any) -> Stored:
    """What the header says of the pixels.

    Raises:
        InputError: pixels of a kind that is not read, no pixels, or not as many as rows, columns and frames ask for.
    """
    frames = max(1, elements.whole(dataset, "NumberOfFrames"))
    if frames > MAX_FRAMES:
        raise InputError(f"{path.name!r} states {frames} frames; the header is corrupt. Export it again.")
    syntax = _syntax(path, dataset)
    samples = max(1, elements.whole(dataset, "SamplesPerPixel"))
    photometric = elements.code(dataset, "PhotometricInterpretation").upper()
    allocated, bits, high = _bits(path, dataset)
    if syntax == _BIG and allocated == 8:
        raise InputError(
            f"{path.name!r} holds pixels of 8 bits in big-endian order, which programs write in two ways. Convert it "
            "to little endian, for example with dcmconv +te."
        )
    signed = elements.number(dataset, "PixelRepresentation")
    if signed not in (None, 0, 1):
        raise corrupt_pixels(path, f"Pixel Representation {signed:g} is neither 0 nor 1")
    _check_colours(path, samples, photometric, allocated)
    if elements.sequence(dataset, "ModalityLUTSequence"):
        raise InputError(
            f"{path.name!r} gives its intensities by a table (Modality LUT). A rescale slope and intercept are "
            "accepted; convert the series first."
        )
    found = Stored(
        syntax,
        dataset.pixel_offset or 0,
        dataset.stored_pixel_bytes,
        frames,
        elements.whole(dataset, "Rows"),
        elements.whole(dataset, "Columns"),
        samples,
        photometric,
        elements.number(dataset, "PlanarConfiguration") == 1,
        allocated,
        bits,
        high,
        signed == 1,
        any(elements.value(dataset, (group, 0x0102)) for group in _OVERLAY_GROUPS),
        stored_padding(dataset, []),
    )
    _check_size(path, dataset, found)
    return found


def _syntax(path: Path, dataset: Any) -> str:
    stated = str(getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None) or "").strip(" \0")
    if not stated:  # files without a preamble say nothing; pydicom found out
        implicit, little = elements.found_encoding(dataset)
        stated = _LITTLE if implicit else _EXPLICIT if little else _BIG
    if stated not in NATIVE and stated not in COMPRESSED:
        named = stated if re.fullmatch(r"[0-9.]{1,64}", stated) else "unreadable"
        raise InputError(
            f"{path.name!r} is stored in a way that MedSR does not read (transfer syntax {named}). Uncompressed, RLE, "
            "JPEG, JPEG-LS and JPEG 2000 are accepted; convert it, for example with gdcmconv --raw."
        )
    return stated


def _bits(path: Path, dataset: Any) -> tuple[int, int, int]:
    """Bits allocated, bits stored, and the highest of these."""
    allocated = elements.whole(dataset, "BitsAllocated")
    stored = elements.whole(dataset, "BitsStored") or allocated
    high = elements.number(dataset, "HighBit")
    top = stored - 1 if high is None else int(high)
    if allocated not in (8, 16, 32) or not 1 <= stored <= allocated or not stored - 1 <= top < allocated:
        raise InputError(
            f"{path.name!r} says that its pixels have {allocated} bits, {stored} of them in use up to bit {top}. "
            "8, 16 and 32 are accepted, of which any number may be in use; export it again."
        )
    return allocated, stored, top


def _check_colours(path: Path, samples: int, photometric: str, allocated: int) -> None:
    grey = samples == 1 and photometric in ("MONOCHROME1", "MONOCHROME2")
    coloured = samples == 3 and allocated < 32 and photometric.startswith(("RGB", "YBR_"))
    if not grey and not coloured:
        raise InputError(
            f"{path.name!r} has {samples} values per pixel, of the kind {photometric or 'not stated'}; grey "
            "(MONOCHROME1, MONOCHROME2) and colours (RGB, YBR) are accepted. Export it as one of these."
        )


def _check_size(path: Path, dataset: Any, found: Stored) -> None:
    if dataset.pixel_offset is None:
        raise InputError(
            f"{path.name!r} describes an image and holds no pixels that are whole numbers: it is truncated or corrupt, "
            "or holds real numbers (Float Pixel Data), which are not read. Copy or export it again."
        )
    packed = found.syntax not in NATIVE
    promised = found.frame_bytes * found.frames
    check_promised_size(path, promised, compressed=packed)
    if packed:
        if found.length is not None:
            raise corrupt_pixels(path, "its pixels are compressed by the header and uncompressed by their form")
        return
    if found.length is None:
        raise corrupt_pixels(path, "its pixels are uncompressed by the header and compressed by their form")
    there = min(found.length, path.stat().st_size - found.offset)
    if there < promised:
        raise InputError(
            f"{path.name!r} is truncated or its header is corrupt: {found.rows} rows of {found.columns} pixels take "
            f"{promised:,} bytes, the file {'states' if there == found.length else 'holds'} {there:,}. "
            "Copy or export it again."
        )
    # Some writers fill up to even or to full words; a whole row more means that rows or columns are wrong.
    row = found.frame_bytes // found.rows
    if found.length - promised >= max(row, 4) or there < found.length:
        raise corrupt_pixels(
            path,
            f"{found.frames} x {found.rows} rows of {found.columns} pixels take {promised:,} bytes, the header of the "
            f"pixels states {found.length:,}",
        )


def corrupt_pixels(path: Path, what: str) -> InputError:
    """The error for pixels that contradict their header or themselves."""
    return InputError(f"{path.name!r} is corrupt: {what}. Copy or export it again.")
