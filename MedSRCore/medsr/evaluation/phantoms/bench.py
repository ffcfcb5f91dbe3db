"""Every scene through every case and every model, and what became of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from medsr.errors import InvalidValueError
from medsr.evaluation.phantoms import objects, pairs
from medsr.evaluation.phantoms.judge import BASELINE, Judge
from medsr.evaluation.phantoms.rows import PhantomTable
from medsr.evaluation.phantoms.scenes import (
    EDGE,
    LARGEST_EDGE,
    SMALLEST_EDGE,
    Scene,
    blank_scene,
    lesion_scene,
)
from medsr.evaluation.protocols import Case, parse_case
from medsr.evaluation.run import Enlarge, Trial, case_label, evaluate
from medsr.jobs import Progress
from medsr.options import UpscaleOptions

CASES = ("z4", "k2")
NOISE = 0.02


def make_scenes(edge: int = EDGE, seed: int = 0) -> list[Scene]:
    """The scenes of a bench; those that need the default size are left out of a smaller one.

    Raises:
        InvalidValueError: an edge that leaves no room, or would take hours.
    """
    if not SMALLEST_EDGE <= edge <= LARGEST_EDGE:
        raise InvalidValueError(f"The phantoms have an edge of {SMALLEST_EDGE} to {LARGEST_EDGE} mm, got {edge}.")
    scenes = [lesion_scene(edge, seed), blank_scene(edge, seed)]
    return scenes if edge < EDGE else [*scenes, pairs.pair_scene(), objects.object_scene()]


def run_bench(
    models: Sequence[str],
    cases: Sequence[Case | str] = CASES,
    *,
    noise: float | None = None,
    told: str = "thickness",
    edge: int = EDGE,
    seed: int = 0,
    options: UpscaleOptions | None = None,
    progress: Progress | None = None,
    watch: Callable[[Trial, Scene], None] | None = None,
    enlarge: Enlarge | None = None,
) -> PhantomTable:
    """Judge models on phantoms. The same arguments give the same figures, times aside.

    Args:
        models: as for `medsr.evaluation.run.evaluate`; the B-spline is added where it is missing.
        cases: cases, or texts for `parse_case`.
        noise: Rician noise of every case as a fraction; None is 2 %, and none for CT.
        told: what the models are told of the acquisition.
        edge: side of the phantoms with lesions, in mm.
        seed: of the phantoms and of the noise.
        options: what else the models are told; their modality is that of the phantoms, MR unless they say CT.
        progress: receives the stages; can stop the run.
        watch: called after each case of each scene with all images, which are dropped afterwards.
        enlarge: replaces the inference.

    Raises:
        InvalidValueError, UnknownNameError: a case, an edge or a noise that makes no sense.
        CancelledError: the person stopped the run.
    """
    options = options or UpscaleOptions()
    modality = "CT" if options.modality == "CT" else "MR"
    if modality == "CT" and noise:
        raise InvalidValueError("Rician noise belongs to magnitude MR images; phantoms of CT are made without noise.")
    level = (0.0 if modality == "CT" else NOISE) if noise is None else noise
    parsed = [parse_case(case) if isinstance(case, str) else case for case in cases]
    parsed = [dataclasses.replace(case, noise=level) for case in parsed]
    models = list(dict.fromkeys((BASELINE, *models)))
    judge = Judge(make_scenes(edge, seed), modality, {case_label(case, told): case for case in parsed})

    def seen(trial: Trial) -> None:
        judge(trial)
        if watch is not None:
            watch(trial, judge.scenes[trial.volume])

    evaluate(
        judge.volumes, models, parsed, told=told, seed=seed, options=options, progress=progress, watch=seen,
        enlarge=enlarge,
    )  # fmt: skip
    rows = tuple(judge.row(case, model) for case in judge.cases for model in models)
    return PhantomTable(rows, modality, edge, seed)
