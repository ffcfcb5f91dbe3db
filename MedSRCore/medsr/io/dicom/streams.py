"""Compressed pixels of a DICOM file: their pieces, and whether each stream is whole and of the size that it should be.

Decoders go on in silence when a stream is cut or holds zeros where data were, and take as much memory as the stream
asks for. So its frame (markers, lengths, size) is checked first. JPEG streams hold no checksum: a flipped bit
inside the coded data is noticed by no decoder.
"""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from medsr.io.dicom.stored import COMPRESSED, RLE, Stored, corrupt_pixels

_ITEM, _END = 0xFFFEE000, 0xFFFEE0DD
_SECTOR = 512  # bytes that are lost at once
_MOST_ITEMS = 1 << 20

_SOI, _EOI = b"\xff\xd8", b"\xff\xd9"
_JP2_BOX = b"\0\0\0\x0cjP  \r\n\x87\n"
_LONGEST_WRAPPING = 1 << 16
_J2K_START = b"\xff\x4f\xff\x51"
_SOD, _SOT = b"\xff\x93", b"\xff\x90"
_ALONE = {0x01, *range(0xD0, 0xD8)}  # JPEG markers without a length
_SIZES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # start of frame; DHT, JPG and DAC are none


def frames(path: Path, stored: Stored) -> Iterator[bytes]:
    """The checked stream of each frame, one at a time.

    Raises:
        InputError: pieces or streams that are cut, damaged or of another size than the header says.
    """
    with path.open("rb") as file:
        pieces, starts = _pieces(path, file, stored.offset)
        for group in _grouped(path, pieces, starts, stored.frames):
            stream = b"".join(_read(file, place, length) for place, length in group)
            _check(path, stream, stored)
            yield stream


def _pieces(path: Path, file: BinaryIO, offset: int) -> tuple[list[tuple[int, int]], tuple[int, ...]]:
    """Place and length of the fragments, and where frames start by the basic offset table."""
    end = path.stat().st_size
    found: list[tuple[int, int]] = []
    place = offset
    while place + 8 <= end and len(found) < _MOST_ITEMS:
        file.seek(place)
        group, element, length = struct.unpack("<HHL", file.read(8))
        tag = (group << 16) | element
        if tag == _END:
            break
        if tag != _ITEM or length > end - place - 8:
            raise corrupt_pixels(path, "the pieces of its compressed pixels are cut or damaged")
        found.append((place + 8, length))
        place += 8 + length
    else:
        raise corrupt_pixels(path, "its compressed pixels are truncated: the mark at their end is missing")
    if not found:
        raise corrupt_pixels(path, "its compressed pixels are missing")
    table = _read(file, *found[0])
    count = len(table) // 4
    return found[1:], struct.unpack(f"<{count}L", table[: 4 * count])


def _grouped(
    path: Path, pieces: list[tuple[int, int]], starts: tuple[int, ...], count: int
) -> list[list[tuple[int, int]]]:
    """The fragments of each frame."""
    if count == 1 and pieces:
        return [pieces]
    if len(pieces) == count:
        return [[piece] for piece in pieces]
    if len(starts) == count and pieces:
        origin = pieces[0][0] - 8
        groups: list[list[tuple[int, int]]] = [[] for _ in starts]
        for place, length in pieces:
            before = [n for n, start in enumerate(starts) if origin + start <= place - 8]
            if not before:
                break
            groups[before[-1]].append((place, length))
        else:
            if all(groups):
                return groups
    raise corrupt_pixels(path, f"its header describes {count} frames, its compressed pixels have {len(pieces)} pieces")


def _read(file: BinaryIO, place: int, length: int) -> bytes:
    file.seek(place)
    return file.read(length)


def _check(path: Path, stream: bytes, stored: Stored) -> None:
    kind = COMPRESSED[stored.syntax]
    try:
        if stored.syntax == RLE:
            _check_rle(stream, stored)
        elif kind == "JPEG 2000":
            _check_jpeg2000(stream, stored)
        else:
            _check_jpeg(stream, stored)
    except (_DamageError, struct.error, IndexError) as error:
        what = error if isinstance(error, _DamageError) else "it is cut short"
        raise corrupt_pixels(path, f"its {kind} stream is damaged ({what})") from error


class _DamageError(Exception):
    """What is wrong with a stream."""


def _check_size(size: tuple[int, int, int], bits: int, stored: Stored) -> None:
    wanted = (stored.columns, stored.rows, stored.samples)
    if size != wanted:
        raise _DamageError("it holds {} x {} pixels of {} values, the header says {} x {} of {}".format(*size, *wanted))
    if bits > stored.bits_allocated:
        raise _DamageError(f"it holds numbers of {bits} bits, the header says {stored.bits_allocated}")


def _check_jpeg(stream: bytes, stored: Stored) -> None:
    """Markers up to the first scan, the size in them, and nothing but coded data up to the end."""
    if stream[:2] != _SOI:
        raise _DamageError("its start is missing")
    place, seen = 2, False
    while True:
        if stream[place] != 0xFF:
            raise _DamageError("a marker is missing")
        marker = stream[place + 1]
        if marker == 0xFF:
            place += 1
            continue
        place += 2
        if marker in _ALONE:
            continue
        (length,) = struct.unpack_from(">H", stream, place)
        if marker in _SIZES:
            bits, rows, columns, samples = struct.unpack_from(">BHHB", stream, place + 2)
            _check_size((columns, rows, samples), bits, stored)
            seen = True
        place += length
        if marker == 0xDA:
            break
        if marker == 0xD9:
            raise _DamageError("it ends before its data")
    if not seen:
        raise _DamageError("it does not say its size")
    end = stream.rfind(_EOI)
    if end < place or stream[end + 2 :].strip(b"\0\xff"):
        raise _DamageError("its end is missing")
    if end == place:
        raise _DamageError("its data are missing")


def _check_jpeg2000(stream: bytes, stored: Stored) -> None:
    """Size, the lengths of the parts of tiles, their coded data, and the end."""
    if stream[:12] == _JP2_BOX:  # the wrapping of a file, which does not belong here but is met
        stream = stream[max(stream.find(_J2K_START, 0, _LONGEST_WRAPPING), 0) :]
    if stream[:4] != _J2K_START:
        raise _DamageError("its start is missing")
    _, _, right, bottom, left, top = struct.unpack_from(">HHLLLL", stream, 4)
    tile_width, tile_height = struct.unpack_from(">LL", stream, 24)
    samples, depth = struct.unpack_from(">HB", stream, 40)
    _check_size((right - left, bottom - top, samples), (depth & 0x7F) + 1, stored)
    if not tile_width or not tile_height or -(-right // tile_width) * -(-bottom // tile_height) > 65535:
        raise _DamageError("its tiles have no size")
    place, parts = 4 + struct.unpack_from(">H", stream, 4)[0], 0
    end = len(stream.rstrip(b"\0"))
    while stream[place : place + 2] != _EOI:
        marker, length = struct.unpack_from(">2sH", stream, place)
        if marker != _SOT:
            if parts or marker[0] != 0xFF:
                raise _DamageError("a marker is missing")
            place += 2 + length
            continue
        (part,) = struct.unpack_from(">L", stream, place + 6)
        after = place + part if part else end - 2
        data = stream.find(_SOD, place, after)
        if data < 0 or after > end - 2:
            raise _DamageError("a part of it is cut")
        _check_filled(stream[data + 2 : after])
        place, parts = after, parts + 1
    if not parts:
        raise _DamageError("it ends before its data")


def _check_filled(data: bytes) -> None:
    """Coded data of JPEG 2000 hold no long runs of zeros, and no two bytes that look like a marker."""
    if not data:
        raise _DamageError("its data are missing")
    if bytes(_SECTOR) in data:
        raise _DamageError("parts of its data were overwritten by zeros")
    if re.search(rb"\xff[\x90-\xff]", data):
        raise _DamageError("its data hold what no encoder writes")


def _check_rle(stream: bytes, stored: Stored) -> None:
    """The table of segments, and that each segment gives one byte per pixel."""
    count, *starts = struct.unpack_from("<16L", stream, 0)
    if count != stored.samples * (stored.bits_allocated // 8):
        raise _DamageError(f"it has {count} segments, the header asks for another number")
    bounds = [*starts[:count], len(stream)]
    if bounds[0] < 64 or sorted(bounds) != bounds:
        raise _DamageError("its table of segments is wrong")
    pixels = stored.rows * stored.columns
    for start, end in itertools.pairwise(bounds):
        _check_unpacked(stream, start, end, pixels)


def _check_unpacked(stream: bytes, place: int, end: int, pixels: int) -> None:
    """Raise unless a segment unpacks to a byte per pixel; what fills it up behind them does not count."""
    left = pixels
    while left > 0:
        if place >= end:
            raise _DamageError("a segment is cut")
        head = stream[place]
        if head < 128:
            left, place = left - head - 1, place + head + 2
        elif head > 128:
            left, place = left - (257 - head), place + 2
        else:
            place += 1
    if place > end:
        raise _DamageError("a segment is cut")
