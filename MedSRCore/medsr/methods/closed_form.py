"""Interpolation and deconvolution: formulas that learned nothing and need nothing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from medsr.catalog import CatalogEntry, find_model
from medsr.methods.choosing import Choice, Refusal, Situation, automatic_dims, shape_of
from medsr.methods.costs import cost
from medsr.methods.interpolate import interpolate
from medsr.methods.plan import Enlarger, Method, Plan
from medsr.notices import notice

Array = NDArray[np.float32]

FALLBACK = "tikhonov"
"""What is taken where no network fits, or none can run."""


class _OnCpu:
    """An enlarger without a device of its own."""

    device = "cpu"

    def __init__(self, enlarge: Callable[[Array, Callable[[float], None]], Array]) -> None:
        self._enlarge = enlarge

    def __call__(self, coarse: Array, progress: Callable[[float], None]) -> Array:
        return self._enlarge(coarse, progress)

    def seconds(self) -> None:
        """See `Enlarger`."""


class Interpolation(Method):
    """Linear, cubic B-spline and windowed sinc: the yardsticks."""

    def runs(self, entry: CatalogEntry) -> bool:
        """See `Method.runs`."""
        return entry.kind == "interpolation"

    def estimate(self, plan: Plan, _limit: int | None = None) -> tuple[float, float]:
        """See `Method.estimate`."""
        return cost(plan)

    def enlarger(self, plan: Plan, _device: str, _limit: int | None, _coarse: Array) -> Enlarger:
        """See `Method.enlarger`."""
        source, target, name = plan.target.source, plan.target.work, plan.entry.name
        return _OnCpu(lambda array, report: interpolate(plan.evened(array), source, target, name, report))


class Deconvolution(Method):
    """Tikhonov deconvolution with the profile of each axis: what `auto` falls back on."""

    def runs(self, entry: CatalogEntry) -> bool:
        """See `Method.runs`."""
        return entry.kind == "deconvolution"

    def automatic(self, situation: Situation, refused: Refusal | None) -> Choice:
        """See `Method.automatic`."""
        entry, dims = find_model(FALLBACK), automatic_dims(situation)
        if refused is None:
            values = {"modality": situation.modality, "shape": shape_of(situation, dims)}
            return Choice(entry, dims, (notice("model.no_network", model=entry.name, **values),))
        decision = notice(refused.kind, model=entry.name, **refused.values)
        kind, values = refused.warning or ("", {})
        return Choice(entry, dims, (decision,), (notice(kind, model=entry.name, **values),) if kind else ())

    def estimate(self, plan: Plan, _limit: int | None = None) -> tuple[float, float]:
        """See `Method.estimate`."""
        return cost(plan)

    def enlarger(self, plan: Plan, _device: str, _limit: int | None, _coarse: Array) -> Enlarger:
        """See `Method.enlarger`."""
        tikhonov, smoothness = plan.acquisition.tikhonov, plan.entry.smoothness
        return _OnCpu(lambda array, _: tikhonov(array, smoothness).astype(np.float32, copy=False))
