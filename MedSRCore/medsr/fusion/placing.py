"""Where each stack lies in the frame of the first, in whose intensities it is, and how sure both are."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InputError
from medsr.evaluation.registration import RigidFit, register
from medsr.fusion.matching import Match, match
from medsr.fusion.observing import Observation, observe
from medsr.fusion.stacks import Stack, about
from medsr.geometry import Geometry
from medsr.jobs import Progress
from medsr.notices import Notice
from medsr.volume import Volume

Array = NDArray[np.float32]

POOR, SUSPECT = 0.7, 0.8
"""Correlation of what two stacks resolve below which they show different things, and below which they may. Three stacks
of a prostate, with shading of a quarter, had 0.84 to 0.94; T1 and FLAIR of one head 0.68, others less."""

UNSHADED = 0.3
"""The same with shading left in: 0.68 to 0.90 there, and 0.14 at most for other contrasts."""

_LEAST_OVERLAP = 0.05
_QUIET = 0.005
"""Noise, as a fraction of the 99th percentile, of a stack whose noise cannot be told."""

_LEAST_WEIGHT = 0.1

_ENOUGH_SAMPLES = 200_000
"""Of a stack that is registered."""


@dataclass(frozen=True)
class Placed:
    """A stack in the frame and the intensities of the volume.

    Attributes:
        stack: what was given.
        observation: how it sees the volume.
        fit: how it was moved; None for the first stack, which stays.
        match: how its intensities were changed; None for the first.
        sigma: noise in the intensities of the volume.
        decisions: what was decided of its acquisition.
        warnings: what a person should know.
    """

    stack: Stack
    observation: Observation
    fit: RigidFit | None
    match: Match | None
    sigma: float
    decisions: tuple[Notice, ...]
    warnings: tuple[str, ...]


def place_first(stack: Stack, grid: Geometry, spacing_mm: float) -> Placed:
    """The stack that all others are brought to."""
    observation, decisions, doubts = observe(
        stack.volume, stack.values, stack.evidence, grid, spacing_mm, stack.shows
    )  # fmt: skip
    told = tuple(f"{stack.name}: {doubt}" for doubt in doubts)
    return Placed(stack, observation, None, None, _sigma(stack, 1.0), tuple(decisions), told)


def place(stack: Stack, first: Stack, plain: Volume, start: Array, grid: Geometry, progress: Progress) -> Placed:
    """Register another stack to the first, and match its intensities.

    Args:
        stack: the other one.
        first: the stack that it is brought to.
        plain: what the first alone shows, on the grid of the result.
        start: the same on `grid`.
        grid: that of the work.
        progress: may stop the search.

    Raises:
        InputError: no field in common, no place where both show the same, or another contrast; the stack is named.
    """
    with about(stack.name):
        fit = register(stack.volume.replace(array=stack.values), plain, progress.check, samples=_ENOUGH_SAMPLES)
        fit.check_near()
    moved = stack.volume.replace(geometry=fit.moved(stack.volume.geometry))
    spacing_mm = grid.spacing_xyz_mm[0]
    observation, decisions, doubts = observe(
        moved, stack.values, stack.evidence, grid, spacing_mm, stack.shows
    )  # fmt: skip
    found = match(
        stack.values, observation.forward(start), observation.used, moved.geometry, scaled=stack.modality == "MR"
    )  # fmt: skip
    if found is None or found.overlap < _LEAST_OVERLAP:
        raise InputError(
            f"{stack.name} hardly meets {first.name}: after a {fit.describe()}, "
            f"{100 * float(observation.used.mean()):.2g} % of it lie in the common field. Are both of one patient and "
            "one sitting?"
        )
    if found.agreement < POOR or found.unshaded < UNSHADED:
        raise InputError(
            f"{stack.name} does not show what {first.name} shows: after a {fit.describe()}, what both resolve "
            f"correlates by {found.agreement:.2f} within the body ({found.unshaded:.2f} with its shading), and "
            f"{POOR:g} ({UNSHADED:g}) is the least. It has another contrast, or could not be registered. Stacks of one "
            "contrast and one sitting are fused."
        )
    told = [f"{stack.name}: {doubt}" for doubt in doubts]
    if found.agreement < SUSPECT:
        told.append(
            f"{stack.name} goes with {first.name} by a correlation of {found.agreement:.2f} only: contrast, movement "
            "or deformation may differ, which blurs the result."
        )
    observation = dataclasses.replace(observation, values=stack.values * found.gain)
    return Placed(stack, observation, fit, found, _sigma(stack, found.scale), tuple(decisions), tuple(told))


def weighted(placed: list[Placed]) -> tuple[list[Observation], float]:
    """The observations, the noisier the lighter, and the noise of those with weight 1.

    A stack whose noise cannot be told counts like the quietest: nobody knows that it is quieter.
    """
    known = [each.sigma for each in placed if each.stack.noise is not None]
    least = min(known or [each.sigma for each in placed])
    weights = [1.0 if each.stack.noise is None else max((least / each.sigma) ** 2, _LEAST_WEIGHT) for each in placed]
    found = zip(placed, weights, strict=True)
    return [dataclasses.replace(each.observation, weight=weight) for each, weight in found], least


def _sigma(stack: Stack, scale: float) -> float:
    high = float(np.percentile(np.abs(stack.values), 99))
    return max(stack.noise or 0.0, _QUIET) * max(high, 1e-6) * scale
