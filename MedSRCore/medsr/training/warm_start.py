"""Starting a training from the weights of another one."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import nn

from medsr.catalog import find_model
from medsr.errors import ModelError
from medsr.models.state import read_state

logger = logging.getLogger(__name__)


def stored_weights(name: str) -> dict[str, torch.Tensor]:
    """The weights in a file, or the verified weights of a model of the catalog."""
    path = Path(name)
    file = path if path.is_file() else find_model(name).verified_weights()
    try:
        return read_state(file)
    except (OSError, ValueError) as error:
        raise ModelError(f"{str(file)!r} cannot be used as weights: {error}.") from error


def copy_matching(network: nn.Module, name: str) -> int:
    """Copy the stored tensors that have the name and shape of one of `network`'s; return how many.

    Raises:
        ModelError: none has.
    """
    stored, own = stored_weights(name), network.state_dict()
    matching = {key: value for key, value in stored.items() if key in own and own[key].shape == value.shape}
    if not matching:
        raise ModelError(f"No tensor of {name!r} has the name and shape of one of this network: nothing to start from.")
    network.load_state_dict(matching, strict=False)
    logger.info("Warm start: %d of %d tensors are those of %s", len(matching), len(own), name)
    return len(matching)
