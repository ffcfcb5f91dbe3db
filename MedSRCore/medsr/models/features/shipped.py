"""The feature network that comes with MedSR: texture-net, trained in this project without labels."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from medsr.catalog import BUNDLES
from medsr.errors import ModelError
from medsr.models.features.texture_net import TextureNet

LABEL = "texture-net (trained here)"
"""What a table or a report calls distances between its features."""


def shipped_texture_net(folder: Path = BUNDLES / "texture-net") -> TextureNet:
    """TextureNet with the weights in `folder`, in evaluation mode.

    Raises:
        ModelError: files that are missing, or weights that are not those the folder states.
    """
    weights = folder / "models" / "model.pt"
    try:
        facts = json.loads((folder / "configs" / "features.json").read_text(encoding="utf-8"))
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    except (OSError, json.JSONDecodeError) as error:
        raise ModelError(f"The weights of texture-net in {folder} cannot be read: {error}. Reinstall medsr.") from error
    if digest != facts["sha256"]:
        raise ModelError(f"The weights of texture-net in {folder} were altered or are damaged. Reinstall medsr.")
    network = TextureNet(**facts["options"], weights=str(weights))
    network.eval()
    return network
