"""From a plan to a result on the grid of the work that agrees with the measured data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from medsr.errors import ModelError
from medsr.inference.bounds import Bound
from medsr.inference.consistency import Consistency, make_consistent
from medsr.inference.planner import working_array
from medsr.inference.profile_fit import fitted_acquisition
from medsr.jobs import Progress
from medsr.methods.costs import cost
from medsr.methods.interpolate import interpolate
from medsr.methods.plan import Enlarger, Plan, check_memory
from medsr.options import UpscaleOptions, parse_bytes
from medsr.resources import available_memory
from medsr.volume import Volume

Array = NDArray[np.float32]

_LONG_SECONDS = 15.0
"""From which the time of a job is told before."""


@dataclass(frozen=True)
class Solved:
    """A result before it goes to the grid and the voxel type that were asked for.

    Attributes:
        volume: the input.
        plan: what was decided.
        coarse: the voxels of the input as all work is done on them.
        work: the result on the work grid, ``(z, y, x)`` or ``(z, y, x, c)``.
        checks: how each channel agrees with the measured data.
        bound: the darkest that the result may be.
        device: where the work was done.
    """

    volume: Volume
    plan: Plan
    coarse: Array
    work: Array
    checks: tuple[Consistency, ...]
    bound: Bound | None
    device: str

    @cached_property
    def plain(self) -> Array:
        """The input enlarged linearly onto the work grid; computed once for all maps."""
        target = self.plan.target
        return interpolate(self.plan.evened(self.coarse), target.source, target.work, "linear")


def solve(volume: Volume, plan: Plan, options: UpscaleOptions, progress: Progress) -> Solved:
    """Do the work of a plan.

    Args:
        volume: the input, usable.
        plan: of `make_plan` for it.
        options: that the plan was made with.
        progress: receives stages and fractions, and may cancel.

    Raises:
        InvalidValueError, ResourceError: not enough memory.
        ModelError: a network that cannot be run.
    """
    limit = parse_bytes(options.memory) if options.memory else available_memory()
    if limit is not None:
        check_memory(plan, limit)
    coarse = working_array(volume, plan.padding, plan.units)
    bound = Bound.of(coarse, plan)
    enlarge = plan.method.enlarger(plan, options.device, limit, coarse)
    _tell_time(plan, limit, enlarge, progress)
    work, checks = _each_channel(coarse, plan, enlarge, bound, options, progress)
    return Solved(volume, plan, coarse, work, tuple(checks), bound, enlarge.device)


def _tell_time(plan: Plan, limit: int | None, enlarge: Enlarger, progress: Progress) -> None:
    """Say before a long job how long it will take; what a network does on this computer is tried out."""
    estimate = plan.estimate(limit)["seconds"]
    if estimate < _LONG_SECONDS or not progress.tells_time:
        return
    tried = enlarge.seconds()
    if tried is not None:
        progress.expect(cost(plan)[1] + tried)
    elif enlarge.device == "cpu":
        progress.expect(estimate)


def _each_channel(
    coarse: Array, plan: Plan, enlarge: Enlarger, bound: Bound | None, options: UpscaleOptions, progress: Progress
) -> tuple[Array, list[Consistency]]:
    """Enlarge, every colour alone or all together, and compare; ``(z, y, x)`` or ``(z, y, x, c)``."""
    parts = [coarse] if plan.together else _colours(coarse)
    results, checks = [], []
    for number, part in enumerate(parts):
        progress.stage(f"Enlarging with {plan.entry.name}")
        start, share = number / len(parts), 0.97 / len(parts)
        fine = enlarge(np.ascontiguousarray(part), progress.section(start, start + 0.9 * share))
        progress.stage("Comparing with the measured data")
        for result, measured in zip(_colours(fine), _colours(part), strict=True):
            checks.append(_compare(result, measured, plan, bound, apply=options.consistency))
        results.append(fine)
        progress.at(start + share)
    return (results[0] if len(results) == 1 else np.stack(results, axis=-1)), checks


def _colours(image: Array) -> list[Array]:
    """Views ``(z, y, x)`` of every colour; of a grey image the image."""
    return [image] if image.ndim == 3 else [image[..., colour] for colour in range(image.shape[3])]


def _compare(fine: Array, coarse: Array, plan: Plan, bound: Bound | None, *, apply: bool) -> Consistency:
    """How one enlarged channel agrees with what was measured; a network's result is moved towards it where allowed."""
    apply = apply and plan.method.corrects(plan)
    # In CT, with noise and kernels, the network's own smoothness is taken for a wider profile.
    fits = apply and plan.modality == "MR"
    acquisition = fitted_acquisition(fine, coarse, plan.acquisition) if fits else plan.acquisition
    agreement = make_consistent(
        fine,
        coarse,
        acquisition,
        noise=plan.noise,
        apply=apply,
        bound=bound,
        padding=None if plan.padding is None else plan.padding.mask,
    )
    if not math.isfinite(agreement.residual):
        raise ModelError(
            f"{plan.entry.name} gave numbers that are not finite. Nothing was written. Rescale the intensities of the "
            "image, or choose another model."
        )
    return agreement
