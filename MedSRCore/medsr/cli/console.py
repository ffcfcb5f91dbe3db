"""What the command line shows: results on standard output; progress, warnings and errors on standard error."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

from medsr.errors import unknown_name
from medsr.jobs import Event, ProgressEvent, StageEvent, WarningEvent

PROGRESS_MODES = ("auto", "bar", "json", "none")

# Control characters but tab and line feed, those of the second hundred that terminals obey too, and those that turn the
# direction of writing or end a line unseen.
_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_SECONDS_BETWEEN_DRAWS = 0.1
_BAR_CELLS = 24
# The view whose line must be cleared before anything else is written to standard error.
_open_views: list[View] = []


def harmless(text: str) -> str:
    """`text` without what steers a terminal; everything that is shown passes here.

    Descriptions of bundles, DICOM texts and names of files come from anywhere; an escape code in one could change what
    else a person sees, or what their next paste does.
    """
    return _STEERING.sub("?", text)


def on_one_line(text: str) -> str:
    """`text` from a file without line ends: a text of several lines could look like other lines of ours."""
    return " ".join(text.splitlines())


def say(text: str = "") -> None:
    """A line on standard output."""
    sys.stdout.write(harmless(text) + "\n")


def note(text: str) -> None:
    """A line on standard error, above a progress bar that may be there."""
    for view in _open_views:
        view.clear()
    sys.stderr.write(harmless(text) + "\n")
    sys.stderr.flush()


def warning_line(text: str) -> None:
    """A warning on standard error."""
    note(f"medsr: warning: {text}")


def error_line(text: str) -> None:
    """An error on standard error."""
    note(f"medsr: error: {text}")


def table_lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Text in aligned columns, each row on one line."""
    lines = [[on_one_line(cell) for cell in line] for line in (head, *rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return ["  ".join(f"{cell:<{w}}" for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines]


def seconds_text(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 05 min``."""
    if seconds < 9.95 and not float(seconds).is_integer():
        return f"{seconds:.1f} s"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


class View:
    """Shows the events of a job. This one shows warnings only."""

    def __call__(self, event: Event) -> None:
        """Show `event`."""
        if isinstance(event, WarningEvent):
            warning_line(event.message)

    def clear(self) -> None:
        """Make room for another line."""

    def close(self) -> None:
        """End the display."""


class LinesView(View):
    """One line for every stage that is new: for files and pipes."""

    def __init__(self) -> None:
        self._stage = ""

    def __call__(self, event: Event) -> None:
        """Show `event`."""
        super().__call__(event)
        if isinstance(event, StageEvent) and event.name != self._stage:
            self._stage = event.name
            note(f"{event.name} ...")
        elif isinstance(event, ProgressEvent) and event.fraction == 0 and event.seconds_left:
            note(f"This will take about {seconds_text(round(event.seconds_left))} ...")


class BarView(View):
    """One line that renews itself: bar, percent, time left, stage."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._stage, self._fraction, self._left = "", 0.0, None  # type: tuple[str, float, float | None]
        self._drawn = 0
        self._last = 0.0

    def __call__(self, event: Event) -> None:
        """Show `event`."""
        super().__call__(event)
        if isinstance(event, StageEvent):
            self._stage = event.name
        elif isinstance(event, ProgressEvent):
            self._fraction, self._left = event.fraction, event.seconds_left
            if time.monotonic() - self._last < _SECONDS_BETWEEN_DRAWS and event.fraction < 1:
                return
        else:
            return
        self._draw()

    def clear(self) -> None:
        """Empty the line; the next event draws it again."""
        if self._drawn:
            self._stream.write("\r" + " " * self._drawn + "\r")
            self._drawn = 0

    def close(self) -> None:
        """Leave no bar behind: the summary says what was done."""
        self.clear()
        self._stream.flush()

    def _draw(self) -> None:
        done = round(_BAR_CELLS * self._fraction)
        left = f"  {seconds_text(round(self._left))} left" if self._left is not None and self._fraction < 1 else ""
        bar = "#" * done + "-" * (_BAR_CELLS - done)
        line = f"[{bar}] {100 * self._fraction:3.0f} %{left}  {harmless(self._stage)}"
        # A line as wide as the terminal would wrap, and could not be renewed.
        line = line[: max(shutil.get_terminal_size().columns - 1, 20)]
        self._stream.write("\r" + line.ljust(self._drawn))
        self._stream.flush()
        self._drawn = len(line)
        self._last = time.monotonic()


class JsonView(View):
    """Every event as a JSON line, for programs."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, event: Event) -> None:
        """Write `event` at once."""
        self._stream.write(event.to_json() + "\n")
        self._stream.flush()


@contextmanager
def open_view(mode: str) -> Iterator[View]:
    """The view for ``--progress MODE``, shown until the block ends.

    Raises:
        UnknownNameError: no such mode.
    """
    if mode not in PROGRESS_MODES:
        raise unknown_name("progress display", mode, PROGRESS_MODES)
    view = _make_view(mode)
    _open_views.append(view)
    try:
        yield view
    finally:
        view.close()
        _open_views.remove(view)


def _make_view(mode: str) -> View:
    if mode == "json":
        return JsonView(sys.stdout)
    if mode == "none":
        return View()
    if mode == "bar" or (sys.stderr.isatty() and os.environ.get("TERM") != "dumb"):
        return BarView(sys.stderr)
    return LinesView()


class _NoteHandler(logging.Handler):
    """Log records as lines on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            warning_line(record.getMessage())
        else:
            note(record.getMessage())


@contextmanager
def route_logging(*, debug: bool) -> Iterator[None]:
    """Show what MedSR logs from warnings on (with `debug`: everything) while the block runs."""
    logger, handler = logging.getLogger("medsr"), _NoteHandler()
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if debug else logging.WARNING)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
