"""From stored numbers to intensities: inverted pictures, rescale slope and intercept, one type for the volume.

The volume is made once and filled slice by slice, so reading takes little more memory than the result.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InputError, ResourceError
from medsr.io.dicom.headers import names
from medsr.io.dicom.padding import Range, rescaled_padding
from medsr.io.dicom.pixels import stored_frames
from medsr.io.dicom.slices import Slice
from medsr.io.dicom.stored import Stored

_LARGEST = 1e9
"""Intensities beyond are those of a wrong header: CT ends at some 30,000 HU, MR at some millions."""
_IDENTITY = (1.0, 0.0)
_NARROW = (np.int16, np.uint16, np.int32, np.uint32)


@dataclasses.dataclass(frozen=True)
class Intensities:
    """Voxels ``(z, y, x)`` or ``(z, y, x, 3)``, the padding among them, and what a person should know."""

    array: NDArray[np.generic]
    padding: Range | None
    warnings: tuple[str, ...]


def intensities(slices: Sequence[Slice], modality: str) -> Intensities:
    """The voxels of slices in their order.

    Raises:
        InputError: slices of different kinds, a scale that some slices lack or that cannot be.
        ResourceError: they do not fit into memory.
    """
    told = [*_forms(slices), *_check_scales(slices, modality)]
    try:
        stored, ranges = _stored(slices, modality)
        array = _scaled(stored, ranges, slices)
    except ResourceError:
        raise
    except MemoryError as error:
        raise ResourceError(f"The series of {len(slices)} slices does not fit into memory.") from error
    padding, odd = _padding(slices, modality, array.dtype)
    return Intensities(array, padding, (*told, *_empty(slices, ranges), *odd))


def _inverted(one: Slice, modality: str) -> bool:
    """MONOCHROME1 shows high numbers dark. In CT the numbers are Hounsfield units all the same."""
    return one.stored is not None and one.stored.photometric == "MONOCHROME1" and modality != "CT"


def _forms(slices: Sequence[Slice]) -> list[str]:
    """What to say where some slices write numbers otherwise than the rest: one wrong bit in a header does that."""
    by_form: dict[tuple[bool, int], list[Slice]] = {}
    for one in slices:
        if one.stored is not None:
            form = (one.stored.signed, one.stored.high_bit - one.stored.bits_stored)
            by_form.setdefault(form, []).append(one)
    if len(by_form) < 2:
        return []
    fewest = min(by_form.values(), key=len)
    return [
        f"The slices store their numbers in {len(by_form)} ways (with or without sign, which bits); {len(fewest)} of "
        f"{len(slices)} differ from the others: {names(fewest)}. Each was read as it says; compare their brightness."
    ]


def _empty(slices: Sequence[Slice], ranges: Sequence[tuple[int, int]]) -> list[str]:
    """What to say of slices that show nothing: files are sometimes filled with zeros before their data come."""
    empty = [n for n, (low, high) in enumerate(ranges) if low == high]
    if not empty or 2 * len(empty) > len(slices):
        return []
    many = len({one.path for one in slices}) > 1
    where = names(slices[n] for n in empty) if many else ", ".join(str(n + 1) for n in empty[:5])
    return [
        f"{len(empty)} of {len(slices)} slices hold one number everywhere: {where}. If they should show something, "
        "their files were not copied to the end."
    ]


def _check_scales(slices: Sequence[Slice], modality: str) -> list[str]:
    by_scale: dict[tuple[float, float], list[Slice]] = {}
    for one in slices:
        by_scale.setdefault(one.rescale or _IDENTITY, []).append(one)
    lacking = [one for one in slices if one.rescale is None]
    if len(by_scale) > 1 and lacking:
        raise InputError(
            f"{len(lacking)} of {len(slices)} slices give no rescale slope and intercept, the others do: "
            f"{names(lacking)}. Their intensities cannot be compared; export the series again, or leave these out."
        )
    told = []
    if len(by_scale) > 1:
        (slope, intercept), fewest = min(by_scale.items(), key=lambda item: len(item[1]))
        told.append(
            f"The slices are scaled in {len(by_scale)} ways (rescale slope and intercept); {slope:g} and {intercept:g} "
            f"hold for {len(fewest)} of {len(slices)}: {names(fewest)}. Each was scaled as it says."
        )
    dark = [one for one in slices if one.stored is not None and one.stored.photometric == "MONOCHROME1"]
    if dark and modality == "CT" and any(one.rescale is None for one in dark):
        raise InputError(
            f"{names(dark)}: stored as a negative (MONOCHROME1), without the rescale that would make Hounsfield units "
            "of it. Whether air is dark or bright is not known; export the series as MONOCHROME2."
        )
    if dark:
        done = (
            "their numbers are Hounsfield units and were kept"
            if modality == "CT"
            else "they were turned, so that high numbers are bright"
        )
        told.append(f"{len(dark)} of {len(slices)} slices are stored as a negative (MONOCHROME1); {done}.")
    return told


def _frames(slices: Sequence[Slice]) -> Iterator[tuple[int, NDArray[np.generic]]]:
    """Place in the volume and stored numbers, file after file."""
    wanted: dict[Path, dict[int, int]] = {}
    for place, one in enumerate(slices):
        wanted.setdefault(one.path, {})[one.frame] = place
    for path, places in wanted.items():
        stored = slices[next(iter(places.values()))].stored
        if stored is None:
            raise InputError(f"{path.name!r} holds no pixels.")
        for number, frame in enumerate(stored_frames(path, stored)):
            if number in places:
                yield places[number], frame


def _stored(slices: Sequence[Slice], modality: str) -> tuple[NDArray[np.generic], list[tuple[int, int]]]:
    """Stored numbers of all slices, and the smallest and largest of each."""
    whole: NDArray[Any] | None = None
    ranges = [(0, 0)] * len(slices)
    for place, frame in _frames(slices):
        one = slices[place]
        if one.stored is not None and _inverted(one, modality):
            frame = _turned(frame, one.stored)
        if whole is None:
            whole = np.empty((len(slices), *frame.shape), frame.dtype)
        if whole.shape[1:] != frame.shape:
            raise InputError("The slices of this series differ in shape or colour, so they form no single volume.")
        wider = np.promote_types(whole.dtype, frame.dtype)
        if wider != whole.dtype:
            whole = whole.astype(wider)
        whole[place] = frame
        ranges[place] = int(frame.min()), int(frame.max())
    if whole is None:
        raise InputError("The series holds no pixels.")
    return whole, ranges


def _turned(frame: NDArray[Any], stored: Stored) -> NDArray[np.generic]:
    """Each number counted from the other end of what the pixels can hold."""
    turned: NDArray[np.generic] = _ends(stored, int(frame.max())) - frame
    return turned.astype(frame.dtype, copy=False)


def _ends(stored: Stored, largest: int) -> int:
    """Sum of the smallest and largest number that the pixels can hold."""
    if stored.signed:
        return -1
    return (1 << (stored.bits_stored if largest < 1 << stored.bits_stored else stored.bits_allocated)) - 1


def _scaled(stored: NDArray[Any], ranges: Sequence[tuple[int, int]], slices: Sequence[Slice]) -> NDArray[np.generic]:
    scales = [one.rescale or _IDENTITY for one in slices]
    ends = [
        value * slope + intercept for (slope, intercept), pair in zip(scales, ranges, strict=True) for value in pair
    ]
    low, high = min(ends), max(ends)
    if set(scales) != {_IDENTITY} and not max(abs(low), abs(high)) <= _LARGEST:
        worst = max(range(len(slices)), key=lambda n: abs(scales[n][0]))
        raise InputError(
            f"{slices[worst].path.name!r} gives a rescale slope of {scales[worst][0]:g} and an intercept of "
            f"{scales[worst][1]:g}, so that intensities reach {max(abs(low), abs(high)):.3g}; up to {_LARGEST:g} are "
            "accepted. Correct the header, or export the series again."
        )
    if set(scales) == {_IDENTITY} and stored.dtype.itemsize <= 2:
        return stored
    if all(number.is_integer() for scale in scales for number in scale):
        dtype: Any = next(d for d in _NARROW if np.iinfo(d).min <= low and high <= np.iinfo(d).max)
    else:
        finest = min(abs(slope) for slope, _ in scales)
        dtype = np.float32 if max(abs(low), abs(high)) * np.finfo(np.float32).eps <= finest else np.float64
    same = np.dtype(dtype).itemsize == stored.dtype.itemsize
    scaled = stored.view(dtype) if same else np.empty(stored.shape, dtype)
    for place, (slope, intercept) in enumerate(scales):
        exact = stored[place].astype(np.float64)
        exact *= slope
        exact += intercept
        scaled[place] = exact
    return scaled


def _padding(slices: Sequence[Slice], modality: str, dtype: np.dtype[Any]) -> tuple[Range | None, list[str]]:
    """The padding that all slices agree on, as intensities of the volume."""
    found: set[Range] = set()
    for one in slices:
        if one.stored is None or one.stored.padding is None:
            continue
        low, high = one.stored.padding
        if _inverted(one, modality):
            ends = _ends(one.stored, int(max(low, high)))
            low, high = ends - low, ends - high
        if meant := rescaled_padding((low, high), one.rescale):
            # Rounded as the voxels were, so that the one equals the other.
            found.add((float(dtype.type(meant[0])), float(dtype.type(meant[1]))) if dtype.kind == "f" else meant)
    if len(found) > 1:
        return None, ["The slices state different intensities for pixels that were not measured; none was used."]
    return (found.pop() if found else None), []
