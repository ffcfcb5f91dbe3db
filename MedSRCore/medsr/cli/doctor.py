"""Check this installation: what is there, what is missing for what, and whether the shipped weights are intact."""

from __future__ import annotations

import argparse
import dataclasses
import json

from medsr.cli.console import say, table_lines
from medsr.cli.parsing import VerbParser
from medsr.doctor import examine

EXAMPLES = """exit codes:
  0 when MedSR can be used, 5 when weights are corrupt, 6 when a package that it always needs is missing or broken"""


def configure(parser: VerbParser) -> None:
    """Add the arguments of this verb."""
    parser.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace) -> int:
    """Print the diagnosis."""
    diagnosis = examine()
    if arguments.json:
        say(json.dumps({**dataclasses.asdict(diagnosis), "usable": diagnosis.usable}, indent=2))
        return diagnosis.exit_code
    rows = [(f.status, f.name, f.detail) for f in diagnosis.findings]
    for line in table_lines(("", "what", "found"), rows)[1:]:
        say(line)
    advice = [f"{f.name}: {f.advice}" for f in diagnosis.findings if f.advice]
    if advice:
        say()
        for line in advice:
            say(line)
    say()
    say("MedSR can be used." if diagnosis.usable else "MedSR cannot be used until the problems above are solved.")
    return diagnosis.exit_code
