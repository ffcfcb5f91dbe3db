"""Looking at every pair before any work: grids, label values, empty maps, missing files."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from medsr.augmentation.cases import Case, Dataset
from medsr.augmentation.channels import SAME_GRID, check_grids
from medsr.augmentation.labels import label_values
from medsr.errors import InputError, MedSRError
from medsr.geometry import Geometry
from medsr.io import read_channels_geometry, read_volume


@dataclass(frozen=True)
class Checked:
    """What was found of a case that can be used.

    Attributes:
        case: the case.
        geometry: grid of its image.
        planar: the image is a single picture.
        colours: 3 for a colour picture, else 1.
        values: values in the label map.
        image_bytes: size of the image files.
        label_bytes: size of the label map.
        warnings: what a person should know of it.
    """

    case: Case
    geometry: Geometry
    planar: bool
    colours: int
    values: tuple[int, ...]
    image_bytes: int
    label_bytes: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refused:
    """A case that cannot be used, and why."""

    case: str
    problem: str


def check_cases(
    dataset: Dataset, cases: Sequence[Case], report: Callable[[float], None]
) -> tuple[list[Checked], list[Refused]]:
    """Check each of `cases`, telling the fraction done; those that can be used, and those that cannot."""
    usable, refused = [], []
    for number, case in enumerate(cases, 1):
        try:
            usable.append(check_case(case, dataset))
        except MedSRError as error:
            refused.append(Refused(case.name, str(error)))
        except (MemoryError, OSError, RuntimeError, ValueError) as error:
            refused.append(Refused(case.name, f"{type(error).__name__}: {error}"))
        report(number / len(cases))
    return usable, refused


def check_case(case: Case, dataset: Dataset) -> Checked:
    """See that image and label map of `case` can be read and fit each other.

    Headers of the images are read, and the voxels of the label map.

    Raises:
        MedSRError: they cannot, or do not.
    """
    case, grid = _check_channels(case, dataset)
    label = read_volume(case.label)
    values = label_values(label)
    if min(values) < 0:
        raise InputError(f"Its label map holds the value {min(values)}; labels are 0 and above.")
    if dataset.labels:
        unknown = [value for value in values if value and value not in dataset.labels.values()]
        if unknown:
            names = ", ".join(f"{value} {name}" for name, value in dataset.labels.items())
            raise InputError(f"Its label map holds {unknown}; the training set names {names}.")
    elif len(values) > 256:
        raise InputError(f"Its label map holds {len(values)} different values: that is an image, not a label map.")
    warnings = []
    if values == [0]:
        warnings.append(f"{case.name}: the label map is empty.")
    if not grid.is_same_as(label.geometry, SAME_GRID):
        if not overlap(label.geometry, grid):
            raise InputError("Image and label map do not meet anywhere in patient space.")
        warnings.append(
            f"{case.name}: image ({grid.describe()}) and label map ({label.geometry.describe()}) lie on "
            "different grids; the label map is resampled."
        )
    planar = label.planar and grid.size_xyz[2] == 1
    return Checked(
        case,
        geometry=grid,
        planar=planar,
        # Volumes of colours exist, but not where labels do; a picture is read in a moment.
        colours=read_volume(case.images[0]).channels if planar else 1,
        values=tuple(values),
        image_bytes=sum(Path(path).stat().st_size for path in case.images),
        label_bytes=Path(case.label).stat().st_size,
        warnings=tuple(warnings),
    )


def _check_channels(case: Case, dataset: Dataset) -> tuple[Case, Geometry]:
    """The case with the number of its channels, and their grid."""
    grids, counts = zip(*(read_channels_geometry(path) for path in case.images), strict=True)
    if len(counts) > 1 and max(counts) > 1:
        raise InputError("One of its files holds several volumes. Give one file for each channel, or one for all.")
    case = dataclasses.replace(case, stacked=counts[0])
    names = dataset.channels
    if counts[0] > 1 and counts[0] != len(names):
        told = ", ".join(names)
        raise InputError(
            f"Its image has four dimensions with {counts[0]} volumes; the channels that the training set names are: "
            f"{told}. Time points are no channels; if these are, name each in dataset.json: "
            "'modality': {'0': 'T1', '1': 'T2', ...}."
        )
    called = [f"{n} ({names[n - 1]})" if n <= len(names) else str(n) for n in range(1, len(grids) + 1)]
    check_grids(grids, called)
    return case, grids[0]


def overlap(one: Geometry, other: Geometry) -> bool:
    """Whether the boxes around both grids meet in the patient."""
    corners = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in one.size_xyz])).reshape(3, -1).T
    index = other.to_index(one.to_patient(corners))
    return bool((index.max(axis=0) > -0.5).all() and (index.min(axis=0) < np.array(other.size_xyz) - 0.5).all())
