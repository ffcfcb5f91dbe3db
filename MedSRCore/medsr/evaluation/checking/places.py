"""Where detail is contradicted: places that are worth a look."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from medsr.evaluation.checking.evidence import SURE, Evidence
from medsr.evaluation.detail import Lattice
from medsr.geometry import Geometry

PLACE_MM = 16.0
"""Across, of a place at which detail is contradicted."""

_FWHM = 2 * math.sqrt(2 * math.log(2))
_MOST_PLACES = 10
_LEAST_PLACE = 1e-3
"""Share of what is judged below which a place is not worth a look."""


@dataclass(frozen=True)
class Place:
    """A ball of `PLACE_MM` in which detail is contradicted, beyond chance.

    Attributes:
        centre_mm: LPS, by the energy of what is contradicted.
        centre_xyz: voxel of the result.
        confirmed: share of the doubted detail there that is confirmed, 0 to 1.
        added: share of all added detail that is contradicted there.
    """

    centre_mm: tuple[float, float, float]
    centre_xyz: tuple[int, int, int]
    confirmed: float
    added: float


def find_places(lattice: Lattice, grid: Geometry, evidence: list[Evidence], total: float) -> list[Place]:
    """Where a band is contradicted: even with luck, the other series shows less than half of what was added."""
    doubted = [each.judged & (each.share + SURE * each.deviation < 0.5) for each in evidence]
    energy = np.sum([np.where(d, each.energy, 0) for d, each in zip(doubted, evidence, strict=True)], axis=0)
    shown = [np.where(d, each.energy * np.clip(each.share, 0, 1), 0) for d, each in zip(doubted, evidence, strict=True)]
    refused = energy - np.sum(shown, axis=0)
    steps = np.array(lattice.geometry.spacing_xyz_mm[::-1])
    density = ndi.gaussian_filter(refused, PLACE_MM / 2 / _FWHM / steps, mode="constant")
    density[~np.any(doubted, axis=0)] = 0
    least = _LEAST_PLACE * sum(float(each.judged_energy.sum()) for each in evidence)
    z, y, x = np.ogrid[tuple(slice(n) for n in density.shape)]
    found: list[Place] = []
    while len(found) < _MOST_PLACES and density.max() > 0:
        k, j, i = np.unravel_index(int(density.argmax()), density.shape)
        near = ((z - k) * steps[0]) ** 2 + ((y - j) * steps[1]) ** 2 + ((x - i) * steps[2]) ** 2 <= (PLACE_MM / 2) ** 2
        density[near] = 0
        lost = float(refused[near].sum())
        if lost < least:
            break
        centre = np.array(ndi.center_of_mass(np.where(near, refused, 0)))[::-1]
        mean = 1 - float(refused[near].sum() / energy[near].sum())
        found.append(Place(*where_in(grid, grid.to_index(lattice.geometry.to_patient(centre))), mean, lost / total))
    return sorted(found, key=lambda place: -place.added)


def where_in(
    grid: Geometry, index: NDArray[np.floating] | list[float]
) -> tuple[tuple[float, float, float], tuple[int, int, int]]:
    """Patient position (mm, LPS) and nearest voxel of `grid` of a fractional voxel index."""
    x, y, z = (float(v) for v in grid.to_patient(index))
    i, j, k = (int(v) for v in np.clip(np.rint(index), 0, np.array(grid.size_xyz) - 1))
    return (x, y, z), (i, j, k)
