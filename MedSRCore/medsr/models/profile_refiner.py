"""ProfileRefiner: adds to a known-profile deconvolution what the closed form cannot know.

The input is the Tikhonov solution on the *target* grid, whatever the factors were, so one network serves
every grid. It works on blocks of 2 x 2 (x 2) voxels folded into channels (space to depth, Shi et al. 2016),
an eighth of the voxels in 3D, through residual blocks without normalisation (EDSR, Lim et al. 2017), and adds
its answer to the input. A short vector that describes the acquisition scales and shifts the features of every
block (FiLM, Perez et al. 2018).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from medsr.errors import InvalidValueError
from medsr.models.haar import haar
from medsr.models.layers import CONVOLUTIONS, bias_of, fold, unfold
from medsr.physics.condition import PER_AXIS

FOLD = 2
"""Side of the block of voxels that is folded into channels."""

CENTRE = 0.5
"""Subtracted from the mean of a block, so that features do not all follow the mean intensity."""

DETAIL_GAIN = 8.0
"""Differences within a block are small beside its mean; at this gain the network meets both at the same size."""

STEP = 0.1
"""Size of a typical correction. With the tail's weights of usual size, one optimiser step changes the output little."""


class ConditionedBlock(nn.Module):
    """conv - scale and shift - ReLU - conv, plus the input."""

    def __init__(self, spatial_dims: int, channels: int, condition_width: int) -> None:
        super().__init__()
        convolution = CONVOLUTIONS[spatial_dims]
        self.first = convolution(channels, channels, 3, padding=1)
        self.second = convolution(channels, channels, 3, padding=1)
        self.modulation = nn.Linear(condition_width, 2 * channels)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        for layer in (self.first, self.second):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(bias_of(layer))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """``(B, channels, *size)`` and the embedded condition -> the same shape."""
        scale, shift = self.modulation(condition).reshape(x.shape[0], 2, -1, *[1] * (x.dim() - 2)).unbind(1)
        hidden = torch.relu(self.first(x) * (1 + scale) + shift)
        change: Tensor = self.second(hidden)
        return x + change


class ProfileRefiner(nn.Module):
    """Refines a deconvolved image on the target grid.

    Args:
        spatial_dims: 2 or 3.
        channels: features per folded voxel.
        blocks: number of residual blocks.
        condition_width: width of the embedding of that vector.
    """

    analysis: Tensor
    synthesis: Tensor

    def __init__(
        self,
        spatial_dims: int = 3,
        channels: int = 64,
        blocks: int = 5,
        condition_width: int = 64,
    ) -> None:
        super().__init__()
        if spatial_dims not in CONVOLUTIONS:
            raise InvalidValueError(f"spatial_dims must be 2 or 3, got {spatial_dims}.")
        convolution = CONVOLUTIONS[spatial_dims]
        folded = FOLD**spatial_dims
        self.spatial_dims = spatial_dims
        gain = torch.full((folded, 1), DETAIL_GAIN)
        gain[0] = 1.0
        # Fixed, so not part of the weights file.
        self.register_buffer("analysis", gain * haar(spatial_dims), persistent=False)
        self.register_buffer("synthesis", STEP * folded * haar(spatial_dims).T, persistent=False)
        self.embed = nn.Sequential(nn.Linear(PER_AXIS * spatial_dims, condition_width), nn.SiLU())
        self.head = convolution(folded, channels, 3, padding=1)
        self.blocks = nn.ModuleList(ConditionedBlock(spatial_dims, channels, condition_width) for _ in range(blocks))
        self.tail = convolution(channels, folded, 3, padding=1)
        # Nearly nothing at first: training starts from the deconvolution, yet every layer has a gradient.
        nn.init.kaiming_normal_(self.tail.weight)
        self.tail.weight.data *= 0.05
        nn.init.zeros_(bias_of(self.tail))

    @property
    def halo(self) -> int:
        """Receptive radius in voxels of the target grid: how far an output voxel looks."""
        return FOLD * (2 * len(self.blocks) + 2) + FOLD - 1

    @property
    def size_multiple(self) -> int:
        """Every spatial size must be a multiple of this."""
        return FOLD

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Refine.

        Args:
            x: ``(B, 1, *size)``, the deconvolved image, intensities normalised to about [0, 1]; each size even.
            condition: ``(B, PER_AXIS * spatial_dims)``, see `acquisition_condition`.

        Returns:
            ``(B, 1, *size)``, same scale as `x`.
        """
        embedded = self.embed(condition)
        features = self.head(mix(fold(x - CENTRE), self.analysis))
        for block in self.blocks:
            features = block(features, embedded)
        return x + unfold(mix(self.tail(features), self.synthesis))


def mix(x: Tensor, matrix: Tensor) -> Tensor:
    """Multiply the channels of ``(B, C, *size)`` by ``(D, C)``."""
    return torch.einsum("dc,bc...->bd...", matrix.to(x.dtype), x)
