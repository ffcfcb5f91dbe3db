"""Stored voxels to bytes, read to the end: what a checksum protects is compared with it, whatever the format.

Readers that stop once they have their voxels never meet the checksum, which comes last. So a packed stream is followed
to its end here, also where nothing of it is wanted any more.
"""

from __future__ import annotations

import bz2
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.errors import ResourceError
from medsr.io.formats import unreadable

_PIECE = 1 << 20
_MOST_AT_ONCE = 1 << 24  # bytes that one piece of packed data may become before they are passed on

READ_ERRORS = (OSError, EOFError, ValueError, KeyError, TypeError, IndexError, OverflowError)
"""What libraries raise on a damaged file."""


class _Unpacker(ABC):
    """One member of a packed stream, as zlib and bz2 offer it."""

    _member: Any

    @abstractmethod
    def unpack(self, data: bytes) -> bytes: ...

    @property
    @abstractmethod
    def hungry(self) -> bool: ...

    @property
    def eof(self) -> bool:
        return bool(self._member.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._member.unused_data)


class _Zlib(_Unpacker):
    """Gzip and zlib; both compare the checksum, and gzip the length, when a member ends."""

    def __init__(self, window: int) -> None:
        self._member = zlib.decompressobj(window)

    def unpack(self, data: bytes) -> bytes:
        try:
            return bytes(self._member.decompress(self._member.unconsumed_tail + data, _MOST_AT_ONCE))
        except zlib.error as error:
            why = str(error).rpartition(": ")[2]
            raise ValueError(f"the compressed data are damaged: {why}") from error

    @property
    def hungry(self) -> bool:
        return not self._member.unconsumed_tail


class _Bzip2(_Unpacker):
    def __init__(self) -> None:
        self._member = bz2.BZ2Decompressor()

    def unpack(self, data: bytes) -> bytes:
        return bytes(self._member.decompress(data, _MOST_AT_ONCE))

    @property
    def hungry(self) -> bool:
        return bool(self._member.needs_input)


def _new_member(packing: str) -> _Unpacker:
    # 31 is gzip alone, 47 gzip or zlib, whichever the stream begins with.
    return _Bzip2() if packing == "bzip2" else _Zlib(31 if packing == "gzip" else 47)


@contextmanager
def packed_pieces(source: Path, packing: str, offset: int = 0, at_once: int = _PIECE) -> Iterator[Iterator[bytes]]:
    """The content of a file, piece by piece, unpacked.

    Args:
        source: a regular file.
        packing: "" for none, "gzip", "zlib" or "bzip2".
        offset: where in the file it begins.
        at_once: bytes of the file to read at once.
    """
    with source.open("rb") as file:
        file.seek(offset)
        pieces = iter(lambda: file.read(at_once), b"")
        yield _unpacked(pieces, packing) if packing else pieces


def _unpacked(packed: Iterator[bytes], packing: str) -> Iterator[bytes]:
    """Unpack all members of a stream.

    Zeros after the last one are padding; anything else there is refused, since it may be what is left of a member.

    Raises:
        EOFError: the stream ends within a member.
        OSError, ValueError: damage.
    """
    member, data = _new_member(packing), next(packed, b"")
    if not data:
        raise EOFError(f"there are no {packing} data")
    while True:
        piece = member.unpack(data)
        if piece:
            yield piece
        if member.eof:
            data = _next_member(packed, member.unused_data, packing)
            if not data:
                return
            member = _new_member(packing)
            continue
        data = next(packed, b"") if member.hungry else b""
        # A member may hold unpacked bytes back when it has taken all that is packed.
        if member.hungry and not data and not piece:
            raise EOFError(f"the {packing} data end too early")


def _next_member(packed: Iterator[bytes], data: bytes, packing: str) -> bytes:
    """What comes after a member, or nothing at the end of the stream."""
    data = data or next(packed, b"")
    while data and not data.strip(b"\0"):
        data = next(packed, b"")
    data = data.lstrip(b"\0")
    if data and (packing == "zlib" or not (b"\x1f\x8b\x08" if packing == "gzip" else b"BZh").startswith(data[:3])):
        raise ValueError(f"the {packing} data are followed by something else")
    return data


def array_of(
    pieces: Iterable[bytes], dtype: np.dtype[Any], count: int, *, skip: int = 0
) -> tuple[NDArray[np.generic], int]:
    """The next `count` values after `skip` bytes, and how many bytes follow them.

    Memory is taken for the values only, and used as they come, so a stream that ends early costs what it holds.

    Raises:
        EOFError: fewer bytes than that.
        MemoryError: the values do not fit.
    """
    values = np.empty(count, dtype)
    target: memoryview[int] = values.view(np.uint8).reshape(-1).data
    position = -skip
    for piece in pieces:
        first, last = max(0, -position), min(len(piece), len(target) - position)
        if first < last:
            target[position + first : position + last] = piece[first:last]
        position += len(piece)
    if position < len(target):
        raise EOFError(f"{max(0, position):,} of {len(target):,} bytes of voxels are there")
    return values, position - len(target)


def arrays_of(
    pieces: Iterator[bytes], dtype: np.dtype[Any], count: int, number: int, *, skip: int = 0
) -> Iterator[NDArray[np.generic]]:
    """As `array_of`, for `number` arrays that follow each other: one is in memory at a time.

    After the last one the stream is followed to its end.

    Raises:
        EOFError: fewer bytes than that.
        MemoryError: the values do not fit.
    """
    piece = memoryview(b"")
    for n in range(number):
        values = np.empty(count, dtype)
        target: memoryview[int] = values.view(np.uint8).reshape(-1).data
        filled = 0
        while filled < len(target):
            if not piece:
                piece = memoryview(next(pieces, b""))
                if not piece:
                    raise EOFError(f"{filled:,} of {len(target):,} bytes of volume {n + 1} of {number} are there")
            passed = min(skip, len(piece))
            piece, skip = piece[passed:], skip - passed
            taken = min(len(piece), len(target) - filled)
            target[filled : filled + taken] = piece[:taken]
            piece, filled = piece[taken:], filled + taken
        yield values
    for _ in pieces:
        pass


def read_array(
    source: Path, what: str, dtype: np.dtype[Any], count: int, *, packing: str = "", offset: int = 0, skip: int = 0
) -> tuple[NDArray[np.generic], int]:
    """`array_of` a file, with errors for people.

    Args:
        source: a regular file, whose size was compared with `count` before (`check_promised_size`).
        what: the name of the format.
        dtype: of a value.
        count: how many are wanted.
        packing: as for `packed_pieces`.
        offset: bytes of the file before the stream.
        skip: bytes of the (unpacked) stream before the values.

    Raises:
        InputError: truncated or corrupt.
        ResourceError: no memory for it.
    """
    try:
        with packed_pieces(source, packing, offset) as pieces:
            return array_of(pieces, dtype, count, skip=skip)
    except MemoryError as error:
        raise ResourceError(f"{source.name!r} does not fit into memory; crop it first.") from error
    except READ_ERRORS as error:
        raise unreadable(source, what, error) from error
