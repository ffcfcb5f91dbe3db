"""SRResNet, the generator of SRGAN (Ledig et al. 2017, "Photo-realistic single image super-resolution").

From the source: 16 residual blocks of 64 features with batch normalisation, a long skip, two sub-pixel stages.
Ours: one slope per PReLU; images in [0, 1] in and out (there [0, 1] and [-1, 1]); batch normalisation and the sum
with the interpolated input are options (there always and never); small weights at first.
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from medsr.models.enlarger import Enlarger, doublings
from medsr.models.layers import BATCH_NORMS, SubpixelStage, convolution, initialise, reach_before_stages, shrink


class ResidualBlock(nn.Module):
    """conv - (norm) - PReLU - conv - (norm), plus the input."""

    def __init__(self, spatial_dims: int, features: int, batch_norm: bool) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            convolution(spatial_dims, features, features),
            BATCH_NORMS[spatial_dims](features) if batch_norm else nn.Identity(),
            nn.PReLU(),
            convolution(spatial_dims, features, features),
            BATCH_NORMS[spatial_dims](features) if batch_norm else nn.Identity(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, features, *size)`` -> the same shape."""
        change: Tensor = self.branch(x)
        return x + change


class SRResNet(Enlarger):
    """Residual network that works on the coarse grid and enlarges at its end.

    Args:
        spatial_dims: 2 (the source) or 3.
        channels: of the image.
        scale: a power of two; 4 in the source.
        features: width of the network.
        blocks: number of residual blocks.
        batch_norm: normalise inside the blocks, as the source does.
        global_residual: add the answer to the cubic interpolation; not in the source, helps short trainings.
        even: sub-pixel convolutions answer a flat input evenly, see `SubpixelStage`; in no source, prevents grids.
    """

    def __init__(
        self,
        spatial_dims: int = 2,
        channels: int = 1,
        scale: int = 4,
        features: int = 64,
        blocks: int = 16,
        batch_norm: bool = True,
        global_residual: bool = False,
        even: bool = False,
    ) -> None:
        super().__init__(spatial_dims, channels, (scale,), global_residual)
        self.head = nn.Sequential(convolution(spatial_dims, channels, features, 9), nn.PReLU())
        self.blocks = nn.Sequential(*(ResidualBlock(spatial_dims, features, batch_norm) for _ in range(blocks)))
        self.fuse = nn.Sequential(
            convolution(spatial_dims, features, features),
            BATCH_NORMS[spatial_dims](features) if batch_norm else nn.Identity(),
        )
        self.stages = nn.Sequential(
            *(SubpixelStage(spatial_dims, features, nn.PReLU, even=even) for _ in range(doublings(scale)))
        )
        self.tail = convolution(spatial_dims, features, channels, 9)
        initialise(self)
        for block in self.blocks:
            shrink(cast(ResidualBlock, block).branch[3:])
        shrink(self.tail)

    @property
    def halo(self) -> int:
        """See `Enlarger.halo`: both 9-voxel convolutions, two per block, the one after the blocks, the stages."""
        return 4 + 2 * len(self.blocks) + 1 + reach_before_stages(4, len(self.stages))

    def detail(self, coarse: Tensor, scale: int) -> Tensor:
        """See `Enlarger.detail`."""
        shallow = self.head(coarse)
        deep = shallow + self.fuse(self.blocks(shallow))
        fine: Tensor = self.tail(self.stages(deep))
        return fine
