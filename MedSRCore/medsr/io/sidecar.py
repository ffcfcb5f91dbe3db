"""Facts from a BIDS sidecar: ``NAME.json`` beside ``NAME.nii.gz``, as dcm2niix writes it.

A sidecar adds facts and warnings and never prevents reading: one that is no JSON, too large or of odd types is told
and passed over. Only the keys named here are looked at; names, dates and places are not among them.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from medsr.facts import Fact
from medsr.io.acquisition_facts import facts_of
from medsr.io.dicom.acquisition import DEEP_RESOLVE, air_recon, is_reformatted
from medsr.io.dicom.elements import clean, words_of
from medsr.io.formats import suffix_of
from medsr.io.sidecar_axes import Clues, scan_axes
from medsr.io.stated import Stated
from medsr.volume import Volume

_LARGEST = 1_000_000
_LONGEST_LIST = 100
_LONGEST_KERNEL = 40


def with_sidecar(volume: Volume, source: Path, *, oriented: bool, encoded: Mapping[str, str] | None = None) -> Volume:
    """A volume with what its sidecar and its own header say of the acquisition; the same one where they say nothing.

    Args:
        volume: as read from `source`.
        source: the image file.
        oriented: the file says how its axes lie in the patient.
        encoded: the file's own statement, axis to "frequency", "phase" or "slice" (NIfTI's dim_info).
    """
    encoded = encoded or {}
    path = source.with_name(source.name[: -len(suffix_of(source))] + ".json")
    data, complaints = _read(path)
    known, odd = _known(data)
    if odd:
        complaints.append(f"The sidecar {path.name!r} says {', '.join(odd)} in a way that is not understood; ignored.")
    if not known:
        own = _own_facts(volume, encoded, None)
        return volume.replace(facts=volume.facts + own, warnings=(*volume.warnings, *complaints))
    across = next((axis for axis, encoding in encoded.items() if encoding == "slice"), None)
    axes, phase, told = scan_axes(_clues(known, across), volume.geometry, oriented=oriented)
    if phase is None:
        phase = next((axis for axis, encoding in encoded.items() if encoding == "phase"), None)
    stated = dataclasses.replace(
        _stated(known),
        phase_along={axes.row: "row", axes.column: "column"}.get(phase or ""),
        warnings=(*complaints, *told),
    )
    facts, warnings = facts_of(stated, axes, volume.geometry)
    own = _own_facts(volume, encoded, stated.dimensions)
    return volume.replace(
        modality=volume.modality or stated.modality,
        facts=volume.facts + own + facts,
        warnings=(*volume.warnings, *warnings),
        files=(*volume.files, path),
    )


def _own_facts(volume: Volume, encoded: Mapping[str, str], dimensions: str | None) -> list[Fact]:
    """What the image's own header says of the axes.

    It calls partitions slices as well, so a slice counts as one where the sidecar says 2D, or where it is thick.
    """
    spacing = dict(zip("xyz", volume.geometry.spacing_xyz_mm, strict=True))
    found = []
    for axis, encoding in encoded.items():
        others = [spacing[other] for other in spacing if other != axis]
        if encoding == "slice" and dimensions != "2D" and (dimensions == "3D" or spacing[axis] < 1.5 * max(others)):
            continue
        found.append(Fact("encoding", encoding, "header", axis))
    return found


def _read(path: Path) -> tuple[dict[str, Any], list[str]]:
    """The object in a file, or nothing and the reason; no file is no reason."""
    try:
        if not path.is_file():
            return {}, []
        with path.open("rb") as file:
            raw = file.read(_LARGEST + 1)
        if len(raw) > _LARGEST:
            return {}, [f"The sidecar {path.name!r} has more than {_LARGEST:,} bytes and was not read."]
        data = json.loads(raw.decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        return {}, [f"The sidecar {path.name!r} cannot be read as JSON; what it says of the acquisition was ignored."]
    if not isinstance(data, dict):
        return {}, [f"The sidecar {path.name!r} holds no object of names and values; it was ignored."]
    return data, []


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and abs(number) < 1e6 else None


def _count(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and 1 <= number <= 65535 and number.is_integer() else None


def _flag(value: Any) -> bool | None:
    return bool(value) if isinstance(value, bool) or _number(value) is not None else None


def _factor(value: Any) -> float | None:
    """A number; true counts as 1."""
    return float(value) if isinstance(value, bool) else _number(value)


def _short(value: Any) -> str | None:
    return clean(value) if isinstance(value, str) else None


def _list(value: Any) -> list[Any] | None:
    if not isinstance(value, list) or not all(isinstance(item, (str, int, float)) for item in value):
        return None
    return value[:_LONGEST_LIST]


_KEYS: dict[str, Callable[[Any], Any]] = {
    "Modality": _short,
    "Manufacturer": _short,
    "MRAcquisitionType": _short,
    "SliceThickness": _number,
    "SpacingBetweenSlices": _number,
    "ImageOrientationPatientDICOM": _list,
    "SliceEncodingDirection": _short,
    "PhaseEncodingDirection": _short,
    "PhaseEncodingAxis": _short,
    "InPlanePhaseEncodingDirectionDICOM": _short,
    "AcquisitionMatrixPE": _count,
    "ReconMatrixPE": _count,
    "BaseResolution": _count,
    "FrequencyEncodingSteps": _count,
    "PhaseEncodingSteps": _count,
    "PhaseEncodingStepsOutOfPlane": _count,
    "PercentSampling": _number,
    "PercentPhaseFOV": _number,
    "PartialFourier": _number,
    "PartialFourierEnabled": _short,
    "Interpolation2D": _flag,
    "Interpolation3D": _factor,
    "DeepLearning": _flag,
    "DeepLearningDetails": _short,
    "ImageType": _list,
    "ImageTypeText": _list,
    "ConvolutionKernel": _short,
    "ScanOptions": _short,
}
"""The keys that are read, and what makes a checked value of each, or None."""


def _known(data: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Checked values of the known keys, and the keys whose values are of another type."""
    known = {key: check(data[key]) for key, check in _KEYS.items() if data.get(key) is not None}
    return {k: v for k, v in known.items() if v is not None}, [key for key, value in known.items() if value is None]


def _clues(known: Mapping[str, Any], across: str | None) -> Clues:
    orientation = [_number(value) for value in known.get("ImageOrientationPatientDICOM", [])]
    numbers = tuple(value for value in orientation if value is not None)
    return Clues(
        orientation=numbers if len(numbers) == len(orientation) == 6 else None,
        slice_direction=known.get("SliceEncodingDirection", ""),
        phase_direction=known.get("PhaseEncodingDirection") or known.get("PhaseEncodingAxis") or "",
        phase_in_plane=known.get("InPlanePhaseEncodingDirectionDICOM", ""),
        distance_mm=known.get("SpacingBetweenSlices"),
        thickness_mm=known.get("SliceThickness"),
        across=across,
    )


def _stated(known: Mapping[str, Any]) -> Stated:
    """What a sidecar says, but for the direction of phase encoding, which needs the grid."""
    modality, dimensions = known.get("Modality", "").upper(), known.get("MRAcquisitionType", "").upper()
    if not modality and ({"MRAcquisitionType", "AcquisitionMatrixPE", "BaseResolution"} & set(known)):
        modality = "MR"
    stated: dict[str, Any] = {
        "source": "sidecar",
        "modality": modality if modality in ("MR", "CT") else None,
        "dimensions": dimensions if modality == "MR" and dimensions in ("2D", "3D") else None,
        "thickness_mm": known.get("SliceThickness"),
        "reformatted": is_reformatted(words_of(known.get("ImageType"))),
    }
    if modality == "MR":
        stated |= _mr(known) | _networks(known)
    elif modality == "CT":
        options = set(re.split(r"[^A-Z]+", known.get("ScanOptions", "").upper()))
        stated["kernel"] = known.get("ConvolutionKernel", "")[:_LONGEST_KERNEL]
        stated["scan"] = (
            "helical" if options & {"HELICAL", "HELIX", "SPIRAL"} else "axial" if "AXIAL" in options else ""
        )
    return Stated(**stated)


def _mr(known: Mapping[str, Any]) -> dict[str, Any]:
    frequency = known.get("FrequencyEncodingSteps") or known.get("BaseResolution")
    sampling, share = known.get("PercentSampling"), known.get("PercentPhaseFOV")
    phase = known.get("AcquisitionMatrixPE")
    if known.get("BaseResolution") and sampling and share and phase:
        # Siemens' matrix may count lines of oversampling, which are cut off: the resolution is that of the others.
        phase = min(phase, max(1, round(known["BaseResolution"] * sampling * share / 10_000)))
    fraction, factor = known.get("PartialFourier"), known.get("Interpolation3D")
    partial = fraction < 1 if fraction is not None and 0 < fraction <= 1 else None
    if known.get("PartialFourierEnabled", "").upper() == "YES":
        partial = True
    return {
        "frequency_steps": frequency,
        "phase_steps": phase,
        "partition_steps": known.get("PhaseEncodingStepsOutOfPlane"),
        "percent_phase_fov": share if share is not None and 1 <= share <= 400 else None,
        "reconstructed_phase_steps": known.get("ReconMatrixPE"),
        "partial_fourier": partial,
        "interpolated": bool(known.get("Interpolation2D") or factor == 1),
        "interpolated_across": round(factor) if factor is not None and 2 <= factor <= 10 else None,
    }


def _networks(known: Mapping[str, Any]) -> dict[str, Any]:
    """Networks of the vendor: Siemens marks them in Image Type, the others in a text of their own."""
    marks = {word for key in ("ImageType", "ImageTypeText") for word in words_of(known.get(key))}
    details, maker = known.get("DeepLearningDetails", ""), known.get("Manufacturer", "").upper()
    found = {
        "enhanced_by": DEEP_RESOLVE["DRS"] if "DRS" in marks else "",
        "denoised_by": ", ".join(DEEP_RESOLVE[mark] for mark in ("DRB", "DRG") if mark in marks),
    }
    if known.get("DeepLearning") and not any(found.values()):
        if maker.startswith("GE"):
            found["enhanced_by"] = air_recon(tuple(details.split("\\")))
        else:
            found["denoised_by"] = details[:_LONGEST_KERNEL] or "not named"
    return found
