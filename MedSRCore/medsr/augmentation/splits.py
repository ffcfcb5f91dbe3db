"""Folds that train on originals and copies, and validate on originals of other subjects alone."""

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
        The folds, each name in the order of `real` and `copies`; a copy is trained on where its original is and no
        image of its subject validates, else it is in neither part. No fold where there is one subject only.
    """
    folds = [(set(split.train), set(split.val)) for split in given] or _drawn(real, seed)
    subject = {case.name: case.subject for case in real}
    splits = []
    for train, val in folds:
        known = [case.name for case in real if case.name in train]
        tested = {subject[name] for name in val if name in subject}
        known += [copy.name for copy in copies if copy.origin in train and copy.subject not in tested]
        splits.append(Split(tuple(known), tuple(case.name for case in real if case.name in val)))
    return tuple(splits)


def never_trained(real: Sequence[Case], given: Sequence[Split]) -> set[str]:
    """Names of the cases whose copies no fold of a source could train on: those that it keeps for validation."""
    if not given:
        return set()
    names = [case.name for case in real]
    copies = [Case(f"{case.name}/copy", case.subject, (), "", case.name) for case in real]
    trained = {name for split in make_splits(real, copies, given, 0) for name in split.train}
    return {name for name in names if f"{name}/copy" not in trained}


def shared_subjects(real: Sequence[Case], given: Sequence[Split]) -> list[str]:
    """Subjects that a fold of the source has on both sides."""
    subject = {case.name: case.subject for case in real}
    both = [
        {subject[n] for n in split.train if n in subject} & {subject[n] for n in split.val if n in subject}
        for split in given
    ]
    return sorted(set().union(*both))


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
