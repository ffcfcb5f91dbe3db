"""How one stack sees the volume that all stacks show: turned onto its own grid, averaged over its slices, sampled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medsr.fusion.scanlines import Scanlines
from medsr.geometry import Geometry
from medsr.notices import Notice, notice
from medsr.physics.sampling import Acquisition, apply_along
from medsr.planning.evidence import AxisEvidence
from medsr.planning.sampling import decide_acquisition
from medsr.planning.target import Target
from medsr.volume import Volume

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]

_SAME_SPACING = 1e-3
_COVERED = 0.02
"""Of what a sample sees, so much may lie beyond the volume."""


def finer(grid: Geometry, spacing_mm: float, *, isotropic: bool = False) -> tuple[Geometry, tuple[int, int, int]]:
    """A grid parallel to `grid` as fine as `spacing_mm`, with room beyond its ends for what its outer slices see.

    Args:
        grid: of a stack.
        spacing_mm: of the result.
        isotropic: coarser than `grid`, too, where that is finer.

    Returns:
        The grid, and how many voxels along x, y and z lie before the outer face of `grid`.
    """
    steps, sizes, margins = [], [], []
    for spacing, size in zip(grid.spacing_xyz_mm, grid.size_xyz, strict=True):
        same = abs(spacing / spacing_mm - 1) < _SAME_SPACING
        step = spacing if same or (spacing < spacing_mm and not isotropic) else spacing_mm
        steps.append(step)
        sizes.append(max(1, math.floor(size * spacing / step + 0.5)))
        # A profile one slice wide ends one and a half slices from the middle of its slice.
        margins.append(math.ceil(spacing / step - _SAME_SPACING) if spacing > step else 0)
    x, y, z = margins
    fine = grid.with_grid(steps, sizes)
    return fine.cropped((-x, -y, -z), [n + 2 * m for n, m in zip(sizes, margins, strict=True)]), (x, y, z)


@dataclass(frozen=True)
class Observation:
    """One stack and what links it to the volume.

    Attributes:
        values: what was measured, in the intensities of the volume.
        used: samples that count: what they see lies within the volume, and they show something.
        acquisition: from a grid parallel to the stack to its samples.
        lines: from the grid of the volume to that grid.
        weight: of its squared differences.
    """

    values: Array
    used: Mask
    acquisition: Acquisition
    lines: Scanlines
    weight: float = 1.0

    def forward(self, volume: Array) -> Array:
        """What the stack would measure of `volume`."""
        return np.asarray(self.acquisition.forward(self.lines.forward(volume)), dtype=np.float32)

    def adjoint(self, samples: Array) -> Array:
        """The transpose of `forward`."""
        matrices = {axis: sampling.matrix.T for axis, sampling in self.acquisition.active.items()}
        return self.lines.adjoint(np.asarray(apply_along(samples, matrices), dtype=np.float32))

    def residual(self, volume: Array) -> Array:
        """What was measured minus what would be, 0 where it does not count."""
        return np.where(self.used, self.values - self.forward(volume), np.float32(0))


def observe(
    stack: Volume, values: Array, evidence: Sequence[AxisEvidence], grid: Geometry, spacing_mm: float, shows: Mask
) -> tuple[Observation, list[Notice], list[Notice]]:
    """The link of a stack to a volume on `grid`, with what was decided of its acquisition and what is doubtful.

    Args:
        stack: where its voxels are, in the frame of the volume.
        values: its intensities.
        evidence: how its axes were sampled.
        grid: of the volume.
        spacing_mm: of the result.
        shows: voxels that are no padding.
    """
    fine, _ = finer(stack.geometry, spacing_mm)
    target = Target(stack.geometry, fine, fine, notice("target.spacing", spacings=f"{spacing_mm:g}"))
    acquisition, decisions, doubts = decide_acquisition(stack, evidence, target)
    found = Observation(values, shows, acquisition, Scanlines(grid, fine))
    covered = np.abs(found.forward(np.ones(grid.shape_zyx, dtype=np.float32)) - 1) < _COVERED
    return Observation(values, shows & covered, acquisition, found.lines), decisions, doubts
