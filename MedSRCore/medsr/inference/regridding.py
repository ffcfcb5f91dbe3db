"""From the grid of the work onto the grid that was asked for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medsr.methods.interpolate import interpolate
from medsr.physics.profiles import Profile
from medsr.physics.sampling import AxisSampling, apply_along
from medsr.planning.target import Target

Array = NDArray[np.float32]


def to_output_grid(work: Array, target: Target, outside: float, method: str = "bspline") -> Array:
    """Bring an image on the work grid onto the output grid, where they differ.

    Args:
        work: ``(z, y, x)`` or ``(z, y, x, c)``.
        target: the grids.
        outside: what is beyond the work grid.
        method: of interpolation between its voxels.
    """
    if not target.needs_resampling:
        return work
    if work.ndim == 4:
        return np.stack([to_output_grid(work[..., c], target, outside, method) for c in range(work.shape[3])], axis=-1)
    grid = target.work
    # A part of its own lattice needs no interpolation.
    start = np.rint(grid.to_index(target.output.origin_mm)).astype(int)
    stop = start + target.output.size_xyz
    inside = (start >= 0).all() and (stop <= grid.size_xyz).all()
    if inside and grid.cropped(start.tolist(), target.output.size_xyz).is_same_as(target.output):
        return np.ascontiguousarray(work[tuple(map(slice, start[::-1], stop[::-1]))])
    # Coarser along an axis: average as a scanner with voxels of that size would, before sampling.
    blur = {}
    for axis, step in enumerate(grid.strides_of(target.output)):
        if step > 1 + 1e-3:
            n = grid.size_xyz[axis]
            blur[2 - axis] = AxisSampling(n, n, 1.0, Profile("gaussian", float(step)), 0.0).matrix
    smooth = apply_along(work, blur) if blur else work
    # On its own lattice a voxel is taken as it is; elsewhere a cubic spline is the best local guess.
    return interpolate(np.asarray(smooth, dtype=np.float32), grid, target.output, method, outside=outside)
