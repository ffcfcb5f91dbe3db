"""The lists of networks. Adding one is a line here; two of one name cannot be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from medsr.errors import InvalidValueError, ModelError, unknown_name
from medsr.models.discriminators.pairs import Pairs
from medsr.models.discriminators.vgg_patch import VGGPatch
from medsr.models.discriminators.wavelet_unet import WaveletUNet
from medsr.models.edsr_se import EDSRSE
from medsr.models.features.resnet10 import ResNet10
from medsr.models.features.texture_net import TextureNet
from medsr.models.features.vgg19 import VGG19
from medsr.models.layers import CONVOLUTIONS
from medsr.models.profile_refiner import ProfileRefiner
from medsr.models.progressive_gan import ProgressiveNet
from medsr.models.rrdb import RRDBNet
from medsr.models.srresnet import SRResNet
from medsr.models.vdsr7 import VDSR7

Builder = Callable[..., nn.Module]


def _register(kind: str, *entries: tuple[str, Builder]) -> dict[str, Builder]:
    table: dict[str, Builder] = {}
    for name, builder in entries:
        if name in table:
            raise ModelError(f"Two {kind}s are called {name!r}.")
        table[name] = builder
    return table


ARCHITECTURES: Mapping[str, Builder] = _register(
    "architecture",
    ("profile-refiner", ProfileRefiner),
    ("progressive-gan", ProgressiveNet),
    ("edsr-se", EDSRSE),
    ("vdsr7", VDSR7),
    ("srresnet", SRResNet),
    ("rrdb", RRDBNet),
)

DISCRIMINATORS: Mapping[str, Builder] = _register(
    "discriminator",
    ("vgg-patch", VGGPatch),
    ("pairs-3d", Pairs),
    ("wavelet-unet", WaveletUNet),
)

FEATURES: Mapping[str, Builder] = _register(
    "feature network",
    ("resnet10", ResNet10),
    ("vgg19", VGG19),
    ("texture-net", TextureNet),
)


def build_network(architecture: str, spatial_dims: int, options: Mapping[str, Any]) -> nn.Module:
    """Build an untrained network.

    Args:
        architecture: a name of `ARCHITECTURES`.
        spatial_dims: 2 or 3.
        options: further arguments of its constructor.

    Raises:
        UnknownNameError: no such architecture.
        InvalidValueError: another dimension, or an option's value that makes no sense.
        ModelError: options that the architecture does not take.
    """
    return _build("architecture", ARCHITECTURES, architecture, spatial_dims, options)


def build_discriminator(name: str, spatial_dims: int, options: Mapping[str, Any]) -> nn.Module:
    """Build an untrained network of `DISCRIMINATORS`; arguments and errors as `build_network`."""
    return _build("discriminator", DISCRIMINATORS, name, spatial_dims, options)


def build_features(name: str, spatial_dims: int, options: Mapping[str, Any]) -> nn.Module:
    """Build a network of `FEATURES`; its option `weights` names a local file. Errors as `build_network`."""
    return _build("feature network", FEATURES, name, spatial_dims, options)


def _build(
    kind: str, table: Mapping[str, Builder], name: str, spatial_dims: int, options: Mapping[str, Any]
) -> nn.Module:
    if name not in table:
        raise unknown_name(kind, name, table)
    if spatial_dims not in CONVOLUTIONS:
        raise InvalidValueError(f"spatial_dims must be 2 or 3, got {spatial_dims}.")
    try:
        return table[name](spatial_dims=spatial_dims, **options)
    except TypeError as error:
        raise ModelError(f"{kind.capitalize()} {name!r} does not take these options: {error}.") from error
