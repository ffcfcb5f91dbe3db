"""What a copy will cost: its grid, memory, time and disk, before it is made."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from medsr.augmentation.checks import Checked
from medsr.augmentation.recipes import Recipe
from medsr.errors import InvalidValueError, MedSRError
from medsr.geometry import Geometry
from medsr.inference.planner import make_plan
from medsr.options import MAX_FACTOR, UpscaleOptions
from medsr.planning.target import resolve_target
from medsr.volume import Volume

_PACKS_WORSE = 1.3
"""What is computed between voxels packs worse than what was measured, by this much for each voxel at most."""

_SIDECAR_BYTES = 4_000
_PER_STRUCTURE_BYTES = 300
_RESULT_BYTES = 8
"""Of a voxel of a channel and of its result."""

_SECONDS_EACH = 0.1
"""Opening, checking and writing of the files of a copy, however small it is."""

_SECONDS_PER_VOXEL = 4e-7
"""Labels, packing and percentiles of a copy."""


@dataclass(frozen=True)
class Cost:
    """What a copy costs, estimated.

    Attributes:
        grid: of the copy.
        memory_bytes: that making it takes.
        seconds: on two CPU cores that have nothing else to do.
        disk_bytes: of image, label map and sidecar.
    """

    grid: Geometry
    memory_bytes: int
    seconds: float
    disk_bytes: int


def cost_of(recipe: Recipe, found: Checked, modality: str, dtype: str) -> Cost:
    """The cost of a copy of `found`; raises InvalidValueError for a target that changes nothing."""
    grid, memory, seconds = _work(recipe, found.geometry, found.planar, modality)
    ratio, channels = grid.voxels / found.geometry.voxels, found.case.channels
    finer = _PACKS_WORSE if ratio > 1 or recipe.degrade is not None else 1.0
    if dtype != "same":
        finer *= max(1.0, np.dtype(dtype).itemsize / 2)
    disk = ratio * (finer * found.image_bytes + found.label_bytes)
    disk += _SIDECAR_BYTES + _PER_STRUCTURE_BYTES * len(found.values)
    seconds = channels * (seconds + grid.voxels * _SECONDS_PER_VOXEL) + _SECONDS_EACH
    # Results wait for those of the other channels.
    memory += _RESULT_BYTES * grid.voxels * (channels - 1)
    return Cost(grid, memory, seconds, int(disk))


def slowdown() -> float:
    """How much longer than on two free cores work takes, as busy as this machine is now."""
    try:
        load = os.getloadavg()[0]
    except (AttributeError, OSError):  # Windows has none
        return 1.0
    # Two threads of ours beside those that run already share the cores.
    return max(1.0, (load + 2) / max(os.cpu_count() or 1, 2))


def _work(recipe: Recipe, geometry: Geometry, planar: bool, modality: str) -> tuple[Geometry, int, float]:
    """Grid of a copy, memory and seconds; raises InvalidValueError for a target that changes nothing."""
    targets = {key: value for key, value in recipe.target.items() if key != "grid"}
    source = geometry
    if recipe.degrade is not None:
        # What will be measured is not drawn yet: half the voxels along each axis, which is near the middle.
        size = [max(n // 2, 1) for n in geometry.size_xyz[: 2 if planar else 3]] + ([1] if planar else [])
        spacing = [s * 2 for s in geometry.spacing_xyz_mm[: 2 if planar else 3]]
        source = geometry.with_grid([*spacing, *geometry.spacing_xyz_mm[len(spacing) :]], size)
    options = UpscaleOptions(model=recipe.model, **(targets or {"scale": (2.0, 2.0, 2.0)}))
    try:
        grid = resolve_target(source, options, planar=planar).output if targets else geometry
    except InvalidValueError as error:
        raise InvalidValueError(
            f"The recipe {recipe.name} does not fit {geometry.describe()}: its target is nowhere finer, or more than "
            f"{MAX_FACTOR:g} times as fine. Choose another recipe (`medsr augment --list`), such as sr-x2 or "
            "degrade-sr, or write one with another target."
        ) from error
    memory, seconds = _estimate(source, options, planar, "MR" if modality == "auto" else modality)
    # Beside the image: the shares of the structures in each voxel, and the label map.
    return grid, memory + 40 * grid.voxels, seconds


@lru_cache(maxsize=256)
def _estimate(geometry: Geometry, options: UpscaleOptions, planar: bool, modality: str) -> tuple[int, float]:
    blank = np.broadcast_to(np.zeros(1, np.float32), geometry.shape_zyx)
    volume = Volume(blank, geometry, modality=modality, planar=planar)
    try:
        found = make_plan(volume, options, runnable=True).estimate()
    except MedSRError as error:
        raise InvalidValueError(str(error)) from error
    return int(found["memory_bytes"]), float(found["seconds"])
