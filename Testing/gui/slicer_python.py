"""Slicer's own Python for the tests of the module: parameter nodes, base classes, translation, test runner.

``python Testing/gui/slicer_python.py 5.12.3`` downloads the files of that tag (150 kB, with a known digest) into the
Python environment that runs it, and `folder` finds them there. slicer-core, which has the scene, does not have them.
"""

from __future__ import annotations

import hashlib
import os
import sys
import urllib.request
from pathlib import Path

VERSION = "5.12.3"
"""Of Slicer, that the tests use unless SLICER_PYTHON_VERSION says another."""

DIGESTS = {
    "5.8.1": "7116aec09ecf67bae6aae5d8dbe45409b7b2f31efcb6f3383071134909aad811",
    "5.10.0": "64950e7bddeef84cb3e78485c81e37a8771959cfd9512f8cb253511f0bec240d",
    "5.12.3": "2925065572ccf6ffadda148bd94afbcb7e85c7a67d0f2263bd971fad3af74965",
}
"""Version -> SHA-256 of all the files, one after the other."""

FILES = (
    "ScriptedLoadableModule.py", "i18n.py", "testing.py",
    *(f"parameterNodeWrapper/{name}.py" for name in (
        "__init__", "default", "guiConnectors", "guiCreation", "parameterInfo", "parameterPack", "serializers", "types",
        "util", "validators", "wrapper",
    )),
)  # fmt: skip
HOME = "https://raw.githubusercontent.com/Slicer/Slicer/v{version}/Base/Python/slicer/{name}"


def folder() -> Path | None:
    """The folder that holds Slicer's package ``slicer``; None where there is none.

    SLICER_PYTHON_DIR names it (a checkout of ``Base/Python``); else it is what was downloaded.

    Raises:
        FileNotFoundError: SLICER_PYTHON_DIR names a folder without it.
    """
    named = os.environ.get("SLICER_PYTHON_DIR")
    place = Path(named) if named else _place(os.environ.get("SLICER_PYTHON_VERSION", VERSION))
    if all((place / "slicer" / name).is_file() for name in FILES):
        return place
    if named:
        raise FileNotFoundError(f"SLICER_PYTHON_DIR is {named}, where there is no slicer/{FILES[0]}.")
    return None


def fetch(version: str = VERSION, home: str = HOME) -> Path:
    """Download Slicer's Python of a version, unless it is there; return its folder.

    Raises:
        OSError: it cannot be downloaded.
        ValueError: a version that is not known here, or files that are not those of the tag.
    """
    if version not in DIGESTS:
        raise ValueError(f"There is no digest of Slicer {version}; known: {', '.join(DIGESTS)}.")
    place = _place(version)
    if all((place / "slicer" / name).is_file() for name in FILES):
        return place
    found, digest = {}, hashlib.sha256()
    for name in FILES:
        with urllib.request.urlopen(home.format(version=version, name=name), timeout=20) as answer:
            found[name] = answer.read()
        digest.update(found[name])
    if digest.hexdigest() != DIGESTS[version]:
        raise ValueError(f"What was downloaded is not the Python of Slicer {version}.")
    for name, content in found.items():
        path = place / "slicer" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return place


def _place(version: str) -> Path:
    return Path(sys.prefix) / "slicer-python" / version


def main() -> int:
    """Fetch; a computer without internet is told and goes on."""
    version = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("SLICER_PYTHON_VERSION", VERSION)
    try:
        print(f"Slicer's own Python {version} for the tests is in {fetch(version)}")
    except (OSError, ValueError) as error:
        print(f"Slicer's own Python {version} could not be downloaded ({error}): its stand-ins are tested against.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
