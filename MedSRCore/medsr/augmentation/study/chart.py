"""The differences and their intervals as one picture (SVG)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from medsr.augmentation.study.findings import Finding, format_gain
from medsr.augmentation.study.scores import SCORES
from medsr.augmentation.study.sentences import subjects_text

# Distinguishable for people who confuse red and green (after Okabe and Ito, 2008).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c6d00", "#56b4e9", "#555555")
_PANELS = ("dice", "boundary_dice")
_NAMES, _PANEL, _GAP, _LINE, _TOP = 190, 300, 64, 22, 58

_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#1f2328}.title{font-size:13px;font-weight:600}.soft{fill:#59636e;"
    "font-size:11px}.group{font-weight:600}.end{text-anchor:end}.middle{text-anchor:middle}.zero{stroke:#59636e}"
    ".tick{stroke:#e3e6ea}"
)


def gain_chart(findings: Sequence[Finding], baseline: str) -> str:
    """Dots with 95 % intervals: gain over `baseline` in Dice and boundary Dice, mean over structures.

    Returns "" when there is nothing to compare.
    """
    shown = [f for f in findings if f.baseline == baseline and not f.structure and f.gain and f.metric in _PANELS]
    if not shown:
        return ""
    sizes = list(dict.fromkeys(f.size for f in shown))
    arms = list(dict.fromkeys(f.arm for f in shown))
    colours = {arm: _COLOURS[i % len(_COLOURS)] for i, arm in enumerate(arms)}
    lines: list[tuple[int, str | None]] = []
    for size in sizes:
        lines.append((size, None))
        lines += [(size, arm) for arm in arms if any(f.size == size and f.arm == arm for f in shown)]
    bottom = _TOP + _LINE * len(lines)
    body = []
    for number, (size, arm) in enumerate(lines):
        y = _TOP + _LINE * number + 15
        name = subjects_text(size) if arm is None else arm
        kind, x = ("group", 0) if arm is None else ("end", _NAMES - 14)
        body.append(f'<text class="{kind}" x="{x}" y="{y}">{escape(name)}</text>')
    for number, metric in enumerate(_PANELS):
        found = {(f.size, f.arm): f for f in shown if f.metric == metric}
        body.append(_panel(metric, found, lines, _NAMES + number * (_PANEL + _GAP), bottom, colours))
    width, height = _NAMES + len(_PANELS) * (_PANEL + _GAP), bottom + 30
    title = f"Gain over {baseline!r}, mean and 95 % interval; right of zero is better"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(title)}"><style>{_STYLE}</style><rect width="100%" height="100%" fill="#fff"/>'
        f'<text class="soft" x="0" y="14">{escape(title)}</text>{"".join(body)}</svg>\n'
    )


def _panel(
    metric: str,
    found: dict[tuple[int, str], Finding],
    lines: Sequence[tuple[int, str | None]],
    left: int,
    bottom: int,
    colours: dict[str, str],
) -> str:
    gains = [f.gain for f in found.values() if f.gain]
    ends = [v for g in gains for v in (g.mean, g.low, g.high) if v is not None]
    step, low, high = _axis(ends)

    def x(value: float) -> float:
        return round(left + _PANEL * (value - low) / (high - low), 1)

    parts = [f'<text class="title" x="{left}" y="38">{escape(SCORES[metric].label)}</text>']
    for i in range(round((high - low) / step) + 1):
        value = low + i * step
        is_zero = abs(value) < step / 2
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        parts.append(
            f'<line class="{"zero" if is_zero else "tick"}" x1="{x(value)}" x2="{x(value)}" y1="{_TOP - 8}" '
            f'y2="{bottom}"/><text class="soft middle" x="{x(value)}" y="{bottom + 16}">'
            f"{'0' if is_zero else f'{value:+.{decimals}f}'}</text>"
        )
    for number, (size, arm) in enumerate(lines):
        finding = found.get((size, arm or ""))
        if arm is None or finding is None or finding.gain is None:
            continue
        y, gain = _TOP + _LINE * number + 11, finding.gain
        tip = f"{arm}, {subjects_text(size)}: {format_gain(gain, metric)}, {gain.volumes} subjects"
        interval = ""
        if gain.low is not None and gain.high is not None:
            interval = f'<path d="M{x(gain.low)} {y}H{x(gain.high)}" stroke="{colours[arm]}" stroke-width="2.5"/>'
        parts.append(
            f"<g><title>{escape(tip)}</title>{interval}"
            f'<circle cx="{x(gain.mean)}" cy="{y}" r="4.5" fill="{colours[arm]}"/></g>'
        )
    return "".join(parts)


def _axis(values: Sequence[float]) -> tuple[float, float, float]:
    """Step, lower and upper end of an axis for zero and all values, with about four round steps.

    Values may pass an end by a twentieth of a step; another step for so little would leave the panel half empty.
    """
    low, high = min(0.0, *values), max(0.0, *values)
    span = (high - low) or 0.01
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(power * m for m in (1, 2, 5, 10) if span / (power * m) <= 5)
    return step, math.floor(low / step + 0.05) * step, max(math.ceil(high / step - 0.05) * step, step)
