"""Muon: steps for the weights of hidden layers that have the same length in every direction (Jordan et al. 2024).

The momentum of a weight, read as a matrix of outputs by inputs, is replaced by the nearest matrix with orthonormal
rows, found by a few Newton-Schulz iterations. At the scale of Liu et al. (2025, "Muon is scalable for LLM training",
section 2.2) its steps are as long as Adam's, so one learning rate serves both. Weights that are no hidden layer's
(the first and the last layer, biases, the embedding of the condition) follow Adam.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration of Jordan et al.: it brings singular values near 1 in five steps."""

_ITERATIONS = 5
_SCALE = 0.2
"""Root mean square of Adam's steps, about."""


class Muon(torch.optim.Optimizer):
    """Muon for `hidden`, Adam for `others`.

    Args:
        hidden: weights of convolutions, ``(out, in, *kernel)``.
        others: everything else.
        lr: learning rate of both.
        momentum: decay of Muon's momentum (Nesterov's form).
        betas: of Adam.
    """

    def __init__(
        self,
        hidden: Iterable[Tensor],
        others: Iterable[Tensor],
        lr: float,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
    ) -> None:
        groups = [{"params": list(hidden), "orthogonal": True}, {"params": list(others), "orthogonal": False}]
        super().__init__(groups, {"lr": lr, "momentum": momentum, "betas": betas})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override,unused-ignore]
        """One step; `closure` computes loss and gradients again, where it is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    (_muon if group["orthogonal"] else _adam)(weight, self.state[weight], group)
        return loss


def _muon(weight: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    if not state:
        state["average"] = torch.zeros_like(weight)
    gradient: Tensor = weight.grad  # type: ignore[assignment]
    average = state["average"].lerp_(gradient, 1 - group["momentum"])
    direction = gradient.lerp(average, group["momentum"])
    matrix = direction.flatten(1)
    length = _SCALE * math.sqrt(max(matrix.shape))
    weight.add_(orthogonal(matrix).reshape(weight.shape), alpha=-group["lr"] * length)


def _adam(weight: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    if not state:
        state.update(step=0, average=torch.zeros_like(weight), square=torch.zeros_like(weight))
    state["step"] += 1
    first, second = group["betas"]
    gradient: Tensor = weight.grad  # type: ignore[assignment]
    average = state["average"].lerp_(gradient, 1 - first)
    square = state["square"].lerp_(gradient.square(), 1 - second)
    size = (square / (1 - second ** state["step"])).sqrt_().add_(1e-8)
    weight.addcdiv_(average, size, value=-group["lr"] / (1 - first ** state["step"]))


def orthogonal(matrix: Tensor) -> Tensor:
    """The matrix of the same size with singular values near 1 and the singular vectors of `matrix` ``(n, m)``."""
    a, b, c = _COEFFICIENTS
    x = matrix.float()
    x = x / (x.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = x.T if tall else x
    return result
