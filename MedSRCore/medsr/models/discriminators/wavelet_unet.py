"""Wavelet-informed U-Net discriminator of DISGAN (Wang Qi et al., ICCV Workshops 2023), 3D.

From the source (its public code, which has no licence; reimplemented): 16 features at the full size; five levels, each
half the size of the one before. A level joins strided convolutions with the smooth Haar band of its input, passed
through a convolution of one voxel to an eighth of the channels; the detail bands, passed through another, go to the
decoder beside the level itself. A sixth level has no wavelet. Decoder of transposed convolutions, the last step
interpolated. Dense residual blocks throughout; batch normalisation on all blocks but the lowest. A logit per voxel;
42,653,827 parameters in 3D.
Ours: other widths and depths, 2D; Kaiming's starting weights in place of N(0, 1), which let the logits of the first
steps reach tens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from medsr.errors import InvalidValueError
from medsr.models.haar import haar_bands
from medsr.models.layers import BATCH_NORMS, CONVOLUTIONS, convolution, initialise, shrink
from medsr.models.rrdb import DenseBlock

TRANSPOSED = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
INTERPOLATION = {2: "bilinear", 3: "trilinear"}
SLOPE = 0.2
WIDEST = 8
"""Levels get wider by two up to this multiple of the first."""


class WaveletUnit(nn.Module):
    """Haar bands of a level, narrowed: the smooth one for the next level, the details for the decoder."""

    def __init__(self, spatial_dims: int, channels: int, narrow: int) -> None:
        super().__init__()
        self.smooth = convolution(spatial_dims, channels, narrow, 1)
        self.detail = convolution(spatial_dims, channels * (2**spatial_dims - 1), narrow, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, channels, *size)`` -> two of ``(B, narrow, *size / 2)``."""
        bands = haar_bands(x)
        return self.smooth(bands[:, :, 0]), self.detail(bands[:, :, 1:].flatten(1, 2))


def _down(spatial_dims: int, inputs: int, outputs: int, norm: bool) -> nn.Sequential:
    return nn.Sequential(
        nn.LeakyReLU(SLOPE),
        CONVOLUTIONS[spatial_dims](inputs, outputs, 4, stride=2, padding=1, bias=False),
        DenseBlock(spatial_dims, outputs, outputs),
        BATCH_NORMS[spatial_dims](outputs) if norm else nn.Identity(),
    )


def _up(spatial_dims: int, inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(),
        TRANSPOSED[spatial_dims](inputs, outputs, 4, stride=2, padding=1, bias=False),
        DenseBlock(spatial_dims, outputs, outputs),
        BATCH_NORMS[spatial_dims](outputs),
    )


def _last_up(spatial_dims: int, inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(),
        nn.Upsample(scale_factor=2, mode=INTERPOLATION[spatial_dims]),
        DenseBlock(spatial_dims, inputs, inputs),
        CONVOLUTIONS[spatial_dims](inputs, outputs, 1, bias=False),
        BATCH_NORMS[spatial_dims](outputs),
    )


class WaveletUNet(nn.Module):
    """One logit per voxel.

    Args:
        spatial_dims: 3 (the source) or 2.
        channels: of the image.
        features: width of the first level.
        levels: levels with a wavelet.
    """

    def __init__(self, spatial_dims: int = 3, channels: int = 1, features: int = 16, levels: int = 5) -> None:
        super().__init__()
        if features < 2 or levels < 2:
            raise InvalidValueError(f"features and levels must be at least 2, got {features} and {levels}.")
        self.size_multiple = 2 ** (levels + 1)
        widths = [features * min(2**level, WIDEST) for level in range(levels + 1)]
        inputs = [channels, *widths[: levels - 1]]
        narrow = [max(width // WIDEST, 1) for width in inputs]
        self.start = nn.Sequential(convolution(spatial_dims, channels, features), BATCH_NORMS[spatial_dims](features))
        self.units = nn.ModuleList(WaveletUnit(spatial_dims, *pair) for pair in zip(inputs, narrow, strict=True))
        first = CONVOLUTIONS[spatial_dims](features, widths[0] - narrow[0], 4, stride=2, padding=1, bias=False)
        self.downs = nn.ModuleList(
            [first, *(_down(spatial_dims, inputs[i], widths[i] - narrow[i], norm=True) for i in range(1, levels))]
        )
        self.bottom = _down(spatial_dims, widths[levels - 1], widths[levels], norm=False)
        ups = [_up(spatial_dims, widths[levels], widths[levels - 1])]
        for level in range(levels - 1, 0, -1):
            ups.append(_up(spatial_dims, 2 * widths[level] + narrow[level], widths[level - 1]))
        self.ups = nn.ModuleList(ups)
        self.last_up = _last_up(spatial_dims, 2 * widths[0] + narrow[0], 2 * features)
        self.tail = nn.Sequential(
            convolution(spatial_dims, 3 * features, 2 * features),
            BATCH_NORMS[spatial_dims](2 * features),
            convolution(spatial_dims, 2 * features, 1),
        )
        initialise(self)
        for module in self.modules():
            if isinstance(module, DenseBlock):
                shrink(module.layers)
        shrink(self.tail[2])

    def forward(self, image: Tensor) -> Tensor:
        """Judge ``(B, C, *size)``: ``(B, 1, *size)``; raise InvalidValueError for a size of no fitting multiple."""
        if any(n % self.size_multiple for n in image.shape[2:]):
            raise InvalidValueError(
                f"Every side must be a multiple of {self.size_multiple}, got {tuple(image.shape[2:])}. "
                "Choose other patches, or fewer levels."
            )
        start = self.start(image)
        level, x = image, start
        seen: list[tuple[Tensor, Tensor]] = []
        for unit, down in zip(self.units, self.downs, strict=True):
            smooth, detail = unit(level)
            level = x = torch.cat([down(x), smooth], 1)
            seen.append((level, detail))
        x = self.bottom(x)
        for up, (level, detail) in zip(self.ups, reversed(seen), strict=True):
            x = torch.cat([up(x), level, detail], 1)
        logits: Tensor = self.tail(torch.cat([self.last_up(x), start], 1))
        return logits
