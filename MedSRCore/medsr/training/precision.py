"""Where mixed precision cannot be trusted."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def trusted_precision(image: Tensor) -> AbstractContextManager[object]:
    """Float32 for small 3D networks on the CPU, what the trainer chose elsewhere.

    oneDNN's bfloat16 gradient of a 3D convolution over a few voxels is sometimes not finite (seen with PyTorch 2.13 in
    the deepest layers of discriminators).
    """
    if image.device.type == "cpu" and image.dim() == 5:
        return torch.autocast("cpu", enabled=False)
    return nullcontext()
