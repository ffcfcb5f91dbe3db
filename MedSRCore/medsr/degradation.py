"""Physics of acquisition: how a scanner turns a fine image into the coarse one that was measured.

Along each axis the scanner weighs the fine image with a slice (or pixel) profile and samples it every
``factor`` fine voxels. The three axes are independent, so the whole acquisition is a separable linear
operator ``y = (A_z x A_y x A_x) x``, one small matrix per axis. The same matrices serve the simulation
of training and test data, the closed-form deconvolution and the projection onto the measured data.

Everything here is numpy; arrays are in ``z, y, x`` order (last axis fastest), axis 0 is z.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InvalidValueError

FWHM_PER_SIGMA = 2.3548  # 2 sqrt(2 ln 2), rounded as the field's protocols round it
_NEGLIGIBLE = 1e-6

FloatArray = NDArray[np.floating]


class Profile(str, Enum):
    """Shape of the sensitivity of one sample along one axis."""

    GAUSSIAN = "gaussian"
    BOX = "box"
    KSPACE = "kspace"
    """Not a slice but a spectrum that ends, as Fourier-encoded directions of MR have it."""

    @classmethod
    def parse(cls, text: str | Profile) -> Profile:
        """Return the profile called `text`; raise InvalidValueError naming the accepted ones."""
        try:
            return cls(text)
        except ValueError:
            accepted = ", ".join(p.value for p in cls)
            raise InvalidValueError(f"Unknown slice profile {text!r}; accepted: {accepted}.") from None


@dataclass(frozen=True)
class AxisSampling:
    """How one axis of a fine grid is sampled by the coarse one.

    Attributes:
        n_fine: number of voxels of the fine grid.
        n_coarse: number of samples of the coarse grid.
        factor: fine voxels per coarse sample (>= 1, any real number).
        width: full width at half maximum (Gaussian) or full width (box) of the profile, or the distance of samples
            that holds the spectrum (k-space), in fine voxels.
        profile: shape of the profile.
        offset: position of the centre of sample 0 in fine voxel indices. The default, ``(factor - 1) / 2``,
            makes the outer faces of both grids coincide.
    """

    n_fine: int
    n_coarse: int
    factor: float
    width: float
    profile: Profile = Profile.GAUSSIAN
    offset: float | None = None

    def __post_init__(self) -> None:
        if self.n_fine < 1 or self.n_coarse < 1:
            raise InvalidValueError(f"An axis needs at least one voxel, got {self.n_fine} and {self.n_coarse}.")
        if not np.isfinite(self.factor) or self.factor <= 0:
            raise InvalidValueError(f"The sampling factor must be positive, got {self.factor}.")
        if not np.isfinite(self.width) or self.width < 0:
            raise InvalidValueError(f"The profile width must be zero or more, got {self.width}.")

    @property
    def first_centre(self) -> float:
        """Position of the first sample in fine voxels; without an `offset`, the outer edges of both grids meet."""
        return (self.factor - 1) / 2 if self.offset is None else self.offset

    @property
    def is_identity(self) -> bool:
        """True when sampling leaves the axis as it is."""
        return (
            self.n_fine == self.n_coarse
            and abs(self.factor - 1) < _NEGLIGIBLE
            and abs(self.first_centre) < _NEGLIGIBLE
            and self.width < 1 + _NEGLIGIBLE
        )

    @cached_property
    def matrix(self) -> FloatArray:
        """The operator of this axis, float64 of shape ``(n_coarse, n_fine)``; each row sums to one.

        The weights of a k-space axis alternate in sign, those of the profiles are never negative.
        """
        if self.is_identity:
            return np.eye(self.n_fine)
        centres = self.first_centre + np.arange(self.n_coarse)[:, None] * self.factor
        if self.profile is Profile.KSPACE:
            return _band_limited(centres[:, 0], self.n_fine, max(self.width, 1.0))
        distance = np.arange(self.n_fine)[None, :] - centres
        width = max(self.width, 1.0)
        if self.profile is Profile.GAUSSIAN:
            weights = np.exp(-0.5 * (distance / (width / FWHM_PER_SIGMA)) ** 2)
        else:
            # The share of each voxel [-1/2, 1/2] that lies inside the box around the centre.
            weights = np.clip(width / 2 + 0.5 - np.abs(distance), 0.0, min(width, 1.0))
        totals = weights.sum(axis=1, keepdims=True)
        # A sample whose whole profile lies beyond the fine grid sees the nearest voxel.
        beyond = totals[:, 0] < 1e-12
        if beyond.any():
            nearest = np.clip(np.rint(centres[beyond, 0]), 0, self.n_fine - 1).astype(int)
            weights[np.flatnonzero(beyond), nearest] = 1.0
            totals = weights.sum(axis=1, keepdims=True)
        return np.asarray(weights / totals)

    def pseudo_inverse(self, smoothness: float) -> FloatArray:
        """Tikhonov inverse of this axis, float64 of shape ``(n_fine, n_coarse)``.

        Solves ``min |A x - y|^2 + smoothness |D2 x|^2`` with D2 the second difference (Tikhonov 1963).
        """
        if self.is_identity:
            return np.eye(self.n_fine)
        return _tikhonov_inverse(self, float(smoothness))


def _band_limited(centres: FloatArray, size: int, width: float) -> FloatArray:
    """Frequencies up to half a cycle in `width` voxels, read at `centres`: ``(len(centres), size)``.

    The image is continued by its mirror image (a cosine transform): a real volume is often cut through the body, and
    taken as periodic its opposite ends would ring into each other.
    """
    last = size / width
    frequencies = np.arange(math.floor(last + _NEGLIGIBLE) + 1)[:size]
    weights = np.where(frequencies > 0, 2.0, 1.0)
    # Half of the outermost frequency lies on either side of the cut.
    weights[np.abs(frequencies - last) < _NEGLIGIBLE] = 1.0
    at_centres, at_voxels = (
        np.cos(np.pi * np.outer(positions + 0.5, frequencies) / size) for positions in (centres, np.arange(size))
    )
    return np.asarray((at_centres * weights / size) @ at_voxels.T)


@lru_cache(maxsize=64)
def _tikhonov_inverse(axis: AxisSampling, smoothness: float) -> FloatArray:
    a = axis.matrix
    n = axis.n_fine
    normal = a.T @ a + 1e-9 * np.eye(n)
    if n > 2:
        d2 = np.diff(np.eye(n), 2, axis=0)
        normal += smoothness * (d2.T @ d2)
    return np.asarray(np.linalg.solve(normal, a.T))


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


def _multiply(volume: FloatArray, axis: int, matrix: FloatArray) -> FloatArray:
    """``matrix`` times `volume` along `axis`, C-contiguous and without a transposed copy of the result."""
    shape = volume.shape
    before = int(np.prod(shape[:axis], dtype=np.int64))
    after = int(np.prod(shape[axis + 1 :], dtype=np.int64))
    flat = np.ascontiguousarray(volume).reshape(before, shape[axis], after)
    out = np.matmul(matrix, flat) if after > 1 else (flat[:, :, 0] @ matrix.T)[:, :, None]
    result: FloatArray = out.reshape(*shape[:axis], matrix.shape[0], *shape[axis + 1 :])
    return result


@dataclass(frozen=True)
class Acquisition:
    """The separable acquisition of a volume: one AxisSampling per array axis (z, y, x)."""

    axes: tuple[AxisSampling, ...]

    @classmethod
    def from_factors(
        cls,
        fine_shape: Sequence[int],
        factors: Sequence[float],
        widths: Sequence[float] | None = None,
        profiles: Sequence[Profile] | None = None,
    ) -> Acquisition:
        """The acquisition that divides `fine_shape` by `factors`, all in z, y, x order.

        `widths` (fine voxels) default to the factors: a profile as wide as the sample spacing.
        """
        widths = factors if widths is None else widths
        profiles = [Profile.GAUSSIAN] * len(factors) if profiles is None else profiles
        return cls(
            tuple(
                AxisSampling(n, max(1, int(n / f + 1e-6)), float(f), float(w), p)
                for n, f, w, p in zip(fine_shape, factors, widths, profiles, strict=True)
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
        return apply_along(fine, {i: axis.matrix for i, axis in self.active.items()})

    def inverses(self, smoothness: float) -> dict[int, FloatArray]:
        """Tikhonov inverse of every active axis."""
        return {i: axis.pseudo_inverse(smoothness) for i, axis in self.active.items()}

    def tikhonov(self, coarse: FloatArray, smoothness: float) -> FloatArray:
        """Known-profile Tikhonov deconvolution of `coarse`, axis by axis."""
        return apply_along(coarse, self.inverses(smoothness))


def add_rician_noise(volume: FloatArray, level: float, rng: np.random.Generator) -> FloatArray:
    """Magnitude-MR noise: ``|x + n1 + i n2|`` (Gudbjartsson and Patz, 1995).

    Args:
        volume: non-negative magnitudes.
        level: standard deviation of each channel as a fraction of the 99th percentile of `volume`.
        rng: source of randomness.
    """
    sigma = level * float(np.percentile(volume, 99))
    real = volume + rng.normal(0.0, sigma, volume.shape)
    return np.hypot(real, rng.normal(0.0, sigma, volume.shape)).astype(volume.dtype, copy=False)
