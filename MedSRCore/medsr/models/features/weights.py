"""Weights of a feature network from a local file."""

from __future__ import annotations

import hashlib
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from medsr.errors import InputNotFoundError, ModelError


def load_weights(network: nn.Module, path: str | Path, rename: Callable[[str], str] = str) -> None:
    """Load a state dict as float32; tensors that `network` does not have are left out.

    Args:
        network: gets the weights.
        path: file of `torch.save`; plain tensors only. A name that ends in eight hexadecimal digits, as those of
            PyTorch's model files do, promises the start of the file's SHA-256, which is checked.
        rename: a key in the file -> the key in the network.

    Raises:
        InputNotFoundError: no such file.
        ModelError: an altered or damaged file, or one of another network.
    """
    path = Path(path)
    if not path.is_file():
        raise InputNotFoundError(f"There is no file {path} with weights.")
    promised = re.search(r"-([0-9a-f]{8})$", path.stem)
    if promised:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if not digest.startswith(promised[1]):
            raise ModelError(f"{path} is damaged: its SHA-256 starts with {digest[:8]}, its name promises another.")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        state = state.get("state_dict", state)
        renamed: dict[str, Tensor] = {rename(key): value for key, value in state.items()}
        wanted = network.state_dict().keys()
        network.load_state_dict({key: value.float() for key, value in renamed.items() if key in wanted})
    except pickle.UnpicklingError as error:
        # What PyTorch says here is the advice to trust the file.
        raise ModelError(
            f"{path} does not hold the weights of {type(network).__name__}: it is damaged, or holds something else "
            "than plain tensors."
        ) from error
    except Exception as error:
        # Whatever an unreadable or foreign file makes torch raise, the file is what to look at.
        raise ModelError(f"{path} does not hold the weights of {type(network).__name__}: {error}") from error
