"""Say what is in an image file or DICOM folder: grid, intensities, modality, and what is odd about it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from medsr.cli.acquisition_table import acquisition_lines
from medsr.cli.console import on_one_line, say, table_lines, warning_line
from medsr.cli.parsing import VerbParser

if TYPE_CHECKING:
    from medsr.volume import Volume

EXAMPLES = """examples:
  medsr info brain.nii.gz
  medsr info series_folder/ --series 2
  medsr info ct.nrrd --json"""


def configure(parser: VerbParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument("file", metavar="FILE", help="image file, DICOM file or DICOM folder")
    parser.add_argument("--series", metavar="N|UID", help="which series of a DICOM folder: its number or UID")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace) -> int:
    """Print the description."""
    # Late, so that help is answered before SimpleITK is loaded.
    from medsr.io import describe

    about = describe(arguments.file, series=arguments.series, judge=_acquisition)
    if arguments.json:
        say(json.dumps(about, indent=2))
        return 0
    if "size_xyz" not in about:
        for line in series_lines(about):
            say(line)
        return 0
    for line in (*detail_lines(about), "", *acquisition_lines(about)):
        say(line)
    for text in about["warnings"]:
        warning_line(text)
    return 0


def _acquisition(volume: Volume) -> dict[str, Any]:
    """How a job would take the axes to have been sampled."""
    from medsr.errors import InputError
    from medsr.inference.planner import decide_modality
    from medsr.options import UpscaleOptions
    from medsr.planning.evidence import find_profiles

    if volume.array.dtype.kind not in "iuf":
        return {"acquisition": []}
    options = UpscaleOptions()
    try:
        modality, _ = decide_modality(volume, options.modality)
    except InputError:  # neither MR nor CT; the warnings say so
        return {"acquisition": []}
    found = find_profiles(volume, options, modality)
    spacing = volume.geometry.spacing_xyz_mm
    return {"acquisition": [one.to_json(step) for one, step in zip(found, spacing, strict=True)]}


def series_lines(about: Mapping[str, Any]) -> list[str]:
    """The series of a folder that holds several."""
    head = ("series", "modality", "description", "slices", "pixels", "thickness", "UID")
    rows = [
        (
            str(s["number"]),
            s["modality"] or "?",
            s["description"] or "",
            str(s["slices"]),
            " x ".join(map(str, s["size_xy"])),
            f"{s['slice_thickness_mm']:g} mm" if s["slice_thickness_mm"] else "?",
            s["uid"],
        )
        for s in about["series"]
    ]
    return [
        f"{about['path']}: {len(rows)} DICOM series. Choose one with --series.",
        "",
        *table_lines(head, rows),
    ]


def detail_lines(about: Mapping[str, Any]) -> list[str]:
    """One volume."""
    range_ = about["intensity"]
    # Of DICOM, the metadata holds the modality too, also one that is neither MR nor CT.
    metadata = {key: value for key, value in about["metadata"].items() if key != "modality" or not about["modality"]}
    facts = {
        "format": about["format"] + (", one slice" if about["planar"] else ""),
        "size": f"{_joined(about['size_xyz'])} voxels" + (f" of {c} colours" if (c := about["channels"]) > 1 else ""),
        "spacing": f"{_joined(about['spacing_xyz_mm'])} mm, coarsest / finest {about['anisotropy']:.3g}",
        "origin": f"{', '.join(f'{v:.4g}' for v in about['origin_mm'])} mm (LPS)",
        "axes": f"x, y, z lead to {', '.join(about['axes'])}",
        **({"gantry tilt": f"{tilt:.1f} degrees"} if (tilt := about.get("tilt_degrees")) else {}),
        "type": about["dtype"],
        "intensity": _intensity(range_),
        "modality": f"{about['modality']} ({about['modality_from']})" if about["modality"] else about["modality_from"],
        **{key.replace("_", " "): str(value) for key, value in metadata.items()},
    }
    width = max(map(len, facts)) + 2
    return [about["path"], *(on_one_line(f"  {key:<{width}}{text}") for key, text in facts.items())]


def _intensity(found: Mapping[str, Any]) -> str:
    if found["min"] is None:
        return "no finite value"
    text = f"{found['min']:g} to {found['max']:g}, median {found['p50']:g}, 1 % {found['p1']:g}, 99 % {found['p99']:g}"
    return text + (f"; {found['not_finite']} voxels are NaN or infinite" if found["not_finite"] else "")


def _joined(values: list[float]) -> str:
    return " x ".join(f"{v:.4g}" for v in values)
