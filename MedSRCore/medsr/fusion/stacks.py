"""What is known of each stack before any of them is moved, and what must not be fused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medsr.errors import InputError, InvalidValueError
from medsr.inference.planner import decide_modality
from medsr.io.dicom.kinship import same_frame, same_patient
from medsr.io.provenance import KEY
from medsr.normalisation import Units
from medsr.options import UpscaleOptions
from medsr.planning.evidence import AxisEvidence, find_profiles
from medsr.planning.noise import noise_level
from medsr.planning.padding import Padding, find_padding
from medsr.volume import Volume

Array = NDArray[np.float32]

_FEWEST_SLICES = 4


@dataclass(frozen=True)
class Stack:
    """One input.

    Attributes:
        name: file or folder, for people.
        volume: as it was read.
        values: its intensities as all work is done on them, padding filled.
        modality: "MR" or "CT".
        evidence: how its axes x, y and z were sampled.
        noise: as a fraction of its 99th percentile; None where it cannot be told.
        padding: voxels that show nothing, or None.
    """

    name: str
    volume: Volume
    values: Array
    modality: str
    evidence: tuple[AxisEvidence, ...]
    noise: float | None
    padding: Padding | None

    @property
    def shows(self) -> NDArray[np.bool_]:
        """Voxels that are no padding."""
        return np.ones(self.values.shape, dtype=bool) if self.padding is None else ~self.padding.mask


@contextmanager
def about(name: str) -> Iterator[None]:
    """What is wrong in the block is wrong with the input `name`."""
    try:
        yield
    except (InputError, InvalidValueError) as error:
        raise type(error)(f"{name}: {error}") from error


def names_of(volumes: Sequence[Volume]) -> list[str]:
    """What to call each volume: its source, with its number where several have the same or none."""
    sources = [volume.source for volume in volumes]
    return [
        repr(source) if source and sources.count(source) == 1 else f"stack {number} ({source or 'no name'})"
        for number, source in enumerate(sources, start=1)
    ]


def prepare(volumes: Sequence[Volume], options: UpscaleOptions) -> tuple[list[Stack], Units, list[str]]:
    """The stacks, the units of the work, and what a person should be warned of.

    Raises:
        InvalidValueError: fewer than two stacks, or one twice.
        InputError: a volume that is no grey stack of intensities, or another patient's or modality.
    """
    if len(volumes) < 2:
        raise InvalidValueError(
            f"{len(volumes)} stack was given; two or more are fused. A single one is enlarged by `medsr upscale`."
        )
    names = names_of(volumes)
    warnings = _compare(volumes, names)
    units: list[Units] = []
    stacks: list[Stack] = []
    for name, volume in zip(names, volumes, strict=True):
        with about(name):
            stack = _prepared(name, volume, options, units)
        if stacks and stack.modality != stacks[0].modality:
            raise InputError(
                f"{name} is {stack.modality}, {names[0]} is {stacks[0].modality}: stacks of one sitting and contrast "
                "are fused. Give --modality if one was recognised wrongly."
            )
        stacks.append(stack)
    return stacks, units[0], warnings


def _compare(volumes: Sequence[Volume], names: Sequence[str]) -> list[str]:
    """Warnings about what the headers leave open; raises where they rule it out that the stacks belong together."""
    warnings, nameless = [], False
    for number, (volume, name) in enumerate(zip(volumes, names, strict=True)):
        if any(volume is other or (volume.files and volume.files == other.files) for other in volumes[:number]):
            raise InvalidValueError(f"{name} was given twice. Each stack counts once.")
        if KEY in volume.metadata:
            raise InputError(f"{name} was made by MedSR itself. Give the stacks that the scanner measured.")
        warnings += [f"{name}: {text}" for text in volume.warnings]
        if number == 0:
            continue
        same = same_patient(volume, volumes[0])
        if same is False:
            raise InputError(
                f"{name} is of another patient than {names[0]}: name or identifier in their headers differ (they are "
                "not shown here). Stacks of one patient and one sitting are fused."
            )
        nameless |= same is None
        if same_frame(volume, volumes[0]) is False:
            warnings.append(f"{name} has another frame of reference than {names[0]}: not of one sitting?")
    if nameless:
        warnings.append("The files do not say whose they are: see that all stacks are of one patient.")
    return warnings


def _prepared(name: str, volume: Volume, options: UpscaleOptions, units: list[Units]) -> Stack:
    """The stack in the units of the first one, which are put into `units` when it is the first."""
    if volume.channels > 1:
        raise InputError(f"This is an image of {volume.channels} colours; stacks of grey values are fused.")
    if volume.planar or min(volume.geometry.size_xyz) < _FEWEST_SLICES:
        raise InputError(
            f"This is no stack: {volume.geometry.describe()}, at least {_FEWEST_SLICES} along each axis are needed."
        )
    if volume.geometry.shear is not None:
        raise InputError(
            "Its slices are sheared by gantry tilt, which is not fused. Resample it onto an upright grid first, with "
            "another program."
        )
    volume.check_usable(labels_allowed=options.not_labels)
    modality, _ = decide_modality(volume, options.modality)
    padding = find_padding(volume, modality)
    if not units:
        units.append(Units.of(volume.array if padding is None else volume.array[~padding.mask], modality))
    filled = volume.array if padding is None else padding.filled(volume.array, volume.geometry.spacing_xyz_mm)
    values = units[0].apply(filled)
    evidence = find_profiles(volume.replace(array=values), options, modality)
    return Stack(name, volume, values, modality, evidence, _noise(volume, values, modality, padding), padding)


def _noise(volume: Volume, values: Array, modality: str, padding: Padding | None) -> float | None:
    if modality != "MR":
        return None
    if (known := volume.facts.number("noise")) is not None:
        return known if known > 0 else None
    found = noise_level(values, None if padding is None else padding.mask)
    return None if found is None else found[0]
