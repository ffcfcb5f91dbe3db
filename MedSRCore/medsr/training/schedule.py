"""The learning rate over a training, and the optimiser that follows it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import torch

from medsr.models.profile_refiner import ConditionedBlock, ProfileRefiner
from medsr.training.muon import Muon
from medsr.training.sections import OptimiserRecipe


def rate_at(step: int, steps: int, recipe: OptimiserRecipe) -> float:
    """Learning rate at `step` relative to the peak: linear warm-up, constant but for drops, linear cool-down."""
    warm = min(1.0, (step + 1) / max(recipe.warmup, 1))
    cool = min(1.0, max(steps - step, 0) / max(recipe.cooldown, 1))
    dropped: float = recipe.drop ** sum(step >= at for at in recipe.drops)
    return min(warm, max(cool, 0.01)) * dropped


def adam(parameters: Iterable[torch.nn.Parameter], peak: float, steps: int, recipe: OptimiserRecipe) -> dict[str, Any]:
    """Adam whose rate follows `rate_at`, in the form that Lightning's ``configure_optimizers`` returns."""
    return scheduled(torch.optim.Adam(parameters, lr=peak, betas=recipe.betas), steps, recipe)


def muon(network: ProfileRefiner, peak: float, steps: int, recipe: OptimiserRecipe) -> dict[str, Any]:
    """As `adam`, with Muon for the convolutions of the blocks."""
    blocks = cast("Iterable[ConditionedBlock]", network.blocks)
    hidden = [layer.weight for block in blocks for layer in (block.first, block.second)]
    chosen = {id(weight) for weight in hidden}
    others = [weight for weight in network.parameters() if id(weight) not in chosen]
    return scheduled(Muon(hidden, others, peak, betas=recipe.betas), steps, recipe)


def scheduled(optimiser: torch.optim.Optimizer, steps: int, recipe: OptimiserRecipe) -> dict[str, Any]:
    """An optimiser whose rate follows `rate_at`."""
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_at(step, steps, recipe))
    return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
