"""What a study found, as CSV and JSON for programs and as Markdown for people."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medsr.augmentation.study.chart import gain_chart
from medsr.augmentation.study.design import COPIES, REAL, arm_and_place, arm_at
from medsr.augmentation.study.findings import Finding, best_dice, find_all, format_gain, mean_score
from medsr.augmentation.study.plan import Study
from medsr.augmentation.study.results import Row, RunResult, all_rows
from medsr.augmentation.study.scores import SCORES
from medsr.augmentation.study.sentences import conclusions, subjects_text
from medsr.evaluation.tables import markdown_table
from medsr.io import Staging

SCHEMA = "medsr-augmentation-study/1"
TABLE, DATA, SUMMARY, CHART = "scores.csv", "study.json", "study.md", "study.svg"


def write_report(study: Study, results: Sequence[RunResult], folder: Path) -> list[str]:
    """Write `TABLE`, `DATA`, `SUMMARY` and `CHART` into `folder`, replacing earlier ones.

    Returns:
        What was found, in sentences.
    """
    rows = all_rows(results)
    findings = find_all(rows, study.design)
    found = conclusions(findings, study.design, best_dice(rows))
    chart = _chart(findings, study)
    texts = {
        TABLE: _csv(rows),
        DATA: _json(study, results, findings, found),
        SUMMARY: _markdown(study, results, rows, findings, found, with_chart=bool(chart)),
        CHART: chart,
    }
    folder.mkdir(parents=True, exist_ok=True)
    with Staging(overwrite=True) as staging:
        for name, text in texts.items():
            if text:
                staging.draft(folder / name).write_text(text, encoding="utf-8")
    return found


def _chart(findings: Sequence[Finding], study: Study) -> str:
    """Of the arms; where there is one only, of the sets that it is tested on against the first of them."""
    if len(study.design.arms) > 1:
        return gain_chart([f for f in findings if arm_and_place(f.arm)[1] in ("", COPIES)], REAL)
    return gain_chart(findings, arm_at(REAL, study.design.test_on[0]))


def _csv(rows: Sequence[Row]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, [field.name for field in dataclasses.fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(dataclasses.asdict(row) for row in rows)
    return out.getvalue()


def _json(study: Study, results: Sequence[RunResult], findings: Sequence[Finding], found: Sequence[str]) -> str:
    conditions = {key: value for key, value in study.conditions().items() if key not in ("images", "truth")}
    data = {
        "schema": SCHEMA,
        "found": list(found),
        "design": _design(study, results),
        "conditions": conditions,
        "findings": [
            {
                **dataclasses.asdict(dataclasses.replace(finding, gain=None)),
                "gain": _rounded(dataclasses.asdict(finding.gain)) if finding.gain else None,
            }
            for finding in findings
        ],
    }
    return json.dumps(data, indent=1) + "\n"


def _design(study: Study, results: Sequence[RunResult]) -> dict[str, Any]:
    return {
        "arms": [arm.name for arm in study.design.arms],
        "folds": study.design.folds,
        "seeds": study.design.seeds,
        "sizes": list(study.design.sizes),
        "test_on": list(study.design.test_on),
        "runs": len(list(study.design.runs())),
        "finished": len(results),
        "seconds": round(sum(result.seconds for result in results), 1),
    }


def _markdown(
    study: Study,
    results: Sequence[RunResult],
    rows: Sequence[Row],
    findings: Sequence[Finding],
    found: Sequence[str],
    *,
    with_chart: bool,
) -> str:
    design = _design(study, results)
    subjects = len({row.subject for row in rows})
    spacing = " x ".join(f"{s:g}" for s in study.spacing)
    lines = [
        "# Do the copies help?",
        "",
        *(f"- {sentence}" for sentence in found),
        "",
        f"{design['finished']} of {design['runs']} runs of {', '.join(design['arms'])} in {study.design.folds} folds, "
        f"{study.design.seeds} seeds; {subjects} of {len(study.subjects)} subjects tested. Networks of "
        f"{study.recipe.steps} steps on voxels of {spacing} mm, {design['seconds'] / max(len(results), 1):.0f} s each.",
        "",
    ]
    if with_chart:
        lines += [f"![gains with their 95 % intervals]({CHART})", ""]
    lines += ["## Means", "", *markdown_table(*_means(study, rows)), ""]
    lines += [
        "## Differences",
        "",
        "Positive is better for every measure. Paired by subject; 95 % intervals from resampling subjects and "
        "trainings. Of twenty such intervals one leaves out zero by chance.",
        "",
        *markdown_table(*_differences(findings, "")),
        "",
    ]
    for structure in study.structures:
        lines += [f"### {structure}", "", *markdown_table(*_differences(findings, structure)), ""]
    return "\n".join(lines)


def _means(study: Study, rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    head = ["size", "arm", *(f"{m.label} {m.unit}".strip() for m in SCORES.values())]
    seen = {row.arm for row in rows}
    places = ("", COPIES, *study.design.test_on)
    arms = [name for arm in study.design.arms for place in places if (name := arm_at(arm.name, place)) in seen]
    lines = []
    for size in study.design.sizes:
        for arm in arms:
            means = {name: mean_score(rows, size, arm, name) for name in SCORES}
            cells = ["" if v is None else f"{v:.{SCORES[name].digits}f}" for name, v in means.items()]
            lines.append([subjects_text(size), arm, *cells])
    return head, lines


def _differences(findings: Sequence[Finding], structure: str) -> tuple[list[str], list[list[str]]]:
    head = ["size", "arm", "against", *(f"{m.label} {m.unit}".strip() for m in SCORES.values())]
    cells: dict[tuple[int, str, str], dict[str, str]] = {}
    for finding in findings:
        if finding.structure == structure:
            line = cells.setdefault((finding.size, finding.arm, finding.baseline), {})
            line[finding.metric] = format_gain(finding.gain, finding.metric)
    lines = [
        [subjects_text(s), arm, base, *(line[m] for m in SCORES)]
        for (s, arm, base), line in cells.items()
        if any(line.values())
    ]
    return head, lines


def _rounded(gain: Mapping[str, Any]) -> dict[str, Any]:
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in gain.items()}
