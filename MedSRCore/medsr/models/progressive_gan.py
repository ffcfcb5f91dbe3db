"""Generator of the multi-path progressive GAN (Ahmad et al. 2022, Scientific Reports 12:9533), 2D, factor 4.

From the source (its abstract): parallel paths of several scales give shallow features; a ResNet34 gives deep ones and
twice the size; a residual mini-CNN and another doubling follow; one convolution makes the picture.
Ours, as its text could not be read: kernels 3, 5 and 7 for the paths, 64 features, every ResNet34 block at stride 1
(basic blocks, 3 + 4 + 6 + 3 of them), two blocks without normalisation in the mini-CNN, sub-pixel doublings with PReLU.
The picture at twice the size is made by the same last convolution from the features of the mini-CNN, so that it costs
no parameter. The sum with the interpolated input is an option.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from medsr.errors import InvalidValueError
from medsr.models.enlarger import Enlarger
from medsr.models.interpolation import enlarge_cubic
from medsr.models.layers import (
    BATCH_NORMS,
    SubpixelStage,
    convolution,
    initialise,
    reach_before_stages,
    shrink,
)


class BasicBlock(nn.Module):
    """ResNet's basic block at stride 1: conv - (norm) - ReLU - conv - (norm), plus the input, ReLU (He et al. 2016)."""

    def __init__(self, spatial_dims: int, features: int, batch_norm: bool) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            convolution(spatial_dims, features, features),
            BATCH_NORMS[spatial_dims](features) if batch_norm else nn.Identity(),
            nn.ReLU(),
            convolution(spatial_dims, features, features),
            BATCH_NORMS[spatial_dims](features) if batch_norm else nn.Identity(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, features, *size)`` -> the same shape."""
        return torch.relu(x + self.branch(x))


class ProgressiveNet(Enlarger):
    """Multi-path features, a deep trunk and two doublings with blocks between them.

    Args:
        spatial_dims: 2 (the source) or 3.
        channels: of the image.
        features: width of the network.
        blocks: basic blocks of the trunk; 16 make a ResNet34.
        kernels: one path per odd number.
        refine_blocks: blocks between the doublings.
        batch_norm: normalise inside the trunk's blocks, as ResNet34 does.
        global_residual: add the answer to the cubic interpolation; not in the source, helps short trainings.
        even: sub-pixel convolutions answer a flat input evenly, see `SubpixelStage`; in no source, prevents grids.
    """

    def __init__(
        self,
        spatial_dims: int = 2,
        channels: int = 1,
        features: int = 64,
        blocks: int = 16,
        kernels: Sequence[int] = (3, 5, 7),
        refine_blocks: int = 2,
        batch_norm: bool = True,
        global_residual: bool = False,
        even: bool = False,
    ) -> None:
        super().__init__(spatial_dims, channels, (4,), global_residual)
        self.kernels = tuple(kernels)
        if not self.kernels or any(side < 1 or side % 2 == 0 for side in self.kernels):
            raise InvalidValueError(f"kernels must be odd numbers, got {list(self.kernels)}.")
        self.paths = nn.ModuleList(
            nn.Sequential(convolution(spatial_dims, channels, features, side), nn.PReLU()) for side in self.kernels
        )
        self.merge = convolution(spatial_dims, features * len(self.kernels), features, 1)
        self.trunk = nn.Sequential(*(BasicBlock(spatial_dims, features, batch_norm) for _ in range(blocks)))
        self.first_doubling = SubpixelStage(spatial_dims, features, nn.PReLU, even=even)
        self.refine = nn.Sequential(
            *(BasicBlock(spatial_dims, features, batch_norm=False) for _ in range(refine_blocks))
        )
        self.second_doubling = SubpixelStage(spatial_dims, features, nn.PReLU, even=even)
        self.tail = convolution(spatial_dims, features, channels)
        initialise(self)
        for block in [*self.trunk, *self.refine]:
            shrink(cast(BasicBlock, block).branch[3:])
        shrink(self.tail)

    @property
    def halo(self) -> int:
        """See `Enlarger.halo`; 39 at full size."""
        after_first = 2 * len(self.refine) + reach_before_stages(1, 1)
        return max(self.kernels) // 2 + 2 * len(self.trunk) + reach_before_stages(after_first, 1)

    def detail(self, coarse: Tensor, scale: int) -> Tensor:
        """See `Enlarger.detail`."""
        fine: Tensor = self.tail(self.second_doubling(self._doubled(coarse)))
        return fine

    def intermediate(self, coarse: Tensor) -> Tensor:
        """The picture at twice the size: ``(B, C, *size)`` -> ``(B, C, *size * 2)``."""
        self.check_shape(coarse)
        return self._half_way(coarse, self._doubled(coarse))

    def pictures(self, coarse: Tensor) -> tuple[Tensor, Tensor]:
        """The pictures at twice and four times the size from one pass, for a training that compares both."""
        self.check_shape(coarse)
        doubled = self._doubled(coarse)
        fine: Tensor = self.tail(self.second_doubling(doubled))
        if self.global_residual:
            fine = fine + enlarge_cubic(coarse, 4)
        return self._half_way(coarse, doubled), fine

    def _doubled(self, coarse: Tensor) -> Tensor:
        shallow = self.merge(torch.cat([path(coarse) for path in self.paths], 1))
        deep = shallow + self.trunk(shallow)
        features: Tensor = self.refine(self.first_doubling(deep))
        return features

    def _half_way(self, coarse: Tensor, doubled: Tensor) -> Tensor:
        picture: Tensor = self.tail(doubled)
        return picture + enlarge_cubic(coarse, 2) if self.global_residual else picture
