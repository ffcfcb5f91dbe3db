"""Degrade fine volumes, enlarge them again with any models, and judge the results against the truth.

With --against, nothing is simulated: FILE is enlarged as it was measured, and judged by another series of the same
patient. With --phantoms there is no FILE: what is kept, lost and made up is counted on digital phantoms. Writes
table.csv, table.json, table.md and a page of pictures, index.html. PSNR, SSIM and HFEN are of the whole image; "inside"
is the foreground.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from medsr.catalog import PERCEPTUAL, load_catalog
from medsr.cli import evaluate_against, evaluate_phantoms
from medsr.cli.console import note, open_view, say, table_lines
from medsr.cli.folders import check_folder, check_free_names, filled_at_the_end, output_folder
from medsr.cli.parsing import VerbParser, add_upscale_options, parse_number, parse_whole, read_upscale_options
from medsr.cli.volume_files import VolumeFiles
from medsr.errors import InvalidValueError, MissingDependencyError, ModelError, unknown_name
from medsr.jobs import Progress

if TYPE_CHECKING:
    from medsr.evaluation.perceptual import TextureDistance
    from medsr.evaluation.rows import EvaluationTable
    from medsr.options import UpscaleOptions

EXAMPLES = """examples:
  medsr evaluate t1.nii.gz t2.nii.gz --models bspline tikhonov auto --cases k2 z4 --output results
  medsr evaluate t1.nii.gz --cases z4 --noise 0.02 --misstate 1.25 --crop 96 --output results
  medsr evaluate ct.nii.gz --cases "scale=1,1,5;width=5;profile=box" --output results
  medsr evaluate --phantoms --models tikhonov auto srgan --cases z4 k2 --noise 0.02 --output results
  medsr evaluate axial.nii.gz --against sagittal.nii.gz --models bspline tikhonov auto --output results
  medsr evaluate ct_5mm/ --against ct_1mm/ --models tikhonov --profiles gaussian:4.5 box:5 --output results"""

FILES = ("table.csv", "table.json", "table.md", "index.html")
_ORACLE, _BICUBIC = "tikhonov-oracle", "bicubic"
_DEFAULT_CASES = ("k2", "z4")
_DEFAULT_MODELS = ("linear", "bspline", "tikhonov", "auto")
_SIMULATION = ("cases", "noise", "told", "misstate", "perceptual")
_SHARED = ("modality", "mode", "device", "memory", "consistency", "not_labels")


def configure(parser: VerbParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument(
        "files", metavar="FILE", nargs="*", help="fine volumes or images: the truth; with --against one, as measured"
    )
    evaluate_phantoms.configure(parser)
    parser.add_argument(
        "--against",
        metavar="SERIES",
        help="another series of the same patient, which judges instead of a simulation: a stack that crosses the "
        "slices of FILE (is the detail confirmed?), or a parallel finer one (how large is the error?)",
    )
    parser.add_argument(
        "--profiles",
        metavar="PROFILE",
        nargs="+",
        help="with --against: what is told of the slice axis, each in turn: auto, gaussian, box or kspace, a width in "
        "mm may follow: gaussian:3.2; default: auto",
    )
    parser.add_argument(
        "--models",
        metavar="NAME",
        nargs="+",
        help=f"names from `medsr models`, folders of bundles, auto, {_BICUBIC}, or {_ORACLE} (its weight chosen on the "
        "truth); default: linear bspline tikhonov auto",
    )
    parser.add_argument(
        "--cases",
        metavar="CASE",
        nargs="+",
        help="z3 z4 z6gap x3 k2 kf2 zk3 xyk2 z5h z5box iso2 xy4 bicubic2 bicubic3 bicubic4 bicubic8 bicubic16, or "
        "scale=1,1,4;width=4;profile=gaussian;noise=0.02; default: k2 z4",
    )
    parser.add_argument("--noise", metavar="FRACTION", help="Rician noise / 99th percentile, for every case")
    parser.add_argument(
        "--told",
        metavar="nothing|thickness|profile",
        help="what the models are told: nothing, the thickness of slices (as headers do; default), every profile",
    )
    parser.add_argument("--misstate", metavar="FACTOR", help="tell the models a wrong profile width")
    parser.add_argument("--crop", metavar="N|X,Y,Z", help="judge only the central box of this many voxels")
    parser.add_argument("--seed", metavar="N", default="0", help="of the noise; with --against of the intervals")
    parser.add_argument(
        "--perceptual", action="store_true", help="add the distance of the features of texture-net; needs torch"
    )
    parser.add_argument("--output", metavar="DIR", required=True, help="folder for the tables and the page")
    parser.add_argument("--overwrite", action="store_true", help="replace tables that exist")
    parser.add_argument("--progress", metavar="auto|bar|json|none", default="auto", help="as for `medsr upscale`")
    add_upscale_options(parser.add_argument_group("passed to the models"), only=_SHARED)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate, write the files, print the figures."""
    evaluate_phantoms.check(arguments)
    folder = output_folder(arguments.output)
    options = read_upscale_options(arguments)
    models = _check_models(arguments.models or _DEFAULT_MODELS)
    seed = parse_whole("seed", arguments.seed)
    crop = None if arguments.crop is None else _parse_crop(arguments.crop)
    _check_together(arguments)
    check_folder(folder)
    check_free_names(folder, FILES, overwrite=arguments.overwrite)
    if arguments.phantoms:
        evaluate_phantoms.run(arguments, folder, FILES, models, options)
    elif arguments.against:
        volumes = VolumeFiles([*arguments.files, arguments.against], _stated_modality(options))
        evaluate_against.run(arguments, folder, FILES, models, options, volumes, seed, crop)
    else:
        _simulated(arguments, folder, models, options, seed, crop)
    _say_files(folder, say if arguments.progress != "json" else note)
    return 0


def _stated_modality(options: UpscaleOptions) -> str | None:
    return None if options.modality == "auto" else options.modality


def _check_together(arguments: argparse.Namespace) -> None:
    """Raise InvalidValueError for options that belong to the other kind of evaluation."""
    if arguments.against is None:
        if arguments.profiles:
            raise InvalidValueError("--profiles belongs to --against; a case states its own profile.")
        return
    given = [name for name in _SIMULATION if getattr(arguments, name) not in (None, False)]
    if given:
        raise InvalidValueError(f"--{given[0]} belongs to simulated cases; with --against nothing is simulated.")
    if len(arguments.files) > 1:
        raise InvalidValueError(f"--against judges one volume at a time, got {len(arguments.files)}.")


def _simulated(
    arguments: argparse.Namespace,
    folder: Path,
    models: Sequence[str],
    options: UpscaleOptions,
    seed: int,
    crop: Sequence[int] | None,
) -> None:
    """Judge by volumes that are made coarse."""
    noise = None if arguments.noise is None else parse_number("noise", arguments.noise)
    misstate = parse_number("misstate", arguments.misstate or "1")
    distance = _perceptual_distance() if arguments.perceptual else None

    from medsr.evaluation.page import render_page
    from medsr.evaluation.plates import Plate, make_plate
    from medsr.evaluation.protocols import parse_case
    from medsr.evaluation.run import Trial, evaluate
    from medsr.evaluation.tables import to_csv, to_json, to_markdown

    cases = [parse_case(text) for text in arguments.cases or _DEFAULT_CASES]
    volumes = VolumeFiles(arguments.files, _stated_modality(options))
    plates: list[Plate] = []

    def watch(trial: Trial) -> None:
        if trial.results:
            plates.append(make_plate(trial))

    with open_view(arguments.progress) as view, filled_at_the_end(folder) as draft:
        table = evaluate(
            volumes,
            models,
            cases,
            noise=noise,
            told=arguments.told or "thickness",
            misstate=misstate,
            crop=crop,
            seed=seed,
            options=options,
            progress=Progress(view),
            watch=watch,
            distance=distance,
        )
        if len(table.failures) == len(table):
            raise ModelError(f"No model gave a result. The first one said: {table.failures[0].error}")
        texts = (to_csv(table), to_json(table), to_markdown(table), render_page(table, plates))
        for name, text in zip(FILES, texts, strict=True):
            (draft / name).write_text(text, encoding="utf-8")
    _summarise(table, to_stdout=arguments.progress != "json")


def _check_models(texts: Sequence[str]) -> list[str]:
    """Model names, which may also be separated by commas, each of them known or a folder."""
    names = list(dict.fromkeys(name for text in texts for name in text.split(",") if name))
    known = [*load_catalog(), "auto", _BICUBIC, _ORACLE]
    for name in names:
        if name not in known and not Path(name).is_dir():
            raise unknown_name("model", name, known)
    return names


def _perceptual_distance() -> TextureDistance:
    if find_spec("torch") is None:
        raise MissingDependencyError(
            "--perceptual needs torch, which is not installed. Install with: pip install 'medsr[network]', or leave "
            "--perceptual away."
        )
    from medsr.evaluation.perceptual import TextureDistance

    return TextureDistance()


def _parse_crop(text: str) -> tuple[int, ...]:
    sizes = tuple(parse_whole("crop", part, least=1) for part in text.split(","))
    if len(sizes) not in (1, 3):
        raise InvalidValueError(f"--crop takes one number of voxels or three (x,y,z), got {text!r}.")
    return sizes * 3 if len(sizes) == 1 else sizes


def _summarise(table: EvaluationTable, *, to_stdout: bool) -> None:
    from medsr.evaluation.tables import BASELINES, MARK, means_table

    write = say if to_stdout else note
    for line in table_lines(*means_table(table, [b for b in BASELINES if b in table.models])):
        write(line)
    if table.perceptual:
        write(f"{MARK} {PERCEPTUAL}")
    failures = table.failures
    if failures:
        write(f"{len(failures)} of {len(table)} results failed; the tables say why.")


def _say_files(folder: Path, write: Callable[[str], None]) -> None:
    write("Written   " + ", ".join(str(folder / name) for name in FILES))
