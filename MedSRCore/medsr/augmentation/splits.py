"""Folds in which every copy is on the side of its original."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medsr.augmentation.cases import Case, Split

FOLDS = 5


def make_splits(real: Sequence[Case], copies: Sequence[Case], given: Sequence[Split], seed: int) -> tuple[Split, ...]:
    """Folds of real cases and copies.

    Args:
        real: the originals.
        copies: made of them.
        given: folds of the originals; empty to draw `FOLDS` of them by subject (fewer where there are fewer subjects).
        seed: of the drawing.

    Returns:
        The folds, each name in the order of `real` and `copies`. No fold where there is one subject only.
    """
    folds = [(set(split.train), set(split.val)) for split in given] or _drawn(real, seed)
    subject = {case.name: case.subject for case in real}
    splits = []
    for train, val in folds:
        # A subject that the given folds put on both sides stays there with its images; each copy follows its image.
        sides = []
        for side in (train, val):
            names = [case.name for case in real if case.name in side and case.name in subject]
            names += [case.name for case in copies if case.origin in side]
            sides.append(tuple(names))
        splits.append(Split(sides[0], sides[1]))
    return tuple(splits)


def _drawn(real: Sequence[Case], seed: int) -> list[tuple[set[str], set[str]]]:
    subjects = sorted({case.subject for case in real})
    count = min(FOLDS, len(subjects))
    if count < 2:
        return []
    shuffled = np.random.default_rng(seed).permutation(len(subjects))
    fold_of = {subjects[index]: place % count for place, index in enumerate(shuffled)}
    return [
        (
            {case.name for case in real if fold_of[case.subject] != fold},
            {case.name for case in real if fold_of[case.subject] == fold},
        )
        for fold in range(count)
    ]
