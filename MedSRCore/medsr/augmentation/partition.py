"""Dividing voxels among classes so that each class gets as many as it should have.

Every voxel has a share of each class, and the shares add up to one. It goes to the class whose share plus offset is the
highest. The offsets that give every class its number of voxels minimise a convex function (they are the prices of an
optimal assignment: Aurenhammer, Hoffmann and Aronov 1998), found by setting one after the other: the number of voxels
that a class wins grows with its own offset and with no other's.

Setting the level of each class by itself, against the background alone, makes touching structures take from each other
what the others need.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NONE = 1e-4
"""Shares below it are none, shares this near to one are everything."""

_MOST_CLASSES = 6
"""Classes that are considered in a voxel: those with the largest shares."""

_MOST_SWEEPS = 40
_NEAR_ENOUGH = 0.002


@dataclass(frozen=True)
class Share:
    """The share that one class has of some voxels.

    Attributes:
        where: their numbers, in a flattened grid.
        share: of each, from 0 to 1.
        wanted: number of voxels that the class should have.
    """

    where: NDArray[np.int64]
    share: NDArray[np.float32]
    wanted: float


def divide(shares: Sequence[Share], voxels: int) -> NDArray[np.int32]:
    """The class of each of `voxels` voxels: 0 for the background, 1 for the first of `shares`, ...

    The background has what is left of each voxel; its own number follows from the others'.
    """
    winner = np.zeros(voxels, dtype=np.int32)
    missing = np.zeros(len(shares) + 1)
    contested = []
    for number, found in enumerate(shares, 1):
        sole = found.share > 1 - _NONE
        winner[found.where[sole]] = number
        missing[number] = found.wanted - np.count_nonzero(sole)
        partly = ~sole & (found.share > _NONE)
        contested.append((number, found.where[partly], found.share[partly]))
    if not any(len(where) for _, where, _ in contested):
        return winner
    wanted = np.array([0.0, *(found.wanted for found in shares)])
    numbers, classes, values = _table(contested)
    offsets = _offsets(classes, values, missing, _NEAR_ENOUGH * wanted)
    best = (values + offsets[classes]).argmax(axis=1)
    winner[numbers] = np.take_along_axis(classes, best[:, None], axis=1)[:, 0]
    return winner


def _table(
    contested: Sequence[tuple[int, NDArray[np.int64], NDArray[np.float32]]],
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Voxels whose class is open, one a row: their numbers, the classes in question and their shares.

    The first column is the background; places without a class have the background's number and the share -inf.
    """
    where = np.concatenate([part for _, part, _ in contested])
    share = np.concatenate([part for _, _, part in contested])
    owner = np.repeat([number for number, _, _ in contested], [len(part) for _, part, _ in contested])
    order = np.lexsort((-share, where))
    where, share, owner = where[order], share[order], owner[order]
    first = np.flatnonzero(np.r_[True, where[1:] != where[:-1]])
    counts = np.diff(np.r_[first, len(where)])
    row = np.repeat(np.arange(len(first)), counts)
    column = np.arange(len(where)) - np.repeat(first, counts) + 1
    width = min(int(counts.max()), _MOST_CLASSES) + 1
    classes = np.zeros((len(first), width), dtype=np.int32)
    values = np.full((len(first), width), -np.inf, dtype=np.float32)
    kept = column < width
    classes[row[kept], column[kept]] = owner[kept]
    values[row[kept], column[kept]] = share[kept]
    rest = 1 - np.add.reduceat(share, first)
    values[:, 0] = np.where(rest > _NONE, rest, -np.inf)
    return where[first], classes, values


def _offsets(
    classes: NDArray[np.int32],
    values: NDArray[np.float32],
    missing: NDArray[np.float64],
    tolerance: NDArray[np.float64],
) -> NDArray[np.float32]:
    """An offset for each class, with which it wins the voxels in `missing`: to `tolerance` where whole voxels allow."""
    offsets = np.zeros(len(missing), dtype=np.float32)
    scores = values.copy()
    rows, columns = np.nonzero(np.isfinite(values[:, 1:]))
    columns += 1
    order = np.argsort(classes[rows, columns], kind="stable")
    rows, columns = rows[order], columns[order]
    bounds = np.searchsorted(classes[rows, columns], np.arange(len(missing) + 1))
    for _ in range(_MOST_SWEEPS):
        winner = np.take_along_axis(classes, scores.argmax(axis=1)[:, None], axis=1)[:, 0]
        error = np.abs(np.bincount(winner, minlength=len(missing)) - missing)
        wrong = [k for k in range(1, len(missing)) if error[k] > max(0.5, tolerance[k])]
        moved = False
        # The worst first: what they take or give away decides what the others find.
        for number in sorted(wrong, key=lambda k: -error[k] / max(tolerance[k], 1e-9)):
            own = slice(bounds[number], bounds[number + 1])
            if own.start == own.stop:
                continue
            row, column = rows[own], columns[own]
            others = scores[row]
            others[np.arange(len(row)), column] = -np.inf
            level = np.float32(_level(others.max(axis=1) - values[row, column], missing[number]))
            if level != offsets[number]:
                offsets[number] = level
                scores[row, column] = values[row, column] + level
                moved = True
        if not moved:
            break
    return offsets


def _level(needed: NDArray[np.float32], wanted: float) -> float:
    """The offset at which `wanted` of the voxels that need these offsets at least are won."""
    count = int(np.clip(round(wanted), 0, len(needed)))
    ends = np.partition(needed, [max(count - 1, 0), min(count, len(needed) - 1)])
    if count == 0:
        return float(ends[0]) - 1e-4
    last = float(ends[count - 1])
    if count == len(needed):
        return last + 1e-4
    if float(ends[count]) > last:
        return (last + float(ends[count])) / 2
    # Voxels that need the same go together: with or without them, whichever is nearer.
    fewer, more = np.count_nonzero(needed < last), np.count_nonzero(needed <= last)
    return last + 1e-6 if more - wanted < wanted - fewer else last - 1e-6
