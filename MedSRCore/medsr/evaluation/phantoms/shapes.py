"""Simple shapes on a grid of 1 mm, each as the share of every voxel that it fills.

A voxel that the surface crosses is partly filled: half a voxel of depth on either side of the surface, linearly. So a
place between two voxels is a place. A ball becomes a little larger, one of 3 mm by a ninth; what is drawn is the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Point = tuple[float, float, float]
"""x, y, z in mm from the outer corner of the first voxel."""

GLYPHS = {
    "E": ("#####", "#....", "#....", "####.", "#....", "#....", "#####"),
    "H": ("#...#", "#...#", "#...#", "#####", "#...#", "#...#", "#...#"),
    "K": ("#...#", "#..#.", "#.#..", "##...", "#.#..", "#..#.", "#...#"),
    "R": ("####.", "#...#", "#...#", "####.", "#.#..", "#..#.", "#...#"),
    "S": (".####", "#....", "#....", ".###.", "....#", "....#", "####."),
    "8": (".###.", "#...#", "#...#", ".###.", "#...#", "#...#", ".###."),
}
"""Letters of 5 x 7 squares; R, K, S, E and 8 are easily taken for each other."""


@dataclass(frozen=True)
class Lattice:
    """Where the voxels lie: centres in mm along each axis, to be broadcast to ``(z, y, x)``."""

    size_xyz: tuple[int, int, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(z, y, x)``."""
        x, y, z = self.size_xyz
        return z, y, x

    @property
    def axes(self) -> tuple[Floats, Floats, Floats]:
        """x, y and z of the centres."""
        x, y, z = (np.arange(n, dtype=np.float32) + np.float32(0.5) for n in self.size_xyz)
        return x[None, None, :], y[None, :, None], z[:, None, None]

    def empty(self) -> Floats:
        """An image of nothing."""
        return np.zeros(self.shape, np.float32)


def filled(distance: NDArray[np.floating]) -> Floats:
    """Share of each voxel inside a surface, from the distance to it in mm, negative inside."""
    return np.asarray(np.clip(0.5 - distance, 0, 1), dtype=np.float32)


def rod(lattice: Lattice, start: Point, end: Point, diameter: float) -> Floats:
    """A rod with round ends; with ``start == end`` a ball."""
    return filled(rod_distance(lattice, start, end, diameter))


def rod_distance(lattice: Lattice, start: Point, end: Point, diameter: float) -> Floats:
    """The distance in mm to the surface of `rod`, negative inside."""
    from_start = [axis - np.float32(s) for axis, s in zip(lattice.axes, start, strict=True)]
    along = np.subtract(end, start)
    length = float(along @ along)
    if length:
        share = sum(d * float(a) for d, a in zip(from_start, along, strict=True)) / length
        share = np.clip(share, 0, 1)
        from_start = [d - share * float(a) for d, a in zip(from_start, along, strict=True)]
    squared = sum(d * d for d in from_start)
    return np.asarray(np.sqrt(squared) - diameter / 2, dtype=np.float32)


def box(lattice: Lattice, low: Sequence[float], high: Sequence[float]) -> Floats:
    """A box whose faces are parallel to the axes."""
    x, y, z = (_span(axis, a, b) for axis, a, b in zip(lattice.axes, low, high, strict=True))
    return x * y * z


def _span(axis: Floats, low: float, high: float) -> Floats:
    """Share of each voxel between two faces."""
    return np.asarray(np.clip(np.minimum(axis + 0.5, high) - np.maximum(axis - 0.5, low), 0, 1), dtype=np.float32)


def egg(lattice: Lattice, centre: Point, radii: Sequence[float], power: float = 2.0) -> Floats:
    """``|x/a|^p + |y/b|^p + |z/c|^p < 1``: an ellipsoid, or with a larger power a box with round edges."""
    return filled(egg_distance(lattice, centre, radii, power))


def egg_distance(lattice: Lattice, centre: Point, radii: Sequence[float], power: float = 2.0) -> Floats:
    """About the distance in mm to the surface of `egg`, negative inside."""
    terms = (np.abs((axis - c) / r) ** power for axis, c, r in zip(lattice.axes, centre, radii, strict=True))
    level = sum(terms) ** (1 / power)
    return np.asarray((level - 1) * min(radii), dtype=np.float32)


def checkerboard(lattice: Lattice, low: Point, cells: Sequence[int], edges: Sequence[float]) -> Floats:
    """+1 and -1 in turn over cells with these edges in mm; 0 outside."""
    x, y, z = (
        np.asarray(sum((-1) ** i * _span(axis, a + i * edge, a + (i + 1) * edge) for i in range(count)), np.float32)
        for axis, a, count, edge in zip(lattice.axes, low, cells, edges, strict=True)
    )
    return x * y * z


def glyph(lattice: Lattice, letter: str, low: Point, square: float, depth: float, *, upright: bool) -> Floats:
    """A letter of squares of `square` mm, `depth` thick: in the plane x-y, or with `upright` in x-z, its head up."""
    image = lattice.empty()
    last = len(GLYPHS[letter]) - 1
    for row, line in enumerate(GLYPHS[letter]):
        for column, mark in enumerate(line):
            if mark == "#":
                x, down = low[0] + column * square, (last - row if upright else row) * square
                y, z = (low[1], low[2] + down) if upright else (low[1] + down, low[2])
                size = (square, depth, square) if upright else (square, square, depth)
                image += box(lattice, (x, y, z), (x + size[0], y + size[1], z + size[2]))
    return image
