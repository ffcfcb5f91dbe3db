"""What no image can show: CT less dense than air, magnitudes below zero.

Deconvolution and networks ring at sharp edges. Above there is no bound, since metal and bright vessels have none; below
there is one: air in CT, zero in MR, or the darkest that the input itself holds, so that its own noise is not cut off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medsr.methods.plan import Plan
from medsr.normalisation import Normalisation, Units
from medsr.notices import Notice, notice

Array = NDArray[np.float32]

_AIR_HU = -1000.0
_NOTICEABLE = 1e-3
"""Of the intensity scale: what lies less below the bound is rounding, and not counted."""


@dataclass(frozen=True)
class Bounded:
    """How much of an image was bounded: voxels, and the largest change."""

    count: int = 0
    worst: float = 0.0


@dataclass(frozen=True)
class Bound:
    """The darkest that a result may be.

    Attributes:
        lowest: in the units of the work.
        noticeable: what lies less below is not counted.
        reason: why, for people.
        padding: number of a slice of the result -> its voxels that show nothing, and are not counted.
    """

    lowest: float
    noticeable: float
    reason: Notice
    padding: Callable[[int], NDArray[np.bool_]] | None = None

    @classmethod
    def of(cls, coarse: Array, plan: Plan) -> Bound | None:
        """The bound of results of `coarse`, the input of the work; None for interpolation, which is what it is."""
        if plan.entry.kind == "interpolation":
            return None
        modality, units, target = plan.modality, plan.units, plan.target
        darkest = float(coarse.min())
        physical = _AIR_HU if modality == "CT" else (0.0 - units.offset) / units.unit
        reason = "bound.input" if darkest < physical else "bound.air" if modality == "CT" else "bound.magnitude"
        span = Normalisation.of(coarse, modality).span
        padding = None if plan.padding is None else plan.padding.on(target.source, target.work)
        return cls(min(darkest, physical), _NOTICEABLE * span, notice(reason), padding)

    def hold(self, fine: Array) -> Bounded:
        """Raise what lies below to the bound, in place."""
        count, worst = 0, 0.0
        for number, part in enumerate(fine):
            low = float(part.min())
            if low >= self.lowest:
                continue
            if low < self.lowest - self.noticeable:
                below = part < self.lowest - self.noticeable
                if self.padding is not None and part.ndim == 2:
                    below &= ~self.padding(number)
                if below.any():
                    count += int(np.count_nonzero(below))
                    worst = max(worst, self.lowest - float(part[below].min()))
            np.maximum(part, np.float32(self.lowest), out=part)
        return Bounded(count, worst)

    def notice(self, held: Bounded, voxels: int, units: Units) -> Notice | None:
        """What to say of it; None where nothing was bounded."""
        if held.count == 0:
            return None
        return notice(
            "bounded",
            percent=100 * held.count / voxels,
            lowest=self.lowest * units.unit + units.offset,
            worst=held.worst * units.unit,
            reason=self.reason,
        )
