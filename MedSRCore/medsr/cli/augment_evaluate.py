"""Tell whether the copies of a training set help: train segmentation networks with and without them.

OUT is what `medsr augment` made. Every arm gets the same subjects, first weights, number of steps and tests; the test
images are real ones of subjects that no network was trained on. Finished runs are kept: the same command goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from medsr.augmentation.study.design import Arm, StudyDesign
from medsr.augmentation.study.recipe import SHIPPED, SegmentationRecipe
from medsr.cli.console import JsonView, open_view, say
from medsr.cli.folders import check_folder, output_folder
from medsr.cli.parsing import VerbParser, parse_whole
from medsr.errors import CancelledError, InvalidValueError
from medsr.jobs import Progress, ResultEvent
from medsr.options import parse_triple

EXAMPLES = """examples:
  medsr augment evaluate larger/ --arms real,real+sr,real+bspline,real+duplicate --folds 5 --seeds 3
  medsr augment evaluate larger/ --sizes 8,32 --seeds 1 --output study/
  medsr augment evaluate larger/ --truth fine/ --set steps=1000 filters=[24,48,96]
  medsr augment evaluate larger/ --arms real --test-on thick/ thick_enhanced/

arms:
  real            the real images alone
  real+sr         with the copies in OUT
  real+duplicate  with every real image once more for each copy: controls for the number of images
  real+MODEL      with the same copies made by another model, such as bspline: controls for the resolution"""

ARMS = "real,real+sr,real+bspline,real+duplicate"


def configure(parser: VerbParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument("dataset", metavar="OUT", help="training set with copies, as `medsr augment` makes it")
    parser.add_argument("--arms", metavar="NAMES", default=ARMS, help=f"what is compared; default: {ARMS}")
    parser.add_argument("--folds", metavar="N", default="5", help="parts that subjects are divided into; default: 5")
    parser.add_argument("--seeds", metavar="N", default="3", help="trainings for each fold, size and arm; default: 3")
    parser.add_argument(
        "--sizes", metavar="N,N", default="all", help="numbers of training subjects, or all; default: all"
    )
    parser.add_argument(
        "--truth", metavar="DIR", help="training set whose labels of the same cases count in the test; default: OUT"
    )
    parser.add_argument(
        "--test-on",
        metavar="DIR",
        nargs="+",
        action="extend",
        default=[],
        help="training sets of the same cases, seen otherwise: every network is tested on their copies, too, or on "
        "their images where they hold no copies; each is compared with those before it",
    )
    parser.add_argument(
        "--spacing", metavar="MM|X,Y,Z", help="voxels that the networks work on; default: the finest of the set"
    )
    parser.add_argument("--recipe", metavar="FILE", help="JSON file that changes how the networks are trained")
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        nargs="+",
        action="extend",
        default=[],
        dest="settings",
        help="change the recipe, for example steps=1000 patch=[48,48,48]",
    )
    parser.add_argument("--device", metavar="NAME", default="auto", help="auto, cpu, cuda or cuda:N; default: auto")
    parser.add_argument("--output", metavar="DIR", help="folder for runs and report; default: OUT with '-study' added")
    parser.add_argument("--progress", metavar="auto|bar|json|none", default="auto", help="as for `medsr upscale`")


def run(arguments: argparse.Namespace) -> int:
    """Do the runs that are missing, write the report, say what was found."""
    design = StudyDesign(
        tuple(Arm.parse(name) for name in arguments.arms.split(",")),
        parse_whole("folds", arguments.folds, least=2),
        parse_whole("seeds", arguments.seeds, least=1),
        _parse_sizes(arguments.sizes),
        tuple(map(_name_of, arguments.test_on)),
    )
    recipe = SegmentationRecipe.load(Path(arguments.recipe) if arguments.recipe else SHIPPED, arguments.settings)
    spacing = None if arguments.spacing is None else parse_triple("spacing", arguments.spacing)

    # Late, so that help and wrong options are answered before SimpleITK is loaded.
    from medsr.augmentation.datasets import read_dataset
    from medsr.augmentation.study.plan import plan_study
    from medsr.augmentation.study.report import CHART, DATA, SUMMARY, TABLE, write_report
    from medsr.augmentation.study.run import finished, run_study

    dataset = read_dataset(arguments.dataset)
    folder = output_folder(f"{dataset.root}-study" if arguments.output is None else arguments.output)
    check_folder(folder)
    truth = read_dataset(arguments.truth) if arguments.truth else None
    test_on = [read_dataset(place) for place in arguments.test_on]
    study = plan_study(dataset, design, recipe, truth=truth, spacing=spacing, test_on=test_on)
    with open_view(arguments.progress) as view:
        try:
            results = run_study(study, folder, Progress(view), arguments.device)
        except CancelledError:
            write_report(study, list(finished(study, folder)), folder)
            raise
        found = write_report(study, results, folder)
        files = [str(folder / name) for name in (SUMMARY, CHART, TABLE, DATA)]
        if isinstance(view, JsonView):
            view(ResultEvent(str(folder), {"found": found, "files": files}))
            return 0
    for line in (*found, *(f"Written   {file}" for file in files)):
        say(line)
    return 0


def _name_of(place: str) -> str:
    """What a set is called in the report: its folder."""
    path = Path(place).absolute()
    return path.parent.name if path.suffix == ".json" else path.name


def _parse_sizes(text: str) -> tuple[int, ...]:
    if text == "all":
        return (0,)
    sizes = []
    for part in text.split(","):
        if part != "all" and (not part.isdigit() or int(part) < 1):
            raise InvalidValueError(f"--sizes takes numbers of subjects such as 8,16,32, or all, got {text!r}.")
        sizes.append(0 if part == "all" else int(part))
    return tuple(sizes)
