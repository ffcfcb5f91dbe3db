"""What each failure means for a person and for the shell."""

from __future__ import annotations

import signal

from medsr.errors import CancelledError
from medsr.jobs import ErrorEvent, error_event

BROKEN_PIPE = 141

EXIT_CODES = {
    0: "done",
    1: "unexpected error: a defect of MedSR",
    2: "an option, name or target that makes no sense",
    3: "an input that is missing or cannot be processed",
    4: "an output that exists or cannot be written",
    5: "a model that cannot be used here, or corrupt weights",
    6: "a package is missing",
    7: "not enough memory",
    129: "stopped: the terminal was closed (SIGHUP)",
    130: "stopped by Ctrl-C (SIGINT)",
    141: "the reader of the output went away (SIGPIPE)",
    143: "stopped by SIGTERM",
}


def explain(error: BaseException, signal_number: int | None = None) -> ErrorEvent:
    """The event for an exception: a text for people, the name of the kind, and the exit code.

    Args:
        error: what was raised.
        signal_number: the signal that stopped the work, if one did.
    """
    if isinstance(error, KeyboardInterrupt | CancelledError):
        # Where the signal came is not known here: whoever knows what is written says it in the exception.
        text = str(error) or "Stopped; nothing half-written was left behind."
        return ErrorEvent(text, "CancelledError", 128 + (signal_number or signal.SIGINT))
    if isinstance(error, BrokenPipeError):
        return ErrorEvent("", "BrokenPipeError", BROKEN_PIPE)
    return error_event(error, "Run the same command with --debug added, and report what it prints.")
