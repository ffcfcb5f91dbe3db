"""Slices that were acquired in two passes, between which the patient moved: every second one lies elsewhere.

Along a stack, an image changes slowly: a slice is closer to the mean of its neighbours than to the mean of the next but
one. Where odd and even slices do not show the same position (or not the same brightness), it is the other way round.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from medsr.facts import AXES
from medsr.planning.evidence import ANISOTROPIC_RATIO
from medsr.volume import Volume

MOVED = 0.7
"""How much a slice differs from its neighbours, over how much from the next but one, from which motion is told. Real
stacks of 3 to 3.6 mm have 0.48 to 0.55, with 8 % of noise up to 0.63; with every second slice shifted by 2 mm, 0.69 to
0.93, by 3 mm, 0.79 to 1.2."""

_UNRELATED = 0.8
"""Share of its own contrast by which a slice differs from the next but one where there is nothing to compare. Real
stacks have 0.18 to 0.43, noise alone 1.2."""

_FEWEST_SLICES = 9
_NOISIEST = 0.1
_SMOOTH_MM = 1.5


def looks_interleaved(volume: Volume, across: str | None, noise: float | None) -> float | None:
    """The ratio that `MOVED` explains where it tells of motion, else None.

    Args:
        volume: the input, without padding.
        across: axis across the slices, "x", "y" or "z"; None where nothing tells.
        noise: level of the input; in too much noise, any slice differs from any other.
    """
    if across is None or volume.array.ndim != 3 or volume.planar or volume.places or (noise or 0.0) > _NOISIEST:
        return None
    spacing = volume.geometry.spacing_xyz_mm
    axis = AXES.index(across)
    in_plane = [spacing[n] for n in (2, 1, 0) if n != axis]
    thick = spacing[axis] >= ANISOTROPIC_RATIO * min(in_plane)
    if not thick or volume.geometry.size_xyz[axis] < _FEWEST_SLICES:
        return None
    if volume.facts.value("encoding", across) == "partition":
        return None
    slices = np.moveaxis(volume.array, 2 - axis, 0)
    ratio = _ratio(slices, in_plane)
    return ratio if ratio > MOVED else None


def _ratio(slices: NDArray[np.generic], spacing_mm: list[float]) -> float:
    """Median, over the slices, of the difference from the neighbours over that from the next but one."""
    widths = [_SMOOTH_MM / spacing for spacing in spacing_mm]
    steps = tuple(slice(None, None, max(1, int(width))) for width in widths)
    coarse = [ndi.gaussian_filter(np.asarray(one, dtype=np.float32), widths)[steps] for one in slices]
    ratios, shares = [], []
    for n in range(2, len(coarse) - 2):
        near = float(np.abs(coarse[n] - (coarse[n - 1] + coarse[n + 1]) / 2).mean())
        far = float(np.abs(coarse[n] - (coarse[n - 2] + coarse[n + 2]) / 2).mean())
        contrast = float(np.abs(coarse[n] - coarse[n].mean()).mean())
        if far > 0 and contrast > 0:
            ratios.append(near / far)
            shares.append(far / contrast)
    return float(np.median(ratios)) if ratios and np.median(shares) < _UNRELATED else 0.0
