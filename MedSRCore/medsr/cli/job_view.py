"""How a verb shows the job that it runs: for people, or as JSON lines for programs, failures among them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout

from medsr.cli.console import JsonView, View, note, open_view, say
from medsr.cli.failures import explain
from medsr.cli.interruption import signal_that_came
from medsr.jobs import ResultEvent


def tell(view: View, result: ResultEvent, lines: Iterable[str]) -> int:
    """Show what a job gave: `lines` for people, the event itself for programs; the exit code."""
    if isinstance(view, JsonView):
        view(result)
        return 0
    for line in lines:
        say(line)
    note("Not a medical device: not for clinical decisions.")
    return 0


@contextmanager
def job_view(mode: str) -> Iterator[View]:
    """The view for ``--progress MODE`` while a job runs in the block.

    As JSON lines, a failure is one of them too, and nothing else gets onto standard output.

    Raises:
        UnknownNameError: no such mode.
    """
    with open_view(mode) as view:
        if not isinstance(view, JsonView):
            yield view
            return
        # A stray print of some library must not break the lines.
        with redirect_stdout(sys.stderr):
            try:
                yield view
            except BrokenPipeError:
                raise
            except BaseException as error:
                view(explain(error, signal_that_came()))
                raise
