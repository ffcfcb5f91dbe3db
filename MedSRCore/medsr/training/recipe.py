"""A recipe: everything that defines one training, as a small JSON file.

Recipes are frozen; overrides from the command line (``--set optimiser.learning_rate=1e-4``) make a new one. What the
sections hold stands in `medsr.training.sections`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from medsr.catalog import INTENSITIES
from medsr.errors import InputError, InvalidValueError, unknown_name
from medsr.fields import convert
from medsr.jsontext import parse_json
from medsr.training.sections import (
    AcquisitionRecipe,
    AdversaryRecipe,
    AppearanceRecipe,
    EnlargingRecipe,
    LossRecipe,
    NetworkRecipe,
    OptimiserRecipe,
    doc,
)

FAMILIES = ("refine", "enlarge", "gan", "three-player", "features")
"""refine: deconvolved image -> image (ProfileRefiner); enlarge: a network that enlarges, pixel losses; gan: with a
discriminator; three-player: with a feature network of its own beside it; features: a feature network, without labels.
"""


@dataclass(frozen=True)
class Recipe:
    """One training."""

    name: str
    family: str = field(default="refine", metadata=doc("refine, enlarge, gan, three-player or features"))
    modality: str = field(default="MR", metadata=doc("MR or CT"))
    network: NetworkRecipe = field(default_factory=NetworkRecipe)
    acquisition: AcquisitionRecipe = field(default_factory=AcquisitionRecipe)
    enlarging: EnlargingRecipe = field(default_factory=EnlargingRecipe)
    appearance: AppearanceRecipe = field(default_factory=AppearanceRecipe)
    losses: LossRecipe = field(default_factory=LossRecipe)
    adversary: AdversaryRecipe = field(default_factory=AdversaryRecipe)
    optimiser: OptimiserRecipe = field(default_factory=OptimiserRecipe)
    patch: int = field(default=48, metadata=doc("side of a training patch in fine voxels"))
    batch: int = field(default=2, metadata=doc("patches per step and device"))
    steps: int = field(default=10000, metadata=doc("optimiser steps in all"))
    steps_per_epoch: int = field(default=100, metadata=doc("steps between checkpoints"))
    validate_every: int = field(default=5, metadata=doc("epochs between validations"))
    validation_patches: int = field(default=24, metadata=doc("patches of a validation, always the same"))
    precision: str = field(default="bf16-mixed", metadata=doc("Lightning precision"))
    seed: int = field(default=1, metadata=doc("seed of everything random"))
    warm_start: str = field(
        default="",
        metadata=doc("weights to start from (a model's name or a file); for a family that enlarges, those that fit"),
    )

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise unknown_name("training family", self.family, FAMILIES)
        if self.modality not in ("MR", "CT"):
            raise InvalidValueError(f"modality must be 'MR' or 'CT', got {self.modality!r}.")
        if self.patch % 2 or self.patch < 16:
            raise InvalidValueError(f"patch must be even and at least 16, got {self.patch}.")
        if min(self.batch, self.steps, self.steps_per_epoch, self.validation_patches) < 1:
            raise InvalidValueError("batch, steps, steps_per_epoch and validation_patches must be at least 1.")
        losses = self.losses
        plain = losses.l1 or losses.mse or losses.structural
        if not plain and (self.adversary.pixel_steps or not losses.perceptual):
            raise InvalidValueError(
                "The generator has nothing to learn from: give losses.l1, losses.mse or losses.structural a weight, or "
                "losses.perceptual with adversary.pixel_steps=0."
            )
        self._check_images()
        if self.adversary.every < 1:
            raise InvalidValueError(f"adversary.every must be at least 1, got {self.adversary.every}.")

    def _check_images(self) -> None:
        """Raise for intensities or whole images that the rest of the recipe cannot use."""
        intensities = self.enlarging.intensities
        if intensities not in INTENSITIES:
            raise unknown_name("scale of intensities", intensities, INTENSITIES)
        if self.appearance.whole and self.family == "refine":
            raise InvalidValueError(
                "appearance.whole is for families that enlarge: family 'refine' learns from crops. Set it to false."
            )
        if intensities != "z-score":
            return
        if self.family in ("refine", "features"):
            raise InvalidValueError(
                f"enlarging.intensities=z-score is for families that enlarge, not for family {self.family!r}. "
                "Take range."
            )
        range_alone = {
            "appearance.contrast=0": self.appearance.contrast,
            "losses.structural=0": self.losses.structural,
            "losses.features=resnet10": self.losses.perceptual and self.losses.features != "resnet10",
        }
        for setting, wrong in range_alone.items():
            if wrong:
                raise InvalidValueError(
                    f"With enlarging.intensities=z-score set {setting}: anything else is made for intensities of about "
                    "[0, 1]. Or take range."
                )

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Read a recipe; raise InputError for a file that is none, UnknownNameError for an unknown option."""
        try:
            data = parse_json(Path(path).read_bytes())
        except FileNotFoundError:
            raise InputError(f"There is no recipe {path}.") from None
        except OSError as error:
            raise InputError(f"The recipe {path} cannot be read: {error.strerror}.") from error
        except ValueError as error:
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
                target[last] = parse_json(text)
            except ValueError:
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
    missing = [f.name for f in dataclasses.fields(cls) if f.name not in arguments and _is_required(f)]
    if missing:
        raise InvalidValueError(f"{where}: {missing[0]!r} is missing.")
    return cls(**arguments)


def _is_required(option: dataclasses.Field[Any]) -> bool:
    return option.default is dataclasses.MISSING and option.default_factory is dataclasses.MISSING


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, where)  # type: ignore[arg-type]
    return convert(hint, value, where)
