"""From scores to statements: differences between arms, with the uncertainty of subjects and of trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medsr.augmentation.study.design import COPIES, REAL, SYNTHETIC, StudyDesign, arm_at
from medsr.augmentation.study.results import Row
from medsr.augmentation.study.scores import SCORES
from medsr.evaluation.statistics import CONFIDENCE, RESAMPLES, Gain

Cells = Mapping[tuple[int, int], Mapping[str, float]]


@dataclass(frozen=True)
class Finding:
    """By how much an arm is better than another, for one metric and training-set size.

    Attributes:
        size: number of training subjects, 0 for all.
        arm: what is judged.
        baseline: what it is compared with.
        metric: a name of SCORES.
        structure: its name, or "" for the mean over structures.
        gain: positive is better, also where a low figure is good; None where no run can be compared.
        trainings: pairs of networks that were compared.
    """

    size: int
    arm: str
    baseline: str
    metric: str
    structure: str
    gain: Gain | None
    trainings: int


def find_all(rows: Sequence[Row], design: StudyDesign) -> list[Finding]:
    """Every arm against the real images, the copies of the training set against every control, and where it is tested.

    Networks that were tested on copies, too, are compared with the one of real images tested on real images. Tested on
    another set, a network is compared with itself on real images and on the sets before, an arm with the one of real
    images there.
    """
    pairs = [(arm.name, REAL) for arm in design.arms if arm.extra]
    controls = [arm.name for arm in design.arms if arm.extra not in ("", SYNTHETIC)]
    pairs += [(arm.name, name) for arm in design.arms if arm.extra == SYNTHETIC for name in controls]
    seen = {row.arm for row in rows}
    on_copies = [name for arm in design.arms if (name := arm_at(arm.name, COPIES)) in seen]
    pairs += [(name, REAL) for name in on_copies]
    pairs += [(on_copies[0], name) for name in on_copies[1:]]
    for number, place in enumerate(design.test_on):
        for arm in design.arms:
            name = arm_at(arm.name, place)
            pairs += [(name, arm.name)]
            pairs += [(name, arm_at(arm.name, other)) for other in design.test_on[:number]]
            pairs += [(name, arm_at(REAL, place))] if arm.extra else []
    structures = ["", *dict.fromkeys(row.structure for row in rows)]
    return [
        compare(rows, size, arm, baseline, metric, structure)
        for size in design.sizes
        for metric in SCORES
        for structure in structures
        for arm, baseline in pairs
    ]


def compare(
    rows: Sequence[Row], size: int, arm: str, baseline: str, metric: str, structure: str = "", seed: int = 0
) -> Finding:
    """Paired difference of two arms with a percentile bootstrap interval.

    Networks are compared that share fold and seed, and so training subjects, first weights and test images. What is
    uncertain is which subjects were tested and how the trainings turned out. Both are resampled: within each fold the
    seeds and the subjects are drawn with replacement, independently (Efron and Tibshirani, An Introduction to the
    Bootstrap, 1993; for two crossed factors Owen 2007, The pigeonhole bootstrap); with one seed, the folds, of which
    each has a training of its own. Resampling the subjects alone would take the luck of a few trainings for an effect.

    Args:
        rows: of all runs.
        size: of the training sets.
        arm: what is judged.
        baseline: what it is compared with.
        metric: a name of SCORES.
        structure: one of them, or "" for the mean over structures.
        seed: of the resampling.
    """
    ours = _cells(rows, size, arm, metric, structure)
    theirs = _cells(rows, size, baseline, metric, structure)
    blocks = []
    trainings = 0
    for fold in sorted({fold for fold, _ in ours}):
        seeds = [s for f, s in sorted(ours) if f == fold and (f, s) in theirs]
        pairs = [(ours[fold, s], theirs[fold, s]) for s in seeds]
        subjects = sorted(set.intersection(*(set(a) & set(b) for a, b in pairs))) if pairs else []
        if subjects:
            trainings += len(seeds)
            blocks.append(np.array([[SCORES[metric].gain(a[s], b[s]) for s in subjects] for a, b in pairs]))
    return Finding(size, arm, baseline, metric, structure, _bootstrap(blocks, seed), trainings)


def mean_score(rows: Sequence[Row], size: int, arm: str, metric: str, structure: str = "") -> float | None:
    """Mean over subjects and seeds; None where there is no run."""
    cells = _cells(rows, size, arm, metric, structure)
    values = [value for found in cells.values() for value in found.values()]
    return float(np.mean(values)) if values else None


def best_dice(rows: Sequence[Row]) -> dict[int, float]:
    """Size of the training sets -> mean Dice of the arm that does best with them."""
    arms = {(row.size, row.arm) for row in rows}
    means = [(size, mean) for size, arm in sorted(arms) if (mean := mean_score(rows, size, arm, "dice")) is not None]
    return {size: max(mean for other, mean in means if other == size) for size, _ in means}


def format_gain(gain: Gain | None, metric: str) -> str:
    """``+0.0120 [+0.0080, +0.0160]``, "" where there is nothing to compare."""
    if gain is None:
        return ""
    mean, *limits = (
        # Adding zero turns the negative zero that rounding leaves into a plain one.
        f"{round(value, SCORES[metric].digits) + 0.0:+.{SCORES[metric].digits}f}"
        for value in (gain.mean, gain.low, gain.high)
        if value is not None
    )
    return f"{mean} [{', '.join(limits)}]" if limits else mean


def _cells(rows: Sequence[Row], size: int, arm: str, metric: str, structure: str) -> Cells:
    """(fold, seed) -> subject -> mean over structures and cases."""
    collected: dict[tuple[int, int], dict[str, list[float]]] = {}
    for row in rows:
        if row.size == size and row.arm == arm and structure in ("", row.structure):
            cell = collected.setdefault((row.fold, row.seed), {})
            cell.setdefault(row.subject, []).append(float(getattr(row, metric)))
    return {key: {s: float(np.mean(v)) for s, v in cell.items()} for key, cell in collected.items()}


def _bootstrap(blocks: Sequence[NDArray[np.float64]], seed: int) -> Gain | None:
    """Mean and interval of blocks ``(seeds, subjects)``, one for each fold, resampled along both axes.

    With a single seed the folds are resampled in place of the seeds.
    """
    if not blocks:
        return None
    sizes = np.array([block.shape[1] for block in blocks])
    mean = sum(float(block.mean(axis=0).sum()) for block in blocks) / sizes.sum()
    if sizes.sum() < 2:
        return Gain(mean, None, None, 1)
    rng = np.random.default_rng(seed)
    one_seed = all(block.shape[0] == 1 for block in blocks)
    folds = _draws(rng, len(blocks)) if one_seed else np.ones((RESAMPLES, len(blocks)))
    total, counted = np.zeros(RESAMPLES), folds @ sizes
    for number, block in enumerate(blocks):
        seeds, subjects = (_draws(rng, n) / n for n in block.shape)
        total += folds[:, number] * sizes[number] * np.einsum("rs,sn,rn->r", seeds, block, subjects)
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(total / counted, [tail, 100 - tail])
    return Gain(mean, float(low), float(high), int(sizes.sum()))


def _draws(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """How often each of `count` things is drawn, with replacement, in every resample."""
    return rng.multinomial(count, [1 / count] * count, size=RESAMPLES).astype(np.float64)
