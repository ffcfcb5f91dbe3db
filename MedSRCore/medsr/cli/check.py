"""Ask another series of the same patient whether the detail of a result is there.

SERIES is a stack that crosses the slices of what RESULT was made of, a finer reconstruction, or a scan of another day.
It is registered to RESULT. What RESULT added to plain enlargement is compared with what SERIES shows there, region by
region.
"""

from __future__ import annotations

import argparse

from medsr.cli.job_view import job_view, tell
from medsr.cli.parsing import VerbParser
from medsr.evaluation.checking.spec import CheckSpec
from medsr.jobs import Progress

EXAMPLES = """examples:
  medsr check axial_sr.nii.gz --against sagittal.nii.gz
  medsr check axial_sr.nii.gz --against sagittal.nii.gz --input axial.nii.gz --map confirmed.nii.gz --picture check.png
  medsr check ct_sr.nrrd --against study/ --series 4 --report check.json"""


def configure(parser: VerbParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument("result", metavar="RESULT", help="the super-resolved volume: image file or DICOM folder")
    parser.add_argument("--against", metavar="SERIES", required=True, help="another series of the same patient")
    parser.add_argument(
        "--input",
        metavar="ORIGINAL",
        help="what RESULT was made of; default: as the report of `medsr upscale` beside RESULT says",
    )
    parser.add_argument("--map", metavar="FILE", help="write the share that is confirmed, voxel by voxel")
    parser.add_argument("--picture", metavar="FILE.png", help="write a picture of both series and of that share")
    parser.add_argument("--report", metavar="FILE", help="write a JSON report with every region")
    parser.add_argument("--series", metavar="N|UID", help="which series of the DICOM folder SERIES")
    parser.add_argument("--input-series", metavar="N|UID", help="which series of the DICOM folder ORIGINAL")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.add_argument("--progress", metavar="auto|bar|json|none", default="auto", help="as for `medsr upscale`")


def run(arguments: argparse.Namespace) -> int:
    """Do the job; show its progress and what was found."""
    spec = CheckSpec(
        arguments.result,
        arguments.against,
        arguments.input,
        arguments.map,
        arguments.picture,
        arguments.report,
        arguments.series,
        arguments.input_series,
        arguments.overwrite,
    )
    with job_view(arguments.progress) as view:
        # Late, so that help and wrong options are answered before SimpleITK is loaded.
        from medsr.evaluation.checking.files import check_file
        from medsr.evaluation.checking.report import summary_lines

        result = check_file(spec, Progress(view))
    written = filter(None, (spec.map, spec.picture, spec.report))
    return tell(view, result, [*summary_lines(result.report), *(f"Written   {path}" for path in written)])
