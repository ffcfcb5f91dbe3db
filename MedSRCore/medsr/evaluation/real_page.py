"""The page of a comparison with a second measured series: figures, and what was compared, side by side."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from html import escape
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from medsr.catalog import PERCEPTUAL
from medsr.evaluation.blocks import Estimate
from medsr.evaluation.charts import model_colours
from medsr.evaluation.detail import BANDS, Lattice, filtered, resolves
from medsr.evaluation.page import document, footer, header, html_table, plate_section
from medsr.evaluation.planes import Picture
from medsr.evaluation.plates import Plate, View, choose_window, make_plate
from medsr.evaluation.png import data_uri, grey_levels, grey_png
from medsr.evaluation.real_rows import (
    DETAIL,
    DIFFERENCE,
    RealRow,
    RealTable,
    format_estimate,
    rows_table,
    sentences,
)
from medsr.evaluation.real_runner import Look
from medsr.evaluation.run import Trial
from medsr.geometry import Geometry
from medsr.volume import Volume

Number = TypeVar("Number", bound=np.generic)

_NOTES = {
    DETAIL: "r: correlation with the other series in that band of periods, with its 95 % interval over blocks of "
    "20 mm; what was invented correlates with nothing. Amplitude: spread in that band over the other series', both "
    "relative to what both resolve; 1 is as strong as measured.",
    DIFFERENCE: "Against the other series, within the common field; bias within the foreground. Intervals: 95 % over "
    "blocks of 20 mm.",
}
_STRENGTH = 4.0
"""Standard deviations of a band that are shown between black and white on either side of grey."""


def render_real_page(table: RealTable, plate: Plate | None = None) -> str:
    """The page as text; it loads nothing from anywhere."""
    head, lines = rows_table(table)
    body = [f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in line)}</tr>" for line in lines]
    caution = ""
    if names := sorted({row.model for row in table.rows if row.perceptual}):
        caution = f'<p class="warning">{escape(", ".join(names))}: {escape(PERCEPTUAL)}.</p>'
    note = f"<p class=note>{escape(_NOTES[table.test.kind])}</p>"
    parts = [
        header(f"{table.thick}, judged by {table.other}", sentences(table)),
        f"<section><h2>Figures</h2>{html_table(head, body)}{caution}{note}</section>",
        "" if plate is None else plate_section(plate, model_colours(plate.columns[2:])),
        footer(),
    ]
    return document("MedSR: judged by a second series", parts)


def make_real_plate(look: Look) -> Plate:
    """The pictures of a comparison."""
    table = look.table
    captions = {row.label: _caption(table, row) for row in table.rows if not row.error}
    captions |= {"reference": f"{table.other}, as measured", "input": f"{table.thick}, its nearest voxels"}
    if look.lattice is None:
        trial = Trial(
            table.thick, table.test.kind, "The common field", look.reference, _layers(look), look.results, ()
        )  # fmt: skip
        plate = make_plate(trial)
    else:
        description = (
            "A slice of the other series, and the results as its scanner would see them; below, bands of periods "
            "across the slices (upright), every picture at its own strength."
        )
        columns = ("reference", "input", *look.results)
        plate = Plate(table.thick, table.test.kind, description, columns, (0.0, 1.0), 1.0, _views(look, look.lattice))
    return dataclasses.replace(plate, case=f"judged by {table.other}", captions=captions)


def _caption(table: RealTable, row: RealRow) -> str:
    """The first figures of a row; of the detail test the correlations alone."""
    known = [m for m in table.metrics if m.name in row.figures and not m.name.endswith(("_ratio", "_amplitude"))]
    texts = (f"{m.label} {format_estimate(m, Estimate(row.figures[m.name].value))} {m.unit}".strip() for m in known)
    return "; ".join(itertools.islice(texts, 3))


def _layers(look: Look) -> Volume:
    """The nearest voxels of the thick series, in layers as thick as its slices."""
    across, grid = look.table.test.across, look.measured.geometry
    step = max(1, round(look.table.test.apart_mm / grid.spacing_xyz_mm[across]))
    count = max(1, grid.size_xyz[across] // step)
    array = np.take(look.measured.array, np.arange(count) * step + step // 2, axis=2 - across)
    spacing, size = list(grid.spacing_xyz_mm), list(grid.size_xyz)
    spacing[across], size[across] = spacing[across] * step, count
    return look.measured.replace(array=array, geometry=grid.with_grid(spacing, size))


def _views(look: Look, lattice: Lattice) -> tuple[View, ...]:
    """One slice of the other series as seen, and band by band."""
    kept = lattice.kept.sum(axis=(1, 2))
    widest = np.flatnonzero(kept == kept.max())
    k = int(widest[len(widest) // 2])
    arrays = {"reference": look.reference.array, "input": look.measured.array}
    arrays |= {label: result.array for label, result in look.results.items()}
    truth = look.reference.array[lattice.lines]
    # Two scanners, two scales of intensity: each is brought to the mean and spread of the other series.
    alike = {name: _matched(array, array[lattice.lines], truth) for name, array in arrays.items()}
    window = choose_window(look.reference.replace(array=truth.reshape(1, 1, -1), geometry=Geometry((truth.size, 1, 1))))
    views = [_view("as seen", {name: array[k] for name, array in alike.items()}, lattice, window)]
    for band in BANDS:
        if resolves(lattice, band):
            bands = {name: filtered(array, lattice, band) for name, array in alike.items()}
            even = {name: array[k] / max(float(array[lattice.kept].std()), 1e-12) for name, array in bands.items()}
            views.append(_view(band.label, even, lattice, (-_STRENGTH, _STRENGTH)))
    return tuple(views)


def _matched(array: NDArray[Any], own: NDArray[Any], other: NDArray[Any]) -> NDArray[np.float32]:
    spread = max(float(own.std()), 1e-12)
    return np.asarray((array - own.mean()) * (other.std() / spread) + other.mean(), dtype=np.float32)


def _view(title: str, pictures: Mapping[str, Picture], lattice: Lattice, window: tuple[float, float]) -> View:
    """Pictures of one slice of a lattice, as `upright` turns them."""
    turned = {name: upright(picture, lattice) for name, picture in pictures.items()}
    images = {name: data_uri(grey_png(grey_levels(picture, *window))) for name, picture in turned.items()}
    (rows, columns), spacing = next(iter(turned.values())).shape, lattice.geometry.spacing_xyz_mm
    return View(title, rows * spacing[0], columns * spacing[1], (), images, {})


def upright(picture: NDArray[Number], lattice: Lattice) -> NDArray[Number]:
    """A picture ``(across, along the lines)`` of a slice of a lattice, with the lines upright, head or back on top.

    Only the part that counts is shown.
    """
    axes = np.array(lattice.geometry.direction).reshape(3, 3)
    along, beside = (axes[int(np.abs(axes[:, i]).argmax()), i] for i in (0, 1))
    down, right = (-1 if along > 0 else 1), (1 if beside > 0 else -1)
    columns, rows = (np.flatnonzero(lattice.kept.any(axis=axis)) for axis in ((0, 2), (0, 1)))
    turned: NDArray[Number] = picture[np.ix_(columns, rows)].T[::down, ::right]
    return turned
