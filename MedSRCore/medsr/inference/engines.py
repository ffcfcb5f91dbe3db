"""Running a network on one tile with PyTorch, on the CPU or on CUDA."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from medsr.catalog import CatalogEntry
from medsr.errors import InvalidValueError, ModelError, ResourceError
from medsr.models.profile_refiner import SpecialisedRefiner
from medsr.models.registry import build_network

logger = logging.getLogger(__name__)

Array = NDArray[np.float32]


class TileEngine(Protocol):
    """Computes one tile. `device` says where, for people."""

    device: str

    def __call__(self, tile: Array) -> Array:
        """Refine `tile` ``(*size)``; same shape, float32.

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
    network = build_network(
        entry.network["architecture"], int(entry.network["spatial_dims"]), entry.network.get("options", {})
    )
    try:
        state: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict({key: value.float() for key, value in state.items()})
    except (RuntimeError, ValueError, AttributeError, EOFError, OSError) as error:
        raise ModelError(f"The weights of {entry.name} do not fit its network: {error}.") from error
    return network.eval()


def build_engine(entry: CatalogEntry, network: torch.nn.Module, condition: Sequence[float], device: str) -> TileEngine:
    """An engine for a loaded network and one acquisition.

    Args:
        entry: the model.
        network: what `load_network` gave for it.
        condition: the acquisition, as `acquisition_condition` describes it.
        device: "cpu" or "cuda:N".
    """
    spatial_dims = int(entry.network["spatial_dims"])
    specialised = SpecialisedRefiner(network, torch.tensor(list(condition)))  # type: ignore[arg-type]
    return TorchEngine(specialised, spatial_dims, device)


class TorchEngine:
    """Eager PyTorch. On CUDA with automatic mixed precision; on the CPU in float32, channels last."""

    def __init__(self, network: torch.nn.Module, spatial_dims: int, device: str) -> None:
        self.device = device
        layout = torch.channels_last_3d if spatial_dims == 3 else torch.channels_last
        self._network = network.to(device=device, memory_format=layout)  # type: ignore[call-overload]
        self._mixed = device.startswith("cuda")

    def __call__(self, tile: Array) -> Array:
        """See `TileEngine`."""
        x = torch.from_numpy(np.ascontiguousarray(tile))[None, None].to(self.device)
        try:
            with torch.inference_mode(), torch.autocast("cuda", torch.float16, enabled=self._mixed):
                out: Array = self._network(x)[0, 0].float().cpu().numpy()
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise ResourceError(f"{self.device} has no memory for a tile of {tile.shape}.") from error
        except RuntimeError as error:
            if "memory" not in str(error).lower():  # the CPU allocator raises a plain RuntimeError
                raise
            raise ResourceError(f"There is no memory for a tile of {tile.shape}.") from error
        if not np.isfinite(out).all():
            if not self._mixed:
                raise ModelError("The network gave numbers that are not finite.")
            # Half precision overflowed: this network needs the wider range.
            logger.warning("mixed precision overflowed on %s; continuing in float32", self.device)
            self._mixed = False
            return self(tile)
        return out


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
