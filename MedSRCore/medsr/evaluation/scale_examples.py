"""What an error scale learns from: results of random models on random cases, beside the truth."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medsr.evaluation.protocols import CASES, Case, degrade, parse_case
from medsr.evaluation.run import TOLD, told_of
from medsr.inference.error_map import View, view_of
from medsr.inference.planner import make_plan
from medsr.inference.solving import solve
from medsr.jobs import Progress
from medsr.options import UpscaleOptions
from medsr.volume import Volume

Array = NDArray[np.float32]

_CASES = {
    "MR": ("z3", "z4", "z6gap", "x3", "k2", "k2", "kf2", "zk3", "xyk2"),
    "CT": ("z3", "z4", "z5h", "z5box"),
}
_FURTHER = {
    "MR": ("scale=1,1,2;width=2", "scale=1,1,5;width=4", "scale=2,2,2;width=2"),
    "CT": ("scale=1,1,2;width=2", "scale=2,2,1;width=2"),
}
_MODELS = ("auto", "auto", "auto", "auto", "tikhonov", "bspline")
_NOISES = (0.005, 0.04)
_CLEAN, _MISSTATED, _RECOLOURED = 0.45, 0.4, 0.3
"""Shares of examples without noise, of widths told wrongly, and of MR with another contrast."""

_TRIES = 30


@dataclass(frozen=True)
class Example:
    """What the scale sees of a result, and the errors: normalised, axes in the order of the network."""

    result: Array
    plain: Array
    errors: Array
    condition: Array


def draw_example(
    volumes: Mapping[str, Volume], weights: Sequence[float], modality: str, size: int, seed: int
) -> Example:
    """Example number `seed`; always the same.

    Args:
        volumes: fine volumes.
        weights: how often each is taken.
        modality: "MR" or "CT", of all.
        size: side of the box that is worked on, voxels.
        seed: its number.
    """
    rng = np.random.default_rng([77, seed])
    share = np.asarray(weights, dtype=float)
    name = str(rng.choice(list(volumes), p=share / share.sum()))
    volume = _box(volumes[name], size, rng).replace(modality=modality)
    if modality == "MR" and rng.random() < _RECOLOURED:
        volume = _recoloured(volume, float(np.exp(rng.uniform(-0.5, 0.5))))
    case = _case(modality, rng)
    reference, measured, _ = degrade(volume, case, seed=seed)
    options = _options(case, reference, rng)
    plan = make_plan(measured, options, runnable=True)
    view = view_of(solve(measured, plan, options, Progress()))
    errors = np.abs(view.result - view.units.apply(np.asarray(reference.array)))
    return _in_order(view, errors)


def _in_order(view: View, errors: Array) -> Example:
    """Axes as the network meets them, and even numbers of voxels along each."""
    images = [np.transpose(image, view.order) for image in (view.result, view.plain, errors)]
    even = tuple(slice(0, n // 2 * 2) for n in images[0].shape)
    result, plain, errors = (np.ascontiguousarray(image[even]) for image in images)
    return Example(result, plain, errors, np.asarray(view.condition, dtype=np.float32))


def _box(volume: Volume, size: int, rng: np.random.Generator) -> Volume:
    """A box at a random place, where there is something to see."""
    whole = float(volume.array.std())
    for _ in range(_TRIES):
        start = [int(rng.integers(0, max(1, n - size))) for n in volume.geometry.size_xyz]
        lengths = [min(size, n) for n in volume.geometry.size_xyz]
        part = volume.array[tuple(slice(a, a + n) for a, n in zip(start, lengths, strict=True))[::-1]]
        if part.std() > 0.15 * whole:
            break
    return volume.replace(array=np.ascontiguousarray(part), geometry=volume.geometry.cropped(start, lengths))


def _recoloured(volume: Volume, gamma: float) -> Volume:
    """Another contrast: intensities to the power of `gamma`."""
    array = volume.array.astype(np.float32)
    low, high = float(array.min()), float(np.percentile(array, 99.8))
    if high <= low:
        return volume
    return volume.replace(array=low + (high - low) * np.clip((array - low) / (high - low), 0, None) ** gamma)


def _case(modality: str, rng: np.random.Generator) -> Case:
    text = str(rng.choice([*_CASES[modality], *_FURTHER[modality]]))
    case = CASES[text] if text in CASES else parse_case(text)
    noise = 0.0 if rng.random() < _CLEAN or modality == "CT" else float(rng.uniform(*_NOISES))
    return dataclasses.replace(case, noise=noise)


def _options(case: Case, reference: Volume, rng: np.random.Generator) -> UpscaleOptions:
    """Told nothing, a thickness that may be wrong, or the profile of every axis."""
    options = UpscaleOptions(
        scale=case.scale_xyz, model=str(rng.choice(_MODELS)), modality=str(reference.modality), device="cpu"
    )
    told = TOLD[rng.integers(len(TOLD))]
    # Drawn only where it is used: an example of a number stays the same.
    is_wrong = told == "thickness" and case.thickness is not None and rng.random() < _MISSTATED
    misstate = float(np.exp(rng.uniform(-0.25, 0.25))) if is_wrong else 1.0
    return told_of(options, case, reference.geometry.spacing_xyz_mm, told, misstate)
