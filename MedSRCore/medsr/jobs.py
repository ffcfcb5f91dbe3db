"""The job contract: a JobSpec goes in, events come out. Command line, worker and Slicer module all speak it.

Events travel as JSON lines: one object per line with a ``kind`` and the fields of its dataclass.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from medsr.errors import CancelledError, InputError, unknown_name
from medsr.facts import Facts
from medsr.notices import Notice, notice
from medsr.options import UpscaleOptions


@dataclass(frozen=True)
class JobSpec:
    """One super-resolution from file to file.

    Attributes:
        input: image file or DICOM folder.
        output: file to write.
        options: how.
        overwrite: replace an existing output.
        series: DICOM series to take (UID, or number in the list that the error shows).
        report: file for the JSON report, or None.
        maps: name -> file for maps that the model offers ("difference", "residual").
        facts: what is known of the acquisition beside what the input itself says.
        warnings: sentences about the input that a person should read, beside what reading it says.
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

    def to_json(self) -> str:
        """The job as one line that `from_json` reads."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        data = {"options": self.options.to_dict(), "maps": dict(self.maps), "facts": self.facts.to_json()}
        return json.dumps({**values, **data})

    @classmethod
    def from_json(cls, text: str) -> JobSpec:
        """Read a job; raise InputError for text that is none."""
        try:
            data = json.loads(text)
            if not isinstance(data, dict):
                raise TypeError("not an object")
            options, facts = UpscaleOptions.from_dict(data.get("options", {})), Facts.from_json(data.get("facts", []))
            warnings = tuple(map(str, data.get("warnings", ())))
            return cls(**{**data, "options": options, "facts": facts, "warnings": warnings})
        except (json.JSONDecodeError, TypeError) as error:
            raise InputError(f"This is not a MedSR job: {error}.") from error


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


_EVENTS: dict[str, type[Event]] = {
    cls.kind: cls for cls in (StageEvent, ProgressEvent, WarningEvent, ResultEvent, ErrorEvent)
}


def parse_event(line: str) -> Event:
    """One JSON line -> its event; raise InputError for a line that is none."""
    try:
        data = json.loads(line)
        kind = data.pop("kind")
    except (json.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
        raise InputError(f"Not an event: {line[:200]!r}.") from error
    if kind not in _EVENTS:
        raise unknown_name("event", str(kind), _EVENTS)
    return _EVENTS[kind](**data)


class Progress:
    """Turns work done into events, and a wish to stop into CancelledError.

    Args:
        emit: receives every event; None for nobody.
        cancelled: asked at every step; True raises CancelledError.
    """

    def __init__(
        self, emit: Callable[[Event], None] | None = None, cancelled: Callable[[], bool] | None = None
    ) -> None:
        self._emit = emit or (lambda event: None)
        self._cancelled = cancelled or (lambda: False)
        self._started = time.monotonic()

    def check(self) -> None:
        """Raise CancelledError if the person asked to stop."""
        if self._cancelled():
            raise CancelledError("Stopped; nothing was written.")

    def stage(self, name: str) -> None:
        """Say that another part of the work begins; may raise CancelledError, as `check`."""
        self.check()
        self._emit(StageEvent(name))

    def warn(self, warning: Notice | str) -> None:
        """Pass on what a person should know."""
        told = warning if isinstance(warning, Notice) else notice("source", text=warning)
        self._emit(WarningEvent(str(told), told.kind, told.to_json()["values"]))

    def at(self, fraction: float) -> None:
        """Report that `fraction` of the whole work is done."""
        self.check()
        elapsed = time.monotonic() - self._started
        left = elapsed * (1 - fraction) / fraction if fraction > 0.02 else None
        self._emit(ProgressEvent(min(fraction, 1.0), left))

    def section(self, start: float, end: float) -> Callable[[float], None]:
        """A callback whose 0..1 is mapped to `start`..`end` of the whole."""
        return lambda fraction: self.at(start + (end - start) * fraction)
