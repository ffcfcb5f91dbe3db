"""What is given at the Python console, checked in the words of the console before anything starts. No Qt."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import slicer

from MedSRLib.Errors import SceneError
from MedSRLib.Translation import tr as _

Result = TypeVar("Result")


def inConsoleWords(text: str) -> str:
    """A sentence of the library, whose options are those of the command line, as a person at the console calls them."""
    named = re.sub(r"--([a-z]+(?:-[a-z]+)*)", lambda match: f"`{match[1].replace('-', '_')}=`", text)
    return named.replace(" (`medsr models`)", "")


def atTheConsole(function: Callable[..., Result]) -> Callable[..., Result]:
    """Let the errors of a call for the Python console speak of its arguments; their class stays what it is."""

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Result:
        try:
            return function(*arguments, **named)
        except Exception as error:
            if error.args and isinstance(error.args[0], str):
                error.args = (inConsoleWords(error.args[0]), *error.args[1:])
            raise

    return call


def checkNode(value: Any, name: str, kind: str = "vtkMRMLVolumeNode", what: str = "") -> None:
    """Raise SceneError unless `value` is a MRML node of a kind.

    Args:
        value: what was given.
        name: of the argument.
        kind: class of nodes that is accepted.
        what: the kind in words; default: a volume node.
    """
    if isinstance(value, slicer.vtkMRMLNode) and value.IsA(kind):
        return
    what = what or _("a volume node")
    told = _("{name} takes {what}, got {value}.").format(name=name, what=what, value=_shown(value))
    if isinstance(value, str):
        told += " " + _('slicer.util.getNode("{value}") gives the node of that name.').format(value=value)
    raise SceneError(told)


def checkCallback(value: Any, name: str) -> None:
    """Raise SceneError unless `value` can be called, or is None."""
    if value is not None and not callable(value):
        raise SceneError(
            _("{name} takes a function that is called with the job, got {value}.").format(
                name=name, value=_shown(value)
            )
        )


def namesOf(value: str | Sequence[str], name: str) -> tuple[str, ...]:
    """A list of names, or one name, as a tuple; raises SceneError for anything else."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Sequence) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise SceneError(_("{name} takes a list of names, got {value}.").format(name=name, value=_shown(value)))


def pairsOf(value: Any) -> list[tuple[Any, Any]]:
    """Volumes with their segmentations; raises SceneError where something else is among them."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise SceneError(
            _("source takes a folder, or a list of (volume node, segmentation node), got {value}.").format(
                value=_shown(value)
            )
        )
    found = []
    for number, pair in enumerate(value, start=1):
        if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
            raise SceneError(
                _("Pair {number} of source is a volume node and its segmentation node, got {value}.").format(
                    number=number, value=_shown(pair)
                )
            )
        found.append((pair[0], pair[1]))
    return found


def checkedTypes(cls: type, options: Mapping[str, Any], loose: Sequence[str] = ()) -> dict[str, Any]:
    """Options with values of the types that a dataclass of the library is annotated with.

    Args:
        cls: the dataclass.
        options: by name; unknown ones are left to the library.
        loose: names whose values the library reads itself.

    Raises:
        medsr.errors.InvalidValueError: a value of another type.
    """
    from typing import get_type_hints

    from medsr.fields import convert

    hints = get_type_hints(cls)
    found = {}
    for name, value in options.items():
        plain = value.item() if type(value).__module__ == "numpy" and hasattr(value, "item") else value
        found[name] = plain if name in loose or name not in hints else convert(hints[name], plain, name)
    return found


def _shown(value: Any) -> str:
    if isinstance(value, slicer.vtkMRMLNode):
        return f"{value.GetName()} ({value.GetClassName()})"
    text = repr(value)
    return f"{text[:60]} ({type(value).__name__})"
