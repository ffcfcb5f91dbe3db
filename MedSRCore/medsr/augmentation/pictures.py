"""Slices with the outlines of the structures drawn in, original beside copy, ready for a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.augmentation.quality import Finding
from medsr.evaluation.planes import Plane, planes_of
from medsr.evaluation.plates import choose_window
from medsr.evaluation.png import data_uri, grey_levels, palette_png
from medsr.io import read_channels, read_volume
from medsr.volume import Volume

COLOURS = (
    (255, 120, 60), (70, 200, 255), (140, 230, 90), (255, 210, 70), (220, 130, 255), (255, 140, 180), (90, 230, 200),
    (200, 200, 120),
)  # fmt: skip
_PIXELS = 260
_GREYS = 256 - len(COLOURS)


@dataclass(frozen=True)
class Pair:
    """One plane of original and copy.

    Attributes:
        plane: its name.
        height_mm: of the region shown.
        width_mm: likewise.
        original: data URI.
        copy: data URI.
    """

    plane: str
    height_mm: float
    width_mm: float
    original: str
    copy: str


def draw_pairs(finding: Finding, structures: Mapping[str, int]) -> list[Pair]:
    """The middle planes of the structures, in the original and in the copy, in one window of intensities."""
    original, copy = (_grey(read_channels(case.images[0])[0]) for case in (finding.original, finding.copy))
    labels = [read_volume(case.label) for case in (finding.original, finding.copy)]
    window = choose_window(original)
    centre = _centre(labels[0])
    pairs = []
    for plane in planes_of(original):
        position = centre[plane.across]
        pictures = [
            _outlined(plane, volume, label, position, window, structures)
            for volume, label in zip((original, copy), labels, strict=True)
        ]
        pairs.append(Pair(plane.name, *plane.size_mm, *pictures))
    return pairs


def colour_of(index: int) -> tuple[int, int, int]:
    """The colour of structure number `index`, from 0."""
    return COLOURS[index % len(COLOURS)]


def _grey(volume: Volume) -> Volume:
    if volume.channels == 1:
        return volume
    return volume.replace(array=volume.array.astype(np.float32).mean(axis=-1))


def _centre(label: Volume) -> tuple[float, ...]:
    """The middle of all structures as fractions of the extent along the array axes."""
    inside = label.array != 0
    if not inside.any():
        return (0.5, 0.5, 0.5)
    counts = [inside.sum(axis=tuple(a for a in range(3) if a != axis)) for axis in range(3)]
    # The slice with the most of them, so that a hole in the middle does not leave the picture empty.
    return tuple((int(np.argmax(count)) + 0.5) / count.size for count in counts)


def _outlined(
    plane: Plane,
    volume: Volume,
    label: Volume,
    position: float,
    window: tuple[float, float],
    structures: Mapping[str, int],
) -> str:
    picture = _fitted(plane.cut(volume.array, position))
    greys = grey_levels(picture, *window).astype(np.uint16) * (_GREYS - 1) // 255
    indices = greys.astype(np.uint8)
    where = _resized(plane.cut(label.array, position), picture.shape)
    for index, value in enumerate(structures.values()):
        indices[_outline(where == value)] = _GREYS + index % len(COLOURS)
    ramp = np.linspace(0, 255, _GREYS).round()
    palette = np.concatenate([np.stack([ramp] * 3, axis=1), COLOURS]).astype(np.uint8)
    return data_uri(palette_png(indices, palette))


def _fitted(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """The picture with about `_PIXELS` a side, pixels as they are, so that outlines are thin."""
    scale = _PIXELS / max(picture.shape)
    return _resized(picture, tuple(max(1, round(n * scale)) for n in picture.shape))


def _resized(picture: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Each pixel takes the nearest one; outer faces coincide."""
    rows, columns = (
        np.minimum(((np.arange(n) + 0.5) * old / n).astype(int), old - 1)
        for n, old in zip(shape, picture.shape, strict=True)
    )
    return picture[np.ix_(rows, columns)]


def _outline(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a region that touch something else."""
    edge = np.zeros_like(inside)
    edge[1:] |= inside[1:] & ~inside[:-1]
    edge[:-1] |= inside[:-1] & ~inside[1:]
    edge[:, 1:] |= inside[:, 1:] & ~inside[:, :-1]
    edge[:, :-1] |= inside[:, :-1] & ~inside[:, 1:]
    return edge
