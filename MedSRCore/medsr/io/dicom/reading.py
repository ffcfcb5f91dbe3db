"""Reading a DICOM file or one series of a folder as a Volume."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medsr.errors import InputError, UnknownNameError
from medsr.facts import Facts
from medsr.geometry import Geometry
from medsr.io.acquisition_facts import facts_of
from medsr.io.dicom.acquisition import stated_by
from medsr.io.dicom.copies import without_copies
from medsr.io.dicom.headers import Series, damage_error, scan
from medsr.io.dicom.padding import Range
from medsr.io.dicom.stack import Stack, stack
from medsr.io.dicom.values import intensities
from medsr.io.formats import looks_like_dicom
from medsr.io.stated import ScanAxes
from medsr.volume import MODALITIES, Volume

_NEIGHBOURS_ASKED = 6


def read_dicom(source: Path, series: str | None = None, *, as_acquired: bool = False) -> Volume:
    """A DICOM series as a Volume, its slices ordered by position and rescaled (CT: Hounsfield units).

    Args:
        source: a file, or a folder that is searched with its subfolders.
        series: number in the list of series, or UID; needed where the folder holds several.
        as_acquired: accept slices that were stacked beside their normal (gantry tilt), lie unevenly or are missing.

    Raises:
        UnknownNameError: there is no such series.
        InputError: several series and no choice, no image, or one that is no regular volume.
    """
    chosen, told = checked(choose(scan(source), series, source))
    return read_series(chosen, source, told, as_acquired=as_acquired)


def read_series(chosen: Series, source: Path, told: Sequence[str], *, as_acquired: bool) -> Volume:
    """As `read_dicom`, of a series that was checked; `told` is what to say of that."""
    volume = volume_of(chosen, source, as_acquired=as_acquired)
    alone: tuple[str, ...] = ()
    if source.is_file() and not chosen.multiframe and _is_one_of_many(source, chosen.uid):
        alone = (
            f"{source.name!r} is one slice of a series whose other slices lie beside it. Pass the folder for the "
            "volume.",
        )
    return volume.replace(warnings=(*told, *volume.warnings, *alone))


def volume_of(chosen: Series, source: Path, *, as_acquired: bool) -> Volume:
    """The volume of slices that were checked."""
    stacked = stack(chosen, as_acquired=as_acquired)
    voxels = intensities(stacked.slices, chosen.modality)
    facts, told = _facts(chosen, stacked, voxels.padding)
    warnings = [*stacked.warnings, *voxels.warnings, *told]
    return Volume(
        voxels.array,
        stacked.geometry,
        modality=chosen.modality if chosen.modality in MODALITIES else None,
        facts=facts,
        planar=len(stacked.slices) == 1,
        places=stacked.places,
        warnings=tuple(warnings),
        source=str(source),
        files=tuple(dict.fromkeys(one.path for one in chosen.slices)),
        metadata=chosen.metadata,
    )


def dicom_geometry(source: Path, series: str | None = None) -> Geometry:
    """The grid of a DICOM series; no pixel is decoded."""
    return stack(checked(choose(scan(source), series, source))[0]).geometry


def list_series(source: Path) -> list[dict[str, Any]]:
    """What there is in a folder: one JSON object per series, numbered as ``--series`` takes them."""
    return [_summary(number, series) for number, series in enumerate(scan(source), start=1)]


def choose(found: Sequence[Series], wanted: str | None, source: Path) -> Series:
    """The series with the number or UID `wanted`; without a wish, the only one there is."""
    if wanted is None:
        if len(found) == 1:
            return found[0]
        raise InputError(
            f"{str(source)!r} holds {len(found)} DICOM series. Choose one with --series NUMBER or --series UID, or "
            f"take each with --all:\n"
            f"{_listing(found)}"
        )
    wish = str(wanted).strip()
    if wish.isdecimal() and len(wish) < 10 and 1 <= int(wish) <= len(found):
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


def checked(series: Series) -> tuple[Series, list[str]]:
    """A series without copies of slices, and what to say of these.

    Raises:
        InputError: damaged files, or several multi-frame files.
    """
    if series.damaged:
        # Without them the volume would be shorter than what was scanned, and nothing in it would show that.
        error = damage_error(series.damaged)
        raise InputError(
            f"{error} {'It belongs' if len(series.damaged) == 1 else 'They belong'} to series "
            f"{series.description or series.uid!r} or may do so; move what is none of its slices to another folder."
        )
    slices, told = without_copies(series.slices)
    files = len({one.path for one in slices})
    if series.multiframe and files > 1:
        raise InputError(
            f"Series {series.description or series.uid!r} consists of {files} multi-frame files. One is "
            "accepted: pass the file itself instead of the folder."
        )
    return dataclasses.replace(series, slices=slices), told


def _facts(series: Series, stacked: Stack, padding: Range | None) -> tuple[Facts, tuple[str, ...]]:
    """What the header of the series says about the axes of its grid."""
    grid = stacked.geometry
    only = stacked.slices[0]
    x, y, z = (float(v) for v in np.array(grid.direction).reshape(3, 3)[:, 2])
    stated = stated_by(series.header, (x, y, z) if only.orientation else None, grid.spacing_xyz_mm[2])
    stated = dataclasses.replace(stated, thickness_mm=stacked.thickness_mm or stated.thickness_mm, padding=padding)
    return facts_of(stated, ScanAxes(), grid)


def _is_one_of_many(source: Path, uid: str) -> bool:
    """True when one of the next files in the folder is of the same series."""
    asked = 0
    try:
        beside = sorted(source.parent.iterdir())
    except OSError:  # the file may be read, its folder not
        return False
    for path in beside:
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
