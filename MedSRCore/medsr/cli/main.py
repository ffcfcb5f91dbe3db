"""The command ``medsr``: finds the verb, runs it, and turns whatever goes wrong into one sentence and an exit code.

Only the module of the verb that was asked for is imported, so that help and short answers come at once.
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import medsr
from medsr.cli.console import error_line, route_logging, say
from medsr.cli.failures import BROKEN_PIPE, EXIT_CODES, explain
from medsr.cli.interruption import Interruption
from medsr.cli.parsing import VerbParser, check_option_names, join_negative_numbers
from medsr.errors import InvalidValueError, unknown_name
from medsr.resources import wait_quietly

VERBS = {
    "upscale": "super-resolve a volume, a DICOM series or a picture",
    "fuse": "make one isotropic volume of several thick stacks of one sitting",
    "segment": "enhance an image, segment it with a program of yours, bring the labels back",
    "models": "list the models, or tell everything about one",
    "info": "say what is in an image file or DICOM folder",
    "evaluate": "degrade volumes, enlarge them again and judge the models",
    "measure": "volume and mean of segments of a result, with intervals",
    "calibrate": "measure how far results are off, for error maps that mean what they say",
    "check": "ask another series of the patient whether the detail of a result is there",
    "augment": "make a larger segmentation training set, with super-resolved copies",
    "augment check": "see that no copy of a tested patient is trained on, before you train",
    "augment evaluate": "train segmentation networks and tell whether the copies helped",
    "train": "train a network by a recipe",
    "demo": "degrade and enlarge a real brain, and show it on a page",
    "doctor": "check this installation and list missing packages",
}
_GLOBAL_OPTIONS = ("--help", "-h", "--version", "--debug")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (that of the process when None) and return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    wait_quietly()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A file name that the terminal cannot show must not end the work.
            stream.reconfigure(errors="backslashreplace")
    with Interruption() as interruption, route_logging(debug=debug), warnings.catch_warnings():
        if not (debug or sys.warnoptions):
            # Those of Python packages are for who calls them; MedSR's own do not come this way.
            warnings.simplefilter("ignore")
        try:
            code = _dispatch(arguments)
            sys.stdout.flush()
            return code
        except BaseException as error:
            return _report(error, interruption, debug=debug)


def _dispatch(arguments: list[str]) -> int:
    """Run the verb that `arguments` name."""
    leading: list[str] = []
    while arguments and arguments[0].startswith("-"):
        leading.append(arguments.pop(0))
    for option in leading:
        if option not in _GLOBAL_OPTIONS:
            raise unknown_name("option", option, _GLOBAL_OPTIONS)
    if "--version" in leading:
        say(f"medsr {medsr.__version__}")
        return 0
    if "--help" in leading or "-h" in leading:
        say(_overview())
        return 0
    if not arguments:
        raise InvalidValueError("A command is missing, for example: medsr upscale IN OUT. Try `medsr --help`.")
    # A verb may have two words.
    words = 2 if " ".join(arguments[:2]) in VERBS else 1
    name, rest = " ".join(arguments[:words]), arguments[words:]
    if name not in VERBS:
        raise unknown_name("command", name, VERBS)
    verb = verb_module(name)
    parser = VerbParser(prog=f"medsr {name}", description=verb.__doc__, epilog=verb.EXAMPLES)
    verb.configure(parser)
    parser.add_argument("--debug", action="store_true", help="on an error, show the traceback as well")
    rest = join_negative_numbers(rest)
    check_option_names(parser, rest)
    if "--help" in rest or "-h" in rest:
        say(parser.format_help().rstrip())
        return 0
    return int(verb.run(parser.parse_args(rest)))


def verb_module(name: str) -> Any:
    """The module of a verb, with `configure(parser)` and `run(options)`; blanks in its name are underscores."""
    return import_module(f"medsr.cli.{name.replace(' ', '_')}")


def _report(error: BaseException, interruption: Interruption, *, debug: bool) -> int:
    """Tell a person about `error`; return the exit code."""
    failure = explain(error, interruption.signal_number)
    if debug:
        traceback.print_exception(error)
    try:
        if failure.exit_code == BROKEN_PIPE:
            # Whoever read the output is gone; without this Python would complain about it when it ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        elif failure.message:
            sys.stdout.flush()
            error_line(failure.message)
    except (OSError, ValueError):  # the readers of both streams are gone
        pass
    return failure.exit_code


def _overview() -> str:
    width = max(map(len, VERBS))
    lines = [
        "usage: medsr COMMAND ...",
        "",
        "Super-resolution of MR and CT volumes, in the same patient space.",
        "",
        "commands:",
        *(f"  {name:<{width}}  {summary}" for name, summary in VERBS.items()),
        "",
        "options:",
        "  --help     this text; `medsr COMMAND --help` for one command",
        "  --version  the version",
        "  --debug    on an error, show the traceback as well",
        "",
        "exit codes:",
        *(f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items()),
        "",
        "Research software: not a medical device, not for clinical decisions.",
    ]
    return "\n".join(lines)
