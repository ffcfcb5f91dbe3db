"""`medsr evaluate --phantoms`: no FILE, the truth is made."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from medsr.catalog import PERCEPTUAL
from medsr.cli.console import note, open_view, say, table_lines
from medsr.cli.folders import filled_at_the_end
from medsr.cli.parsing import VerbParser, parse_number, parse_whole
from medsr.errors import InvalidValueError, ModelError
from medsr.jobs import Progress
from medsr.options import UpscaleOptions

_OTHERS = ("against", "profiles", "misstate", "crop", "perceptual")


def configure(parser: VerbParser) -> None:
    """Add the arguments of phantoms to those of `medsr evaluate`."""
    parser.add_argument(
        "--phantoms",
        action="store_true",
        help="no FILE: digital phantoms with known lesions, lines and text. Counts what is kept, lost and made up; "
        "with 2 %% noise unless --noise says otherwise (CT: without)",
    )
    parser.add_argument(
        "--edge", metavar="MM", help="with --phantoms: side of the phantoms with lesions, 64 to 160; default: 96"
    )


def check(arguments: argparse.Namespace) -> None:
    """Raise InvalidValueError for arguments that do not go together."""
    if not arguments.phantoms:
        if arguments.edge is not None:
            raise InvalidValueError("--edge belongs to --phantoms.")
        if not arguments.files:
            raise InvalidValueError("Give a FILE whose truth is known, or --phantoms. Try `medsr evaluate --help`.")
        return
    if arguments.files:
        raise InvalidValueError(f"--phantoms makes its own volumes: leave {arguments.files[0]!r} away.")
    given = [name for name in _OTHERS if getattr(arguments, name) not in (None, False)]
    if given:
        raise InvalidValueError(f"--{given[0]} does not go with --phantoms.")


def run(
    arguments: argparse.Namespace, folder: Path, names: Sequence[str], models: Sequence[str], options: UpscaleOptions
) -> None:
    """Judge models on phantoms, write the files called `names`, print the figures."""
    noise = None if arguments.noise is None else parse_number("noise", arguments.noise)
    seed = parse_whole("seed", arguments.seed)

    from medsr.evaluation.phantoms.bench import CASES, run_bench
    from medsr.evaluation.phantoms.page import make_phantom_plate, render_phantom_page
    from medsr.evaluation.phantoms.rows import LESION_METRICS
    from medsr.evaluation.phantoms.scenes import EDGE, Scene
    from medsr.evaluation.phantoms.table import SHORT, text_table, to_csv, to_json, to_markdown
    from medsr.evaluation.plates import Plate
    from medsr.evaluation.run import Trial
    from medsr.evaluation.tables import MARK

    edge = EDGE if arguments.edge is None else parse_whole("edge", arguments.edge, least=1)
    plates: list[Plate] = []

    def watch(trial: Trial, scene: Scene) -> None:
        if trial.results:
            plates.append(make_phantom_plate(trial, scene))

    with open_view(arguments.progress) as view, filled_at_the_end(folder) as draft:
        table = run_bench(
            models,
            arguments.cases or CASES,
            noise=noise,
            told=arguments.told or "thickness",
            edge=edge,
            seed=seed,
            options=options,
            progress=Progress(view),
            watch=watch,
        )
        if len(table.failures) == len(table.rows):
            raise ModelError(f"No model gave a result. The first one said: {table.failures[0].error}")
        texts = (to_csv(table), to_json(table), to_markdown(table), render_phantom_page(table, plates))
        for name, text in zip(names, texts, strict=True):
            (draft / name).write_text(text, encoding="utf-8")
    write = say if arguments.progress != "json" else note
    for metrics in (LESION_METRICS, SHORT):
        for line in table_lines(*text_table(table, metrics)):
            write(line)
    if any(row.perceptual for row in table.rows):
        write(f"{MARK} {PERCEPTUAL}")
