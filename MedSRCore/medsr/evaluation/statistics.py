"""From rows to statements: means, and differences with the uncertainty that few subjects leave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medsr.errors import InvalidValueError, unknown_name
from medsr.evaluation.rows import METRICS, EvaluationTable

RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Gain:
    """By how much a model is better than a baseline, over the volumes that both have a figure for.

    Attributes:
        mean: mean of the paired gains; positive is better, also where a low figure is good.
        low: lower end of the 95 % interval, None for fewer than two volumes.
        high: upper end.
        volumes: how many volumes were compared.
    """

    mean: float
    low: float | None
    high: float | None
    volumes: int

    @property
    def is_certain(self) -> bool:
        """True when the interval leaves out zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def means(table: EvaluationTable, metric: str) -> dict[tuple[str, str], float]:
    """(case, model) -> mean over the volumes that have a figure."""
    found: dict[tuple[str, str], float] = {}
    for case in table.cases:
        for model in table.models:
            values = table.by_volume(metric, case=case, model=model)
            if values:
                found[case, model] = float(np.mean([values[v] for v in sorted(values)]))
    return found


def gain(
    table: EvaluationTable,
    metric: str,
    model: str,
    baseline: str,
    *,
    case: str | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Gain | None:
    """Paired gain of `model` over `baseline`, with a percentile bootstrap interval.

    Volumes are the subjects: they are resampled with replacement, each with all its cases, because voxels and cases of
    one volume are not independent (Efron and Tibshirani, An Introduction to the Bootstrap, 1993). The interval is
    reproducible: neither the order of rows nor other models change it. With one volume there is none.

    Args:
        table: the rows.
        metric: a name of METRICS.
        model: what is judged.
        baseline: what it is compared with.
        case: one case, or None for the mean over the cases that both models have.
        seed: of the resampling.
        resamples: number of resamples.

    Returns:
        The gain, or None when no volume has both figures.

    Raises:
        UnknownNameError: no such metric.
        InvalidValueError: fewer than one resample.
    """
    if metric not in METRICS:
        raise unknown_name("metric", metric, METRICS)
    if resamples < 1:
        raise InvalidValueError(f"The bootstrap needs at least one resample, got {resamples}.")
    paired = _paired_gains(table, metric, model, baseline, case)
    if not paired:
        return None
    gains = np.array([paired[volume] for volume in sorted(paired)])
    if gains.size < 2:
        return Gain(float(gains[0]), None, None, 1)
    drawn = np.random.default_rng(seed).integers(0, gains.size, (resamples, gains.size))
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(gains[drawn].mean(axis=1), [tail, 100 - tail])
    return Gain(float(gains.mean()), float(low), float(high), int(gains.size))


def _paired_gains(table: EvaluationTable, metric: str, model: str, baseline: str, case: str | None) -> dict[str, float]:
    """Volume -> mean gain over its cases; a case counts where both models have a figure."""
    collected: dict[str, list[float]] = {}
    for name in table.cases if case is None else [case]:
        ours = table.by_volume(metric, case=name, model=model)
        theirs = table.by_volume(metric, case=name, model=baseline)
        for volume in ours.keys() & theirs.keys():
            collected.setdefault(volume, []).append(METRICS[metric].gain(ours[volume], theirs[volume]))
    return {volume: float(np.mean(values)) for volume, values in collected.items()}
