"""The quality report of a result, for people."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import numpy as np

from MedSRLib.ErrorReport import errorRows, histogramHtml, phantomsHtml
from MedSRLib.FusionReport import deviationMeaning, deviationText, fusionRows
from MedSRLib.Messages import inWords, sampledText
from MedSRLib.Preview import gridText, timeText
from MedSRLib.Provenance import decisionOf, stacksIn
from MedSRLib.Translation import tr as _


def consistencyText(report: Mapping[str, Any]) -> str:
    """How far the result, degraded again, is from the measured data: in HU for CT, in percent otherwise."""
    percent = report.get("consistency", {}).get("residual_percent")
    if percent is None:
        return _("not measured")
    text = _("less than 0.01 % of the signal")
    if percent >= 0.01:
        text = _("{percent:.2g} % of the signal").format(percent=percent)
    rms = report.get("residual_hu")
    if rms is not None:
        text = _("{rms:.2g} HU (root mean square), {percent}").format(rms=rms, percent=text)
    return text


def trustText(report: Mapping[str, Any]) -> str:
    """The measured statement of trust, in a line."""
    if stacksIn(report):
        return deviationText(report)
    percent = report.get("consistency", {}).get("residual_percent")
    if percent is None:
        return ""
    rms = report.get("residual_hu")
    deviation = _("{rms:.2g} HU").format(rms=rms) if rms is not None else _("{percent:.2g} %").format(percent=percent)
    if percent < 0.01:
        deviation = _("below 0.01 %")
    text = _("Deviation from the measured data: {deviation}").format(deviation=deviation)
    if report.get("frames"):
        text = _("{text} in the worst of {count} frames").format(text=text, count=len(report["frames"]))
    return _("{text}, as enforced").format(text=text) if _isEnforced(report) else text


def trustMeaning(report: Mapping[str, Any]) -> str:
    """What the statement says and what it does not."""
    if stacksIn(report):
        return deviationMeaning()
    parts = [
        _(
            "The method makes the result agree with the measured data, so a small number is expected: it says that "
            "what was measured is unchanged, not that the added detail is true."
        )
        if _isEnforced(report)
        else _(
            "The result was compared with the measured data and not corrected: a large number says that what was "
            "measured was changed, a small one does not say that the added detail is true."
        )
    ]
    undetermined = report.get("undetermined", {})
    if undetermined.get("energy") is not None:
        parts.append(
            _("{percent:.0f} % of what the result shows is detail that the scan itself cannot tell.").format(
                percent=100 * undetermined["energy"]
            )
        )
    return " ".join(parts)


def _isEnforced(report: Mapping[str, Any]) -> bool:
    """True where the method itself brings the deviation down, so that it proves nothing."""
    return report.get("model") == "tikhonov" or (report.get("consistency", {}).get("strength") or 0) > 0


def doneText(job: Any) -> str:
    """What to say when a super-resolution is done."""
    return _("Done in {time}: {name}").format(time=timeText(job.seconds), name=job.output.GetName())


def reportRows(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Label and value of every line of the report."""
    rows = [
        *(fusionRows(report) if stacksIn(report) else _madeOfOne(report)),
        (_("Time"), ", ".join(filter(None, (timeText(report.get("seconds")), report.get("device", ""))))),
        (_("Software"), ", ".join(f"{name} {version}" for name, version in report.get("versions", {}).items())),
    ]
    return [(label, value) for label, value in rows if value]


def _madeOfOne(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The lines about a result that was made of one volume."""
    model = f"{report.get('model', '')} {report.get('model_version', '')}".strip()
    return [
        (_("Input"), gridText(report.get("input", {}))),
        (_("Result"), gridText(report.get("output", {}))),
        (_("Target"), inWords(decisionOf(report, "target").get("what", ""))),
        (_("Model"), f"{model} ({report.get('mode', '')}, {report.get('modality', '')})"),
        (_("Acquisition"), sampledText(report)),
        (_("Deviation from the measured data"), consistencyText(report)),
        (_("What that says"), trustMeaning(report) if report.get("consistency") else ""),
        *errorRows(report),
        (_("Not determined by the input"), str(report.get("undetermined", {}).get("meaning", ""))),
    ]


def reportHtml(report: Mapping[str, Any], halfWidths: np.ndarray | None = None) -> str:
    """The report as a page; with the half-widths of the error map, where there is one."""
    rows = "".join(
        f"<tr><td style='padding:2px 12px 2px 0'><b>{html.escape(label)}</b></td><td>{html.escape(value)}</td></tr>"
        for label, value in reportRows(report)
    )
    parts = [f"<table>{rows}</table>"]
    if halfWidths is not None and report.get("error"):
        parts.append(histogramHtml(halfWidths, report["error"].get("unit", "")))
    parts.append(phantomsHtml(report.get("phantoms", ())))
    for title, key in ((_("Decisions"), "decisions"), (_("Warnings"), "warnings")):
        items = "".join(f"<li>{html.escape(inWords(told))}</li>" for told in report.get(key, ()))
        if items:
            parts.append(f"<h4>{html.escape(title)}</h4><ul>{items}</ul>")
    if report.get("perceptual"):
        parts.append("<p><b>" + html.escape(_("Perceptual: this model may invent detail.")) + "</b></p>")
    parts.append("<p><i>" + html.escape(_("Not a medical device. Not for clinical decisions.")) + "</i></p>")
    return "".join(parts)
