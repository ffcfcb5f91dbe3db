"""Values from JSON for the fields of a dataclass: taken where they have the type that the field is annotated with.

Python alone would take ``"false"`` for a truth value and be wrong in silence.
"""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from medsr.errors import InvalidValueError, unknown_name

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def check_fields(cls: type, data: Mapping[str, Any], kind: str, skip: Collection[str] = ()) -> dict[str, Any]:
    """The values of `data`, a JSON object, for the dataclass `cls`.

    Args:
        cls: the dataclass.
        data: field -> value.
        kind: what a field is called in an error: "field of a job".
        skip: fields whose values are taken as they are.

    Raises:
        UnknownNameError: a name that is no field.
        InvalidValueError: a value of another type.
    """
    hints = get_type_hints(cls)
    for name in data:
        if name not in hints:
            raise unknown_name(kind, name, hints)
    return {name: value if name in skip else convert(hints[name], value, name) for name, value in data.items()}


def convert(hint: Any, value: Any, name: str) -> Any:
    """`value` as the type `hint`: a whole number may stand for a number, a list becomes a tuple.

    Args:
        hint: bool, int, float, str, a tuple or mapping of them, a union of them with None, or Any.
        value: from JSON.
        name: of the field, for the error.

    Raises:
        InvalidValueError: a value of another type.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return value
    if origin in (Union, UnionType):
        if value is None and type(None) in arguments:
            return None
        one = next(argument for argument in arguments if argument is not type(None))
        return convert(one, value, name)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise InvalidValueError(f"{name} must be a list, got {reprlib.repr(value)}.")
        kinds = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(kinds) != len(value):
            raise InvalidValueError(f"{name} must be a list of {len(kinds)}, got {reprlib.repr(value)}.")
        return tuple(convert(kind, item, name) for kind, item in zip(kinds, value, strict=True))
    if origin is not None:
        if not isinstance(value, Mapping):
            raise InvalidValueError(f"{name} must be an object, got {reprlib.repr(value)}.")
        return {str(key): convert(arguments[1], item, f"{name}.{key}") for key, item in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return _as_float(value, name)
    if not isinstance(value, hint) or (hint is not bool and isinstance(value, bool)):
        raise InvalidValueError(f"{name} must be {_WORDS.get(hint, hint.__name__)}, got {reprlib.repr(value)}.")
    return value


def _as_float(value: int, name: str) -> float:
    try:
        return float(value)
    except OverflowError:
        raise InvalidValueError(f"{name} is too large a number.") from None
