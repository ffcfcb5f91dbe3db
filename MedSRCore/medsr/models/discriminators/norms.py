"""The four ways in which a discriminator keeps its features in bounds."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from medsr.errors import unknown_name
from medsr.models.layers import BATCH_NORMS

INSTANCE_NORMS = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}
NORMS = ("batch", "instance", "spectral", "none")


def check_norm(kind: str) -> None:
    """Raise UnknownNameError for a name that is not in `NORMS`."""
    if kind not in NORMS:
        raise unknown_name("normalisation", kind, NORMS)


def normed(layer: nn.Module, spatial_dims: int, features: int, kind: str) -> list[nn.Module]:
    """`layer` and what normalises its `features` channels; "spectral" is of the weights (Miyato et al. 2018)."""
    if kind == "batch":
        return [layer, BATCH_NORMS[spatial_dims](features)]
    if kind == "instance":
        return [layer, INSTANCE_NORMS[spatial_dims](features, affine=True)]
    return [spectral_norm(layer) if kind == "spectral" else layer]
