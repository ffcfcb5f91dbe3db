"""Reading a volume on another, turned grid, line by line along each axis in turn; with the exact adjoint.

A turn followed by a shift is three passes, each of which moves voxels along one axis only (Catmull and Smith 1980): 12
neighbours a voxel instead of the 64 of a cubic kernel in space, no matrix to keep, and an adjoint that is the same
passes backwards. Conjugate gradients need that one to be exact; reading with the inverse turn is not.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medsr.geometry import Geometry

Array = NDArray[np.float32]
Indices = NDArray[np.intp]

_SAME = 1e-6
_ROOM = 4
"""Empty planes at either end, in which lines that leave the volume find nothing."""


@dataclass(frozen=True)
class _Pass:
    """Voxel ``i`` of the output lies at ``step . i + first`` along `axis` of the input, and at ``i`` along the others.

    Attributes:
        axis: that is resampled.
        step: input voxels per output voxel of each axis.
        first: position of output voxel 0.
        before: shape of the input.
        after: shape of the output, which differs along `axis` only.
    """

    axis: int
    step: tuple[float, float, float]
    first: float
    before: tuple[int, ...]
    after: tuple[int, ...]

    @property
    def is_identity(self) -> bool:
        """True where nothing moves."""
        unit = [float(a == self.axis) for a in range(3)]
        return self.before == self.after and bool(np.abs(np.array([*self.step, self.first]) - [*unit, 0]).max() < _SAME)

    def forward(self, image: Array) -> Array:
        """The input on the lines of the output; nothing beyond its ends."""
        before, after = self._shapes()
        source = np.zeros((before[0] + 2 * _ROOM, before[1] * before[2]), dtype=np.float32)
        source[_ROOM:-_ROOM].reshape(before)[...] = np.moveaxis(image, self.axis, 0)
        neighbours = [source[number:].ravel() for number in range(4)]
        out = np.empty((after[0], after[1] * after[2]), dtype=np.float32)
        beside = np.empty(after[1] * after[2], dtype=np.float32)
        for plane, (places, weights) in zip(out, self._planes(), strict=True):
            # No place is out of bounds; "clip" spares the look at each, and the copy that goes with it.
            neighbours[0].take(places, out=plane, mode="clip")
            plane *= weights[0]
            for number in (1, 2, 3):
                neighbours[number].take(places, out=beside, mode="clip")
                beside *= weights[number]
                plane += beside
        return np.moveaxis(out.reshape(after), 0, self.axis)

    def adjoint(self, image: Array) -> Array:
        """The transpose of `forward`."""
        before, after = self._shapes()
        out = np.zeros((before[0] + 2 * _ROOM, before[1] * before[2]), dtype=np.float32)
        neighbours = [out[number:].ravel() for number in range(4)]
        planes = np.ascontiguousarray(np.moveaxis(image, self.axis, 0)).reshape(after[0], -1)
        sums = np.empty(after[1] * after[2], dtype=np.float32)
        for plane, (places, weights) in zip(planes, self._planes(), strict=True):
            for beside, weight in zip(neighbours, weights, strict=True):
                # Of one plane and one neighbour no two places are the same, so none is lost.
                beside.take(places, out=sums, mode="clip")
                weight *= plane
                sums += weight
                beside[places] = sums
        return np.moveaxis(out[_ROOM:-_ROOM].reshape(before), 0, self.axis)

    def _shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Of input and output with the resampled axis first."""
        order = (self.axis, *(a for a in range(3) if a != self.axis))
        return tuple(self.before[a] for a in order), tuple(self.after[a] for a in order)

    def _planes(self) -> Iterator[tuple[Indices, tuple[Array, Array, Array, Array]]]:
        """For each plane of the output, places of the first of four neighbours, and the weights of all four.

        Places are in the flat input with `_ROOM` planes before it; the others are one, two and three planes further on.
        """
        (size, *_), (count, rows, columns) = self._shapes()
        down, along = (self.step[a] for a in range(3) if a != self.axis)
        across = (self.first + down * np.arange(rows)[:, None] + along * np.arange(columns)).astype(np.float32).ravel()
        first = np.arange(rows * columns, dtype=np.intp) + (_ROOM - 1) * rows * columns
        for number in range(count):
            place = across + np.float32(self.step[self.axis] * number)
            low = np.floor(place)
            place -= low
            # Beyond the ends all four are in the empty planes.
            np.clip(low, 1 - _ROOM, size + 1, out=low)
            places = low.astype(np.intp)
            places *= rows * columns
            places += first
            yield places, _weights(place)


def _weights(f: Array) -> tuple[Array, Array, Array, Array]:
    """Cubic convolution (Keys 1981) at a fraction `f` between the two middle ones of four neighbours."""
    g = 1 - f
    outer, inner = f * g, f * f
    last = outer * f
    outer *= g
    last *= np.float32(-0.5)
    outer *= np.float32(-0.5)
    middle = np.float32(1.5) * f
    middle -= np.float32(2.5)
    middle *= inner
    middle += 1
    return outer, middle, 1 - outer - middle - last, last


class Scanlines:
    """The linear map from a volume on `source` to what it is at the voxels of `target`, 0 beyond.

    Args:
        source: grid of the volume.
        target: grid to read it on; turned by less than 45 degrees against some order of the axes of `source`.
    """

    def __init__(self, source: Geometry, target: Geometry) -> None:
        flip = np.eye(3)[::-1]
        step = flip @ np.linalg.inv(source.affine[:3, :3]) @ target.affine[:3, :3] @ flip
        first = source.to_index(target.to_patient((0, 0, 0)))[::-1]
        # The axis of the source that each axis of the target follows most.
        self._order = max(itertools.permutations(range(3)), key=lambda order: _follows(step, order))
        step, first = step[list(self._order)], first[list(self._order)]
        shape = tuple(source.shape_zyx[axis] for axis in self._order)
        self._passes: list[_Pass] = []
        for axis in range(3):
            along = _after(step, first, axis)
            reached = (*target.shape_zyx[: axis + 1], *shape[axis + 1 :])
            moved = _Pass(axis, along[0], along[1], shape, reached)
            if not moved.is_identity:
                self._passes.append(moved)
            shape = reached

    def forward(self, image: Array) -> Array:
        """`image` on the target grid."""
        image = image.transpose(self._order)
        for each in self._passes:
            image = each.forward(image)
        return np.ascontiguousarray(image)

    def adjoint(self, image: Array) -> Array:
        """The transpose of `forward`."""
        for each in reversed(self._passes):
            image = each.adjoint(image)
        return np.ascontiguousarray(image.transpose(np.argsort(self._order)))


def _follows(step: NDArray[np.float64], order: tuple[int, ...]) -> float:
    return float(np.prod([abs(step[order[axis], axis]) for axis in range(3)]))


def _after(
    step: NDArray[np.float64], first: NDArray[np.float64], axis: int
) -> tuple[tuple[float, float, float], float]:
    """Position along `axis` of the source, where the axes up to it are those of the target and the others its own.

    ``u = step i + first`` with ``i`` on the target and ``u`` on the source; the ``i`` that are not known yet follow
    from the ``u`` that are.
    """
    rest = slice(axis + 1, 3)
    # i_rest = inverse (u_rest - step[rest, :axis + 1] i_known - first_rest)
    inverse = np.linalg.inv(step[rest, rest]) if axis < 2 else np.zeros((0, 0))
    share = step[axis, rest] @ inverse
    known = step[axis, : axis + 1] - share @ step[rest, : axis + 1]
    x, y, z = (float(v) for v in (*known, *share))
    return (x, y, z), float(first[axis] - share @ first[rest])
