"""Which models exist, as data: readable before torch is there.

Interpolation and deconvolution are entries like any network, so that they are the yardstick everywhere. A network's
entry is the metadata of its bundle (``bundles/<name>/configs/metadata.json``). A bundle elsewhere is a model too, named
by its folder; what its metadata says is checked before it is used, as that of any file that came from elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from medsr.digests import file_digest
from medsr.errors import ModelError, unknown_name
from medsr.jsontext import parse_json
from medsr.phantom_figures import is_record, sentences

BUNDLES = Path(__file__).parent / "bundles"
CALIBRATIONS = Path(__file__).parent / "calibrations"
METADATA = Path("configs", "metadata.json")

PERCEPTUAL = "perceptual: may invent detail"
"""The mark of models that were trained to look right; the same words everywhere."""

INTENSITIES = ("range", "z-score")
"""What a network with a factor of its own sees: about [0, 1] (CT: fixed HU), or mean 0 and standard deviation 1."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LARGEST_METADATA = 1_000_000
_LARGEST_WEIGHTS = 4_000_000_000
_LARGEST_SCALE = 64
_LARGEST_OPTION = 4096
"""Sizes and counts in a network's options; a larger one can only be meant to exhaust the memory."""


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
        several_axes: largest factor that a refiner learned along more than one of its axes; `factors` holds for one.
        noise: noise levels it is chosen for, as fractions of the 99th percentile of the image.
        licence: of the weights.
        limits: what a person should know before trusting it.
        training_data: where it learned, or "".
        gain: measured figures, as a sentence.
        perceptual: True where the model may invent detail.
        network: architecture and options of a network, number of weights; with `scales` also, per voxel of its output,
            ``multiply_adds`` and the ``values`` that it holds in memory at most.
        halo: receptive radius in voxels of the grid that the network reads: the input's for a network with `scales`,
            else the target's.
        smoothness: Tikhonov weight of what the network reads; of a slice-wise network with `scales`, across the slices.
        scales: whole factors of a network that enlarges by itself, along all axes that it works on; () for the others.
        downscaling: what a network with `scales` was trained to undo, a kind of `medsr.physics.profiles`.
        intensities: the scale on which a network with `scales` was trained, one of `INTENSITIES`.
        channels: 1, or the colours that the network takes together.
        planes: model whose slice-wise answers, across the axes that are not enlarged, are averaged with a volumetric
            one's; "" for none.
        planes_always: the same across all axes where every one is enlarged, for several times the work.
        phantoms: what it did on digital phantoms, see `medsr.phantom_figures`.
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
    scales: tuple[int, ...] = ()
    downscaling: str = ""
    intensities: str = "range"
    channels: int = 1
    planes: str = ""
    planes_always: bool = False
    several_axes: float = 8.0
    phantoms: Mapping[str, Any] = field(default_factory=dict)
    sha256: str = ""
    folder: Path | None = None

    @property
    def needs_torch(self) -> bool:
        """True for networks."""
        return self.kind == "network"

    @property
    def on_phantoms(self) -> list[str]:
        """What it did on phantoms, for people; nothing where that was measured with other weights."""
        return sentences(self.phantoms) if self.phantoms.get("weights") == self.sha256 else []

    @property
    def weights(self) -> Path:
        """The weights file of a network."""
        if self.folder is None:
            raise ModelError(f"{self.name} has no weights: it is {self.kind}.")
        return self.folder / "models" / "model.pt"

    def calibration_files(self, modality: str) -> tuple[Path, ...]:
        """Where the calibration of its error maps is: in its bundle, by `medsr calibrate`, or among the shipped."""
        shipped = CALIBRATIONS / modality / f"{self.name}.json"
        return (shipped,) if self.folder is None else (self.folder / "calibration.json", shipped)

    @property
    def calibrated(self) -> tuple[str, ...]:
        """Modalities for which it has error maps."""
        return tuple(m for m in self.modalities if any(path.is_file() for path in self.calibration_files(m)))

    def verified_weights(self) -> Path:
        """The weights file after its checksum was compared; raise ModelError when missing or altered."""
        path = self.weights
        if not path.is_file():
            raise ModelError(f"The weights of {self.name} are missing at {path}. {self.advice}")
        if path.stat().st_size > _LARGEST_WEIGHTS:
            raise ModelError(f"The weights of {self.name} are larger than {_LARGEST_WEIGHTS / 1e9:g} GB: {path}.")
        digest = file_digest(path)
        if digest != self.sha256:
            raise ModelError(
                f"The weights of {self.name} are corrupt or were altered: SHA-256 {digest[:12]}..., expected "
                f"{self.sha256[:12]}.... {self.advice}"
            )
        return path

    @property
    def advice(self) -> str:
        """What to do about damaged files of this model."""
        shipped = self.folder is not None and self.folder.parent == BUNDLES
        return "Reinstall medsr." if shipped else "Get the bundle again."

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
    """All models by name: interpolation, networks for any grid, networks with a factor of their own.

    Raises:
        ModelError: a bundle whose metadata cannot be read, or two models of one name.
    """
    bundles = [read_bundle(path.parents[1]) for path in BUNDLES.glob(f"*/{METADATA}")]
    entries = [*BUILT_IN, *sorted(bundles, key=lambda entry: (bool(entry.scales), entry.name))]
    catalog: dict[str, CatalogEntry] = {}
    for entry in entries:
        if entry.name in catalog:
            raise ModelError(f"Two models are called {entry.name!r}.")
        catalog[entry.name] = entry
    return catalog


def find_model(name: str) -> CatalogEntry:
    """The entry called `name`, or that of the bundle in the folder `name`.

    Raises:
        UnknownNameError: neither a model nor a folder; the text names the nearest model.
        ModelError: a folder that is no bundle.
    """
    catalog = load_catalog()
    if name in catalog:
        return catalog[name]
    folder = Path(name)
    try:
        is_folder = folder.is_dir()
    except (OSError, ValueError):  # no name that a folder could have, or one that may not be entered
        is_folder = False
    if is_folder:
        return read_bundle(folder)
    if len(folder.parts) > 1:
        raise ModelError(f"There is no bundle folder {name!r}. Give the folder that holds {METADATA.as_posix()}.")
    raise unknown_name("model", name, catalog)


def read_bundle(folder: Path) -> CatalogEntry:
    """The entry of the bundle in `folder`.

    Raises:
        ModelError: no bundle, or metadata that cannot be read or make no sense.
    """
    path = folder / METADATA
    if not path.is_file():
        raise ModelError(f"The folder {str(folder)!r} is no bundle: it has no {METADATA.as_posix()}.")
    try:
        if path.stat().st_size > _LARGEST_METADATA:
            raise ValueError(f"more than {_LARGEST_METADATA} bytes")
        data = parse_json(path.read_bytes())
        texts = {
            "name": data["name"],
            "summary": data["description"],
            "version": data["version"],
            "licence": data["copyright"],
            "training_data": data["data_source"],
        }
        card: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data["medsr"].items()}
        entry = CatalogEntry(kind="network", folder=folder, **texts, **card)
        _check(entry)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise ModelError(f"The bundle at {str(folder)!r} has unreadable metadata: {said}. Get it again.") from error
    return entry


def _check(entry: CatalogEntry) -> None:
    """Raise ValueError for a network's entry whose values have another type or size than the code relies on."""

    def demand(ok: bool, what: str) -> None:
        if not ok:
            raise ValueError(what)

    texts = ("summary", "version", "licence", "training_data", "limits", "gain", "downscaling", "planes")
    for name in texts:
        demand(isinstance(getattr(entry, name), str), f"{name} is no text")
    demand(bool(_NAME.fullmatch(entry.name)), "a name is of letters, digits and . _ -")
    demand(bool(re.fullmatch(r"[0-9a-f]{64}", entry.sha256)), "sha256 is no SHA-256 in hexadecimal digits")
    demand(bool(entry.modalities) and set(entry.modalities) <= {"MR", "CT"}, "modalities are MR and CT")
    demand(entry.spatial_dims in ((2,), (3,)), "spatial_dims is [2] or [3]")
    for name in ("factors", "noise"):
        pair = getattr(entry, name)
        demand(len(pair) == 2 and all(_is_number(v) for v in pair) and pair[0] <= pair[1], f"{name} is no range")
    for name in ("perceptual", "planes_always"):
        demand(isinstance(getattr(entry, name), bool), f"{name} is no truth value")
    demand(_is_number(entry.several_axes) and entry.several_axes >= 1, "several_axes is no factor")
    demand(_is_number(entry.smoothness) and 0 <= entry.smoothness <= 1, "smoothness lies between 0 and 1")
    whole = [entry.halo, entry.channels, *entry.scales]
    demand(all(isinstance(v, int) and not isinstance(v, bool) for v in whole), "halo, channels or a scale is not whole")
    demand(0 <= entry.halo <= _LARGEST_OPTION, "the halo is negative or enormous")
    demand(entry.channels in (1, 3), "channels is 1 or 3")
    demand(all(2 <= scale <= _LARGEST_SCALE for scale in entry.scales), f"scales lie between 2 and {_LARGEST_SCALE}")
    demand(bool(entry.scales) == bool(entry.downscaling), "scales and downscaling belong together")
    demand(entry.intensities in INTENSITIES, f"intensities are {' or '.join(INTENSITIES)}")
    demand(is_record(entry.phantoms), "phantoms is no record of a bench")
    network = entry.network
    demand(isinstance(network, Mapping), "network is no object")
    demand(isinstance(network["architecture"], str), "the architecture is no text")
    demand(network["spatial_dims"] == entry.spatial_dims[0], "spatial_dims of model and network differ")
    demand(not entry.planes or bool(_NAME.fullmatch(entry.planes)), "planes is no model's name")
    weights, options = network.get("weights", 0), network.get("options", {})
    demand(_is_number(weights) and weights >= 0, "the number of weights is no number")
    demand(isinstance(options, Mapping), "the network's options are no object")
    demand(bool(entry.scales) or isinstance(options.get("channels"), int), "a refiner's options say its channels")
    costs = [network["multiply_adds"], network["values"]] if entry.scales else []
    demand(all(_is_number(v) and v >= 0 for v in costs), "multiply_adds or values is no number")
    demand(_is_modest(options), "the network's options are no small numbers, texts or lists of them")


def _is_number(value: object) -> bool:
    # Compared first: a whole number beyond those of floating point is no error but none of use.
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return real and -1e300 < value < 1e300  # type: ignore[operator]


def _is_modest(value: object, depth: int = 3) -> bool:
    """True for what a network's constructor takes: texts, truth values, numbers of sensible size, lists of them."""
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, str):
        return len(value) <= 100
    if isinstance(value, int | float):
        return abs(value) <= _LARGEST_OPTION
    if isinstance(value, Mapping):
        return depth > 0 and len(value) <= 100 and all(_is_modest(v, depth - 1) for v in value.values())
    if isinstance(value, list | tuple):
        return depth > 0 and len(value) <= 100 and all(_is_modest(v, depth - 1) for v in value)
    return False
