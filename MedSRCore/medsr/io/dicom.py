"""Reading a DICOM file or one series of a folder as a Volume."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from medsr.errors import InputError, ResourceError, UnknownNameError
from medsr.facts import Facts
from medsr.geometry import Geometry
from medsr.io.acquisition_facts import ScanAxes, facts_of
from medsr.io.dicom_acquisition import stated_by
from medsr.io.dicom_headers import Series, Slice, scan
from medsr.io.dicom_stack import Stack, stack
from medsr.io.formats import looks_like_dicom, one_line, unreadable
from medsr.io.itk import quiet
from medsr.volume import MODALITIES, Volume

_NEIGHBOURS_ASKED = 6


def read_dicom(source: Path, series: str | None = None) -> Volume:
    """A DICOM series as a Volume, its slices ordered by position and rescaled (CT: Hounsfield units).

    Args:
        source: a file, or a folder that is searched with its subfolders.
        series: number in the list of series, or UID; needed where the folder holds several.

    Raises:
        UnknownNameError: there is no such series.
        InputError: several series and no choice, no image, or one that is no regular volume.
    """
    chosen = choose(scan(source), series, source)
    stacked = _stacked(chosen)
    facts, told = _facts(chosen, stacked)
    warnings = [*stacked.warnings, *told]
    if source.is_file() and not chosen.multiframe and _is_one_of_many(source, chosen.uid):
        warnings.append(
            f"{source.name!r} is one slice of a series whose other slices lie beside it. Pass the folder for the "
            "volume."
        )
    return Volume(
        _pixels(stacked.slices),
        stacked.geometry,
        modality=chosen.modality if chosen.modality in MODALITIES else None,
        facts=facts,
        planar=len(stacked.slices) == 1,
        warnings=tuple(warnings),
        source=str(source),
        metadata=chosen.metadata,
    )


def dicom_geometry(source: Path, series: str | None = None) -> Geometry:
    """The grid of a DICOM series; no pixel is read."""
    return _stacked(choose(scan(source), series, source)).geometry


def list_series(source: Path) -> list[dict[str, Any]]:
    """What there is in a folder: one JSON object per series, numbered as ``--series`` takes them."""
    return [_summary(number, series) for number, series in enumerate(scan(source), start=1)]


def choose(found: Sequence[Series], wanted: str | None, source: Path) -> Series:
    """The series with the number or UID `wanted`; without a wish, the only one there is."""
    if wanted is None:
        if len(found) == 1:
            return found[0]
        raise InputError(
            f"{str(source)!r} holds {len(found)} DICOM series. Choose one with --series NUMBER or --series UID:\n"
            f"{_listing(found)}"
        )
    wish = str(wanted).strip()
    if wish.isdecimal() and 1 <= int(wish) <= len(found):
        return found[int(wish) - 1]
    for series in found:
        if series.uid == wish:
            return series
    raise UnknownNameError(f"There is no series {wish!r} in {str(source)!r}. There are:\n{_listing(found)}")


def _listing(found: Sequence[Series]) -> str:
    lines = []
    for number, series in enumerate(found, start=1):
        about = _summary(number, series)
        size, spacing = about["size_xy"], about["pixel_spacing_xy_mm"]
        thickness = about["slice_thickness_mm"]
        parts = [
            about["modality"] or "no modality",
            about["description"] or "no description",
            f"{about['slices']} slice{'s' if about['slices'] != 1 else ''}",
            f"{size[0]} x {size[1]}",
            f"{spacing[0]:.4g} x {spacing[1]:.4g} mm" if spacing else "spacing unknown",
            f"thickness {thickness:g} mm" if thickness else "thickness unknown",
            about["uid"],
        ]
        lines.append(f"  {number}: {', '.join(parts)}")
    return "\n".join(lines)


def _summary(number: int, series: Series) -> dict[str, Any]:
    first = series.slices[0]
    return {
        "number": number,
        "modality": series.modality,
        "description": series.description,
        "slices": len(series.slices),
        "size_xy": list(first.size_xy),
        "pixel_spacing_xy_mm": list(first.spacing_xy) if first.spacing_xy else None,
        "slice_thickness_mm": first.thickness,
        "uid": series.uid,
    }


def _stacked(series: Series) -> Stack:
    if series.multiframe and series.files > 1:
        raise InputError(
            f"Series {series.description or series.uid!r} consists of {series.files} multi-frame files. One is "
            "accepted: pass the file itself instead of the folder."
        )
    return stack(series)


def _facts(series: Series, stacked: Stack) -> tuple[Facts, tuple[str, ...]]:
    """What the header of the series says about the axes of its grid."""
    grid = stacked.geometry
    only = stacked.slices[0]
    x, y, z = (float(v) for v in np.array(grid.direction).reshape(3, 3)[:, 2])
    stated = stated_by(series.header, (x, y, z) if only.orientation else None, grid.spacing_xyz_mm[2])
    padding, rescales = stated.padding, {s.rescale or (1.0, 0.0) for s in stacked.slices}
    if padding is not None:
        # Slices that are scaled differently have no common intensity for it.
        slope, intercept = rescales.pop()
        padding = None if rescales else (padding[0] * slope + intercept, padding[1] * slope + intercept)
    stated = dataclasses.replace(stated, thickness_mm=stacked.thickness_mm or stated.thickness_mm, padding=padding)
    return facts_of(stated, ScanAxes(), grid)


def _is_one_of_many(source: Path, uid: str) -> bool:
    """True when one of the next files in the folder is of the same series."""
    asked = 0
    for path in sorted(source.parent.iterdir()):
        if path == source or not path.is_file() or not looks_like_dicom(path):
            continue
        try:
            if scan(path)[0].uid == uid:
                return True
        except InputError:
            pass
        asked += 1
        if asked == _NEIGHBOURS_ASKED:
            break
    return False


def _pixels(slices: Sequence[Slice]) -> NDArray[np.generic]:
    """Rescaled voxels ``(z, y, x)`` or ``(z, y, x, 3)`` in the order of `slices`."""
    whole = all(s.rescale is None or all(v.is_integer() for v in s.rescale) for s in slices)
    try:
        if len({s.path for s in slices}) == 1:
            if len({s.rescale for s in slices}) > 1:
                raise InputError(
                    f"The frames of {slices[0].path.name!r} are scaled differently (rescale slope and intercept), "
                    "which is not supported for multi-frame files. Convert it to single frames first."
                )
            frames = _decoded(slices[0])
            if len(frames) != max(s.frame for s in slices) + 1:
                raise InputError(
                    f"{slices[0].path.name!r} has {len(frames)} frames, its header describes {len(slices)}."
                )
            return _compact(frames[[s.frame for s in slices]], whole)
        planes = [_compact(_decoded(s), whole) for s in slices]
        if len({p.shape for p in planes}) > 1:
            raise InputError("The slices of this series differ in shape or colour, so they form no single volume.")
        return _compact(np.concatenate(planes), whole)
    except MemoryError as error:
        raise ResourceError(f"The series of {len(slices)} slices does not fit into memory.") from error


def _decoded(one: Slice) -> NDArray[np.generic]:
    """Voxels of a file ``(frames, y, x)`` or ``(frames, y, x, 3)``, rescaled by GDCM."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(one.path))
    with quiet():
        try:
            image = reader.Execute()
        except RuntimeError as error:
            if "allocate" in one_line(error):
                raise ResourceError(f"{one.path.name!r} does not fit into memory.") from error
            raise unreadable(one.path, "DICOM", error) from error
    components = image.GetNumberOfComponentsPerPixel()
    if components not in (1, 3):
        raise InputError(f"{one.path.name!r} has {components} values per pixel; grey and RGB are accepted.")
    array: NDArray[np.generic] = sitk.GetArrayFromImage(image)
    array = array[None] if image.GetDimension() == 2 else array
    if (array.shape[2], array.shape[1]) != one.size_xy:
        raise InputError(f"{one.path.name!r} is corrupt: its pixels do not have the size that its header gives.")
    return array


def _compact(array: NDArray[np.generic], whole: bool) -> NDArray[np.generic]:
    """The narrow type that holds the same values: GDCM widens to 32 bit integers and 64 bit reals."""
    if array.dtype.kind == "f":
        if not whole:
            return array.astype(np.float32)
        array = np.rint(array).astype(np.int64)
    if array.dtype.itemsize > 2:
        for dtype in (np.int16, np.uint16, np.int32):
            if np.iinfo(dtype).min <= int(array.min()) and int(array.max()) <= np.iinfo(dtype).max:
                return array.astype(dtype)
    return array
