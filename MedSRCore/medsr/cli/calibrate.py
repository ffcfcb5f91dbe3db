"""Measure how far results are off, so that error maps of a model mean what they say; or check that they do.

Fine volumes are seen through scanners, enlarged, and compared with the truth, each told nothing of the acquisition, the
thickness of the slices, and everything. What comes out is one file for each model that was used; as calibration.json in
the folder of a bundle it belongs to that model. Take volumes of several people, none of whom the model learned from.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from medsr.catalog import find_model
from medsr.cli.console import note, open_view, say, table_lines
from medsr.cli.folders import check_folder, check_free_names, filled_at_the_end, output_folder
from medsr.cli.parsing import VerbParser, parse_number, parse_whole
from medsr.cli.volume_files import VolumeFiles
from medsr.errors import InvalidValueError
from medsr.jobs import Progress

if TYPE_CHECKING:
    from medsr.evaluation.calibrating import Sample

EXAMPLES = """examples:
  medsr calibrate a.nii.gz b.nii.gz c.nii.gz --model my_bundle/ --output calibration
  medsr calibrate a.nii.gz b.nii.gz c.nii.gz --cases k2 z4 --noise 0 0.02 --output calibration
  medsr calibrate new1.nii.gz new2.nii.gz --check"""

_CASES = {"MR": ("z3", "z4", "z6gap", "x3", "k2", "kf2", "zk3", "xyk2"), "CT": ("z3", "z4", "z5h", "z5box")}
_NOISES = {"MR": ("0", "0.02"), "CT": ("0",)}
_MODALITIES = tuple(_CASES)
_WORTH = ("correlation", "oracle_correlation", "width", "oracle_width")


def configure(parser: VerbParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument("files", metavar="FILE", nargs="+", help="fine volumes, each of another person")
    parser.add_argument("--model", metavar="NAME", default="auto", help="name, folder of a bundle, or auto (default)")
    parser.add_argument("--modality", metavar="MR|CT", default="MR", help="of all volumes; default: MR")
    parser.add_argument("--cases", metavar="CASE", nargs="+", help="as for `medsr evaluate`; default: as scanners do")
    parser.add_argument("--noise", metavar="FRACTION", nargs="+", help="levels, each in turn; default: 0 0.02, of CT 0")
    parser.add_argument(
        "--told", metavar="WHAT", nargs="+", help="nothing, thickness, profile: each in turn; default: all three"
    )
    parser.add_argument("--misstate", metavar="FACTOR", default="1", help="tell a wrong width; for --check")
    parser.add_argument("--crop", metavar="N", help="only the central box of so many voxels; default: 96; 0 for all")
    parser.add_argument("--check", action="store_true", help="write nothing: see whether the present maps hold")
    parser.add_argument("--output", metavar="DIR", help="folder for the calibrations, MODEL.json each")
    parser.add_argument("--overwrite", action="store_true", help="replace calibrations that exist")
    parser.add_argument("--progress", metavar="auto|bar|json|none", default="auto", help="as for `medsr upscale`")


def run(arguments: argparse.Namespace) -> int:
    """Enlarge, compare, write the calibrations or the figures."""
    if arguments.modality not in _MODALITIES:
        raise InvalidValueError(f"--modality is MR or CT, got {arguments.modality!r}.")
    if arguments.check == (arguments.output is not None):
        raise InvalidValueError("Give --output DIR for a new calibration, or --check to try the present one.")
    noises = [parse_number("noise", text) for text in arguments.noise or _NOISES[arguments.modality]]
    misstate = parse_number("misstate", arguments.misstate)
    crop = parse_whole("crop", arguments.crop or "96")
    folder = None if arguments.check else output_folder(arguments.output)
    if folder is not None:
        check_folder(folder)
    if arguments.model != "auto":
        find_model(arguments.model)

    # Late, so that help and wrong options are answered before SimpleITK is loaded.
    from medsr.evaluation.calibrating import samples, unstretched
    from medsr.evaluation.run import TOLD
    from medsr.inference.calibration import scale_digest

    volumes = VolumeFiles(arguments.files, arguments.modality)
    digest = scale_digest(arguments.modality)
    with open_view(arguments.progress) as view:
        found = samples(
            volumes,
            arguments.model,
            arguments.cases or _CASES[arguments.modality],
            told=arguments.told or TOLD,
            noises=noises,
            misstate=misstate,
            crop=(crop,) * 3 if crop else None,
            calibration=None if arguments.check else unstretched(arguments.model, arguments.modality, digest),
            progress=Progress(view),
        )
    write = say if arguments.progress != "json" else note
    for line in table_lines(*_table(found)):
        write(line)
    if folder is not None:
        _write(found, folder, arguments, digest)
        write(f"Written   {folder}")
    return 0


def _write(found: Sequence[Sample], folder: Path, arguments: argparse.Namespace, digest: str) -> None:
    """One file for each model that was used."""
    from medsr.evaluation.calibrating import FEWEST_VOLUMES, calibrated

    names = [str(Path(file).name) for file in arguments.files]
    about = f"{len(names)} volumes: {', '.join(names)}"
    used = sorted({(sample.model, sample.volume) for sample in found})
    counts = Counter(model for model, _ in used)
    models = [model for model in counts if counts[model] >= FEWEST_VOLUMES] or list(counts)
    for model in sorted(set(counts) - set(models)):
        note(f"{model} was used on one volume only: it gets no calibration.")
    check_free_names(folder, [f"{model}.json" for model in models], overwrite=arguments.overwrite)
    with filled_at_the_end(folder) as draft:
        for model in models:
            entry = find_model(arguments.model if arguments.model != "auto" else model)
            own = [sample for sample in found if sample.model == model]
            content = calibrated(own, entry, arguments.modality, digest, about)
            (draft / f"{model}.json").write_text(json.dumps(dataclasses.asdict(content), indent=1) + "\n")


def _table(found: Sequence[Sample]) -> tuple[Sequence[str], list[tuple[str, ...]]]:
    """Means by volume and kind of input."""
    head = (
        "volume", "model", "input", "results", "held", "lowest", "highest",
        "rank corr.", "oracle", "width", "oracle", "sentence",
    )  # fmt: skip
    rows = []
    keys = sorted({(s.volume, s.model, s.noisy, s.assumed) for s in found})
    for volume, model, noisy, assumed in [*keys, ("mean", "", None, None)]:
        key = (volume, model, noisy, assumed)
        alike = [s for s in found if noisy is None or (s.volume, s.model, s.noisy, s.assumed) == key]
        kind = "" if noisy is None else f"{'noisy' if noisy else 'clean'}, {'assumed' if assumed else 'known'}"
        held = [s.held for s in alike]
        figures = [f"{100 * value:.1f} %" for value in (np.mean(held), min(held), max(held))]
        figures += [f"{np.mean([getattr(s, name) for s in alike]):.2f}" for name in _WORTH]
        figures.append(f"{100 * np.mean([s.typical for s in alike]):.1f} %")
        rows.append((volume, model, kind, str(len(alike)), *figures))
    return head, rows
