"""What a fusion of stacks did, in the words of the panel. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from MedSRLib.Messages import sampledText
from MedSRLib.Preview import gridText
from MedSRLib.Provenance import stacksIn
from MedSRLib.Translation import tr as _


def movementText(report: Mapping[str, Any]) -> str:
    """How far the stacks lay from where the first one says that they should."""
    moved = "; ".join(f"{stack['source']} {_moved(stack)}" for stack in stacksIn(report)[1:])
    return _("Movement: {moved}").format(moved=moved)


def deviationText(report: Mapping[str, Any]) -> str:
    """How far the volume, seen as each stack was measured, is from what it measured."""
    told = ", ".join(f"{stack['source']} {_percent(stack['residual_percent'])}" for stack in stacksIn(report))
    return _("Deviation from the measured data: {told}").format(told=told)


def deviationMeaning() -> str:
    """What that says."""
    return _(
        "Each stack is compared with what it should have measured of the fused volume. Noise, movement within a stack "
        "and another contrast make it large; a small number does not say that every detail is true."
    )


def fusionRows(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Label and value of the lines of the report that say what was fused into what, and how well it went."""
    first = stacksIn(report)[0]["source"]
    return [
        *((_("Stack {name}").format(name=stack["source"]), _stackText(stack, first)) for stack in stacksIn(report)),
        (_("Result"), f"{gridText(report.get('output', {}))}, {report.get('modality', '')}"),
        (_("Networks"), ", ".join(dict.fromkeys(report.get("networks", ())))),
        (_("Deviation from the measured data"), deviationText(report).partition(": ")[2]),
        (_("What that says"), deviationMeaning()),
    ]


def _stackText(stack: Mapping[str, Any], first: str) -> str:
    parts = [gridText(stack["input"]), sampledText(stack)]
    found, intensities = stack.get("registration"), stack.get("intensities")
    if found:
        parts.append(_("moved by {moved}").format(moved=_moved(stack)))
        text = _("correlation of {agreement:.2f} with {first}")
        parts.append(text.format(agreement=found["agreement"], first=first))
    if intensities:
        text = _("brightness times {scale:.3g}, shading {percent:.1f} %")
        parts.append(text.format(scale=intensities["scale"], percent=intensities["shading_percent"]))
    if stack.get("noise_percent") is not None:
        parts.append(_("noise {percent:.1f} %").format(percent=stack["noise_percent"]))
    return "; ".join(parts)


def _moved(stack: Mapping[str, Any]) -> str:
    found = stack["registration"]
    return _("{shift:.1f} mm and {degrees:.1f} degrees").format(shift=found["shift_mm"], degrees=found["degrees"])


def _percent(value: float) -> str:
    return _("{percent:.2g} %").format(percent=value)
