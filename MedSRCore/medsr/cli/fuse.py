"""Fuse several thick stacks of one sitting into one isotropic volume.

The stacks, such as an axial, a sagittal and a coronal one of one contrast, are registered to the first, made equally
bright, and solved for the one volume that explains them all. It covers the field of the first, in its orientation.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from medsr.cli.console import seconds_text, table_lines
from medsr.cli.job_view import job_view, tell
from medsr.cli.parsing import VerbParser, add_upscale_options, read_upscale_options
from medsr.fusion.spec import OPTIONS, FuseSpec
from medsr.jobs import Progress

EXAMPLES = """examples:
  medsr fuse tra.nii.gz sag.nii.gz cor.nii.gz fused.nii.gz
  medsr fuse axial/ sagittal/ fused.nrrd --spacing 0.8 --report fused.json
  medsr fuse study/ study/ study/ fused.nii.gz --series 3,4,5"""


def configure(parser: VerbParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument(
        "inputs", metavar="IN", nargs="+", help="two or more image files or DICOM folders; the first gives the field"
    )
    parser.add_argument("output", metavar="OUT", help="file to write: .nii.gz, .nrrd, .mha, ...")
    what = parser.add_argument_group("what to do")
    what.add_argument(
        "--spacing", metavar="MM", help="voxel size along all axes (default: that of the finest pixels of all stacks)"
    )
    add_upscale_options(what, only=[name for name in OPTIONS if name != "spacing"])
    what.add_argument(
        "--networks", action="store_true", help="let networks look at each stack, too: sharper, for much more time"
    )
    files = parser.add_argument_group("files and display")
    files.add_argument(
        "--series", metavar="N,N,...", help="which series of each DICOM folder: numbers or UIDs in the order of IN"
    )
    files.add_argument("--report", metavar="FILE", help="also write a JSON report of what was done")
    files.add_argument("--overwrite", action="store_true", help="replace files that exist")
    files.add_argument("--progress", metavar="auto|bar|json|none", default="auto", help="as for `medsr upscale`")


def run(arguments: argparse.Namespace) -> int:
    """Do the job; show its progress and a summary."""
    with job_view(arguments.progress) as view:
        spec = FuseSpec(
            tuple(arguments.inputs),
            arguments.output,
            read_upscale_options(arguments),
            tuple(arguments.series.split(",")) if arguments.series else (),
            arguments.report,
            arguments.networks,
            arguments.overwrite,
        )
        # Late, so that help and wrong options are answered before SimpleITK is loaded.
        from medsr.fusion.files import fuse_files

        result = fuse_files(spec, Progress(view))
    written = [] if spec.report is None else [f"Written   {spec.report}"]
    return tell(view, result, [*summary_lines(result.report), *written])


def summary_lines(report: Mapping[str, Any]) -> list[str]:
    """What was done, for people."""
    output = report["output"]
    head = ("stack", "slices", "moved", "agreement", "scale", "noise", "residual")
    return [
        *table_lines(head, [_row(stack) for stack in report["stacks"]]),
        f"Size      {' x '.join(map(str, output['size_xyz']))} voxels of {output['spacing_xyz_mm'][0]:.4g} mm",
        f"Time      {seconds_text(report['seconds'])}",
        f"Written   {report['output_file']}",
    ]


def _row(stack: Mapping[str, Any]) -> tuple[str, ...]:
    fit, found = stack["registration"], stack["intensities"]
    thick = max(stack["acquisition"], key=lambda axis: axis["resolution_mm"])
    noise = stack["noise_percent"]
    return (
        stack["source"],
        f"{thick['resolution_mm']:.3g} mm ({thick['source']})",
        f"{fit['shift_mm']:.2f} mm, {fit['degrees']:.2f} deg" if fit else "-",
        f"{fit['agreement']:.2f}" if fit else "-",
        f"{found['scale']:.3g}, shading {found['shading_percent']:.1f} %" if found else "-",
        "not seen" if noise is None else f"{noise:.1f} %",
        f"{stack['residual_percent']:.2g} %",
    )
