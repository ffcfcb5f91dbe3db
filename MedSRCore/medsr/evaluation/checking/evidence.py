"""How much of what was added the other series shows, band by band and place by place, beside what chance would show.

``a`` is what a result added to the plain enlargement, as the other scanner would see it, in one band of periods; ``t``
is what the other series shows there beyond the plain enlargement. Where ``a`` is made of a part that is there and a
part that is invented, ``<a, t> / <a, a>`` is the share of the first one in the energy of ``a``: what is invented goes
with nothing, and neither does the noise of the other series. It is taken over windows of 16 mm, or of 8 mm where that
is enough to tell it from chance. Shifted by 12 mm and
more, ``t`` has nothing to do with ``a``; what is found then is chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from medsr.errors import InputError
from medsr.evaluation.checking.alignment import POOR, Aligned
from medsr.evaluation.detail import BANDS, COARSE, Band, Floats, Lattice, filtered, resolves

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

WINDOW_MM = 16.0
"""Full width at half maximum of the Gaussian windows over which what was added is compared."""

NEAR_MM = 8.0
"""Likewise, where chance finds half as much as is allowed."""

CHANCE = 0.3
"""Standard deviation of the share that chance finds in a window, up to which a window is judged: 1.645 of them are a
half, so that "all of it" and "nothing of it" are told apart at 5 % error on either side."""

SURE = 1.645
"""Standard deviations beyond which chance leads in 5 % of all cases."""

CHECKED_BANDS = (*BANDS, Band("detail_1_2", "1 to 2 mm", 1.0, 2.0))

_SHIFTS = 24
_SHORTEST_SHIFT_MM = 12.0
_GAIN_MM = 40.0
_GAIN_LIMITS = (0.5, 2.0)
_EVEN = 0.1
"""Variance of the difference of what both resolve, over that of what is resolved, up to which tissue counts as even."""
_FWHM = 2 * math.sqrt(2 * math.log(2))


@dataclass(frozen=True)
class SeenBand(Band):
    """A band as a series sees it that averages along the lines itself."""

    width_mm: float = 0.0

    def share(self, frequency: Floats) -> Floats:
        """What is left of a wave of `frequency` (cycles per mm)."""
        profile = np.exp(-np.square(np.pi * self.width_mm * frequency) / (4 * math.log(2)))
        return np.asarray(super().share(frequency) * profile)


@dataclass(frozen=True)
class Evidence:
    """What one band tells, on the lattice.

    Attributes:
        band: the periods.
        energy: of what was added, squared intensities; 0 where nothing counts.
        local: its mean over the window about each place.
        share: of it that the other series shows, within the window about each place, from -1 to 1.
        deviation: standard deviation of the share that chance finds there.
        judged: where that is small enough, and what both series resolve agrees.
        by_chance: share of the judged energy that an unrelated series would confirm.
    """

    band: Band
    energy: Array
    local: Array
    share: Array
    deviation: Array
    judged: Mask
    by_chance: float

    @property
    def judged_energy(self) -> Array:
        """Energy that is judged."""
        return np.asarray(np.where(self.judged, self.energy, 0), dtype=np.float32)

    @property
    def confirmed(self) -> Array:
        """Energy that is confirmed; what the other series shows stronger than it was added counts once."""
        return np.asarray(np.where(self.judged, self.energy * np.clip(self.share, 0, 1), 0), dtype=np.float32)


def usable_bands(lattice: Lattice, uncertainty_mm: float) -> list[Band]:
    """Bands that the other series resolves, and whose waves it does not show a quarter of a period off.

    Raises:
        InputError: there are none.
    """
    resolved = [band for band in CHECKED_BANDS if resolves(lattice, band)]
    if not resolved:
        raise InputError(
            f"The other series has a voxel every {lattice.geometry.spacing_xyz_mm[0]:.3g} mm across the slices: it "
            f"resolves no detail of {CHECKED_BANDS[0].longest_mm:g} mm and less. A finer series is needed."
        )
    placed = [band for band in resolved if uncertainty_mm <= band.shortest_mm / 4]
    if not placed:
        raise InputError(
            f"The place of the other series is known to {uncertainty_mm:.1f} mm only (so differently do two halves of "
            "it register): its detail cannot be compared."
        )
    return placed


def weigh(added: Array, aligned: Aligned, bands: list[Band], line_width_mm: float, seed: int = 0) -> list[Evidence]:
    """What each band tells of `added`, which is what a result added as the other scanner would see it."""
    lattice = aligned.lattice
    windows = _Windows(lattice)
    coarse = [filtered(image, lattice, COARSE) for image in (aligned.other, aligned.plain)]
    spread = [windows.variance(each, _GAIN_MM) for each in coarse]
    # Shading differs between coils: the strength of what both resolve is made alike, place by place.
    gain = np.clip(np.sqrt(spread[1] / np.maximum(spread[0], 1e-12)), *_GAIN_LIMITS)
    # Where organs have moved, edges do not meet; where there are none, nothing need correlate.
    apart = windows.variance(np.asarray(gain * coarse[0] - coarse[1], dtype=np.float32))
    trusted = (windows.correlation(*coarse) >= POOR) | (apart <= _EVEN * float(coarse[1][aligned.body].var()))
    shifts = _shifts(lattice, np.random.default_rng(seed))
    found = []
    for band in bands:
        seen = SeenBand(band.name, band.label, band.shortest_mm, band.longest_mm, line_width_mm)
        a, plain = (filtered(image, lattice, seen) for image in (added, aligned.plain))
        missing = gain * filtered(aligned.other, lattice, band) - plain
        found.append(_weighed(band, a, np.asarray(missing, dtype=np.float32), windows, trusted, shifts))
    return found


def _weighed(
    band: Band, added: Array, missing: Array, windows: _Windows, trusted: Mask, shifts: list[tuple[int, int, int]]
) -> Evidence:
    energy = np.where(windows.kept, np.square(added), 0).astype(np.float32)
    share, deviation, local, lucky = _found(added, missing, windows, shifts, WINDOW_MM)
    # A nearer look where chance allows it: what is small is not outvoted by what is about it.
    near = _found(added, missing, windows, shifts, NEAR_MM)
    allowed = near[1] <= CHANCE / 2
    share, deviation, local, lucky = (
        np.where(allowed, a, b) for a, b in zip(near, (share, deviation, local, lucky), strict=True)
    )
    judged = windows.kept & trusted & (deviation <= CHANCE)
    total = float(energy[judged].sum())
    by_chance = float((energy * lucky)[judged].sum()) / total if total > 0 else 0.0
    return Evidence(band, energy, local, np.clip(share, -1, 1), deviation, judged, by_chance)


def _found(
    added: Array, missing: Array, windows: _Windows, shifts: list[tuple[int, int, int]], width_mm: float
) -> tuple[Array, Array, Array, Array]:
    """In windows of one width: share, its deviation by chance, energy, and what chance confirms on average."""
    local = windows.mean(np.square(added), width_mm)
    enough = local > max(float(local.max()) * 1e-6, 1e-30)
    divisor = np.where(enough, local, np.float32(1))
    squares, lucky = np.zeros_like(local), np.zeros_like(local)
    for shift in shifts:
        chance = windows.mean(added * np.roll(missing, shift, axis=(0, 1, 2)), width_mm) / divisor
        squares += np.square(chance) / len(shifts)
        lucky += np.clip(chance, 0, 1) / len(shifts)
    share = np.asarray(windows.mean(added * missing, width_mm) / divisor, dtype=np.float32)
    deviation = np.where(enough, np.sqrt(squares), np.float32(np.inf))
    return share, deviation, local, lucky


def _shifts(lattice: Lattice, rng: np.random.Generator) -> list[tuple[int, int, int]]:
    """Shifts in array order by which nothing of one image lies on what it was correlated with."""
    steps, shape = np.array(lattice.geometry.spacing_xyz_mm[::-1]), np.array(lattice.geometry.shape_zyx)
    far = np.minimum(3 * _SHORTEST_SHIFT_MM, np.maximum(shape * steps / 2, _SHORTEST_SHIFT_MM))
    found: list[tuple[int, int, int]] = []
    while len(found) < _SHIFTS:
        moved = rng.uniform(-far, far)
        # Along the lines or across them in the plane: slices far from each other may be few.
        if np.hypot(*moved[1:]) >= _SHORTEST_SHIFT_MM:
            z, y, x = (int(v) for v in np.rint(moved / steps))
            found.append((z, y, x))
    return found


class _Windows:
    """Means over Gaussian windows, of what counts alone."""

    def __init__(self, lattice: Lattice) -> None:
        self.kept = lattice.kept
        self._steps = lattice.geometry.spacing_xyz_mm[::-1]
        self._weights: dict[float, Array] = {}

    def mean(self, image: NDArray[np.floating], width_mm: float = WINDOW_MM) -> Array:
        """Of `image` about each place; 0 where nothing counts."""
        if width_mm not in self._weights:
            self._weights[width_mm] = np.maximum(self._summed(np.ones_like(self.kept), width_mm), 1e-6)
        return np.asarray(np.where(self.kept, self._summed(image, width_mm) / self._weights[width_mm], 0), np.float32)

    def variance(self, image: Array, width_mm: float = WINDOW_MM) -> Array:
        """About the local mean."""
        centred = image - float(image[self.kept].mean())
        return np.maximum(self.mean(np.square(centred), width_mm) - np.square(self.mean(centred, width_mm)), 0)

    def correlation(self, first: Array, second: Array) -> Array:
        """Of two images, within each window."""
        a, b = (image - float(image[self.kept].mean()) for image in (first, second))
        together = self.mean(a * b) - self.mean(a) * self.mean(b)
        return np.asarray(together / np.sqrt(np.maximum(self.variance(a) * self.variance(b), 1e-30)), dtype=np.float32)

    def _summed(self, image: NDArray[Any], width_mm: float) -> Array:
        counted = np.where(self.kept, image, 0).astype(np.float32)
        sigmas = [width_mm / _FWHM / step for step in self._steps]
        return np.asarray(ndi.gaussian_filter(counted, sigmas, mode="constant"), dtype=np.float32)
