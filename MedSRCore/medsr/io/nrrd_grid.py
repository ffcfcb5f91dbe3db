"""The grid that the fields of a NRRD header describe."""

from __future__ import annotations

import math
import re

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InputError
from medsr.geometry import Geometry
from medsr.io.nrrd_fields import Fields, whole
from medsr.io.raster import checked_spacing, grid_of, unit_warnings

# To LPS. The last three say nothing of the patient; they are taken as LPS, as ITK and 3D Slicer do.
_SPACES = {
    "left-posterior-superior": (1, 1, 1), "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1), "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1), "las": (1, -1, 1),
    "scanner-xyz": None, "3d-right-handed": None, "3d-left-handed": None,
}  # fmt: skip


def grid_of_fields(header: Fields, axes: int, spatial: list[int], sizes: list[int]) -> tuple[Geometry, bool, list[str]]:
    """The grid, whether the file says how it lies in the patient, and what a person should know."""
    if "space" in header.fields and "space dimension" in header.fields:
        raise header.error("'space' and 'space dimension' exclude each other")
    if "space" not in header.fields and "space dimension" not in header.fields:
        for name in ("space directions", "space origin"):
            if name in header.fields:
                raise header.error(f"there are {name!r}, but neither 'space' nor 'space dimension'")
        return _without_space(header, axes, spatial, sizes)
    dimension = header.parsed("space dimension", whole, 3)
    signs = header.parsed("space", lambda text: _SPACES[text.lower()]) if "space" in header.fields else None
    if dimension == 3:
        spatial = spatial[:3]  # further ones have one value, and no place in space
    warnings = []
    if signs is None and dimension >= 3:
        warnings.append(
            f"The space of {header.source.name!r} ({header.fields.get('space', 'not named')}) is none of a patient; "
            "its axes were taken as left, posterior, superior."
        )
    units = header.parsed("space units", lambda text: set(re.findall(r'"([^"]*)"', text)), {""})
    warnings += unit_warnings(header.source, units)
    vectors = header.per_axis("space directions", _vectors, axes)
    if vectors is None:
        if header.fields.keys() & {"spacings", "axis mins"}:
            raise header.error("there are spacings, but not the 'space directions' that its space needs")
        spacing, told = checked_spacing(header.source, "space directions", None, len(spatial))
        matrix = np.eye(dimension)[:, : len(spatial)]
        warnings += told
    else:
        matrix, spacing = _matrix(header, [vectors[axis] for axis in spatial], dimension)
    nowhere: list[float] = []
    origin = header.parsed("space origin", _origin, nowhere)
    if not origin:
        origin = [0.0] * dimension
        if len(spatial) > 2:
            warnings.append(
                f"{header.source.name!r} does not say where it lies in the patient (no 'space origin'); the first "
                "voxel was put at 0, 0, 0."
            )
    if len(origin) != dimension or matrix.shape != (dimension, dimension) or dimension > 4:
        raise InputError(
            f"{header.source.name!r} has {len(spatial)} axes in a space of {dimension} dimensions; 2 in 2 and 3 in 3 "
            "are accepted. Export it again."
        )
    turn = np.diag([*(signs or (1, 1, 1)), 1][:dimension])
    grid = grid_of(sizes, spacing, (turn @ np.array(origin)).tolist(), turn @ matrix)
    return grid, signs is not None and vectors is not None, warnings


def _matrix(
    header: Fields, vectors: list[list[float] | None], dimension: int
) -> tuple[NDArray[np.float64], list[float]]:
    """Unit vectors as columns, and their lengths."""
    columns, lengths = [], []
    for letter, vector in zip("xyzt", vectors, strict=False):
        if vector is None or len(vector) != dimension or not 1e-9 < math.hypot(*vector) < math.inf:
            text = "none" if vector is None else f"({','.join(f'{v:g}' for v in vector)})"
            raise InputError(
                f"{header.source.name!r} has the direction {text} along {letter}; {dimension} finite numbers that are "
                "not all zero are accepted. Correct the header, its grid is unknown."
            )
        lengths.append(math.hypot(*vector))
        columns.append(np.array(vector) / lengths[-1])
    return np.column_stack(columns), lengths


def _without_space(header: Fields, axes: int, spatial: list[int], sizes: list[int]) -> tuple[Geometry, bool, list[str]]:
    """A grid from spacings and the position of the first voxel along each axis."""
    stated = header.per_axis("spacings", _floats, axes)
    chosen = [stated[axis] for axis in spatial] if stated else None
    spacing, warnings = checked_spacing(header.source, "spacings", chosen, len(spatial))
    lowest = header.per_axis("axis mins", _floats, axes) or [math.nan] * axes
    centres = header.per_axis("centers", lambda text: text.lower().split(), axes) or ["cell"] * axes
    origin = []
    for number, (axis, step) in enumerate(zip(spatial, spacing, strict=True)):
        if math.isinf(lowest[axis]):
            raise header.error("'axis mins' is infinite")
        if math.isnan(lowest[axis]) or chosen is None or math.isnan(chosen[number]):
            origin.append(0.0)
        else:  # a cell begins half a voxel before its centre
            origin.append(lowest[axis] + (0 if centres[axis] == "node" else step / 2))
    if len(sizes) > 2:
        warnings.append(
            f"{header.source.name!r} does not say how it lies in the patient (no 'space'); its axes were taken as "
            "left, posterior, superior."
        )
    return grid_of(sizes, spacing, origin, np.eye(len(sizes))), False, warnings


def _floats(text: str) -> list[float]:
    return [float(word) for word in text.split()]


def _vectors(text: str) -> list[list[float] | None]:
    """``(1,0,0) none (0,0,2)``."""
    if not re.fullmatch(r"\s*((\([^()]*\)|none)\s*)+", text):
        raise ValueError(text)
    found = re.findall(r"\(([^()]*)\)|none", text)
    return [[float(word) for word in inner.split(",")] if inner else None for inner in found]


def _origin(text: str) -> list[float]:
    """One vector, or nothing where it is not known."""
    (vector,) = _vectors(text)
    return vector or []
