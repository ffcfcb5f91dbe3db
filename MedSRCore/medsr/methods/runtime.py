"""The door to PyTorch: everything on this side of it runs where torch is not installed."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING

from medsr.errors import MissingDependencyError

if TYPE_CHECKING:
    from medsr.methods.plan import Plan


def networks(plan: Plan) -> ModuleType:
    """`medsr.methods.networks`.

    Raises:
        MissingDependencyError: torch is not there, or cannot be loaded.
    """
    try:
        from medsr.methods import networks
    except ImportError as error:
        if (error.name or "").startswith("medsr"):
            raise
        what = f"The package {error.name or 'torch'} is not installed"
        if not isinstance(error, ModuleNotFoundError):
            what = f"torch cannot be loaded ({error})"
        raise MissingDependencyError(
            f"{what}; the network {plan.entry.name} needs it. Install with: pip install 'medsr[network]'. "
            "Interpolation and tikhonov run without."
        ) from error
    return networks
