"""The table of many results: a row for each, from what is recorded beside it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medsr.batch.tasks import UpscaleTask
from medsr.cohort.work import TaskResult
from medsr.io import Staging
from medsr.io.companions import stage_text

COLUMNS = (
    "name", "status", "model", "size_before", "size_after", "spacing_mm", "residual_percent", "seconds", "warnings",
    "error", "input",
)  # fmt: skip


def row_of(task: UpscaleTask, result: TaskResult) -> dict[str, Any]:
    """What the table says of one result; a column that does not apply is empty."""
    row: dict[str, Any] = {**dict.fromkeys(COLUMNS, ""), "name": task.name, "status": result.status}
    row |= {"input": task.job.input, "error": result.error}
    told = task.recorded()
    if result.error or "model" not in told:
        return row
    return row | {
        "model": told["model"],
        "size_before": _joined(told["input"]["size_xyz"]),
        "size_after": _joined(told["output"]["size_xyz"]),
        "spacing_mm": _joined(told["output"]["spacing_xyz_mm"]),
        "residual_percent": f"{told['consistency']['residual_percent']:.3g}",
        "seconds": f"{told['seconds']:.4g}",
        "warnings": len(told["warnings"]),
    }


def write_table(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the rows as CSV, complete or not at all; a table that was there is replaced."""
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    with Staging(overwrite=True) as staging:
        stage_text(text.getvalue(), path, staging)


def _joined(values: Sequence[float]) -> str:
    return " x ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in values)
