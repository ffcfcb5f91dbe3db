"""Downscaling by whole factors: how published systems made the coarse images that they learned to enlarge.

Each kind is a separable linear operator, one small matrix per axis, as the acquisitions of `medsr.degradation`. The
same code makes training examples and the inputs of an evaluation. Everything here is numpy.

==============  ====================================================================================================
bicubic         Cubic convolution with a = -0.5 (Keys, IEEE TASSP 29(6), 1981), stretched by the factor against
                aliasing: what Pillow's ``resize`` and ``torch.nn.functional.interpolate(antialias=True)`` do
area            mean over the voxels that a coarse voxel covers
kspace          truncation of the spectrum, as a scan with a smaller matrix; the axis counts as periodic
gaussian, box   slice profiles of `medsr.degradation`, as wide as the factor; for a whole factor the box is the mean
nearest_wang    every factor-th voxel from voxel 0, without a filter: aliased, and shifted by (factor - 1) / 2 fine
                voxels. For the reproduction of Wang et al. (MIDL 2022), whose patches were shrunk so
==============  ====================================================================================================

All others are aligned: the outer faces of the fine and of the coarse grid coincide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.degradation import AxisSampling, FloatArray, Profile, apply_along
from medsr.errors import InvalidValueError, unknown_name

_KEYS = -0.5
_CUBIC_RADIUS = 2.0


def downscale(fine: NDArray[Any], kind: str, factors: Sequence[int]) -> FloatArray:
    """Shrink an image by one whole factor per axis.

    Args:
        fine: any array; integers are computed in float32, floating types are kept.
        kind: a name of `DOWNSCALINGS`.
        factors: one per axis of `fine`, 1 leaves the axis as it is. Each divides the size of its axis.

    Returns:
        The coarse array, of shape ``size / factor`` and in the units of `fine`; not clipped, so bicubic and kspace may
        leave the range of `fine` at sharp edges.

    Raises:
        UnknownNameError: no such kind.
        InvalidValueError: another number of factors than axes, or a factor that does not divide its axis.
    """
    if kind not in DOWNSCALINGS:
        raise unknown_name("downscaling", kind, DOWNSCALINGS)
    if len(factors) != fine.ndim:
        raise InvalidValueError(f"An image of {fine.ndim} axes needs {fine.ndim} factors, got {len(factors)}.")
    for size, factor in zip(fine.shape, factors, strict=True):
        if factor < 1 or factor != int(factor) or size % factor:
            raise InvalidValueError(
                f"Downscaling needs whole factors that divide the size: got factor {factor} for {size} voxels. "
                "Crop the image to a multiple first."
            )
    floating = fine if np.issubdtype(fine.dtype, np.floating) else fine.astype(np.float32)
    matrices = {
        axis: DOWNSCALINGS[kind](size, int(factor))
        for axis, (size, factor) in enumerate(zip(fine.shape, factors, strict=True))
        if factor > 1
    }
    return apply_along(floating, matrices)


def add_gaussian_noise(image: FloatArray, sigma: float, rng: np.random.Generator) -> FloatArray:
    """Add independent normal noise of standard deviation `sigma`, in units of the image."""
    return (image + rng.normal(0.0, sigma, image.shape)).astype(image.dtype, copy=False)


@lru_cache(maxsize=128)
def bicubic_matrix(size: int, new_size: int) -> FloatArray:
    """Bicubic resampling of one axis as a matrix ``(new_size, size)``, float64, each row sums to one.

    Serves both directions: downwards the kernel is stretched against aliasing, upwards it is not. Beyond the border
    there is nothing: the weights that remain are scaled to one.
    """
    step = size / new_size
    stretch = max(step, 1.0)
    centres = (np.arange(new_size)[:, None] + 0.5) * step - 0.5
    distance = np.abs(np.arange(size)[None, :] - centres) / stretch
    near = ((_KEYS + 2) * distance - (_KEYS + 3)) * distance**2 + 1
    far = _KEYS * (((distance - 5) * distance + 8) * distance - 4)
    weights = np.where(distance < 1, near, np.where(distance < _CUBIC_RADIUS, far, 0.0))
    return _frozen(weights / weights.sum(axis=1, keepdims=True))


@lru_cache(maxsize=128)
def _bicubic(size: int, factor: int) -> FloatArray:
    return bicubic_matrix(size, size // factor)


@lru_cache(maxsize=128)
def _kspace(size: int, factor: int) -> FloatArray:
    """Keep the lowest ``size / factor`` frequencies and read their sum at the centres of the coarse voxels."""
    kept = size // factor
    centres = (factor - 1) / 2 + factor * np.arange(kept)[:, None]
    phase = 2 * np.pi * (centres - np.arange(size)[None, :]) / size
    matrix = np.ones((kept, size))
    for frequency in range(1, (kept - 1) // 2 + 1):
        matrix += 2 * np.cos(frequency * phase)
    if kept % 2 == 0:
        # Half of the outermost frequency lies on either side of the cut.
        matrix += np.cos(kept // 2 * phase)
    return _frozen(matrix / size)


@lru_cache(maxsize=128)
def _nearest(size: int, factor: int) -> FloatArray:
    return _frozen(np.eye(size)[::factor])


def _profile(profile: Profile) -> Callable[[int, int], FloatArray]:
    @lru_cache(maxsize=128)
    def matrix(size: int, factor: int) -> FloatArray:
        return _frozen(AxisSampling(size, size // factor, float(factor), float(factor), profile).matrix)

    return matrix


def _frozen(matrix: FloatArray) -> FloatArray:
    """Cached matrices are shared, so nobody may write into them."""
    matrix.setflags(write=False)
    return matrix


DOWNSCALINGS: Mapping[str, Callable[[int, int], FloatArray]] = {
    "bicubic": _bicubic,
    "area": _profile(Profile.BOX),
    "kspace": _kspace,
    "gaussian": _profile(Profile.GAUSSIAN),
    "box": _profile(Profile.BOX),
    "nearest_wang": _nearest,
}
"""Every kind by name: fine size and whole factor -> matrix ``(size / factor, size)``."""
