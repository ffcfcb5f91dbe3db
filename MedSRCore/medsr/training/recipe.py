"""A recipe: everything that defines one training, as a small JSON file.

The dataclasses below are the only place where an option, its default and its help are written. They are frozen;
overrides from the command line (``--set optimiser.learning_rate=1e-4``) make a new recipe.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from medsr.errors import InputError, InvalidValueError, unknown_name


def _help(text: str) -> dict[str, str]:
    return {"help": text}


@dataclass(frozen=True)
class NetworkRecipe:
    """Which network, and its size."""

    architecture: str = field(default="profile-refiner", metadata=_help("name in the model registry"))
    spatial_dims: int = field(default=3, metadata=_help("2 or 3"))
    options: Mapping[str, Any] = field(default_factory=dict, metadata=_help("arguments of the architecture"))


@dataclass(frozen=True)
class AcquisitionRecipe:
    """How training examples are degraded. Every range is drawn from anew for each patch."""

    single_axis: float = field(
        default=0.6, metadata=_help("share of examples with one thick axis; the rest are isotropic")
    )
    two_axes: float = field(default=0.04, metadata=_help("share with two enlarged axes (in-plane)"))
    exact_two: float = field(default=0.8, metadata=_help("share of isotropic examples at exactly x2"))
    isotropic_range: tuple[float, float] = field(default=(1.3, 3.0), metadata=_help("other isotropic factors"))
    thick_factors: tuple[float, ...] = field(
        default=(2, 3, 3, 4, 4, 5, 6, 6), metadata=_help("whole factors of the thick axis")
    )
    thick_range: tuple[float, float] = field(default=(1.3, 8.0), metadata=_help("other factors of the thick axis"))
    whole_factors: float = field(default=0.85, metadata=_help("share of thick-axis examples with a whole factor"))
    exact_width: float = field(
        default=0.75, metadata=_help("share of examples whose profile is as wide as the spacing")
    )
    relative_width: tuple[float, float] = field(default=(0.7, 1.2), metadata=_help("profile width / spacing otherwise"))
    box: float = field(default=0.08, metadata=_help("share of box profiles"))
    misstated: float = field(default=0.05, metadata=_help("share of examples whose stated width is wrong"))
    misstated_by: float = field(default=1.3, metadata=_help("stated / true width lies in [1/this, this]"))
    noise: float = field(default=0.12, metadata=_help("share of examples with noise"))
    noise_range: tuple[float, float] = field(default=(0.003, 0.04), metadata=_help("noise level / 99th percentile"))
    rician: bool = field(default=True, metadata=_help("Rician (magnitude MR) noise; else Gaussian (CT)"))
    smoothness: float = field(default=0.01, metadata=_help("Tikhonov weight of the network's input"))


@dataclass(frozen=True)
class AppearanceRecipe:
    """How training images are varied before they are degraded."""

    contrast: float = field(default=0.3, metadata=_help("share of examples with a random intensity curve"))
    contrast_strength: float = field(default=0.8, metadata=_help("1: the curve alone, 0: the image alone"))
    coarser: float = field(default=0.25, metadata=_help("share of examples from the volume's coarser copy"))
    coarser_factor: float = field(default=1.5, metadata=_help("how much coarser that copy is"))


@dataclass(frozen=True)
class OptimiserRecipe:
    """Warm-up, constant rate, then linear cool-down, so that a training can be prolonged before its cool-down."""

    learning_rate: float = field(default=1e-3, metadata=_help("peak rate of Adam"))
    warmup: int = field(default=200, metadata=_help("steps of linear warm-up"))
    cooldown: int = field(default=1000, metadata=_help("steps of linear cool-down at the end"))
    clip: float = field(default=0.5, metadata=_help("largest gradient norm"))
    ema: float = field(default=0.99, metadata=_help("decay of the averaged weights that are shipped"))


@dataclass(frozen=True)
class Recipe:
    """One training."""

    name: str
    modality: str = field(default="MR", metadata=_help("MR or CT"))
    network: NetworkRecipe = NetworkRecipe()
    acquisition: AcquisitionRecipe = AcquisitionRecipe()
    appearance: AppearanceRecipe = AppearanceRecipe()
    optimiser: OptimiserRecipe = OptimiserRecipe()
    patch: int = field(default=48, metadata=_help("side of a training patch in fine voxels"))
    batch: int = field(default=2, metadata=_help("patches per step and device"))
    steps: int = field(default=10000, metadata=_help("optimiser steps in all"))
    steps_per_epoch: int = field(default=100, metadata=_help("steps between checkpoints"))
    validate_every: int = field(default=5, metadata=_help("epochs between validations"))
    precision: str = field(default="bf16-mixed", metadata=_help("Lightning precision"))
    seed: int = field(default=1, metadata=_help("seed of everything random"))
    warm_start: str = field(default="", metadata=_help("weights to start from (a bundle's name or a file)"))

    def __post_init__(self) -> None:
        if self.modality not in ("MR", "CT"):
            raise InvalidValueError(f"modality must be 'MR' or 'CT', got {self.modality!r}.")
        if self.patch % 2 or self.patch < 16:
            raise InvalidValueError(f"patch must be even and at least 16, got {self.patch}.")
        if min(self.batch, self.steps, self.steps_per_epoch) < 1:
            raise InvalidValueError("batch, steps and steps_per_epoch must be at least 1.")

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Read a recipe; raise InputError for a file that is none, UnknownNameError for an unknown option."""
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(f"There is no recipe {path}.") from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path} is not a JSON recipe: {error}.") from error
        recipe: Recipe = _build(cls, data, str(path))
        return recipe

    def to_dict(self) -> dict[str, Any]:
        """The recipe as JSON-ready data."""
        return dataclasses.asdict(self)

    def override(self, settings: Iterable[str]) -> Recipe:
        """A new recipe with ``key.sub=value`` settings applied; values are JSON, or plain text."""
        data = self.to_dict()
        for setting in settings:
            key, separator, text = setting.partition("=")
            if not separator:
                raise InvalidValueError(f"A setting looks like key=value, got {setting!r}.")
            target = data
            *path, last = key.split(".")
            for part in path:
                if not isinstance(target.get(part), dict):
                    raise unknown_name("recipe section", part, [k for k, v in target.items() if isinstance(v, dict)])
                target = target[part]
            try:
                target[last] = json.loads(text)
            except json.JSONDecodeError:
                target[last] = text
        recipe: Recipe = _build(Recipe, data, "--set")
        return recipe


def _build(cls: type, data: Any, where: str) -> Any:
    """Make a (nested) recipe dataclass from JSON data, checking names and types."""
    if not isinstance(data, dict):
        raise InvalidValueError(f"{where}: expected an object for {cls.__name__}, got {type(data).__name__}.")
    hints = get_type_hints(cls)
    arguments = {}
    for key, value in data.items():
        if key.startswith("_"):  # comments
            continue
        if key not in hints:
            raise unknown_name(f"option of {cls.__name__}", key, hints)
        arguments[key] = _convert(hints[key], value, f"{where}: {key}")
    return cls(**arguments)


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, where)  # type: ignore[arg-type]
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise InvalidValueError(f"{where} must be a list, got {value!r}.")
        return tuple(_convert(get_args(hint)[0], item, where) for item in value)
    if origin is not None:  # Mapping
        return dict(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise InvalidValueError(f"{where} must be of type {hint.__name__}, got {value!r}.")
    return value
