"""Images and labels as a training takes them: one grid spacing, one intensity scale, on disk and opened on demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medsr.augmentation.cases import Case
from medsr.augmentation.labels import label_values, resample_labels
from medsr.errors import InputError
from medsr.geometry import Geometry
from medsr.io import Staging, read_channels, read_channels_geometry, read_volume
from medsr.methods.interpolate import interpolate
from medsr.physics.profiles import Profile
from medsr.physics.sampling import Acquisition, AxisSampling
from medsr.volume import Volume

Spacing = tuple[float, float, float]

_CLIPPED = (0.5, 99.5)


@dataclass(frozen=True)
class Sample:
    """One prepared image with its labels.

    Attributes:
        name: of the case.
        subject: of the case.
        image: file of an array ``(channel, z, y, x)``, float16, mean 0 and standard deviation 1 in each channel.
        label: file of an array ``(z, y, x)``, uint8: 0 background, then the structures in their order.
    """

    name: str
    subject: str
    image: Path
    label: Path

    def open(self) -> tuple[NDArray[np.float16], NDArray[np.uint8]]:
        """Image and label, read from disk as far as they are used."""
        return np.load(self.image, mmap_mode="r"), np.load(self.label, mmap_mode="r")


def finest_spacing(cases: Sequence[Case]) -> Spacing:
    """The finest spacing along each grid axis (x, y, z) that any image has."""
    spacings = np.array([read_channels_geometry(case.images[0])[0].spacing_xyz_mm for case in cases])
    x, y, z = (float(round(v, 6)) for v in spacings.min(axis=0))
    return (x, y, z)


def training_grid(source: Geometry, spacing: Spacing) -> Geometry:
    """The grid of `spacing` with the outer corner of `source`, covering it to half a voxel."""
    size = [max(1, round(n * a / b)) for n, a, b in zip(source.size_xyz, source.spacing_xyz_mm, spacing, strict=True)]
    grid = source.with_grid(spacing, size)
    return source if grid.is_same_as(source) else grid


def prepare(case: Case, folder: Path, spacing: Spacing, values: Sequence[int]) -> Sample:
    """Resample and normalise one case, unless it is there already.

    Args:
        case: image and label map.
        folder: where the arrays go.
        spacing: of the training grid.
        values: of the structures in label maps, in the order of their classes from 1.

    Raises:
        InputError: channels on different grids, or a value that no structure has.
    """
    sample = Sample(case.name, case.subject, folder / f"{case.name}.image.npy", folder / f"{case.name}.label.npy")
    if sample.image.is_file() and sample.label.is_file():
        return sample
    label = read_volume(case.label)
    grid: Geometry | None = None
    channels: list[NDArray[np.float32]] = []
    for volume in (volume for path in case.images for volume in read_channels(path)):
        here = training_grid(volume.geometry, spacing)
        if grid is not None and not grid.is_same_as(here):
            raise InputError(f"The channels of {case.name} lie on different grids.")
        grid = here
        arrays = np.moveaxis(volume.array, 3, 0) if volume.channels > 1 else volume.array[None]
        channels += [_normalised(_resampled(array.astype(np.float32), volume.geometry, grid)) for array in arrays]
    if grid is None:
        raise InputError(f"{case.name} has no image.")
    classes = _classes(resample_labels(label, grid), values, case.name)
    with Staging(overwrite=True) as staging:
        _save(staging.draft(sample.image), np.stack(channels).astype(np.float16))
        _save(staging.draft(sample.label), classes)
    return sample


def class_values(labels: Mapping[str, int]) -> dict[str, int]:
    """The structures without the background, in the order of their values."""
    return dict(sorted(((n, v) for n, v in labels.items() if v != 0), key=lambda item: item[1]))


def _resampled(array: NDArray[np.float32], source: Geometry, grid: Geometry) -> NDArray[np.float32]:
    """Averaged along axes that become coarser, linearly interpolated along those that become finer."""
    ratios = [b / a for a, b in zip(source.spacing_xyz_mm, grid.spacing_xyz_mm, strict=True)]
    if max(ratios) > 1 + 1e-3:
        coarser = [r if r > 1 + 1e-3 else 1.0 for r in ratios]
        size = [m if r > 1 else n for n, m, r in zip(source.size_xyz, grid.size_xyz, coarser, strict=True)]
        axes = [AxisSampling(n, m, r, Profile("box")) for n, m, r in zip(source.size_xyz, size, coarser, strict=True)]
        array = np.asarray(Acquisition((axes[2], axes[1], axes[0])).forward(array), dtype=np.float32)
        source = source.with_grid([s * r for s, r in zip(source.spacing_xyz_mm, coarser, strict=True)], size)
    return array if source.is_same_as(grid) else interpolate(array, source, grid, "linear")


def _normalised(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Outliers clipped, mean 0, standard deviation 1."""
    low, high = np.percentile(array, _CLIPPED)
    clipped = np.clip(array, low, high)
    spread = float(clipped.std())
    scaled: NDArray[np.float32] = ((clipped - clipped.mean()) / (spread or 1.0)).astype(np.float32)
    return scaled


def _classes(label: Volume, values: Sequence[int], name: str) -> NDArray[np.uint8]:
    unknown = [v for v in label_values(label) if v and v not in values]
    if unknown:
        raise InputError(f"The label map of {name} holds {unknown[0]}, which the training set does not name.")
    classes = np.zeros(label.array.shape, dtype=np.uint8)
    for number, value in enumerate(values, start=1):
        classes[label.array == value] = number
    return classes


def _save(path: Path, array: NDArray[np.generic]) -> None:
    with path.open("wb") as file:
        np.save(file, array)
