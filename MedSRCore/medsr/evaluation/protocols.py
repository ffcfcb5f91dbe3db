"""What is judged: named degradations of a fine reference, as data.

A case turns a fine volume into the coarse one that a scanner would have measured, so that the fine one is the truth.
Axes are named x, y, z as everywhere in MedSR; factors and widths count voxels of the fine grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeVar

import numpy as np

from medsr.errors import InvalidValueError, unknown_name
from medsr.facts import AXES, Facts
from medsr.options import MAX_FACTOR, MIN_FACTOR
from medsr.physics.noise import add_rician_noise
from medsr.physics.profiles import KINDS, Profile
from medsr.physics.sampling import Acquisition
from medsr.volume import Volume

Value = TypeVar("Value", float, str)
Triple = tuple[float, float, float]
Profiles = tuple[Profile, Profile, Profile]

_KEYS = ("scale", "width", "profile", "taper", "noise", "name")
_MAX_DOWNSCALING = 16
_MAX_PERIOD = 20  # fine voxels after which a factor such as 2.4 = 12/5 meets the coarse grid again


@dataclass(frozen=True)
class Case:
    """One degradation.

    Attributes:
        name: what tables call it.
        scale_xyz: fine voxels per coarse voxel, 1 to 8 each; for what programs do (bicubic, ...) whole numbers to 16.
        profiles_xyz: how each axis is sampled; along an axis that stays as it is a profile changes nothing.
        noise: standard deviation of each channel of Rician noise, as a fraction of the 99th percentile; 0 for none.

    Raises:
        InvalidValueError: numbers that make no sense.
    """

    name: str
    scale_xyz: Triple
    profiles_xyz: Profiles = (Profile(), Profile(), Profile())
    noise: float = 0.0

    def __post_init__(self) -> None:
        largest = MAX_FACTOR if self.is_measured else _MAX_DOWNSCALING
        if not all(MIN_FACTOR <= f <= largest for f in self.scale_xyz):
            raise InvalidValueError(
                f"The factors of a case lie between {MIN_FACTOR:g} and {largest:g}, got {_text(self.scale_xyz)}."
            )
        if not self.is_measured and any(f != round(f) for f in self.scale_xyz):
            raise InvalidValueError(f"{self._first.kind} takes whole factors, got {_text(self.scale_xyz)}.")
        if max(self.scale_xyz) == 1:
            raise InvalidValueError(f"Case {self.name!r} makes no axis coarser; give a scale such as 1,1,4.")
        if not (math.isfinite(self.noise) and 0 <= self.noise < 1):
            raise InvalidValueError(f"Noise is a fraction of the signal from 0 to below 1, got {self.noise}.")

    @property
    def is_measured(self) -> bool:
        """True for what a scanner does, False for what programs do to images."""
        return all(KINDS[profile.kind].measured for profile in self.profiles_xyz)

    @property
    def slice_axis(self) -> str:
        """The axis ("x", "y" or "z") that is sampled most coarsely, z when equal."""
        return max(AXES, key=lambda a: (self.scale_xyz[AXES.index(a)], a))

    @property
    def _first(self) -> Profile:
        return self.profiles_xyz[AXES.index(self.slice_axis)]

    @property
    def thickness(self) -> float | None:
        """What a header states of the slices, in fine voxels; None where no axis has a slice profile."""
        if not KINDS[self._first.kind].measured or self._first.kind == "kspace":
            return None
        return self._first.width * max(self.scale_xyz)

    def describe(self) -> str:
        """One line for people: ``1 x 1 x 4, gaussian of 4 voxels along z``."""
        factors = " x ".join(f"{f:g}" for f in self.scale_xyz)
        noise = f", {self.noise:.3g} Rician noise" if self.noise else ""
        if not self.is_measured:
            return f"{factors}, {self._first.kind}{noise}"
        seen: dict[str, str] = {}
        for axis, factor, profile in zip(AXES, self.scale_xyz, self.profiles_xyz, strict=True):
            if factor > 1:
                text = f"{profile.kind} of {profile.width * factor:g} voxels"
                text += f", filtered over {profile.taper:.0%} of the band" if profile.taper else ""
                seen[text] = seen.get(text, "") + axis
        return f"{factors}, " + ", ".join(f"{text} along {axes}" for text, axes in seen.items()) + noise


def _case(name: str, scale: Triple, kind: str = "gaussian", width: float = 1.0, taper: float = 0.0) -> Case:
    return Case(name, scale, (Profile(kind, width, taper),) * 3)


CASES: dict[str, Case] = {
    case.name: case
    for case in (
        # Slices of 2D MR; a gap; slices along another grid axis.
        _case("z3", (1, 1, 3)),
        _case("z4", (1, 1, 4)),
        _case("z6gap", (1, 1, 6), width=5 / 6),
        _case("x3", (3, 1, 1)),
        # 3D MR, without and with a filter; its partitions; the plane of 2D MR.
        _case("k2", (2, 2, 2), "kspace"),
        _case("kf2", (2, 2, 2), "kspace", taper=0.5),
        _case("zk3", (1, 1, 3), "kspace"),
        _case("xyk2", (2, 2, 1), "kspace"),
        # Helical and axial CT.
        _case("z5h", (1, 1, 5), width=0.9),
        _case("z5box", (1, 1, 5), "box"),
        # What no scanner does, for comparison with older figures.
        _case("iso2", (2, 2, 2)),
        _case("xy4", (4, 4, 1)),
        # As the published systems were trained.
        *(_case(f"bicubic{factor}", (factor, factor, 1), "bicubic") for factor in (2, 3, 4, 8, 16)),
    )
}


def parse_case(text: str) -> Case:
    """A case by name (``z4``) or by its numbers (``scale=1,1,4;width=4;profile=gaussian;noise=0.02``).

    Only `scale` is required. `width`, in fine voxels, and `profile` are one value for all axes or three; widths default
    to the factors. `taper` is that of k-space. `name` defaults to the text itself.

    Raises:
        UnknownNameError: no case, profile or key of that name.
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
    scale = _three(_numbers("scale", given["scale"]), text)
    width = _three(_numbers("width", given["width"]), text) if "width" in given else scale
    kinds = _three([kind.strip() for kind in given.get("profile", "gaussian").split(",")], text)
    if not all(math.isfinite(w) and w > 0 for w in width):
        raise InvalidValueError(f"Profile widths must be positive, got {_text(width)}.")
    taper = _numbers("taper", given.get("taper", "0"))[0]
    if taper and "kspace" not in kinds:
        raise InvalidValueError(f"A taper belongs to profile=kspace only, got {text!r}.")
    x, y, z = (
        Profile(kind, w / f if f > 1 else 1.0, taper if kind == "kspace" else 0.0)
        for kind, w, f in zip(kinds, width, scale, strict=True)
    )
    noise = _numbers("noise", given.get("noise", "0"))[0]
    return Case(given.get("name", text), (scale[0], scale[1], scale[2]), (x, y, z), noise)


def _three(values: list[Value], text: str) -> list[Value]:
    """One value for all axes, or three."""
    if len(values) not in (1, 3):
        raise InvalidValueError(f"scale, width and profile take one value or three (x,y,z), got {text!r}.")
    return values * 3 if len(values) == 1 else values


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
        The reference (float32), the coarse volume (float32, on its own grid, without a word of how it was made), and
        the acquisition that leads from the first to the second when there is no noise.

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
    measured = reference.replace(array=coarse.astype(np.float32), geometry=grid, facts=Facts())
    return reference, measured, acquisition


def _acquisition(shape_zyx: Sequence[int], case: Case) -> Acquisition:
    profiles = [p if f > 1 else Profile() for p, f in zip(case.profiles_xyz, case.scale_xyz, strict=True)]
    return Acquisition.from_factors(shape_zyx, case.scale_xyz[::-1], profiles[::-1])


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
