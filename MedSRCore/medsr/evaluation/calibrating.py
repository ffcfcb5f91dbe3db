"""How far half-widths must be stretched for error maps to keep their promise, and whether they do.

Volumes are seen through scanners as `medsr.evaluation.protocols` has them, enlarged, and every error is compared with
the half-width at its voxel. Figures are by volume: what one volume says of another is what a person needs to know.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

from medsr.catalog import CatalogEntry
from medsr.errors import InvalidValueError, ModelError
from medsr.evaluation.protocols import Case, parse_case
from medsr.evaluation.run import TOLD, Trial, evaluate
from medsr.inference.calibration import COVERAGE, Calibration, Group
from medsr.inference.error_map import body, roughness_of
from medsr.inference.pipeline import Result, super_resolve
from medsr.jobs import Progress
from medsr.normalisation import Normalisation
from medsr.options import UpscaleOptions
from medsr.volume import Volume

_SAMPLE = 20_000
_AROUND = 2.0
"""Voxels around which an oracle knows the mean error."""

_LEAST = 1e-12
_UNLIMITED = 1e9
FEWEST_VOLUMES = 2


@dataclass(frozen=True)
class Sample:
    """One result: how its errors compare with its half-widths, inside the body.

    Attributes:
        volume: name.
        case: label of the case.
        noisy, assumed: of the input, see `Group`.
        ratios: errors over half-widths of some voxels.
        held: share of the voxels whose error is no larger than the half-width.
        correlation: Spearman's, of half-widths and errors.
        width: mean half-width, stretched to hold `COVERAGE` here, over the constant one that does.
        oracle_correlation, oracle_width: the same of a map that knows the mean error around each voxel: errors are
            drawn anew in each voxel, so no map reaches 1 and 0.
        typical: share of the voxels that lie within what the report says of nine of ten.
        factor: largest enlargement.
        noise: of the input as it was recognised.
        roughness: of the input.
        model: that made it.
    """

    volume: str
    case: str
    noisy: bool
    assumed: bool
    ratios: NDArray[np.float32]
    held: float
    correlation: float
    width: float
    oracle_correlation: float
    oracle_width: float
    typical: float
    factor: float
    noise: float
    roughness: float
    model: str


@dataclass
class _Listener:
    """Enlarges for `evaluate`, and compares what came out with the truth."""

    calibration: Calibration | None
    samples: list[Sample] = field(default_factory=list)
    _last: Result | None = None

    def enlarge(self, volume: Volume, options: UpscaleOptions, progress: Progress | None, /) -> Result:
        self._last = super_resolve(volume, options, progress, maps=("error",), calibration=self.calibration)
        return self._last

    def watch(self, trial: Trial) -> None:
        if self._last is None or not trial.results:
            raise ModelError(next((row.error for row in trial.rows if row.error), None) or "Nothing came out.")
        self.samples.append(_sample(trial, self._last))
        self._last = None


def samples(
    volumes: Mapping[str, Volume],
    model: str,
    cases: Sequence[Case | str],
    *,
    told: Sequence[str] = TOLD,
    noises: Sequence[float] = (0.0,),
    misstate: float = 1.0,
    crop: Sequence[int] | None = None,
    calibration: Calibration | None = None,
    options: UpscaleOptions | None = None,
    progress: Progress | None = None,
) -> list[Sample]:
    """Every volume through every case, noise and knowledge of it.

    Args:
        volumes: fine volumes, by name.
        model: name or folder.
        cases: of the evaluation.
        told: what the model is told of a case.
        noises: levels; of CT 0 only.
        misstate: factor on the width that is told.
        crop: the central box of at most this size (x, y, z).
        calibration: in place of the model's own.
        options: further options.
        progress: can stop it.
    """
    listener, progress = _Listener(calibration), progress or Progress()
    parsed = [parse_case(case) if isinstance(case, str) else case for case in cases]
    noisy = [dataclasses.replace(case, noise=noise) for noise in noises for case in parsed]
    for number, what in enumerate(told):
        evaluate(
            volumes,
            [model],
            noisy,
            told=what,
            misstate=misstate,
            crop=crop,
            options=options,
            progress=progress.part(number / len(told), (number + 1) / len(told)),
            watch=listener.watch,
            enlarge=listener.enlarge,
        )
    return listener.samples


def unstretched(model: str, modality: str, scale_sha256: str) -> Calibration:
    """A calibration that leaves the half-widths of the scale as they are."""
    kinds = [(noisy, assumed) for noisy in (False, True) for assumed in (False, True)]
    groups = tuple(Group(noisy, assumed, 1.0, 0, 0.0, 0.0, 0.0) for noisy, assumed in kinds)
    return Calibration(model, "", modality, scale_sha256, groups, _UNLIMITED, _UNLIMITED, (0.0, _UNLIMITED))


def calibrated(
    found: Sequence[Sample], entry: CatalogEntry, modality: str, scale_sha256: str, about: str
) -> Calibration:
    """The calibration that `samples`, made with that of `unstretched`, ask for.

    Raises:
        InvalidValueError: too few volumes to say what one tells of another.
    """
    volumes = sorted({sample.volume for sample in found})
    if len(volumes) < FEWEST_VOLUMES:
        raise InvalidValueError(
            f"A calibration needs at least {FEWEST_VOLUMES} volumes, of different people, got {len(volumes)}."
        )
    groups = []
    for noisy, assumed in sorted({(sample.noisy, sample.assumed) for sample in found}):
        alike = [sample for sample in found if (sample.noisy, sample.assumed) == (noisy, assumed)]
        groups.append(_group(alike, noisy=noisy, assumed=assumed))
    return Calibration(
        entry.name,
        entry.sha256,
        modality,
        scale_sha256,
        tuple(groups),
        max(sample.factor for sample in found),
        max(sample.noise for sample in found),
        (min(sample.roughness for sample in found), max(sample.roughness for sample in found)),
        about,
    )


def _group(alike: Sequence[Sample], *, noisy: bool, assumed: bool) -> Group:
    """The factor for inputs of one kind, and the coverage of each volume by the factor of the others."""
    by_volume: dict[str, NDArray[np.float32]] = {
        name: np.concatenate([sample.ratios for sample in alike if sample.volume == name])
        for name in sorted({sample.volume for sample in alike})
    }
    held = [
        float((by_volume[name] <= _factor([r for other, r in by_volume.items() if other != name])).mean())
        for name in by_volume
        if len(by_volume) > 1
    ] or [0.0]
    factor = _factor(list(by_volume.values()))
    figures = [round(value, 4) for value in (factor, float(np.mean(held)), min(held), max(held))]
    return Group(noisy, assumed, figures[0], len(by_volume), *figures[1:])


def _factor(ratios: Sequence[NDArray[np.float32]]) -> float:
    """What half-widths are multiplied with for the mean over the volumes of what is held to be `COVERAGE`."""
    low, high = 0.0, max(float(each.max()) for each in ratios)
    for _ in range(50):
        middle = (low + high) / 2
        held = float(np.mean([(each <= middle).mean() for each in ratios]))
        low, high = (middle, high) if held < COVERAGE else (low, middle)
    return high


def _sample(trial: Trial, made: Result) -> Sample:
    truth = np.asarray(trial.reference.array, dtype=np.float32)
    measured = np.asarray(trial.measured.array, dtype=np.float32)
    inside = body(truth)
    off = np.abs(np.asarray(made.volume.array, dtype=np.float32) - truth)
    some = np.flatnonzero(inside)
    some = np.random.default_rng(0).choice(some, min(some.size, _SAMPLE), replace=False)
    errors, around = off.ravel()[some], gaussian_filter(off, _AROUND).ravel()[some]
    widths = np.asarray(made.maps["error"].array, dtype=np.float32).ravel()[some]
    ratios = errors / np.maximum(widths, _LEAST)
    report, row = made.report, trial.rows[0]
    return Sample(
        trial.volume,
        trial.case,
        report["noise"] is not None,
        any(each["assumed"] for each, f in zip(report["acquisition"], report["factors_xyz"], strict=True) if f > 1),
        ratios,
        float((ratios <= 1).mean()),
        *_worth(widths, errors),
        *_worth(around, errors),
        float((errors <= report["error"]["typical"]).mean()),
        max(report["factors_xyz"]),
        report["noise"] or 0.0,
        roughness_of(measured, Normalisation.of(measured, report["modality"])),
        row.model_used or row.model,
    )


def _worth(widths: NDArray[np.float32], errors: NDArray[np.float32]) -> tuple[float, float]:
    """Rank correlation of half-widths and errors; mean half-width over the constant one that holds as much."""
    stretch = float(np.quantile(errors / np.maximum(widths, _LEAST), COVERAGE))
    constant = max(float(np.quantile(errors, COVERAGE)), _LEAST)
    return float(spearmanr(widths, errors).statistic), stretch * float(widths.mean()) / constant
