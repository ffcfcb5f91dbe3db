"""How intensities of one series stand for those of another one, whose contrast may be another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

ALIKE, INVERTED, FITTED = "alike", "inverted", "fitted curve"

_BINS = 24
_WORTH = 0.1
"""Correlation that a curve must add to that of a straight line before it is taken."""


@dataclass(frozen=True)
class Mapping:
    """A curve from the intensities of one series to those of another one.

    Attributes:
        kind: `ALIKE` and `INVERTED` for straight lines that rise and fall, `FITTED` for a curve.
        known: intensities of the first series, rising.
        onto: what they stand for.
    """

    kind: str
    known: Floats
    onto: Floats

    def __call__(self, values: Floats) -> NDArray[np.float32]:
        """`values` as the other series would show them; straight lines go on beyond what is known."""
        if self.kind != FITTED:
            slope = (self.onto[-1] - self.onto[0]) / (self.known[-1] - self.known[0])
            return np.asarray(self.onto[0] + slope * (values - self.known[0]), dtype=np.float32)
        return np.asarray(np.interp(values, self.known, self.onto), dtype=np.float32)


def correlation(first: Floats, second: Floats) -> float:
    """Pearson's r; 0 where one of them does not vary."""
    a, b = (np.asarray(v, dtype=np.float64).ravel() for v in (first, second))
    spread = float(a.std() * b.std())
    return float(((a - a.mean()) * (b - b.mean())).mean()) / spread if spread > 0 else 0.0


def fit_mapping(values: Floats, onto: Floats) -> Mapping:
    """The mapping by which `values` explain `onto` best; both of the same places, smooth.

    A straight line where that is nearly as good as the means of `onto` over classes of `values`. Lines have the spread
    of `onto`, and not the lower one that least squares give where both are noisy.
    """
    a, b = (np.asarray(v, dtype=np.float64).ravel() for v in (values, onto))
    r = correlation(a, b)
    edges = np.unique(np.quantile(a, np.linspace(0, 1, _BINS + 1)))
    if len(edges) > 3:
        index = np.clip(np.searchsorted(edges, a, side="right") - 1, 0, len(edges) - 2)
        count = np.maximum(np.bincount(index, minlength=len(edges) - 1), 1)
        known, means = (np.bincount(index, weights=w, minlength=len(edges) - 1) / count for w in (a, b))
        explained = float(means[index].std() / b.std()) if b.std() > 0 else 0.0
        if explained > abs(r) + _WORTH:
            return Mapping(FITTED, known, b.mean() + (means - b.mean()) / explained)
    slope = (1.0 if r >= 0 else -1.0) * float(b.std()) / max(float(a.std()), 1e-12)
    ends = np.array([a.mean() - 1.0, a.mean() + 1.0])
    return Mapping(ALIKE if r >= 0 else INVERTED, ends, b.mean() + slope * np.array([-1.0, 1.0]))
