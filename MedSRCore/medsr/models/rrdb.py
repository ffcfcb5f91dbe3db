"""Residual-in-residual dense network: generator of the three-player GAN and of DISGAN (Wang Qi et al. 2023).

From the source (their public code): 3 blocks of three dense blocks of five convolutions, 64 features and growth 64,
leaky ReLU with slope 0.01, residual scale 0.2 inside and outside, a long skip, one sub-pixel stage, two more
convolutions, no normalisation; 16,042,881 parameters in 3D. The block is that of ESRGAN (Wang Xintao et al. 2018).
Ours: other depths, 2D, factors beyond two; the sum with the interpolated input is an option (not in the source);
small weights at first, as in ESRGAN.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from medsr.models.enlarger import Enlarger, doublings
from medsr.models.layers import SubpixelStage, convolution, initialise, reach_before_stages, shrink

SLOPE = 0.01
RESIDUAL_SCALE = 0.2
CONVOLUTIONS_PER_DENSE_BLOCK = 5
DENSE_BLOCKS = 3


def _activation() -> nn.Module:
    return nn.LeakyReLU(SLOPE)


class DenseBlock(nn.Module):
    """Five convolutions, each of everything before it; a fifth of the last is added to the input."""

    def __init__(self, spatial_dims: int, features: int, growth: int) -> None:
        super().__init__()
        last = CONVOLUTIONS_PER_DENSE_BLOCK - 1
        self.layers = nn.ModuleList(
            convolution(spatial_dims, features + i * growth, features if i == last else growth)
            for i in range(CONVOLUTIONS_PER_DENSE_BLOCK)
        )
        self.activation = _activation()

    def forward(self, x: Tensor) -> Tensor:
        """``(B, features, *size)`` -> the same shape."""
        *inner, last = self.layers
        seen = [x]
        for layer in inner:
            seen.append(self.activation(layer(torch.cat(seen, 1))))
        change: Tensor = last(torch.cat(seen, 1))
        return x + RESIDUAL_SCALE * change


class ResidualDenseBlock(nn.Module):
    """Three dense blocks; a fifth of what they make is added to the input."""

    def __init__(self, spatial_dims: int, features: int, growth: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(DenseBlock(spatial_dims, features, growth) for _ in range(DENSE_BLOCKS)))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, features, *size)`` -> the same shape."""
        change: Tensor = self.blocks(x)
        return x + RESIDUAL_SCALE * change


class RRDBNet(Enlarger):
    """Dense residual network that works on the coarse grid and enlarges at its end.

    Args:
        spatial_dims: 3 (the source) or 2.
        channels: of the image.
        scale: a power of two; 2 in the source.
        features: width of the network.
        growth: features that each convolution of a dense block adds.
        blocks: number of residual dense blocks; 3 in the source (2 in its forerunner of 2022).
        global_residual: add the answer to the cubic interpolation; not in the source, helps short trainings.
    """

    def __init__(
        self,
        spatial_dims: int = 3,
        channels: int = 1,
        scale: int = 2,
        features: int = 64,
        growth: int = 64,
        blocks: int = 3,
        global_residual: bool = False,
    ) -> None:
        super().__init__(spatial_dims, channels, (scale,), global_residual)
        self.head = convolution(spatial_dims, channels, features)
        self.blocks = nn.Sequential(*(ResidualDenseBlock(spatial_dims, features, growth) for _ in range(blocks)))
        self.fuse = convolution(spatial_dims, features, features)
        self.stages = nn.Sequential(
            *(SubpixelStage(spatial_dims, features, _activation) for _ in range(doublings(scale)))
        )
        self.refine = nn.Sequential(convolution(spatial_dims, features, features), _activation())
        self.tail = convolution(spatial_dims, features, channels)
        initialise(self)
        for module in self.blocks.modules():
            if isinstance(module, DenseBlock):
                shrink(module.layers)
        shrink(self.tail)

    @property
    def halo(self) -> int:
        """See `Enlarger.halo`; 49 at full size."""
        blocks = CONVOLUTIONS_PER_DENSE_BLOCK * DENSE_BLOCKS * len(self.blocks)
        return 1 + blocks + 1 + reach_before_stages(2, len(self.stages))

    def detail(self, coarse: Tensor, scale: int) -> Tensor:
        """See `Enlarger.detail`."""
        shallow = self.head(coarse)
        deep = shallow + self.fuse(self.blocks(shallow))
        fine: Tensor = self.tail(self.refine(self.stages(deep)))
        return fine
