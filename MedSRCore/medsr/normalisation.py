"""Intensity scales: what a network sees, what float32 can hold, and the way back. HU stay HU."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InputError

_SAMPLE = 4_000_000

_LARGEST_OFFSET = 2000.0
"""Largest intensity over their range: float32 resolves a four-thousandth of the range there, and less beyond."""

_COMFORTABLE = (1e-12, 1e12)
"""Sizes of intensities whose squares float32 can hold and sum up."""

_LARGEST_HU = 1e6


@dataclass(frozen=True)
class Normalisation:
    """An affine map from image intensities to about [0, 1] and its inverse.

    CT uses fixed HU (``-1024 -> 0``, ``1024 -> 1``), so that a given tissue always looks the same. MR has no scale
    of its own: its minimum goes to 0 and the 99.5th percentile of the voxels above background to 1.
    """

    low: float
    high: float

    @classmethod
    def of(cls, array: NDArray[np.floating], modality: str) -> Normalisation:
        """The map for `array` of a modality, "MR" or "CT"."""
        if modality == "CT":
            return cls(-1024.0, 1024.0)
        # A regular subsample is enough for a percentile and bounds the memory.
        flat = array.reshape(-1)[:: max(1, array.size // _SAMPLE)]
        low = float(flat.min())
        above = flat[flat > low + 0.05 * (float(flat.max()) - low)]
        high = float(np.percentile(above, 99.5)) if above.size else low + 1.0
        return cls(low, high if high > low else low + 1.0)

    @classmethod
    def standard(cls, array: NDArray[np.floating]) -> Normalisation:
        """The map to z-scores: mean 0 and standard deviation 1 over all of `array`, background too."""
        mean, deviation = float(array.mean(dtype=np.float64)), float(array.std(dtype=np.float64))
        return cls(mean, mean + (deviation or 1.0))

    @property
    def span(self) -> float:
        """Intensities between normalised 0 and 1."""
        return self.high - self.low

    def apply(self, array: NDArray[np.floating]) -> NDArray[np.float32]:
        """Image intensities -> normalised, float32, a new array."""
        out = array.astype(np.float32)
        out -= np.float32(self.low)
        out *= np.float32(1.0 / self.span)
        return out

    def invert(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        """Normalised -> image intensities, in place."""
        array *= np.float32(self.span)
        array += np.float32(self.low)
        return array


@dataclass(frozen=True)
class Units:
    """The intensities of the work, as ``offset + unit * float32``; offset 0 and unit 1 for nearly all images.

    Everything is computed in float32, which holds seven digits up to 3e38. An image of 1500 levels on an offset of 2e9
    would drown in rounding, one of 1e39 overflow. What is subtracted and divided here is put back in float64.
    """

    offset: float = 0.0
    unit: float = 1.0

    @classmethod
    def of(cls, array: NDArray[Any], modality: str) -> Units:
        """The units in which float32 holds `array`, finite numbers without padding.

        Raises:
            InputError: numbers that no scale brings into range, or CT that is not in Hounsfield units.
        """
        if array.dtype.kind not in "iuf" or array.dtype.itemsize <= 2:
            return cls()
        low, high = float(array.min()), float(array.max())
        largest, span = max(abs(low), abs(high)), high - low
        if not math.isfinite(span):
            raise InputError(
                f"The intensities reach from {low:g} to {high:g}, wider than numbers of 64 bits can hold. Divide the "
                "image by a constant first."
            )
        if modality == "CT":
            if largest > _LARGEST_HU:
                raise InputError(
                    f"The intensities reach from {low:g} to {high:g}, which are no Hounsfield units, and this volume "
                    "counts as CT. Rescale the image, or give --modality MR if its intensities have no fixed scale."
                )
            return cls()
        offset = low if span > 0 and largest > _LARGEST_OFFSET * span else 0.0
        size = span if offset else largest
        fits = size == 0 or _COMFORTABLE[0] <= size <= _COMFORTABLE[1]
        # A power of two changes no digit.
        return cls(offset, 1.0 if fits else 2.0 ** math.floor(math.log2(size)))

    @property
    def are_plain(self) -> bool:
        """True where float32 holds the image as it is."""
        return self.offset == 0 and self.unit == 1

    def apply(self, array: NDArray[Any]) -> NDArray[np.float32]:
        """Intensities -> float32 of the work; without a copy where it can be."""
        if self.are_plain:
            return array.astype(np.float32, copy=False)
        out = np.empty(array.shape, dtype=np.float32)
        for number, part in enumerate(array):
            out[number] = (part.astype(np.float64) - self.offset) / self.unit
        return out

    def invert(self, array: NDArray[np.float32]) -> NDArray[np.floating]:
        """The work -> intensities; float64 where float32 cannot hold them."""
        if self.are_plain:
            return array
        wide = array.astype(np.float64)
        wide *= self.unit
        wide += self.offset
        return wide
