"""Damage of pictures that their decoders pass over, or tell on standard output only, which belongs to programs."""

from __future__ import annotations

import ctypes
import os
import re
import struct
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from medsr.io.formats import unreadable

_TIFF_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_OF_LIBJPEG = re.compile(
    r"(Corrupt JPEG|Premature end of JPEG|Invalid progressive|Inconsistent progress|Invalid SOS|Bogus |Unsupported |"
    r"Huffman table|Quantization table|Warning: unknown JFIF|Application transferred|Unknown Adobe|Arithmetic table|"
    r"Not a JPEG)"
)
_STDOUT = 1


def check_picture(source: Path) -> None:
    """Raise InputError for a picture that is cut, or whose checksums are wrong."""
    with source.open("rb") as file:
        head = file.read(4)
        for magic, (what, check) in _CHECKS.items():
            if head.startswith(magic):
                file.seek(0)
                try:
                    check(file, source.stat().st_size)
                except (ValueError, struct.error, KeyError) as error:
                    raise unreadable(source, what, error) from error


def _check_png(file: BinaryIO, size: int) -> None:
    """Compare all checksums; libpng leaves out what it need not know, such as the size of a pixel, without a word."""
    file.seek(8)
    kind = b""
    while kind != b"IEND":
        length, kind = struct.unpack(">I4s", file.read(8))
        if length > size - file.tell():
            raise ValueError("its end is missing")
        content = file.read(length)
        if struct.unpack(">I", file.read(4))[0] != zlib.crc32(kind + content):
            raise ValueError("a checksum is wrong")


def _check_jpeg(file: BinaryIO, size: int) -> None:
    file.seek(max(0, size - 65536))
    if b"\xff\xd9" not in file.read():
        raise ValueError("its end is missing")


def _check_bmp(file: BinaryIO, size: int) -> None:
    if int.from_bytes(file.read(6)[2:6], "little") > size:
        raise ValueError("its end is missing")


def _check_tiff(file: BinaryIO, size: int) -> None:
    """See that the first directory, and what it points to, is there; libtiff goes on with half of one."""
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = struct.unpack(f"{order}H", head[2:4])[0] == 43
    (start,) = struct.unpack(f"{order}{'Q' if big else 'I'}", head[8:16] if big else head[4:8])
    number, entry = ("Q", "HHQQ") if big else ("H", "HHII")
    if start > size:
        raise ValueError("its end is missing")
    file.seek(start)
    (count,) = struct.unpack(order + number, file.read(struct.calcsize(order + number)))
    each = struct.calcsize(order + entry)
    if file.tell() + count * each + (8 if big else 4) > size:
        raise ValueError("its end is missing")
    for _ in range(count):
        _, kind, values, place = struct.unpack(order + entry, file.read(each))
        length = _TIFF_BYTES.get(kind, 1) * values
        if length > (8 if big else 4) and place + length > size:
            raise ValueError("its end is missing")


_CHECKS = {
    b"\x89PNG": ("PNG", _check_png),
    b"\xff\xd8\xff": ("JPEG", _check_jpeg),
    b"BM": ("BMP", _check_bmp),
    b"II": ("TIFF", _check_tiff),
    b"MM": ("TIFF", _check_tiff),
}


@contextmanager
def complaints() -> Iterator[list[str]]:
    """What libjpeg writes to standard output, where it goes on with damaged data and tells nobody else.

    Whatever else is written there meanwhile comes out afterwards.
    """
    said: list[str] = []
    with tempfile.TemporaryFile() as file:
        try:
            _flush()
            output = os.dup(_STDOUT)
        except OSError:  # there is none
            yield said
            return
        try:
            os.dup2(file.fileno(), _STDOUT)
            yield said
        finally:
            _flush()
            os.dup2(output, _STDOUT)
            file.seek(0)
            for line in file.read().splitlines(keepends=True):
                text = line.decode("utf-8", "replace").strip()
                if _OF_LIBJPEG.match(text):
                    said.append(text[:100])
                else:
                    os.write(output, line)
            os.close(output)


def _flush() -> None:
    """Write out what Python and the C library hold back for standard output."""
    with suppress(AttributeError, ValueError):  # no stream, or a closed one
        sys.stdout.flush()
    with suppress(OSError, TypeError, AttributeError):
        ctypes.CDLL("ucrtbase" if os.name == "nt" else None).fflush(None)


def told(source: Path, said: list[str]) -> list[str]:
    """The warning for what a decoder complained of."""
    if not said:
        return []
    first = "".join(c for c in said[0] if c.isprintable())
    return [f"{source.name!r} is damaged ({first}); part of the picture may be wrong. Copy or export it again."]
