"""The acquisition of a volume as matrices, and its closed-form inverse."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InvalidValueError
from medsr.physics.profiles import KINDS, FloatArray, Profile

_NEGLIGIBLE = 1e-6

_AT_ONCE = 8_000_000
"""Values beyond which a volume is worked on in parts, so that nothing else of its size is held."""


@dataclass(frozen=True)
class AxisSampling:
    """How one axis of a fine grid is sampled by the coarse one.

    Attributes:
        n_fine: number of voxels of the fine grid.
        n_coarse: number of samples of the coarse grid.
        factor: fine voxels per coarse sample (any positive number; below 1 the samples are the finer ones).
        profile: how each sample sees the fine grid.
        offset: position of the centre of sample 0 in fine voxel indices. The default, ``(factor - 1) / 2``,
            makes the outer faces of both grids coincide.
        centres: position of the centre of each sample, where they are not evenly spaced; `factor` is then the usual
            distance, by which the width of the profile counts.
    """

    n_fine: int
    n_coarse: int
    factor: float
    profile: Profile = field(default_factory=Profile)
    offset: float | None = None
    centres: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.n_fine < 1 or self.n_coarse < 1:
            raise InvalidValueError(f"An axis needs at least one voxel, got {self.n_fine} and {self.n_coarse}.")
        if not np.isfinite(self.factor) or self.factor <= 0:
            raise InvalidValueError(f"The sampling factor must be positive, got {self.factor}.")
        if self.centres is not None and (len(self.centres) != self.n_coarse or not np.isfinite(self.centres).all()):
            raise InvalidValueError(f"{self.n_coarse} samples need as many finite centres, got {len(self.centres)}.")

    @property
    def width(self) -> float:
        """Width of the profile in fine voxels, at least one."""
        return max(self.profile.width * self.factor, 1.0)

    @property
    def first_centre(self) -> float:
        """Position of the first sample in fine voxels."""
        if self.offset is not None:
            return self.offset
        return (self.factor - 1) / 2 if KINDS[self.profile.kind].aligned else 0.0

    @property
    def is_enlarged(self) -> bool:
        """True when there are fewer samples than fine voxels per length."""
        return self.factor > 1 + _NEGLIGIBLE

    @property
    def is_identity(self) -> bool:
        """True when sampling leaves the axis as it is."""
        return (
            self.centres is None
            and self.n_fine == self.n_coarse
            and abs(self.factor - 1) < _NEGLIGIBLE
            and abs(self.first_centre) < _NEGLIGIBLE
            and self.width < 1 + _NEGLIGIBLE
        )

    @property
    def matrix(self) -> FloatArray:
        """The operator of this axis, float64 of shape ``(n_coarse, n_fine)``, read-only; each row sums to one.

        The weights of k-space and bicubic axes alternate in sign, those of slice profiles are never negative.
        """
        return _matrix(self)

    def rows(self, samples: NDArray[np.intp]) -> FloatArray:
        """Some rows of `matrix`, for who tries many profiles: nothing else is computed, and nothing kept."""
        return np.eye(self.n_fine)[samples] if self.is_identity else _weights(self, samples)

    def pseudo_inverse(self, smoothness: float, damping: float = 0.0) -> FloatArray:
        """Tikhonov inverse of this axis, float64 of shape ``(n_fine, n_coarse)``, read-only.

        Solves ``min |A x - y|^2 + smoothness |D2 x|^2 + d |x|^2`` with D2 the second difference (Tikhonov 1963) and d
        the share `damping` of the largest eigenvalue of ``A'A``: no detail is multiplied by more than
        ``1 / (2 sqrt(damping))``.
        """
        return _tikhonov_inverse(self, float(smoothness), float(damping))


@lru_cache(maxsize=128)
def _matrix(axis: AxisSampling) -> FloatArray:
    if axis.is_identity:
        return _frozen(np.eye(axis.n_fine))
    return _frozen(_weights(axis, np.arange(axis.n_coarse)))


def _weights(axis: AxisSampling, samples: NDArray[np.intp]) -> FloatArray:
    """What the given samples see of the fine grid; each row sums to one."""
    even = axis.centres is None
    centres = axis.first_centre + samples * axis.factor if even else np.array(axis.centres)[samples]
    weights = KINDS[axis.profile.kind].weights(centres, axis.n_fine, axis.width, axis.profile)
    totals = weights.sum(axis=1, keepdims=True)
    # A sample whose whole profile lies beyond the fine grid sees the nearest voxel.
    beyond = np.abs(totals[:, 0]) < 1e-12
    if beyond.any():
        nearest = np.clip(np.rint(centres[beyond]), 0, axis.n_fine - 1).astype(int)
        weights[np.flatnonzero(beyond), nearest] = 1.0
        totals = weights.sum(axis=1, keepdims=True)
    return np.asarray(weights / totals)


@lru_cache(maxsize=64)
def _tikhonov_inverse(axis: AxisSampling, smoothness: float, damping: float) -> FloatArray:
    a = axis.matrix
    if axis.is_identity:
        return a
    n = axis.n_fine
    normal = a.T @ a
    strength = damping * float(np.linalg.eigvalsh(normal)[-1]) if damping else 0.0
    normal += (1e-9 + strength) * np.eye(n)
    if n > 2:
        d2 = np.diff(np.eye(n), 2, axis=0)
        normal += smoothness * (d2.T @ d2)
    return _frozen(np.asarray(np.linalg.solve(normal, a.T)))


def _frozen(matrix: FloatArray) -> FloatArray:
    """Cached matrices are shared, so nobody may write into them."""
    matrix.setflags(write=False)
    return matrix


def apply_along(volume: FloatArray, matrices: Mapping[int, FloatArray]) -> FloatArray:
    """Multiply `volume` by one matrix per axis, keeping its floating type.

    Args:
        volume: any array with at least ``max(axis) + 1`` dimensions.
        matrices: axis -> matrix of shape ``(n_out, n_in)``.
    """
    # The axis that shrinks most goes first: fewer numbers for the others to touch.
    for axis in sorted(matrices, key=lambda a: matrices[a].shape[0] / matrices[a].shape[1]):
        volume = _multiply(volume, axis, matrices[axis].astype(volume.dtype, copy=False))
    return volume


def rows_along(
    volume: FloatArray, matrix: FloatArray, prepare: Callable[[FloatArray], FloatArray] | None = None
) -> FloatArray:
    """``matrix`` times `volume` along the first axis, without a copy of a large volume.

    Args:
        volume: any array of two axes or more; a view whose axes are exchanged will do.
        matrix: of shape ``(rows, len(volume))``.
        prepare: what to do to a part of the volume before; by default nothing.
    """
    out: FloatArray | None = None
    step = max(1, _AT_ONCE * volume.shape[1] // max(volume.size, 1))
    for start in range(0, volume.shape[1], step):
        columns = slice(start, start + step)
        part = np.ascontiguousarray(volume[:, columns] if prepare is None else prepare(volume[:, columns]))
        product = _multiply(part, 0, matrix.astype(part.dtype, copy=False))
        if step >= volume.shape[1]:
            return product
        out = np.empty((len(matrix), *volume.shape[1:]), dtype=product.dtype) if out is None else out
        out[:, columns] = product
    return np.empty((len(matrix), *volume.shape[1:]), dtype=volume.dtype) if out is None else out


def in_slabs(
    volume: FloatArray,
    matrices: Mapping[int, FloatArray],
    prepare: Callable[[FloatArray], FloatArray] | None = None,
    *,
    values: int = _AT_ONCE,
) -> Iterator[tuple[slice, FloatArray]]:
    """As `apply_along`, some planes of the result at a time.

    Args:
        volume: any array.
        matrices: axis -> matrix of shape ``(n_out, n_in)``.
        prepare: what to do to a part of the volume before; by default nothing.
        values: numbers in a slab, roughly.

    Yields:
        Which planes of the first axis, and what they are.
    """
    first, others = matrices.get(0), {axis: matrix for axis, matrix in matrices.items() if axis}
    planes = len(volume) if first is None else len(first)
    plane = [others[axis].shape[0] if axis in others else n for axis, n in enumerate(volume.shape) if axis]
    depth = max(1, values // max(int(np.prod(plane, dtype=np.int64)), 1))
    for start in range(0, planes, depth):
        rows = slice(start, min(start + depth, planes))
        if first is not None:
            slab = rows_along(volume, first[rows], prepare)
        else:
            slab = volume[rows] if prepare is None else prepare(volume[rows])
        yield rows, apply_along(slab, others)


def _multiply(volume: FloatArray, axis: int, matrix: FloatArray) -> FloatArray:
    """``matrix`` times `volume` along `axis`, C-contiguous and without a transposed copy of the result."""
    shape = volume.shape
    before = int(np.prod(shape[:axis], dtype=np.int64))
    after = int(np.prod(shape[axis + 1 :], dtype=np.int64))
    flat = np.ascontiguousarray(volume).reshape(before, shape[axis], after)
    out = np.matmul(matrix, flat) if after > 1 else (flat[:, :, 0] @ matrix.T)[:, :, None]
    result: FloatArray = out.reshape(*shape[:axis], matrix.shape[0], *shape[axis + 1 :])
    return result


def _sum_of_slabs(volume: FloatArray, matrices: Mapping[int, FloatArray]) -> FloatArray:
    """`apply_along` of a volume that is large and becomes smaller: what each slab of it adds to the result."""
    first, others = matrices.get(0), {axis: matrix for axis, matrix in matrices.items() if axis}
    shape = [matrices[axis].shape[0] if axis in matrices else n for axis, n in enumerate(volume.shape)]
    out = np.zeros(shape, dtype=volume.dtype)
    for rows, slab in in_slabs(volume, others):
        if first is None:
            out[rows] = slab
            continue
        part = first[:, rows]
        seen = np.flatnonzero(part.any(axis=1))
        if len(seen):
            reach = slice(seen[0], seen[-1] + 1)
            # Where every sample sees every voxel, what a slab adds is as large as the result.
            step = max(1, _AT_ONCE * slab.shape[1] // max(out[reach].size, 1))
            for start in range(0, slab.shape[1], step):
                columns = slice(start, start + step)
                out[reach, columns] += rows_along(slab[:, columns], part[reach])
    return out


@dataclass(frozen=True)
class Acquisition:
    """The separable acquisition of a volume: one AxisSampling per array axis (z, y, x)."""

    axes: tuple[AxisSampling, ...]

    @classmethod
    def from_factors(
        cls, fine_shape: Sequence[int], factors: Sequence[float], profiles: Profile | Sequence[Profile] | None = None
    ) -> Acquisition:
        """The acquisition that divides `fine_shape` by `factors`, all in z, y, x order.

        `profiles` may be one for all axes whose factor is not 1, which stay as they are then; by default a Gaussian as
        wide as the distance of the samples. Of one for each axis, one that is wider than a sample blurs also where the
        factor is 1.
        """
        if profiles is None or isinstance(profiles, Profile):
            profiles = [Profile() if f == 1 else profiles or Profile() for f in factors]
        return cls(
            tuple(
                AxisSampling(n, max(1, int(n / f + 1e-6)), float(f), p)
                for n, f, p in zip(fine_shape, factors, profiles, strict=True)
            )
        )

    @property
    def fine_shape(self) -> tuple[int, ...]:
        """Shape of the fine array, z, y, x."""
        return tuple(axis.n_fine for axis in self.axes)

    @property
    def coarse_shape(self) -> tuple[int, ...]:
        """Shape of the sampled array, z, y, x."""
        return tuple(axis.n_coarse for axis in self.axes)

    @property
    def active(self) -> dict[int, AxisSampling]:
        """The axes that sampling changes."""
        return {i: axis for i, axis in enumerate(self.axes) if not axis.is_identity}

    def forward(self, fine: FloatArray) -> FloatArray:
        """Degrade: ``A x``. `fine` has shape `fine_shape`, the result `coarse_shape`."""
        matrices = {i: axis.matrix for i, axis in self.active.items()}
        if fine.size <= _AT_ONCE:
            return apply_along(fine, matrices)
        return _sum_of_slabs(fine, matrices)

    def inverses(self, smoothness: float) -> dict[int, FloatArray]:
        """Tikhonov inverse of every active axis."""
        return {i: axis.pseudo_inverse(smoothness) for i, axis in self.active.items()}

    def tikhonov(self, coarse: FloatArray, smoothness: float) -> FloatArray:
        """Known-profile Tikhonov deconvolution of `coarse`, axis by axis."""
        inverses = self.inverses(smoothness)
        if not inverses or np.prod(self.fine_shape, dtype=np.int64) <= _AT_ONCE:
            return apply_along(coarse, inverses)
        fine = np.empty(self.fine_shape, dtype=coarse.dtype)
        for rows, slab in in_slabs(coarse, inverses):
            fine[rows] = slab
        return fine
