"""The page of a bench: its tables, and pictures of the scenes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from html import escape

import numpy as np

from medsr.catalog import PERCEPTUAL
from medsr.evaluation.charts import model_colours
from medsr.evaluation.page import document, footer, header, html_table, plate_section
from medsr.evaluation.phantoms import objects, pairs
from medsr.evaluation.phantoms.rows import PhantomRow, PhantomTable
from medsr.evaluation.phantoms.scenes import TISSUE, Scene, to_hounsfield
from medsr.evaluation.phantoms.table import NOTES, TITLES, text_table
from medsr.evaluation.plates import Plate, make_plate
from medsr.evaluation.run import Trial

_INTRODUCTION = (
    "Digital phantoms, seen through each acquisition with noise and enlarged again. What is in them is known: what a "
    "model kept, lost and made up can be counted. No training ever saw them.",
)
# Where to cut, as fractions along z, y, x: through what is worth a look.
_CENTRES: Mapping[str, tuple[float, float, float]] = {
    pairs.NAME: (0.5, 0.145, 0.25),
    objects.NAME: (0.155, 0.155, 0.72),
}
_WINDOW = (0.5, 1.3)
"""Share of tissue that is black and white: narrow, so that faint lesions show."""


def make_phantom_plate(trial: Trial, scene: Scene) -> Plate:
    """The pictures of a scene, in a narrow window."""
    low, high = (TISSUE * share for share in _WINDOW)
    if trial.reference.modality == "CT":
        low, high = (float(v) for v in to_hounsfield(np.array([low, high], np.float32)))
    return make_plate(trial, _CENTRES.get(scene.name) or _richest(scene), (low, high))


def _richest(scene: Scene) -> tuple[float, float, float]:
    """The planes with the most lesions, or the middle, as fractions along z, y, x."""
    if not scene.lesions:
        return 0.5, 0.5, 0.5
    places = np.abs(scene.truth - scene.plain)
    best = (int(places.sum(axis=tuple({0, 1, 2} - {axis})).argmax()) for axis in range(3))
    z, y, x = ((index + 0.5) / size for index, size in zip(best, places.shape, strict=True))
    return z, y, x


def render_phantom_page(table: PhantomTable, plates: list[Plate]) -> str:
    """The page as text; it loads nothing from anywhere."""
    parts = [header("MedSR: phantoms", _INTRODUCTION)]
    for title, metrics in TITLES.items():
        head, lines = text_table(table, metrics)
        if len(head) > 2:
            body = [f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in line)}</tr>" for line in lines]
            note = f"<p class=note>{escape(NOTES[title])}</p>"
            parts.append(f"<section><h2>{escape(title)}</h2>{html_table(head, body)}{note}</section>")
    if names := sorted({row.model for row in table.rows if row.perceptual}):
        parts.append(f'<p class="warning">{escape(", ".join(names))}: {escape(PERCEPTUAL)}.</p>')
    colours = model_colours(table.models)
    rows = {(row.case, row.model): row for row in table.rows}
    for plate in plates:
        captions = {m: _caption(plate.volume, rows[plate.case, m]) for m in plate.columns if (plate.case, m) in rows}
        parts.append(plate_section(dataclasses.replace(plate, captions=captions), colours))
    parts.append(footer())
    return document("MedSR: phantoms", parts)


def _caption(scene: str, row: PhantomRow) -> str:
    """What a scene says of a model, in a few words."""
    f = row.figures
    if not f:
        return ""
    if scene == pairs.NAME:
        return "two lines: " + ", ".join(f"{axis} {f[f'two_{axis}']:.1f} mm" for axis in "xyz" if f"two_{axis}" in f)
    if scene == objects.NAME:
        return f"{f['letters']:.0f} of 24 letters, missing fold {round(f['fold_made']) + 0} %"
    made = f"{f['made_per_cm3']:.2g} made per cm3" if f.get("made_per_cm3") else "none made"
    return f"{f['kept']:.0f} of {f['shown']:.0f} kept, {made} (both heads)"
