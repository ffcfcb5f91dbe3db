"""What an evaluation found: one row per volume, case and model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from medsr.errors import unknown_name

ORACLE = "tikhonov-oracle"
"""Tikhonov deconvolution with the true profile and the weight that is best for the truth: the strongest closed form."""

BICUBIC = "bicubic"
"""Bicubic enlargement as the super-resolution literature compares with: Keys 1981 with a = -0.5, as PIL has it."""


@dataclass(frozen=True)
class Metric:
    """How one figure is shown and read.

    Attributes:
        name: column of the table.
        label: for people.
        unit: "" where there is none.
        digits: decimals to show.
        higher_is_better: direction of the gain; None where zero is best.
    """

    name: str
    label: str
    unit: str
    digits: int
    higher_is_better: bool | None

    def gain(self, value: float, baseline: float) -> float:
        """How much better `value` is than `baseline`; negative when worse."""
        if self.higher_is_better is None:
            return abs(baseline) - abs(value)
        return value - baseline if self.higher_is_better else baseline - value


METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("psnr", "PSNR", "dB", 2, True),
        Metric("psnr_mask", "PSNR inside", "dB", 2, True),
        Metric("ssim", "SSIM", "", 4, True),
        Metric("hfen", "HFEN", "", 3, False),
        Metric("perceptual_distance", "Perceptual (texture-net, trained here)", "", 4, False),
        Metric("bias", "Bias", "", 3, None),
        Metric("redegraded", "Unexplained", "", 4, False),
        Metric("seconds", "Time", "s", 1, False),
    )
}


@dataclass(frozen=True)
class Row:
    """One model on one case of one volume. The figures are those of `medsr.metrics`, None where it failed.

    Attributes:
        volume: name of the subject.
        case: label of the degradation, noise and misstated width included.
        model: name as asked; `model_used` is what the inference reports.
        perceptual_distance: difference of the features that a network sees in both, where it was asked for.
        seconds: wall-clock time of the enlargement.
        peak_mb: highest memory of the process during the enlargement beyond what it held before, where known.
        smoothness: the weight that the oracle chose.
        perceptual: True for a model that may invent detail, as its report says.
        error: why there are no figures, or "".
    """

    volume: str
    case: str
    model: str
    psnr: float | None = None
    psnr_mask: float | None = None
    ssim: float | None = None
    hfen: float | None = None
    bias: float | None = None
    redegraded: float | None = None
    perceptual_distance: float | None = None
    seconds: float | None = None
    peak_mb: float | None = None
    model_used: str = ""
    smoothness: float | None = None
    perceptual: bool = False
    error: str = ""

    def value(self, metric: str) -> float | None:
        """The figure called `metric`; raise UnknownNameError for one that does not exist."""
        if metric not in METRICS:
            raise unknown_name("metric", metric, METRICS)
        found: float | None = getattr(self, metric)
        return found


@dataclass(frozen=True)
class EvaluationTable:
    """All rows of an evaluation, in the order in which they were made. Tables add up."""

    rows: tuple[Row, ...] = ()

    def __add__(self, other: EvaluationTable) -> EvaluationTable:
        return EvaluationTable(self.rows + other.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    @property
    def volumes(self) -> list[str]:
        """Names of the subjects, in order of appearance."""
        return _distinct([row.volume for row in self.rows])

    @property
    def cases(self) -> list[str]:
        """Labels of the cases, in order of appearance."""
        return _distinct([row.case for row in self.rows])

    @property
    def models(self) -> list[str]:
        """Names of the models, in order of appearance."""
        return _distinct([row.model for row in self.rows])

    @property
    def perceptual(self) -> frozenset[str]:
        """Names of the models that may invent detail."""
        return frozenset(row.model for row in self.rows if row.perceptual)

    @property
    def failures(self) -> list[Row]:
        """Rows without figures."""
        return [row for row in self.rows if row.error]

    def select(self, *, case: str | None = None, model: str | None = None) -> list[Row]:
        """Rows of a case and a model that did not fail."""
        return [
            row
            for row in self.rows
            if not row.error and (case is None or row.case == case) and (model is None or row.model == model)
        ]

    def by_volume(self, metric: str, *, case: str | None = None, model: str) -> dict[str, float]:
        """The figure of every volume that has one; the mean over cases when `case` is None."""
        found: dict[str, list[float]] = {}
        for row in self.select(case=case, model=model):
            value = row.value(metric)
            if value is not None:
                found.setdefault(row.volume, []).append(value)
        return {volume: sum(values) / len(values) for volume, values in found.items()}


def _distinct(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(names))
