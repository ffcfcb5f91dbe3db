"""Measure segments of a result: volume and mean intensity of each label, with intervals that hold the truth in 9 of 10.

IMAGE is what `medsr upscale` wrote, with --map error=MAP; LABELS is its segmentation, on the same grid.
"""

from __future__ import annotations

import argparse
import dataclasses
import json

from medsr.cli.console import note, say, table_lines
from medsr.cli.parsing import VerbParser

EXAMPLES = """examples:
  medsr upscale t1.nii.gz fine.nii.gz --map error=error.nii.gz
  medsr measure fine.nii.gz fine_labels.nii.gz --error error.nii.gz"""


def configure(parser: VerbParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument("image", metavar="IMAGE", help="result of `medsr upscale`")
    parser.add_argument("labels", metavar="LABELS", help="its segmentation: whole numbers on the same grid")
    parser.add_argument("--error", metavar="MAP", required=True, help="its error map")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace) -> int:
    """Read, measure, print."""
    # Late, so that help and wrong options are answered before SimpleITK is loaded.
    from medsr.inference.segments import measure_segments
    from medsr.io import read_volume

    found = measure_segments(*(read_volume(path) for path in (arguments.image, arguments.labels, arguments.error)))
    if arguments.json:
        say(json.dumps({label: dataclasses.asdict(segment) for label, segment in found.items()}, indent=2))
        return 0
    rows = [
        (
            str(label),
            f"{one.volume_mm3 / 1000:.4g} ml",
            f"{one.volume_interval_mm3[0] / 1000:.4g} to {one.volume_interval_mm3[1] / 1000:.4g}",
            f"{one.mean:.4g}",
            f"{one.mean_interval[0]:.4g} to {one.mean_interval[1]:.4g}",
        )
        for label, one in found.items()
    ]
    for line in table_lines(("label", "volume", "9 of 10 within", "mean", "9 of 10 within"), rows):
        say(line)
    note("The intervals were calibrated on hippocampi in slices of 3 mm; take them as a rough guide elsewhere.")
    return 0
