"""The folder of a trained feature network: weights with their checksum, recipe, log and a page about it."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import torch

from medsr.training.bundling import LICENCE_FILE, join_logs
from medsr.training.recipe import Recipe


def write_feature_bundle(folder: Path, recipe: Recipe) -> Path:
    """Make ``<folder>/bundle`` of what a training of a feature network left in `folder`; weights become float16.

    Returns:
        The bundle's folder: ``configs/features.json``, ``models/model.pt``, ``docs``, ``LICENSE``.
    """
    bundle = folder / "bundle"
    for part in ("configs", "models", "docs"):
        (bundle / part).mkdir(parents=True, exist_ok=True)
    weights = torch.load(folder / "weights.pt", weights_only=True, map_location="cpu")
    model = bundle / "models" / "model.pt"
    torch.save({key: value.half().contiguous() for key, value in weights.items()}, model)
    facts = {
        "name": recipe.name,
        "architecture": recipe.network.architecture,
        "options": dict(recipe.network.options),
        "weights": sum(value.numel() for value in weights.values()),
        "sha256": hashlib.sha256(model.read_bytes()).hexdigest(),
    }
    _write_json(bundle / "configs" / "features.json", facts)
    _write_json(bundle / "docs" / "recipe.json", recipe.to_dict())
    steps = join_logs(folder / "log", bundle / "docs" / "training-log.csv")
    page = _README.format(steps=steps, batch=recipe.batch, patch=recipe.patch, **facts)
    (bundle / "docs" / "README.md").write_text(page, encoding="utf-8")
    shutil.copyfile(LICENCE_FILE, bundle / "LICENSE")
    return bundle


def _write_json(path: Path, data: object) -> None:
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


_README = """# {name}

A feature network for perceptual losses and distances, trained in this project without labels. It enlarges nothing.

| | |
|---|---|
| Network | {architecture}, {weights:,} weights |
| Training | {steps}, {batch} patches of {patch} pixels a side per step; `recipe.json` |
| Tasks | tell how a patch was spoilt (blur, sharpening, ringing, noise, blocks), and which image it comes from |
| Data | grey slices and colour channels of images.data.json; sources and licences stand there |
| Licence | Apache-2.0 |

Distances between its features are no LPIPS and not comparable with figures that others publish. Wherever they are
used they are called "texture-net (trained here)".
"""
