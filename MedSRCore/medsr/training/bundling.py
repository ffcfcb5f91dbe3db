"""From trained weights to a MONAI bundle that the catalog finds.

A bundle is a folder: ``configs/metadata.json`` (what it is), ``configs/inference.json`` (how MONAI builds it),
``models/model.pt`` (weights only), ``docs/README.md`` (the model card), ``docs/training-log.csv``, ``LICENSE``.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from medsr.errors import ModelError
from medsr.models.profile_refiner import ProfileRefiner
from medsr.models.registry import build_network
from medsr.training.recipe import Recipe

LICENCE_FILE = Path(__file__).parents[1] / "bundles" / "LICENSE"


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
        licence: of the weights.
        version: of the bundle.
    """

    summary: str
    modalities: tuple[str, ...]
    limits: str
    data_source: str
    gain: str
    noise: tuple[float, float] = (0.0, 1.0)
    licence: str = "Apache-2.0"
    version: str = "0.1.0"

    @classmethod
    def load(cls, path: Path) -> Card:
        """Read a card from JSON."""
        stored = json.loads(path.read_text(encoding="utf-8"))
        data: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
        return cls(**data)


def write_bundle(folder: Path, recipe: Recipe, weights: Path, card: Card, log: Path | None = None) -> Path:
    """Make the bundle of a trained ProfileRefiner.

    Args:
        folder: the bundle's folder; its name is the model's.
        recipe: what was trained.
        weights: state dict of the network.
        card: the words.
        log: folder of the training's log parts, shipped joined.

    Returns:
        `folder`.
    """
    state = torch.load(weights, weights_only=True, map_location="cpu")
    network = build_network(recipe.network.architecture, recipe.network.spatial_dims, recipe.network.options)
    network.load_state_dict(state)
    if not isinstance(network, ProfileRefiner):
        raise ModelError(f"Bundles are made of ProfileRefiners, the recipe has {recipe.network.architecture!r}.")
    for part in ("configs", "models", "docs"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    model = folder / "models" / "model.pt"
    torch.save({key: value.contiguous() for key, value in state.items()}, model)
    count = sum(value.numel() for value in state.values())
    metadata = _metadata(folder.name, recipe, card, network, count, hashlib.sha256(model.read_bytes()).hexdigest())
    _write_json(folder / "configs" / "metadata.json", metadata)
    _write_json(folder / "configs" / "inference.json", _inference(recipe))
    _write_json(folder / "docs" / "recipe.json", recipe.to_dict())
    shutil.copyfile(LICENCE_FILE, folder / "LICENSE")
    duration = ""
    if log is not None:
        duration = _join_logs(log, folder / "docs" / "training-log.csv")
    (folder / "docs" / "README.md").write_text(_readme(folder.name, recipe, card, count, duration), encoding="utf-8")
    return folder


def _metadata(
    name: str, recipe: Recipe, card: Card, network: ProfileRefiner, count: int, digest: str
) -> Mapping[str, Any]:
    dims = recipe.network.spatial_dims
    return {
        "schema": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json",
        "version": card.version,
        "changelog": {card.version: "first release"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {},
        "name": name,
        "task": "super-resolution of medical images onto a given grid",
        "description": card.summary,
        "authors": "The MedSR contributors",
        "copyright": card.licence,
        "data_source": card.data_source,
        "data_type": "nibabel",
        "intended_use": "Research. Not a medical device, not for clinical decisions.",
        "network_data_format": {
            "inputs": {"image": _data_format(dims)},
            "outputs": {"pred": _data_format(dims)},
        },
        "medsr": {
            "modalities": list(card.modalities),
            "spatial_dims": [dims],
            "factors": [1.0, 8.0],
            "noise": list(card.noise),
            "limits": card.limits,
            "gain": card.gain,
            "halo": network.halo,
            "smoothness": recipe.acquisition.smoothness,
            "sha256": digest,
            "network": {
                "architecture": recipe.network.architecture,
                "spatial_dims": dims,
                "options": dict(recipe.network.options),
                "weights": count,
            },
        },
    }


def _data_format(dims: int) -> Mapping[str, Any]:
    return {
        "type": "image",
        "format": "magnitude",
        "num_channels": 1,
        "spatial_shape": ["2*n"] * dims,
        "dtype": "float32",
        "value_range": [0, 1],
        "is_patch_data": True,
        "channel_def": {"0": "deconvolved image on the target grid"},
    }


def _inference(recipe: Recipe) -> Mapping[str, Any]:
    return {
        "imports": ["$import torch"],
        "bundle_root": ".",
        "network_def": {
            "_target_": "medsr.models.profile_refiner.ProfileRefiner",
            "spatial_dims": recipe.network.spatial_dims,
            **recipe.network.options,
        },
        "weights": "$torch.load(@bundle_root + '/models/model.pt', weights_only=True, map_location='cpu')",
    }


def _join_logs(folder: Path, target: Path) -> str:
    """Write all parts of a training's log as one CSV; return how many steps it tells of."""
    rows: list[dict[str, str]] = []
    for part in sorted(folder.glob("part-*/metrics.csv")):
        with part.open(newline="", encoding="utf-8") as file:
            rows += list(csv.DictReader(file))
    columns = ["step", *sorted({key for row in rows for key in row} - {"step"})]
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    steps = [int(row["step"]) for row in rows if row.get("step")]
    return f"{max(steps) + 1} steps" if steps else ""


def _readme(name: str, recipe: Recipe, card: Card, count: int, duration: str) -> str:
    dims = recipe.network.spatial_dims
    patches = f"{recipe.batch} patches of {recipe.patch} voxels a side"
    return f"""# {name}

{card.summary}

| | |
|---|---|
| Modalities | {", ".join(card.modalities)} |
| Works on | {"volumes" if dims == 3 else "slices, one by one"} |
| Factors | 1 to 8 per axis, any mixture |
| Network | {recipe.network.architecture}, {count:,} weights |
| Training | {duration or "see training-log.csv"}, {patches} per step and process; `recipe.json` |
| Version | {card.version} |
| Licence | {card.licence} |

## Data it learned from
{card.data_source}

## Measured
{card.gain}

## Limits
{card.limits}

Not a medical device. Not for clinical decisions.

## Use
```
medsr upscale in.nii.gz out.nii.gz --model {name}
```
"""


def _write_json(path: Path, data: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
