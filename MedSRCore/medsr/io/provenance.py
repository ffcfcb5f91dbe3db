"""What made an image, kept in the image file: the entry "provenance" of a volume's metadata.

NIfTI has a field of 79 characters for it; NRRD and MetaImage take any key; PNG and JPEG take a text beside the picture,
which ITK does not write. MGH and TIFF keep none.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

KEY = "provenance"
_PNG_HEAD = 33
"""Bytes of signature and IHDR, which come first in every PNG."""

_LONGEST = 2000


def found(text: str) -> dict[str, str]:
    """The metadata entry for a text from a file; none where MedSR did not write it."""
    readable = "".join(c for c in text if c.isprintable())
    return {KEY: readable} if readable.startswith("MedSR ") else {}


def stamp_picture(path: Path, text: str) -> None:
    """Write `text` into a PNG or JPEG file, as a text chunk or a comment."""
    data = path.read_bytes()
    encoded = text.encode("latin-1", "replace")[:_LONGEST]
    if path.suffix.lower() == ".png":
        body = b"tEXt" + KEY.encode() + b"\0" + encoded
        start = _PNG_HEAD
        added = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    else:
        # The first segment says that it is JFIF and must stay the first.
        start = 4 + int.from_bytes(data[4:6], "big")
        added = b"\xff\xfe" + struct.pack(">H", len(encoded) + 2) + encoded
    path.write_bytes(data[:start] + added + data[start:])


def picture_stamp(path: Path) -> str:
    """The text that `stamp_picture` wrote into a PNG or JPEG file; "" for none."""
    with path.open("rb") as file:
        head = file.read(_PNG_HEAD + _LONGEST + 100)
    if path.suffix.lower() == ".png":
        mark = b"tEXt" + KEY.encode() + b"\0"
        start, size = head.find(mark), len(mark)
        length = int.from_bytes(head[start - 4 : start], "big") - size + 4 if start >= 4 else 0
    else:
        start, size = head.find(b"\xff\xfe"), 4
        length = int.from_bytes(head[start + 2 : start + 4], "big") - 2
    if start < 0 or not 0 < length <= _LONGEST:
        return ""
    return head[start + size : start + size + length].decode("latin-1")
