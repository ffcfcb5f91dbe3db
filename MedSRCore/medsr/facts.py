"""What the sources say about how a volume was acquired, each statement with its axis and its source.

A header, a sidecar, 3D Slicer and the options each add facts; nobody overwrites another's. `Facts.get` takes the
statement of the most trusted source, and `Facts.contradictions` tells where sources disagree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from medsr.errors import InputError, unknown_name

AXES = "xyz"
"""Names of the grid axes; x is the last axis of an array."""

ENCODINGS = ("slice", "frequency", "phase", "fourier", "partition", "detector")
"""How an axis is resolved: by a slice profile; by Fourier encoding in the plane (frequency, phase, or fourier where the
source does not say which of the two) or across it (partition, 3D MR); by the detector and the reconstruction (the plane
of CT)."""

FOURIER_ENCODED = ("frequency", "phase", "fourier", "partition")
"""The encodings that end at a spatial frequency rather than in a profile."""

SOURCES = ("header", "sidecar", "Slicer", "option")
"""From the least to the most trusted: what a person says stands above what a file says."""

PER_AXIS = {
    "encoding": str,
    "thickness_mm": float,
    "resolution_mm": float,
    "collimation_mm": float,
}
"""Facts about one axis: a name of `ENCODINGS`; the stated thickness of slices or partitions; the distance at which
the axis was really sampled (field of view over acquired matrix), wider than the voxels where zeros were filled in; the
width of one detector row of CT."""

OF_THE_VOLUME = {
    "modality": str,
    "dimensions": str,
    "kernel": str,
    "scan": str,
    "filter": str,
    "partial_fourier": bool,
    "coverage": str,
    "interpolated": str,
    "enhanced_by": str,
    "denoised_by": str,
    "noise": float,
    "padding": float,
    "padding_limit": float,
}
"""Facts about the volume: "MR" or "CT"; "2D" or "3D" acquisition; reconstruction kernel; "helical" or "axial" CT; name
of a k-space filter; whether a part of k-space was left out; shape of the part that was measured ("full", "ellipsoidal",
...); in words, how the scanner itself interpolated; which network of the vendor sharpened, and which only denoised;
standard deviation of the noise of each channel of an MR magnitude, as a fraction of its 99th percentile; intensity of
voxels that were never measured (after rescaling), and where it is a range, its other end."""


@dataclass(frozen=True)
class Fact:
    """One statement.

    Attributes:
        name: a key of `PER_AXIS` or `OF_THE_VOLUME`.
        value: what is stated.
        source: one of `SOURCES`.
        axis: "x", "y" or "z" for a fact about one axis, else None.

    Raises:
        UnknownNameError: no such fact, source or axis.
        InputError: a value of another type, or a length that is not positive.
    """

    name: str
    value: str | float | bool
    source: str
    axis: str | None = None

    def __post_init__(self) -> None:
        kinds = PER_AXIS if self.axis is not None else OF_THE_VOLUME
        if self.name not in kinds:
            raise unknown_name("fact", self.name, kinds)
        if self.source not in SOURCES:
            raise unknown_name("source of facts", self.source, SOURCES)
        if self.axis is not None and self.axis not in list(AXES):
            raise unknown_name("axis", self.axis, AXES)
        kind = kinds[self.name]
        if kind is float and isinstance(self.value, int) and not isinstance(self.value, bool):
            object.__setattr__(self, "value", float(self.value))
        if not isinstance(self.value, kind):
            raise InputError(f"The fact {self.name} is a {kind.__name__}, got {self.value!r}.")
        if self.name == "encoding" and self.value not in ENCODINGS:
            raise unknown_name("encoding", str(self.value), ENCODINGS)
        if kind is float and not math.isfinite(float(self.value)):
            raise InputError(f"{self.name} must be a finite number, got {self.value}.")
        if self.name.endswith("_mm") and not (math.isfinite(float(self.value)) and float(self.value) > 0):
            raise InputError(f"{self.name} along {self.axis} must be a positive length, got {self.value}.")


@dataclass(frozen=True)
class Facts:
    """Statements of any number of sources."""

    all: tuple[Fact, ...] = ()

    def __iter__(self) -> Iterator[Fact]:
        return iter(self.all)

    def __add__(self, more: Iterable[Fact]) -> Facts:
        return Facts((*self.all, *more))

    def get(self, name: str, axis: str | None = None) -> Fact | None:
        """What the most trusted source states, or None; of one source the last statement."""
        stated = self._stated(name, axis)
        return max(enumerate(stated), key=lambda pair: (SOURCES.index(pair[1].source), pair[0]))[1] if stated else None

    def value(self, name: str, axis: str | None = None) -> Any:
        """The value of `get`, or None."""
        fact = self.get(name, axis)
        return fact.value if fact else None

    def number(self, name: str, axis: str | None = None) -> float | None:
        """As `value`, for lengths and intensities."""
        value = self.value(name, axis)
        return None if value is None else float(value)

    @property
    def slice_axis(self) -> str | None:
        """The axis across the slices or partitions, where a source says which; of several the most trusted."""
        encoded = (fact for axis in AXES if (fact := self.get("encoding", axis)))
        across = [fact for fact in encoded if fact.value in ("slice", "partition")]
        across = across or [fact for axis in AXES if (fact := self.get("thickness_mm", axis))]
        return max(across, key=lambda fact: SOURCES.index(fact.source)).axis if across else None

    def contradictions(self) -> list[tuple[Fact, Fact]]:
        """Pairs (believed, not believed) of sources that say different things of one axis or of the volume."""
        found = []
        for name, axis in dict.fromkeys((fact.name, fact.axis) for fact in self.all):
            believed = self.get(name, axis)
            for fact in self._stated(name, axis):
                if believed is not None and fact.source != believed.source and not _agree(fact.value, believed.value):
                    found.append((believed, fact))
        return found

    def without(self, *names: str) -> Facts:
        """Facts but those of these names."""
        return Facts(tuple(fact for fact in self.all if fact.name not in names))

    def to_json(self) -> list[dict[str, Any]]:
        """For jobs and reports."""
        return [{key: value for key, value in asdict(fact).items() if value is not None} for fact in self.all]

    @classmethod
    def from_json(cls, data: Any) -> Facts:
        """What `to_json` gave; InputError for anything else."""
        if not isinstance(data, list) or not all(isinstance(item, Mapping) for item in data):
            raise InputError("Facts are a list of objects with name, value, source and axis.")
        try:
            return cls(tuple(Fact(**item) for item in data))
        except TypeError as error:
            raise InputError(f"This is no list of facts: {error}.") from error

    def _stated(self, name: str, axis: str | None) -> list[Fact]:
        return [fact for fact in self.all if fact.name == name and fact.axis == axis]


def _agree(first: Any, second: Any) -> bool:
    if "fourier" in (first, second):
        return {first, second} <= {"fourier", "frequency", "phase"}
    if isinstance(first, float) and isinstance(second, float):
        return math.isclose(first, second, rel_tol=0.02)
    return bool(first == second)
