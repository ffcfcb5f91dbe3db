"""The pattern that sub-pixel convolutions print: how the places inside a coarse voxel differ, whatever the picture."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from medsr.models.layers import fold

WINDOW = 4
"""Coarse voxels a side over which a pattern must repeat to count as one."""


def grid_pattern(image: Tensor, factor: int) -> Tensor:
    """What repeats with every coarse voxel: ``(B, C, *size)`` -> ``(B, C factor^d, *size / factor / WINDOW)``.

    In each window of coarse voxels the mean of the voxels at one place inside them, less the mean of all places.
    Images without a grid give nearly 0, a gradient or an edge does not: compare images by their difference.
    """
    dims = image.dim() - 2
    pool = {2: functional.avg_pool2d, 3: functional.avg_pool3d}[dims]
    windows = pool(fold(image, factor), tuple(min(WINDOW, n // factor) for n in image.shape[2:]))
    places = windows.reshape(*image.shape[:2], factor**dims, *windows.shape[2:])
    return (places - places.mean(2, keepdim=True)).flatten(1, 2)


def grid_difference(prediction: Tensor, target: Tensor, factor: int) -> Tensor:
    """Mean absolute grid in the error of a result: 0 where no pattern of the coarse voxels was added or lost."""
    return grid_pattern(prediction.float() - target.float(), factor).abs().mean()
