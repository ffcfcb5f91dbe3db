"""TextureNet: a small 2D encoder that is trained in this project, for perceptual comparisons without foreign weights.

Four levels of two convolutions with ReLU, halved by means between them; the maps of all levels are compared, as Zhang
et al. (2018) do, fine texture and coarse structure alike. Our own; no published network.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from medsr.errors import InvalidValueError
from medsr.models.features.weights import load_weights
from medsr.models.layers import convolution, initialise

CENTRE = 0.5
"""Subtracted from intensities, so that features do not all follow the mean."""


class TextureNet(nn.Module):
    """Feature maps of four sizes.

    Args:
        spatial_dims: 2 only.
        channels: of the image.
        widths: features of each level.
        weights: file; empty for random ones.
    """

    def __init__(
        self,
        spatial_dims: int = 2,
        channels: int = 1,
        widths: Sequence[int] = (16, 32, 64, 96),
        weights: str = "",
    ) -> None:
        super().__init__()
        if spatial_dims != 2:
            raise InvalidValueError(f"texture-net sees 2D images, got {spatial_dims}D. Use resnet10 for volumes.")
        self.levels = nn.ModuleList(
            nn.Sequential(
                nn.AvgPool2d(2) if number else nn.Identity(),
                convolution(2, inputs, outputs),
                nn.ReLU(),
                convolution(2, outputs, outputs),
                nn.ReLU(),
            )
            for number, (inputs, outputs) in enumerate(zip((channels, *widths), widths, strict=False))
        )
        initialise(self, "relu")
        if weights:
            load_weights(self, weights)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """``(B, C, *size)`` -> per level ``(B, width, *size / 2^level)``, rounded down."""
        x = image - CENTRE
        maps = []
        for level in self.levels:
            x = level(x)
            maps.append(x)
        return tuple(maps)
