"""What became of every lesion: kept, shrunk, moved or lost; how its contrast and volume changed.

**Statistic.** `strength` is the amplitude with which the lesion's own shape stands in the result, 1 for as it was:
``<R - T, w> / <l, w>`` with the result ``R``, the truth without lesions ``T`` (so the background is known and nothing
of it counts), the lesion ``l``, and ``w`` the lesion less its mean over the voxels up to 3 mm around it (so that a
shift of the level there does not count). It is the matched filter, the best linear detector in white noise.

**States**, the first that fits:

* *not shown*: the input does not show it. The ideal observer's signal-to-noise ratio in the noisy input,
  ``|A l| / sigma``, lies below 5, from which detection is nearly certain (Rose, J. Opt. Soc. Am. 38, 1948). Nobody can
  keep what was not measured, so these are counted apart. Without noise everything is shown.
* *kept*: strength of 0.5 or more, nearer to there than to not there.
* *moved*: less at its place, but 0.5 or more, and twice as much as there, at another place within its diameter, farther
  than its radius: the centre of what is seen lies outside of the lesion. Twice, since a rod shifted along itself still
  covers most of its place.
* *shrunk*: strength of 0.25 to 0.5: less than half of contrast times volume is left.
* *lost*: less than a quarter. Of a contrast of 5 % that is about 1 %: half of the noise of the bench.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from medsr.evaluation.phantoms.scenes import TISSUE, Lesion, Scene
from medsr.evaluation.phantoms.shapes import Floats
from medsr.physics.sampling import Acquisition

ROSE = 5.0
KEPT, LEFT = 0.5, 0.25
STATES = ("kept", "shrunk", "moved", "lost", "not shown")
_AROUND = 3
_STRONG = 0.2
"""Contrast from which a volume is measured: half of it is five times the noise of the bench."""


@dataclass(frozen=True)
class Found:
    """One lesion in one result.

    Attributes:
        lesion: what was there.
        state: one of `STATES`.
        strength: of its shape at its place; 1 is as it was.
        moved_mm: distance to where its shape is strongest, where it moved, else 0.
        volume_ratio: voxels beyond half of its contrast, relative to those of the truth; None for faint ones.
        snr: ideal observer's in the input; infinite without noise.
    """

    lesion: Lesion
    state: str
    strength: float
    moved_mm: float
    volume_ratio: float | None
    snr: float


def judge_lesions(result: Floats, scene: Scene, acquisition: Acquisition, sigma: float) -> list[Found]:
    """Every lesion of the scene.

    Args:
        result: intensities as those of the scene, cropped at the far ends as the reference was.
        scene: what was there.
        acquisition: from the truth to the input.
        sigma: of the noise of the input, in intensities of the scene.
    """
    z, y, x = result.shape
    difference = result - scene.plain[:z, :y, :x]
    return [
        _judge(difference, scene, lesion, acquisition, sigma)
        for lesion in scene.lesions
        if all(end < size for end, size in zip(_reach(lesion), (x, y, z), strict=True))
    ]


def _reach(lesion: Lesion) -> list[float]:
    margin = lesion.diameter_mm / 2 + _AROUND + 1
    return [max(a, b) + margin for a, b in zip(lesion.start, lesion.end, strict=True)]


def _judge(difference: Floats, scene: Scene, lesion: Lesion, acquisition: Acquisition, sigma: float) -> Found:
    z, y, x = difference.shape
    shape = lesion.shape(scene.lattice)[:z, :y, :x]
    signal = np.float32(lesion.contrast * TISSUE) * shape
    seen = acquisition.forward(signal.astype(np.float64))
    snr = float(np.sqrt((seen**2).sum())) / sigma if sigma else math.inf
    inside = [np.flatnonzero(shape.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    low = [max(0, int(i[0]) - _AROUND) for i in inside]
    high = [min(n, int(i[-1]) + 1 + _AROUND) for i, n in zip(inside, difference.shape, strict=True)]
    window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    weights = signal[window] - signal[window].mean()
    scale = float((signal[window] * weights).sum())

    def strength(shift: Sequence[int]) -> float:
        moved = tuple(slice(a + s, b + s) for a, b, s in zip(low, high, shift, strict=True))
        part = difference[moved]
        return float((part * weights).sum()) / scale if part.shape == weights.shape else -math.inf

    here = strength((0, 0, 0))
    state, away = _state(here, snr), 0.0
    if here < KEPT and snr >= ROSE:
        best = max(_shifts(lesion.diameter_mm), key=strength)
        if strength(best) >= max(KEPT, 2 * here):
            state, away = "moved", math.dist((0, 0, 0), best)
    ratio = None
    if abs(lesion.contrast) >= _STRONG:
        ratio = _volume(difference[window], signal[window]) / max(_volume(signal[window], signal[window]), 1)
    return Found(lesion, state, here, away, ratio, snr)


def _state(strength: float, snr: float) -> str:
    if snr < ROSE:
        return "not shown"
    if strength >= KEPT:
        return "kept"
    return "shrunk" if strength >= LEFT else "lost"


def _shifts(diameter: float) -> list[tuple[int, int, int]]:
    """Shifts in voxels that are longer than the radius and no longer than the diameter."""
    step = math.ceil(diameter)
    reach = range(-step, step + 1)
    return [
        (z, y, x)
        for z, y, x in itertools.product(reach, reach, reach)
        if diameter / 2 < math.dist((0, 0, 0), (z, y, x)) <= diameter
    ]


def _volume(difference: Floats, signal: Floats) -> int:
    """Voxels beyond half of the lesion's contrast against the level around it."""
    top = float(signal[np.unravel_index(int(np.abs(signal).argmax()), signal.shape)])
    level = float(np.median(difference[np.abs(signal) < 0.01 * abs(top)]))
    return int(np.count_nonzero((difference - level) / top >= 0.5))


def counts(found: Sequence[Found]) -> dict[str, int]:
    """State -> number of lesions."""
    return {state: sum(each.state == state for each in found) for state in STATES}


def biases(found: Sequence[Found]) -> Mapping[str, tuple[float, float | None]]:
    """Group (``ball 3``) -> bias in % of contrast and of volume, means over the lesions that the input shows."""
    groups: dict[str, list[Found]] = {}
    for each in found:
        if each.state != "not shown":
            groups.setdefault(each.lesion.group, []).append(each)
    result: dict[str, tuple[float, float | None]] = {}
    for group, members in sorted(groups.items()):
        volumes = [each.volume_ratio for each in members if each.volume_ratio is not None]
        volume = 100 * (float(np.mean(volumes)) - 1) if volumes else None
        result[group] = 100 * (float(np.mean([each.strength for each in members])) - 1), volume
    return result
