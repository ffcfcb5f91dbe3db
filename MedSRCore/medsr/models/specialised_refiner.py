"""A ProfileRefiner for one acquisition, which runs in little more memory than one layer's features.

A residual block needs its input, a hidden layer and its change at once. Here the three never exist whole: the block
walks along the first axis in slabs, keeps the two hidden planes that the next slab still reads, and adds the change in
place. No plane is computed twice, so this costs no time (as rolling buffers do in image pipelines).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from medsr.models.layers import bias_of, fold, unfold
from medsr.models.profile_refiner import CENTRE, FOLD, ConditionedBlock, ProfileRefiner

SLAB_VOXELS = {"cpu": 8.0e4, "cuda": 2.0e6}
"""Folded voxels that are computed at once: enough to occupy the processor."""

_FIRST_LAYER_SHARE = 4
"""PyTorch unrolls the neighbours of so few channels in memory, so the first layer walks in smaller slabs."""


class SpecialisedRefiner(nn.Module):
    """The modulation is folded into the weights, and blocks run slab by slab. For inference only.

    Gives what the general network gives for that condition.

    Args:
        network: the trained network.
        condition: what `acquisition_condition` gives.
    """

    def __init__(self, network: ProfileRefiner, condition: Tensor) -> None:
        super().__init__()
        with torch.no_grad():
            embedded = network.embed(condition[None])
            self.head, self.tail = deepcopy(network.head), deepcopy(network.tail)
            # The fixed transforms of the folded block become part of the first and last convolution.
            self.head.weight.copy_(torch.einsum("oi...,ij->oj...", network.head.weight, network.analysis))
            self.tail.weight.copy_(torch.einsum("oi,ij...->oj...", network.synthesis, network.tail.weight))
            bias_of(self.tail).copy_(network.synthesis @ bias_of(network.tail))
            self.pairs = nn.ModuleList()
            for block in cast("Iterable[ConditionedBlock]", network.blocks):
                first, second = deepcopy(block.first), deepcopy(block.second)
                scale, shift = block.modulation(embedded)[0].chunk(2)
                first.weight.mul_((1 + scale).reshape(-1, *[1] * (first.weight.dim() - 1)))
                bias_of(first).mul_(1 + scale).add_(shift)
                self.pairs.append(nn.ModuleList([first, second]))
        self.requires_grad_(False)
        self._reduced = False

    def reduce_precision(self) -> None:
        """Compute all but the first layer in bfloat16: half the memory; half the time where the CPU multiplies it.

        The first layer reads the image, and bfloat16 cannot hold the small differences between its voxels.

        Features are rounded ``3 blocks + 2`` times on their way, each time by at most 2^-8 of a value. Inputs that
        differ in their last digits, as those of a tile and of the whole volume do, are not always rounded the same
        way; results then differ by up to ``2 * 2^-8 * sqrt(3 blocks + 2)`` of the largest correction.
        """
        for part in (self.pairs, self.tail):
            part.to(torch.bfloat16)
        self._reduced = True

    def forward(self, x: Tensor) -> Tensor:
        """``(B, 1, *size)`` -> the same, as `ProfileRefiner.forward`."""
        features = self._features(x)
        for pair in self.pairs:
            first, second = pair.children()
            _add_change(features, first, second)
        out = torch.empty_like(x)
        for start, stop in _slabs(features.shape[2:], features.device.type):
            change = _convolve(self.tail, _planes(features, start - 1, stop + 1))
            fine = slice(FOLD * start, FOLD * stop)
            out[:, :, fine] = x[:, :, fine] + unfold(change.to(x.dtype))
        return out

    def _features(self, x: Tensor) -> Tensor:
        """The first layer's."""
        size = [n // FOLD for n in x.shape[2:]]
        layout = torch.channels_last_3d if x.dim() == 5 else torch.channels_last
        features = x.new_empty(0)
        for start, stop in _slabs(size, x.device.type, _FIRST_LAYER_SHARE):
            # Outside the image the first layer reads zeros, as its padding would be.
            around = _planes(x, FOLD * (start - 1), FOLD * (stop + 1), outside=CENTRE)
            part = _convolve(self.head, fold(around - CENTRE))
            if start == 0:  # under mixed precision the first part tells the type
                kind = torch.bfloat16 if self._reduced else part.dtype
                shape = (*part.shape[:2], *size)
                features = torch.empty(shape, dtype=kind, device=x.device, memory_format=layout)
            features[:, :, start:stop] = part
        return features


def _add_change(features: Tensor, first: nn.Module, second: nn.Module) -> None:
    """``features += second(relu(first(features)))``, in place and slab by slab."""
    # Hidden planes -1, outside and so zero, and 0: those that the first slab does not compute.
    kept = _planes(_convolve(first, _planes(features, -1, 2)).relu_(), -1, 1)
    for start, stop in _slabs(features.shape[2:], features.device.type):
        # Reads planes from `start` on, which are still unchanged, and gives hidden planes start + 1 to stop.
        ahead = _convolve(first, _planes(features, start, stop + 2)).relu_()
        hidden = torch.cat([kept, ahead], dim=2)
        if stop == features.shape[2]:
            hidden[:, :, -1] = 0  # outside
        kept = hidden[:, :, -2:].clone()
        features[:, :, start:stop] += _convolve(second, hidden)


def _slabs(size: Sequence[int], device: str, share: int = 1) -> Iterator[tuple[int, int]]:
    """Consecutive ranges of planes of `size`, each at most a `share`-th of what the device is given at once."""
    planes = size[0]
    count = math.ceil(math.prod(size) * share / SLAB_VOXELS[device])
    # Even ones: PyTorch unrolls slivers in memory instead of giving them to oneDNN.
    step = math.ceil(planes / count)
    for start in range(0, planes, step):
        yield start, min(start + step, planes)


def _planes(x: Tensor, start: int, stop: int, outside: float = 0.0) -> Tensor:
    """Planes `start` to `stop` of ``(B, C, *size)``; `outside` where there are none."""
    before, after = max(-start, 0), max(stop - x.shape[2], 0)
    inside = x[:, :, max(start, 0) : stop]
    edges = [0, 0] * (x.dim() - 3) + [before, after]
    return functional.pad(inside, edges, value=outside) if before or after else inside


def _convolve(layer: nn.Module, x: Tensor) -> Tensor:
    """A 3 x 3 (x 3) layer whose input has the planes around those that are wanted: two fewer come out."""
    convolution = functional.conv3d if x.dim() == 5 else functional.conv2d
    return convolution(x, cast("Tensor", layer.weight), bias_of(layer), padding=[0] + [1] * (x.dim() - 3))
