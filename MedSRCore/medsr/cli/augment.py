"""Make a larger training set: the originals, and super-resolved copies of them with matching labels.

SOURCE is a dataset.json (Decathlon, MONAI), the raw folder of an nnU-Net training set, a BIDS folder with label maps
among its derivatives, or a folder of images and label maps.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from typing import Any

from medsr.augmentation.recipes import load_recipe, recipe_names
from medsr.augmentation.spec import AugmentSpec
from medsr.cli.console import JsonView, note, say, seconds_text, table_lines
from medsr.cli.job_view import job_view
from medsr.cli.parsing import VerbParser, parse_whole
from medsr.errors import InputError, InvalidValueError
from medsr.jobs import Progress, ResultEvent

EXAMPLES = """examples:
  medsr augment dataset.json larger/ --recipe sr-x2,degrade-sr --per-image 2 --seed 7
  medsr augment bids/ larger/ --dry-run
  medsr augment photos/ larger/ --images "*.jpg" --labels "*_mask.png" --recipe degrade-sr --format nnunet
  medsr augment --list"""

_WHOLE = {"per_image": 1, "seed": 0, "workers": 0}


def configure(parser: VerbParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument("source", metavar="SOURCE", nargs="?", help="dataset.json, or the folder of a training set")
    parser.add_argument("output", metavar="OUT", nargs="?", help="folder of the new training set")
    parser.add_argument("--list", action="store_true", help="list the recipes")
    for option in dataclasses.fields(AugmentSpec):
        if option.name in ("source", "output"):
            continue
        text = option.metadata["help"].replace("%", "%%")
        if option.default is False:
            parser.add_argument(_flag(option.name), dest=option.name, action="store_true", help=text)
        else:
            parser.add_argument(_flag(option.name), dest=option.name, metavar=_metavar(option), help=text)
    parser.add_argument("--progress", metavar="auto|bar|json|none", default="auto", help="as for `medsr upscale`")


def run(arguments: argparse.Namespace) -> int:
    """Do the job; show its progress and a summary. Cases that failed make the exit code that of a bad input."""
    if arguments.list:
        rows = [[name, load_recipe(name).about] for name in recipe_names()]
        for line in table_lines(["recipe", "what a copy is"], rows):
            say(line)
        return 0
    if arguments.source is None or arguments.output is None:
        raise InvalidValueError("Give a training set and an output folder: medsr augment SOURCE OUT.")
    spec = _read_spec(arguments)
    with job_view(arguments.progress) as view:
        # Late, so that help and wrong options are answered before SimpleITK is loaded.
        from medsr.augmentation.run import augment

        result = augment(spec, Progress(view))
    if isinstance(view, JsonView):
        view(result)
    else:
        for line in summary_lines(result):
            say(line)
    bad = len(result.report["failed"]) + len(result.report["refused"])
    if bad:
        where = "listed above" if spec.dry_run else "listed above and in the report"
        raise InputError(f"{bad} cases or copies could not be made; they are {where}. The others are complete.")
    note("Not a medical device: not for clinical decisions.")
    return 0


def summary_lines(result: ResultEvent) -> list[str]:
    """What was planned or done, for people."""
    report: Mapping[str, Any] = result.report
    plan = report["plan"]
    lines = list(plan["lines"])
    if report["dataset"] is None:
        cost = f"About {seconds_text(plan['seconds'])} on two free cores"
        if plan["seconds_now"] > 1.2 * plan["seconds"]:
            cost += f", {seconds_text(plan['seconds_now'])} as busy as this machine is now"
        return [*lines, f"{cost}; {plan['memory_bytes'] / 1e9:.2g} GB of memory."]
    flagged = report["flagged"]
    lines.append(
        f"Made      {report['made']} copies in {seconds_text(report['seconds'])}; {report['kept']} were there already"
    )
    if flagged:
        shown = ", ".join(found["name"] for found in flagged[:3]) + (", ..." if len(flagged) > 3 else "")
        lines.append(f"Look at   {len(flagged)} flagged copies: {shown}")
    lines += [f"Written   {report['dataset']}", f"Report    {report['page']}"]
    # These commands train on the folds of this set; others let nnU-Net divide the copies among its own folds.
    return lines + [f"{'' if number else 'Next':<10}{text}" for number, text in enumerate(report["next"])]


def _read_spec(arguments: argparse.Namespace) -> AugmentSpec:
    given: dict[str, Any] = {"source": arguments.source, "output": arguments.output}
    for option in dataclasses.fields(AugmentSpec):
        value = getattr(arguments, option.name)
        if value is None or option.name in given:
            continue
        if option.name in _WHOLE:
            value = parse_whole(option.name.replace("_", "-"), value, least=_WHOLE[option.name])
        elif option.name == "recipes":
            value = tuple(part.strip() for part in value.split(","))
        given[option.name] = value
    return AugmentSpec(**given)


def _flag(name: str) -> str:
    # One --recipe may name several.
    return "--recipe" if name == "recipes" else f"--{name.replace('_', '-')}"


def _metavar(option: dataclasses.Field[Any]) -> str:
    if "choices" in option.metadata:
        return "|".join(option.metadata["choices"])
    if option.name in _WHOLE:
        return "N"
    return {"recipes": "NAMES", "images": "PATTERN", "labels": "PATTERN", "memory": "SIZE"}.get(
        option.name, option.name.upper()
    )
