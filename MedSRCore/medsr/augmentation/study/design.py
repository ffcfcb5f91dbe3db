"""What is compared: arms, folds of subjects, seeds and training-set sizes. Readable without numpy."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from medsr.catalog import load_catalog
from medsr.errors import InputError, InvalidValueError, unknown_name

REAL = "real"
SYNTHETIC = "sr"
DUPLICATE = "duplicate"
COPIES = "copies"
"""Where a network is tested on the copies of the test images that its arm has: enhanced before segmented."""


def arm_at(arm: str, where: str) -> str:
    """What the networks of an arm are called where they are tested: ``real+sr on copies``; "" for real images."""
    return f"{arm} on {where}" if where else arm


def arm_and_place(name: str) -> tuple[str, str]:
    """The inverse of `arm_at`."""
    arm, _, where = name.partition(" on ")
    return arm, where


@dataclass(frozen=True)
class Arm:
    """One kind of training set.

    Attributes:
        name: ``real`` or ``real+EXTRA``.
        extra: what is added to the real images: "" nothing, "sr" the copies of the training set, "duplicate" the real
            images once more for each copy, or the name of a model that makes the same copies instead.
    """

    name: str
    extra: str = ""

    @classmethod
    def parse(cls, text: str) -> Arm:
        """The arm called `text`.

        Raises:
            UnknownNameError: nothing of that name can be added to the real images.
            InvalidValueError: an arm that does not begin with the real images.
        """
        first, plus, extra = text.strip().partition("+")
        if first != REAL or (plus and not extra):
            raise InvalidValueError(f"An arm is {REAL!r} or '{REAL}+' and what is added, got {text!r}.")
        known = [SYNTHETIC, DUPLICATE, *load_catalog()]
        if plus and extra not in known:
            raise unknown_name("addition to an arm", extra, known)
        return cls(text.strip(), extra)

    @property
    def control_model(self) -> str | None:
        """The model that makes this arm's copies, where they are not those of the training set."""
        return None if self.extra in ("", SYNTHETIC, DUPLICATE) else self.extra


@dataclass(frozen=True)
class Run:
    """One training and its test.

    Attributes:
        arm: name of the arm.
        size: number of training subjects; 0 for all that are not tested on.
        fold: subjects of this fold, from 0, are tested on.
        seed: from 1; decides the training subjects where there are more than `size`, the first weights and the
            patches. Arms of equal size, fold and seed have the same of each.
    """

    arm: str
    size: int
    fold: int
    seed: int

    @property
    def key(self) -> str:
        """Fit for a file name."""
        size = self.size or "all"
        return f"{self.arm.replace('+', '_')}.n{size}.fold{self.fold}.seed{self.seed}"


@dataclass(frozen=True)
class StudyDesign:
    """The whole comparison. Validated when made.

    Attributes:
        arms: the first is ``real``, which all others are compared with.
        folds: each subject is tested on once for each seed and size.
        seeds: repetitions.
        sizes: numbers of training subjects; (0,) for all.
        test_on: names of further sets of the same cases that every network is tested on; each is compared with those
            before it.
    """

    arms: tuple[Arm, ...]
    folds: int = 5
    seeds: int = 3
    sizes: tuple[int, ...] = (0,)
    test_on: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        if REAL not in names or len(names) + len(self.test_on) < 2:
            raise InvalidValueError(
                f"A comparison needs {REAL!r} and at least one other arm or a set to test on, got {', '.join(names)}."
            )
        if len({COPIES, "", *self.test_on}) < len(self.test_on) + 2:
            raise InvalidValueError(
                f"Sets to test on need different names, and none may be called {COPIES!r}; got "
                f"{', '.join(self.test_on)}. Rename a folder."
            )
        if len(set(names)) < len(names):
            raise InvalidValueError(f"An arm is given twice: {', '.join(names)}.")
        if self.folds < 2 or self.seeds < 1:
            raise InvalidValueError(f"At least 2 folds and 1 seed are needed, got {self.folds} and {self.seeds}.")
        if not self.sizes or min(self.sizes) < 0 or len(set(self.sizes)) < len(self.sizes):
            raise InvalidValueError(f"Training-set sizes are different numbers of subjects, got {self.sizes}.")

    def runs(self) -> Iterator[Run]:
        """All runs, ordered so that the first ones make complete comparisons already."""
        for seed in range(1, self.seeds + 1):
            for size in self.sizes:
                for fold in range(self.folds):
                    for arm in self.arms:
                        yield Run(arm.name, size, fold, seed)

    def check(self, subjects: Sequence[str]) -> None:
        """Raise InputError when there are too few `subjects` for the folds and sizes."""
        if len(subjects) < self.folds:
            raise InputError(f"{self.folds} folds need as many subjects; the training set has {len(subjects)}.")
        left = min(len(training_subjects(subjects, self.folds, fold)) for fold in range(self.folds))
        if max(self.sizes) > left:
            raise InputError(
                f"With {self.folds} folds {left} of {len(subjects)} subjects are left to train with; --sizes asks for "
                f"{max(self.sizes)}."
            )


def held_out_subjects(subjects: Iterable[str], folds: int, fold: int) -> list[str]:
    """The subjects of a fold: dealt out in an order that depends on their names alone."""
    return _shuffled(subjects, "fold")[fold::folds]


def training_subjects(subjects: Iterable[str], folds: int, fold: int, size: int = 0, seed: int = 0) -> list[str]:
    """Up to `size` (0: all) of the subjects outside a fold; a smaller size takes the first of a larger one."""
    everyone = list(subjects)
    tested = set(held_out_subjects(everyone, folds, fold))
    rest = _shuffled((s for s in everyone if s not in tested), f"seed {seed}")
    return rest[: size or None]


def _shuffled(names: Iterable[str], salt: str) -> list[str]:
    return sorted(set(names), key=lambda name: hashlib.sha256(f"{salt}:{name}".encode()).digest())
