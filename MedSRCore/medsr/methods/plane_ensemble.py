"""A volumetric answer, averaged with those of a slice-wise network.

Across an axis that is not enlarged, every slice is an image of its own. Two networks that look at the same voxels
differently err differently, so their mean is closer to the truth than either (Hansen and Salamon 1990).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from medsr.methods.plan import Enlarger

Array = NDArray[np.float32]

VOLUME_SHARE = 0.25
"""Of the volumetric answer; the slice-wise ones share the rest. Without it, volumes that are enlarged along every axis
lose; between 0 and 0.4 the gain is nearly flat."""


class PlaneEnlarger(Protocol):
    """Enlarges the slices of a channel."""

    def add(self, coarse: Array, share: float, total: Array, progress: Callable[[float], None], /) -> None:
        """Add a share of the answer for a channel on the input grid to `total`, on the work grid."""
        ...

    def seconds(self) -> float | None:
        """See `Enlarger`."""
        ...


class PlaneEnsemble:
    """Callable like the networks whose answers it averages. Holds one output: slices are added to it one by one.

    Args:
        volume: the volumetric network.
        planes: the slice-wise one, once across each of one to three axes.
        costs: how the work is spread over them, the volumetric network first; alike when None.
    """

    def __init__(self, volume: Enlarger, planes: Sequence[PlaneEnlarger], costs: Sequence[float] | None = None) -> None:
        self._volume, self._planes = volume, planes
        costs = costs or [1.0] * (1 + len(planes))
        self._ends = [sum(costs[: number + 1]) / sum(costs) for number in range(len(costs))]

    @property
    def device(self) -> str:
        """Where the volumetric network runs."""
        return self._volume.device

    def seconds(self) -> float | None:
        """See `Enlarger`."""
        each = [self._volume.seconds(), *(planes.seconds() for planes in self._planes)]
        known = [seconds for seconds in each if seconds is not None]
        return sum(known) if len(known) == len(each) else None

    def __call__(self, coarse: Array, progress: Callable[[float], None]) -> Array:
        """See `Enlarger`."""

        def part(number: int) -> Callable[[float], None]:
            start, end = (0.0, *self._ends)[number : number + 2]
            return lambda done: progress(start + (end - start) * done)

        total = self._volume(coarse, part(0))
        total *= np.float32(VOLUME_SHARE)
        for number, planes in enumerate(self._planes, start=1):
            planes.add(coarse, (1 - VOLUME_SHARE) / len(self._planes), total, part(number))
        return total
