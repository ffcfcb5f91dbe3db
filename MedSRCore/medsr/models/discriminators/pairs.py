"""Patch discriminator of Wang Qi et al. (MIDL 2022; three-player GAN, MLCN 2023), 3D.

From the source (their public code): pairs of 3-voxel convolutions of 64, 128, 256 and 512 features, the second of
stride 2, each normalised but the very first, leaky ReLU of 0.2, and one convolution to a logit per patch: 4^3 of them
for 64^3 voxels. Batch normalisation in the first work; instance or spectral selectable in the second.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from medsr.models.discriminators.norms import check_norm, normed
from medsr.models.layers import CONVOLUTIONS, convolution

SLOPE = 0.2


class Pairs(nn.Module):
    """One logit per patch of 16 voxels a side (with four widths); patches overlap.

    Args:
        spatial_dims: 3 (the source) or 2.
        channels: of the image.
        widths: features of each pair.
        norm: "batch", "instance", "spectral" or "none".
    """

    size_multiple = 1

    def __init__(
        self,
        spatial_dims: int = 3,
        channels: int = 1,
        widths: Sequence[int] = (64, 128, 256, 512),
        norm: str = "batch",
    ) -> None:
        super().__init__()
        check_norm(norm)
        layers: list[nn.Module] = []
        inputs = channels
        for width in widths:
            for stride in (1, 2):
                layer = CONVOLUTIONS[spatial_dims](inputs, width, 3, stride=stride, padding=1)
                # Spectral normalisation is of the weights; the source puts it on the first convolution too.
                bare = not layers and norm != "spectral"
                layers += [layer] if bare else normed(layer, spatial_dims, width, norm)
                layers.append(nn.LeakyReLU(SLOPE))
                inputs = width
        self.pairs = nn.Sequential(*layers)
        self.tail = convolution(spatial_dims, inputs, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Judge ``(B, C, *size)``: ``(B, 1, *size / 2^pairs)``, rounded up."""
        logits: Tensor = self.tail(self.pairs(image))
        return logits
