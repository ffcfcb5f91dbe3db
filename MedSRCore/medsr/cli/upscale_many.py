"""``medsr upscale`` of several inputs, or of everything in a folder, onto a folder."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from medsr.cli.console import JsonView, note, say, seconds_text, table_lines
from medsr.cli.job_view import job_view
from medsr.cli.parsing import VerbParser, parse_whole, read_upscale_options
from medsr.errors import InputError, InvalidValueError
from medsr.jobs import Progress

_FOR_ONE = ("series", "report", "map")


def configure(parser: VerbParser) -> None:
    """Add the arguments that are for many inputs."""
    many = parser.add_argument_group("many inputs")
    many.add_argument(
        "--all", action="store_true", help="of a folder: each series and each image file below it; OUT is a folder"
    )
    many.add_argument(
        "--workers", metavar="N", help="processes that work side by side; 0: as many as memory and cores allow"
    )
    many.add_argument(
        "--cluster", metavar="CLUSTER", help="address of a Dask scheduler, e.g. tcp://host:8786, or local"
    )


def asked_for(arguments: argparse.Namespace) -> bool:
    """True where there are many inputs.

    Raises:
        InvalidValueError: an option that is for many inputs, beside one, or the other way round.
    """
    if len(arguments.inputs) == 1 and not arguments.all:
        for name in ("workers", "cluster"):
            if getattr(arguments, name) is not None:
                raise InvalidValueError(f"--{name} is for several inputs, or for a folder with --all.")
        return False
    for name in _FOR_ONE:
        if getattr(arguments, name):
            raise InvalidValueError(
                f"--{name} is for one input. With several, or --all, each result has a record below OUT/records."
            )
    return True


def run(arguments: argparse.Namespace) -> int:
    """Do the work; show its progress and a table.

    Inputs that failed make the exit code that of a bad input. Series of a study that are no volumes do not, unless
    there is nothing else.
    """
    options = read_upscale_options(arguments)
    workers = 1 if arguments.workers is None else parse_whole("workers", arguments.workers)
    with job_view(arguments.progress) as view:
        # Late, so that help and wrong options are answered before SimpleITK is loaded.
        from medsr.batch.run import upscale_many
        from medsr.batch.spec import BatchSpec

        spec = BatchSpec(
            tuple(arguments.inputs),
            arguments.output,
            options,
            everything=arguments.all,
            overwrite=arguments.overwrite,
            format=arguments.format,
            anonymize=arguments.anonymize,
            workers=workers,
            cluster=arguments.cluster,
        )
        result = upscale_many(spec, Progress(view))
    if isinstance(view, JsonView):
        view(result)
    else:
        for line in summary_lines(result.report):
            say(line)
    report = result.report
    if report["failed"] or not report["made"] + report["kept"]:
        bad = report["failed"] + report["left out"]
        raise InputError(
            f"{bad} of {len(report['rows'])} inputs could not be enlarged; the table says why. The other results are "
            "complete."
        )
    note("Not a medical device: not for clinical decisions.")
    return 0


def summary_lines(report: Mapping[str, Any]) -> list[str]:
    """The table and what was done, for people."""
    head = ("result", "", "model", "voxels", "spacing", "residual", "time")
    return [
        *table_lines(head, [_cells(row) for row in report["rows"]]),
        "",
        f"Done      {report['made']} made in {seconds_text(report['seconds'])}, {report['kept']} were there already, "
        f"{report['failed']} failed, {report['left out']} left out",
        f"Written   {report['table']}",
    ]


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    if row["error"]:
        error = row["error"] if len(row["error"]) <= 60 else row["error"][:57] + "..."
        return (row["name"], row["status"], "", error, "", "", "")
    return (
        row["name"],
        row["status"],
        row["model"],
        f"{row['size_before']} -> {row['size_after']}",
        f"{row['spacing_mm']} mm",
        f"{row['residual_percent']} %",
        seconds_text(float(row["seconds"])),
    )
