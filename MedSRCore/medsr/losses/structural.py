"""A loss that compares local means, contrasts and structures at several sizes."""

from __future__ import annotations

import torch
from monai.metrics.regression import compute_ms_ssim
from torch import Tensor

from medsr.errors import InvalidValueError

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Weights of the five scales, finest first (Wang, Simoncelli and Bovik, Asilomar 2003, section 3.2)."""

_SMALLEST_SIDES = (11, 22, 44, 99, 176)
"""Shortest side for one scale, two, and so on: the window of 11 voxels must fit into the coarsest scale."""


def scales_for(side: int) -> int:
    """How many scales an image of this shortest side has room for.

    Raises:
        InvalidValueError: none, the side is below 11 voxels.
    """
    scales = sum(side >= least for least in _SMALLEST_SIDES)
    if not scales:
        raise InvalidValueError(f"Structural similarity needs at least 11 voxels per side, got {side}.")
    return scales


def structural_dissimilarity(prediction: Tensor, target: Tensor) -> Tensor:
    """``1 - MS-SSIM``, the mean over the batch (Wang, Simoncelli and Bovik, Asilomar 2003, eq. 7).

    The window is a Gaussian of sigma 1.5 in 11 voxels per axis, K1 = 0.01, K2 = 0.03, the range 1. Patches too small
    for five scales use fewer, whose weights are scaled to a sum of one.

    Args:
        prediction: ``(B, C, *size)``, two or three spatial axes, intensities about [0, 1].
        target: the same shape.
    """
    weights = WEIGHTS[: scales_for(min(prediction.shape[2:]))]
    total = sum(weights)
    # Variances are small differences of large squares: in the half precision of mixed training they would be noise.
    with torch.autocast(prediction.device.type, enabled=False):
        similarity: Tensor = compute_ms_ssim(
            prediction.float(),
            target.float(),
            spatial_dims=prediction.dim() - 2,
            data_range=1.0,
            kernel_sigma=1.5,
            weights=[weight / total for weight in weights],
        )
    return 1 - similarity.mean()
