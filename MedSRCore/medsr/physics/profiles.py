"""The kinds of profile with which an axis is sampled: for each its operator, its spectrum and its help.

A new kind is one entry of `KINDS`. Simulation, training, evaluation, the options and the panel's choices draw from
here, and networks learn a profile by its spectrum, so nothing else needs to know of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InvalidValueError, unknown_name

FloatArray = NDArray[np.floating]

FWHM_PER_SIGMA = 2.3548  # 2 sqrt(2 ln 2), rounded as the field's protocols round it
_NEGLIGIBLE = 1e-6
_KEYS = -0.5  # Keys, IEEE TASSP 29(6), 1981


@dataclass(frozen=True)
class Profile:
    """How the samples of one axis see it.

    Attributes:
        kind: a name of `KINDS`.
        width: full width at half maximum (gaussian), full width (box), or resolution (kspace: half a period of the
            highest frequency that was acquired), as a multiple of the distance of the samples. A k-space profile wider
            than 1 was acquired coarser than its grid and filled up with zeros.
        taper: kspace only: share of the acquired band, from its outer end, over which a filter brings the spectrum
            down to nothing in the shape of a cosine (Tukey 1967; 1 is a Hann window).
        assumed: True where nobody stated the profile: a network then trusts it less.

    Raises:
        UnknownNameError: no such kind.
        InvalidValueError: a width or taper that makes no sense.
    """

    kind: str = "gaussian"
    width: float = 1.0
    taper: float = 0.0
    assumed: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown_name("profile", self.kind, KINDS)
        if not (math.isfinite(self.width) and self.width >= 0):
            raise InvalidValueError(f"The width of a profile is zero or more, got {self.width}.")
        if not 0 <= self.taper <= 1:
            raise InvalidValueError(f"The taper of a k-space profile lies between 0 and 1, got {self.taper}.")

    def transfer(self, frequency: float) -> float:
        """What is left of a wave of `frequency` (cycles per sample; 0.5 is the Nyquist frequency of the samples)."""
        return KINDS[self.kind].transfer(frequency * self.width, self)

    @property
    def resolution(self) -> float:
        """Effective resolution as a multiple of the distance of the samples: the width, more where a filter is."""
        return self.width / (1 - self.taper / 2)


@dataclass(frozen=True)
class Kind:
    """One kind of profile.

    Attributes:
        title: for a list of choices.
        help: what it is, in a sentence.
        measured: True for what scanners do, False for what programs do to images.
        weights: centres of the samples (fine voxels), size of the fine grid, width (fine voxels), profile ->
            weights ``(len(centres), size)``, not yet normalised.
        transfer: cycles per width and the profile -> what is left of such a wave.
        aligned: True where the outer faces of both grids meet; else sample 0 is voxel 0.
    """

    title: str
    help: str
    weights: Callable[[FloatArray, int, float, Profile], FloatArray]
    transfer: Callable[[float, Profile], float]
    measured: bool = True
    aligned: bool = True


def _distance(centres: FloatArray, size: int) -> FloatArray:
    return np.abs(np.arange(size)[None, :] - centres[:, None])


def _gaussian(centres: FloatArray, size: int, width: float, _profile: Profile) -> FloatArray:
    return np.asarray(np.exp(-0.5 * (_distance(centres, size) / (width / FWHM_PER_SIGMA)) ** 2))


def _box(centres: FloatArray, size: int, width: float, _profile: Profile) -> FloatArray:
    # The share of each voxel [-1/2, 1/2] that lies inside the box around the centre.
    return np.asarray(np.clip(width / 2 + 0.5 - _distance(centres, size), 0.0, min(width, 1.0)))


def _band(centres: FloatArray, size: int, width: float, profile: Profile) -> FloatArray:
    """Frequencies up to half a cycle in `width` voxels, read at `centres`.

    The image is continued by its mirror image (a cosine transform): a real volume is often cut through the body, and
    taken as periodic its opposite ends would ring into each other.
    """
    last = size / width
    frequencies = np.arange(math.floor(last + _NEGLIGIBLE) + 1)[:size]
    weights = np.where(frequencies > 0, 2.0, 1.0)
    if profile.taper > 0:
        weights = weights * _tapered(frequencies / last, profile.taper)
    else:
        # Half of the outermost frequency lies on either side of the cut.
        weights[np.abs(frequencies - last) < _NEGLIGIBLE] = 1.0
    at_centres, at_voxels = (
        np.cos(np.pi * np.outer(positions + 0.5, frequencies) / size) for positions in (centres, np.arange(size))
    )
    return np.asarray((at_centres * weights / size) @ at_voxels.T)


def _tapered(share: FloatArray, taper: float) -> FloatArray:
    """The filter at a share of the band: 1 inside, then half a period of a cosine down to 0."""
    inside = np.clip((share - (1 - taper)) / taper, 0.0, 1.0)
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * inside))


def _band_transfer(cycles: float, profile: Profile) -> float:
    share = 2 * cycles
    if share > 1 + _NEGLIGIBLE:
        return 0.0
    if profile.taper > 0:
        return float(_tapered(np.array([share]), profile.taper)[0])
    return 1.0 if share < 1 - _NEGLIGIBLE else 0.5


def _keys(distance: FloatArray) -> FloatArray:
    near = ((_KEYS + 2) * distance - (_KEYS + 3)) * distance**2 + 1
    far = _KEYS * (((distance - 5) * distance + 8) * distance - 4)
    return np.asarray(np.where(distance < 1, near, np.where(distance < 2, far, 0.0)))


def _cubic(centres: FloatArray, size: int, width: float, _profile: Profile) -> FloatArray:
    # Downwards the kernel is stretched against aliasing, upwards (width 1) it is not.
    return _keys(_distance(centres, size) / width)


def _cubic_transfer(cycles: float, _profile: Profile) -> float:
    place = np.linspace(-2, 2, 801)
    return float((_keys(np.abs(place)) * np.cos(2 * np.pi * cycles * place)).mean() * 4 * 801 / 800)


def _nearest(centres: FloatArray, size: int, _width: float, _profile: Profile) -> FloatArray:
    weights = np.zeros((len(centres), size))
    weights[np.arange(len(centres)), np.clip(np.rint(centres), 0, size - 1).astype(int)] = 1.0
    return weights


KINDS: dict[str, Kind] = {
    "gaussian": Kind(
        "Gaussian slice",
        "slice profile of 2D MR and of helical CT",
        _gaussian,
        lambda cycles, _: math.exp(-2 * (math.pi * cycles / FWHM_PER_SIGMA) ** 2),
    ),
    "box": Kind("Box", "mean over the slice: axial CT", _box, lambda cycles, _: float(np.sinc(cycles))),
    "kspace": Kind(
        "Fourier-encoded (k-space)",
        "the spectrum ends: the plane of 2D MR, every axis of 3D MR",
        _band,
        _band_transfer,
    ),
    "bicubic": Kind(
        "Bicubic",
        "cubic convolution with a = -0.5 (Keys 1981), stretched against aliasing: what Pillow's resize does",
        _cubic,
        _cubic_transfer,
        measured=False,
    ),
    "nearest_wang": Kind(
        "Every n-th voxel",
        "from voxel 0 and without a filter: aliased, and shifted by half a coarse voxel less half a fine one; only to "
        "reproduce Wang et al. (MIDL 2022)",
        _nearest,
        lambda _cycles, _profile: 1.0,
        measured=False,
        aligned=False,
    ),
}
"""Every kind by name."""

MEASURED = tuple(name for name, kind in KINDS.items() if kind.measured)
"""Kinds that a scanner makes."""
