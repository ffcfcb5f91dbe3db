"""What one DICOM instance says about a grid that another program, such as 3D Slicer, made of its series.

The grid may have been cropped, resampled or turned since, so its axes are found by the directions that the header
states. The instance is a file, or what a database kept of it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medsr.facts import AXES, Facts
from medsr.geometry import Geometry
from medsr.io.acquisition_facts import facts_of
from medsr.io.dicom import acquisition, elements, words
from medsr.io.dicom.elements import pydicom_module
from medsr.io.dicom.headers import scan
from medsr.io.dicom.padding import rescaled_padding
from medsr.io.dicom.slices import Slice, plain_slice
from medsr.io.formats import StrPath, existing_input
from medsr.io.stated import ScanAxes

_PARALLEL = 0.999
_UNIT = 0.01  # headers round
_LARGEST = 65535
_NUMBERS = ("DS", "FD", "FL", "IS", "SL", "SS", "UL", "US", "US or SS")
_OF_THE_GRID = (
    "Modality", "Rows", "Columns", "PixelSpacing", "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept",
)  # fmt: skip


def instance_facts(path: StrPath, grid: Geometry, *, source: str = "header") -> tuple[Facts, tuple[str, ...]]:
    """What the header of a file says about the axes of a grid.

    Args:
        path: a DICOM file of the series that the grid was made of.
        grid: its axes lie along the rows, columns and normal of the slices, in any order; else only what holds for the
            whole volume is said.
        source: of the facts, a name of `medsr.facts.SOURCES`.

    Returns:
        The facts, and sentences that a person should read, as `read_volume` has them in its warnings.

    Raises:
        InputNotFoundError: there is no such file.
        InputError: it is no DICOM image, or corrupt.
        MissingDependencyError: pydicom is not installed.
    """
    series = scan(existing_input(path))[0]
    return _facts(series.header, series.slices[0], grid, source)


def database_tags() -> dict[str, str]:
    """Keyword -> tag (``"0018,0050"``) of the elements that `database_facts` reads; all are public, none personal."""
    tag_of = pydicom_module().datadict.tag_for_keyword
    keywords = [*_OF_THE_GRID, *(tag for tag in acquisition.TAGS if isinstance(tag, str))]
    tags = {keyword: int(tag_of(keyword)) for keyword in keywords}
    return {keyword: f"{tag >> 16:04X},{tag & 0xFFFF:04X}" for keyword, tag in tags.items()}


def database_facts(
    texts: Mapping[str, str], grid: Geometry, *, source: str = "header"
) -> tuple[Facts, tuple[str, ...]]:
    r"""As `instance_facts`, from what a database kept of an instance.

    Args:
        texts: keyword -> text, several values with ``\`` between, as DICOM writes them. What is not there is unknown.
        grid: as for `instance_facts`; where the orientation is not there, z counts as across the slices.
        source: as for `instance_facts`.
    """
    header = {keyword: _value(keyword, text) for keyword, text in texts.items() if text}
    size = (elements.whole(header, "Columns"), elements.whole(header, "Rows"))
    return _facts(header, plain_slice(Path(), header, size), grid, source)


def _value(keyword: str, text: str) -> Any:
    """What pydicom would make of an element's text; None for numbers that are none."""
    datadict = pydicom_module().datadict
    tag = datadict.tag_for_keyword(keyword)
    if tag is None or datadict.dictionary_VR(tag) not in _NUMBERS:
        return text
    try:
        numbers = [float(part) for part in text.split("\\")]
    except ValueError:
        return None
    return numbers[0] if len(numbers) == 1 else numbers


def _facts(header: Any, only: Slice, grid: Geometry, source: str) -> tuple[Facts, tuple[str, ...]]:
    axes = ScanAxes() if only.orientation is None else _axes_of(only.orientation, grid)
    if axes is None:
        return _of_the_whole(header, only, source)
    across = AXES.index(axes.across)
    x, y, z = (float(v) for v in np.array(grid.direction).reshape(3, 3)[:, across])
    normal = None if only.orientation is None else (x, y, z)
    stated = acquisition.stated_by(header, normal, grid.spacing_xyz_mm[across])
    padding = rescaled_padding(stated.padding, only.rescale)
    thickness = only.thickness or stated.thickness_mm
    warnings = (*stated.warnings, *words.negative(header))
    stated = dataclasses.replace(stated, source=source, thickness_mm=thickness, padding=padding, warnings=warnings)
    return facts_of(stated, axes, _as_acquired(grid, axes, only))


def _of_the_whole(header: Any, only: Slice, source: str) -> tuple[Facts, tuple[str, ...]]:
    """What holds for a grid whose axes are not those of the slices."""
    stated = acquisition.stated_by(header, None, None)
    turned = dataclasses.replace(
        stated,
        source=source,
        thickness_mm=None,
        collimation_mm=None,
        reformatted=True,
        padding=rescaled_padding(stated.padding, only.rescale),
    )
    return facts_of(turned, ScanAxes(), Geometry((1, 1, 1)))


def _axes_of(orientation: Sequence[float], grid: Geometry) -> ScanAxes | None:
    """Which grid axes lead along the rows, down the columns and across the slices; None for a turned grid."""
    directions = np.array(grid.direction).reshape(3, 3)
    along = []
    for vector in (orientation[:3], orientation[3:]):
        length = math.hypot(*vector)
        if abs(length - 1) > _UNIT:
            return None
        share = np.abs(np.array(vector) @ directions) / length
        best = int(np.argmax(share))
        if share[best] < _PARALLEL:
            return None
        along.append(best)
    row, column = along
    if row == column:
        return None
    return ScanAxes(AXES[row], AXES[column], AXES[3 - row - column])


def _as_acquired(grid: Geometry, axes: ScanAxes, only: Slice) -> Geometry:
    """`grid` with the extent of the image in the header: an acquired matrix covers all of it, whatever was cut off."""
    lengths = only.spacing_xy or (0.0, 0.0)
    if not all(0 < pixels <= _LARGEST for pixels in only.size_xy) or not all(0 < mm <= _LARGEST for mm in lengths):
        return grid
    size = list(grid.size_xyz)
    for name, pixels, pixel_mm in zip((axes.row, axes.column), only.size_xy, lengths, strict=True):
        axis = AXES.index(name)
        size[axis] = max(1, round(pixels * pixel_mm / grid.spacing_xyz_mm[axis]))
    return dataclasses.replace(grid, size_xyz=(size[0], size[1], size[2]))
