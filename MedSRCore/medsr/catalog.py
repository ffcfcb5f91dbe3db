"""Which models exist, as data: readable before torch is there.

Interpolation and deconvolution are entries like any network, so that they are the yardstick everywhere. A network's
entry is the metadata of its bundle (``bundles/<name>/configs/metadata.json``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from medsr.errors import ModelError, unknown_name

BUNDLES = Path(__file__).parent / "bundles"


@dataclass(frozen=True)
class CatalogEntry:
    """What a model is, needs and is good for.

    Attributes:
        name: what to pass as ``--model``.
        summary: one line for people.
        kind: "interpolation", "deconvolution" or "network".
        modalities: image modalities it is meant for.
        spatial_dims: 3 for volumes, 2 for slice-wise; interpolation and deconvolution do both.
        factors: smallest and largest factor per axis.
        noise: noise levels it is chosen for, as fractions of the 99th percentile of the image.
        licence: of the weights.
        limits: what a person should know before trusting it.
        training_data: where it learned, or "".
        gain: measured figures, as a sentence.
        perceptual: True where the model may invent detail.
        network: architecture and options of a network.
        halo: receptive radius in voxels of the target grid.
        smoothness: Tikhonov weight of the network's input.
        sha256: checksum of the weights file.
        folder: the bundle, None for what needs no weights.
    """

    name: str
    summary: str
    kind: str
    modalities: tuple[str, ...] = ("MR", "CT")
    spatial_dims: tuple[int, ...] = (2, 3)
    factors: tuple[float, float] = (1.0, 8.0)
    noise: tuple[float, float] = (0.0, 1.0)
    licence: str = "Apache-2.0"
    limits: str = ""
    training_data: str = ""
    gain: str = ""
    perceptual: bool = False
    version: str = ""
    network: Mapping[str, Any] = field(default_factory=dict)
    halo: int = 0
    smoothness: float = 0.0
    sha256: str = ""
    folder: Path | None = None

    @property
    def needs_torch(self) -> bool:
        """True for networks."""
        return self.kind == "network"

    @property
    def weights(self) -> Path:
        """The weights file of a network."""
        if self.folder is None:
            raise ModelError(f"{self.name} has no weights: it is {self.kind}.")
        return self.folder / "models" / "model.pt"

    def verified_weights(self) -> Path:
        """The weights file after its checksum was compared; raise ModelError when missing or altered."""
        path = self.weights
        if not path.exists():
            raise ModelError(f"The weights of {self.name} are missing at {path}. Reinstall medsr.")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest != self.sha256:
            raise ModelError(
                f"The weights of {self.name} are corrupt or were altered: SHA-256 {digest[:12]}..., expected "
                f"{self.sha256[:12]}.... Reinstall medsr."
            )
        return path

    def to_dict(self) -> dict[str, Any]:
        """The entry as JSON-ready data."""
        data = {k: v for k, v in self.__dict__.items() if k != "folder"}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in data.items()}


BUILT_IN = (
    CatalogEntry(
        "linear", "Linear interpolation: fast, blurs.", "interpolation",
        limits="Adds no detail; lowers the contrast of fine structures.",
    ),
    CatalogEntry(
        "bspline", "Cubic B-spline interpolation: the usual choice of viewers and pipelines.", "interpolation",
        limits="Adds no detail; may overshoot a little at sharp edges.",
    ),
    CatalogEntry(
        "lanczos", "Lanczos-windowed sinc interpolation (radius 4): sharpest interpolation, slow.", "interpolation",
        limits="Adds no detail; rings at sharp edges.",
    ),
    CatalogEntry(
        "tikhonov", "Deconvolution with the known slice profile (Tikhonov): physics, no learning.", "deconvolution",
        limits="Amplifies noise; only as right as the slice thickness it is told.", smoothness=0.01,
    ),
)  # fmt: skip


@lru_cache(maxsize=1)
def load_catalog() -> Mapping[str, CatalogEntry]:
    """All models by name, interpolation first.

    Raises:
        ModelError: a bundle whose metadata cannot be read, or two models of one name.
    """
    entries = list(BUILT_IN)
    for metadata in sorted(BUNDLES.glob("*/configs/metadata.json")):
        entries.append(_read_bundle(metadata))
    catalog: dict[str, CatalogEntry] = {}
    for entry in entries:
        if entry.name in catalog:
            raise ModelError(f"Two models are called {entry.name!r}.")
        catalog[entry.name] = entry
    return catalog


def find_model(name: str) -> CatalogEntry:
    """The entry called `name`; raise UnknownNameError with the nearest name."""
    catalog = load_catalog()
    if name not in catalog:
        raise unknown_name("model", name, catalog)
    return catalog[name]


def _read_bundle(metadata: Path) -> CatalogEntry:
    try:
        data = json.loads(metadata.read_text(encoding="utf-8"))
        card: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data["medsr"].items()}
        return CatalogEntry(
            name=data["name"],
            summary=data["description"],
            kind="network",
            version=data["version"],
            licence=data["copyright"],
            training_data=data["data_source"],
            folder=metadata.parent.parent,
            **card,
        )
    except (OSError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"The bundle at {metadata.parent.parent} has unreadable metadata: {error!r}.") from error
