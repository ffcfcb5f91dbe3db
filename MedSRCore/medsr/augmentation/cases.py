"""What a training set is: cases, their labels, and who belongs to whom. Readable without numpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

BACKGROUND = "background"


@dataclass(frozen=True)
class Case:
    """One image with its label map.

    Attributes:
        name: unique in its training set and fit for a file name.
        subject: the person or object imaged; copies keep it, so that splits can keep them together.
        images: absolute paths, one for each channel, or a single one of four dimensions.
        label: absolute path of the label map.
        origin: name of the case that this one was made from; "" for a real image.
        recipe: name of the recipe that made it; "" for a real image.
        keys: whatever else the description says of the case (age, site, ...), to be handed on.
        stacked: channels that the only file of `images` holds, where it has four dimensions; known once it was opened.
    """

    name: str
    subject: str
    images: tuple[str, ...]
    label: str
    origin: str = ""
    recipe: str = ""
    keys: Mapping[str, Any] = field(default_factory=dict)
    stacked: int = 1

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.stacked * len(self.images)

    @property
    def is_synthetic(self) -> bool:
        """True for a copy that was made, False for a real image."""
        return bool(self.origin)


@dataclass(frozen=True)
class Split:
    """One fold: names of the cases to train with, and of those to validate with."""

    train: tuple[str, ...]
    val: tuple[str, ...]


@dataclass(frozen=True)
class Dataset:
    """A labelled training set as it lies on disk.

    Attributes:
        root: absolute path of its folder.
        format: "decathlon", "nnunet", "bids" or "paired".
        name: what it is called.
        cases: in the order of their names.
        channels: a name for each channel, such as ("T1", "T2") or ("CT",).
        labels: name of each structure -> its value in the label maps; the background is 0.
        splits: folds that the set defines itself; empty where it has none.
        description: whatever else its description says, to be handed on (licence, reference, ...).
        lists: lists of other images that the description holds, such as those for testing: name -> entries, whose
            paths are those of `carried`.
        carried: files that are neither images nor labels of `cases` and belong to the set: path below `root` of a set
            of the same format -> absolute path.
        warnings: sentences that a person should read.
    """

    root: str
    format: str
    name: str
    cases: tuple[Case, ...]
    channels: tuple[str, ...] = ("image",)
    labels: Mapping[str, int] = field(default_factory=dict)
    splits: tuple[Split, ...] = ()
    description: Mapping[str, Any] = field(default_factory=dict)
    lists: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    carried: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def real(self) -> tuple[Case, ...]:
        """The cases that were acquired."""
        return tuple(case for case in self.cases if not case.is_synthetic)

    @property
    def synthetic(self) -> tuple[Case, ...]:
        """The cases that were made from others."""
        return tuple(case for case in self.cases if case.is_synthetic)
