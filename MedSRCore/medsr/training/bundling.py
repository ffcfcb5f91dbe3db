"""From trained weights to a MONAI bundle that the catalog finds.

A bundle is a folder: ``configs/metadata.json`` (what it is), ``configs/inference.json`` (how MONAI builds it),
``models/model.pt`` (weights only), ``docs/README.md`` (the model card), ``docs/training-log.csv``, ``LICENSE``.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from medsr.catalog import METADATA, read_bundle
from medsr.errors import ModelError
from medsr.models.enlarger import Enlarger
from medsr.models.footprint import footprint
from medsr.models.profile_refiner import ProfileRefiner
from medsr.models.registry import build_network
from medsr.phantom_figures import worse
from medsr.training.model_card import PERCEPTUAL_FAMILIES, Card, readme
from medsr.training.recipe import Recipe

_Z_SCORES = (-3, 6)
"""Where nearly all z-scores of an image lie: its background is below the mean, its brightest tissue far above."""

LICENCE_FILE = Path(__file__).parents[1] / "bundles" / "LICENSE"


def bundle_from_training(folder: Path, recipe: Recipe) -> Path:
    """Make ``<folder>/bundle`` of what a training left in `folder`, with a card that says no more than is known.

    Returns:
        The bundle's folder, which ``medsr upscale --model`` takes.
    """
    card = Card.of_training(recipe)
    return write_bundle(folder / "bundle", recipe, folder / "weights.pt", card, folder / "log", name=recipe.name)


def write_bundle(
    folder: Path, recipe: Recipe, weights: Path, card: Card, log: Path | None = None, *, name: str | None = None
) -> Path:
    """Make the bundle of a trained network.

    Args:
        folder: the bundle's folder; what is in it already is replaced.
        recipe: what was trained.
        weights: state dict of the network.
        card: the words.
        log: folder of the training's log parts, shipped joined.
        name: of the model; that of the folder when None.

    Returns:
        `folder`.

    Raises:
        ModelError: a network of which no bundle can be made, weights that float16 cannot hold, or a model that was
            judged on phantoms and whose successor was not, or is worse there.
    """
    # What a catalog takes as a name.
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", name or folder.name).strip("._-") or "model"
    state = torch.load(weights, weights_only=True, map_location="cpu")
    network = build_network(recipe.network.architecture, recipe.network.spatial_dims, recipe.network.options)
    network.load_state_dict(state)
    if isinstance(network, Enlarger):
        state = {key: _halved(key, value) for key, value in state.items()}
    elif not isinstance(network, ProfileRefiner):
        raise ModelError(f"Bundles are made of Enlargers and ProfileRefiners, not of {recipe.network.architecture!r}.")
    with tempfile.TemporaryDirectory(prefix="medsr-") as scratch:
        # Under its final name, which torch writes into the file: the checksum is that of the same weights elsewhere.
        made = Path(scratch) / "model.pt"
        torch.save({key: value.contiguous() for key, value in state.items()}, made)
        digest = hashlib.sha256(made.read_bytes()).hexdigest()
        card = released(folder, card, digest)
        for part in ("configs", "models", "docs"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(made, folder / "models" / "model.pt")
    _write_json(folder / "configs" / "metadata.json", _metadata(name, recipe, card, network, digest))
    _write_json(folder / "configs" / "inference.json", _inference(recipe, network))
    _write_json(folder / "docs" / "recipe.json", recipe.to_dict())
    shutil.copyfile(LICENCE_FILE, folder / "LICENSE")
    steps = "" if log is None else join_logs(log, folder / "docs" / "training-log.csv")
    (folder / "docs" / "README.md").write_text(readme(name, recipe, card, network, steps), encoding="utf-8")
    return folder


def released(folder: Path, card: Card, digest: str) -> Card:
    """The card with which weights may replace those in `folder`: the same weights keep what was measured of them.

    Raises:
        ModelError: the model in `folder` was judged on phantoms, and these weights were not, or are worse there.
    """
    shipped = read_bundle(folder).phantoms if (folder / METADATA).is_file() else {}
    if not shipped:
        return card
    if shipped.get("weights") == digest:
        return replace(card, phantoms=card.phantoms or shipped)
    if card.phantoms.get("weights") != digest:
        raise ModelError(
            f"{folder.name} was judged on phantoms, these weights were not. Make a bundle elsewhere, measure it with "
            "Testing/benchmarks/bench_phantoms.py, and give its record to the card as `phantoms`."
        )
    if found := worse(card.phantoms, shipped):
        raise ModelError(
            f"These weights are worse on phantoms than those of {folder.name}: {'; '.join(found)}. "
            "Keep the shipped weights, or remove that bundle first if you know why."
        )
    return card


def _halved(key: str, value: Tensor) -> Tensor:
    """A tensor in float16, which holds three digits and half of the space; whole numbers stay."""
    if not value.is_floating_point():
        return value
    half = value.half()
    if not torch.isfinite(half).all():
        raise ModelError(f"The weights {key} reach {float(value.abs().max()):.3g}, beyond what float16 holds.")
    return half


def _metadata(
    name: str, recipe: Recipe, card: Card, network: Enlarger | ProfileRefiner, digest: str
) -> Mapping[str, Any]:
    dims = recipe.network.spatial_dims
    own = isinstance(network, Enlarger)
    scales = network.scales if isinstance(network, Enlarger) else (1, 8)
    return {
        "schema": "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json",
        "version": card.version,
        "changelog": {card.version: "first release"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {},
        "name": name,
        "task": f"super-resolution of medical images {'by a factor of its own' if own else 'onto a given grid'}",
        "description": card.summary,
        "authors": "The MedSR contributors",
        "copyright": card.licence,
        "data_source": card.data_source,
        "data_type": "nibabel",
        "intended_use": "Research. Not a medical device, not for clinical decisions.",
        "network_data_format": _data_formats(network, recipe.enlarging.intensities),
        "medsr": {
            "modalities": list(card.modalities),
            "spatial_dims": [dims],
            "factors": [float(min(scales)), float(max(scales))],
            "noise": list(card.noise),
            "planes": card.planes,
            "planes_always": card.planes_always,
            "several_axes": card.several_axes,
            "limits": card.limits,
            "gain": card.gain,
            "phantoms": dict(card.phantoms),
            "perceptual": recipe.family in PERCEPTUAL_FAMILIES,
            "halo": network.halo,
            "smoothness": recipe.acquisition.smoothness,
            **(_own_factor(recipe, network) if isinstance(network, Enlarger) else {}),
            "sha256": digest,
            "network": {
                "architecture": recipe.network.architecture,
                "spatial_dims": dims,
                "options": dict(recipe.network.options),
                "weights": sum(value.numel() for value in network.state_dict().values()),
                **(asdict(footprint(network)) if isinstance(network, Enlarger) else {}),
            },
        },
    }


def _own_factor(recipe: Recipe, network: Enlarger) -> Mapping[str, Any]:
    return {
        "scales": list(network.scales),
        "downscaling": recipe.enlarging.downscaling,
        "intensities": recipe.enlarging.intensities,
        "channels": network.channels,
    }


def _data_formats(network: Enlarger | ProfileRefiner, intensities: str) -> Mapping[str, Any]:
    if isinstance(network, Enlarger):
        scale = "z-scores" if intensities == "z-score" else "intensities about 0 to 1"
        coarse = _data_format(network, "n", network.channels, f"image, {scale}")
        fine = _data_format(network, f"{network.scales[0]}*n", network.channels, "enlarged image")
    else:
        coarse = fine = _data_format(network, "2*n", 1, "deconvolved image on the target grid")
    if intensities == "z-score":
        for image in (coarse, fine):
            image.update(value_range=list(_Z_SCORES))
    return {"inputs": {"image": coarse}, "outputs": {"pred": fine}}


def _data_format(network: Enlarger | ProfileRefiner, size: str, channels: int, what: str) -> dict[str, Any]:
    return {
        "type": "image",
        "format": "magnitude",
        "num_channels": channels,
        "spatial_shape": [size] * network.spatial_dims,
        "dtype": "float32",
        "value_range": [0, 1],
        "is_patch_data": True,
        "channel_def": {str(number): what for number in range(channels)},
    }


def _inference(recipe: Recipe, network: nn.Module) -> Mapping[str, Any]:
    kind = type(network)
    return {
        "imports": ["$import torch"],
        "bundle_root": ".",
        "network_def": {
            "_target_": f"{kind.__module__}.{kind.__qualname__}",
            "spatial_dims": recipe.network.spatial_dims,
            **recipe.network.options,
        },
        "weights": "$torch.load(@bundle_root + '/models/model.pt', weights_only=True, map_location='cpu')",
    }


def join_logs(folder: Path, target: Path) -> str:
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


def _write_json(path: Path, data: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
