"""How the segmentation networks of a study are trained and judged, as data; the same for every arm."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medsr.errors import InputError, InvalidValueError, unknown_name
from medsr.jsontext import parse_json

SHIPPED = Path(__file__).with_name("segmentation.json")


def _help(text: str) -> Any:
    return field(metadata={"help": text})


@dataclass(frozen=True)
class SegmentationRecipe:
    """One training of a segmentation network. Validated when made.

    Raises:
        InvalidValueError: a value that makes no sense.
    """

    filters: tuple[int, ...] = _help("channels of each level of the DynUNet, which works on voxels folded 2 x 2 x 2")
    patch: tuple[int, ...] = _help("voxels of a training patch, z y x; multiples of twice the coarsest level")
    batch: int = _help("patches per step")
    steps: int = _help("optimiser steps, the same for every arm and size")
    learning_rate: float = _help("peak rate of AdamW")
    warmup: int = _help("steps of linear warm-up; the rate then falls polynomially to nothing")
    weight_decay: float = _help("of AdamW")
    rotation_degrees: float = _help("largest rotation about each axis")
    scaling: float = _help("largest relative enlargement or reduction")
    intensity: float = _help("largest relative change of contrast, and shift in standard deviations")
    noise: float = _help("Gaussian noise in standard deviations of the image")
    window: int = _help("largest side of an image that is segmented in one piece; beyond, windows overlap by half")
    tolerance_mm: float = _help("distance within which a boundary counts as met")
    precision: str = _help("bf16 or 32")

    def __post_init__(self) -> None:
        multiple = 2 ** len(self.filters)
        if len(self.filters) < 3 or min(self.filters) < 1:
            raise InvalidValueError(f"filters must be three or more numbers of channels, got {self.filters}.")
        if len(self.patch) != 3 or any(n < 2 * multiple or n % multiple for n in self.patch):
            raise InvalidValueError(
                f"patch must be three multiples of {multiple}, at least {2 * multiple}, for {len(self.filters)} "
                f"levels, got {self.patch}."
            )
        if self.window < max(self.patch):
            raise InvalidValueError(f"window must be at least as large as the patch, got {self.window}.")
        if min(self.batch, self.steps) < 1 or not 0 <= self.warmup <= self.steps:
            raise InvalidValueError("batch and steps must be at least 1, and warmup at most as many steps.")
        if min(self.learning_rate, self.tolerance_mm) <= 0:
            raise InvalidValueError("learning_rate and tolerance_mm must be positive.")
        if self.precision not in ("bf16", "32"):
            raise InvalidValueError(f"precision must be 'bf16' or '32', got {self.precision!r}.")

    @classmethod
    def load(cls, path: Path = SHIPPED, settings: Iterable[str] = ()) -> SegmentationRecipe:
        """Read a recipe and change it by ``key=value`` texts whose values are JSON.

        A file may hold some of the keys only; the others are those of the shipped recipe.

        Raises:
            InputError: a file that is no recipe.
            InvalidValueError, UnknownNameError: a key or value that makes no sense.
        """
        data = _read(SHIPPED)
        if path != SHIPPED:
            data |= _read(path)
        for setting in settings:
            key, separator, text = setting.partition("=")
            if not separator:
                raise InvalidValueError(f"A setting looks like key=value, got {setting!r}.")
            try:
                data[key] = parse_json(text)
            except ValueError:
                data[key] = text
        return cls.from_dict(data)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SegmentationRecipe:
        """Build a recipe of JSON data, checking names and types."""
        fields = {f.name: f.type for f in dataclasses.fields(cls)}
        converted: dict[str, Any] = {}
        for key, value in data.items():
            if key not in fields:
                raise unknown_name("key of the segmentation recipe", key, fields)
            converted[key] = _converted(key, str(fields[key]), value)
        missing = [name for name in fields if name not in converted]
        if missing:
            raise InvalidValueError(f"The segmentation recipe lacks {', '.join(missing)}.")
        return cls(**converted)

    def to_dict(self) -> dict[str, Any]:
        """As JSON data that `from_dict` reads."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}


def _read(path: Path) -> dict[str, Any]:
    try:
        data = parse_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{str(path)!r} is no readable JSON recipe: {error}.") from error
    if not isinstance(data, dict):
        raise InputError(f"{str(path)!r} is no recipe: it holds no object.")
    return data


def _converted(key: str, kind: str, value: object) -> Any:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if kind.startswith("tuple"):
        if isinstance(value, list | tuple) and all(isinstance(v, int) and not isinstance(v, bool) for v in value):
            return tuple(value)
    elif kind == "str":
        return str(value)
    elif (kind == "int" and whole) or (kind == "float" and (whole or isinstance(value, float))):
        return float(value) if kind == "float" else value  # type: ignore[arg-type]
    raise InvalidValueError(f"{key} of the segmentation recipe must be of type {kind}, got {value!r}.")
