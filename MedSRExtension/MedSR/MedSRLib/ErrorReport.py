"""How far a result may be off, in the words of the panel: for a line, and for the quality report. No Qt."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import slicer
import slicer.util

from MedSRLib import Maps
from MedSRLib.Messages import inWords
from MedSRLib.Probe import numberText
from MedSRLib.Translation import tr as _

_BARS, _WIDEST_PX = 8, 180
_LAST = 99.0
"""Percentile at which the histogram ends; its last bar holds what is beyond."""


def errorText(error: Mapping[str, Any]) -> str:
    """What the error map says in a sentence; `error` is that of a report. Empty for one of another version."""
    if not {"typical", "at_edges"} <= set(error):
        return ""
    unit = f" {error['unit']}" if error.get("unit") else ""
    percent = error.get("percent_of_signal")
    share = _(" ({percent:.2g} % of the brightest signal)").format(percent=percent) if percent and not unit else ""
    text = _(
        "{held:.0f} of 10 voxels lie within +-{typical}{unit}{share} of the truth, at edges within +-{edges}{unit}."
    )
    return text.format(
        held=10 * error.get("coverage", 0.9), typical=numberText(error["typical"]), unit=unit, share=share,
        edges=numberText(error["at_edges"]),
    )  # fmt: skip


def errorRows(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Label and value of the lines of the report about the error map; none where there is no map."""
    error = report.get("error")
    if not error:
        return []
    text = _("On {count} volumes, each held out of its calibration: for {low:.0f} to {high:.0f} % of the voxels.")
    held = [
        text.format(count=one["volumes"], low=100 * one["range"][0], high=100 * one["range"][1])
        for one in error.get("measured", ())
    ]
    return [
        (_("Likely error"), errorText(error)),
        (_("How often that held"), " ".join(held)),
        (_("Widened"), " ".join(inWords(told) for told in error.get("widened", ()))),
    ]


def halfWidthsIn(resultNode: slicer.vtkMRMLVolumeNode) -> np.ndarray | None:
    """The half-widths inside the body of a result; None where it has no such map in the scene."""
    node = Maps.halfWidthsOf(resultNode)
    if node is None or node.GetImageData() is None:
        return None
    from medsr.inference.error_map import body

    image, widths = slicer.util.arrayFromVolume(resultNode), slicer.util.arrayFromVolume(node)
    if image.shape != widths.shape:
        return widths.ravel()
    inside = widths[body(image)]
    return inside if inside.size else widths.ravel()


def histogramHtml(widths: np.ndarray, unit: str) -> str:
    """Shares of the voxels by half-width, as bars; those beyond the last percentile stand in the last bar."""
    end = float(np.percentile(widths, _LAST))
    if end <= 0:
        return ""
    edges = np.linspace(0, end, _BARS + 1)
    counts = np.histogram(np.minimum(widths, end), edges)[0]
    shares = counts / counts.sum()
    labels = [f"{numberText(low)} - {numberText(high)}" for low, high in zip(edges, edges[1:])]
    labels[-1] = _("{low} and more").format(low=numberText(edges[-2]))
    rows = "".join(_bar(label, share, shares.max()) for label, share in zip(labels, shares))
    title = _("Half-widths of the voxels of the body") + (f" ({html.escape(unit)})" if unit else "")
    return f"<h4>{title}</h4><table cellspacing='0'>{rows}</table>"


def phantomsHtml(sentences: Sequence[str]) -> str:
    """What the model did on digital phantoms, as a list."""
    items = "".join(f"<li>{html.escape(text)}</li>" for text in sentences)
    return f"<h4>{html.escape(_('This model on phantoms whose truth is known'))}</h4><ul>{items}</ul>" if items else ""


def _bar(label: str, share: float, largest: float) -> str:
    # A table, since Qt's rich text draws no SVG.
    width = max(1, round(_WIDEST_PX * share / largest))
    bar = f"<table cellspacing='0' cellpadding='0'><tr><td width='{width}' bgcolor='#c8641e'>&nbsp;</td></tr></table>"
    return f"<tr><td align='right'>{html.escape(label)}&nbsp;</td><td>{bar}</td><td>&nbsp;{100 * share:.0f} %</td></tr>"
