"""What the networks make of each stack alone, as what is expected of the volume where the stacks leave it open.

A network that refines one stack was tried on the joint solution, too: it knows no image like that one, and lost up to
1 dB. The mean of its answers to each stack, corrected until it explains all of them, gains 0.2 to 0.4 dB. It did not
gain to trust each answer only for the waves that its stack measured, nor to ask again what the networks make of each
stack as the joint solution shows it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medsr.fusion.observing import Observation
from medsr.fusion.placing import Placed
from medsr.fusion.prior import Prior
from medsr.fusion.solving import solve_about
from medsr.geometry import Geometry
from medsr.inference.pipeline import super_resolve
from medsr.jobs import Progress
from medsr.methods.interpolate import interpolate
from medsr.options import MAX_FACTOR, UpscaleOptions

Array = NDArray[np.float32]

_STEPS = 6
_EXPECTED = 1.5
"""How much more than smoothness counts what the networks expect."""

_FINER = 1.01


def with_networks(
    placed: Sequence[Placed],
    observations: Sequence[Observation],
    joint: Array,
    grid: Geometry,
    smoothness: float,
    options: UpscaleOptions,
    progress: Progress,
) -> tuple[Array, list[str]]:
    """The solution whose differences to what networks make of each stack are smooth; and the models.

    Args:
        placed: the stacks.
        observations: how they see the volume, weighted.
        joint: the solution without networks, on `grid`.
        grid: of the work.
        smoothness: weight of the prior.
        options: as asked.
        progress: receives stages and fractions, and may cancel.
    """
    total, count = np.zeros_like(joint), np.zeros(joint.shape, dtype=np.uint8)
    models: list[str] = []
    for number, each in enumerate(placed):
        progress.stage(f"Enlarging {each.stack.name}")
        part = progress.part(0.9 * number / len(placed), 0.9 * (number + 1) / len(placed))
        array, model = _enlarged(each, grid, options, part)
        seen = np.isfinite(array)
        np.add(total, array, out=total, where=seen)
        count += seen
        models.append(model)
    expected = np.where(count > 0, total / np.maximum(count, 1), joint)
    del total, count
    progress.stage("Solving for the volume")
    prior = Prior.with_edges_of(joint, _EXPECTED * smoothness)
    return solve_about(observations, expected, prior, _STEPS, progress.section(0.9, 1.0)), models


def _enlarged(placed: Placed, grid: Geometry, options: UpscaleOptions, progress: Progress) -> tuple[Array, str]:
    """One stack by `medsr upscale`, on the grid of the volume, NaN beyond its field; and the model."""
    stack, fit = placed.stack, placed.fit
    geometry = stack.volume.geometry if fit is None else fit.moved(stack.volume.geometry)
    volume = stack.volume.replace(array=placed.observation.values, geometry=geometry, modality=stack.modality)
    spacings = geometry.spacing_xyz_mm
    finest = [min(spacing, max(grid.spacing_xyz_mm[0], spacing / MAX_FACTOR)) for spacing in spacings]
    if max(spacing / fine for spacing, fine in zip(spacings, finest, strict=True)) < _FINER:
        return interpolate(placed.observation.values, geometry, grid, "bspline", outside=float("nan")), "bspline"
    asked = UpscaleOptions(
        spacing=(finest[0], finest[1], finest[2]),
        slice_thickness=options.slice_thickness,
        memory=options.memory,
        dtype="float32",
        not_labels=True,
    )
    result = super_resolve(volume, asked, progress.unheard())
    progress.at(1.0)
    array = result.volume.array.astype(np.float32, copy=False)
    return interpolate(array, result.volume.geometry, grid, "bspline", outside=float("nan")), result.report["model"]
