"""Acquisitions and enlargements inside the pipelines of others: MONAI, TorchIO, nnU-Net.

The work is that of `medsr augment` and `medsr.super_resolve`; a transform hands over arrays, grids and seeds.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

NNUNET_TRAINERS = Path(__file__).parent / "nnunet_trainers"
"""The folder that nnU-Net looks for trainers in, when its variable ``nnUNet_extTrainer`` names it."""

_HOMES = {
    "Acquisition": "torchio",
    "RandAcquisitiond": "monai",
    "RandomAcquisition": "torchio",
    "SuperResolve": "torchio",
    "SuperResolved": "monai",
}

__all__ = ["NNUNET_TRAINERS", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'medsr.transforms' has no attribute {name!r}")
    return getattr(import_module(f"medsr.transforms.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
