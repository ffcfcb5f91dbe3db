"""From the evidence on the lattice to shares of what was added, as a whole, by region, and voxel by voxel."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from medsr.evaluation.checking.evidence import Evidence
from medsr.evaluation.checking.places import Place, find_places, where_in
from medsr.evaluation.detail import Lattice
from medsr.geometry import Geometry
from medsr.methods.interpolate import interpolate
from medsr.volume import Volume

Array = NDArray[np.float32]
Floats = NDArray[np.float64]

MAP = "confirmed"
NOT_JUDGED = -2.0
"""Value of the map where nothing can be said; all other values lie between -1 and 1."""

_LONGEST_MM = 12.0
"""What is smoother than a Gaussian of this full width is shading and no detail."""

REGION_MM = 20.0
_FWHM = 2 * math.sqrt(2 * math.log(2))


@dataclass(frozen=True)
class Shares:
    """Of the energy of added detail, fractions that add up to 1.

    Attributes:
        confirmed: the other series shows it.
        contradicted: the other series would show it, and does not.
        uncertain: the other series sees it, but too weak against chance, or where both do not show the same.
        unseen: finer than the other series resolves, or averaged away within its slices.
        outside: beyond the common field.
    """

    confirmed: float
    contradicted: float
    uncertain: float
    unseen: float
    outside: float

    @classmethod
    def of(cls, total: float, covered: float, seen: float, judged: float, confirmed: float) -> Shares:
        """From energies: of all, within the common field, as seen by the other series, judged, and confirmed."""
        covered = min(covered, total)
        # Energies of one field that were added up on two grids: what is seen cannot be more than what is there.
        scale = min(1.0, covered / seen) / total if seen > 0 else 0.0
        yes, no, weak = confirmed * scale, (judged - confirmed) * scale, (seen - judged) * scale
        return cls(yes, no, weak, max(0.0, covered / total - yes - no - weak), 1 - covered / total)

    @property
    def cannot_be_judged(self) -> float:
        """All that is neither confirmed nor contradicted."""
        return self.uncertain + self.unseen + self.outside

    @property
    def judged(self) -> float:
        """What is confirmed or contradicted."""
        return self.confirmed + self.contradicted


@dataclass(frozen=True)
class Region:
    """A cube of the result.

    Attributes:
        centre_mm: LPS.
        centre_xyz: voxel of the result.
        added: share of all added detail that lies in it.
        shares: of what was added in it.
    """

    centre_mm: tuple[float, float, float]
    centre_xyz: tuple[int, int, int]
    added: float
    shares: Shares


@dataclass(frozen=True)
class Verdict:
    """What the other series says of a result.

    Attributes:
        shares: of all that was added.
        by_chance: share of what is judged that an unrelated series would confirm.
        bands: what each band tells.
        regions: cubes of the result, those with most detail first.
        places: where detail is contradicted, the worst first.
        map: the share that is confirmed at each voxel of the result.
        on_lattice: likewise where it was compared, and where it is known there.
    """

    shares: Shares
    by_chance: float
    bands: tuple[tuple[Evidence, Shares], ...]
    regions: tuple[Region, ...]
    places: tuple[Place, ...]
    map: Volume
    on_lattice: tuple[Array, NDArray[np.bool_]]


def judge_added(added: Volume, lattice: Lattice, evidence: list[Evidence]) -> Verdict:
    """The verdict on `added`, the result minus the plain enlargement."""
    grid = added.geometry
    array = np.asarray(added.array, dtype=np.float32)
    sigmas = [_LONGEST_MM / _FWHM / step for step in grid.spacing_xyz_mm[::-1]]
    detail = np.square(array - ndi.gaussian_filter(array, sigmas)) * math.prod(grid.spacing_xyz_mm)
    kept = interpolate(lattice.kept.astype(np.float32), lattice.geometry, grid, "linear", outside=0.0) >= 0.5
    cell = math.prod(lattice.geometry.spacing_xyz_mm)
    energies = [(each.energy, each.judged_energy, each.confirmed) for each in evidence]
    seen, judged, confirmed = (np.sum(parts, axis=0) * cell for parts in zip(*energies, strict=True))
    blocks, places = _blocks(grid, grid), _blocks(lattice.geometry, grid)
    count = int(blocks.max()) + 1
    sums: Floats = np.stack(
        [
            np.bincount(blocks.ravel(), weights=each.ravel(), minlength=count)
            for each in (detail, np.where(kept, detail, 0))
        ]
        + [
            np.bincount(places[lattice.kept], weights=each[lattice.kept], minlength=count)[:count]
            for each in (seen, judged, confirmed)
        ]
    )
    total = float(sums[0].sum())
    by_band = tuple(
        (each, Shares.of(total, float(sums[1].sum()), *(float(part.sum()) * cell for part in parts)))
        for each, parts in zip(evidence, energies, strict=True)
    )
    all_judged = float(judged.sum())
    share, is_judged = _together(evidence)
    lucky = sum(each.by_chance * float(each.judged_energy.sum()) * cell for each in evidence)
    return Verdict(
        Shares.of(total, *(float(s) for s in sums[1:].sum(axis=1))),
        lucky / all_judged if all_judged > 0 else 0.0,
        by_band,
        tuple(_regions(grid, sums, total)),
        tuple(find_places(lattice, grid, evidence, total / cell)),
        _map(added, lattice, share, is_judged),
        (share, is_judged),
    )


def _blocks(points: Geometry, grid: Geometry) -> NDArray[np.int64]:
    """For each voxel of `points` the number of the cube of `grid` that it lies in; beyond `grid` the nearest one."""
    step = np.linalg.inv(grid.affine[:3, :3]) @ points.affine[:3, :3]
    first = grid.to_index(points.to_patient((0, 0, 0)))
    x, y, z = (np.arange(n) for n in points.size_xyz)
    number = np.zeros(points.shape_zyx, dtype=np.int64)
    for axis in (2, 1, 0):
        place = first[axis] + step[axis, 0] * x + step[axis, 1] * y[:, None] + step[axis, 2] * z[:, None, None]
        cubes = _cubes(grid, axis)
        cube = ((place + 0.5) * grid.spacing_xyz_mm[axis] // REGION_MM).astype(np.int64)
        number = number * cubes + np.clip(cube, 0, cubes - 1)
    return number


def _cubes(grid: Geometry, axis: int) -> int:
    return max(1, math.ceil(grid.size_xyz[axis] * grid.spacing_xyz_mm[axis] / REGION_MM - 1e-6))


def _regions(grid: Geometry, sums: Floats, total: float) -> list[Region]:
    """The cubes that hold added detail, those with most of it first."""
    found = []
    counts = [_cubes(grid, axis) for axis in range(3)]
    for number in np.argsort(-sums[0]):
        energy = sums[:, number]
        if energy[0] < 1e-3 * total:
            break
        index = (number % counts[0], number // counts[0] % counts[1], number // counts[0] // counts[1])
        ends = [
            (i * REGION_MM, min((i + 1) * REGION_MM, n * s))
            for i, n, s in zip(index, grid.size_xyz, grid.spacing_xyz_mm, strict=True)
        ]
        middle = [(a + b) / 2 / s - 0.5 for (a, b), s in zip(ends, grid.spacing_xyz_mm, strict=True)]
        shares = Shares.of(*(float(v) for v in energy))
        found.append(Region(*where_in(grid, middle), float(energy[0] / total), shares))
    return found


def _together(evidence: list[Evidence]) -> tuple[Array, NDArray[np.bool_]]:
    """The share that is confirmed over the bands that are judged at each place, and where any is."""
    weights = [np.where(each.judged, each.local, 0) for each in evidence]
    total = np.sum(weights, axis=0)
    share = np.sum([w * each.share for w, each in zip(weights, evidence, strict=True)], axis=0)
    return np.asarray(share / np.maximum(total, 1e-30), dtype=np.float32), total > 0


def _map(added: Volume, lattice: Lattice, share: Array, judged: NDArray[np.bool_]) -> Volume:
    """The share that is confirmed at each voxel of the result."""
    weight = judged.astype(np.float32)
    parts = [
        interpolate(np.asarray(part, dtype=np.float32), lattice.geometry, added.geometry, "linear", outside=0.0)
        for part in (share * weight, weight)
    ]
    known = parts[1] >= 0.5
    array = np.where(known, np.clip(parts[0] / np.maximum(parts[1], 1e-6), -1, 1), NOT_JUDGED).astype(np.float32)
    return added.replace(array=array)
