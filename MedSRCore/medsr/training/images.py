"""The images that networks which enlarge learn from: volumes and photographs, grey or in colour."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InputError
from medsr.io import read_volume
from medsr.normalisation import Normalisation
from medsr.physics.downscaling import downscale
from medsr.training.cache import ArrayCache
from medsr.training.volumes import IN_MEMORY, TrainingVolume, fourier_shrink, listed_file, read_data_list

logger = logging.getLogger(__name__)

_PHOTOGRAPH_SIDE = 1024
"""Photographs are shrunk to about this longest side: at full size most hold less detail than pixels."""


@dataclass(frozen=True)
class TrainingImage:
    """One image: how often it is drawn, and one `TrainingVolume` per channel of the network.

    Volumes have three axes, photographs two. `mean` and `deviation` are those of the whole image, all its colours.
    """

    weight: float
    channels: tuple[TrainingVolume, ...]
    mean: float = 0.0
    deviation: float = 1.0


def load_images(
    path: Path,
    root: Path,
    subset: str,
    modality: str,
    *,
    channels: int,
    dims: int,
    coarser_factor: float | None,
    cache: ArrayCache = IN_MEMORY,
) -> list[TrainingImage]:
    """Load every image of a subset of a data list.

    Args:
        path: the data list.
        root: folder that its files are relative to.
        subset: "train" or "validation".
        modality: of entries that state none; decides the intensity scale.
        channels: of the network. With 1, each colour of a colour image is an image of its own; with 3, a grey image
            counts as three equal colours.
        dims: spatial dimensions of the network; photographs cannot be used in 3D.
        coarser_factor: how much coarser the second copy of each image is; None keeps no second copy.
        cache: keeps the prepared arrays.

    Raises:
        InputError: a file that is missing or unreadable, or a flat image for a 3D network.
    """
    images: list[TrainingImage] = []
    for entry in read_data_list(path, subset):
        file, scale = listed_file(path, root, entry), str(entry.get("modality", modality))
        found = cache.arrays(file, ("image", scale, coarser_factor), partial(_prepared, file, scale, coarser_factor))
        mean, deviation = (float(value) for value in found[0])
        fine = found[1:] if coarser_factor is None else found[1::2]
        coarser = fine if coarser_factor is None else found[2::2]
        if fine[0].ndim < dims:
            raise InputError(f"{path} lists {entry['file']}, a flat image, and the network is {dims}D.")
        planes = tuple(TrainingVolume(str(entry["file"]), 1.0, *both) for both in zip(fine, coarser, strict=True))
        logger.info("%s %s", entry["file"], (len(planes), *fine[0].shape))
        weight = float(entry.get("weight", 1.0))  # type: ignore[arg-type]
        if channels == 1:
            images += [TrainingImage(weight / len(planes), (plane,), mean, deviation) for plane in planes]
        elif len(planes) in (1, channels):
            images.append(TrainingImage(weight, planes * (channels // len(planes)), mean, deviation))
        else:
            raise InputError(f"{path} lists {entry['file']} with {len(planes)} colours; the network has {channels}.")
    return images


def _read(file: Path, modality: str) -> NDArray[np.float32]:
    """Normalised intensities, colours first: ``(C, z, y, x)``, or ``(C, y, x)`` for a flat image."""
    stored = read_volume(file).array.astype(np.float32)
    array = stored if stored.ndim == 4 else stored[..., None]
    planes = np.moveaxis(Normalisation.of(array, modality).apply(array), -1, 0)
    if planes.shape[1] > 1:
        return planes
    flat = planes[:, 0]
    factor = max(1, round(max(flat.shape) / _PHOTOGRAPH_SIDE))
    cropped = flat[:, : flat.shape[1] // factor * factor, : flat.shape[2] // factor * factor]
    return downscale(cropped, "box", (1, factor, factor)).astype(np.float32, copy=False)


def _prepared(file: Path, modality: str, coarser_factor: float | None) -> list[NDArray[Any]]:
    """Mean and deviation of the whole image, then each of its colours, followed by the coarser copy of it, if any."""
    array = _read(file, modality)
    scores = Normalisation.standard(array)
    prepared: list[NDArray[Any]] = [np.array([scores.low, scores.span])]
    for plane in array:
        prepared.append(plane.astype(np.float16))
        if coarser_factor is not None:
            prepared.append(fourier_shrink(plane, [coarser_factor] * plane.ndim).astype(np.float16))
    return prepared
