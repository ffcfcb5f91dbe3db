"""Pixel Padding: which stored values stand for what was never measured, and which intensities they become."""

from __future__ import annotations

from typing import Any

from medsr.io.dicom import elements

TAGS = ["PixelRepresentation", "BitsAllocated", "BitsStored", "PixelPaddingValue", "PixelPaddingRangeLimit"]

Range = tuple[float, float]
"""Padding Value and Range Limit, both inclusive; the same number twice where there is no limit."""


def stored_padding(dataset: Any, complaints: list[str]) -> Range | None:
    """Padding as the pixels are stored, or None; what no pixel can hold is told in `complaints` and ignored."""
    if elements.value(dataset, "PixelPaddingValue") in (None, ""):
        return None
    value, limit = elements.number(dataset, "PixelPaddingValue"), elements.number(dataset, "PixelPaddingRangeLimit")
    allocated = elements.whole(dataset, "BitsAllocated")
    allocated = allocated if allocated in (8, 16, 32) else 16
    stored = elements.whole(dataset, "BitsStored")
    stored = stored if 1 <= stored <= allocated else allocated
    signed = elements.number(dataset, "PixelRepresentation") == 1
    found = []
    for number in (value, value if limit is None else limit):
        meant = None if number is None else _as_stored(number, allocated, stored, signed)
        if meant is None:
            complaints.append("The Pixel Padding Value in the header is none that a pixel can have; it was ignored.")
            return None
        found.append(meant)
    return (found[0], found[1])


def _as_stored(number: float, allocated: int, stored: int, signed: bool) -> float | None:
    """The value of a pixel with the bits of `number`: headers mix up signed and unsigned ways of writing the same."""
    low, high = (-(1 << (allocated - 1)), 1 << (allocated - 1)) if signed else (0, 1 << allocated)
    turns = [-(1 << allocated)] if signed else [1 << allocated]
    if signed and stored < allocated and (1 << (stored - 1)) <= number < (1 << stored):
        return number - (1 << stored)
    return next((number + turn for turn in (0, *turns) if low <= number + turn < high), None)


def rescaled_padding(padding: Range | None, rescale: tuple[float, float] | None) -> Range | None:
    """Padding in the units of the voxels."""
    if padding is None or rescale is None:
        return padding
    slope, intercept = rescale
    return (padding[0] * slope + intercept, padding[1] * slope + intercept)
