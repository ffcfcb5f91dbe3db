"""The reference pages say what the command does."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

from medsr.cli.failures import EXIT_CODES
from medsr.cli.main import VERBS, verb_module
from medsr.cli.parsing import VerbParser

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"


def section(verb):
    text = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    return text.partition(f"\n## medsr {verb}\n")[2].partition("\n## ")[0]


def options_of(verb):
    module = verb_module(verb)
    parser = VerbParser(f"medsr {verb}", module.__doc__, module.EXAMPLES)
    module.configure(parser)
    return {name for name in parser.option_names if name.startswith("--")} - {"--help"}


def test_every_exit_code_is_documented():
    text = (REFERENCE / "exit-codes.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d+) \| ([^|]+?) \|", text, flags=re.MULTILINE))
    assert {int(code): meaning for code, meaning in rows.items()} == EXIT_CODES


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_documented_and_every_documented_option_is_there(verb):
    documented = set(re.findall(r"--[a-z][a-z-]+", section(verb)))
    elsewhere = {"--no-deps"}  # pip's
    assert options_of(verb) == documented - elsewhere


def test_examples_of_the_reference_are_accepted_by_the_parser():
    verbs = "|".join(sorted(VERBS, key=len, reverse=True))
    text = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    examples = re.findall(rf"^medsr ({verbs}) (.+)$", text, re.MULTILINE)
    assert len(examples) >= 5
    for verb, arguments in examples:
        module = verb_module(verb)
        parser = VerbParser(f"medsr {verb}", module.__doc__, module.EXAMPLES)
        module.configure(parser)
        assert isinstance(parser.parse_args(shlex.split(arguments)), argparse.Namespace)
