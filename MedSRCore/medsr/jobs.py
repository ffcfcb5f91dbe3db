"""The job contract: a JobSpec goes in, events come out. Command line, worker and Slicer module all speak it.

Events travel as JSON lines: one object per line with a ``kind`` and the fields of its dataclass.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from medsr.errors import (
    CancelledError,
    InputError,
    InvalidValueError,
    MedSRError,
    OutputError,
    ResourceError,
    UnknownNameError,
    unknown_name,
)
from medsr.facts import Facts
from medsr.fields import check_fields
from medsr.jsontext import parse_json
from medsr.notices import Notice, notice
from medsr.options import UpscaleOptions

FORMATS = ("dicom",)
"""What is not told by the extension of the output."""

NOTHING_WRITTEN = "Stopped; nothing was written."
_NO_JOB = "This is not a MedSR job"
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.EIO)


@dataclass(frozen=True)
class JobSpec:
    """One super-resolution from file to file.

    Attributes:
        input: image file or DICOM folder.
        output: file to write, or with the format "dicom" the folder of a series.
        options: how.
        overwrite: replace an existing output.
        series: DICOM series to take (UID, or number in the list that the error shows).
        report: file for the JSON report, or None.
        maps: name of `medsr.maps.MAPS` -> file.
        facts: what is known of the acquisition beside what the input itself says.
        warnings: sentences about the input that a person should read, beside what reading it says.
        format: "dicom" for a series derived from that of the input; None for the format that the extension names.
        anonymize: of a DICOM series, leave out who the patient is.
    """

    input: str
    output: str
    options: UpscaleOptions = field(default_factory=UpscaleOptions)
    overwrite: bool = False
    series: str | None = None
    report: str | None = None
    maps: Mapping[str, str] = field(default_factory=dict)
    facts: Facts = field(default_factory=Facts)
    warnings: tuple[str, ...] = ()
    format: str | None = None
    anonymize: bool = False

    def to_json(self) -> str:
        """The job as one line that `from_json` reads."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        data = {"options": self.options.to_dict(), "maps": dict(self.maps), "facts": self.facts.to_json()}
        return json.dumps({**values, **data})

    @classmethod
    def from_json(cls, text: str) -> JobSpec:
        """Read a job.

        Raises:
            InputError: text that is none, or a field of a name or type that a job does not have.
            UnknownNameError, InvalidValueError: an option that does not exist or makes no sense.
        """
        data = job_object(text)
        options, facts = data.get("options", {}), data.get("facts", [])
        if not isinstance(options, dict):
            raise InputError(f"{_NO_JOB}: options must be an object.")
        try:
            given = check_fields(cls, data, "field of a job", skip=("options", "facts"))
        except (UnknownNameError, InvalidValueError) as error:
            raise InputError(f"{_NO_JOB}: {error}") from error
        for name in ("input", "output"):
            if name not in given:
                raise InputError(f"{_NO_JOB}: {name!r} is missing.")
        # A target is one number or three; the options themselves see to it.
        taken = check_fields(UpscaleOptions, options, "option", skip=("scale", "spacing"))
        return cls(**{**given, "options": UpscaleOptions(**taken), "facts": Facts.from_json(facts)})


def job_object(line: str | bytes) -> dict[str, Any]:
    """The JSON object of a line; raise InputError for a line that holds none."""
    try:
        data = parse_json(line)
    except ValueError as error:
        raise InputError(f"{_NO_JOB}: {error}.") from error
    if not isinstance(data, dict):
        raise InputError(f"{_NO_JOB}: it is no JSON object.")
    return data


@dataclass(frozen=True)
class Event:
    """Base of what a job reports while it runs."""

    kind: ClassVar[str] = ""

    def to_json(self) -> str:
        """The event as one line that `parse_event` reads."""
        return json.dumps({"kind": self.kind, **dataclasses.asdict(self)})


@dataclass(frozen=True)
class StageEvent(Event):
    """A new stage of the work begins."""

    kind: ClassVar[str] = "stage"
    name: str


@dataclass(frozen=True)
class ProgressEvent(Event):
    """How far the whole job is: `fraction` 0 to 1, `seconds_left` estimated or None."""

    kind: ClassVar[str] = "progress"
    fraction: float
    seconds_left: float | None = None


@dataclass(frozen=True)
class WarningEvent(Event):
    """Something a person should know: in English, and as the kind and values of a `medsr.notices.Notice`."""

    kind: ClassVar[str] = "warning"
    message: str
    notice: str = "source"
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ResultEvent(Event):
    """The job is done; its files are in place."""

    kind: ClassVar[str] = "result"
    output: str
    report: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ErrorEvent(Event):
    """The job failed; nothing was written."""

    kind: ClassVar[str] = "error"
    message: str
    error: str = "MedSRError"
    exit_code: int = 1


def error_event(error: BaseException, defect: str = "The traceback is in the log; please report it.") -> ErrorEvent:
    """What is told of an exception, in the same words to whoever runs the job.

    Args:
        error: what was raised.
        defect: what to do about an error that nobody foresaw.
    """
    if isinstance(error, MedSRError):
        return ErrorEvent(str(error), type(error).__name__, error.exit_code)
    if isinstance(error, MemoryError):
        text = "There is not enough memory for this. Ask for a coarser target or crop the volume."
        return ErrorEvent(text, "ResourceError", ResourceError.exit_code)
    if isinstance(error, OSError) and error.errno in _FULL:
        text = "The disk is full. Free some space or write elsewhere."
        return ErrorEvent(text, "OutputError", OutputError.exit_code)
    if isinstance(error, OSError) and error.errno in _DENIED and error.filename is not None:
        # The last resort: whoever opens a file knows better whether it was to be read or written.
        text = f"{str(error.filename)!r} cannot be used: {error.strerror}. Check its name and its permissions."
        kind = OutputError if error.errno == errno.EROFS else InputError
        return ErrorEvent(text, kind.__name__, kind.exit_code)
    what = " ".join(str(error).split())[:300]
    text = f"Unexpected {type(error).__name__}{': ' + what if what else ''}. This is a defect of MedSR. {defect}"
    return ErrorEvent(text, type(error).__name__, 1)


_EVENTS: dict[str, type[Event]] = {
    cls.kind: cls for cls in (StageEvent, ProgressEvent, WarningEvent, ResultEvent, ErrorEvent)
}


def parse_event(line: str) -> Event:
    """One JSON line -> its event; raise InputError for a line that is none."""
    try:
        data = parse_json(line)
        kind = data.pop("kind")
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise InputError(f"Not an event: {line[:200]!r}.") from error
    if not isinstance(kind, str) or kind not in _EVENTS:
        raise unknown_name("event", str(kind), _EVENTS)
    return _EVENTS[kind](**data)


_SEEN_ENOUGH = 0.2
"""Share of the work from which on its pace tells more than what was expected before."""


class Progress:
    """Turns work done into events, and a wish to stop into CancelledError.

    Args:
        emit: receives every event; None for nobody.
        cancelled: asked at every step; True raises CancelledError.

    Attributes:
        tells_time: somebody would see how long the work is expected to take.
    """

    tells_time = True

    def __init__(
        self, emit: Callable[[Event], None] | None = None, cancelled: Callable[[], bool] | None = None
    ) -> None:
        self._emit = emit or (lambda event: None)
        self._cancelled = cancelled or (lambda: False)
        self._started = time.monotonic()
        self._expected: float | None = None

    def check(self) -> None:
        """Raise CancelledError if the person asked to stop."""
        if self._cancelled():
            raise CancelledError(NOTHING_WRITTEN)

    def unheard(self) -> Progress:
        """The progress of a part whose own 0 to 1 nobody should see, but which stops when this one does."""
        progress = Progress(cancelled=self._cancelled)
        progress.tells_time = False
        return progress

    def stage(self, name: str) -> None:
        """Say that another part of the work begins; may raise CancelledError, as `check`."""
        self.check()
        self._emit(StageEvent(name))

    def warn(self, warning: Notice | str) -> None:
        """Pass on what a person should know."""
        told = warning if isinstance(warning, Notice) else notice("source", text=warning)
        self._emit(WarningEvent(str(told), told.kind, told.to_json()["values"]))

    def expect(self, seconds: float) -> None:
        """Tell before the work how long it will take from now on."""
        self.check()
        self._expected = time.monotonic() - self._started + seconds
        self._emit(ProgressEvent(0.0, seconds))

    def at(self, fraction: float) -> None:
        """Report that `fraction` of the whole work is done."""
        self.check()
        elapsed = time.monotonic() - self._started
        left = elapsed * (1 - fraction) / fraction if fraction > 0.02 else None
        if self._expected is not None:
            # What was expected gives way to what is seen.
            known, share = max(self._expected - elapsed, 0.0), min(fraction / _SEEN_ENOUGH, 1.0)
            left = known if left is None else share * left + (1 - share) * known
        self._emit(ProgressEvent(min(fraction, 1.0), left))

    def section(self, start: float, end: float) -> Callable[[float], None]:
        """A callback whose 0..1 is mapped to `start`..`end` of the whole."""
        return lambda fraction: self.at(start + (end - start) * fraction)

    def part(self, start: float, end: float) -> Progress:
        """A progress whose 0 to 1 is `start` to `end` of this one's."""

        def emit(event: Event) -> None:
            if isinstance(event, ProgressEvent):
                self.at(start + (end - start) * event.fraction)
            else:
                self._emit(event)

        return Progress(emit, self._cancelled)
