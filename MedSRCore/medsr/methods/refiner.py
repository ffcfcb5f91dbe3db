"""Networks that refine the deconvolution on the target grid: one for every factor, chosen by `auto`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import cast

import numpy as np
from numpy.typing import NDArray

from medsr.catalog import CatalogEntry, load_catalog
from medsr.errors import ModelError
from medsr.methods.choosing import Choice, Refusal, Situation, automatic_dims, modality_fits, shape_of
from medsr.methods.closed_form import FALLBACK
from medsr.methods.costs import network_cost, refiner_operations, refiner_tiling
from medsr.methods.plan import Enlarger, Method, Plan
from medsr.methods.runtime import networks
from medsr.notices import notice

Array = NDArray[np.float32]


class Refining(Method):
    """ProfileRefiner."""

    packages = ("torch",)

    def runs(self, entry: CatalogEntry) -> bool:
        """See `Method.runs`."""
        return entry.kind == "network" and not entry.scales

    def automatic(self, situation: Situation, _refused: Refusal | None) -> Choice | Refusal | None:
        """The network made for this noise, then the most specialised: for fewer modalities."""
        dims, noise = automatic_dims(situation), situation.noise or 0.0
        fitting = [
            entry
            for entry in load_catalog().values()
            if self.runs(entry)
            and not entry.perceptual
            and situation.modality in entry.modalities
            and dims in entry.spatial_dims
        ]
        if not fitting:
            return None
        entry = min(fitting, key=lambda e: (not e.noise[0] <= noise < e.noise[1], len(e.modalities), e.name))
        if (factor := beyond(entry, situation.factors_for(dims))) is not None:
            return Refusal("model.beyond", {"factor": factor, "network": entry.name, "limit": entry.several_axes})
        if situation.runnable and find_spec("torch") is None:
            network = {"network": entry.name}
            return Refusal("model.no_torch", network, ("model.torch_missing", network))
        values = {"modality": situation.modality, "shape": shape_of(situation, dims)}
        choice = Choice(entry, dims, (notice("model.auto", model=entry.name, **values),))
        return _with_doubts(choice, situation)

    def named(self, entry: CatalogEntry, situation: Situation) -> Choice:
        """See `Method.named`."""
        choice = super().named(entry, situation)
        modality_fits(entry, situation.modality)
        if (factor := beyond(entry, situation.factors_for(choice.spatial_dims))) is not None:
            far = notice(
                "model.far", model=entry.name, limit=entry.several_axes, factor=factor, instead=FALLBACK
            )  # fmt: skip
            choice = replace(choice, warnings=(far,))
        return _with_doubts(choice, situation)

    def planes(self, plan: Plan) -> tuple[Plan, ...]:
        """One for each axis that is not enlarged: slices across it were measured complete.

        Where there is none, and the model or the person wants slices always, one for each axis, across which the slices
        are deconvolved first.
        """
        if plan.spatial_dims == 2 or not plan.entry.planes or plan.effort == "fast":
            return ()
        entry = slice_wise(plan.entry)
        axes = plan.acquisition.axes
        across = [i for i, axis in enumerate(axes) if axis.is_identity]
        if not across and (plan.entry.planes_always or plan.effort == "thorough"):
            across = [0, 1, 2]
        factors = [axis.factor for axis in axes]
        within = [axis for axis in across if beyond(entry, [f for i, f in enumerate(factors) if i != axis]) is None]
        return tuple(replace(plan, entry=entry, spatial_dims=2, plane_axis=axis) for axis in within)

    def corrects(self, _plan: Plan) -> bool:
        """See `Method.corrects`."""
        return True

    def estimate(self, plan: Plan, limit: int | None = None) -> tuple[float, float]:
        """See `Method.estimate`."""
        members = (plan, *plan.planes)
        tiles = [refiner_tiling(member, limit).bytes for member in members]
        done = sum(refiner_operations(member, limit) for member in members)
        slices = sum(plan.acquisition.axes[job.plane_axis].n_fine for job in members if job.spatial_dims == 2)
        return network_cost(plan, tiles, done, slices)

    def enlarger(self, plan: Plan, device: str, limit: int | None, coarse: Array) -> Enlarger:
        """See `Method.enlarger`."""
        return cast("Enlarger", networks(plan).refiner(plan, device, limit, coarse))


def slice_wise(entry: CatalogEntry) -> CatalogEntry:
    """The shipped model that `entry` names as its `planes`.

    Raises:
        ModelError: there is none, or one that does something else.
    """
    # Only by name: a bundle from elsewhere shall not have other folders read.
    other = load_catalog().get(entry.planes)
    if other is None or other.kind != "network" or other.scales or other.spatial_dims != (2,) or other.perceptual:
        raise ModelError(
            f"{entry.name} averages its result with that of {entry.planes!r}, which is no shipped model that refines "
            f"slices. {entry.advice}"
        )
    return other


def beyond(entry: CatalogEntry, factors: Sequence[float]) -> float | None:
    """The second largest factor, where it is beyond what a refiner learned; else None."""
    second = sorted(factors)[-2]
    return second if second > entry.several_axes * 1.01 else None


def _with_doubts(choice: Choice, situation: Situation) -> Choice:
    """With a warning for a factor that the network never met."""
    high, largest = choice.entry.factors[1], max(situation.factors_xyz)
    if largest <= high * 1.01:
        return choice
    farther = notice("model.farther", model=choice.entry.name, limit=high, factor=largest)
    return replace(choice, warnings=(*choice.warnings, farther))
