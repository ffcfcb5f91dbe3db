"""Bar charts of gains as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from medsr.evaluation.rows import METRICS, EvaluationTable
from medsr.evaluation.statistics import Gain, gain
from medsr.evaluation.tables import format_gain

# Distinguishable for people who confuse red and green, on a dark ground (after Okabe and Ito, 2008).
_COLOURS = ("#8c96a3", "#56b4e9", "#e69f00", "#1fbf8f", "#cc79a7", "#f0e442", "#d55e00", "#a78bfa")

_WIDTH, _LABEL, _VALUE, _BAR, _GAP, _TOP = 420, 104, 84, 13, 14, 34


@dataclass(frozen=True)
class _Bar:
    case: str
    model: str
    gain: Gain


def model_colours(models: Sequence[str]) -> dict[str, str]:
    """A colour for each model, the same on the whole page."""
    return {model: _COLOURS[i % len(_COLOURS)] for i, model in enumerate(models)}


def gain_chart(table: EvaluationTable, metric: str, baseline: str) -> str:
    """Horizontal bars, one group per case: gain of every model over `baseline` with its 95 % interval.

    Right of zero is better whatever the metric. Returns "" when there is nothing to compare.
    """
    colours = model_colours(table.models)
    bars = [
        _Bar(case, model, found)
        for case in table.cases
        for model in table.models
        if model != baseline and (found := gain(table, metric, model, baseline, case=case)) is not None
    ]
    if not bars:
        return ""
    low, high, step = _axis([v for bar in bars for v in (bar.gain.mean, bar.gain.low, bar.gain.high) if v is not None])
    plot = _WIDTH - _LABEL - _VALUE

    def x(value: float) -> float:
        return round(_LABEL + plot * (value - low) / (high - low), 1)

    body, y, case = [], float(_TOP), ""
    for bar in bars:
        if bar.case != case:
            y += _GAP if case else 0
            case = bar.case
            body.append(f'<text class="case" x="0" y="{y + 8:.0f}">{escape(case)}</text>')
            y += 15
        body.append(_bar(bar, y, x, colours[bar.model], metric))
        y += _BAR + 5
    height = y + 26
    shown = METRICS[metric]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    ticks = []
    for i in range(round((high - low) / step) + 1):
        value = low + i * step
        weight = "zero" if abs(value) < step / 2 else "tick"
        text = f"{value:+.{decimals}f}" if weight == "tick" else "0"
        ticks.append(
            f'<line class="{weight}" x1="{x(value)}" x2="{x(value)}" y1="{_TOP - 4}" y2="{y:.0f}"/>'
            f'<text class="scale" x="{x(value)}" y="{y + 14:.0f}">{text}</text>'
        )
    unit = f" ({shown.unit})" if shown.unit else ""
    better = "" if shown.higher_is_better else ", lower is better: bars show the decrease"
    title = f"{shown.label} gain over {baseline}{unit}"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f'<text class="title" x="0" y="12">{escape(title)}</text>'
        f'<text class="note" x="0" y="25">{escape(shown.label + better if better else "")}</text>'
        f"{''.join(ticks)}{''.join(body)}</svg>"
    )


def _bar(bar: _Bar, y: float, x: Callable[[float], float], colour: str, metric: str) -> str:
    start, end = sorted((x(0.0), x(bar.gain.mean)))
    middle = y + _BAR / 2
    parts = [
        f'<text class="name" x="{_LABEL - 6}" y="{y + _BAR - 3:.1f}">{escape(_short(bar.model))}</text>',
        f'<rect x="{start}" y="{y:.1f}" width="{max(end - start, 0.5):.1f}" height="{_BAR}" rx="1.5" fill="{colour}"/>',
    ]
    right = end
    if bar.gain.low is not None and bar.gain.high is not None:
        low, high = x(bar.gain.low), x(bar.gain.high)
        right = max(end, high)
        parts.append(
            f'<path class="interval" d="M{low} {middle:.1f}H{high}'
            f'M{low} {middle - 3.5:.1f}v7M{high} {middle - 3.5:.1f}v7"/>'
        )
    digits = METRICS[metric].digits
    parts.append(
        f'<text class="value" x="{max(right, x(0.0)) + 5}" y="{y + _BAR - 3:.1f}">{bar.gain.mean:+.{digits}f}</text>'
    )
    tip = escape(f"{bar.model}, {bar.case}: {format_gain(bar.gain, metric)}, {bar.gain.volumes} volumes")
    return f"<g><title>{tip}</title>{''.join(parts)}</g>"


def _axis(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower end, upper end and step of an axis that holds zero and all values, with 3 to 6 round steps."""
    low, high = min(0.0, *values), max(0.0, *values)
    span = (high - low) or 1.0
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(power * m for m in (1, 2, 5, 10) if span / (power * m) <= 5)
    return math.floor(low / step + 1e-9) * step, max(math.ceil(high / step - 1e-9) * step, step), step


def _short(name: str) -> str:
    return name if len(name) <= 16 else name[:15] + "…"
