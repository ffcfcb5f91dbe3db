"""Cutting a grid into tiles whose insides cover it exactly once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from medsr.errors import InvalidValueError

_MOST_TILES_PER_AXIS = 16


@dataclass(frozen=True)
class Span:
    """One tile along one axis: `inside` is written, `outer` (inside plus halo, clipped to the grid) is read."""

    inside: tuple[int, int]
    outer: tuple[int, int]

    @property
    def outer_slice(self) -> slice:
        """Where the tile lies in the grid, halos included."""
        return slice(*self.outer)

    @property
    def inside_slice(self) -> slice:
        """Where what it writes lies in the grid."""
        return slice(*self.inside)

    @property
    def crop(self) -> slice:
        """Where the inside lies within the outer span."""
        start = self.inside[0] - self.outer[0]
        return slice(start, start + self.inside[1] - self.inside[0])


def spans(size: int, tile: int, halo: int, multiple: int) -> list[Span]:
    """Split an axis of `size` voxels.

    Args:
        size: voxels along the axis, a multiple of `multiple`.
        tile: largest outer span; the inside is smaller by the halos.
        halo: voxels that the network looks beyond the one it computes.
        multiple: every outer span starts and ends on a multiple of it, as whole-volume inference would.

    Raises:
        InvalidValueError: the tile leaves no room for an inside.
    """
    if size % multiple:
        raise InvalidValueError(f"The axis has {size} voxels, not a multiple of {multiple}.")
    halo = _round_up(halo, multiple)
    tile = tile // multiple * multiple
    if size <= tile:
        return [Span((0, size), (0, size))]
    inside = tile - 2 * halo
    if inside < multiple:
        raise InvalidValueError(f"A tile of {tile} voxels is too small for a halo of {halo}.")
    count = math.ceil(size / inside)
    # Even insides: no sliver at the end.
    inside = _round_up(math.ceil(size / count), multiple)
    result = []
    for start in range(0, size, inside):
        stop = min(start + inside, size)
        result.append(Span((start, stop), (max(start - halo, 0), min(stop + halo, size))))
    return result


@lru_cache(maxsize=256)
def best_tile(shape: tuple[int, ...], halo: int, multiple: int, voxels: float) -> tuple[int, ...]:
    """Outer tile sides of at most `voxels` voxels that waste least on halos.

    When even the smallest tiles are larger than `voxels`, the smallest are returned.
    """
    halo = _round_up(halo, multiple)
    smallest = 2 * halo + 2 * multiple
    # Per axis: side of the tile -> voxels that all tiles along the axis read together.
    choices: list[dict[int, int]] = []
    for n in shape:
        insides = [_round_up(math.ceil(n / count), multiple) for count in range(2, _MOST_TILES_PER_AXIS)]
        sides = {n, *(min(n, max(inside + 2 * halo, smallest)) for inside in insides), min(n, smallest)}
        choices.append({side: sum(s.outer[1] - s.outer[0] for s in spans(n, side, halo, multiple)) for side in sides})

    def rank(tile: tuple[int, ...]) -> tuple[float, int, tuple[int, ...]]:
        """Over the limit, smallness counts first; within it, the least work."""
        work = math.prod(read[side] for read, side in zip(choices, tile, strict=True))
        return max(math.prod(tile) - voxels, 0.0), work, tile

    return min(itertools.product(*choices), key=rank)


def _round_up(size: int, multiple: int) -> int:
    return math.ceil(size / multiple) * multiple


def count_tiles(parts: Sequence[Sequence[Span]]) -> int:
    """Number of tiles of a grid split along each axis."""
    total = 1
    for part in parts:
        total *= len(part)
    return total
