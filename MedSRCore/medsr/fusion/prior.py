"""What is expected of an image that nobody measured completely: small second differences, but for edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

Array = NDArray[np.float32]

_FLOOR = 0.3
"""Of the root mean square of the differences: below, all count alike."""

_ABOUT = 0.7
"""Standard deviation in voxels of the Gaussian through which edges are looked for: one voxel alone is mostly noise."""

_POWER = 0.75
"""Of the mean square of the differences: 0.5 would make squares absolute values, 1 logarithms."""


@dataclass(frozen=True)
class Prior:
    """``smoothness * sum_v weights_v |(D2 x)_v|^2``, over second differences along each axis.

    Attributes:
        smoothness: of the whole.
        weights: of each voxel, or None for 1.
    """

    smoothness: float
    weights: Array | None = None

    @classmethod
    def with_edges_of(cls, image: Array, smoothness: float) -> Prior:
        """Differences count the less, the larger they are in `image`; those of average size count once."""
        energy = np.zeros_like(image)
        for axis in range(3):
            if image.shape[axis] >= 3:
                energy[_along(axis)[1]] += np.square(_bends(image, axis))
        energy = ndi.gaussian_filter(energy, _ABOUT, truncate=3.0)
        mean = max(float(energy.mean(dtype=np.float64)), 1e-30)
        energy += np.float32(_FLOOR**2 * mean)
        np.divide(np.float32(mean), energy, out=energy)
        return cls(smoothness, np.power(energy, np.float32(_POWER), out=energy))

    def gradient(self, image: Array) -> Array:
        """Half the gradient: ``smoothness D2' W D2 x``, linear in `image`."""
        out = np.zeros_like(image)
        for axis in range(3):
            if image.shape[axis] < 3:
                continue
            low, middle, high = _along(axis)
            bends = _bends(image, axis)
            if self.weights is not None:
                bends *= self.weights[middle]
            bends *= np.float32(self.smoothness)
            out[low] += bends
            out[high] += bends
            bends *= 2
            out[middle] -= bends
        return out


def mean_roughness(image: Array) -> float:
    """Mean square of the second differences."""
    axes = [axis for axis in range(3) if image.shape[axis] >= 3]
    return float(np.mean([np.square(_bends(image, axis)).mean(dtype=np.float64) for axis in axes]))


def _bends(image: Array, axis: int) -> Array:
    low, middle, high = _along(axis)
    bends = image[low] + image[high]
    bends -= 2 * image[middle]
    return bends


def _along(axis: int) -> tuple[tuple[slice, ...], tuple[slice, ...], tuple[slice, ...]]:
    """All but the last two voxels along an axis, but the outer ones, but the first two."""

    def part(along: slice) -> tuple[slice, ...]:
        return tuple(along if a == axis else slice(None) for a in range(3))

    return part(slice(None, -2)), part(slice(1, -1)), part(slice(2, None))
