"""What belongs beside an image of several volumes and stays true on a finer grid: BIDS sidecar, b-values, directions.

The sidecar is carried along by name of each key: what describes the old grid (thickness, matrix, times of the slices)
would be false beside the new one, and what names a person, a place or a date does not leave DICOM.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medsr.errors import InputError, OutputError
from medsr.io.formats import suffix_of
from medsr.io.staging import Staging
from medsr.jsontext import parse_json

_KEPT = (
    "Modality", "MagneticFieldStrength", "Manufacturer", "ManufacturersModelName", "BodyPart", "ImageType", "TaskName",
    "ScanningSequence", "SequenceVariant", "SequenceName", "MRAcquisitionType", "PulseSequenceType",
    "EchoTime", "EchoTime1", "EchoTime2", "EchoNumber", "EchoTrainLength", "RepetitionTime", "RepetitionTimeExcitation",
    "InversionTime", "FlipAngle", "TotalReadoutTime", "PhaseEncodingDirection", "PhaseEncodingAxis",
    "ParallelReductionFactorInPlane", "MultibandAccelerationFactor", "PartialFourier", "PartialFourierDirection",
    "VolumeTiming", "DelayTime", "FrameTimesStart", "FrameDuration", "NumberOfVolumesDiscardedByScanner",
    "NumberOfVolumesDiscardedByUser", "DiffusionScheme", "ContrastBolusIngredient", "ArterialSpinLabelingType",
)  # fmt: skip
_LARGEST = 1_000_000
_GRADIENTS = {".bval": 1, ".bvec": 3}
EXTENSIONS = (".json", *_GRADIENTS)


def companions(source: Path, count: int) -> dict[str, str]:
    """Extension -> text of what lies beside an image of `count` volumes and stays true.

    Raises:
        InputError: b-values or directions that are not as many as the volumes.
    """
    stem = source.name[: -len(suffix_of(source))]
    found: dict[str, str] = {}
    sidecar = _kept(source.with_name(f"{stem}.json"))
    if sidecar:
        found[".json"] = json.dumps(sidecar, indent=2) + "\n"
    for extension, rows in _GRADIENTS.items():
        path = source.with_name(stem + extension)
        if path.is_file():
            found[extension] = _gradients(path, rows, count)
    return found


def beside(image: Path, extension: str) -> Path:
    """The file with this extension that belongs to an image."""
    return image.with_name(image.name[: len(image.name) - len(suffix_of(image))] + extension)


def stage_text(text: str, path: Path, staging: Staging) -> None:
    """Write a text that is put in place together with the other files of `staging`."""
    try:
        staging.draft(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{path} could not be written: {error.strerror}.") from error


def _kept(path: Path) -> Mapping[str, Any]:
    """What stays true of a sidecar; nothing where there is none, or none that can be read (reading it says so)."""
    try:
        if path.stat().st_size > _LARGEST:
            return {}
        data = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: data[key] for key in _KEPT if key in data} if isinstance(data, dict) else {}


def _gradients(path: Path, rows: int, count: int) -> str:
    try:
        text = path.read_text(encoding="ascii")
        table = [[float(word) for word in line.split()] for line in text.splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise InputError(f"{path.name!r} beside the image holds something else than numbers. Correct it.") from error
    # One row each of values, or one column: both are in use.
    turned = [list(column) for column in zip(*table, strict=False)] if len({len(row) for row in table}) == 1 else []
    if not any(len(one) == rows and all(len(row) == count for row in one) for one in (table, turned)):
        shape = f"{len(table)} x {len(table[0]) if table else 0}"
        raise InputError(
            f"{path.name!r} beside the image holds {shape} numbers; {rows} x {count} are needed, one column for each "
            f"of its {count} volumes. Correct it, or move it away."
        )
    return text
