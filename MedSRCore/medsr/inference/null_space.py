"""How much of a result the input cannot determine: by counting, and by looking where the acquisition is blind.

An acquisition ``A`` maps many voxels to few. What it sees of an image ``x`` is the projection ``A^+ A x`` on the rows
of ``A``; the rest, ``x - A^+ A x``, may be anything without a change in the measured data. Its energy follows from the
coarse data alone, since ``|A^+ A x|^2 = y^T (A A^T)^+ y`` with ``y = A x``, and ``A A^T`` is separable like ``A``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.physics.profiles import FloatArray
from medsr.physics.sampling import Acquisition, AxisSampling, in_slabs
from medsr.planning.target import Target

Array = NDArray[np.float32]

_BLIND = 1e-6
"""Squared gain, relative to the largest, below which the acquisition sees nothing: a thousandth of the signal."""

_VALUES_AT_ONCE = 1_000_000
_DOUBLES_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class SeenEnergy:
    """Sums of squares of a result above its mean.

    Attributes:
        total: of the whole result.
        seen: of what the acquisition sees of it.
    """

    total: float
    seen: float


def seen_energy(fine: Array, degraded: Array, acquisition: Acquisition) -> SeenEnergy:
    """Split the energy of `fine` into what `acquisition` sees and the rest.

    Args:
        fine: the result, shape ``acquisition.fine_shape``.
        degraded: what the acquisition makes of it, shape ``acquisition.coarse_shape``.
        acquisition: how the input samples the result's grid.
    """
    mean = float(fine.mean(dtype=np.float64))
    # Some rows at a time: nothing of the result's size is held.
    rows = max(1, _VALUES_AT_ONCE // fine.shape[2])
    blocks = (plane[start : start + rows] for plane in fine for start in range(0, fine.shape[1], rows))
    total = sum(float(np.square(block.astype(np.float64) - mean).sum()) for block in blocks)
    inverses = {axis: _inverse_gram(sampling) for axis, sampling in acquisition.active.items()}

    def above_mean(part: FloatArray) -> FloatArray:
        # Every row of the acquisition sums to one, so the mean passes unchanged.
        above = part.astype(np.float64)
        above -= mean
        return above

    duals = in_slabs(degraded, inverses, above_mean, values=_DOUBLES_AT_ONCE)
    seen = sum(float(np.vdot(above_mean(degraded[rows]), dual)) for rows, dual in duals)
    return SeenEnergy(total, min(max(seen, 0.0), total))


@lru_cache(maxsize=16)
def _inverse_gram(axis: AxisSampling) -> FloatArray:
    """``(A A^T)^+`` of one axis."""
    return np.asarray(np.linalg.pinv(axis.matrix @ axis.matrix.T, rcond=_BLIND, hermitian=True))


def undetermined_part(energies: Sequence[SeenEnergy], target: Target, measured: float = 1.0) -> dict[str, Any]:
    """For the report: shares of the result, 0 to 1, that the input does not determine, and what they mean.

    Args:
        energies: of every channel, on the work grid.
        target: the grids.
        measured: share of the slices of the input's grid that were measured.
    """
    source, output = target.source, target.output
    values = 1 - min(measured, 1.0) * math.prod(min(1.0, float(step)) for step in source.strides_of(output))
    total = sum(energy.total for energy in energies)
    detail = (total - sum(energy.seen for energy in energies)) / total if total > 0 else 0.0
    return {
        "values": round(values, 4),
        "energy": round(detail, 6),
        "meaning": f"{100 * values:.1f} % of the result's values are not determined by the input, which has one value "
        f"for {1 / (1 - values):.3g} of them; {100 * detail:.2g} % of the result's variation is detail that the "
        "acquisition cannot see.",
    }
