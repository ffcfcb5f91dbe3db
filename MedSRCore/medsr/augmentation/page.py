"""One self-contained HTML page on which a person sees at a glance whether the copies are good."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from medsr.augmentation.cases import Dataset
from medsr.augmentation.pictures import Pair, colour_of, draw_pairs
from medsr.augmentation.quality import MOST_GROWTH, Finding
from medsr.evaluation.style import SCRIPT, STYLE
from medsr.evaluation.tables import versions

MOST_PICTURED = 30
"""Copies with pictures: the flagged ones first, then some of every recipe."""

_MOST_LINES = 500
_DISCLAIMER = "Research software: not a medical device, not for clinical decisions."
_STYLE = """
.grid{--columns:2;max-width:1100px}
.copies{display:grid;grid-template-columns:repeat(auto-fit,minmax(420px,1fr));gap:14px}
.copies h2{font-size:15px;overflow-wrap:anywhere}
.copies section{margin:0;padding:12px 14px}
.swatch{display:inline-block;width:12px;height:12px;border-radius:3px;margin:0 5px 0 12px;vertical-align:-1px}
"""


def render_page(
    dataset: Dataset,
    findings: Sequence[Finding],
    problems: Sequence[tuple[str, str]],
    warnings: Sequence[str],
    plan: Mapping[str, Any],
) -> str:
    """The page as text.

    Args:
        dataset: the new training set.
        findings: of its copies.
        problems: name and reason for each case that was left out and each copy that failed.
        warnings: about the source.
        plan: as `describe_plan` gives it.
    """
    structures = {name: value for name, value in dataset.labels.items() if value}
    flagged = [finding for finding in findings if finding.reasons]
    title = f"Training set {dataset.name}"
    parts = [
        f"<header><h1>{escape(title)}</h1>",
        f"<p>{len(dataset.real)} originals and {len(dataset.synthetic)} copies made by MedSR. "
        f"{len(flagged)} copies are flagged, {len(problems)} could not be made.</p>",
        *(f"<p>{escape(str(line))}</p>" for line in plan["lines"][:2]),
        f'<p class="warning">{_DISCLAIMER}</p></header>',
        _training(plan),
        _problems(problems, warnings),
        _flagged(flagged),
        _recipes(findings, structures),
        _pictures(_pictured(findings), structures),
        _every_copy(findings, structures),
        _footer(),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}{_STYLE}</style></head>\n<body>\n"
        + "\n".join(filter(None, parts))
        + f"\n<script>{SCRIPT}</script></body></html>\n"
    )


def _training(plan: Mapping[str, Any]) -> str:
    """The commands that train on the folds of this set, and what else a trainer does with it."""
    if not plan["next"]:
        return ""
    commands = "\n".join(map(str, plan["next"]))
    about = [f"<p class=note>{escape(str(line))}</p>" for line in plan["lines"][3:]]
    note = (
        "<p class=note>Other ways of preprocessing may leave the folds behind: nnU-Net then draws its own, and trains "
        "on copies of the patients that it validates on. The check refuses that.</p>"
    )
    return f"<section><h2>Train with it</h2><pre>{escape(commands)}</pre>{note}{''.join(about)}</section>"


def _problems(problems: Sequence[tuple[str, str]], warnings: Sequence[str]) -> str:
    if not problems and not warnings:
        return ""
    lines = [f'<p class="warning"><b>{escape(name)}</b>: {escape(reason)}</p>' for name, reason in problems]
    lines += [f"<p>{escape(text)}</p>" for text in warnings[:_MOST_LINES]]
    return f"<section><h2>Problems and warnings</h2>{''.join(lines)}</section>"


def _flagged(flagged: Sequence[Finding]) -> str:
    if not flagged:
        return ""
    rows = [[f.name, f.recipe, "; ".join(f.reasons)] for f in flagged[:_MOST_LINES]]
    note = (
        f"<p class=note>A copy is flagged when a structure grows or shrinks by more than {100 * MOST_GROWTH:.0f} % or "
        "its intensities move. Look at it before you train with it.</p>"
    )
    return f"<section><h2>Look at these</h2>{_table(['Copy', 'Recipe', 'Why'], rows)}{note}</section>"


def _recipes(findings: Sequence[Finding], structures: Mapping[str, int]) -> str:
    """Per recipe and structure: mean and worst change of volume, overlap, and how often the topology changed."""
    rows = []
    for recipe in dict.fromkeys(finding.recipe for finding in findings):
        own = [finding for finding in findings if finding.recipe == recipe]
        models = ", ".join(sorted({finding.model for finding in own}))
        for name in structures:
            changes = [100 * c for f in own if (c := f.changes.get(name)) is not None]
            spread = (
                [f"{np.mean(changes):+.2f} %", f"{min(changes):+.2f} %", f"{max(changes):+.2f} %"]
                if changes
                else ["", "", ""]
            )
            dice = [d for f in own if (d := f.dice.get(name)) is not None]
            torn = sum(f.topology[name][0] != f.topology[name][1] for f in own if name in f.topology)
            shape = [f"{np.mean(dice):.3f}", f"{min(dice):.3f}", f"{torn} of {len(own)}"] if dice else ["", "", ""]
            rows.append([recipe, name, str(len(changes)), *spread, *shape, models])
    if not rows:
        return ""
    head = [
        "Recipe", "Structure", "Copies", "Mean change of volume", "Lowest", "Highest", "Mean Dice", "Lowest",
        "Other topology", "Model",
    ]  # fmt: skip
    note = (
        "<p class=note>Dice is with the original, after going back to its grid. Topology is the number of pieces, "
        "tunnels and cavities; single voxels that touch at a corner may join or part on a finer grid.</p>"
    )
    caution = ""
    if any(finding.perceptual for finding in findings):
        caution = '<p class="warning">perceptual: may invent detail. Some copies come from such a model.</p>'
    return f"<section><h2>Structures</h2>{_table(head, rows)}{note}{caution}</section>"


def _pictured(findings: Sequence[Finding]) -> list[Finding]:
    """Flagged copies first, then copies spread evenly over the rest."""
    chosen = [finding for finding in findings if finding.reasons][:MOST_PICTURED]
    rest = [finding for finding in findings if not finding.reasons]
    room = min(MOST_PICTURED - len(chosen), len(rest))
    return chosen + [rest[i * len(rest) // room] for i in range(room)]


def _pictures(findings: Sequence[Finding], structures: Mapping[str, int]) -> str:
    if not findings:
        return ""
    key = "".join(
        f'<span class="swatch" style="background:rgb{colour_of(index)}"></span>{escape(name)}'
        for index, name in enumerate(structures)
    )
    sections = "".join(_pictured_copy(finding, draw_pairs(finding, structures)) for finding in findings)
    note = (
        "<p class=note>Original on the left, copy on the right, through the fullest slice of the structures. Click a "
        "picture to enlarge it; the arrow keys then change between original and copy.</p>"
    )
    return f"<section><h2>Pictures</h2><p>{key}</p>{note}<div class=copies>{sections}</div></section>"


def _pictured_copy(finding: Finding, pairs: Iterable[Pair]) -> str:
    about = ", ".join(filter(None, [finding.model, finding.drawn]))
    reasons = f'<p class="warning">{escape("; ".join(finding.reasons))}</p>' if finding.reasons else ""
    cells = [
        f'<div></div><div class="head"><b>original</b></div><div class="head"><b>{escape(finding.recipe)}</b></div>'
    ]
    for pair in pairs:
        cells.append(f'<div class="line">{escape(pair.plane)}</div>')
        cells += [_cell(finding, pair, "original", pair.original), _cell(finding, pair, "copy", pair.copy)]
    return (
        f"<section><h2>{escape(finding.name)}</h2><p class=note>{escape(about)}</p>{reasons}"
        f'<div class="grid">{"".join(cells)}</div></section>'
    )


def _cell(finding: Finding, pair: Pair, column: str, uri: str) -> str:
    label = f"{finding.name}, {pair.plane}, {column}"
    return (
        f'<div class="cell" style="aspect-ratio:{pair.width_mm:.4f}/{pair.height_mm:.4f}" '
        f'data-line="{escape(pair.plane)}" data-column="{column}">'
        f'<img class="pixels" src="{uri}" alt="{escape(label)}"></div>'
    )


def _every_copy(findings: Sequence[Finding], structures: Mapping[str, int]) -> str:
    rows = []
    for finding in findings[:_MOST_LINES]:
        changes = [finding.changes.get(name) for name in structures]
        texts = ["" if change is None else f"{100 * change:+.2f} %" for change in changes]
        rows.append([finding.name, finding.recipe, *texts, _torn(finding, structures), finding.drawn])
    more = len(findings) - _MOST_LINES
    note = f"<p class=note>{more} more copies are told by their sidecars.</p>" if more > 0 else ""
    head = ["Copy", "Recipe", *structures, "Pieces, tunnels, cavities", "Drawn"]
    return (
        f"<section><details><summary>Every copy ({len(findings)}), change of volume</summary>{_table(head, rows)}{note}"
        "</details></section>"
    )


def _torn(finding: Finding, structures: Iterable[str]) -> str:
    """The structures whose topology is another one than in the original."""
    pairs = {name: finding.topology[name] for name in structures if name in finding.topology}
    changed = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    return "; ".join(
        f"{name} {', '.join(map(str, was))} to {', '.join(map(str, now))}" for name, (was, now) in changed.items()
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>'


def _footer() -> str:
    made = ", ".join(f"{name} {version}" for name, version in versions().items())
    return f"<footer><p>Made with {escape(made)}. {_DISCLAIMER}</p></footer>"
