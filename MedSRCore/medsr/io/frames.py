"""One call for what a job may be given: a volume, or a file or series of several volumes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from medsr.geometry import Geometry
from medsr.io.dicom.frames import DicomFrames, frames_of
from medsr.io.dicom.headers import scan
from medsr.io.dicom.reading import checked, choose, read_series
from medsr.io.dicom.stack import stack
from medsr.io.formats import StrPath, existing_input, reader_of
from medsr.io.nifti import read_header
from medsr.io.nifti_frames import nifti_frames
from medsr.io.nifti_writing import TimeAxis
from medsr.io.reading import read_geometry, read_volume, with_doubts
from medsr.volume import Volume


class Frames(Protocol):
    """Several volumes on one grid, read one at a time.

    Attributes:
        source: file or folder.
        count: how many volumes.
        time: what the fourth axis of a file with all of them is.
    """

    source: Path
    count: int
    time: TimeAxis

    @property
    def beside(self) -> Mapping[str, Path]:
        """Extension -> file that `companions` reads."""
        ...

    def companions(self) -> Mapping[str, str]:
        """Extension -> text of what belongs beside the source and stays true of an enlarged copy."""
        ...

    def __iter__(self) -> Iterator[Volume]: ...


def read_input(path: StrPath, series: str | None = None) -> Volume | Frames:
    """As `read_volume`, with slices as they were acquired; several volumes where the input holds several.

    Raises:
        InputError: as `read_volume`, or volumes that are not complete.
    """
    source = existing_input(path)
    kind = reader_of(source)
    if kind == "nifti":
        return nifti_frames(source) or read_volume(source, series=series, as_acquired=True)
    if kind != "dicom":
        return read_volume(source, series=series)
    chosen, told = checked(choose(scan(source), series, source))
    frames = frames_of(chosen)
    if frames is not None:
        return DicomFrames(chosen, frames, source, told)
    return with_doubts(read_series(chosen, source, told, as_acquired=True))


def read_input_geometry(path: StrPath, series: str | None = None) -> Geometry:
    """The grid of what `read_input` gives, of several volumes that of each; no voxel is read.

    Raises:
        InputError: as `read_input`.
    """
    source = existing_input(path)
    kind = reader_of(source)
    if kind == "nifti":
        return read_header(source, several=True, sheared=True).geometry
    if kind != "dicom":
        return read_geometry(source, series=series)
    chosen, _ = checked(choose(scan(source), series, source))
    frames = frames_of(chosen)
    one = chosen if frames is None else replace(chosen, slices=frames[0])
    return stack(one, as_acquired=True).geometry
