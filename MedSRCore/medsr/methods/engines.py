"""Running a network on one tile with PyTorch, on the CPU or on CUDA."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from medsr.catalog import CatalogEntry
from medsr.errors import InvalidValueError, ModelError, ResourceError
from medsr.models.enlarger import Enlarger
from medsr.models.footprint import footprint
from medsr.models.registry import build_network
from medsr.models.specialised_refiner import SpecialisedRefiner
from medsr.models.state import no_more_layers_than, read_state

logger = logging.getLogger(__name__)

Array = NDArray[np.float32]


class TileEngine(Protocol):
    """Computes one tile. `device` says where, for people."""

    device: str

    def __call__(self, tile: Array) -> Array:
        """Refine `tile` ``(*size)`` to the same shape, or enlarge ``(*size)`` or ``(*size, channels)``; float32.

        Raises:
            ResourceError: the tile does not fit into the memory of the device.
        """
        ...


def load_network(entry: CatalogEntry) -> torch.nn.Module:
    """The network of a catalog entry with its verified weights, ready for inference.

    Raises:
        ModelError: weights that are missing, altered or do not fit the architecture.
    """
    path = entry.verified_weights()
    architecture, dims = entry.network["architecture"], int(entry.network["spatial_dims"])
    options = entry.network.get("options", {})
    try:
        state = read_state(path)
        promised = sum(value.numel() for value in state.values())
        # Without numbers, so that it takes no memory: the options may promise more than the file holds.
        with torch.device("meta"), no_more_layers_than(len(state)):
            outline = build_network(architecture, dims, options)
            wanted = sum(value.numel() for value in outline.state_dict().values())
            if wanted != promised:
                raise ValueError(f"it has {wanted} weights, the file {promised}")
            # Tiles are as large as these let them be.
            values = footprint(outline).values if isinstance(outline, Enlarger) and entry.scales else 0.0
        if values > 1.01 * entry.network.get("values", 0):
            raise ValueError(f"it holds {values:g} numbers per voxel, its description says less")
        network = build_network(architecture, dims, options)
        network.load_state_dict({key: value.float() for key, value in state.items()})
    except MemoryError:
        raise
    except Exception as error:
        # Whatever the options of a foreign bundle make a constructor raise, the bundle is what to look at.
        said = " ".join(str(error).split())[:300].rstrip(".")
        raise ModelError(f"The weights of {entry.name} do not fit its network: {said}. {entry.advice}") from error
    _check_description(entry, network)
    return network.eval()


def _check_description(entry: CatalogEntry, network: torch.nn.Module) -> None:
    """Raise ModelError for a catalog entry that says something else of its network than the network does."""
    own = isinstance(network, Enlarger)
    found = {"halo": network.halo, "scales": network.scales if own else (), "channels": network.channels if own else 1}
    for name, value in found.items():
        if getattr(entry, name) != value:
            raise ModelError(f"The bundle of {entry.name} says {name} {getattr(entry, name)}, its network has {value}.")


def refining_engine(
    entry: CatalogEntry, network: torch.nn.Module, condition: Sequence[float], device: str
) -> TorchEngine:
    """An engine for a loaded refiner and one acquisition.

    Args:
        entry: the model.
        network: what `load_network` gave for it.
        condition: the acquisition, as `acquisition_condition` describes it.
        device: "cpu" or "cuda:N".
    """
    spatial_dims = int(entry.network["spatial_dims"])
    specialised = SpecialisedRefiner(network, torch.tensor(list(condition)))  # type: ignore[arg-type]
    if device == "cpu" and multiplies_bfloat16():
        specialised.reduce_precision()
    return TorchEngine(specialised, spatial_dims, device)


def multiplies_bfloat16() -> bool:
    """True where the CPU multiplies bfloat16 itself (AVX-512 BF16); imitated, it would be slower than float32."""
    ask = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(ask and ask())


class FixedFactor(torch.nn.Module):
    """An Enlarger at one of its factors."""

    def __init__(self, network: Enlarger, scale: int) -> None:
        super().__init__()
        self.network, self._scale = network, scale

    def forward(self, coarse: torch.Tensor) -> torch.Tensor:
        """``(B, C, *size)`` -> ``(B, C, *size * scale)``."""
        fine: torch.Tensor = self.network(coarse, self._scale)
        return fine


class TorchEngine:
    """Eager PyTorch, channels last. On CUDA with automatic mixed precision; on the CPU as the network is."""

    def __init__(self, network: torch.nn.Module, spatial_dims: int, device: str) -> None:
        self.device = device
        self._dims = spatial_dims
        layout = torch.channels_last_3d if spatial_dims == 3 else torch.channels_last
        self._network = network.to(device=device, memory_format=layout)  # type: ignore[call-overload]
        self._mixed = device.startswith("cuda")

    def __call__(self, tile: Array) -> Array:
        """See `TileEngine`."""
        x = as_batch(tile, self._dims).to(self.device)
        with _memory_errors(self.device, tile.shape), torch.inference_mode(), _half(self._mixed):
            result = self._network(x)[0].float().cpu().numpy()
        out: Array = result[0] if tile.ndim == self._dims else np.moveaxis(result, 0, -1)
        if not np.isfinite(out).all():
            if not self._mixed:
                raise ModelError("The network gave numbers that are not finite.")
            # Half precision overflowed: this network needs the wider range.
            logger.warning("mixed precision overflowed on %s; continuing in float32", self.device)
            self._mixed = False
            return self(tile)
        return out


def as_batch(image: Array, spatial_dims: int) -> torch.Tensor:
    """``(*size)`` or ``(*size, channels)`` as a tensor ``(1, channels, *size)``."""
    tensor = torch.from_numpy(np.ascontiguousarray(image))
    return tensor[None, None] if image.ndim == spatial_dims else tensor.movedim(-1, 0)[None].contiguous()


def local_network(network: Enlarger, image: Array, device: str) -> Enlarger:
    """The network that gives for tiles of `image` what `network` gives for the whole; on `device`.

    Raises:
        ResourceError: a network that looks at the whole image, and an image that the device cannot hold.
    """
    network = network.to(device)
    if network.local:
        return network
    with _memory_errors(device, image.shape), torch.no_grad(), _half(device.startswith("cuda")):
        return network.local_for(as_batch(image, network.spatial_dims).to(device))


def _half(enabled: bool) -> torch.autocast:
    """Mixed precision on CUDA."""
    return torch.autocast("cuda", torch.float16, enabled=enabled)


@contextmanager
def _memory_errors(device: str, shape: tuple[int, ...]) -> Iterator[None]:
    """PyTorch's ways to say that memory ran out, as ResourceError."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise ResourceError(f"{device} has no memory for a tile of {shape}.") from error
    except RuntimeError as error:
        if "memory" not in str(error).lower():  # the CPU allocator raises a plain RuntimeError
            raise
        raise ResourceError(f"There is no memory for a tile of {shape}.") from error


def choose_device(asked: str) -> str:
    """The device for what was asked, "cpu" or "cuda:N".

    Raises:
        InvalidValueError: CUDA was asked for and is not there.
    """
    available = torch.cuda.is_available()
    if asked == "auto":
        return "cuda:0" if available else "cpu"
    if asked.startswith("cuda"):
        index = int(asked.partition(":")[2] or 0)
        if not available or index >= torch.cuda.device_count():
            count = torch.cuda.device_count() if available else 0
            raise InvalidValueError(
                f"The device {asked} was asked for; this computer has {count} CUDA devices that PyTorch can use. "
                "Use --device auto or cpu."
            )
        return f"cuda:{index}"
    return asked


def free_bytes(device: str) -> int:
    """Memory that is free on a CUDA device."""
    free, _total = torch.cuda.mem_get_info(torch.device(device))
    return int(free)
