"""The volumes a training draws from: listed in a JSON file, loaded once, normalised, kept in memory."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import fft
from scipy.signal.windows import tukey

from medsr.errors import InputError
from medsr.normalisation import Normalisation

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingVolume:
    """One loaded volume: float16 array ``(z, y, x)``, intensities normalised, and its coarser copy."""

    name: str
    weight: float
    array: NDArray[np.float16]
    coarser: NDArray[np.float16]


def read_data_list(path: Path, subset: str) -> list[dict[str, object]]:
    """Entries ``{"file", "subject", "weight"}`` of one subset ("train", "validation") of a data list.

    Raises:
        InputError: no such file, not JSON, an empty subset, or a subject that is in two subsets.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"There is no data list {path}.") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not a JSON data list: {error}.") from error
    entries = data.get(subset, [])
    if not entries:
        raise InputError(f"{path} lists no volumes under {subset!r}.")
    owner: dict[str, str] = {}
    for part in ("train", "validation", "test"):
        for entry in data.get(part, []):
            subject = entry["subject"]
            if owner.setdefault(subject, part) != part:
                raise InputError(f"{path}: subject {subject!r} is in both {owner[subject]!r} and {part!r}.")
    return list(entries)


def listed_file(path: Path, root: Path, entry: Mapping[str, object]) -> Path:
    """The file of an entry of the data list `path`; raise InputError if it is not there."""
    file = root / str(entry["file"])
    if not file.exists():
        raise InputError(f"{path} lists {entry['file']}, which is not below {root}.")
    return file


def load_volumes(path: Path, root: Path, subset: str, modality: str, coarser_factor: float) -> list[TrainingVolume]:
    """Load every volume of a subset; files are relative to `root`, an entry may state a modality of its own."""
    volumes = []
    for entry in read_data_list(path, subset):
        file = listed_file(path, root, entry)
        array = sitk.GetArrayFromImage(sitk.ReadImage(str(file), sitk.sitkFloat32))
        array = Normalisation.of(array, str(entry.get("modality", modality))).apply(array)
        coarser = fourier_shrink(array, coarser_factor)
        logger.info("%s %s", file.name, array.shape)
        volumes.append(
            TrainingVolume(
                str(entry["file"]),
                float(entry.get("weight", 1.0)),  # type: ignore[arg-type]
                array.astype(np.float16),
                coarser.astype(np.float16),
            )
        )
    return volumes


def fourier_shrink(array: NDArray[np.float32], factor: float) -> NDArray[np.float32]:
    """A coarser copy with content up to its own Nyquist frequency: crop the spectrum, tapered at its rim."""
    spectrum = fft.fftshift(fft.fftn(array))
    keep = [max(8, round(n / factor)) for n in array.shape]
    window = tuple(slice(n // 2 - k // 2, n // 2 - k // 2 + k) for n, k in zip(array.shape, keep, strict=True))
    spectrum = spectrum[window]
    for axis, k in enumerate(keep):
        shape = [1] * array.ndim
        shape[axis] = k
        spectrum = spectrum * tukey(k, 0.15).reshape(shape)
    scale = np.prod(keep) / array.size
    shrunk: NDArray[np.float32] = (np.real(fft.ifftn(fft.ifftshift(spectrum))) * scale).astype(np.float32)
    return shrunk
