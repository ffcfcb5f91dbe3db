"""How wide the slices of a thick series are, by another series that has measured across them.

The other series is averaged along the slice axis with Gaussians of many widths and read at the centres of the thick
slices. The wider the Gaussian, the smoother it runs from slice to slice; the width at which it runs as smoothly as the
thick series itself is that of its slices. Smoothness is the strength of second differences over that of first ones,
which knows neither the scale of the intensities nor how well the two series correlate. Both series are taken to be
about equally noisy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.interpolate import CubicSpline

from medsr.evaluation.blocks import Blocks, Estimate
from medsr.evaluation.detail import Lattice
from medsr.geometry import Geometry
from medsr.physics.profiles import Profile

Floats = NDArray[np.float64]
Array = NDArray[np.float32]

_WIDTHS = np.linspace(0.3, 1.7, 15)
"""Widths that are tried, over the distance of the slices."""

_FEWEST_SLICES = 6


def fit_slice_width(
    thick: Geometry, across: int, plain: Array, image: Array, lattice: Lattice, seed: int = 0
) -> Estimate | None:
    """Full width at half maximum, mm, of the Gaussian that the slices are like.

    Args:
        thick: grid of the thick series.
        across: its grid axis (x, y, z order) across the slices.
        plain: the thick series enlarged by interpolation through its voxels, as seen on `lattice`.
        image: the other series, read on `lattice`.
        lattice: where both are compared.
        seed: of the interval.

    Returns:
        The width, or None where there are too few slices, or no width that was tried fits.
    """
    places = _centres(thick, across, lattice)
    if places.shape[1] < _FEWEST_SLICES:
        return None
    kept = np.stack([lattice.kept[k][:, np.rint(row).astype(int)] for k, row in enumerate(places)])
    kept = kept[..., :-2] & kept[..., 1:-1] & kept[..., 2:]
    if not kept.any():
        return None
    apart = thick.spacing_xyz_mm[across]
    _, y, z = lattice.geometry.spacing_xyz_mm
    blocks = Blocks.of(kept, (apart, y, z), seed)
    size = image.shape[2]
    frequency = np.arange(size) / (2 * size * lattice.geometry.spacing_xyz_mm[0])
    spectrum = fft.dct(image.astype(np.float64), axis=2, norm="ortho")
    sums = [_differences(plain.astype(np.float64), places, blocks)]
    for width in _WIDTHS * apart:
        profile = Profile("gaussian", width)
        share = np.array([profile.transfer(f) for f in frequency])
        averaged = fft.idct(spectrum * share, axis=2, norm="ortho")
        sums.append(_differences(averaged, places, blocks))
    stacked = np.stack(sums)
    found = _crossing(_roughness(stacked.sum(axis=1)))
    if found is None:
        return None
    if blocks.draws is None:
        return Estimate(found * apart)
    drawn = [_crossing(_roughness(np.tensordot(draw, stacked, axes=(0, 1)))) for draw in blocks.draws]
    usable = np.array([value for value in drawn if value is not None]) * apart
    return Estimate.of(found * apart, usable if len(usable) == len(drawn) else None)


def _centres(thick: Geometry, across: int, lattice: Lattice) -> Floats:
    """Index along the lines of the lattice of the centres of the thick slices, ``(lattice slices, thick slices)``."""
    slices, size = lattice.geometry.size_xyz[2], lattice.geometry.size_xyz[0]
    first = thick.to_index(lattice.geometry.to_patient([(0, 0, k) for k in range(slices)]))[:, across]
    step = thick.to_index(lattice.geometry.to_patient((1, 0, 0)))[across] - first[0]
    places = (np.arange(thick.size_xyz[across]) - first[:, None]) / step
    within = ((places >= 0) & (places <= size - 1)).all(axis=0)
    return np.asarray(places[:, within])


def _differences(image: Floats, places: Floats, blocks: Blocks) -> Floats:
    """Sums of the squares of first and of second differences from thick slice to thick slice, per block."""
    lines = np.arange(image.shape[2])
    read = np.stack([CubicSpline(lines, layer, axis=1)(row) for layer, row in zip(image, places, strict=True)])
    steps = np.square(np.diff(read, axis=2))
    return blocks.sums((steps[..., :-1] + steps[..., 1:]) / 2, np.square(np.diff(read, 2, axis=2)))


def _roughness(sums: Floats) -> Floats:
    """Second over first differences of the thick series and of each width."""
    return np.asarray(sums[:, 1] / sums[:, 0])


def _crossing(roughness: Floats) -> float | None:
    """The width, over the distance of the slices, that is as rough as the thick series (the first entry)."""
    own, tried = roughness[0], roughness[1:]
    if not tried[-1] < own < tried[0]:
        return None
    return float(np.interp(-own, -tried, _WIDTHS))
