"""The maps beside a result, as the library declares them: the panel, jobs and overlays know no others. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import slicer

from MedSRLib import Provenance
from MedSRLib.CorePath import ensureCore
from MedSRLib.Translation import tr as _

CONFIRMED = "confirmed"
"""The map of a check against another series."""


def declared() -> Mapping[str, Any]:
    """Name -> `medsr.maps.MapKind`.

    Raises:
        CoreMissingError: the library is not there.
    """
    ensureCore()
    from medsr.maps import MAPS

    return MAPS


def shown() -> Mapping[str, Any]:
    """What can be laid over a result: the declared maps, and what a check against another series leaves."""
    ensureCore()
    from medsr.maps import MapKind

    about = _("the share of the added detail that another series confirms: 1 all, 0 nothing, below 0 the opposite")
    return {**declared(), CONFIRMED: MapKind(CONFIRMED, _("Confirmed detail"), about)}


def reachOf(name: str) -> float | None:
    """Where the colours of a map end, None to look at its values; voxels beyond hold no value."""
    return 1.0 if name == CONFIRMED else None


def impossible(plan: Any) -> dict[str, str]:
    """Maps that the model of a `medsr.methods.plan.Plan` cannot make -> why."""
    from medsr.errors import MedSRError
    from medsr.inference.calibration import calibration_for

    try:
        calibration_for(plan)
    except MedSRError:
        why = _("{model} has none on {modality}: its errors were not calibrated. Choose another method.").format(
            model=plan.entry.name, modality=plan.modality
        )
        return {name: f"{_(kind.title)}: {why}" for name, kind in declared().items() if kind.needs_calibration}
    return {}


def madeOf(resultNode: slicer.vtkMRMLVolumeNode) -> dict[str, slicer.vtkMRMLScalarVolumeNode]:
    """The maps of a result that are in the scene, by name."""
    found = {name: resultNode.GetNodeReference(Provenance.roleOf(name)) for name in shown()}
    return {name: node for name, node in found.items() if node is not None}


def halfWidthsOf(resultNode: slicer.vtkMRMLVolumeNode) -> slicer.vtkMRMLScalarVolumeNode | None:
    """The map of a result that says how far each voxel may be off: what is calibrated is the half of an interval."""
    return next((node for name, node in madeOf(resultNode).items() if shown()[name].needs_calibration), None)


def unitOf(report: Mapping[str, Any]) -> str:
    """Of the intensities of a result, empty where they have none."""
    return "HU" if report.get("modality") == "CT" else ""
