"""The channels of one case, all on one grid, each as its own acquisition: what copies on disk and transforms share."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medsr.augmentation.acquisition import Drawn, acquire, draw
from medsr.augmentation.recipes import Degradation, Recipe
from medsr.errors import InputError
from medsr.facts import Fact, Facts
from medsr.geometry import Geometry
from medsr.inference.pipeline import Result, super_resolve
from medsr.inference.planner import decide_modality, make_plan
from medsr.inference.voxel_types import give_back
from medsr.jobs import Progress
from medsr.options import UpscaleOptions
from medsr.planning.padding import without_padding
from medsr.volume import Volume

SAME_GRID = 0.02
"""Fraction of a voxel at the far corner by which grids of channels, or of image and label map, may differ: rounding in
headers."""

_DRAWS = 2
"""A stream of the seed of its own, beside those of noise and of the choice among recipes."""


@dataclass(frozen=True)
class Made:
    """What became of one channel: the result, and the acquisition that was drawn for it, if one was."""

    result: Result
    drawn: Drawn | None


def on_one_grid(volumes: Sequence[Volume], names: Sequence[str]) -> list[Volume]:
    """The channels with the very grid of the first; raises InputError, naming the channel, for one on another grid."""
    first = volumes[0].geometry
    check_grids([volume.geometry for volume in volumes], names)
    return [volume.replace(geometry=first) for volume in volumes]


def check_grids(grids: Sequence[Geometry], names: Sequence[str]) -> None:
    """Raise InputError for the first of `grids`, called as in `names`, that is not that of the first channel."""
    for name, grid in zip(names, grids, strict=True):
        if not grid.is_same_as(grids[0], SAME_GRID):
            raise InputError(
                f"Channel {name} lies on another grid ({grid.describe()}) than channel {names[0]} "
                f"({grids[0].describe()}). Resample it onto that grid first."
            )


def enlarge_channels(
    volumes: Sequence[Volume],
    options: UpscaleOptions,
    progress: Progress | None = None,
    reference: Geometry | None = None,
) -> list[Volume]:
    """Super-resolve channels that lie on one grid; constant ones, such as those that are missing, stay constant.

    Raises:
        MedSRError: one cannot be enlarged so.
    """
    results = {
        number: super_resolve(volume, options, progress, reference=reference).volume
        for number, volume in enumerate(volumes)
        if shows_something(volume)
    }
    if results:
        grid = next(iter(results.values())).geometry
    else:
        grid = make_plan(volumes[0], options, reference, runnable=True).target.output
    return [results.get(number) or _constant(volume, grid) for number, volume in enumerate(volumes)]


def _constant(volume: Volume, grid: Geometry) -> Volume:
    array = np.full(grid.shape_zyx, volume.array.flat[0], dtype=volume.array.dtype)
    return volume.replace(array=array, geometry=grid)


def shows_something(volume: Volume) -> bool:
    """False for a constant image."""
    return bool((volume.array != volume.array.flat[0]).any())


def make_channels(
    volumes: Sequence[Volume],
    recipe: Recipe,
    seed: int,
    modalities: Sequence[str],
    options: UpscaleOptions | None = None,
    progress: Progress | None = None,
) -> list[Made]:
    """Make what `recipe` says of each channel.

    Every channel draws an acquisition of its own, as if it had been acquired by itself, and has noise of its own; the
    results lie on one grid, that of the first.

    Args:
        volumes: the channels, on one grid.
        recipe: one that draws among no others.
        seed: of everything drawn; the same seed gives the same numbers.
        modalities: "MR", "CT" or "auto", one for each channel.
        options: device, memory, voxel type, ...; what the recipe decides is taken from there.
        progress: receives stages and warnings, and may cancel.

    Raises:
        MedSRError: a channel cannot be enlarged as the recipe says.
    """
    made: list[Made] = []
    for channel, (volume, asked) in enumerate(zip(volumes, modalities, strict=True)):
        modality, _ = decide_modality(volume, asked)
        chosen = dataclasses.replace(
            options or UpscaleOptions(), model=recipe.model, modality=modality, profile=recipe.profile
        )
        if recipe.noise is not None and modality == "MR":
            volume = volume.replace(facts=Facts((*volume.facts, Fact("noise", recipe.noise, "option"))))
        first = made[0].result.volume.geometry if made else None
        if recipe.degrade is None:
            result, drawn = super_resolve(volume, _to_target(chosen, recipe, None), progress), None
        else:
            result, drawn = _reacquired(volume, recipe, recipe.degrade, (seed, channel), chosen, first, progress)
        made.append(Made(result, drawn))
    return made


def _reacquired(
    volume: Volume,
    recipe: Recipe,
    degradation: Degradation,
    seed: tuple[int, int],
    options: UpscaleOptions,
    first: Geometry | None,
    progress: Progress | None,
) -> tuple[Result, Drawn]:
    """One channel as another acquisition, brought to the target: for further channels the grid of the first."""
    start, channel = seed
    drawn = draw(degradation, volume.geometry, np.random.default_rng(_draw_seed(start, channel)), planar=volume.planar)
    shown, padding = without_padding(volume, options.modality)
    measured = acquire(shown, drawn, np.random.default_rng(seed), modality=options.modality)
    profile = drawn.stated_profile(measured.geometry.spacing_xyz_mm)
    reference = volume.geometry if "grid" in recipe.target else first
    options = dataclasses.replace(options, profile=_known_first(profile, recipe.profile))
    result = super_resolve(measured, _to_target(options, recipe, reference), progress, reference=reference)
    if padding is not None:
        give_back(result.volume.array, result.volume.geometry, padding, volume)
    return result, drawn


def _draw_seed(seed: int, channel: int) -> int | tuple[int, int, int]:
    # The first channel draws what the only one of an image would.
    return seed if channel == 0 else (seed, _DRAWS, channel)


def _to_target(options: UpscaleOptions, recipe: Recipe, reference: Geometry | None) -> UpscaleOptions:
    """The options with the target of the recipe, unless a grid is given."""
    target = {} if reference is not None else {key: value for key, value in recipe.target.items() if key != "grid"}
    return dataclasses.replace(options, **target)


def _known_first(drawn: str, stated: str) -> str:
    """For each axis what was drawn, or else what the recipe states."""
    parts = stated.split(",")
    both = zip(drawn.split(","), parts if len(parts) == 3 else parts * 3, strict=True)
    return ",".join(known if known != "auto" else told for known, told in both)
