"""Enhance an image, segment it with a program of yours, and bring the labels back onto the grid of the image.

A folder of images named as nnU-Net names them (CASE_0000.nii.gz, CASE_0001.nii.gz, ...) is done at once.

The program reads the enhanced image and writes a label map; its command names both in braces. It is run without a
shell.
"""

from __future__ import annotations

import argparse

from medsr.cli.job_view import job_view, tell
from medsr.cli.parsing import VerbParser, add_upscale_options, read_upscale_options
from medsr.jobs import Progress, ResultEvent

EXAMPLES = """examples:
  medsr segment thick.nii.gz labels.nii.gz --isotropic \\
      --with "nnUNetv2_predict -i {image_folder} -o {labels_folder} -d 501 -c 3d_fullres -f 0"
  medsr segment imagesTs labelsTs --isotropic \\
      --with "nnUNetv2_predict -i {image_folder} -o {labels_folder} -d 501 -c 3d_fullres"
  medsr segment head.nii.gz labels.nii.gz --scale 2 --with "mri_synthseg --i {image} --o {labels}" """


def configure(parser: VerbParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument("input", metavar="IN", help="image file, DICOM file, DICOM folder, or folder of nnU-Net images")
    parser.add_argument("output", metavar="OUT", help="label map to write (.nii.gz, .nrrd, .png, ...), or a folder")
    parser.add_argument(
        "--with",
        dest="command",
        metavar="COMMAND",
        required=True,
        help="the program: {image} or {image_folder} is what it reads, {labels} or {labels_folder} what it writes",
    )
    add_upscale_options(parser.add_argument_group("how to enhance"))
    parser.add_argument("--series", metavar="N|UID", help="which series of a DICOM folder: its number or UID")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that exists")
    parser.add_argument("--progress", metavar="auto|bar|json|none", default="auto", help="as for `medsr upscale`")


def run(arguments: argparse.Namespace) -> int:
    """Do the job; show its progress and the volumes of the structures."""
    options = read_upscale_options(arguments)
    with job_view(arguments.progress) as view:
        # Late, so that help and wrong options are answered before SimpleITK is loaded.
        from medsr.augmentation.segmenting import segment_file
        from medsr.augmentation.segmenting_folders import is_folder_of_cases, segment_folder

        job = (arguments.input, arguments.output, arguments.command, options, Progress(view))
        if is_folder_of_cases(arguments.input):
            result = segment_folder(*job, overwrite=arguments.overwrite)
        else:
            result = segment_file(*job, overwrite=arguments.overwrite, series=arguments.series)
    return tell(view, result, _summary_lines(result))


def _summary_lines(result: ResultEvent) -> list[str]:
    if "cases" in result.report:
        return [f"Written   {len(result.report['cases'])} label maps in {result.output}"]
    enhanced, volumes = result.report["enhanced"], result.report["volumes_mm3"]
    sizes = [" x ".join(map(str, enhanced[end]["size_xyz"])) for end in ("input", "output")]
    return [
        f"Enhanced  {sizes[0]} -> {sizes[1]} voxels by {enhanced['model']}",
        *(f"Label {value:<4}{volume:.6g} mm3" for value, volume in volumes.items()),
        *([] if volumes else ["Labels    none were found"]),
        f"Written   {result.output}",
    ]
