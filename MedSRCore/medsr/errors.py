"""The errors a person may see. Each text says what was received, what is accepted and what to do.

Every class also subclasses the built-in that a Python programmer would expect to catch.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MedSRError(Exception):
    """Base of all errors that MedSR raises on purpose. `exit_code` is what the command line returns."""

    exit_code = 1


class InvalidValueError(MedSRError, ValueError):
    """An option or argument that makes no sense, alone or beside another one."""

    exit_code = 2


class UnknownNameError(MedSRError, KeyError):
    """A name that is in no list; the text suggests the nearest one."""

    exit_code = 2

    def __str__(self) -> str:  # KeyError would print the repr
        return str(self.args[0]) if self.args else ""


class InputError(MedSRError, ValueError):
    """A file or image that cannot be processed as it is."""

    exit_code = 3


class InputNotFoundError(InputError, FileNotFoundError):
    """An input path that does not exist."""


class OutputError(MedSRError, OSError):
    """An output that cannot be written, or that exists already."""

    exit_code = 4


class ModelError(MedSRError, RuntimeError):
    """A model that cannot be used here: corrupt weights, wrong dimension or modality."""

    exit_code = 5


class MissingDependencyError(MedSRError, ImportError):
    """A package that this feature needs is not installed; the text says how to get it."""

    exit_code = 6


class ResourceError(MedSRError, MemoryError):
    """Not enough memory or disk for what was asked."""

    exit_code = 7


class CancelledError(MedSRError):
    """The person stopped the work."""

    exit_code = 130


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """Build the error for an unknown `name` of some `kind`, with the nearest known one."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return UnknownNameError(f"There is no {kind} called {name!r}.{hint} Available: {', '.join(names)}.")
