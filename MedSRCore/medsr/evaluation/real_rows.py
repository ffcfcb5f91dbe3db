"""What a comparison with a second measured series found: one row per model and profile, as CSV, JSON and Markdown."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from medsr.catalog import PERCEPTUAL
from medsr.evaluation.blocks import Estimate
from medsr.evaluation.detail import BANDS, COARSE
from medsr.evaluation.registration import RigidFit
from medsr.evaluation.rows import Metric
from medsr.evaluation.tables import MARK, markdown_table, marked, versions

SCHEMA = "medsr-real-series/1"

BASELINE = "bspline"
"""What every figure is compared with; it is always computed."""

_WIDTH = Metric("slice_width", "slice width", "mm", 2, None)
_ENDS = ("", "_low", "_high")

DETAIL, DIFFERENCE = "detail", "difference"
"""Kinds of test: correlation with a stack whose plane holds the slice axis; difference from a finer parallel series."""


@dataclass(frozen=True)
class RealTest:
    """Which test two series allow.

    Attributes:
        kind: `DETAIL` or `DIFFERENCE`.
        across: grid axis (x, y, z order) across the slices of the first series.
        apart_mm: distance of its slices.
        other_across: grid axis across the slices of the other one.
        other_thickness_mm: of its slices, as stated, else their distance.
        reason: why this test, in a sentence.
    """

    kind: str
    across: int
    apart_mm: float
    other_across: int
    other_thickness_mm: float
    reason: str


@dataclass(frozen=True)
class RealRow:
    """One model.

    Attributes:
        model: name as asked.
        profile: what it was told of the slice axis, "auto" for nothing.
        taken: slice profile that it worked with, in words.
        figures: name of a metric -> figure; empty where the model failed.
        model_used: what the inference reports.
        seconds: wall-clock time of the enlargement.
        perceptual: True for a model that may invent detail.
        error: why there are no figures, or "".
    """

    model: str
    profile: str = "auto"
    taken: str = ""
    figures: Mapping[str, Estimate] = field(default_factory=dict)
    model_used: str = ""
    seconds: float | None = None
    perceptual: bool = False
    error: str = ""

    @property
    def label(self) -> str:
        """What tables call it."""
        return self.model if self.profile == "auto" else f"{self.model} {self.profile}"


@dataclass(frozen=True)
class RealTable:
    """What a comparison with a real series found.

    Attributes:
        thick: name of the series that was enlarged.
        other: name of the series that judges.
        test: which test, and why.
        unit: of the intensities, "HU" or "".
        rows: one per model and profile.
        pixels: number of pixels (voxels) of the other series that count.
        blocks: number of blocks of 20 mm that they lie in.
        fit: how the other series was moved, None where it was not.
        slice_width_mm: of the Gaussian that the slices of the first series are like, as the other one has it; None
            where it cannot be told.
        warnings: what a person should know.
    """

    thick: str
    other: str
    test: RealTest
    unit: str
    rows: tuple[RealRow, ...]
    pixels: int
    blocks: int
    fit: RigidFit | None = None
    slice_width_mm: Estimate | None = None
    warnings: tuple[str, ...] = ()

    @property
    def failures(self) -> list[RealRow]:
        """Rows without figures."""
        return [row for row in self.rows if row.error]

    @property
    def metrics(self) -> list[Metric]:
        """What the figures are, in the order of the columns; those that no row has are left out."""
        known = DETAIL_METRICS if self.test.kind == DETAIL else difference_metrics(self.unit)
        return [metric for metric in known if any(metric.name in row.figures for row in self.rows)]


def _detail_metrics() -> tuple[Metric, ...]:
    found = []
    for band in BANDS:
        found += [
            Metric(band.name, f"r, {band.label}", "", 3, True),
            Metric(f"{band.name}_ratio", f"r / {BASELINE}", "", 2, True),
            Metric(f"{band.name}_amplitude", "amplitude", "", 2, None),
        ]
    return (*found, Metric(COARSE.name, f"r, {COARSE.label}", "", 3, True))


DETAIL_METRICS = _detail_metrics()
"""Correlation, its ratio to the baseline's, and amplitude relative to the other series, band by band."""


def difference_metrics(unit: str) -> tuple[Metric, ...]:
    """Figures against a finer series, in the order of the columns."""
    return (
        Metric("rmse", "RMSE", unit, 1, False),
        Metric("rmse_ratio", f"RMSE / {BASELINE}", "", 3, False),
        Metric("psnr", "PSNR", "dB", 2, True),
        Metric("ssim", "SSIM", "", 4, True),
        Metric("bias", "Bias", unit, 2, None),
    )


def to_csv(table: RealTable) -> str:
    """One line per row; each figure with the ends of its interval; an empty field where there is none."""
    names = [f"{metric.name}{end}" for metric in table.metrics for end in _ENDS]
    known = ("model", "profile", "taken", "model_used", "seconds", "perceptual", "error")
    out = io.StringIO()
    writer = csv.DictWriter(out, ["test", "thick", "other", *known[:4], *names, *known[4:]], lineterminator="\n")
    writer.writeheader()
    for row in table.rows:
        line = {"test": table.test.kind, "thick": table.thick, "other": table.other}
        line |= {name: _rounded(getattr(row, name)) for name in known}
        for name, found in row.figures.items():
            line |= {name + end: _rounded(v) for end, v in zip(_ENDS, dataclasses.astuple(found), strict=True)}
        writer.writerow(line)
    return out.getvalue()


def to_json(table: RealTable) -> str:
    """The table with the versions that made it; the same table gives the same text."""
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "versions": versions(),
        "thick": table.thick,
        "other": table.other,
        "test": dataclasses.asdict(table.test),
        "unit": table.unit,
        "pixels": table.pixels,
        "blocks": table.blocks,
        "movement": None if table.fit is None else movement(table.fit),
        "slice_width_mm": None if table.slice_width_mm is None else _known(dataclasses.asdict(table.slice_width_mm)),
        "warnings": list(table.warnings),
        "rows": [_known(dataclasses.asdict(row)) for row in table.rows],
    }
    return json.dumps(data, indent=1, allow_nan=False)


def to_markdown(table: RealTable) -> str:
    """What was done, then every row."""
    lines = [f"### {table.thick}, judged by {table.other}", ""]
    for sentence in sentences(table):
        lines += [sentence, ""]
    lines += markdown_table(*rows_table(table))
    if any(row.perceptual for row in table.rows):
        lines += ["", f"{MARK} {PERCEPTUAL}"]
    return "\n".join(lines) + "\n"


def sentences(table: RealTable) -> list[str]:
    """What a person should know before reading the figures."""
    told = [table.test.reason]
    if table.fit is not None:
        told.append(f"The other series was moved to fit: {table.fit.describe()}.")
    few = "" if table.blocks >= 8 else "; too few for intervals"
    what = "pixels" if table.test.kind == DETAIL else "voxels"
    told.append(f"{table.pixels} {what} of the other series count, in {table.blocks} blocks of 20 mm{few}.")
    if table.slice_width_mm is not None:
        told.append(
            f"By the other series, slices of {table.thick} are like a Gaussian of "
            f"{format_estimate(_WIDTH, table.slice_width_mm)} mm; they are {table.test.apart_mm:.3g} mm apart."
        )
    return [*told, *table.warnings]


def rows_table(table: RealTable) -> tuple[list[str], list[list[str]]]:
    """Head and lines, as text; a failure shows its reason."""
    metrics = table.metrics
    head = ["model", "profile taken", *(f"{m.label} {m.unit}".strip() for m in metrics), "time s", "note"]
    lines = []
    for row in table.rows:
        note = row.error or ("" if row.model_used in ("", row.model) else f"used {row.model_used}")
        cells = [format_estimate(metric, row.figures.get(metric.name)) for metric in metrics]
        seconds = "" if row.seconds is None else f"{row.seconds:.1f}"
        lines.append([marked(row.label, row.perceptual), row.taken, *cells, seconds, note])
    return head, lines


def format_estimate(metric: Metric, found: Estimate | None) -> str:
    """``0.123 [0.101, 0.145]``; the interval is left out where there is none."""
    if found is None:
        return ""
    text = f"{found.value:.{metric.digits}f}"
    if found.low is None or found.high is None:
        return text
    return f"{text} [{found.low:.{metric.digits}f}, {found.high:.{metric.digits}f}]"


def movement(fit: RigidFit) -> dict[str, Any]:
    """A movement, JSON-ready."""
    return {
        "shift_mm": _rounded(fit.shift_mm),
        "degrees": _rounded(fit.degrees),
        "matrix_lps_mm": [[round(float(v), 6) for v in line] for line in fit.matrix],
    }


def _known(data: Mapping[str, Any]) -> dict[str, Any]:
    """What there is, with numbers rounded."""
    short = {key: _known(value) if isinstance(value, Mapping) else _rounded(value) for key, value in data.items()}
    return {key: value for key, value in short.items() if value not in (None, "", False)}


def _rounded(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    # JSON has no infinity, which is the PSNR of a perfect result.
    return float(f"{value:.6g}") if math.isfinite(value) else None
