"""Difference from a finer series of the same scan.

It lies parallel on the same frame, as a thin reconstruction does, and is the truth, voxel by voxel.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InputError
from medsr.evaluation.blocks import Blocks, Estimate
from medsr.evaluation.real_rows import BASELINE, RealRow, RealTable
from medsr.evaluation.real_runner import Array, Look, Runner, nearest, unit_of
from medsr.geometry import Geometry
from medsr.metrics import foreground_mask, score
from medsr.volume import Volume


def compare_difference(
    runner: Runner, other: Volume, rows: Sequence[RealRow], names: tuple[str, str], seed: int
) -> Look:
    """Compare each result with the finer series, voxel by voxel."""
    thick = runner.thick
    start, stop = _common_box(other.geometry, thick.geometry)
    grid = other.geometry.cropped(start, [b - a for a, b in zip(start, stop, strict=True)])
    box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))[::-1]
    reference = other.replace(array=np.ascontiguousarray(other.array[box], dtype=np.float32), geometry=grid)
    truth: Array = reference.array  # type: ignore[assignment]
    mask = foreground_mask(truth)
    blocks = Blocks.of(np.ones(truth.shape, dtype=bool), grid.spacing_xyz_mm, seed)
    base_row, plain = runner.baseline(grid)
    base = _squares(plain, truth, blocks)
    filled, results = [], {}
    for asked in rows:
        row, result = (base_row, plain) if asked.model == BASELINE else runner.run(asked, grid)
        if result is None:
            filled.append(row)
            continue
        figures = _errors(_squares(result, truth, blocks), base, blocks)
        scores = score(result.array, truth, mask=mask)
        figures |= {"psnr": Estimate(scores.psnr), "ssim": Estimate(scores.ssim), "bias": Estimate(scores.bias)}
        filled.append(dataclasses.replace(row, figures=figures))
        results[row.label] = result
    warnings: tuple[str, ...] = ()
    if "CT" not in (thick.modality, other.modality):
        warnings = (
            "Intensities of MR are comparable between images of one acquisition only; else a difference in brightness "
            "counts as an error.",
        )
    table = RealTable(
        *names, runner.test, unit_of(thick), tuple(filled), blocks.pixels, len(blocks), warnings=warnings
    )  # fmt: skip
    return Look(table, reference, nearest(thick, grid), results)


def _common_box(grid: Geometry, field: Geometry) -> tuple[list[int], list[int]]:
    """First and last (exclusive) index of the voxels of `grid` between the outermost voxel centres of `field`.

    Where the grids are inclined, the side that sticks out furthest is trimmed until none does.

    Raises:
        InputError: there are none.
    """
    start, stop = [0, 0, 0], list(grid.size_xyz)
    steps = np.linalg.inv(grid.affine[:3, :3]) @ field.affine[:3, :3]
    while all(b - a >= 2 for a, b in zip(start, stop, strict=True)):
        corners = np.array(list(itertools.product(*((a, b - 1) for a, b in zip(start, stop, strict=True)))))
        index = field.to_index(grid.to_patient(corners))
        beyond = (index - np.clip(index, 0, np.array(field.size_xyz) - 1)) @ steps.T
        corner, axis = (int(i) for i in np.unravel_index(int(np.abs(beyond).argmax()), beyond.shape))
        if abs(beyond[corner, axis]) < 1e-3:
            return start, stop
        voxels = max(1, int(abs(beyond[corner, axis])))
        if corners[corner, axis] == start[axis]:
            start[axis] += voxels
        else:
            stop[axis] -= voxels
    raise InputError("The two series have no field in common. Are they of one patient and one session?")


def _squares(result: Volume, truth: Array, blocks: Blocks) -> NDArray[np.float64]:
    """Number of voxels and sum of squared errors of each block."""
    error = np.square(result.array.astype(np.float64) - truth)
    return blocks.sums(np.ones_like(error), error)


def _errors(ours: NDArray[np.float64], base: NDArray[np.float64], blocks: Blocks) -> dict[str, Estimate]:
    """RMSE and its ratio to the baseline's, from the sums of blocks."""

    def rmse(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.sqrt(sums[..., 1] / sums[..., 0]))

    value, least = float(rmse(ours.sum(axis=0))), float(rmse(base.sum(axis=0)))
    drawn = None if blocks.draws is None else rmse(blocks.draws @ ours)
    figures = {"rmse": Estimate.of(value, drawn)}
    if least > 0:
        ratio = None if blocks.draws is None or drawn is None else drawn / rmse(blocks.draws @ base)
        figures["rmse_ratio"] = Estimate.of(value / least, ratio)
    return figures
