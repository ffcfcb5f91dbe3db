"""Intensities of one stack in those of another: scale, slow shading; and whether both show the same at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from medsr.evaluation.checking.contrast import correlation
from medsr.geometry import Geometry
from medsr.metrics import foreground_mask

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

_SHADING_MM = 10.0
"""Standard deviation of the Gaussian that shading is seen through: wide enough that noise, and what only one of the
stacks resolves, is averaged. Anatomy is in both."""

_ROUNDS = 3
"""One sees shading flatter than it is near the ends of the body; the next sees what is left."""

_COMPARED_MM = 2.0
"""The same for what is compared: about what all stacks resolve in every direction."""

_UNSURE = 0.05
"""Share of the tissue about a voxel below which the scale of the whole stack counts more than that of the place."""

_LARGEST_SHADING = 3.0


@dataclass(frozen=True)
class Match:
    """How a stack goes with what is expected of it.

    Attributes:
        gain: what its intensities are multiplied by, voxel by voxel.
        scale: the same for the whole stack.
        agreement: correlation of what both resolve within the body, after that; 1 at best.
        unshaded: the same with the scale alone, which tells another contrast that passes for shading.
        overlap: share of the stack's samples that could be compared.
    """

    gain: Array
    scale: float
    agreement: float
    unshaded: float
    overlap: float

    @property
    def shading_percent(self) -> float:
        """How far the gain differs from the scale, in nine tenths of the voxels."""
        return 100 * float(np.percentile(np.abs(self.gain / self.scale - 1), 90))


def match(values: Array, expected: Array, used: Mask, grid: Geometry, *, scaled: bool) -> Match | None:
    """Compare what a stack measured with what is expected of it; None where there is no body in common.

    Args:
        values: measured, ``(z, y, x)``.
        expected: the same samples by another stack.
        used: samples that can be compared.
        grid: of the samples.
        scaled: False leaves intensities as they are, as those of CT.
    """
    if not used.any() or np.ptp(expected[used]) == 0:
        return None
    body = used & foreground_mask(np.where(used, expected, expected[used].min()))
    total, wanted = float(values[body].sum(dtype=np.float64)), float(expected[body].sum(dtype=np.float64))
    if not body.any() or total <= 0 or wanted <= 0:
        scaled = False
    gain, scale = np.ones(values.shape, dtype=np.float32), 1.0
    if scaled:
        scale = wanted / total
        gain = _gain(values, expected, body, grid, scale)
    if not body.any():
        return None
    shaded, plain, wanted_there = (
        _smooth(np.where(body, image, 0), body, grid)[body] for image in (values * gain, values, expected)
    )
    agreement, unshaded = (correlation(image, wanted_there) for image in (shaded, plain))
    return Match(gain, scale, agreement, unshaded, float(used.mean()))


def _gain(values: Array, expected: Array, body: Mask, grid: Geometry, scale: float) -> Array:
    """The ratio of both, as slow as shading; the scale of the whole where there is no tissue about."""
    gain = np.full(values.shape, scale, dtype=np.float32)
    above = _blurred(np.where(body, expected, 0), grid, _SHADING_MM)
    level = _UNSURE * float(expected[body].mean())
    for _ in range(_ROUNDS):
        below = _blurred(np.where(body, values * gain, 0), grid, _SHADING_MM)
        gain *= (above + level) / (below + level)
    return np.asarray(np.clip(gain, scale / _LARGEST_SHADING, scale * _LARGEST_SHADING), dtype=np.float32)


def _smooth(image: Array, body: Mask, grid: Geometry) -> Array:
    """The mean over the body about each voxel."""
    share = _blurred(body.astype(np.float32), grid, _COMPARED_MM)
    return np.asarray(_blurred(image, grid, _COMPARED_MM) / np.maximum(share, np.float32(1e-6)))


def _blurred(image: Array, grid: Geometry, sigma_mm: float) -> Array:
    sigmas = [sigma_mm / spacing for spacing in grid.spacing_xyz_mm[::-1]]
    return np.asarray(ndi.gaussian_filter(image.astype(np.float32), sigmas, mode="nearest", truncate=3.0))
