"""Fitting an error scale to examples, by quantile regression in PyTorch.

The network is that of `medsr.inference.error_scale`, which runs it in numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medsr.evaluation.scale_examples import Example
from medsr.inference import error_scale
from medsr.inference.calibration import COVERAGE

_CHANNELS = 16
_PATCH = 40
_BATCH = 4
_RATE, _WARMUP, _COOLDOWN = 2e-3, 100, 0.4
_FIRST = -4.0
"""Logarithm of the half-widths before training."""

_RELATIVE_SHARE, _RELATIVE_FLOOR = 0.3, 0.02
"""Of the loss in logarithms, so that small errors are told apart too, and what counts as next to none there."""

_LEAST = 2e-3


class ScaleNetwork(nn.Module):
    """Three convolutions and a linear layer over blocks, each shifted by the condition."""

    def __init__(self, condition: int) -> None:
        super().__init__()
        widths = [2 * error_scale.BLOCK, *[_CHANNELS] * error_scale.LAYERS]
        self.convolutions = nn.ModuleList(nn.Conv3d(a, b, 3) for a, b in pairwise(widths))
        self.head = nn.Conv3d(_CHANNELS, error_scale.BLOCK, 1)
        self.shifts = nn.ModuleList(
            nn.Linear(condition, n, bias=False) for n in [*[_CHANNELS] * error_scale.LAYERS, error_scale.BLOCK]
        )
        for name, values in self.named_parameters():
            if name.startswith(("shifts", "head.weight")):
                nn.init.zeros_(values)
            elif name == "head.bias":
                nn.init.constant_(values, _FIRST)

    def forward(self, blocks: Tensor, condition: Tensor) -> Tensor:
        """Folded images ``(B, 16, d, h, w)`` -> logarithms of half-widths ``(B, 8, d - 6, h - 6, w - 6)``."""
        for convolution, shift in zip(self.convolutions, self.shifts, strict=False):
            blocks = nn.functional.leaky_relu(
                convolution(blocks) + shift(condition)[:, :, None, None, None], error_scale.LEAK
            )
        out: Tensor = self.head(blocks) + self.shifts[-1](condition)[:, :, None, None, None]
        return out.clamp(*error_scale.LIMITS)

    def weights(self) -> dict[str, NDArray[np.float16]]:
        """What `ErrorScale` takes, in half precision."""
        state = self.state_dict()
        found = {
            "head": state["head.weight"].flatten(1).T,
            "bias_head": state["head.bias"],
            "condition_head": state[f"shifts.{error_scale.LAYERS}.weight"].T,
        }
        for number in range(error_scale.LAYERS):
            kernel = state[f"convolutions.{number}.weight"]
            found[f"conv{number}"] = kernel.permute(2, 3, 4, 1, 0).flatten(0, 2)
            found[f"bias{number}"] = state[f"convolutions.{number}.bias"]
            found[f"condition{number}"] = state[f"shifts.{number}.weight"].T
        return {name: value.numpy().astype(np.float16) for name, value in found.items()}


def fit(
    example: Callable[[int], Example],
    count: int,
    steps: int,
    *,
    seed: int = 0,
    watch: Callable[[int, float], None] | None = None,
) -> ScaleNetwork:
    """A network that learned from `count` examples.

    Args:
        example: the example of a number from 0 to `count`; drawn when it is first needed, then kept by the caller.
        count: how many there are.
        steps: of the optimiser.
        seed: of weights, patches and their order.
        watch: receives steps and the running loss.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = ScaleNetwork(len(example(0).condition))
    optimiser = torch.optim.AdamW(network.parameters(), _RATE, weight_decay=1e-3)
    running = 0.0
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = _RATE * min(1, (step + 1) / _WARMUP, (steps - step) / (_COOLDOWN * steps))
        patches = [_patch(example(int(rng.integers(count))), rng) for _ in range(_BATCH)]
        blocks, errors, conditions, units = (torch.stack([p[i] for p in patches]) for i in range(4))
        widths = torch.exp(network(blocks, conditions) - torch.log(units)[:, None, None, None, None])
        loss = quantile_loss(widths, errors)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        running = float(loss.detach()) if step == 0 else 0.98 * running + 0.02 * float(loss.detach())
        if watch:
            watch(step + 1, running)
    return network


def quantile_loss(widths: Tensor, errors: Tensor) -> Tensor:
    """Least where `COVERAGE` of the errors lie below the half-widths (Koenker and Bassett 1978), plain and relative."""
    plain = _pinball(errors - widths)
    relative = _pinball(torch.log(errors + _RELATIVE_FLOOR) - torch.log(widths + _RELATIVE_FLOOR))
    return plain + _RELATIVE_SHARE * relative


def _pinball(short: Tensor) -> Tensor:
    return torch.maximum(COVERAGE * short, -(1 - COVERAGE) * short).mean()


def _patch(example: Example, rng: np.random.Generator) -> Sequence[Tensor]:
    """Folded images with their halo, folded errors in units of their usual size, the condition, and that size."""
    start = [2 * int(rng.integers(0, max(n - _PATCH, 0) // 2 + 1)) for n in example.errors.shape]
    box = tuple(slice(a, a + _PATCH) for a in start)
    images = [image[box] for image in (example.result, example.plain, example.errors)]
    missing = [(0, _PATCH - n) for n in images[0].shape]
    images = [np.pad(image, missing, mode="edge") for image in images]
    turned = tuple(axis for axis in range(3) if rng.random() < 0.5)
    result, plain, errors = (np.flip(image, turned) for image in images)
    blocks = error_scale.seen(*(np.pad(image, error_scale.HALO, mode="edge") for image in (result, plain)))
    unit = max(float(np.quantile(errors, COVERAGE)), _LEAST)
    channels_first = np.moveaxis(blocks, -1, 0), np.moveaxis(error_scale.blocks_of(errors), -1, 0) / unit
    return [torch.from_numpy(np.array(part, dtype=np.float32)) for part in (*channels_first, example.condition, unit)]
