"""The figures as CSV and JSON for programs, and as Markdown for people."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Sequence
from importlib import metadata

from medsr.catalog import PERCEPTUAL
from medsr.errors import InputError
from medsr.evaluation.rows import METRICS, ORACLE, EvaluationTable, Row
from medsr.evaluation.statistics import Gain, gain, means

SCHEMA = "medsr-evaluation/1"
BASELINES = ("bspline", ORACLE)
_PACKAGES = ("medsr", "numpy", "scipy", "SimpleITK", "torch", "monai")
_COLUMNS = [field.name for field in dataclasses.fields(Row)]
_SHOWN = ("psnr", "psnr_mask", "ssim", "hfen", "perceptual_distance", "bias", "redegraded", "seconds")
_OPTIONAL = "perceptual_distance"
MARK = "\u2020"


def versions() -> dict[str, str]:
    """Installed versions of the packages that the figures may depend on; absent ones are left out."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def to_csv(table: EvaluationTable) -> str:
    """One line per row; an empty field where there is no figure."""
    out = io.StringIO()
    writer = csv.DictWriter(out, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in table:
        writer.writerow({k: rounded(v) for k, v in dataclasses.asdict(row).items()})
    return out.getvalue()


def to_json(table: EvaluationTable, *, date: str | None = None) -> str:
    """The table with the versions that made it; the same table gives the same text unless a `date` is given."""
    data: dict[str, object] = {"schema": SCHEMA, "versions": versions()}
    if date is not None:
        data["date"] = date
    data["rows"] = [{k: rounded(v) for k, v in dataclasses.asdict(row).items() if _is_known(v)} for row in table]
    return json.dumps(data, indent=1, allow_nan=False)


def from_json(text: str) -> EvaluationTable:
    """Read what `to_json` wrote; raise InputError for anything else."""
    try:
        data = json.loads(text)
        if data["schema"] != SCHEMA:
            raise InputError(f"This table has the schema {data['schema']!r}; {SCHEMA!r} can be read.")
        return EvaluationTable(tuple(Row(**row) for row in data["rows"]))
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(f"This is not a table of an evaluation: {error!r}.") from error


def to_markdown(table: EvaluationTable, *, baselines: Sequence[str] = BASELINES) -> str:
    """Means per case with the gain in PSNR over each baseline, then every row."""
    present = [name for name in baselines if name in table.models]
    lines = ["### Means", ""]
    if present:
        lines += [
            f"Gains in PSNR (dB) over {' and '.join(present)}, paired by volume, with 95 % bootstrap intervals.",
            "",
        ]
    lines += markdown_table(*means_table(table, present))
    if table.perceptual:
        lines += ["", f"{MARK} {PERCEPTUAL}"]
    lines += ["", "### Every result", "", *markdown_table(*full_table(table))]
    return "\n".join(lines) + "\n"


def means_table(table: EvaluationTable, baselines: Sequence[str] = BASELINES) -> tuple[list[str], list[list[str]]]:
    """Head and lines, as text: one line per case and model."""
    shown = shown_metrics(table)
    head = ["case", "model", "volumes", *(_heading(m) for m in shown), *(f"gain over {b}" for b in baselines)]
    by_metric = {m: means(table, m) for m in shown}
    lines = []
    for case in table.cases:
        for model in table.models:
            rows = table.select(case=case, model=model)
            failed = sum(row.case == case and row.model == model for row in table.failures)
            if not rows and not failed:
                continue
            count = f"{len(rows)} ({failed} failed)" if failed else str(len(rows))
            cells = [case, marked(model, model in table.perceptual), count]
            cells += [format_value(m, by_metric[m].get((case, model))) for m in shown]
            cells += [format_gain(gain(table, "psnr", model, b, case=case)) if b != model else "" for b in baselines]
            lines.append(cells)
    return head, lines


def full_table(table: EvaluationTable) -> tuple[list[str], list[list[str]]]:
    """Head and lines, as text: every row; a failure shows its reason."""
    shown = shown_metrics(table)
    head = ["volume", "case", "model", *(_heading(m) for m in shown), "memory MB", "note"]
    lines = []
    for row in table:
        note = row.error or (f"weight {row.smoothness:.2g}" if row.smoothness is not None else "")
        if not note and row.model_used not in ("", row.model):
            note = f"used {row.model_used}"
        memory = "" if row.peak_mb is None else f"{row.peak_mb:.0f}"
        values = [format_value(m, row.value(m)) for m in shown]
        lines.append([row.volume, row.case, marked(row.model, row.model in table.perceptual), *values, memory, note])
    return head, lines


def shown_metrics(table: EvaluationTable) -> list[str]:
    """The metrics that tables have columns for: all but those that were not asked for."""
    asked = any(row.value(_OPTIONAL) is not None for row in table)
    return [name for name in _SHOWN if asked or name != _OPTIONAL]


def marked(model: str, perceptual: bool) -> str:
    """The model's name, with a dagger where it may invent detail."""
    return f"{model} {MARK}" if perceptual else model


def format_value(metric: str, value: float | None) -> str:
    """A figure with the decimals that mean something; "" where there is none."""
    return "" if value is None else fixed(value, METRICS[metric].digits)


def format_gain(found: Gain | None, metric: str = "psnr") -> str:
    """``+1.20 [+0.80, +1.60]``; the interval is left out where there is none."""
    if found is None:
        return ""
    digits = METRICS[metric].digits
    text = fixed(found.mean, digits, sign="+")
    if found.low is None or found.high is None:
        return text
    return f"{text} [{fixed(found.low, digits, sign='+')}, {fixed(found.high, digits, sign='+')}]"


def fixed(value: float, digits: int, sign: str = "-") -> str:
    """With so many decimals; ``sign="+"`` for a sign that always stands."""
    # Adding zero turns the negative zero that rounding leaves into a plain one.
    return f"{round(value, digits) + 0.0:{sign}.{digits}f}"


def _heading(metric: str) -> str:
    shown = METRICS[metric]
    return f"{shown.label} {shown.unit}".strip()


def markdown_table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    texts = [[cell.replace("|", "\\|").replace("\n", " ") for cell in line] for line in (head, *lines)]
    out = [f"| {' | '.join(line)} |" for line in texts]
    return [out[0], "|" + "---|" * len(head), *out[1:]]


def _is_known(value: object) -> bool:
    # JSON has no infinity, which is the PSNR of a perfect result: it is left out like what was not measured.
    return value not in (None, "", False) and not (isinstance(value, float) and not math.isfinite(value))


def rounded(value: object) -> object:
    """A number as files hold it."""
    # Enough digits to tell results apart, few enough that two machines usually agree on the text.
    return float(f"{value:.6g}") if isinstance(value, float) else value
