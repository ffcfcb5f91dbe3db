"""The volumes a training draws from: listed in a JSON file, loaded once, normalised, kept in memory."""

from __future__ import annotations

import logging
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.signal.windows import tukey

from medsr.errors import InputError
from medsr.facts import AXES
from medsr.io import read_volume
from medsr.jsontext import parse_json
from medsr.normalisation import Normalisation
from medsr.training.cache import ArrayCache

logger = logging.getLogger(__name__)

IN_MEMORY = ArrayCache()


@dataclass(frozen=True)
class TrainingVolume:
    """One loaded volume: float16 array ``(z, y, x)``, intensities normalised, and its coarser copy.

    `across` is the array axis across thick slices, whose other planes are too coarse to learn from; None for volumes
    that are fine along every axis.
    """

    name: str
    weight: float
    array: NDArray[np.float16]
    coarser: NDArray[np.float16]
    across: int | None = None


def read_data_list(path: Path, subset: str) -> list[dict[str, object]]:
    """Entries ``{"file", "subject", "weight"}`` of one subset ("train", "validation") of a data list.

    Raises:
        InputError: no such file, not JSON, an empty subset, or a subject that is in two subsets.
    """
    try:
        data = parse_json(Path(path).read_bytes())
    except FileNotFoundError:
        raise InputError(f"There is no data list {path}.") from None
    except OSError as error:
        raise InputError(f"The data list {path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(f"{path} is not a JSON data list: {error}.") from error
    if not isinstance(data, dict):
        raise InputError(f"{path} is no data list: it holds no object with the lists 'train' and 'validation'.")
    entries = data.get(subset, [])
    if not entries:
        raise InputError(f"{path} lists no volumes under {subset!r}.")
    owner: dict[str, str] = {}
    for part in ("train", "validation", "test"):
        for entry in _entries(path, part, data.get(part, [])):
            subject = entry["subject"]
            if owner.setdefault(subject, part) != part:
                raise InputError(f"{path}: subject {subject!r} is in both {owner[subject]!r} and {part!r}.")
    return list(entries)


def _entries(path: Path, part: str, found: object) -> list[dict[str, Any]]:
    """The entries of one list; raise InputError for anything that is none."""
    if not isinstance(found, list):
        raise InputError(f"{path}: {part!r} must be a list of volumes, got {reprlib.repr(found)}.")
    for entry in found:
        texts = [entry.get(key) for key in ("file", "subject")] if isinstance(entry, dict) else [None]
        if not all(isinstance(text, str) and text for text in texts):
            raise InputError(
                f"{path}: a volume under {part!r} is an object with 'file' and 'subject', both texts, got "
                f"{reprlib.repr(entry)}."
            )
        weight = entry.get("weight", 1.0)
        if not isinstance(weight, int | float) or isinstance(weight, bool) or not 0 <= weight < 1e9:
            raise InputError(
                f"{path}: the weight of {entry['file']!r} is no number from 0 to 1e9: {reprlib.repr(weight)}."
            )
    return found


def listed_file(path: Path, root: Path, entry: Mapping[str, object]) -> Path:
    """The file of an entry of the data list `path`; raise InputError if it is not there."""
    file = root / str(entry["file"])
    if not file.exists():
        raise InputError(f"{path} lists {entry['file']}, which is not below {root}.")
    return file


def load_volumes(
    path: Path, root: Path, subset: str, modality: str, coarser_factor: float, cache: ArrayCache = IN_MEMORY
) -> list[TrainingVolume]:
    """Load every volume of a subset; files are relative to `root`.

    An entry may state a modality of its own, and with ``"across": "z"`` that only slices across that axis are fine.
    """
    volumes = []
    for entry in read_data_list(path, subset):
        file = listed_file(path, root, entry)
        scale = str(entry.get("modality", modality))
        across = _array_axis(path, entry["across"]) if "across" in entry else None
        array, coarser = cache.arrays(
            file, ("volume", scale, across, coarser_factor), partial(_prepared, file, scale, across, coarser_factor)
        )
        logger.info("%s %s", file.name, array.shape)
        weight = float(entry.get("weight", 1.0))  # type: ignore[arg-type]
        volumes.append(TrainingVolume(str(entry["file"]), weight, array, coarser, across))
    return volumes


def _prepared(file: Path, modality: str, across: int | None, coarser_factor: float) -> list[NDArray[np.float16]]:
    """The normalised volume of a file, and its coarser copy."""
    array = read_volume(file).array.astype(np.float32)
    array = Normalisation.of(array, modality).apply(array)
    coarser = fourier_shrink(array, [1.0 if axis == across else coarser_factor for axis in range(array.ndim)])
    return [array.astype(np.float16), coarser.astype(np.float16)]


def _array_axis(path: Path, name: object) -> int:
    if name not in list(AXES):
        raise InputError(f"{path}: across is one of {', '.join(AXES)}, got {name!r}.")
    return 2 - AXES.index(str(name))


def fourier_shrink(array: NDArray[np.float32], factors: Sequence[float]) -> NDArray[np.float32]:
    """A copy, coarser by one factor per axis, with content up to its own Nyquist frequency.

    The spectrum is cropped, tapered at its rim.
    """
    spectrum = fft.fftshift(fft.fftn(array))
    keep = [n if factor == 1 else max(8, round(n / factor)) for n, factor in zip(array.shape, factors, strict=True)]
    window = tuple(slice(n // 2 - k // 2, n // 2 - k // 2 + k) for n, k in zip(array.shape, keep, strict=True))
    spectrum = spectrum[window]
    for axis, k in enumerate(keep):
        if k == array.shape[axis]:
            continue
        shape = [1] * array.ndim
        shape[axis] = k
        spectrum = spectrum * tukey(k, 0.15).reshape(shape)
    scale = np.prod(keep) / array.size
    shrunk: NDArray[np.float32] = (np.real(fft.ifftn(fft.ifftshift(spectrum))) * scale).astype(np.float32)
    return shrunk
