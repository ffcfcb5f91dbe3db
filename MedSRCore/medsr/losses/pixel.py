"""Losses that compare an image with its reference voxel by voxel."""

from __future__ import annotations

from torch import Tensor


def mean_absolute_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean of ``|p - t|`` over everything (L1); steadier than a squared error where examples differ in difficulty."""
    return (prediction - target).abs().mean()


def mean_squared_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean of ``(p - t)^2`` over everything: the pixel loss of SRResNet (Ledig et al., CVPR 2017, eq. 4)."""
    return (prediction - target).square().mean()
