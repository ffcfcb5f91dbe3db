"""Downscaling by whole factors: how published systems made the coarse images that they learned to enlarge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InvalidValueError
from medsr.physics.profiles import FloatArray, Profile
from medsr.physics.sampling import Acquisition, AxisSampling


def downscale(fine: NDArray[Any], kind: str, factors: Sequence[int]) -> FloatArray:
    """Shrink an image by one whole factor per axis.

    Args:
        fine: any array; integers are computed in float32, floating types are kept.
        kind: a name of `medsr.physics.profiles.KINDS`; its width is the factor.
        factors: one per axis of `fine`, 1 leaves the axis as it is. Each divides the size of its axis.

    Returns:
        The coarse array, of shape ``size / factor`` and in the units of `fine`; not clipped, so bicubic and kspace may
        leave the range of `fine` at sharp edges.

    Raises:
        UnknownNameError: no such kind.
        InvalidValueError: another number of factors than axes, or a factor that does not divide its axis.
    """
    profile = Profile(kind)
    if len(factors) != fine.ndim:
        raise InvalidValueError(f"An image of {fine.ndim} axes needs {fine.ndim} factors, got {len(factors)}.")
    for size, factor in zip(fine.shape, factors, strict=True):
        if factor < 1 or factor != int(factor) or size % factor:
            raise InvalidValueError(
                f"Downscaling needs whole factors that divide the size: got factor {factor} for {size} voxels. "
                "Crop the image to a multiple first."
            )
    floating = fine if np.issubdtype(fine.dtype, np.floating) else fine.astype(np.float32)
    return Acquisition.from_factors(fine.shape, factors, profile).forward(floating)


def bicubic_matrix(size: int, new_size: int) -> FloatArray:
    """Bicubic resampling of one axis to another size, up or down, as a matrix ``(new_size, size)``."""
    return AxisSampling(size, new_size, size / new_size, Profile("bicubic")).matrix
