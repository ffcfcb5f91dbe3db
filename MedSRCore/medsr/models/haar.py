"""One-level Haar transform in 2D and 3D (Haar 1910; Mallat 1989)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from medsr.errors import InvalidValueError
from medsr.models.layers import CONVOLUTIONS

_CONVOLVE = {2: functional.conv2d, 3: functional.conv3d}


def haar(spatial_dims: int) -> Tensor:
    """Haar analysis of a block of two voxels a side: row 0 its mean, the others signed means; ``(n, n)``, n = 2^d.

    ``haar.T @ haar`` is the identity divided by n. Rows and columns count the last axis fastest.
    """
    one = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    matrix = torch.ones(1, 1)
    for _ in range(spatial_dims):
        matrix = torch.kron(matrix, one)
    analysis: Tensor = matrix / 2**spatial_dims
    return analysis


def haar_bands(x: Tensor) -> Tensor:
    """The orthonormal transform of an image.

    Args:
        x: ``(B, C, *size)``, 2D or 3D, each size even.

    Returns:
        ``(B, C, 2^d, *size / 2)``: smooth band first, then the details in the order of PyWavelets (aad, ada, ...).
    """
    dims = x.dim() - 2
    if dims not in CONVOLUTIONS:
        raise InvalidValueError(f"An image has 2 or 3 dimensions, got {dims}.")
    kernels = (haar(dims) * 2 ** (dims / 2)).to(x).reshape(-1, 1, *[2] * dims)
    bands: Tensor = _CONVOLVE[dims](x.flatten(0, 1)[:, None], kernels, stride=2)
    return bands.reshape(*x.shape[:2], *bands.shape[1:])
