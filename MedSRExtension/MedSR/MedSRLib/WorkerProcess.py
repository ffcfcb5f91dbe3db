"""One worker process: lines in, lines out, and a death that takes its children along. No Slicer in here."""

from __future__ import annotations

import atexit
import collections
import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO, cast

LOG_LINES = 200
_alive: weakref.WeakSet[WorkerProcess] = weakref.WeakSet()


class WorkerProcess:
    """A child process whose output is collected by threads and handed out by `readLines`.

    Nothing is called back from a thread: whoever owns the process asks when it suits them.

    Args:
        command: program and arguments.
        environment: of the child.

    Raises:
        OSError: the program cannot be started.

    Example:
        >>> worker = WorkerProcess([sys.executable, "-m", "medsr.worker"], os.environ)
        >>> worker.send(spec.to_json())
        >>> worker.readLines()
        ['{"kind": "stage", "name": "Reading"}']
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.log: collections.deque[str] = collections.deque(maxlen=LOG_LINES)
        self._lines: queue.Queue[str] = queue.Queue()
        self._news: queue.Queue[str] = queue.Queue()
        self._process = subprocess.Popen(  # noqa: S603  the person's own Python
            list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=dict(environment), encoding="utf-8", errors="replace", **_ownGroup(),
        )  # fmt: skip
        process = self._process
        self._input, self._output, self._errors = (
            cast("TextIO", stream) for stream in (process.stdin, process.stdout, process.stderr)
        )
        self._readers = [
            threading.Thread(target=self._collect, args=(self._output, self._lines.put), daemon=True),
            threading.Thread(target=self._collect, args=(self._errors, self._noteLog), daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        _alive.add(self)

    @property
    def pid(self) -> int:
        """Of the process that was started; the work may be done by a child of it."""
        return self._process.pid

    @property
    def exitCode(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    @property
    def hasEnded(self) -> bool:
        """True when it has exited and everything that it said can be read."""
        return self.exitCode is not None and not any(reader.is_alive() for reader in self._readers)

    def send(self, line: str) -> None:
        """Write one line to the process; raise OSError when it no longer listens."""
        self._input.write(line + "\n")
        self._input.flush()

    def readLines(self) -> list[str]:
        """What it wrote to standard output since the last call; never waits."""
        return _drained(self._lines)

    def readLog(self) -> list[str]:
        """What it wrote to standard error since the last call; never waits."""
        return _drained(self._news)

    def close(self, seconds: float = 2.0) -> None:
        """Let it end by closing its input; kill what is still there after `seconds`."""
        with contextlib.suppress(OSError):
            self._input.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        self.killTree()

    def killTree(self) -> None:
        """End the process and all its descendants at once, and wait until the process is gone.

        PythonSlicer is a launcher: the work happens in its child, which would outlive a plain kill.
        """
        _killGroup(self._process)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        for reader in self._readers:
            reader.join(1)
        for stream in (self._input, self._output, self._errors):
            with contextlib.suppress(OSError):
                stream.close()
        _alive.discard(self)

    def _noteLog(self, line: str) -> None:
        self.log.append(line)
        self._news.put(line)

    @staticmethod
    def _collect(stream: TextIO, put: Callable[[str], None]) -> None:
        with contextlib.suppress(ValueError, OSError):  # closed while reading
            for line in stream:
                put(line.rstrip("\n"))


def _drained(lines: queue.Queue[str]) -> list[str]:
    found = []
    with contextlib.suppress(queue.Empty):
        while True:
            found.append(lines.get_nowait())
    return found


def _ownGroup() -> dict[str, Any]:
    """Arguments that give the child a process group of its own, and on Windows no console window."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def _killGroup(process: subprocess.Popen[str]) -> None:
    if sys.platform == "win32":
        if process.poll() is None:
            subprocess.run(  # noqa: S603
                ["taskkill", "/F", "/T", "/PID", str(process.pid)],  # noqa: S607  part of Windows
                capture_output=True, check=False, creationflags=subprocess.CREATE_NO_WINDOW,
            )  # fmt: skip
        return
    # The group outlives its leader as long as a child is left.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


@atexit.register
def _killAll() -> None:
    """No worker outlives the application, however it ends."""
    for worker in list(_alive):
        worker.killTree()
