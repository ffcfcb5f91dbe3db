"""Running a network on one tile: PyTorch on CPU or CUDA, or OpenVINO on the CPU where it is installed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
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
    """The fastest engine there is for a loaded network and one acquisition.

    Args:
        entry: the model.
        network: what `load_network` gave for it.
        condition: the acquisition, as `acquisition_condition` describes it.
        device: "cpu" or "cuda:N".
    """
    spatial_dims = int(entry.network["spatial_dims"])
    specialised = SpecialisedRefiner(network, torch.tensor(list(condition)))  # type: ignore[arg-type]
    if device == "cpu" and find_spec("openvino") is not None:
        try:
            return OpenVinoEngine(specialised, spatial_dims)
        except (ImportError, RuntimeError) as error:
            logger.warning("OpenVINO cannot run this network, PyTorch does: %s", error)
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


class OpenVinoEngine:
    """OpenVINO on the CPU in float32: about twice as fast as eager PyTorch there."""

    device = "cpu (OpenVINO)"

    def __init__(self, network: torch.nn.Module, spatial_dims: int) -> None:
        import openvino

        self._model = openvino.convert_model(
            network,
            example_input=torch.zeros(1, 1, *[16] * spatial_dims),
            input=openvino.PartialShape([1, 1, *[-1] * spatial_dims]),
        )
        self._core = openvino.Core()
        self._compiled: tuple[tuple[int, ...], Any] | None = None

    def __call__(self, tile: Array) -> Array:
        """See `TileEngine`."""
        # A graph of fixed shape is the fast one; tiles have few different shapes.
        if self._compiled is None or self._compiled[0] != tile.shape:
            self._model.reshape([1, 1, *tile.shape])
            compiled = self._core.compile_model(self._model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
            self._compiled = (tile.shape, compiled)
        result = self._compiled[1]([np.ascontiguousarray(tile)[None, None]])
        return np.array(result[0][0, 0], dtype=np.float32)


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
