"""MedSR: sharper MR and CT volumes in the same patient space.

``import medsr`` is light: neither torch nor SimpleITK is loaded before something needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from medsr.api import super_resolve
    from medsr.augmentation.api import augment
    from medsr.augmentation.segmenting import command_segmenter, segment_with
    from medsr.catalog import load_catalog
    from medsr.evaluation.checking.api import check
    from medsr.fusion.api import fuse
    from medsr.geometry import Geometry
    from medsr.inference.pipeline import Result
    from medsr.inference.segments import measure_segments
    from medsr.io import read_volume, write_dicom, write_volume
    from medsr.options import UpscaleOptions
    from medsr.volume import Volume

_HOMES = {
    "Geometry": "medsr.geometry",
    "Result": "medsr.inference.pipeline",
    "UpscaleOptions": "medsr.options",
    "Volume": "medsr.volume",
    "augment": "medsr.augmentation.api",
    "check": "medsr.evaluation.checking.api",
    "command_segmenter": "medsr.augmentation.segmenting",
    "fuse": "medsr.fusion.api",
    "load_catalog": "medsr.catalog",
    "measure_segments": "medsr.inference.segments",
    "read_volume": "medsr.io",
    "segment_with": "medsr.augmentation.segmenting",
    "super_resolve": "medsr.api",
    "write_dicom": "medsr.io",
    "write_volume": "medsr.io",
}

__all__ = [
    "Geometry",
    "Result",
    "UpscaleOptions",
    "Volume",
    "__version__",
    "augment",
    "check",
    "command_segmenter",
    "fuse",
    "load_catalog",
    "measure_segments",
    "read_volume",
    "segment_with",
    "super_resolve",
    "write_dicom",
    "write_volume",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'medsr' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
