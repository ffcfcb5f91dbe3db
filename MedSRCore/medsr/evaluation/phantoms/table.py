"""The figures of the phantoms as CSV and JSON for programs, and as tables for people."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Sequence

from medsr.catalog import PERCEPTUAL
from medsr.evaluation.phantoms.rows import (
    BIAS_METRICS,
    DETAIL_METRICS,
    LESION_METRICS,
    METRICS,
    SCHEMA,
    PhantomRow,
    PhantomTable,
)
from medsr.evaluation.phantoms.scenes import BALLS_MM
from medsr.evaluation.rows import Metric
from medsr.evaluation.tables import MARK, fixed, markdown_table, marked, rounded, versions

TITLES = {
    "Lesions": LESION_METRICS,
    "Resolution, and what no training saw": DETAIL_METRICS,
    "Bias by size": BIAS_METRICS,
}
"""The tables, in their order."""

_SHORT = ("two_x", "two_y", "two_z", "two_gain", "letters", "fold_made", *(f"contrast_ball_{d:g}" for d in BALLS_MM))
SHORT = tuple(metric for metric in METRICS if metric.name in _SHORT)
"""Of the second and third table what fits a terminal."""

NOTES = {
    "Lesions": "Shown: how many lesions the input shows (signal-to-noise ratio of 5 or more); kept, shrunk, moved and "
    "lost are of these. Made: lesions in the result where there are none, per cm3 of tissue; own: those of them that "
    "the noise of the input, plainly enlarged, does not show. Too sharp: patches that claim finer detail than agrees "
    "with the truth. Agrees to: how fine the median patch is right.",
    "Resolution, and what no training saw": "Lines: distance along x, y, z from which on two lines are two (Rayleigh); "
    "gain: how much less that is than for the B-spline, along the slice axis. Squares, plaque, folds: 100 % is as it "
    "was; below 0 a checkerboard is its own negative. Missing fold: how much of one is shown where there is none.",
    "Bias by size": "Of the contrast, and of the volume beyond half of it (contrasts of 20 %), of the lesions that the "
    "input shows; 0 is as it was.",
}
"""What the columns mean."""


def to_csv(table: PhantomTable) -> str:
    """One line per row; an empty field where there is no figure."""
    out = io.StringIO()
    names = ["case", "model", "model_used", "perceptual", "seconds", *(m.name for m in METRICS), "error"]
    writer = csv.DictWriter(out, names, restval="", lineterminator="\n")
    writer.writeheader()
    for row in table.rows:
        line = {name: getattr(row, name) for name in names if hasattr(row, name)}
        writer.writerow({k: "" if v is None else rounded(v) for k, v in {**line, **row.figures}.items()})
    return out.getvalue()


def to_json(table: PhantomTable) -> str:
    """The table with what made it; the same table gives the same text."""
    data: dict[str, object] = {
        "schema": SCHEMA,
        "versions": versions(),
        "modality": table.modality,
        "edge_mm": table.edge_mm,
        "seed": table.seed,
    }
    rows = []
    for row in table.rows:
        line = {k: rounded(v) for k, v in dataclasses.asdict(row).items() if k != "figures" and v not in (None, "")}
        rows.append({**line, "figures": {k: rounded(v) for k, v in row.figures.items()}})
    return json.dumps({**data, "rows": rows}, indent=1, allow_nan=False)


def to_markdown(table: PhantomTable) -> str:
    """Every table with its note."""
    lines: list[str] = []
    for title, metrics in TITLES.items():
        lines += [f"### {title}", "", *markdown_table(*text_table(table, metrics)), "", NOTES[title], ""]
    if any(row.perceptual for row in table.rows):
        lines += [f"{MARK} {PERCEPTUAL}", ""]
    return "\n".join(lines[:-1]) + "\n"


def text_table(table: PhantomTable, metrics: Sequence[Metric]) -> tuple[list[str], list[list[str]]]:
    """Head and lines, as text; columns that no row has are left out, a failure shows its reason."""
    metrics = [m for m in metrics if any(m.name in row.figures for row in table.rows)]
    head = ["case", "model", *(f"{m.label} {m.unit}".strip() for m in metrics)]
    lines = [[row.case, marked(row.model, row.perceptual), *_cells(row, metrics)] for row in table.rows]
    if table.failures:
        head.append("note")
        lines = [[*line, row.error] for line, row in zip(lines, table.rows, strict=True)]
    return head, lines


def _cells(row: PhantomRow, metrics: Sequence[Metric]) -> list[str]:
    return [format_figure(m, row.figures[m.name]) if m.name in row.figures else "" for m in metrics]


def format_figure(metric: Metric, value: float) -> str:
    """A figure with the decimals that mean something; small numbers keep two digits, and nothing is 0."""
    if metric.digits == 4:
        return "0" if value == 0 else f"{value:.2g}"
    return fixed(value, metric.digits)
