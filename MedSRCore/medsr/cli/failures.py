"""What each failure means for a person and for the shell."""

from __future__ import annotations

import errno
import signal

from medsr.errors import CancelledError, MedSRError
from medsr.jobs import ErrorEvent

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
        text = str(error) or "Stopped; nothing was written."
        return ErrorEvent(text, "CancelledError", 128 + (signal_number or signal.SIGINT))
    if isinstance(error, MedSRError):
        return ErrorEvent(str(error), type(error).__name__, error.exit_code)
    if isinstance(error, BrokenPipeError):
        return ErrorEvent("", "BrokenPipeError", BROKEN_PIPE)
    if isinstance(error, MemoryError):
        text = "There is not enough memory for this. Ask for a coarser target or crop the volume."
        return ErrorEvent(text, "ResourceError", 7)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return ErrorEvent("The disk is full. Free some space or write elsewhere.", "OutputError", 4)
    what = " ".join(str(error).split())[:300]
    text = (
        f"Unexpected {type(error).__name__}{': ' + what if what else ''}. This is a defect of MedSR: run the same "
        "command with --debug added, and report what it prints."
    )
    return ErrorEvent(text, type(error).__name__, 1)
