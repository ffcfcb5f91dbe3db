"""Where the pairs of the scene lie while the worker makes a training set of them. No Qt.

A training set that was stopped goes on only when its sources are the same files as before: same folder, same times. So
the folder follows from the output folder, and a file whose bytes are those of the last time gets the time that it had,
which a small hidden file in the output folder remembers.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from MedSRLib.SuperResolver import temporaryFolder

MEMORY = ".medsr-scene.json"


def freshExportFolder(output: Path) -> Path:
    """A new, empty folder of this person alone, the same one for every run into `output`.

    Raises:
        OSError: it cannot be made.
    """
    name = hashlib.sha256(str(output).encode("utf-8")).hexdigest()[:16]
    folder = Path(temporaryFolder() or tempfile.gettempdir(), f"medsr-scene-{name}")
    with contextlib.suppress(FileNotFoundError):  # one that a crash left
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    return folder


def keepTimes(folder: Path, output: Path, *, remember: bool) -> Iterator[Path]:
    """Give the files in `folder` that are the same as at the last run into `output` the time that they had then.

    Args:
        folder: what was just written.
        output: folder of the training set; it may not exist yet.
        remember: write down the times for the next run, unless `output` holds other things.

    Yields:
        Each file that is done, so that the caller can keep the application alive in between.

    Raises:
        OSError: `output` cannot be written to.
    """
    known = _read(output / MEMORY)
    told = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name, digest = path.relative_to(folder).as_posix(), _digestOf(path)
        before = known.get(name)
        if before is not None and before[0] == digest:
            os.utime(path, ns=(before[1], before[1]))
        told[name] = [digest, path.stat().st_mtime_ns]
        yield path
    isOurs = not output.exists() or bool(known) or not any(output.iterdir())
    if remember and isOurs:
        output.mkdir(parents=True, exist_ok=True)
        (output / MEMORY).write_text(json.dumps(told), encoding="utf-8")


def _read(path: Path) -> dict[str, tuple[str, int]]:
    """What an earlier run remembered; nothing when there is none, or it is not ours."""
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): (str(digest), int(time)) for name, (digest, time) in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _digestOf(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()
