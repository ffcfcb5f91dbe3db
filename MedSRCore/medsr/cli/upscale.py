"""Super-resolve a volume, a DICOM series or a picture.

Without a target (--scale, --spacing, --isotropic or --reference) an anisotropic volume becomes isotropic and an
isotropic one twice as fine; a model with a factor of its own enlarges by that.

Of several inputs, or of a folder with --all, OUT is a folder. What is finished there is kept; the same call goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from medsr.catalog import PERCEPTUAL
from medsr.cli import upscale_many
from medsr.cli.console import seconds_text
from medsr.cli.job_view import job_view, tell
from medsr.cli.parsing import VerbParser, add_upscale_options, parse_pairs, read_upscale_options
from medsr.interrupts import Undivided
from medsr.jobs import NOTHING_WRITTEN, JobSpec, Progress, ResultEvent
from medsr.maps import maps_help

EXAMPLES = """examples:
  medsr upscale brain.nii.gz brain_sr.nii.gz
  medsr upscale series_folder/ out.nrrd --spacing 1
  medsr upscale ct.nrrd out.nrrd --reference other.nii.gz
  medsr upscale t2.nii.gz out.nii.gz --scale 1,1,4 --slice-thickness 3.2
  medsr upscale series_folder/ series_sr/ --format dicom
  medsr upscale bold.nii.gz bold_sr.nii.gz --spacing 2
  medsr upscale a.nii.gz b.nii.gz c.nii.gz results/
  medsr upscale study/ results/ --all --workers 4
  medsr upscale photo.png out.png --model srresnet"""


def configure(parser: VerbParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument("inputs", metavar="IN", nargs="+", help="image file, DICOM file or DICOM folder; or several")
    parser.add_argument(
        "output",
        metavar="OUT",
        help="file to write: .nii.gz, .nrrd, .mha, .mgz, .png, ...; folder for --format dicom and for several inputs",
    )
    add_upscale_options(parser.add_argument_group("what to do"))
    upscale_many.configure(parser)
    files = parser.add_argument_group("files and display")
    files.add_argument("--series", metavar="N|UID", help="which series of a DICOM folder: its number or UID")
    files.add_argument("--format", metavar="dicom", help="dicom: write a DICOM series derived from that of IN")
    files.add_argument(
        "--anonymize", action="store_true", help="with --format dicom: apply the Basic Profile of DICOM to the headers"
    )
    files.add_argument("--report", metavar="FILE", help="also write a JSON report of what was done")
    files.add_argument(
        "--map",
        action="append",
        metavar="NAME=FILE",
        help=f"also write a map: {maps_help()}",
    )
    files.add_argument("--overwrite", action="store_true", help="replace files that exist")
    files.add_argument(
        "--progress",
        metavar="auto|bar|json|none",
        default="auto",
        help="auto: a bar on a terminal, else a line per stage; json: events as JSON lines on standard output",
    )


def run(arguments: argparse.Namespace) -> int:
    """Do the job; show its progress and a summary."""
    if upscale_many.asked_for(arguments):
        return upscale_many.run(arguments)
    with job_view(arguments.progress) as view:
        spec = JobSpec(
            arguments.inputs[0],
            arguments.output,
            read_upscale_options(arguments),
            overwrite=arguments.overwrite,
            series=arguments.series,
            report=arguments.report,
            maps=parse_pairs("map", arguments.map),
            format=arguments.format,
            anonymize=arguments.anonymize,
        )
        result = _job()(spec, Progress(view))
    written = filter(None, [spec.report, *spec.maps.values()])
    return tell(view, result, [*summary_lines(result.report), *(f"Written   {path}" for path in written)])


def _job() -> Callable[[JobSpec, Progress], ResultEvent]:
    """What does the job. Loaded late, so that help and wrong options are answered before SimpleITK is loaded."""
    try:
        # A second or two. Stopped in the middle, some packages make Python end by SIGINT, whatever the signal was.
        with Undivided():
            from medsr.files import upscale_file
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(NOTHING_WRITTEN) from error
    return upscale_file


def summary_lines(report: Mapping[str, Any]) -> list[str]:
    """What was done, for people."""
    before, after = report["input"], report["output"]
    residual = report["consistency"]["residual_percent"]
    unseen = report["undetermined"]
    return [
        *(decision["text"] for decision in report["decisions"]),
        *([f"Caution   {PERCEPTUAL}"] if report["perceptual"] else []),
        f"Size      {_numbers(before['size_xyz'])} -> {_numbers(after['size_xyz'])} voxels",
        f"Spacing   {_numbers(before['spacing_xyz_mm'])} -> {_numbers(after['spacing_xyz_mm'])} mm",
        *([f"Frames    {report['frames']}, all enlarged alike"] if "frames" in report else []),
        f"Residual  {residual:.2g} % of the signal: degraded again, the result is that far from the input",
        f"Unseen    {100 * unseen['values']:.1f} % of the values are not determined by the input; "
        f"{100 * unseen['energy']:.2g} % of the variation is detail that it cannot confirm",
        *([f"Error     {report['error']['meaning']}"] if "error" in report else []),
        f"Time      {seconds_text(report['seconds'])} on {report['device']}",
        f"Written   {report['output_file']}",
    ]


def _numbers(values: list[float]) -> str:
    return " x ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in values)
