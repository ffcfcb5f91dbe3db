"""The errors of the module, each with a text for the person at the screen."""

from __future__ import annotations

from collections.abc import Sequence


class ModuleError(RuntimeError):
    """Base of what this module raises on purpose."""


class CoreMissingError(ModuleError):
    """The library medsr is not where the module looks for it, or does not work in this Python."""


class SceneError(ModuleError):
    """A node that cannot be used as asked."""


class SuperResolutionError(ModuleError):
    """A job that ended without a result.

    Args:
        message: what went wrong and what to do.
        kind: name of the worker's error class, or "WorkerDied".
        log: last lines that the worker wrote.
    """

    def __init__(self, message: str, kind: str = "", log: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.kind = kind
        self.log = tuple(log)


class JobCancelled(ModuleError):  # noqa: N818  a decision, not a fault
    """The person, or a change of the scene, stopped the job."""


class InstallError(ModuleError):
    """Packages were not installed.

    Args:
        message: why, and what to do.
        declined: True when the person said no.
    """

    def __init__(self, message: str, *, declined: bool = False) -> None:
        super().__init__(message)
        self.declined = declined
