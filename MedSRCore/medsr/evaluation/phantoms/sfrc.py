"""Fourier ring correlation with the truth, patch by patch: is the result sharper than it is right?

After sFRC (Kc, Zeng, Soni and Badano, arXiv 2603.04673): both images are cut into patches, multiplied with a Hann
window, and correlated ring by ring of their Fourier transforms, ``|sum R T*| / sqrt(sum |R|^2 sum |T|^2)``. They flag a
patch where the correlation falls below 0.5 before a frequency that was fixed on known inventions. A fixed frequency
depends on the factor, so here each patch is its own measure:

* it *agrees* up to the last ring before the correlation falls below 0.5;
* it *claims* up to the last ring before its amplitude falls below half of the truth's.

The best linear estimate of a ring with correlation ``c`` has ``c`` times the truth's amplitude (Wiener), so an honest
result claims about as far as it agrees; the same 0.5 serves both. A patch is *sharper than right* where it claims more
than one ring beyond that: one ring is what the window blurs. Rings that hold less than 0.25 % of tissue (a twentieth of
the faintest lesion) are not seen and claim nothing.

Patches of 32 mm (one of their sizes), half overlapping, in planes that hold the axis which lost most. Where the plane's
other axis lost less, only directions within 45 degrees of that axis are counted: the others are known anyway.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medsr.evaluation.phantoms.scenes import TISSUE
from medsr.evaluation.phantoms.shapes import Floats

PATCH = 32
THRESHOLD = 0.5
_TOLERANCE = 1
_STEP = 4
_VISIBLE = 0.0025 * TISSUE


@dataclass(frozen=True)
class Agreement:
    """What the patches say.

    Attributes:
        patches: how many hold enough tissue to be judged.
        sharper: share of them that claim more than agrees.
        agreed_mm: half of the period up to which the median patch agrees.
    """

    patches: int
    sharper: float
    agreed_mm: float


def judge_patches(result: Floats, truth: Floats, factors_zyx: tuple[float, float, float]) -> Agreement:
    """Every patch of the planes that hold the axis with the largest factor."""
    lost = int(np.argmax(factors_zyx))
    # The other axis of the plane: the one that lost more of the two, x where both are equal.
    other = max((axis for axis in range(3) if axis != lost), key=lambda axis: (factors_zyx[axis], axis))
    rings = _rings(sector=factors_zyx[other] < factors_zyx[lost])
    ends = [
        _ends(a, b, rings) for a, b in zip(_patches(result, lost, other), _patches(truth, lost, other), strict=True)
        if b.mean() > 0.3 * TISSUE
    ]  # fmt: skip
    if not ends:
        return Agreement(0, 0.0, float("nan"))
    agreed, claimed = np.array(ends).T
    sharper = float(np.mean(claimed > agreed + _TOLERANCE))
    return Agreement(len(ends), sharper, PATCH / (2 * max(float(np.median(agreed)), 1.0)))


def _patches(image: Floats, lost: int, other: int) -> Iterator[NDArray[np.floating]]:
    """Patches ``(lost axis, other axis)`` of every fourth plane, half overlapping."""
    planes = np.transpose(image, (3 - lost - other, lost, other))
    for plane in planes[_STEP // 2 :: _STEP]:
        for row in range(0, plane.shape[0] - PATCH + 1, PATCH // 2):
            for column in range(0, plane.shape[1] - PATCH + 1, PATCH // 2):
                yield plane[row : row + PATCH, column : column + PATCH]


def _rings(*, sector: bool) -> list[NDArray[np.intp]]:
    """Indices of the rings 1, 2, ... below the Nyquist frequency in a flat transform."""
    frequency = np.fft.fftfreq(PATCH) * PATCH
    down, right = frequency[:, None], frequency[None, :]
    radius = np.rint(np.hypot(down, right))
    if sector:
        radius = np.where(np.abs(down) >= np.abs(right), radius, -1)
    return [np.flatnonzero(radius == ring) for ring in range(1, PATCH // 2 + 1)]


def _ends(result: NDArray[np.floating], truth: NDArray[np.floating], rings: list[NDArray[np.intp]]) -> tuple[int, int]:
    """The last ring that agrees and the last one that is claimed; 0 for none."""
    window = np.hanning(PATCH)[:, None] * np.hanning(PATCH)
    # Without the mean, whose window would fill the first rings of both alike.
    a, b = (np.fft.fft2((patch - patch.mean()) * window).ravel() for patch in (result, truth))
    cross, own, right = (
        np.array([float(np.abs(values[ring].sum())) for ring in rings])
        for values in (a * b.conj(), np.abs(a) ** 2, np.abs(b) ** 2)
    )
    correlation = cross / np.maximum(np.sqrt(own * right), 1e-12)
    # Root mean square in the patch of what a ring holds, as seen through the window.
    visible = np.sqrt(own) / PATCH**2 >= _VISIBLE
    claims = (np.sqrt(own) >= THRESHOLD * np.sqrt(right)) & visible
    return _first_false(correlation >= THRESHOLD), _first_false(claims)


def _first_false(values: NDArray[np.bool_]) -> int:
    return int(np.argmin(values)) if not values.all() else len(values)
