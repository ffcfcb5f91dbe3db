"""From intensities to the 16 bits that DICOM images store, with the rescale that leads back."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.io.dicom import elements
from medsr.io.dicom.padding import Range
from medsr.io.dicom.source import Source

_STEPS = (1 << 16) - 1
_FEWEST_STEPS = 255
"""A floating-point image that spans fewer steps of its source's scale has got another scale since."""


@dataclass(frozen=True)
class Quantised:
    """How intensities are stored: ``intensity = stored * slope + intercept``, in 16 bits.

    Attributes:
        slope: positive.
        intercept: intensity of a stored 0.
        signed: stored numbers have a sign.
        padding: stored numbers of what was never measured, or None.
    """

    slope: float
    intercept: float
    signed: bool
    padding: tuple[int, int] | None = None

    @property
    def is_identity(self) -> bool:
        """True where the stored numbers are the intensities."""
        return self.slope == 1 and self.intercept == 0

    @property
    def ends(self) -> tuple[int, int]:
        """The smallest and the largest number that can be stored."""
        return (-(1 << 15), (1 << 15) - 1) if self.signed else (0, _STEPS)

    def holds(self, low: float, high: float) -> bool:
        """True where intensities from `low` to `high` can be stored, each within half a step."""
        first, last = self.ends
        stored = [(value - self.intercept) / self.slope for value in (low, high)]
        return stored[0] > first - 0.5 and stored[1] < last + 0.5

    def planes(self, array: NDArray[np.generic]) -> Iterator[bytes]:
        """The stored numbers of each slice of an array ``(z, y, x)``, little endian."""
        for plane in array:
            stored = np.rint((plane.astype(np.float64) - self.intercept) / self.slope)
            yield np.clip(stored, *self.ends).astype("<i2" if self.signed else "<u2").tobytes()


def quantised(array: NDArray[Any], source: Source) -> Quantised:
    """How to store an array: as its source does where that holds it, in steps as fine otherwise.

    Where 16 bits do not reach over all intensities in steps of the source, the finest steps that do are taken.
    """
    low, high = float(array.min()), float(array.max())
    slope, intercept = source.rescale
    too_coarse = array.dtype.kind == "f" and (high - low) / slope < _FEWEST_STEPS
    if too_coarse or (high - low) / slope > _STEPS:
        found = Quantised(_stated((high - low) / (_STEPS - 1) or 1.0), _stated(low), False)
    else:
        # The last resort: of the same steps, the lowest that is needed becomes 0.
        lowest = intercept + slope * math.floor((low - intercept) / slope)
        candidates = [Quantised(slope, intercept, signed) for signed in (source.is_signed, True)]
        candidates.append(Quantised(slope, _stated(lowest), False))
        found = next((one for one in candidates if one.holds(low, high)), candidates[-1])
    return Quantised(found.slope, found.intercept, found.signed, _padding(found, source.padding))


def _padding(scale: Quantised, intensities: Range | None) -> tuple[int, int] | None:
    """Padding as it is stored; None where it cannot be, and no voxel has it then."""
    if intensities is None or not scale.holds(min(intensities), max(intensities)):
        return None
    first, last = (round((value - scale.intercept) / scale.slope) for value in intensities)
    return first, last


def _stated(number: float) -> float:
    """The number that is left of `number` in the 16 characters of a DICOM decimal."""
    return float(elements.pydicom_module().valuerep.format_number_as_ds(float(number)))
