"""What is judged: named degradations of a fine reference, as data.

A case turns a fine volume into the coarse one that a scanner would have measured, so that the fine one is the truth.
Axes are named x, y, z as everywhere in MedSR; factors and widths count voxels of the fine grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from medsr.degradation import Acquisition, Profile, add_rician_noise
from medsr.downscaling import DOWNSCALINGS
from medsr.errors import InvalidValueError, unknown_name
from medsr.evaluation.downscaled import downscaled_acquisition
from medsr.options import MAX_FACTOR, MIN_FACTOR
from medsr.volume import Volume

Triple = tuple[float, float, float]

_AXES = "xyz"
_KEYS = ("scale", "width", "profile", "downscaling", "noise", "name")
_MAX_DOWNSCALING = 16
_MAX_PERIOD = 20  # fine voxels after which a factor such as 2.4 = 12/5 meets the coarse grid again


@dataclass(frozen=True)
class Case:
    """One degradation.

    Attributes:
        name: what tables call it.
        scale_xyz: fine voxels per coarse voxel, 1 to 8 each; with a `downscaling` whole numbers, 1 to 16.
        width_xyz: full width (at half maximum) of the profile along each axis, in fine voxels.
        profile: shape of the profile.
        noise: standard deviation of each channel of Rician noise, as a fraction of the 99th percentile; 0 for none.
        downscaling: name of `medsr.downscaling` ("bicubic", "kspace", ...) that replaces the profile, as the published
            systems were trained on; "" for the profile. Width and profile are then only what the models are told.

    Raises:
        InvalidValueError: numbers that make no sense.
        UnknownNameError: no downscaling of that name.
    """

    name: str
    scale_xyz: Triple
    width_xyz: Triple
    profile: Profile = Profile.GAUSSIAN
    noise: float = 0.0
    downscaling: str = ""

    def __post_init__(self) -> None:
        if self.downscaling and self.downscaling not in DOWNSCALINGS:
            raise unknown_name("downscaling", self.downscaling, DOWNSCALINGS)
        largest = _MAX_DOWNSCALING if self.downscaling else MAX_FACTOR
        if not all(MIN_FACTOR <= f <= largest for f in self.scale_xyz):
            raise InvalidValueError(
                f"The factors of a case lie between {MIN_FACTOR:g} and {largest:g}, got {_text(self.scale_xyz)}."
            )
        if self.downscaling and any(f != round(f) for f in self.scale_xyz):
            raise InvalidValueError(f"{self.downscaling} takes whole factors, got {_text(self.scale_xyz)}.")
        if max(self.scale_xyz) == 1:
            raise InvalidValueError(f"Case {self.name!r} makes no axis coarser; give a scale such as 1,1,4.")
        if not all(math.isfinite(w) and w > 0 for w in self.width_xyz):
            raise InvalidValueError(f"Profile widths must be positive, got {_text(self.width_xyz)}.")
        if not (math.isfinite(self.noise) and 0 <= self.noise < 1):
            raise InvalidValueError(f"Noise is a fraction of the signal from 0 to below 1, got {self.noise}.")

    @property
    def slice_axis(self) -> str:
        """The axis ("x", "y" or "z") across the slices: the one that is sampled most coarsely, z when equal."""
        return max(_AXES, key=lambda a: (self.scale_xyz[_AXES.index(a)], a))

    @property
    def width(self) -> float:
        """Profile width along `slice_axis`, in fine voxels."""
        return self.width_xyz[_AXES.index(self.slice_axis)]

    def describe(self) -> str:
        """One line for people: ``1 x 1 x 4, Gaussian profile of 4 voxels``."""
        factors = " x ".join(f"{f:g}" for f in self.scale_xyz)
        noise = f", {self.noise:.3g} Rician noise" if self.noise else ""
        if self.downscaling:
            return f"{factors}, {self.downscaling}{noise}"
        widths = [w for f, w in zip(self.scale_xyz, self.width_xyz, strict=True) if f > 1]
        width = f"{widths[0]:g}" if len(set(widths)) == 1 else " x ".join(f"{w:g}" for w in self.width_xyz)
        shape = "Gaussian" if self.profile is Profile.GAUSSIAN else self.profile.value
        return f"{factors}, {shape} profile {width} voxels wide{noise}"


def _downscaled(kind: str, factor: float, *, in_plane: bool) -> Case:
    scale = (factor, factor, 1.0 if in_plane else factor)
    # A slice profile says nothing of resampled images; that a spectrum was cut off can be told.
    told = Profile.KSPACE if kind == Profile.KSPACE.value else Profile.GAUSSIAN
    return Case(f"{kind}{factor:g}", scale, scale, told, downscaling=kind)


CASES: dict[str, Case] = {
    case.name: case
    for case in (
        Case("iso2", (2, 2, 2), (2, 2, 2)),
        Case("z3", (1, 1, 3), (1, 1, 3)),
        Case("z4", (1, 1, 4), (1, 1, 4)),
        Case("z6gap", (1, 1, 6), (1, 1, 5)),
        Case("z5box", (1, 1, 5), (1, 1, 5), Profile.BOX),
        Case("x3", (3, 1, 1), (3, 1, 1)),
        Case("xy4", (4, 4, 1), (4, 4, 1)),
        *(_downscaled("bicubic", factor, in_plane=True) for factor in (2, 3, 4, 8, 16)),
        _downscaled("kspace", 2, in_plane=False),
    )
}


def parse_case(text: str) -> Case:
    """A case by name (``z4``) or by its numbers (``scale=1,1,4;width=4;profile=gaussian;noise=0.02``).

    Only `scale` is required. `width` is one number for all axes that get coarser, or three; it defaults to the
    factors. `name` defaults to the text itself.

    Raises:
        UnknownNameError: no case or key of that name.
        InvalidValueError: numbers that make no sense.
    """
    text = text.strip()
    if "=" not in text:
        if text not in CASES:
            raise unknown_name("case", text, CASES)
        return CASES[text]
    given: dict[str, str] = {}
    for part in filter(None, (p.strip() for p in text.split(";"))):
        key, _, value = (p.strip() for p in part.partition("="))
        if key not in _KEYS:
            raise unknown_name("key of a case", key, _KEYS)
        if key in given:
            raise InvalidValueError(f"{key!r} is given twice in the case {text!r}.")
        given[key] = value
    if "scale" not in given:
        raise InvalidValueError(f"A case needs a scale, for example scale=1,1,4; got {text!r}.")
    scale = _numbers("scale", given["scale"])
    if len(scale) == 1:
        scale *= 3
    width = _numbers("width", given["width"]) if "width" in given else scale
    if len(width) == 1:
        width = [width[0] if f > 1 else 1.0 for f in scale]
    if len(scale) != 3 or len(width) != 3:
        raise InvalidValueError(f"scale and width take one number or three (x,y,z), got {text!r}.")
    return Case(
        name=given.get("name", text),
        scale_xyz=(scale[0], scale[1], scale[2]),
        width_xyz=(width[0], width[1], width[2]),
        profile=Profile.parse(given.get("profile", "gaussian")),
        noise=_numbers("noise", given.get("noise", "0"))[0],
        downscaling=given.get("downscaling", ""),
    )


def central_crop(volume: Volume, size_xyz: Sequence[int]) -> Volume:
    """The central box of at most `size_xyz` voxels."""
    if len(size_xyz) != 3 or any(n < 1 for n in size_xyz):
        raise InvalidValueError(f"A crop takes three positive sizes (x,y,z), got {tuple(size_xyz)}.")
    size = [min(a, b) for a, b in zip(size_xyz, volume.geometry.size_xyz, strict=True)]
    return _cropped(volume, [(n - s) // 2 for n, s in zip(volume.geometry.size_xyz, size, strict=True)], size)


def degrade(volume: Volume, case: Case, *, seed: int = 0) -> tuple[Volume, Volume, Acquisition]:
    """Make the coarse volume of `case` from a fine one.

    The reference is cropped at its far end so that the faces of both grids coincide.

    Args:
        volume: fine truth; colours are degraded alike.
        case: what to do to it.
        seed: of the noise.

    Returns:
        The reference (float32), the coarse volume (float32, on its own grid, with the profile width as its slice
        thickness), and the acquisition that leads from the first to the second when there is no noise.

    Raises:
        InvalidValueError: a volume too small for the factors, or noise that does not fit it.
    """
    if case.noise and volume.modality == "CT":
        raise InvalidValueError("Rician noise belongs to magnitude MR images, not to CT; use a case without noise.")
    size = [_whole_periods(n, f) for n, f in zip(volume.geometry.size_xyz, case.scale_xyz, strict=True)]
    if 0 in size:
        raise InvalidValueError(
            f"{volume.geometry.describe()} are too few for a degradation by {_text(case.scale_xyz)}; "
            "take a larger volume."
        )
    reference = _cropped(volume, (0, 0, 0), size)
    reference = reference.replace(array=np.ascontiguousarray(reference.array, dtype=np.float32))
    acquisition = _acquisition(reference.geometry.shape_zyx, case)
    coarse = acquisition.forward(reference.array.astype(np.float64))
    if case.noise:
        coarse = add_rician_noise(coarse, case.noise, np.random.default_rng(seed))
    spacing = [s * f for s, f in zip(reference.geometry.spacing_xyz_mm, case.scale_xyz, strict=True)]
    grid = reference.geometry.with_grid(spacing, acquisition.coarse_shape[::-1])
    axis = _AXES.index(case.slice_axis)
    measured = reference.replace(
        array=coarse.astype(np.float32),
        geometry=grid,
        slice_thickness_mm=case.width * reference.geometry.spacing_xyz_mm[axis],
        slice_axis=case.slice_axis,
    )
    return reference, measured, acquisition


def _acquisition(shape_zyx: Sequence[int], case: Case) -> Acquisition:
    if case.downscaling:
        return downscaled_acquisition(shape_zyx, case.scale_xyz[::-1], case.downscaling)
    return Acquisition.from_factors(shape_zyx, case.scale_xyz[::-1], case.width_xyz[::-1], [case.profile] * 3)


def _cropped(volume: Volume, start_xyz: Sequence[int], size_xyz: Sequence[int]) -> Volume:
    box = tuple(slice(a, a + n) for a, n in zip(start_xyz, size_xyz, strict=True))[::-1]
    return volume.replace(array=volume.array[box], geometry=volume.geometry.cropped(start_xyz, size_xyz))


def _whole_periods(size: int, factor: float) -> int:
    """The largest size up to `size` that `factor` divides into whole coarse voxels."""
    ratio = Fraction(factor).limit_denominator(_MAX_PERIOD)
    if abs(float(ratio) - factor) > 1e-6 or ratio.numerator > 8 * _MAX_PERIOD:
        raise InvalidValueError(
            f"The factor {factor:g} is no ratio of small whole numbers, so that no crop of the reference fits both "
            "grids; use for example 2.5 or 2.4."
        )
    return size // ratio.numerator * ratio.numerator


def _numbers(key: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InvalidValueError(f"{key} takes numbers, got {text!r}.") from None


def _text(values: Sequence[float]) -> str:
    return ", ".join(f"{v:g}" for v in values)
