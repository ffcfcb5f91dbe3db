"""Degrade, enlarge, score: every volume with every case and every model."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from medsr.errors import CancelledError, InvalidValueError, MedSRError, ModelError, unknown_name
from medsr.evaluation.protocols import Case, central_crop, degrade, parse_case
from medsr.evaluation.rows import BICUBIC, ORACLE, EvaluationTable, Row
from medsr.evaluation.scoring import grey, score_image
from medsr.evaluation.yardsticks import bicubic, tikhonov_oracle
from medsr.facts import AXES
from medsr.jobs import Progress
from medsr.metrics import Mask, foreground_mask
from medsr.options import UpscaleOptions
from medsr.physics.sampling import Acquisition
from medsr.planning.padding import without_padding
from medsr.volume import Volume

_LOG = logging.getLogger(__name__)
# What a model may throw at a volume it cannot handle. One model's failure must not cost the others' hours.
FAILURES = (
    MedSRError, ArithmeticError, ImportError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError,
)  # fmt: skip


class Enlarged(Protocol):
    """What an enlargement returns."""

    @property
    def volume(self) -> Volume:
        """The result, on the target grid."""

    @property
    def report(self) -> Mapping[str, Any]:
        """How it was made."""


class Enlarge(Protocol):
    """The seam to the inference; `medsr.inference.pipeline.super_resolve` is one."""

    def __call__(self, volume: Volume, options: UpscaleOptions, progress: Progress | None, /) -> Enlarged:
        """Enlarge `volume` as `options` say; stop with CancelledError when `progress` says so."""


class Distance(Protocol):
    """A perceptual distance; `medsr.evaluation.perceptual.TextureDistance` is one."""

    def __call__(self, result: NDArray[Any], reference: NDArray[Any], /) -> float:
        """Zero for equal images ``(z, y, x)`` or ``(z, y, x, c)``; the larger, the more different they look."""


TOLD = ("nothing", "thickness", "profile")
"""What models are told of a case: nothing; the thickness of slices, as headers do; the profile of every axis."""


@dataclass(frozen=True)
class Trial:
    """One case of one volume with what every model made of it, for whoever wants to look at the pictures.

    Attributes:
        volume: name of the subject.
        case: label of the case.
        description: the case in words.
        reference: the truth.
        measured: what the models were given.
        results: model -> result on the grid of the reference; a model that failed is absent.
        rows: the figures.
    """

    volume: str
    case: str
    description: str
    reference: Volume
    measured: Volume
    results: Mapping[str, Volume]
    rows: tuple[Row, ...]


def evaluate(
    volumes: Mapping[str, Volume],
    models: Sequence[str],
    cases: Sequence[Case | str],
    *,
    noise: float | None = None,
    told: str = "thickness",
    misstate: float = 1.0,
    crop: Sequence[int] | None = None,
    seed: int = 0,
    options: UpscaleOptions | None = None,
    progress: Progress | None = None,
    watch: Callable[[Trial], None] | None = None,
    distance: Distance | None = None,
    enlarge: Enlarge | None = None,
) -> EvaluationTable:
    """Judge models on volumes whose truth is known.

    A model that fails gives a row with the reason; the others go on. The same arguments give the same figures, times
    and memory aside.

    Args:
        volumes: name -> fine volume. Read one at a time, so that a mapping may load from disk on demand.
        models: names of the catalog, "tikhonov-oracle" and "bicubic".
        cases: cases, or texts for `parse_case`.
        noise: replaces the noise of every case.
        told: what the models are told of the acquisition, one of `TOLD`; the oracle knows it.
        misstate: factor on the width of the slice profile that the models are told; the oracle knows the true one.
        crop: judge only the central box of at most this size (x, y, z).
        seed: of the noise.
        options: what else the models are told (device, memory, consistency, ...).
        progress: receives the stages; can stop the run.
        watch: called after each case of each volume with all images, which are dropped afterwards.
        distance: gives the perceptual distance, which is left out without it.
        enlarge: replaces the inference.

    Raises:
        InvalidValueError, UnknownNameError: a case, crop or width factor that makes no sense.
        CancelledError: the person stopped the run.
    """
    if not volumes or not models or not cases:
        raise InvalidValueError("An evaluation needs at least one volume, one model and one case.")
    if not 0.1 <= misstate <= 10:
        raise InvalidValueError(f"The width can be misstated by a factor from 0.1 to 10, got {misstate}.")
    if told not in TOLD:
        raise unknown_name("value of told", told, TOLD)
    parsed = [parse_case(case) if isinstance(case, str) else case for case in cases]
    if noise is not None:
        parsed = [dataclasses.replace(case, noise=noise) for case in parsed]
    judge = _Judge(
        options or UpscaleOptions(), told, misstate, seed, enlarge or _inference(), distance, progress or Progress()
    )
    rows: list[Row] = []
    total, done = len(volumes) * len(parsed), 0
    for name in volumes:
        # Filled first: no model is judged by what shows nothing, and nothing of it is degraded into tissue.
        volume = shown(volumes[name], judge.options)
        volume = volume if crop is None else central_crop(volume, crop)
        for case in parsed:
            judge.progress.stage(f"{name}, {case.name}")
            rows += judge.trial(name, volume, case, models, watch)
            done += 1
            judge.progress.at(done / total)
    return EvaluationTable(tuple(rows))


def case_label(case: Case, told: str = "thickness", misstate: float = 1.0) -> str:
    """What tables call a case: its name, its noise, what was told of it and the misstated width."""
    noise = f" noise {case.noise:g}" if case.noise else ""
    width = f" width told x{misstate:.3g}" if abs(misstate - 1) > 1e-9 else ""
    return case.name + noise + ("" if told == "thickness" else f" told {told}") + width


@dataclass(frozen=True)
class _Judge:
    """What stays the same over a run."""

    options: UpscaleOptions
    told: str
    misstate: float
    seed: int
    enlarge: Enlarge
    distance: Distance | None
    progress: Progress

    def trial(
        self, name: str, volume: Volume, case: Case, models: Sequence[str], watch: Callable[[Trial], None] | None
    ) -> list[Row]:
        """All models on one case of one volume."""
        label = case_label(case, self.told, self.misstate)
        try:
            reference, measured, acquisition = degrade(volume, case, seed=self.seed)
            mask = foreground_mask(grey(reference.array))
        except MedSRError as error:
            return [Row(name, label, model, error=reason(error)) for model in models]
        truth = _Truth(case, reference, measured, acquisition, mask)
        results: dict[str, Volume] = {}
        rows: list[Row] = []
        for model in models:
            self.progress.check()
            try:
                row, result = self._judged(Row(name, label, model), truth)
            except CancelledError:
                raise
            except FAILURES as error:
                _LOG.warning("%s failed on %s, %s: %s", model, name, label, error)
                rows.append(Row(name, label, model, error=reason(error)))
                continue
            rows.append(row)
            if watch is not None:
                results[model] = result
        if watch is not None:
            watch(Trial(name, label, case.describe(), reference, measured, results, tuple(rows)))
        return rows

    def _judged(self, row: Row, truth: _Truth) -> tuple[Row, Volume]:
        """The row of one model, filled, and its result."""
        started, memory = time.perf_counter(), _MemoryPeak()
        row, result = self._enlarged(row, truth)
        seconds, peak = time.perf_counter() - started, memory.megabytes()
        if not result.geometry.is_same_as(truth.reference.geometry):
            raise ModelError(
                f"The result lies on {result.geometry.describe()}, not on the reference's "
                f"{truth.reference.geometry.describe()}: it cannot be judged."
            )
        reference = truth.reference.array
        scores = score_image(result.array, reference, truth.acquisition, truth.measured.array, truth.mask)
        distance = None if self.distance is None else self.distance(result.array, reference)
        filled = dataclasses.replace(
            row, **dataclasses.asdict(scores), perceptual_distance=distance, seconds=seconds, peak_mb=peak
        )
        return filled, result

    def _enlarged(self, row: Row, truth: _Truth) -> tuple[Row, Volume]:
        """The row with what is known of the model, and the model's result."""
        measured: NDArray[np.float32] = truth.measured.array  # type: ignore[assignment]
        if row.model == ORACLE:
            reference: NDArray[np.float32] = truth.reference.array  # type: ignore[assignment]
            array, smoothness = tikhonov_oracle(measured, truth.acquisition, reference)
            row = dataclasses.replace(row, model_used=ORACLE, smoothness=smoothness)
            return row, truth.reference.replace(array=array)
        if row.model == BICUBIC:
            array = bicubic(measured, truth.acquisition)
            return dataclasses.replace(row, model_used=BICUBIC), truth.reference.replace(array=array)
        enlarged = self.enlarge(truth.measured, self._options(row.model, truth), self.progress.unheard())
        used = str(enlarged.report.get("model", row.model))
        perceptual = bool(enlarged.report.get("perceptual", False))
        return dataclasses.replace(row, model_used=used, perceptual=perceptual), enlarged.volume

    def _options(self, model: str, truth: _Truth) -> UpscaleOptions:
        case, spacing = truth.case, truth.reference.geometry.spacing_xyz_mm
        options = dataclasses.replace(
            self.options,
            scale=case.scale_xyz,
            model=model,
            dtype="float32",
            modality=truth.reference.modality or self.options.modality,
        )
        return told_of(options, case, spacing, self.told, self.misstate)


def told_of(
    options: UpscaleOptions, case: Case, spacing_xyz_mm: Sequence[float], told: str, misstate: float = 1.0
) -> UpscaleOptions:
    """`options` with what a model is told of a case.

    Args:
        options: without a word of the acquisition.
        case: the case.
        spacing_xyz_mm: of the fine volume.
        told: one of `TOLD`.
        misstate: factor on the widths that are told.
    """
    if told == "thickness" and case.thickness is not None:
        thickness = case.thickness * spacing_xyz_mm[AXES.index(case.slice_axis)] * misstate
        return dataclasses.replace(options, slice_axis=case.slice_axis, slice_thickness=thickness)
    if told == "profile" and case.is_measured:
        specs = [
            f"{p.kind}:{p.width * factor * s * misstate:.6g}" + (f":{p.taper:g}" if p.taper else "")
            for p, factor, s in zip(case.profiles_xyz, case.scale_xyz, spacing_xyz_mm, strict=True)
        ]
        return dataclasses.replace(options, profile=",".join(specs))
    return options


@dataclass(frozen=True)
class _Truth:
    case: Case
    reference: Volume
    measured: Volume
    acquisition: Acquisition
    mask: Mask


class _MemoryPeak:
    """Highest resident memory since it was made, beyond what was held then. Linux only: elsewhere None."""

    _STATUS = Path("/proc/self/status")

    def __init__(self) -> None:
        self._before: float | None = None
        try:
            # Sets the kernel's high-water mark back to the present, so that each model gets its own.
            Path("/proc/self/clear_refs").write_text("5")
            self._before = self._read("VmRSS")
        except OSError:
            return

    def megabytes(self) -> float | None:
        if self._before is None:
            return None
        peak = self._read("VmHWM")
        return None if peak is None else round(max(0.0, peak - self._before), 1)

    def _read(self, key: str) -> float | None:
        for line in self._STATUS.read_text().splitlines():
            if line.startswith(key):
                return int(line.split()[1]) / 1024
        return None


def shown(volume: Volume, options: UpscaleOptions) -> Volume:
    """`volume` with its padding filled."""
    # Only here, as below.
    from medsr.inference.planner import decide_modality

    modality = volume.modality or decide_modality(volume, options.modality)[0]
    filled, padding = without_padding(volume, modality)
    return volume if padding is None else filled.replace(modality=modality)


def _inference() -> Enlarge:
    # Only here: the package may be read without its inference (and whatever that needs).
    from medsr.inference.pipeline import super_resolve

    return super_resolve


def reason(error: BaseException) -> str:
    """Why a model failed, for the table."""
    text = str(error).strip() or "no reason given"
    return text if isinstance(error, MedSRError) else f"{type(error).__name__}: {text}"
