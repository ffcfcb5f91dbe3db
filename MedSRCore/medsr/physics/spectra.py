"""What the voxels say of how an axis was sampled.

A profile leaves its mark on the power spectrum along its axis: a slice profile lets it fall early and smoothly, Fourier
encoding lets it stand up to the Nyquist frequency, a vendor's filter bends its end down, zero-filling cuts it off
before. How the spectrum would run without any profile is read from axes that are sampled more finely, at the same
cycles per millimetre; where there are none, from the low frequencies and what is usual of anatomy. The profile whose
mark fits best is taken, with a prior: anatomy is not the same in all directions, and one volume is weak evidence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medsr.physics.profiles import FloatArray, Profile

FINER = 1.25
"""An axis tells of the undisturbed spectrum of one that is sampled so many times as coarsely."""

_FREQUENCIES = np.linspace(0.05, 0.485, 40)
"""Cycles per sample; beyond, a window and rounding of the matrix blur the end of the spectrum."""

_LOW = _FREQUENCIES < 0.24
_USUAL_BEND = 2.4
"""Decibels that spectra of anatomy lie below the power law of their low frequencies at the Nyquist frequency (median of
the T1w and FLAIR volumes that the networks learned from, truncated in k-space; standard deviation 1)."""

_TILT = 1.0
"""Standard deviation of how much anatomy differs from that, decibels at the Nyquist frequency."""

_MISFIT = 0.5
_INDEPENDENT = 8
"""Decibels, and how many frequencies tell something of their own."""

_FLOORS = (0.0, 0.2, 0.4, 0.6, 0.75, 0.9, 0.97)
"""Shares of the lowest power along the axis that may be noise."""

_SURELY = 2.3
"""How much more likely, as a logarithm, a filter must make the spectrum than any slice profile does: ten times."""

_NOTHING = 200.0
"""Decibels below the spectrum in question where another is rounding."""

_MOST_LINES = 20_000
_FEWEST_SAMPLES, _FEWEST_ALONE = 20, 32
"""Samples along an axis from which its spectrum tells something; the second where no finer axis stands beside it."""


@dataclass(frozen=True)
class Candidate:
    """A profile and the odds of meeting it before anything was seen."""

    profile: Profile
    odds: float


@dataclass(frozen=True)
class Likeliest:
    """What fits best.

    Attributes:
        profile: the likeliest candidate.
        probability: of its kind (slice profile, Fourier encoding), after the look at the voxels.
        compared: True where finer axes told how the spectrum would run without a profile.
    """

    profile: Profile
    probability: float
    compared: bool


def likeliest_profile(
    array: NDArray[np.generic], spacing_zyx_mm: Sequence[float], axes: Sequence[int], candidates: Sequence[Candidate]
) -> Likeliest | None:
    """The candidate that explains the spectrum along array axes that were sampled alike.

    Args:
        array: the voxels, ``(z, y, x)``.
        spacing_zyx_mm: distance of the samples along each array axis.
        axes: array axes in question; their spectra are averaged.
        candidates: what is possible.

    Returns:
        The likeliest, or None where an axis has too few samples or there is nothing to see.
    """
    if min(array.shape[axis] for axis in axes) < _FEWEST_SAMPLES:
        return None
    spectra = {axis: _spectrum(array, axis) for axis in range(3) if array.shape[axis] >= _FEWEST_SAMPLES}
    if not all(np.isfinite(spectra[axis]).all() for axis in axes):
        return None
    seen = np.mean([np.interp(_FREQUENCIES, _scale(spectra[axis]), spectra[axis]) for axis in axes], axis=0)
    spacing = spacing_zyx_mm[axes[0]]
    finer = [axis for axis in spectra if axis not in axes and spacing >= FINER * spacing_zyx_mm[axis]]
    # An axis along which nothing changes tells nothing.
    finer = [axis for axis in finer if spectra[axis].min() > seen.max() - _NOTHING]
    if not finer and min(array.shape[axis] for axis in axes) < _FEWEST_ALONE:
        return None
    if finer:
        truth = [
            np.mean([_read(spectra[axis], places * spacing_zyx_mm[axis] / spacing) for axis in finer], axis=0)
            for places in _folded()
        ]
    else:
        truth = _power_law(seen)
    fits = np.array([_fit(seen, truth, c.profile) for c in candidates])
    evidence = np.log([c.odds for c in candidates]) + fits
    weights = np.exp(evidence - evidence.max())
    best = candidates[int(np.argmax(weights))].profile
    if best.taper > 0:
        # Undoing a filter that was none multiplies what is finest; so the voxels must tell it from a slice profile.
        slices = max(
            (fit for fit, c in zip(fits, candidates, strict=True) if c.profile.kind != best.kind), default=-np.inf
        )
        if fits[int(np.argmax(weights))] < slices + _SURELY:
            best = replace(best, taper=0.0)
    alike = sum(w for w, c in zip(weights, candidates, strict=True) if c.profile.kind == best.kind)
    return Likeliest(best, float(alike / weights.sum()), bool(finer))


def _folded() -> tuple[FloatArray, FloatArray, FloatArray]:
    """Frequencies that the samples cannot tell from each other, cycles per sample."""
    return _FREQUENCIES, 1 - _FREQUENCIES, 1 + _FREQUENCIES


def _spectrum(array: NDArray[np.generic], axis: int) -> FloatArray:
    """Mean power of the lines along `axis`, in decibels, from frequency 0 to half a cycle per sample."""
    size = array.shape[axis]
    # A grid of lines, so that nothing of the volume's size is copied.
    step = max(1, math.ceil(math.sqrt(array.size / size / _MOST_LINES)))
    lines = np.moveaxis(array, axis, -1)[::step, ::step].reshape(-1, size).astype(np.float64)
    lines = (lines - lines.mean(axis=1, keepdims=True)) * np.hanning(size + 2)[1:-1]
    power = np.square(np.abs(np.fft.rfft(lines, axis=1))).mean(axis=0)
    with np.errstate(divide="ignore"):
        return np.asarray(10 * np.log10(power))


def _scale(spectrum: FloatArray) -> FloatArray:
    return np.asarray(np.linspace(0, 0.5, len(spectrum)))


def _read(spectrum: FloatArray, frequencies: FloatArray) -> FloatArray:
    """A spectrum at any frequency (cycles per sample of its own axis); beyond its end, the power law of its middle."""
    own = _scale(spectrum)
    middle = (own > 0.05) & (own < 0.45)
    law = np.polyfit(np.log10(own[middle]), spectrum[middle], 1)
    beyond = np.polyval(law, np.log10(frequencies))
    return np.where(frequencies < 0.475, np.interp(frequencies, own, spectrum), beyond)


def _power_law(seen: FloatArray) -> list[FloatArray]:
    """How the spectrum of anatomy with these low frequencies usually runs, at the frequencies that fold together."""
    law = np.polyfit(np.log10(_FREQUENCIES[_LOW]), seen[_LOW], 1)
    return [np.polyval(law, np.log10(f)) - _USUAL_BEND * np.clip((f - 0.24) / 0.26, 0, None) for f in _folded()]


def _fit(seen: FloatArray, truth: Sequence[FloatArray], profile: Profile) -> float:
    """Logarithm of the likelihood of what was seen, over tilt and noise floor."""
    leaves = [np.array([profile.transfer(f) for f in places]) ** 2 for places in _folded()]
    power = sum(share * 10 ** (level / 10) for share, level in zip(leaves, truth, strict=True))
    rise = np.log10(_FREQUENCIES / _FREQUENCIES[0]) / np.log10(0.5 / _FREQUENCIES[0])
    best = -np.inf
    for tilt in np.linspace(-2, 2, 9) * _TILT:
        tilted = 10 * np.log10(power * 10 ** (tilt * rise / 10) + 1e-30)
        tilted = tilted + (seen - tilted)[_LOW].mean()
        for floor in _FLOORS:
            model = 10 * np.log10(10 ** (tilted / 10) + floor * 10 ** (seen.min() / 10))
            misfit = seen - model
            # The two ends of what rounding leaves of a spectrum that was cut off say the same.
            misfit = np.clip(misfit - misfit.mean(), -8, 8)
            score = -0.5 * (_INDEPENDENT * float(np.mean(misfit**2)) / _MISFIT**2 + (tilt / _TILT) ** 2)
            best = max(best, score)
    return float(best)
