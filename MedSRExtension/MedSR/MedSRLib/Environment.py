"""Which Python does the work, and with which environment variables.

Slicer's own, unless the person chose another interpreter that has medsr installed, under Advanced or with the
environment variable MEDSR_PYTHON.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from MedSRLib.CorePath import coreFolder
from MedSRLib.Errors import SuperResolutionError
from MedSRLib.Translation import tr as _
from MedSRLib.WorkerProcess import WorkerProcess

VARIABLE = "MEDSR_PYTHON"
_OF_PYTHON = ("PYTHONHOME", "PYTHONPATH", "PYTHONNOUSERSITE")


@dataclass(frozen=True)
class Interpreter:
    """A Python and whether it is the one that Slicer runs on."""

    path: str
    isSlicers: bool

    def environment(self) -> dict[str, str]:
        """Variables for the worker: the core library for Slicer's Python, a clean start for another one."""
        if self.isSlicers:
            variables = dict(os.environ)
            known = [variables["PYTHONPATH"]] if variables.get("PYTHONPATH") else []
            variables["PYTHONPATH"] = os.pathsep.join([str(coreFolder()), *known])
        else:
            variables = {k: v for k, v in _startupEnvironment().items() if k not in _OF_PYTHON}
        variables["PYTHONIOENCODING"] = "utf-8"
        variables["PYTHONUNBUFFERED"] = "1"
        return variables

    def startWorker(self) -> WorkerProcess:
        """Start ``python -m medsr.worker`` with this interpreter."""
        return WorkerProcess([self.path, "-m", "medsr.worker"], self.environment())


def chosenInterpreter(path: str = "") -> Interpreter:
    """The interpreter at `path`; else that of MEDSR_PYTHON; else Slicer's own.

    Raises:
        SuperResolutionError: a path that is no program.
    """
    wanted = path or os.environ.get(VARIABLE, "")
    if not wanted:
        return Interpreter(_slicersPython(), isSlicers=True)
    found = shutil.which(str(Path(wanted).expanduser()))
    if found is None:
        origin = _("chosen under Advanced") if path else _("of the environment variable {name}").format(name=VARIABLE)
        raise SuperResolutionError(
            _("The Python {origin}, {path}, is no program. Give the full path of a Python that has medsr.").format(
                origin=origin, path=wanted
            )
        )
    return Interpreter(found, isSlicers=False)


def _slicersPython() -> str:
    """PythonSlicer, which brings Slicer's libraries; outside the application the running Python."""
    return shutil.which("PythonSlicer") or sys.executable


def _startupEnvironment() -> dict[str, str]:
    """The environment as it was before Slicer's launcher changed it."""
    try:
        import slicer.util

        return dict(slicer.util.startupEnvironment())
    except (ImportError, AttributeError):
        return dict(os.environ)
