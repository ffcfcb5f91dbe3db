"""Reading the command line: argparse with our own errors, and options made from the fields of `UpscaleOptions`."""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NoReturn

from medsr.errors import InvalidValueError, unknown_name
from medsr.options import UpscaleOptions, parse_triple

_NEGATIVE = re.compile(r"-\.?\d")


class VerbParser(argparse.ArgumentParser):
    """An argument parser whose errors are InvalidValueError and whose options are never guessed from their start."""

    def __init__(self, prog: str, description: str | None, epilog: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def error(self, message: str) -> NoReturn:
        """Raise instead of ending the process."""
        surplus = message.removeprefix("unrecognized arguments: ")
        if surplus != message:
            message = f"too many arguments, {surplus!r} has no meaning here; names with spaces need quotes"
        raise InvalidValueError(f"{message[:1].upper()}{message[1:].rstrip('.')}. Try `{self.prog} --help`.")

    @property
    def option_names(self) -> set[str]:
        """All options, those of groups included."""
        # argparse offers no public list, and groups share this one with their parser.
        return set(self._option_string_actions)


def check_option_names(parser: VerbParser, arguments: Sequence[str]) -> None:
    """Raise for an option that the verb does not have.

    Raises:
        InvalidValueError: it is the name of a file.
        UnknownNameError: it is none; the nearest option is named.
    """
    for argument in arguments:
        if argument == "--":
            return
        name = argument.partition("=")[0]
        if name.startswith("-") and name != "-" and name not in parser.option_names:
            if _names_a_file(argument):
                raise InvalidValueError(
                    f"{argument!r} begins like an option. If it is a file, put its folder before it: './{argument}'."
                )
            raise unknown_name(f"option of `{parser.prog}`", name, parser.option_names - {"-h"})


def _names_a_file(argument: str) -> bool:
    from medsr.io.formats import READABLE  # late: it loads what the command seldom needs

    if argument.lower().endswith((*READABLE, ".json")):
        return True
    try:
        return Path(argument).exists()
    except OSError:
        return False


def join_negative_numbers(arguments: Sequence[str]) -> list[str]:
    """``--scale -1,1,4`` -> ``--scale=-1,1,4``, so that the number is judged as a number and not as an option."""
    joined: list[str] = []
    for argument in arguments:
        before = joined[-1] if joined else ""
        if _NEGATIVE.match(argument) and before.startswith("--") and before != "--" and "=" not in before:
            joined[-1] = f"{before}={argument}"
        else:
            joined.append(argument)
    return joined


def add_upscale_options(group: Any, only: Collection[str] | None = None) -> None:
    """Add an argument for every field of `UpscaleOptions`, or for those named in `only`, with its help text."""
    for option in dataclasses.fields(UpscaleOptions):
        if only is not None and option.name not in only:
            continue
        flag, text = option.name.replace("_", "-"), option.metadata["help"].replace("%", "%%")
        if option.default is True:
            group.add_argument(f"--no-{flag}", dest=option.name, action="store_false", help=f"do not {text}")
        elif option.default is False:
            group.add_argument(f"--{flag}", action="store_true", help=text)
        else:
            group.add_argument(f"--{flag}", metavar=_metavar(option), help=text)


def read_upscale_options(arguments: argparse.Namespace) -> UpscaleOptions:
    """The options that `add_upscale_options` added, converted and validated.

    Raises:
        InvalidValueError, UnknownNameError: a value that makes no sense.
    """
    given: dict[str, Any] = {}
    for option in dataclasses.fields(UpscaleOptions):
        value = getattr(arguments, option.name, None)
        if value is None:
            continue
        given[option.name] = _converted(option, value) if isinstance(value, str) else value
    return UpscaleOptions(**given)


def parse_number(name: str, text: str) -> float:
    """A number, or an InvalidValueError that names the option."""
    try:
        return float(text)
    except ValueError:
        raise InvalidValueError(f"--{name} takes a number, got {text!r}.") from None


def parse_whole(name: str, text: str, least: int = 0) -> int:
    """A whole number of at least `least`, or an InvalidValueError that names the option."""
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise InvalidValueError(f"--{name} takes a whole number of at least {least}, got {text!r}.")
    return number


def parse_pairs(name: str, texts: Sequence[str] | None) -> dict[str, str]:
    """``["a=b", ...]`` -> ``{"a": "b", ...}``; raise InvalidValueError for anything else, or a key given twice."""
    pairs: dict[str, str] = {}
    for text in texts or ():
        key, separator, value = text.partition("=")
        if not (separator and key and value):
            raise InvalidValueError(f"--{name} takes NAME=FILE, got {text!r}.")
        if key in pairs:
            raise InvalidValueError(f"--{name} {key} is given twice.")
        pairs[key] = value
    return pairs


def _converted(option: dataclasses.Field[Any], text: str) -> Any:
    flag = option.name.replace("_", "-")
    # Annotations are texts in a module with postponed evaluation.
    if str(option.type).startswith("tuple"):
        return parse_triple(flag, text)
    if str(option.type).startswith("float"):
        return parse_number(flag, text)
    return next((c for c in option.metadata.get("choices", ()) if c.casefold() == text.casefold()), text)


def _metavar(option: dataclasses.Field[Any]) -> str:
    if "choices" in option.metadata:
        return "|".join(option.metadata["choices"])
    if str(option.type).startswith("tuple"):
        return "N|X,Y,Z"
    names = {"reference": "FILE", "model": "NAME", "slice_thickness": "MM", "memory": "SIZE"}
    return names.get(option.name, option.name.upper())
