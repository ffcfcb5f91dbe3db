"""The mean of what looks alike nearby: noise goes; edges and lines stay, because the voxels along them are alike."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

Array = NDArray[np.float32]

_PATCH = 3
"""Voxels along each edge of the cubes that are compared."""


def mean_of_alike(image: Array, spread: float) -> Array:
    """Each voxel, averaged with the 26 about it by how much the cubes about both are alike.

    Non-local means (Buades, Coll and Morel 2005) among neighbours: the weight is ``exp(1 - d / spread^2)``, 1 at most,
    of the mean square ``d`` of the differences of both cubes. Each pair is compared once.

    Args:
        image: ``(z, y, x)``, float32.
        spread: differences (root mean square) up to which cubes count as the same; noise alone gives 1.4 of its
            standard deviation.
    """
    if spread <= 0:
        return np.array(image)
    total: Array = np.array(image)
    count = np.ones_like(image)
    for offset in itertools.product((-1, 0, 1), repeat=3):
        if offset <= (0, 0, 0):
            continue
        here = tuple(slice(max(0, -by), size + min(0, -by)) for by, size in zip(offset, image.shape, strict=True))
        there = tuple(slice(max(0, by), size + min(0, by)) for by, size in zip(offset, image.shape, strict=True))
        weight = image[here] - image[there]
        np.square(weight, out=weight)
        weight = ndi.uniform_filter(weight, _PATCH, mode="nearest")
        weight *= np.float32(-1 / spread**2)
        weight += 1
        np.minimum(weight, 0, out=weight)
        np.exp(weight, out=weight)
        total[here] += weight * image[there]
        total[there] += weight * image[here]
        count[here] += weight
        count[there] += weight
    total /= count
    return total
