"""Two lines close to each other: from which distance on are they two?

Pairs of rods of 1.5 mm, at distances of 2 to 10 mm along x, y and z, in a body of one tissue. They lean by 4 mm over
their length, so that every place between two slices occurs. Read at the true places of the lines and in the middle
between them, and averaged along the lines, two lines are told apart where the middle lies at least 26.5 % below the
lines: what Rayleigh's criterion leaves between two points through a round aperture (peak 1, saddle 0.735). The
resolution is the distance from which on all larger ones are told apart, interpolated linearly in the dip.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi

from medsr.evaluation.phantoms.scenes import EDGE, TISSUE, Scene, solid
from medsr.evaluation.phantoms.shapes import Floats, Lattice, Point, rod
from medsr.facts import AXES

NAME = "two lines"
RAYLEIGH_DIP = 0.265
DISTANCES_MM = (2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0)
_LINE_MM = 1.5
_LENGTH_MM = 24.0
_LEAN_MM = 4.0
_CONTRAST = 0.4
_CLEAR_MM = 8.0
_STACKED_MM = 10.0
# Axis along which the two lines lie apart -> axis of the lines, axis in which pairs are stacked, corner of the block.
_BLOCKS: Mapping[int, tuple[int, int, Point]] = {
    2: (0, 1, (10.0, 10.0, 10.0)),
    1: (0, 2, (58.0, 10.0, 10.0)),
    0: (1, 2, (10.0, 58.0, 44.0)),
}


@dataclass(frozen=True)
class Pair:
    """Two lines.

    Attributes:
        apart: axis (0 x, 1 y, 2 z) along which they lie apart.
        distance_mm: of their axes along it.
        lines: start and end of each.
    """

    apart: int
    distance_mm: float
    lines: tuple[tuple[Point, Point], tuple[Point, Point]]


def pairs() -> Iterator[Pair]:
    """All pairs of the scene: per axis two rows of five."""
    for apart, (along, stacked, corner) in _BLOCKS.items():
        for row in range(2):
            place = corner[apart] + _LEAN_MM / 2
            for distance in DISTANCES_MM[row::2]:
                lines = [_line(apart, along, stacked, corner, place + shift, row) for shift in (0.0, distance)]
                yield Pair(apart, distance, (lines[0], lines[1]))
                place += distance + _CLEAR_MM


def _line(apart: int, along: int, stacked: int, corner: Point, place: float, row: int) -> tuple[Point, Point]:
    ends = []
    for end in (0.0, 1.0):
        point = [0.0, 0.0, 0.0]
        point[apart] = place + (end - 0.5) * _LEAN_MM
        point[along] = corner[along] + end * _LENGTH_MM
        point[stacked] = corner[stacked] + 4.0 + row * _STACKED_MM
        ends.append((point[0], point[1], point[2]))
    return ends[0], ends[1]


def pair_scene() -> Scene:
    """All pairs, bright, in one body."""
    lattice = Lattice((EDGE,) * 3)
    plain = solid(lattice)
    truth = plain.copy()
    for pair in pairs():
        for start, end in pair.lines:
            truth += np.float32(_CONTRAST * TISSUE) * rod(lattice, start, end, _LINE_MM)
    return Scene(NAME, lattice, truth, plain, np.zeros(lattice.shape, bool))


def dips(result: Floats, scene: Scene) -> dict[str, dict[float, float]]:
    """Axis -> distance -> how far the middle lies below the lines, as a share of them; 0 where no line is left."""
    z, y, x = result.shape
    difference = result - scene.plain[:z, :y, :x]
    found: dict[str, dict[float, float]] = {axis: {} for axis in AXES}
    for pair in pairs():
        found[AXES[pair.apart]][pair.distance_mm] = _dip(difference, pair)
    return {axis: dict(sorted(values.items())) for axis, values in found.items()}


def _dip(difference: Floats, pair: Pair) -> float:
    share = np.linspace(0.1, 0.9, 33)[:, None]
    ends = np.array(pair.lines)
    places = [line[0] + share * (line[1] - line[0]) for line in ends]
    values = [_read(difference, place) for place in (*places, (places[0] + places[1]) / 2)]
    peak = (values[0] + values[1]) / 2
    # What is left of a line is no line where it drowns: a hundredth of its contrast.
    return 1 - values[2] / peak if peak > 0.01 * _CONTRAST * TISSUE else 0.0


def _read(image: Floats, places_mm: np.ndarray) -> float:
    index = places_mm[:, ::-1].T - 0.5
    return float(ndi.map_coordinates(image, index, order=1, mode="nearest").mean())


def resolution(found: Mapping[float, float]) -> float | None:
    """The distance in mm from which on two lines are two; None where not even the largest are."""
    distances = sorted(found)
    if found[distances[-1]] < RAYLEIGH_DIP:
        return None
    best = distances[-1]
    for distance in reversed(distances[:-1]):
        if found[distance] < RAYLEIGH_DIP:
            low, high = found[distance], found[best]
            return distance + (best - distance) * (RAYLEIGH_DIP - low) / (high - low)
        best = distance
    return best
