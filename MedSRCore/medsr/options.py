"""What a person can ask for: the one list of options that the Python call, the command line and the worker share."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from medsr.errors import InvalidValueError, unknown_name

MIN_FACTOR, MAX_FACTOR = 1.0, 8.0
DTYPES = ("same", "int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64")
EFFORTS = ("fast", "standard", "thorough")
_UNITS = {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def _option(default: Any, text: str, **extra: Any) -> Any:
    return field(default=default, metadata={"help": text, **extra})


@dataclass(frozen=True)
class StatedProfile:
    """What a person said of the profile of one axis.

    Attributes:
        kind: a name of `medsr.physics.profiles.MEASURED`, or "auto".
        width_mm: its width, None where it was not said.
        taper: of a k-space profile.
    """

    kind: str = "auto"
    width_mm: float | None = None
    taper: float = 0.0


@dataclass(frozen=True)
class UpscaleOptions:
    """How to super-resolve one volume. Validated when made; `help` texts are those of ``medsr upscale --help``.

    At most one of `scale`, `spacing`, `isotropic` and `reference` may be given; with none, anisotropic volumes become
    isotropic and isotropic ones twice as fine, and a model with a factor of its own enlarges by that.

    Raises:
        InvalidValueError: a value that makes no sense, or two targets at once.
    """

    scale: tuple[float, float, float] | None = _option(None, "factor, or x,y,z factors, 1 to 8 (some models: 16)")
    spacing: tuple[float, float, float] | None = _option(None, "target voxel spacing in mm, one number or x,y,z")
    isotropic: bool = _option(False, "target the finest spacing of the input in every direction")
    reference: str | None = _option(None, "image file whose grid the output takes")
    model: str = _option("auto", "a name from `medsr models`, the folder of a bundle, or auto")
    modality: str = _option("auto", "auto, MR or CT", choices=("auto", "MR", "CT"))
    mode: str = _option("auto", "3d (volumetric), 2d (slice by slice) or auto", choices=("auto", "3d", "2d"))
    slice_axis: str = _option("auto", "axis across the slices: x, y, z or auto", choices=("auto", "x", "y", "z"))
    slice_thickness: float | None = _option(None, "width of the slice profile in mm; default: header, else found")
    profile: str = _option(
        "auto",
        "how the axes were sampled: auto, gaussian, box or kspace (Fourier-encoded: 3D MR and the plane of 2D MR), for "
        "all axes or as x,y,z; a width in mm may follow: kspace,kspace,gaussian:3.2",
    )
    effort: str = _option(
        "standard",
        "fast (the volumetric network alone), standard (slices too, where they were measured complete) or thorough "
        "(slices too, even where every axis is enlarged)",
        choices=EFFORTS,
    )
    device: str = _option("auto", "auto, cpu, cuda or cuda:N")
    memory: str | None = _option(None, "memory the job may use, e.g. 6GB; default: what is free")
    dtype: str = _option("same", "voxel type of the output; same rounds to the input's type", choices=DTYPES)
    consistency: bool = _option(True, "make the result agree with the measured data")
    not_labels: bool = _option(False, "accept an image that looks like a segmentation")

    def __post_init__(self) -> None:
        for name in ("scale", "spacing"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _triple(name, value))
        if len(given := self._targets) > 1:
            raise InvalidValueError(f"Give one target, not {len(given)}: {', '.join('--' + n for n in given)}.")
        # A model that was named may enlarge further; the plan knows it.
        largest = MAX_FACTOR if self.model == "auto" else math.inf
        if self.scale and not all(MIN_FACTOR <= f <= largest for f in self.scale):
            raise InvalidValueError(
                f"Scale factors lie between {MIN_FACTOR:g} and {MAX_FACTOR:g}, beyond only with a model that enlarges "
                f"so far; got {', '.join(f'{f:g}' for f in self.scale)}. To make a volume coarser, give --spacing."
            )
        if self.slice_thickness is not None and not (math.isfinite(self.slice_thickness) and self.slice_thickness > 0):
            raise InvalidValueError(f"The slice thickness must be a positive number of mm, got {self.slice_thickness}.")
        for option in dataclasses.fields(self):
            choices = option.metadata.get("choices")
            if choices and getattr(self, option.name) not in choices:
                raise unknown_name(f"{option.name.replace('_', '-')}", str(getattr(self, option.name)), choices)
        parse_profiles(self.profile)
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise InvalidValueError(f"The device is auto, cpu, cuda or cuda:N, got {self.device!r}.")
        if self.memory is not None:
            parse_bytes(self.memory)

    @property
    def profiles_xyz(self) -> tuple[StatedProfile, StatedProfile, StatedProfile]:
        """What was said of the profile of each axis."""
        return parse_profiles(self.profile)

    @property
    def has_target(self) -> bool:
        """True when a target was asked for."""
        return bool(self._targets)

    @property
    def _targets(self) -> list[str]:
        return [n for n in ("scale", "spacing", "isotropic", "reference") if getattr(self, n) not in (None, False)]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> UpscaleOptions:
        """Options of a JSON object; unknown names raise UnknownNameError."""
        names = [f.name for f in dataclasses.fields(cls)]
        for key in data:
            if key not in names:
                raise unknown_name("option", key, names)
        return cls(**data)

    def to_dict(self) -> dict[str, Any]:
        """The options that differ from their defaults, ready for JSON."""
        return {
            f.name: list(v) if isinstance(v := getattr(self, f.name), tuple) else v
            for f in dataclasses.fields(self)
            if getattr(self, f.name) != f.default
        }


def _triple(name: str, value: float | Sequence[float]) -> tuple[float, float, float]:
    """One number for all axes, or three, as a tuple; anything else is an error."""
    try:
        numbers = [float(v) for v in (value if isinstance(value, Sequence) and not isinstance(value, str) else [value])]
    except (TypeError, ValueError, OverflowError):
        raise InvalidValueError(f"--{name} takes one number or three (x,y,z), got {value!r}.") from None
    if len(numbers) == 1:
        numbers *= 3
    if len(numbers) != 3 or not all(math.isfinite(n) and n > 0 for n in numbers):
        raise InvalidValueError(f"--{name} takes one positive number or three (x,y,z), got {value!r}.")
    return (numbers[0], numbers[1], numbers[2])


def parse_triple(name: str, text: str) -> tuple[float, float, float]:
    """``"2"`` or ``"1,1,4"`` -> three numbers."""
    try:
        return _triple(name, text.replace("x", ",").split(","))  # type: ignore[arg-type]
    except InvalidValueError:
        raise InvalidValueError(f"--{name} takes one positive number or three (x,y,z), got {text!r}.") from None


def parse_profiles(text: str) -> tuple[StatedProfile, StatedProfile, StatedProfile]:
    """``"kspace"`` or ``"kspace,kspace,gaussian:3.2"`` -> what is said of x, y and z.

    Each is ``KIND``, ``KIND:WIDTH`` (mm) or ``kspace:RESOLUTION:TAPER``.
    """
    if text == "auto":
        return (StatedProfile(),) * 3
    parts = [_stated_profile(part.strip(), text) for part in text.split(",")]
    if len(parts) == 1:
        parts *= 3
    if len(parts) != 3:
        raise InvalidValueError(f"--profile takes one profile or three (x,y,z), got {text!r}.")
    return (parts[0], parts[1], parts[2])


def _stated_profile(part: str, text: str) -> StatedProfile:
    if part == "auto":
        return StatedProfile()
    kind, *numbers = part.split(":")
    # Late: it brings numpy, and options are checked before anything heavy is loaded.
    from medsr.physics.profiles import MEASURED

    accepted = ("auto", *MEASURED)
    if kind not in accepted:
        raise unknown_name("profile", kind, accepted)
    try:
        values = [float(number) for number in numbers]
        width = values[0] if values else None
        taper = values[1] if len(values) == 2 else 0.0
        usable = len(values) <= (2 if kind == "kspace" else 1) and (kind != "auto" or not values)
        if not usable or not (width is None or (math.isfinite(width) and width > 0)) or not 0 <= taper <= 1:
            raise ValueError
    except ValueError:
        raise InvalidValueError(
            f"A profile looks like gaussian, gaussian:3.2 (mm) or kspace:1.1:0.5 (resolution in mm, filtered share of "
            f"the band from 0 to 1), got {part!r} in --profile {text}."
        ) from None
    return StatedProfile(kind, width, taper)


def parse_bytes(text: str) -> int:
    """``"6GB"``, ``"500 MiB"``, ``"8e9"`` -> bytes."""
    match = re.fullmatch(r"\s*([0-9.]+(?:e\d+)?)\s*([kmgt]?i?)b?\s*", text, flags=re.IGNORECASE)
    try:
        if not match:
            raise ValueError
        amount = float(match[1]) * _UNITS[match[2].lower()]
        if not math.isfinite(amount):
            raise ValueError
    except (ValueError, KeyError):
        raise InvalidValueError(f"A memory size looks like 6GB or 500MB, got {text!r}.") from None
    if amount < 1e6:
        raise InvalidValueError(f"A memory limit of {text!r} is less than a megabyte; write for example 6GB.")
    return int(amount)
