"""Seven convolutions for chest radiographs, one network for several factors (Zamzmi et al. 2020, Applied Sciences).

From the source (its public code, reimplemented): the image comes interpolated to the fine size; batch normalisation of
it on the branch; convolutions with 8, 16, 32, 64, 128, 256 features and ReLU, dilation 2 in the fourth to sixth; a
seventh makes the picture, to which the interpolated image is added. Factors 2, 3, 4 and 8; starting weights of Glorot.
Ours: the interpolation is Pillow's bicubic and happens inside; the last layer starts at a tenth, near that
interpolation; 3D. It looks 10 fine voxels far: "whole image" in the source is how it was trained, not what it sees.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from medsr.errors import InvalidValueError
from medsr.models.enlarger import Enlarger
from medsr.models.interpolation import cubic_reach, enlarge_cubic
from medsr.models.layers import BATCH_NORMS, CONVOLUTIONS, convolution, shrink

PLAIN_LAYERS = 3
"""Layers before those with dilation 2."""


class VDSR7(Enlarger):
    """Refines the interpolated image; the same weights for every scale.

    Args:
        spatial_dims: 2 (the source) or 3.
        channels: of the image.
        scales: whole factors that it is trained for.
        widths: features of each layer but the last.
    """

    def __init__(
        self,
        spatial_dims: int = 2,
        channels: int = 1,
        scales: Sequence[int] = (2, 3, 4, 8),
        widths: Sequence[int] = (8, 16, 32, 64, 128, 256),
    ) -> None:
        super().__init__(spatial_dims, channels, scales, global_residual=True)
        self.widths = tuple(widths)
        if not self.widths or min(self.widths) < 1:
            raise InvalidValueError(f"widths must be one positive number per layer, got {list(self.widths)}.")
        self.norm = BATCH_NORMS[spatial_dims](channels)
        layers: list[nn.Module] = []
        for number, (inputs, outputs) in enumerate(zip((channels, *self.widths), self.widths, strict=False)):
            dilation = 1 if number < PLAIN_LAYERS else 2
            layers += [
                CONVOLUTIONS[spatial_dims](inputs, outputs, 3, padding=dilation, dilation=dilation),
                nn.ReLU(),
            ]
        self.trunk = nn.Sequential(*layers)
        self.tail = convolution(spatial_dims, self.widths[-1], channels)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        shrink(self.tail)

    @property
    def fine_reach(self) -> int:
        """Receptive radius in voxels of the interpolated image."""
        plain = min(PLAIN_LAYERS, len(self.widths))
        return plain + 2 * (len(self.widths) - plain) + 1

    @property
    def halo(self) -> int:
        """See `Enlarger.halo`; 7, that of factor two, with the source's layers."""
        return max(cubic_reach(self.fine_reach, scale) for scale in self.scales)

    def detail(self, coarse: Tensor, scale: int) -> Tensor:
        """See `Enlarger.detail`."""
        detail: Tensor = self.tail(self.trunk(self.norm(enlarge_cubic(coarse, scale))))
        return detail
