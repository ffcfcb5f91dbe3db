"""What people must know of a model: the words of its catalog entry and the README of its bundle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from medsr.catalog import PERCEPTUAL
from medsr.models.enlarger import Enlarger
from medsr.phantom_figures import sentences
from medsr.training.recipe import Recipe

PHANTOMS_HEAD = "## On phantoms"
PERCEPTUAL_FAMILIES = ("gan", "three-player")
"""Families of recipes that train for what looks right."""


@dataclass(frozen=True)
class Card:
    """What people must know of a model beyond its recipe.

    Attributes:
        summary: one line.
        modalities: what it is for.
        limits: what not to trust it with.
        data_source: training data and their licences.
        gain: measured figures, with the command that measures them.
        noise: noise levels it is chosen for.
        several_axes: largest factor along more than one axis, see `CatalogEntry`.
        planes, planes_always: slice-wise model whose answers are averaged in, and when; see `CatalogEntry`.
        licence: of the weights.
        version: of the bundle.
        phantoms: what these weights did on digital phantoms, see `medsr.phantom_figures`.
        training: how long it trained on what, where the log does not tell.
    """

    summary: str
    modalities: tuple[str, ...]
    limits: str
    data_source: str
    gain: str
    noise: tuple[float, float] = (0.0, 1.0)
    planes: str = ""
    planes_always: bool = False
    several_axes: float = 8.0
    licence: str = "Apache-2.0"
    version: str = "0.1.0"
    training: str = ""
    phantoms: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Card:
        """Read a card from JSON."""
        stored = json.loads(path.read_text(encoding="utf-8"))
        data: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
        return cls(**data)

    @classmethod
    def of_training(cls, recipe: Recipe) -> Card:
        """The card of a training of which nothing but the recipe is known."""
        return cls(
            summary=f"Trained with the recipe {recipe.name}.",
            modalities=(recipe.modality,),
            limits="Not described. Judge it on volumes like yours with `medsr evaluate` before you use it.",
            data_source="Not described.",
            gain="Not measured.",
            licence="Not stated",
        )


def factors_text(network: nn.Module) -> str:
    """The factors of a network, for people."""
    if not isinstance(network, Enlarger):
        return "1 to 8 per axis, any mixture"
    factors = ", ".join(map(str, network.scales))
    return f"{factors}, {'in plane' if network.spatial_dims == 2 else 'in every direction'}"


def phantoms_section(record: Mapping[str, Any]) -> str:
    """What a card says of phantoms; nothing where they were not measured."""
    lines = "".join(f"- {sentence}.\n" for sentence in sentences(record))
    return f"{PHANTOMS_HEAD}\n{lines}\n" if lines else ""


def readme(name: str, recipe: Recipe, card: Card, network: nn.Module, steps: str) -> str:
    """The README of a bundle.

    Args:
        name: of the model.
        recipe: what was trained.
        card: the words.
        network: as trained.
        steps: how many steps the log tells of, or "".
    """
    dims = recipe.network.spatial_dims
    count = sum(value.numel() for value in network.state_dict().values())
    trained = ", ".join(filter(None, [steps or "see training-log.csv", card.training]))
    rows = {
        "Modalities": ", ".join(card.modalities),
        "Works on": "volumes" if dims == 3 else "slices, one by one",
        "Factors": factors_text(network),
        "Network": f"{recipe.network.architecture}, {count:,} weights",
        "Training": f"{trained}, {recipe.batch} patches of {recipe.patch} voxels a side per step and process; "
        "`recipe.json`",
        "Version": card.version,
        "Licence": card.licence,
    }
    if isinstance(network, Enlarger):
        rows["Undoes"] = f"{recipe.enlarging.downscaling} downscaling"
        rows["Stored"] = "as float16"
    table = "\n".join(f"| {key} | {value} |" for key, value in rows.items())
    mark = f"\n**{PERCEPTUAL}**. Trained to look right: do not measure on its result.\n"
    return f"""# {name}

{card.summary}
{mark if recipe.family in PERCEPTUAL_FAMILIES else ""}
| | |
|---|---|
{table}

## Data it learned from
{card.data_source}

## Measured
{card.gain}

{phantoms_section(card.phantoms)}## Limits
{card.limits}

Not a medical device. Not for clinical decisions.

## Use
```
medsr upscale in.nii.gz out.nii.gz --model {name}
```
"""
