"""The output folder: whose it is, what a killed or another run left in it, what it says of itself."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medsr.augmentation.datasets import PROVENANCE, RECORD
from medsr.augmentation.datasets.layout import read_record
from medsr.augmentation.datasets.paths import inside, read_json, writable_folder
from medsr.augmentation.making import recorded_digest
from medsr.augmentation.planning import CohortPlan
from medsr.errors import InputError, InvalidValueError, OutputError
from medsr.io import Staging
from medsr.resources import size_text

PAGE = "report.html"
_DRAFTS = ".medsr-"


def check_output(plan: CohortPlan, output: Path, *, overwrite: bool) -> None:
    """See that `output` may be filled with what `plan` says.

    Raises:
        InvalidValueError: it is the folder of the source.
        OutputError: it is no folder, holds something else, or copies that this plan would not make.
    """
    if output.exists() and not output.is_dir():
        raise OutputError(f"{str(output)!r} is a file. Give a folder.")
    # However the paths are written, and by whatever link.
    if output.resolve() == Path(plan.dataset.root).resolve():
        raise InvalidValueError("The output is the folder of the source. Give another one.")
    records = plan.layout.records
    filled = output.is_dir() and any(not p.name.startswith(_DRAFTS) for p in output.iterdir())
    if filled and not (records / RECORD).is_file():
        raise OutputError(f"{str(output)!r} holds other files. Give a folder that is new or empty.")
    record = read_record(records) if filled else {}
    root = record.get("source", plan.dataset.root)
    # A set that was moved is the same set: what its files hold counts.
    if root != plan.dataset.root and not overwrite and _changed_originals(plan, record):
        raise OutputError(
            f"{str(output)!r} was made from {root!r}, not from {plan.dataset.root!r}, which holds other images. Give "
            "another folder, or pass --overwrite."
        )
    foreign = _foreign_copies(plan)
    if foreign and not overwrite:
        raise OutputError(
            f"{str(output)!r} holds {len(foreign)} copies that this call would not make, such as {foreign[0].stem}. "
            "Give another folder, or pass --overwrite to remove them."
        )
    stale = [task.name for task in plan.tasks if recorded_digest(Path(task.sidecar)) not in (None, task.digest)]
    if stale and not overwrite:
        raise OutputError(
            f"{str(output)!r} holds {len(stale)} copies that were made otherwise (another seed, recipe or version of "
            f"MedSR, or changed originals), such as {stale[0]}. Give another folder, or pass --overwrite to make them "
            "anew."
        )


def prepare_output(plan: CohortPlan, output: Path, spec: Mapping[str, Any]) -> None:
    """Make `output` this plan's own, and remove what does not belong to it.

    Raises:
        OutputError: it cannot be written to, or the disk is too small.
    """
    records = plan.layout.records
    writable_folder(records / PROVENANCE)
    free = shutil.disk_usage(output).free
    if plan.disk_bytes > free:
        raise OutputError(
            f"The disk of {str(output)!r} has {size_text(free)} left, the copies need about "
            f"{size_text(plan.disk_bytes)}. Free some space or write elsewhere."
        )
    for sidecar in _foreign_copies(plan):
        _remove_copy(sidecar, output)
    for files in _changed_originals(plan, read_record(records)).values():
        _remove_files(files, output, output)
    clear_drafts(plan)
    write_texts({records / RECORD: record_text(plan, spec, {"state": "unfinished"})})


def clear_drafts(plan: CohortPlan) -> None:
    """Remove the hidden folders that a killed or interrupted run left beside its files."""
    records = plan.layout.records
    places = {Path(path).parent for task in plan.tasks for path in (*task.image_outputs, task.label_output)}
    places |= {Path(path).parent for _, case in plan.originals for path in (*case.images, case.label)}
    for folder in sorted({*places, records, records / PROVENANCE}):
        for draft in folder.glob(f"{_DRAFTS}*") if folder.is_dir() else ():
            shutil.rmtree(draft, ignore_errors=True)


def record_text(plan: CohortPlan, spec: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    """What the folder says of itself: source, options, subjects, result."""
    digests = plan.original_digests()
    data = {
        "source": plan.dataset.root,
        "channels": list(plan.channels),
        "options": dict(spec),
        **result,
        "subjects": {placed.name: placed.subject for _, placed in plan.originals},
        "originals": {
            placed.name: {"digest": digests[placed.name], "files": _relative([*placed.images, placed.label], plan)}
            for _, placed in plan.originals
        },
        "contents": plan.contents.to_json(),
    }
    return json.dumps(data, indent=1) + "\n"


def write_texts(texts: Mapping[Path, str]) -> None:
    """Write text files, all of them or none."""
    for path in texts:
        writable_folder(path.parent)
    try:
        with Staging(overwrite=True) as staging:
            for path, text in texts.items():
                # A file name need not be text; in JSON the replacement is what it stands for.
                staging.draft(path).write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{error.filename!r} could not be written: {error.strerror}.") from error


def _foreign_copies(plan: CohortPlan) -> list[Path]:
    """Sidecars of copies that the plan does not name."""
    planned = {Path(task.sidecar) for task in plan.tasks}
    return sorted(path for path in (plan.layout.records / PROVENANCE).glob("*.json") if path not in planned)


def _remove_copy(sidecar: Path, output: Path) -> None:
    """Remove the files of a copy, as far as its sidecar names files below `output`; the sidecar last."""
    record = read_json(sidecar)
    files = record.get("files") if isinstance(record, dict) else None
    if isinstance(files, dict):
        _remove_files([*files.get("images", ()), files.get("label")], sidecar.parent, output)
    sidecar.unlink()


def _changed_originals(plan: CohortPlan, record: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Originals that an earlier call placed and that are others now, or none: name -> files below the output."""
    placed = record.get("originals")
    digests = plan.original_digests()
    return {
        name: list(found.get("files", ()))
        for name, found in (placed.items() if isinstance(placed, Mapping) else ())
        if isinstance(found, Mapping) and found.get("digest") != digests.get(name)
    }


def _relative(paths: Sequence[str], plan: CohortPlan) -> list[str]:
    return [os.path.relpath(path, plan.output).replace(os.sep, "/") for path in paths]


def _remove_files(texts: Sequence[object], folder: Path, output: Path) -> None:
    """Remove files that are named as seen from `folder`, as far as they lie below `output`."""
    for text in texts:
        try:
            path = inside(output, os.path.relpath(folder / str(text), output), "A file")
        except InputError:
            continue
        path.unlink(missing_ok=True)
