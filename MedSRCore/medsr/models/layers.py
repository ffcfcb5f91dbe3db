"""What several networks are made of: layers by dimension, folding, sub-pixel stages, reach and starting weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, cast

from torch import Tensor, nn
from torch.func import functional_call

CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}
BATCH_NORMS = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}

SHRUNKEN = 0.1
"""Factor on the starting weights of a layer whose output is added to something that is right already."""


def fold(x: Tensor, side: int = 2) -> Tensor:
    """Space to depth: ``(B, C, *size)`` -> ``(B, C side^d, *size / side)``; inverse of `unfold`."""
    batch, channels, *size = x.shape
    dims = len(size)
    split = x.reshape(batch, channels, *(part for n in size for part in (n // side, side)))
    inner = [3 + 2 * i for i in range(dims)]
    outer = [2 + 2 * i for i in range(dims)]
    return split.permute(0, 1, *inner, *outer).reshape(batch, channels * side**dims, *(n // side for n in size))


def unfold(x: Tensor, side: int = 2) -> Tensor:
    """Depth to space: ``(B, C side^d, *size)`` -> ``(B, C, *size * side)``; inverse of `fold`.

    In 2D what `torch.nn.PixelShuffle` does, with the same order of channels.
    """
    batch, channels, *size = x.shape
    dims = len(size)
    split = x.reshape(batch, channels // side**dims, *([side] * dims), *size)
    order = [axis for i in range(dims) for axis in (2 + dims + i, 2 + i)]
    return split.permute(0, 1, *order).reshape(batch, channels // side**dims, *(n * side for n in size))


def bias_of(layer: nn.Module) -> Tensor:
    """The bias of a layer that has one."""
    return cast("Tensor", layer.bias)


def convolution(spatial_dims: int, inputs: int, outputs: int, side: int = 3) -> nn.Module:
    """A convolution with odd `side` that keeps the size (zeros outside), with bias."""
    return CONVOLUTIONS[spatial_dims](inputs, outputs, side, padding=side // 2)


class SubpixelStage(nn.Module):
    """Twice the size: convolution to ``C 2^d`` channels, depth to space, activation (Shi et al. 2016).

    Args:
        spatial_dims: 2 or 3.
        features: channels before and after.
        activation: makes the activation; None for none.
        even: use `evened` weights: where the input is flat, so is the output, and no grid of the input's voxels shows.
    """

    def __init__(
        self,
        spatial_dims: int,
        features: int,
        activation: Callable[[], nn.Module] | None = None,
        *,
        even: bool = False,
    ) -> None:
        super().__init__()
        self.convolution = convolution(spatial_dims, features, features * 2**spatial_dims)
        self.activation = activation() if activation else nn.Identity()
        self.places = 2**spatial_dims
        self.even = even

    def forward(self, x: Tensor) -> Tensor:
        """``(B, features, *size)`` -> ``(B, features, *size * 2)``."""
        enlarged: Tensor = self.activation(unfold(self._convolve(x)))
        return enlarged

    def _convolve(self, x: Tensor) -> Tensor:
        layer = self.convolution
        if not self.even:
            wide: Tensor = layer(x)
        else:
            wide = functional_call(layer, {name: evened(p, self.places) for name, p in layer.named_parameters()}, (x,))
        return wide


def evened(parameter: Tensor, places: int) -> Tensor:
    """Weights or bias of a convolution before `unfold` with equal sums at all `places` that an output channel has.

    The sum of a kernel is its answer to a flat input. Where it differs between places, every flat region shows a
    pattern that repeats with the voxels of the input. What is taken from a kernel is taken evenly from all its weights.

    Args:
        parameter: ``(C places, inputs, *size)``, or ``(C places,)``.
        places: of an output channel inside a voxel of the input.
    """
    grouped = parameter.reshape(-1, places, *parameter.shape[1:])
    means = grouped.mean(tuple(range(3, grouped.dim())), keepdim=True) if grouped.dim() > 3 else grouped
    even: Tensor = (grouped - means + means.mean(1, keepdim=True)).flatten(0, 1)
    return even


def reach_before(fine_reach: int, factor: int = 2) -> int:
    """How many coarse voxels lie within `fine_reach` fine ones, in the worst place of a coarse voxel."""
    return -(-fine_reach // factor)


def reach_before_stages(fine_reach: int, stages: int) -> int:
    """The reach on the input of `stages` `SubpixelStage`s of what reaches `fine_reach` on their output."""
    for _ in range(stages):
        fine_reach = reach_before(fine_reach) + 1
    return fine_reach


def initialise(network: nn.Module, activation: Literal["relu", "linear"] = "linear") -> None:
    """Kaiming's normal starting weights for every convolution and linear layer, biases at nought.

    Args:
        network: gets the weights.
        activation: what follows most layers. With "relu" a plain chain of layers neither fades nor grows; where
            blocks add to what they got, "linear" keeps the sum from growing.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity=activation)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def shrink(layer: nn.Module, factor: float = SHRUNKEN) -> None:
    """Make the starting weights of a layer smaller."""
    for parameter in layer.parameters():
        parameter.data *= factor
