"""A DICOM series with several images in each place (time points, echoes, diffusion) as one volume after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from medsr.errors import InputError
from medsr.io.dicom import elements
from medsr.io.dicom.diffusion import gradient_files
from medsr.io.dicom.headers import Series, names
from medsr.io.dicom.reading import volume_of
from medsr.io.dicom.slices import ORDER, Slice
from medsr.io.dicom.stack import axes_of, common_plane, in_one_place
from medsr.io.nifti_writing import TimeAxis
from medsr.volume import Volume

_SECONDS = 8
_IDENTITY = (1.0, 0.0)


class DicomFrames:
    """The volumes of a series, read one at a time.

    Attributes:
        source: the folder or file.
        count: how many there are.
        time: what the fourth axis of a file with all of them is.
    """

    def __init__(self, series: Series, frames: Sequence[Sequence[Slice]], source: Path, told: Sequence[str]) -> None:
        self._series, self._frames, self._told = series, frames, tuple(told)
        self.source, self.count = source, len(frames)
        self.time = TimeAxis(_seconds_apart(series), _SECONDS)
        # Of the image that is written, which has the axes of the series.
        axes = np.stack(axes_of(common_plane(series)[0]), axis=1)
        self._gradients, doubts = gradient_files([[one.diffusion for one in frame] for frame in frames], axes)
        self._told += doubts

    @property
    def beside(self) -> Mapping[str, Path]:
        """Nothing lies beside DICOM."""
        return {}

    def companions(self) -> Mapping[str, str]:
        """b-values and directions, as the headers state them."""
        return self._gradients

    def __iter__(self) -> Iterator[Volume]:
        kinds = {
            (one.rescale or _IDENTITY, one.stored.signed, one.stored.bits_allocated)
            for frame in self._frames
            for one in frame
            if one.stored is not None
        }
        # A single volume gets the narrowest type that holds it; the volumes of one file share one.
        plain = len(kinds) == 1 and next(iter(kinds))[0] == _IDENTITY
        for slices in self._frames:
            volume = volume_of(replace(self._series, slices=list(slices)), self.source, as_acquired=True)
            array = volume.array if plain else volume.array.astype(np.float32, copy=False)
            told = self._told if self.time.step else (*self._told, _NO_TIME)
            yield volume.replace(array=array, warnings=(*told, *volume.warnings))


_NO_TIME = "The header does not say how far apart in time the volumes are; the file that is written leaves it open."


def frames_of(series: Series) -> list[list[Slice]] | None:
    """The slices of each volume; None where each place holds one image, or is not known.

    Raises:
        InputError: places that lack images, or images that nothing tells apart.
    """
    slices = series.slices
    if len(slices) < 2 or any(one.position is None or one.orientation is None for one in slices):
        return None
    normal = axes_of(common_plane(series)[0])[2]
    along = np.array([one.position for one in slices]) @ normal
    order = np.argsort(along, kind="stable")
    same = in_one_place(along[order])
    if not same.any():
        return None
    places: list[list[Slice]] = [[slices[order[0]]]]
    for index, together in zip(order[1:], same, strict=True):
        places[-1:] = [[*places[-1], slices[index]]] if together else [places[-1], [slices[index]]]
    _check_counts(places, along[order][np.concatenate([[True], ~same])])
    for key in range(len(ORDER)):
        if _tells_apart(places, key):
            in_order = [sorted(place, key=lambda one: one.order[key] or 0.0) for place in places]
            return [list(frame) for frame in zip(*in_order, strict=True)]
    raise InputError(
        f"The series holds {len(places[0])} images in each of {len(places)} places, and neither time, acquisition, "
        "echo, b-value nor number tells which belong together. Put the images of each into a folder of their own."
    )


def _check_counts(places: Sequence[Sequence[Slice]], heights: Sequence[float]) -> None:
    counts = [len(place) for place in places]
    usual = max(set(counts), key=lambda n: (counts.count(n), n))
    wrong = [n for n, count in enumerate(counts) if count != usual]
    if wrong:
        first = wrong[0]
        raise InputError(
            f"The series holds {sum(counts)} images at {len(places)} positions: {usual} at most of them, but "
            f"{counts[first]} at {heights[first]:.2f} mm along the slice normal ({names(places[first])})"
            f"{f' and {len(wrong) - 1} further ones' if len(wrong) > 1 else ''}. Whole volumes are accepted: add what "
            "is missing, or leave the volume out that lacks it."
        )


def _tells_apart(places: Sequence[Sequence[Slice]], key: int) -> bool:
    """True where an element differs between the images of each place, and but for their numbers everywhere alike."""
    values = [{one.order[key] for one in place if one.order} for place in places]
    whole = all(None not in found and len(found) == len(place) for found, place in zip(values, places, strict=True))
    return whole and (key == len(ORDER) - 1 or all(found == values[0] for found in values))


def _seconds_apart(series: Series) -> float:
    """Of volumes that follow each other; 0 where the header does not say."""
    resolution = elements.positive(series.header, "TemporalResolution")
    if resolution is not None:
        return resolution / 1000
    # A repetition takes one volume in echo-planar imaging alone.
    repetition = elements.positive(series.header, "RepetitionTime")
    return repetition / 1000 if repetition and "EP" in elements.words(series.header, "ScanningSequence") else 0.0
