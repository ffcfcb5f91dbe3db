"""The quality report of a result, for people."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from MedSRLib.Messages import acquisitionText, inWords
from MedSRLib.Preview import timeText
from MedSRLib.Provenance import decisionOf
from MedSRLib.Translation import tr as _


def consistencyText(report: Mapping[str, Any]) -> str:
    """How far the result, degraded again, is from the measured data: in HU for CT, in percent otherwise."""
    consistency = report.get("consistency", {})
    percent = consistency.get("residual_percent")
    if percent is None:
        return _("not measured")
    text = _("{percent:.2g} % of the signal").format(percent=percent)
    rms = report.get("residual_hu")
    if rms is not None:
        text = _("{rms:.2g} HU (root mean square), {percent}").format(rms=rms, percent=text)
    return text


def doneText(job: Any) -> str:
    """What to say when a super-resolution is done."""
    return _("Done in {time}: {name}. Deviation from the measured data: {consistency}.").format(
        time=timeText(job.report.get("seconds")), name=job.output.GetName(), consistency=consistencyText(job.report)
    )


def reportRows(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Label and value of every line of the report."""
    source, result = report.get("input", {}), report.get("output", {})
    versions = report.get("versions", {})
    model = f"{report.get('model', '')} {report.get('model_version', '')}".strip()
    rows = [
        (_("Input"), _grid(source)),
        (_("Result"), _grid(result)),
        (_("Target"), inWords(decisionOf(report, "target").get("what", ""))),
        (_("Model"), f"{model} ({report.get('mode', '')}, {report.get('modality', '')})"),
        (_("Acquisition"), _acquisition(report)),
        (_("Deviation from the measured data"), consistencyText(report)),
        (_("Not determined by the input"), str(report.get("undetermined", {}).get("meaning", ""))),
        (_("Time"), f"{timeText(report.get('seconds'))}, {report.get('device', '')}"),
        (_("Software"), ", ".join(f"{name} {version}" for name, version in versions.items())),
    ]
    return [(label, value) for label, value in rows if value]


def reportHtml(report: Mapping[str, Any]) -> str:
    """The report as a page."""
    rows = "".join(
        f"<tr><td style='padding:2px 12px 2px 0'><b>{html.escape(label)}</b></td><td>{html.escape(value)}</td></tr>"
        for label, value in reportRows(report)
    )
    parts = [f"<table>{rows}</table>"]
    for title, key in ((_("Decisions"), "decisions"), (_("Warnings"), "warnings")):
        items = "".join(f"<li>{html.escape(inWords(told))}</li>" for told in report.get(key, ()))
        if items:
            parts.append(f"<h4>{html.escape(title)}</h4><ul>{items}</ul>")
    if report.get("perceptual"):
        parts.append("<p><b>" + html.escape(_("Perceptual: this model may invent detail.")) + "</b></p>")
    parts.append("<p><i>" + html.escape(_("Not a medical device. Not for clinical decisions.")) + "</i></p>")
    return "".join(parts)


def _acquisition(report: Mapping[str, Any]) -> str:
    sizes = dict(zip("xyz", report.get("input", {}).get("size_xyz", ())))
    return acquisitionText([axis for axis in report.get("acquisition", ()) if sizes.get(axis["axis"], 2) > 1])


def _grid(grid: Mapping[str, Any]) -> str:
    if not grid:
        return ""
    size = " x ".join(str(n) for n in grid.get("size_xyz", ()))
    spacing = " x ".join(f"{s:.4g}" for s in grid.get("spacing_xyz_mm", ()))
    return _("{size} voxels of {spacing} mm").format(size=size, spacing=spacing)
