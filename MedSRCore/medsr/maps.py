"""The maps that a job can make beside its result, each declared once.

Command, Python call, worker and Slicer read names, texts and how to show a map from here; `inference.maps` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MapKind:
    """What a map is.

    Attributes:
        name: in options and file names.
        title: in a panel and on a legend.
        help: half a sentence for `--help` and tooltips.
        on_input: True where it has the grid of the input, False for that of the result.
        signed: True for colours that part at zero, False for colours that begin there.
        needs_calibration: True where only calibrated models have it.
    """

    name: str
    title: str
    help: str
    on_input: bool = False
    signed: bool = True
    needs_calibration: bool = False


MAPS: dict[str, MapKind] = {
    kind.name: kind
    for kind in (
        MapKind(
            "error",
            "Likely error",
            "how far each voxel may be off: half the width of an interval that holds the truth in 9 of 10 voxels",
            signed=False,
            needs_calibration=True,
        ),
        MapKind("difference", "Difference", "result - linear enlargement: what was added"),
        MapKind("residual", "Residual", "degraded result - input: what contradicts the measured data", on_input=True),
    )
}
"""In units of the image (HU for CT)."""


def maps_help() -> str:
    """All of them, for a list of options."""
    return "; ".join(f"{kind.name} ({kind.help})" for kind in MAPS.values())
