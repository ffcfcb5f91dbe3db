"""One piece of work among many as plain data, what became of it, and who does it.

What executes a piece may be another process or machine. Everything that decides a result stands in the piece itself, so
it is the same whoever makes it, and in whatever order.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from medsr.errors import CancelledError, MedSRError
from medsr.jobs import Progress

MADE, KEPT, FAILED = "made", "kept", "failed"

FAILURES = (
    MedSRError, ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, MemoryError, OSError,
    RuntimeError, TypeError, ValueError,
)  # fmt: skip
"""What a file or a model may throw. One bad case must not cost the others' night."""


class Task(Protocol):
    """A piece of work; it can be pickled."""

    @property
    def name(self) -> str:
        """Of the result, for people; unique among the tasks."""

    @property
    def folders(self) -> frozenset[Path]:
        """Where it writes."""


@dataclass(frozen=True)
class TaskResult:
    """What became of a task.

    Attributes:
        name: of the task.
        status: `MADE`, `KEPT` (it was there already) or `FAILED`.
        error: a sentence for people, when it failed.
        warnings: sentences about this result.
        seconds: it took.
    """

    name: str
    status: str
    error: str = ""
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0


T = TypeVar("T", bound=Task)
T_contra = TypeVar("T_contra", bound=Task, contravariant=True)


class Execute(Protocol[T_contra]):
    """What does a task."""

    def __call__(self, task: T_contra, cancelled: Callable[[], bool] | None = None, /) -> TaskResult:
        """Do it; raise nothing but CancelledError."""


class Executor(Protocol):
    """Who runs the tasks: this process, or a cluster."""

    def run(self, tasks: Sequence[T], execute: Execute[T], progress: Progress) -> Iterator[TaskResult]:
        """Yield the result of every task as soon as it is there, in any order.

        ``progress.check()`` is asked often; the CancelledError that it raises is passed on when everything that was
        begun has been stopped.
        """


class SerialExecutor:
    """One task after the other, in this process."""

    def run(self, tasks: Sequence[T], execute: Execute[T], progress: Progress) -> Iterator[TaskResult]:
        """Yield the results in the order of the tasks."""

        def cancelled() -> bool:
            try:
                progress.check()
            except CancelledError:
                return True
            return False

        for task in tasks:
            progress.check()
            yield execute(task, cancelled)


def remove_drafts(tasks: Sequence[Task]) -> None:
    """Remove what a worker that was ended in the middle of writing left beside the places of `tasks`."""
    for folder in frozenset[Path]().union(*(task.folders for task in tasks)):
        for draft in folder.glob(".medsr-*"):
            shutil.rmtree(draft, ignore_errors=True)


def reason(error: BaseException) -> str:
    """What is told of a failure that must not stop the others."""
    if isinstance(error, MemoryError) and not isinstance(error, MedSRError):
        return "There was not enough memory."
    text = " ".join(str(error).split())[:500] or "no reason given"
    return text if isinstance(error, MedSRError) else f"{type(error).__name__}: {text}"
