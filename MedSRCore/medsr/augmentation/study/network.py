"""The segmentation network: MONAI's DynUNet on folded voxels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.networks.nets import DynUNet
from torch import Tensor, nn


class FoldedUNet(nn.Module):
    """A DynUNet that sees blocks of 2 x 2 (x 2) voxels as channels.

    Input ``(batch, channels, *spatial)``, output ``(batch, classes, *spatial)`` of logits; every spatial size must be a
    multiple of ``2 ** len(filters)``. Folding gives an eighth of the positions: on one CPU core the same accuracy in a
    fraction of the time that a DynUNet on full resolution needs.

    Args:
        spatial_dims: 2 or 3.
        channels: of the image.
        classes: background included.
        filters: channels of each level.
    """

    def __init__(self, spatial_dims: int, channels: int, classes: int, filters: Sequence[int]) -> None:
        super().__init__()
        block, levels = 2**spatial_dims, len(filters)
        self.unet = DynUNet(
            spatial_dims,
            channels * block,
            classes * block,
            kernel_size=[3] * levels,
            strides=[1] + [2] * (levels - 1),
            upsample_kernel_size=[2] * (levels - 1),
            filters=list(filters),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Logits of each class."""
        logits: Tensor = unfold(self.unet(_channels_last(fold(image))))
        return logits


def fold(image: Tensor) -> Tensor:
    """``(b, c, *spatial)`` -> ``(b, c * 2**d, *spatial / 2)``: each block of voxels becomes channels."""
    batch, channels, *spatial = image.shape
    dims = len(spatial)
    split = image.reshape(batch, channels, *(k for n in spatial for k in (n // 2, 2)))
    order = [0, 1, *range(3, 3 + 2 * dims, 2), *range(2, 2 + 2 * dims, 2)]
    return split.permute(order).reshape(batch, channels * 2**dims, *(n // 2 for n in spatial))


def unfold(folded: Tensor) -> Tensor:
    """The inverse of `fold`."""
    batch, channels, *spatial = folded.shape
    dims = len(spatial)
    split = folded.reshape(batch, channels // 2**dims, *[2] * dims, *spatial)
    order = [0, 1, *(axis for i in range(dims) for axis in (2 + dims + i, 2 + i))]
    return split.permute(order).reshape(batch, channels // 2**dims, *(2 * n for n in spatial))


def _channels_last(image: Tensor) -> Tensor:
    # A fifth faster on CPUs and on tensor cores.
    layout = torch.channels_last_3d if image.ndim == 5 else torch.channels_last
    return image.contiguous(memory_format=layout)
