"""Lesions made where there are none.

A result that is less sharp than the truth differs from it at every edge without having made anything up. So it may lie
anywhere between two versions of the truth: as it is, and as the input shows it (degraded without noise, and enlarged
by a B-spline), each of them also one voxel aside, since an edge that moved by a voxel is no new structure. `excess` is
what lies outside of both.

The statistic is the mean of the excess over a ball of 3 mm, the smallest of the bench, less the mean over the shell up
to 6 mm around it, so that a shift of the level does not count. A *made* lesion is a connected component of places where
it reaches what the smallest and faintest lesion of the bench would reach, fully shown: 3 mm and 5 % of tissue. Who sees
the one must see the other. With more than 2 % noise the contrast is 2.5 times the noise of a voxel of the input,
which at 2 % is the same.

Noise of the input makes such structure too, and a plain enlargement shows it. A component whose middle the B-spline of
the same input shows at half of that strength or more, with the same sign, is *noise*; the others are *the model's own*.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from scipy.signal import fftconvolve

from medsr.evaluation.phantoms.scenes import BALLS_MM, FAINTEST, TISSUE
from medsr.evaluation.phantoms.shapes import Floats, Lattice, rod

CONTRAST_TO_NOISE = 2.5
_SHELL_MM = 6.0
_PAD = 6


@dataclass(frozen=True)
class Made:
    """Structure that nothing explains.

    Attributes:
        lesions: number of connected components.
        own: those of them that a plain enlargement of the same input does not show.
        volume_cm3: in which they were looked for.
    """

    lesions: int
    own: int
    volume_cm3: float

    def __add__(self, other: Made) -> Made:
        return Made(self.lesions + other.lesions, self.own + other.own, self.volume_cm3 + other.volume_cm3)


@dataclass(frozen=True)
class Ground:
    """What explains structure, the same for every model.

    Attributes:
        truth: intensities of the scene.
        seen: the truth as the input shows it, without noise.
        plain: the input as it is, enlarged by a B-spline.
        tissue: where to look.
        sigma: of the noise of the input, in intensities of the scene.
    """

    truth: Floats
    seen: Floats
    plain: Floats
    tissue: NDArray[np.bool_]
    sigma: float

    @property
    def limit(self) -> float:
        """Of the statistic, from which structure is a lesion."""
        return max(FAINTEST * TISSUE, CONTRAST_TO_NOISE * self.sigma) * smallest_response()

    def statistic(self, image: Floats) -> Floats:
        """Of an image: how much of a lesion, brighter or darker, stands at every voxel."""
        return local_contrast(excess(image, self.truth, self.seen))


def judge_made(result: Floats, ground: Ground) -> Made:
    """Lesions in `result` that are not in the truth."""
    found, limit = ground.statistic(result), ground.limit
    labels, count = ndi.label((np.abs(found) >= limit) & ground.tissue)
    volume = float(np.count_nonzero(ground.tissue)) / 1000
    if not count:
        return Made(0, 0, volume)
    plain = ground.statistic(ground.plain)
    peaks = ndi.maximum_position(np.abs(found), labels, range(1, count + 1))
    noise = sum(float(plain[place] * np.sign(found[place])) >= limit / 2 for place in peaks)
    return Made(int(count), int(count - noise), volume)


def excess(result: Floats, truth: Floats, seen: Floats) -> Floats:
    """How far the result lies above or below everything that the truth explains."""
    low = ndi.minimum_filter(np.minimum(truth, seen), 3)
    high = ndi.maximum_filter(np.maximum(truth, seen), 3)
    return np.asarray(np.maximum(result - high, 0) - np.maximum(low - result, 0), dtype=np.float32)


def local_contrast(image: Floats) -> Floats:
    """Mean over a ball of 3 mm less the mean over the shell up to 6 mm around it."""
    ball, whole = _ball(min(BALLS_MM) / 2), _ball(_SHELL_MM)
    ball = np.pad(ball, (whole.shape[0] - ball.shape[0]) // 2)
    shell = whole * (1 - ball)
    kernel = ball / ball.sum() - shell / shell.sum()
    # By its spectrum: 13^3 weights for every voxel would take a minute.
    padded = np.pad(image, _PAD, mode="edge")
    return np.asarray(fftconvolve(padded, kernel, mode="valid"), dtype=np.float32)


@lru_cache(maxsize=1)
def smallest_response() -> float:
    """The statistic of the smallest ball with a contrast of 1, wherever it lies between the voxels: the least."""
    lattice = Lattice((24,) * 3)
    found = []
    for x, y, z in ((12.0, 12.0, 12.0), (12.5, 12.5, 12.5), (12.5, 12.0, 12.0), (12.5, 12.5, 12.0)):
        found.append(float(local_contrast(rod(lattice, (x, y, z), (x, y, z), min(BALLS_MM))).max()))
    return min(found)


def _ball(radius: float) -> Floats:
    reach = int(np.ceil(radius))
    z, y, x = np.indices((2 * reach + 1,) * 3) - reach
    return np.asarray(np.clip(radius + 0.5 - np.sqrt(z * z + y * y + x * x), 0, 1), dtype=np.float32)
