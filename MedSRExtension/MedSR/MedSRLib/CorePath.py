"""Where the library `medsr` is: the only place of the module that touches ``sys.path``.

It is taken from, in this order:

1. an installed package, when ``import medsr`` works already (pip, or a developer's environment);
2. ``MedSRCore`` beside the module's files, where the extension package has it
   (``lib/Slicer-5.x/qt-scripted-modules/MedSRCore``);
3. ``MedSRCore`` at the top of a source tree (``<repository>/MedSRExtension/MedSR/MedSRLib/CorePath.py``).
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

from MedSRLib.Errors import CoreMissingError
from MedSRLib.Translation import tr as _

FOLDER = "MedSRCore"


def coreFolder() -> Path:
    """The folder that holds the package ``medsr``, for ``sys.path`` and ``PYTHONPATH``.

    Raises:
        CoreMissingError: there is none.
    """
    loaded = getattr(sys.modules.get("medsr"), "__file__", None)
    if loaded:
        return Path(loaded).resolve().parent.parent
    spec = importlib.util.find_spec("medsr")
    if spec is not None and spec.origin:
        return Path(spec.origin).resolve().parent.parent
    here = Path(__file__).resolve()
    candidates = [here.parents[1] / FOLDER, here.parents[3] / FOLDER]
    for folder in candidates:
        if (folder / "medsr" / "__init__.py").is_file():
            return folder
    raise CoreMissingError(
        _("The library of MedSR is missing. It was looked for in {places}. Reinstall the extension.").format(
            places=", ".join(map(str, candidates))
        )
    )


def ensureCore() -> None:
    """Make ``import medsr`` work in this process; nothing heavy is loaded.

    Raises:
        CoreMissingError: the library is not there, or this Python is too old for it.
    """
    if sys.version_info < (3, 10):
        raise CoreMissingError(
            _("MedSR needs Python 3.10 or newer, this is {version}. Install Slicer 5.10 or later.").format(
                version=".".join(map(str, sys.version_info[:2]))
            )
        )
    folder = str(coreFolder())
    if importlib.util.find_spec("medsr") is None and folder not in sys.path:
        sys.path.append(folder)
        importlib.invalidate_caches()
