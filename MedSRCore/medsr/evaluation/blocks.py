"""How sure a figure of one image is: sums over blocks, and a bootstrap that draws blocks.

Neighbouring pixels know of each other, so they are no independent witnesses. Blocks of 20 mm are taken as such, and
drawn with replacement (Efron and Tibshirani, An Introduction to the Bootstrap, 1993). All figures of one comparison use
the same draws, so that ratios of two models are paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BLOCK_MM = 20.0
RESAMPLES = 2000
_FEWEST_BLOCKS = 8


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % bootstrap interval; None where there are too few blocks to tell."""

    value: float
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, value: Floats | float, resampled: Floats | None) -> Estimate:
        """The figure with the middle 95 % of what resamples gave."""
        if resampled is None or not np.isfinite(resampled).all():
            return cls(float(value))
        low, high = np.percentile(resampled, [2.5, 97.5])
        return cls(float(value), float(low), float(high))


@dataclass(frozen=True)
class Blocks:
    """The pixels that count, each in its block.

    Attributes:
        kept: which pixels of an image count, ``(z, y, x)``.
        number: of the block of each of them.
        draws: how often each block is taken in each resample, ``(resamples, blocks)``; None for too few blocks.
    """

    kept: NDArray[np.bool_]
    number: NDArray[np.int64]
    draws: Floats | None

    @classmethod
    def of(cls, kept: NDArray[np.bool_], spacing_xyz_mm: Sequence[float], seed: int = 0) -> Blocks:
        """Blocks of 20 mm; `seed` is that of the resampling."""
        z, y, x = (
            (np.arange(size) * spacing // BLOCK_MM).astype(np.int64)
            for size, spacing in zip(kept.shape, spacing_xyz_mm[::-1], strict=True)
        )
        grid = (z[:, None, None] * (y[-1] + 1) + y[:, None]) * (x[-1] + 1) + x
        _found, number = np.unique(grid[kept], return_inverse=True)
        number = np.asarray(number, dtype=np.int64).reshape(-1)
        count = int(number.max()) + 1
        if count < _FEWEST_BLOCKS:
            return cls(kept, number, None)
        rng = np.random.default_rng(seed)
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
        return cls(kept, number, drawn.astype(np.float64))

    def __len__(self) -> int:
        return int(self.number.max()) + 1

    @property
    def pixels(self) -> int:
        """Number of pixels that count."""
        return self.number.size

    def sums(self, *images: NDArray[np.floating]) -> Floats:
        """Sum of each image over each block, ``(blocks, images)``."""
        return np.stack([np.bincount(self.number, weights=image[self.kept]) for image in images], axis=1)

    def moments(self, image: NDArray[np.floating], reference: NDArray[np.floating]) -> Moments:
        """What correlations of two images follow from."""
        a, b = (np.asarray(values, dtype=np.float64) for values in (image, reference))
        a, b = a - a[self.kept].mean(), b - b[self.kept].mean()
        return Moments(self.sums(np.ones_like(a), a, b, a * a, b * b, a * b), self.draws)


@dataclass(frozen=True)
class Moments:
    """Sums of 1, a, b, a², b² and ab over each block, ``(blocks, 6)``, and the draws of blocks."""

    sums: Floats
    draws: Floats | None

    @property
    def correlation(self) -> float:
        """Pearson's r over all blocks."""
        return float(_correlation(self.sums.sum(axis=0)))

    @property
    def resampled(self) -> Floats | None:
        """Pearson's r of each resample."""
        return None if self.draws is None else _correlation(self.draws @ self.sums)

    @property
    def amplitude(self) -> float:
        """Standard deviation of the image over that of the reference."""
        n, a, b, aa, bb, _ab = self.sums.sum(axis=0)
        return float(np.sqrt((aa - a * a / n) / (bb - b * b / n)))


def _correlation(sums: Floats) -> Floats:
    n, a, b, aa, bb, ab = sums.T
    spread = (aa - a * a / n) * (bb - b * b / n)
    return np.asarray(np.where(spread > 0, ab - a * b / n, 0.0) / np.sqrt(np.where(spread > 0, spread, 1.0)))
