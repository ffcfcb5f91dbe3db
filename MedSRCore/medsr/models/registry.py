"""The one list of network architectures. Adding one is a line here; two of one name cannot be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from medsr.errors import ModelError, unknown_name
from medsr.models.profile_refiner import ProfileRefiner

Builder = Callable[..., nn.Module]


def _register(*entries: tuple[str, Builder]) -> dict[str, Builder]:
    table: dict[str, Builder] = {}
    for name, builder in entries:
        if name in table:
            raise ModelError(f"Two architectures are called {name!r}.")
        table[name] = builder
    return table


ARCHITECTURES: Mapping[str, Builder] = _register(
    ("profile-refiner", ProfileRefiner),
)


def build_network(architecture: str, spatial_dims: int, options: Mapping[str, Any]) -> nn.Module:
    """Build an untrained network.

    Args:
        architecture: a name of `ARCHITECTURES`.
        spatial_dims: 2 or 3.
        options: further arguments of its constructor.

    Raises:
        UnknownNameError: no such architecture.
        ModelError: options that the architecture does not take.
    """
    if architecture not in ARCHITECTURES:
        raise unknown_name("architecture", architecture, ARCHITECTURES)
    try:
        return ARCHITECTURES[architecture](spatial_dims=spatial_dims, **options)
    except TypeError as error:
        raise ModelError(f"Architecture {architecture!r} does not take these options: {error}.") from error
