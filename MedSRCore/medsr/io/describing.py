"""What there is to say about an image file, as ``medsr info`` prints it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.geometry import Geometry
from medsr.io.dicom.reading import list_series
from medsr.io.formats import READABLE, StrPath, existing_input, reader_of, suffix_of
from medsr.io.reading import read_volume
from medsr.notices import disagreements
from medsr.volume import Volume

_SAMPLE = 2_000_000
_PERCENTILES = (1, 50, 99)


def describe(
    path: StrPath, series: str | None = None, judge: Callable[[Volume], Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """Everything about an image as plain values, ready for JSON.

    A DICOM folder with several series and no `series` gives only its format and the list ``series``; otherwise the
    keys are format, path, size_xyz, spacing_xyz_mm, origin_mm, direction, axes, dtype, channels, planar, intensity,
    modality, modality_from, facts, anisotropy, warnings and metadata.

    Args:
        path: as for `read_volume`.
        series: number or UID of a DICOM series.
        judge: tells more of the volume; its keys are added.

    Raises:
        As `read_volume`.
    """
    source = existing_input(path)
    is_dicom = reader_of(source) == "dicom"
    about: dict[str, Any] = {"path": str(source), "format": "DICOM" if is_dicom else READABLE[suffix_of(source)][0]}
    if is_dicom:
        found = list_series(source)
        if series is None and len(found) > 1:
            return {**about, "series": found}
        about["series"] = found
    volume = read_volume(source, series=series, as_acquired=True)
    return {**about, **describe_volume(volume), **(judge(volume) if judge else {})}


def describe_volume(volume: Volume) -> dict[str, Any]:
    """What there is to say about a volume in memory, ready for JSON."""
    grid = volume.geometry
    stated = volume.facts.get("modality")
    return {
        "size_xyz": list(grid.size_xyz),
        "spacing_xyz_mm": [float(s) for s in grid.spacing_xyz_mm],
        "origin_mm": [float(v) for v in grid.origin_mm],
        "direction": [float(v) for v in grid.direction],
        "axes": axis_letters(grid),
        **({} if grid.shear is None else {"tilt_degrees": round(grid.shear.degrees, 4)}),
        "dtype": str(volume.array.dtype),
        "channels": volume.channels,
        "planar": volume.planar,
        "intensity": _intensity(volume.array),
        "modality": volume.modality or (stated.value if stated else None),
        "modality_from": stated.source if stated else "header" if volume.modality else "not stated in the file",
        "facts": volume.facts.to_json(),
        "anisotropy": _anisotropy(volume),
        "warnings": [*volume.warnings, *map(str, disagreements(volume.facts))],
        "metadata": dict(volume.metadata),
    }


def axis_letters(geometry: Geometry) -> str:
    """Where the grid axes x, y and z point to: ``LPS`` for left, posterior, superior.

    Of an oblique grid, each letter is the nearest patient axis that no other grid axis is nearer to.
    """
    matrix = np.array(geometry.direction).reshape(3, 3)
    letters = ["", "", ""]
    left = np.abs(matrix)
    for _ in range(3):
        patient, axis = np.unravel_index(int(np.argmax(left)), (3, 3))
        letters[int(axis)] = ("LR", "PA", "SI")[int(patient)][int(matrix[patient, axis] < 0)]
        left[patient, :] = -1
        left[:, axis] = -1
    return "".join(letters)


def _anisotropy(volume: Volume) -> float:
    """Coarsest over finest spacing; of a planar image within the plane."""
    spacing = volume.geometry.spacing_xyz_mm[: 2 if volume.planar else 3]
    return round(max(spacing) / min(spacing), 4)


def _intensity(array: NDArray[np.generic]) -> dict[str, float | int | None]:
    """Smallest, largest, and percentiles (of an even sample when there are many voxels) of the finite values."""
    flat = array.reshape(-1)
    finite = flat[np.isfinite(flat)] if array.dtype.kind == "f" else flat
    result: dict[str, float | int | None] = {"not_finite": int(flat.size - finite.size)}
    if finite.size == 0:
        return {**result, "min": None, "max": None, **{f"p{p}": None for p in _PERCENTILES}}
    sample = finite[:: max(1, math.ceil(finite.size / _SAMPLE))].astype(np.float64)
    result |= {"min": _plain(finite.min()), "max": _plain(finite.max())}
    values = np.percentile(sample, _PERCENTILES)
    return {**result, **{f"p{p}": float(v) for p, v in zip(_PERCENTILES, values, strict=True)}}


def _plain(value: Any) -> float | int:
    return float(value) if isinstance(value, np.floating) else int(value)
