"""Fusing stacks: from volumes to one volume, with a report of what was done."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

import medsr
from medsr.errors import InvalidValueError
from medsr.facts import Facts
from medsr.fusion.observing import Observation, finer
from medsr.fusion.placing import place, place_first, weighted
from medsr.fusion.report import make_report
from medsr.fusion.solving import joint_solution, quieted
from medsr.fusion.spec import check_options
from medsr.fusion.stacks import Stack, prepare
from medsr.geometry import Geometry
from medsr.inference.pipeline import Result
from medsr.inference.voxel_types import as_dtype, check_dtype, give_back
from medsr.io.provenance import KEY
from medsr.jobs import Progress
from medsr.methods.interpolate import interpolate
from medsr.options import MAX_FACTOR, UpscaleOptions, parse_bytes
from medsr.resources import available_memory, size_text
from medsr.volume import Volume

Array = NDArray[np.float32]

_AIR_HU = -1000.0
_BYTES_PER_VOXEL = 4 * 22
"""Of the result: seven volumes of the solver, those between two grids, and the stacks; 1.48 GB were measured for
256 x 256 x 256."""


def fuse_volumes(
    volumes: Sequence[Volume],
    options: UpscaleOptions | None = None,
    progress: Progress | None = None,
    *,
    networks: bool = False,
) -> Result:
    """Fuse stacks; see `medsr.fusion.api.fuse`."""
    started = time.perf_counter()
    options = options or UpscaleOptions()
    progress = progress or Progress()
    check_options(options)
    progress.stage("Checking the input")
    stacks, units, warnings = prepare(volumes, options)
    first = stacks[0]
    check_dtype(first.volume.array, options.dtype)
    output, grid, start = _grids(stacks, options)
    _check_memory(grid, options)
    placed = [place_first(first, grid, grid.spacing_xyz_mm[0])]
    guess = _alone(first, placed[0].observation, grid)
    inside = tuple(slice(m, m + n) for m, n in zip(start, output.shape_zyx, strict=True))
    plain = Volume(np.ascontiguousarray(guess[inside]), output, modality=first.modality)
    for number, stack in enumerate(stacks[1:]):
        progress.stage(f"Registering {stack.name}")
        placed.append(place(stack, first, plain, guess, grid, progress))
        progress.at(0.3 * (number + 1) / (len(stacks) - 1))
    del plain
    warnings += [text for each in placed for text in each.warnings]
    for text in warnings:
        progress.warn(text)
    progress.stage("Solving for the volume")
    observations, sigma = weighted(placed)
    volume, smoothness = joint_solution(observations, guess, sigma, progress.section(0.3, 0.4 if networks else 0.8))
    del guess
    models: list[str] = []
    if networks:
        # Late: it brings what is not needed without.
        from medsr.fusion.learning import with_networks

        part = progress.part(0.4, 0.8)
        volume, models = with_networks(placed, observations, volume, grid, smoothness, options, part)
    volume = quieted(observations, volume, sigma, smoothness, progress.section(0.8, 0.97))
    progress.stage("Finishing")
    residuals = [_residual(each, volume) for each in observations]
    result = np.ascontiguousarray(volume[inside])
    del volume
    np.maximum(result, np.float32(_lowest(stacks, units.offset, units.unit)), out=result)
    voxels, _, clipped = as_dtype(units.invert(result), first.volume.array.dtype, options.dtype)
    if first.padding is not None:
        give_back(voxels, output, first.padding, first.volume)
    for notice in clipped:
        progress.warn(notice)
    report = make_report(
        placed, observations, residuals, smoothness, models, (*warnings, *map(str, clipped)), output, started
    )
    progress.at(1.0)
    made = first.volume.replace(
        array=voxels, geometry=output, facts=Facts(), warnings=(), modality=first.modality, planar=False,
        metadata={**first.volume.metadata, KEY: f"MedSR {medsr.__version__}; fused from {len(stacks)} stacks"},
    )  # fmt: skip
    return Result(made, report)


def _grids(stacks: Sequence[Stack], options: UpscaleOptions) -> tuple[Geometry, Geometry, tuple[int, int, int]]:
    """Grid of the result, grid of the work, and where (z, y, x) the one begins in the other."""
    finest = min(min(stack.volume.geometry.spacing_xyz_mm) for stack in stacks)
    spacing = finest if options.spacing is None else options.spacing[0]
    if spacing * MAX_FACTOR < finest * (1 - 1e-6):
        raise InvalidValueError(
            f"A spacing of {spacing:g} mm is more than {MAX_FACTOR:g} times finer than the finest pixels, {finest:.4g} "
            "mm. Ask for a coarser one."
        )
    source = stacks[0].volume.geometry
    grid, (x, y, z) = finer(source, spacing, isotropic=True)
    sizes = [n - 2 * m for n, m in zip(grid.size_xyz, (x, y, z), strict=True)]
    return grid.cropped((x, y, z), sizes), grid, (z, y, x)


def _check_memory(grid: Geometry, options: UpscaleOptions) -> None:
    limit = parse_bytes(options.memory) if options.memory else available_memory()
    needed = _BYTES_PER_VOXEL * grid.voxels
    if limit is not None and needed > limit:
        raise InvalidValueError(
            f"A volume of {grid.describe()} needs about {size_text(needed)}, {size_text(limit)} may be used. Ask for a "
            "coarser --spacing, crop the first stack, or raise --memory."
        )


def _alone(first: Stack, observation: Observation, grid: Geometry) -> Array:
    """What the first stack alone shows: its deconvolution."""
    fine, _ = finer(first.volume.geometry, grid.spacing_xyz_mm[0])
    array = observation.acquisition.tikhonov(observation.values, 1e-2).astype(np.float32)
    return array if fine.is_same_as(grid) else interpolate(array, fine, grid, "linear")


def _residual(observation: Observation, volume: Array) -> float:
    """``|A T x - y| / |y|`` of what counts."""
    missed, measured = observation.residual(volume), observation.values[observation.used]
    return float(np.linalg.norm(missed)) / max(float(np.linalg.norm(measured)), 1e-12)


def _lowest(stacks: Sequence[Stack], offset: float, unit: float) -> float:
    """The darkest that the result may be: air or no signal, or what the first stack itself holds below."""
    physical = _AIR_HU if stacks[0].modality == "CT" else -offset / unit
    return min(physical, float(stacks[0].values.min()))
