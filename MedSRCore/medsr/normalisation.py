"""Intensity scales: what a network sees, and the way back. HU stay HU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_SAMPLE = 4_000_000


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
