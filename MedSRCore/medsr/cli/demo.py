"""Degrade a real brain volume, enlarge it with interpolation, physics and a network, and show all on one page.

The brain is the ICBM 152 template inside the Python package nilearn.
"""

from __future__ import annotations

import argparse
import time

from medsr.catalog import find_model
from medsr.cli.console import open_view, say, seconds_text, table_lines
from medsr.cli.folders import check_folder, filled_at_the_end, output_folder
from medsr.cli.parsing import VerbParser
from medsr.jobs import Progress

EXAMPLES = """examples:
  medsr demo
  medsr demo --output somewhere --full"""


def configure(parser: VerbParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument("--output", metavar="DIR", default="demo-output", help="folder to fill; default: demo-output")
    parser.add_argument("--model", metavar="NAME", default="auto", help="the model to show; default: auto")
    parser.add_argument("--full", action="store_true", help="the whole brain, not its central part: takes longer")
    parser.add_argument("--progress", metavar="auto|bar|json|none", default="auto", help="as for `medsr upscale`")


def run(arguments: argparse.Namespace) -> int:
    """Make the page; print the figures and where it is."""
    folder = output_folder(arguments.output)
    if arguments.model != "auto":
        find_model(arguments.model)
    check_folder(folder)

    # Late, so that help is answered before SimpleITK is loaded.
    from medsr.demo import run_demo
    from medsr.evaluation.tables import from_json, means_table

    started = time.perf_counter()
    with open_view(arguments.progress) as view, filled_at_the_end(folder) as draft:
        page = run_demo(draft, model=arguments.model, crop=not arguments.full, progress=Progress(view)).name
    if arguments.progress == "json":
        return 0
    table = from_json((folder / "figures.json").read_text(encoding="utf-8"))
    head, rows = means_table(table, ["bspline"])
    shown = [i for i, name in enumerate(head) if name.split()[0] in ("case", "model", "PSNR", "SSIM", "HFEN", "gain")]
    for line in table_lines([head[i] for i in shown], [[row[i] for i in shown] for row in rows]):
        say(line)
    say(f"Time      {seconds_text(time.perf_counter() - started)}")
    say(f"Page      {(folder / page).absolute()}")
    say("Open the page in a browser. The volumes beside it open in 3D Slicer or any viewer.")
    return 0
