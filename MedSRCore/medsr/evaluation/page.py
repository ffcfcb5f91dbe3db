"""One self-contained HTML page: pictures, charts and figures of an evaluation. It loads nothing from anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from medsr.catalog import PERCEPTUAL
from medsr.evaluation.charts import gain_chart, model_colours
from medsr.evaluation.plates import Plate, View
from medsr.evaluation.png import data_uri, difference_palette, palette_png
from medsr.evaluation.rows import METRICS, ORACLE, EvaluationTable, Row
from medsr.evaluation.statistics import means
from medsr.evaluation.style import SCRIPT, STYLE
from medsr.evaluation.tables import BASELINES, format_value, full_table, marked, means_table, versions

MAX_BYTES = 5_500_000
"""Pictures beyond this size are left out, so that the page can be mailed."""

_CAPTION_METRICS = ("psnr", "ssim", "hfen")
_CHART_METRICS = ("psnr", "ssim", "hfen")
_DISCLAIMER = "Research software: not a medical device, not for clinical decisions."
_NAMES = {"reference": "Reference", "input": "Input"}


@dataclass(frozen=True)
class Source:
    """Where data on the page comes from.

    Attributes:
        name: what it is.
        text: authors, licence, what must be said.
        url: where to read more, or "".
    """

    name: str
    text: str
    url: str = ""


def render_page(
    table: EvaluationTable,
    plates: Sequence[Plate] = (),
    *,
    title: str = "MedSR evaluation",
    introduction: Sequence[str] = (),
    sources: Sequence[Source] = (),
    baseline: str = "bspline",
) -> str:
    """The page as text.

    Args:
        table: the figures.
        plates: pictures, in the order to show them; those that would make the page too large are left out and counted.
        title: head of the page.
        introduction: paragraphs below it.
        sources: data to credit.
        baseline: what the charts compare with; the first model where it was not evaluated.
    """
    shown, left_out = _within_limit(plates)
    models = table.models
    if baseline not in models and models:
        baseline = models[0]
    parts = [
        header(title, introduction),
        _charts(table, baseline),
        _means(table, baseline),
        *(plate_section(plate, model_colours(models)) for plate in shown),
    ]
    if left_out:
        parts.append(f'<p class="note">{left_out} more sets of pictures are left out to keep the page small.</p>')
    parts += [_every_result(table), footer(sources)]
    return document(title, parts)


def document(title: str, parts: Sequence[str]) -> str:
    """The whole page as text, of its sections; empty ones are left out."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(filter(None, parts))
        + f"\n<script>{SCRIPT}</script></body></html>\n"
    )


def header(title: str, introduction: Sequence[str]) -> str:
    """The title with the paragraphs below it."""
    paragraphs = "".join(f"<p>{escape(text)}</p>" for text in introduction)
    return f'<header><h1>{escape(title)}</h1>{paragraphs}<p class="warning">{_DISCLAIMER}</p></header>'


def _within_limit(plates: Sequence[Plate]) -> tuple[list[Plate], int]:
    shown: list[Plate] = []
    size = 0
    for plate in plates:
        size += plate.bytes
        if size > MAX_BYTES:
            break
        shown.append(plate)
    return shown, len(plates) - len(shown)


def _charts(table: EvaluationTable, baseline: str) -> str:
    charts = [chart for metric in _CHART_METRICS if (chart := gain_chart(table, metric, baseline))]
    if not charts:
        return ""
    count = len(table.volumes)
    note = (
        f"Mean over {count} volumes; the lines are 95 % bootstrap intervals over volumes."
        if count > 1
        else "One volume: no interval can be given, and another volume may turn out otherwise."
    )
    oracle = (
        f" {ORACLE} knows the exact slice profile and chooses its weight with the truth: the most that linear physics "
        "can give."
        if ORACLE in table.models
        else ""
    )
    figures = "".join(f"<figure>{chart}</figure>" for chart in charts)
    note = f'<p class="note">{escape(note + oracle)}</p>'
    return f'<section><h2>Gain</h2><div class="charts">{figures}</div>{note}</section>'


def _means(table: EvaluationTable, baseline: str) -> str:
    baselines = [b for b in dict.fromkeys((baseline, *BASELINES)) if b in table.models]
    head, lines = means_table(table, baselines)
    best: dict[tuple[str, str], str] = {}
    for metric in _CAPTION_METRICS:
        values = means(table, metric)
        for case in table.cases:
            known = [model for model in table.models if (case, model) in values]
            if known:
                first = max(known, key=lambda model: METRICS[metric].gain(values[case, model], 0.0))
                best[case, metric] = marked(first, first in table.perceptual)
    columns = {3 + i: m for i, m in enumerate(("psnr", "psnr_mask", "ssim", "hfen"))}
    body = []
    for index, line in enumerate(lines):
        cells = []
        for column, text in enumerate(line):
            winner = column in columns and best.get((line[0], columns[column])) == line[1]
            cells.append(f"<td{' class=best' if winner else ''}>{escape(text)}</td>")
        starts = index == 0 or lines[index - 1][0] != line[0]
        body.append(f"<tr{' class=first' if starts else ''}>{''.join(cells)}</tr>")
    caution = ""
    if table.perceptual:
        names = ", ".join(sorted(table.perceptual))
        caution = f'<p class="warning">{escape(names)}: {escape(PERCEPTUAL)}.</p>'
    return (
        f"<section><h2>Figures</h2>{html_table(head, body)}{caution}<p class=note>PSNR with the range of the "
        "reference; PSNR inside and bias within the foreground; SSIM in 3D; HFEN: error of fine detail, lower is "
        "better; Unexplained: share of the input that the result does not give back when degraded again.</p></section>"
    )


def _every_result(table: EvaluationTable) -> str:
    head, lines = full_table(table)
    body = [f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in line)}</tr>" for line in lines]
    failed = f", {len(table.failures)} failed" if table.failures else ""
    summary = f"<summary>Every result ({len(table)} rows{failed})</summary>"
    return f"<section><details>{summary}{html_table(head, body)}</details></section>"


def html_table(head: Sequence[str], body: Sequence[str]) -> str:
    """A table of rows that are HTML already."""
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    return f'<div class="scroll"><table><thead><tr>{cells}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


def plate_section(plate: Plate, colours: dict[str, str]) -> str:
    """The pictures of a plate, column by column."""
    figures = {row.model: row for row in plate.rows}
    heads = "".join(_column_head(column, figures.get(column), colours, plate.captions) for column in plate.columns)
    lines = "".join(_view(view, plate, explained=index == 0) for index, view in enumerate(plate.views))
    failures = "".join(
        f'<p class="warning">{escape(row.model)} failed: {escape(row.error)}</p>' for row in plate.rows if row.error
    )
    return (
        f'<section class="plate"><h2>{escape(plate.volume)} <span>{escape(plate.case)}</span></h2>'
        f"<p>{escape(plate.description)}</p>{failures}"
        f'<div class="grid" style="--columns:{len(plate.columns)}"><div></div>{heads}{lines}</div>'
        "<p class=note>Click a picture to enlarge it; the arrow keys left and right then change the column in place, "
        "up and down the line.</p></section>"
    )


def _column_head(column: str, row: Row | None, colours: dict[str, str], captions: Mapping[str, str]) -> str:
    if column in captions:
        colour = colours.get(column, "transparent")
        text = f"<b>{escape(_NAMES.get(column, column))}</b><small>{escape(captions[column])}</small>"
        return f'<div class="head" style="border-color:{colour}">{text}</div>'
    if row is None:
        text = {"reference": "the truth", "input": "as measured, pixels as they are"}.get(column, "")
        return f'<div class="head"><b>{escape(_NAMES.get(column, column))}</b><small>{text}</small></div>'
    parts = [f"{METRICS[m].label} {format_value(m, row.value(m))} {METRICS[m].unit}" for m in _CAPTION_METRICS]
    if row.perceptual:
        parts.append(PERCEPTUAL)
    figures = "".join(f"<span>{part.strip()}</span> " for part in parts)
    colour = colours.get(column, "#888")
    return f'<div class="head" style="border-color:{colour}"><b>{escape(column)}</b><small>{figures}</small></div>'


def _view(view: View, plate: Plate, *, explained: bool) -> str:
    lines = [f'<div class="line">{escape(view.title)}</div>']
    lines += [_picture(view, column, view.images[column], "image") for column in plate.columns]
    if not view.differences:
        return "".join(lines)
    lines.append('<div class="line">difference</div>')
    for column in plate.columns:
        if column in view.differences:
            lines.append(_picture(view, column, view.differences[column], "difference"))
        else:
            lines.append(_colour_bar(plate, explained=explained))
    return "".join(lines)


def _picture(view: View, column: str, uri: str, kind: str) -> str:
    pixelated = " pixels" if view.is_patch or column == "input" else ""
    label = f"{_NAMES.get(column, column)}, {view.title}" + (", difference" if kind == "difference" else "")
    extras = ""
    if view.letters:
        extras = "".join(f'<i class="{side}">{letter}</i>' for side, letter in zip("trbl", view.letters, strict=True))
    if view.patch and kind == "image" and column == "reference":
        top, left, height, width = (f"{100 * v:.2f}%" for v in view.patch)
        extras += f'<em style="top:{top};left:{left};height:{height};width:{width}"></em>'
    return (
        f'<div class="cell" style="aspect-ratio:{view.width_mm:.4f}/{view.height_mm:.4f}" '
        f'data-line="{escape(view.title)}/{kind}" data-column="{escape(column)}">'
        f'<img class="picture{pixelated}" src="{uri}" alt="{escape(label)}">{extras}</div>'
    )


def _colour_bar(plate: Plate, *, explained: bool) -> str:
    """Key of the difference maps; the words once per plate are enough."""
    palette = difference_palette()
    ramp = palette_png(np.arange(len(palette), dtype=np.uint8)[None], palette)
    share = 100 * plate.limit / (plate.window[1] - plate.window[0])
    words = (
        "<small>result &minus; reference, in intensities of the image; "
        f"full colour at {share:.2g} % of the window. Blue: too dark. Orange: too bright.</small>"
    )
    return (
        f'<div class="key"><img src="{data_uri(ramp)}" alt="colours of the difference">'
        f"<div><span>&minus;{plate.limit:g}</span><span>0</span><span>+{plate.limit:g}</span></div>"
        f"{words if explained else ''}</div>"
    )


def footer(sources: Sequence[Source] = ()) -> str:
    """Data to credit, and what made the page."""
    items = []
    for source in sources:
        link = f' <a href="{escape(source.url)}">{escape(source.url)}</a>' if source.url else ""
        items.append(f"<p><b>{escape(source.name)}</b> {escape(source.text)}{link}</p>")
    made = ", ".join(f"{name} {version}" for name, version in versions().items())
    return f"<footer>{''.join(items)}<p>Made with {escape(made)}. {_DISCLAIMER}</p></footer>"
