"""An axis that is made coarse by a named downscaling instead of a slice profile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from medsr.degradation import Acquisition, AxisSampling, FloatArray
from medsr.downscaling import DOWNSCALINGS


@dataclass(frozen=True)
class DownscaledAxis(AxisSampling):
    """An axis whose operator is that of `medsr.downscaling`.

    Attributes:
        kind: name of the downscaling, "bicubic", "kspace", ...; `width` and `profile` are what a model is told.
    """

    kind: str = "bicubic"

    @cached_property
    def matrix(self) -> FloatArray:
        """The operator, float64 of shape ``(n_coarse, n_fine)``."""
        return np.eye(self.n_fine) if self.is_identity else DOWNSCALINGS[self.kind](self.n_fine, round(self.factor))


def downscaled_acquisition(fine_shape: Sequence[int], factors: Sequence[float], kind: str) -> Acquisition:
    """The acquisition that divides `fine_shape` by whole `factors` with one downscaling; all in z, y, x order."""
    axes = [
        DownscaledAxis(n, n // round(f), float(f), float(f), kind=kind)
        for n, f in zip(fine_shape, factors, strict=True)
    ]
    return Acquisition(tuple(axes))
