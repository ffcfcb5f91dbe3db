"""All pictures of one trial, small and ready to be shown: windowed, coloured, encoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.evaluation.planes import Box, Picture, Plane, centre_of_interest, planes_of, richest_patch
from medsr.evaluation.png import (
    data_uri,
    difference_indices,
    difference_palette,
    grey_levels,
    grey_png,
    palette_png,
)
from medsr.evaluation.rows import Row
from medsr.evaluation.run import Trial
from medsr.evaluation.scoring import grey
from medsr.volume import Volume

_MAX_PIXELS = 300
_PATCH_SHARE, _PATCH_MIN = 0.3, 40
_CT_LUNG, _CT_SOFT = (-1350.0, 150.0), (-160.0, 240.0)


@dataclass(frozen=True)
class View:
    """One line of pictures: a plane, or the patch of it.

    Attributes:
        title: "axial", "coronal, patch", ...
        height_mm: of the region shown, in patient space.
        width_mm: likewise.
        letters: top, right, bottom, left; empty where unknown or for a patch.
        images: column -> data URI. Columns are "reference", "input" and the models.
        differences: column -> data URI of the map of ``column - reference``; empty where none is shown.
        patch: where the patch lies in this view as fractions (top, left, height, width), or None.
        is_patch: True when pixels should be shown as they are.
    """

    title: str
    height_mm: float
    width_mm: float
    letters: tuple[str, ...]
    images: Mapping[str, str]
    differences: Mapping[str, str]
    patch: tuple[float, float, float, float] | None = None
    is_patch: bool = False

    @property
    def bytes(self) -> int:
        """Length of the encoded pictures."""
        return sum(map(len, (*self.images.values(), *self.differences.values())))


@dataclass(frozen=True)
class Plate:
    """The pictures and figures of one case of one volume.

    Attributes:
        volume: name of the subject.
        case: label of the case.
        description: case, grids and window in words.
        columns: "reference", "input" and the models that gave a result.
        window: intensities shown as black and as white.
        limit: difference that has the strongest colour, in units of the image.
        views: lines of pictures.
        rows: the figures.
        captions: column -> words below its name, instead of the figures of `rows`.
    """

    volume: str
    case: str
    description: str
    columns: tuple[str, ...]
    window: tuple[float, float]
    limit: float
    views: tuple[View, ...]
    rows: tuple[Row, ...] = field(default=())
    captions: Mapping[str, str] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """Length of the encoded pictures."""
        return sum(view.bytes for view in self.views)


def make_plate(
    trial: Trial, centre: tuple[float, float, float] | None = None, window: tuple[float, float] | None = None
) -> Plate:
    """Cut, window and encode the pictures of `trial`. All columns share one window and one scale of differences.

    Colours are shown as their mean.

    Args:
        trial: the images.
        centre: where to cut, as fractions along the array axes; the middle of the object when None.
        window: intensities of black and white; chosen by the reference when None.
    """
    reference = trial.reference.replace(array=grey(trial.reference.array))
    columns: dict[str, NDArray[Any]] = {"reference": reference.array, "input": grey(trial.measured.array)}
    columns.update({model: grey(result.array) for model, result in trial.results.items()})
    window = window or choose_window(reference)
    centre = centre or centre_of_interest(reference)
    planes = planes_of(reference)
    cuts = {plane.name: {c: plane.cut(a, centre[plane.across]) for c, a in columns.items()} for plane in planes}
    limit = _difference_limit(cuts, window)
    detailed = _most_degraded(planes, reference, trial.measured)
    views: list[View] = []
    for plane in planes:
        pictures = cuts[plane.name]
        box = _patch_box(pictures["reference"]) if plane is detailed else None
        views.append(_view(plane, plane.name, pictures, window, limit, box=box))
        if box is not None:
            views.append(_patch_view(plane, pictures, box, window, limit))
    description = (
        f"{trial.description}: {trial.measured.geometry.describe()} enlarged to {reference.geometry.describe()}. "
        f"Window {window[0]:.5g} to {window[1]:.5g}."
    )
    return Plate(trial.volume, trial.case, description, tuple(columns), window, limit, tuple(views), tuple(trial.rows))


def choose_window(volume: Volume) -> tuple[float, float]:
    """Intensities to show as black and white: the usual lung or soft-tissue window for CT, percentiles for MR."""
    sample = volume.array.reshape(-1)[:: max(1, volume.array.size // 1_000_000)].astype(np.float64)
    if volume.modality == "CT":
        lung = float(np.mean((sample > -950) & (sample < -600)))
        return _CT_LUNG if lung > 0.08 else _CT_SOFT
    low = float(sample.min())
    above = sample[sample > low + 0.05 * (float(sample.max()) - low)]
    high = float(np.percentile(above, 99.5)) if above.size else low
    return (low, high if high > low else low + 1.0)


def _view(
    plane: Plane,
    title: str,
    pictures: Mapping[str, Picture],
    window: tuple[float, float],
    limit: float,
    *,
    box: Box | None = None,
    is_patch: bool = False,
    share: tuple[float, float] = (1.0, 1.0),
) -> View:
    truth = pictures["reference"]
    palette = difference_palette()
    images, differences = {}, {}
    for column, picture in pictures.items():
        images[column] = data_uri(grey_png(grey_levels(_fitted(picture), *window)))
        if column != "reference":
            error = _nearest(picture, truth.shape) - truth
            differences[column] = data_uri(palette_png(difference_indices(_fitted(error), limit), palette))
    rows, columns = truth.shape
    patch = None if box is None else (box[0] / rows, box[1] / columns, box[2] / rows, box[3] / columns)
    return View(
        title=title,
        height_mm=plane.size_mm[0] * share[0],
        width_mm=plane.size_mm[1] * share[1],
        letters=() if is_patch else plane.letters,
        images=images,
        differences=differences,
        patch=patch,
        is_patch=is_patch,
    )


def _patch_view(
    plane: Plane, pictures: Mapping[str, Picture], box: Box, window: tuple[float, float], limit: float
) -> View:
    """The patch of every column; the input is brought to the pixels of the reference first, to be cut alike."""
    row, column, height, width = box
    shape = pictures["reference"].shape
    patches = {
        name: np.ascontiguousarray(_nearest(p, shape)[row : row + height, column : column + width])
        for name, p in pictures.items()
    }
    share = (height / shape[0], width / shape[1])
    return _view(plane, f"{plane.name}, detail", patches, window, limit, is_patch=True, share=share)


def _patch_box(picture: Picture) -> Box:
    side = [max(_PATCH_MIN, round(_PATCH_SHARE * n)) for n in picture.shape]
    return richest_patch(picture, (side[0], side[1]))


def _most_degraded(planes: list[Plane], reference: Volume, measured: Volume) -> Plane:
    """The plane that shows the axis that lost most, held as upright as the order of planes gives it."""
    lost = [fine / coarse for fine, coarse in zip(reference.array.shape, measured.array.shape[:3], strict=True)]
    return max(planes, key=lambda p: round(lost[p.down] * lost[p.right], 3))


def _difference_limit(cuts: Mapping[str, Mapping[str, Picture]], window: tuple[float, float]) -> float:
    """The 99th percentile of the errors of the results (not of the blocky input), rounded to two digits."""
    errors = [
        np.abs(picture - pictures["reference"]).ravel()
        for pictures in cuts.values()
        for column, picture in pictures.items()
        if column not in ("reference", "input")
    ]
    largest = float(np.percentile(np.concatenate(errors), 99)) if errors else 0.0
    smallest = 0.01 * (window[1] - window[0])
    return float(f"{max(largest, smallest):.2g}")


def _fitted(picture: Picture) -> Picture:
    """At most 300 pixels a side, by means over whole blocks: enough for a screen, small enough for a page."""
    steps = [max(1, -(-n // _MAX_PIXELS)) for n in picture.shape]
    if steps == [1, 1]:
        return picture
    rows, columns = (n // s * s for n, s in zip(picture.shape, steps, strict=True))
    blocks = picture[:rows, :columns].reshape(rows // steps[0], steps[0], columns // steps[1], steps[1])
    return np.asarray(blocks.mean(axis=(1, 3)), dtype=np.float32)


def _nearest(picture: Picture, shape: tuple[int, ...]) -> Picture:
    """`picture` brought to `shape`, each pixel taking the nearest one; outer faces coincide."""
    if picture.shape == shape:
        return picture
    rows, columns = (
        np.minimum(((np.arange(n) + 0.5) * old / n).astype(int), old - 1)
        for n, old in zip(shape, picture.shape, strict=True)
    )
    return picture[np.ix_(rows, columns)]
