"""Small PNG pictures from arrays, with the standard library alone."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

Bytes2D = NDArray[np.uint8]

DIFFERENCE_STEPS = 127
"""Colours on each side of zero in a difference map."""

# Colours from strongly too low, over zero, to strongly too high. Zero is black, so that a good result is a dark map,
# and both ends are equally light: cold is too low, warm too high, also for people who confuse red and green.
_STOPS = (
    (-1.0, (190, 245, 255)), (-0.6, (40, 160, 235)), (-0.25, (20, 60, 130)), (0.0, (0, 0, 0)),
    (0.25, (130, 40, 15)), (0.6, (240, 125, 30)), (1.0, (255, 245, 185)),
)  # fmt: skip


def grey_png(picture: Bytes2D) -> bytes:
    """A grey PNG of an array ``(rows, columns)`` of uint8."""
    # Each row as its difference to the one above: anatomy is smooth, so this compresses best of the cheap filters.
    above = np.vstack([np.zeros((1, picture.shape[1]), np.uint8), picture[:-1]])
    return _png(picture - above, filter_type=2, colour_type=0)


def palette_png(indices: Bytes2D, palette: Bytes2D) -> bytes:
    """A PNG of colour numbers ``(rows, columns)`` into a palette ``(colours, 3)``, both uint8."""
    return _png(indices, filter_type=0, colour_type=3, palette=palette)


def difference_palette() -> Bytes2D:
    """Palette of `difference_indices`: ``(2 * DIFFERENCE_STEPS + 1, 3)``, black in the middle."""
    at = np.linspace(-1, 1, 2 * DIFFERENCE_STEPS + 1)
    stops = [stop for stop, _ in _STOPS]
    channels = [np.interp(at, stops, [colour[i] for _, colour in _STOPS]) for i in range(3)]
    return np.asarray(np.stack(channels, axis=1).round(), dtype=np.uint8)


def difference_indices(difference: ArrayLike, limit: float) -> Bytes2D:
    """Colour numbers of differences; ``-limit`` and beyond is the first colour, ``+limit`` and beyond the last."""
    scaled = np.clip(np.asarray(difference, dtype=np.float64) / limit, -1, 1)
    return np.asarray(np.rint(scaled * DIFFERENCE_STEPS) + DIFFERENCE_STEPS, dtype=np.uint8)


def grey_levels(values: ArrayLike, low: float, high: float) -> Bytes2D:
    """Intensities in the window ``low`` to ``high`` as grey levels 0 to 255."""
    scaled = (np.asarray(values, dtype=np.float64) - low) / (high - low)
    return np.asarray(np.rint(np.clip(scaled, 0, 1) * 255), dtype=np.uint8)


def data_uri(png: bytes) -> str:
    """The picture as text for an ``img`` element."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _png(picture: Bytes2D, *, filter_type: int, colour_type: int, palette: Bytes2D | None = None) -> bytes:
    rows, columns = picture.shape
    lines = np.empty((rows, columns + 1), np.uint8)
    lines[:, 0] = filter_type
    lines[:, 1:] = picture
    header = struct.pack(">IIBBBBB", columns, rows, 8, colour_type, 0, 0, 0)
    chunks = [(b"IHDR", header)]
    if palette is not None:
        chunks.append((b"PLTE", palette.tobytes()))
    chunks += [(b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
