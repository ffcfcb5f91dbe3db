"""Recipes as data: how a copy is made of an image. The shipped ones are the JSON files beside this one.

Readable without numpy, so that a panel can list them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medsr.errors import InputError, InvalidValueError, unknown_name
from medsr.jsontext import parse_json
from medsr.options import MAX_FACTOR, parse_profiles

FOLDER = Path(__file__).parent
PROFILES = ("gaussian", "box", "kspace")
TARGETS = ("scale", "spacing", "isotropic", "grid")

_MOST_NOISE = 0.5
Range = tuple[float, float]


@dataclass(frozen=True)
class Degradation:
    """How an image is degraded before it is super-resolved; each number is drawn anew for each copy.

    Attributes:
        factor: distance of the slices in voxels of the image. Slices run across the coarsest axis, or across a drawn
            one where the voxels are isotropic. A single picture is made coarser by it in both directions.
        thickest_mm: slices are not put further apart than that; not for pictures.
        width: width of the slice profile over the distance of the slices; above 1 slices overlap, below 1 is a gap.
        in_plane: voxels of the image per voxel within the slices.
        noise: standard deviation as a fraction of the brightest signal (99th percentile); Rician for MR.
        contrast: exponent that bends the intensities of MR and photographs. CT keeps its Hounsfield units.
        profile: kind of the slice profile, one of `PROFILES`, or several among which one is drawn; "kspace" is the
            slab of 3D MR.
        in_plane_profile: likewise within the slices, and of pictures; "kspace" is the plane of MR.
    """

    factor: Range = (1.0, 1.0)
    thickest_mm: float = 8.0
    width: Range = (1.0, 1.0)
    in_plane: Range = (1.0, 1.0)
    noise: Range = (0.0, 0.0)
    contrast: Range = (1.0, 1.0)
    profile: str | tuple[str, ...] = "gaussian"
    in_plane_profile: str | tuple[str, ...] = "gaussian"

    def __post_init__(self) -> None:
        limits = {
            "factor": (1, MAX_FACTOR), "width": (0.2, 4), "in_plane": (1, MAX_FACTOR), "noise": (0, _MOST_NOISE),
            "contrast": (0.25, 4),
        }  # fmt: skip
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            good = isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_number, value))
            if not good or not low <= value[0] <= value[1] <= high:
                raise InvalidValueError(
                    f"The {name} of a degradation is a range [low, high] within {low:g} to {high:g}, got {value!r}."
                )
            object.__setattr__(self, name, (float(value[0]), float(value[1])))
        for name in ("profile", "in_plane_profile"):
            kinds = getattr(self, name)
            several = isinstance(kinds, list | tuple) and bool(kinds)
            for kind in kinds if several else (kinds,):
                if not isinstance(kind, str) or kind not in PROFILES:
                    raise unknown_name(f"{name} of a degradation", str(kind), PROFILES)
            if several:
                object.__setattr__(self, name, tuple(kinds))
        if not _is_number(self.thickest_mm) or self.thickest_mm <= 0:
            raise InvalidValueError(f"thickest_mm is a positive number, got {self.thickest_mm!r}.")


@dataclass(frozen=True)
class Recipe:
    """How a copy is made.

    Attributes:
        name: part of the names of the copies.
        about: a sentence for people.
        model: a name of the catalog, or "auto".
        target: one of ``{"scale": [x, y, z]}``, ``{"spacing": [x, y, z]}`` in mm, ``{"isotropic": true}`` and
            ``{"grid": "original"}``, which needs a degradation before it.
        degrade: what happens to the image first, or None.
        profile: how the images were sampled, where their files do not say: as ``medsr upscale --profile``. What is
            degraded is known, and needs none.
        noise: noise of the images, where it is known: standard deviation over the 99th percentile.
        one_of: names of recipes among which each copy draws one; then the other fields say nothing.
    """

    name: str
    about: str = ""
    model: str = "auto"
    target: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    degrade: Degradation | None = None
    profile: str = "auto"
    noise: float | None = None
    one_of: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.name or not all(c.isascii() and (c.isalnum() or c == "-") for c in self.name):
            raise InvalidValueError(f"A recipe's name has letters, digits and hyphens, got {self.name!r}.")
        if self.one_of:
            return
        parse_profiles(self.profile)
        if self.noise is not None and not (_is_number(self.noise) and 0 <= self.noise <= _MOST_NOISE):
            raise InvalidValueError(f"The noise of a recipe lies between 0 and {_MOST_NOISE:g}, got {self.noise!r}.")
        if len(self.target) != 1 or next(iter(self.target)) not in TARGETS:
            raise InvalidValueError(f"Recipe {self.name}: the target has one of {', '.join(TARGETS)}.")
        if "grid" in self.target and (self.target["grid"] != "original" or self.degrade is None):
            raise InvalidValueError(
                f'Recipe {self.name}: {{"grid": "original"}} is a target for what was degraded before; '
                "other grids are given by scale or spacing."
            )

    @property
    def draws(self) -> bool:
        """True when two copies of the same image differ."""
        return self.degrade is not None or bool(self.one_of)

    def to_dict(self) -> dict[str, Any]:
        """As JSON data that `from_dict` reads."""
        data: dict[str, Any] = {"about": self.about, "model": self.model, "target": dict(self.target)}
        if self.profile != "auto":
            data["profile"] = self.profile
        if self.noise is not None:
            data["noise"] = self.noise
        if self.degrade is not None:
            data["degrade"] = {
                k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self.degrade).items()
            }
        if self.one_of:
            data = {"about": self.about, "one_of": list(self.one_of)}
        return {"name": self.name, **data}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recipe:
        """Build a recipe of JSON data; unknown keys raise UnknownNameError."""
        known = [f.name for f in dataclasses.fields(cls)]
        for key in data:
            if key not in known:
                raise unknown_name("key of a recipe", key, known)
        fields = dict(data)
        for key, kind in (
            ("name", str),
            ("about", str),
            ("model", str),
            ("target", Mapping),
            ("one_of", list | tuple),
            ("profile", str),
        ):
            if key in fields and not isinstance(fields[key], kind):
                raise InvalidValueError(f"{key} of a recipe cannot be {fields[key]!r}.")
        if fields.get("degrade") is not None:
            ranges = fields["degrade"]
            names = [f.name for f in dataclasses.fields(Degradation)]
            if not isinstance(ranges, Mapping):
                raise InvalidValueError(f"degrade of a recipe is an object with {', '.join(names)}, got {ranges!r}.")
            for key in ranges:
                if key not in names:
                    raise unknown_name("key of a degradation", key, names)
            fields["degrade"] = Degradation(**ranges)
        fields["one_of"] = tuple(fields.get("one_of", ()))
        return cls(**fields)


def recipe_names() -> list[str]:
    """Names of the shipped recipes."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def load_recipe(name: str) -> Recipe:
    """A shipped recipe by its name, or one of your own by the path of its JSON file.

    Raises:
        UnknownNameError: no shipped recipe is called so.
        InputError: a file that is no recipe.
    """
    shipped = recipe_names()
    own = name.endswith(".json")
    if not own and name not in shipped:
        raise unknown_name("recipe", name, shipped)
    path = Path(name) if own else FOLDER / f"{name}.json"
    try:
        data = parse_json(path.read_bytes())
        if not isinstance(data, dict):
            raise InvalidValueError("it holds no object")
        return Recipe.from_dict({"name": path.stem, **data})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path.name!r} is no recipe: {error}.") from error


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
