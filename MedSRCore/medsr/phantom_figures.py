"""What a model did on digital phantoms: the short record that its bundle carries, in words, and compared.

`medsr.evaluation.phantoms` measures it, ``Testing/benchmarks/bench_phantoms.py`` writes it. A record holds for the
weights whose checksum it names and for no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BENCH = "medsr-phantoms/1"

RULES: Mapping[str, tuple[int, float, str]] = {
    "kept": (1, 0.0, "lesions kept"),
    "moved": (-1, 0.0, "lesions moved"),
    "lost": (-1, 0.0, "lesions lost"),
    "made_per_cm3": (-1, 0.0, "lesions made per cm3"),
    "own_per_cm3": (-1, 0.0, "lesions of its own making per cm3"),
    "sharper": (-1, 1.0, "% of patches sharper than right"),
    "two_gain": (1, 0.1, "mm of resolution gained"),
    "letters": (1, 1.0, "letters read"),
    "fold_made": (0, 2.0, "% of a fold shown where there is none"),
}
"""Figure -> what is better (1 more, -1 less, 0 nearer to nothing), what roundings may differ by, its name."""

FIGURES = ("shown", "shrunk", "two_x", "two_y", "two_z", "contrast_ball_3", "contrast_ball_8", *RULES)
"""What a record keeps of each case."""

_MOST_CASES = 20


def is_record(value: object) -> bool:
    """True for a record, and for nothing in its place; what comes from elsewhere may be anything."""
    if value == {}:
        return True
    if not isinstance(value, Mapping) or not isinstance(value.get("cases"), Mapping):
        return False
    if not all(isinstance(value.get(name), str) for name in ("bench", "weights", "modality")):
        return False
    cases = value["cases"]
    return len(cases) <= _MOST_CASES and all(
        isinstance(name, str) and len(name) <= 100 and _are_figures(figures) for name, figures in cases.items()
    )


def _are_figures(figures: object) -> bool:
    if not isinstance(figures, Mapping) or not {"shown", "kept"} <= set(figures) <= set(FIGURES):
        return False
    numbers = figures.values()
    return all(isinstance(v, int | float) and not isinstance(v, bool) and -1e6 < v < 1e6 for v in numbers)


def sentences(record: Mapping[str, Any]) -> list[str]:
    """The record for people, one sentence per case."""
    return [f"{case}: {_sentence(figures)}" for case, figures in record.get("cases", {}).items()]


def _sentence(figures: Mapping[str, float]) -> str:
    shown = figures["shown"]
    parts = [f"{figures['kept']:.0f} of {shown:.0f} lesions kept" if shown else "the input shows no lesion"]
    parts += [f"{figures[name]:.0f} {name}" for name in ("shrunk", "moved", "lost") if figures.get(name)]
    if "made_per_cm3" in figures:
        made, own = figures["made_per_cm3"], figures.get("own_per_cm3", 0.0)
        parts.append(f"{made:.2g} made per cm3 (not by noise: {own:.2g})" if made else "none made")
    if "two_gain" in figures:
        gain = round(figures["two_gain"], 1)
        where = f"{abs(gain):.1f} mm {'closer' if gain > 0 else 'farther'} than" if gain else "as close as"
        parts.append(f"tells two lines apart {where} a B-spline")
    if "sharper" in figures:
        parts.append(f"sharper than right in {figures['sharper']:.0f} % of patches")
    return ", ".join(parts)


def worse(candidate: Mapping[str, Any], shipped: Mapping[str, Any]) -> list[str]:
    """In what a record is worse than that of the shipped model, in words; empty where it is not.

    A case that the candidate lacks is worse: what was measured stays measured.
    """
    found = []
    for case, before in shipped.get("cases", {}).items():
        now = candidate.get("cases", {}).get(case)
        if now is None:
            found.append(f"{case}: not measured")
            continue
        for name, (better, slack, words) in RULES.items():
            if name in before and not _as_good(now.get(name), before[name], better, slack):
                value = "nothing" if name not in now else f"{now[name]:.3g}"
                found.append(f"{case}: {value} {words}, shipped {before[name]:.3g}")
    return found


def _as_good(now: float | None, before: float, better: int, slack: float) -> bool:
    if now is None:
        return False
    # A record is rounded to six digits.
    slack += 1e-6
    return abs(now) <= abs(before) + slack if better == 0 else better * (now - before) >= -slack
