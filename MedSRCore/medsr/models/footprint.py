"""What a network costs per voxel of its output, so that time and memory of a job are known without running it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from medsr.models.enlarger import Enlarger

_SIDE = {2: 32, 3: 12}
"""Voxels along each axis of the image on which the network is measured."""

_HELD_BESIDE = 1.5
"""Skip connections and copies, beside the input and output of the layer that holds most."""


@dataclass(frozen=True)
class Footprint:
    """Costs per voxel of the output, the largest over the scales.

    Attributes:
        multiply_adds: of convolutions and linear layers.
        values: numbers held in memory at most.
    """

    multiply_adds: float
    values: float


def footprint(network: Enlarger) -> Footprint:
    """Run `network` once per scale on a small image and count."""
    found = [_measured(network, scale) for scale in network.scales]
    return Footprint(
        round(max(f.multiply_adds for f in found), 1), round(_HELD_BESIDE * max(f.values for f in found), 1)
    )


def _measured(network: Enlarger, scale: int) -> Footprint:
    operations: list[int] = []
    held: list[int] = []

    def count(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        held.append(inputs[0].numel() + output.numel())
        weight = getattr(module, "weight", None)
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.Linear) and isinstance(weight, Tensor):
            operations.append(output.numel() * weight[0].numel())

    layers = [module for module in network.modules() if not list(module.children())]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    side = _SIDE[network.spatial_dims]
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros(1, network.channels, *[side] * network.spatial_dims), scale)
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    voxels = math.prod([side * scale] * network.spatial_dims)
    return Footprint(sum(operations) / voxels, max(held) / voxels)
