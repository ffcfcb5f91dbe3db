"""Judging models by a second measured series instead of a simulation.

Two tests, chosen by how the series lie to each other:

* **detail**: the other series is a stack whose plane holds the direction that the first one sampled coarsely. What a
  model makes of that direction is correlated with what the other stack measured (`medsr.evaluation.real_detail`).
* **difference**: the other series is parallel and finer on the same frame, as a thin reconstruction of the same scan.
  It is the truth, voxel by voxel (`medsr.evaluation.real_difference`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from medsr.errors import InvalidValueError
from medsr.evaluation.real_choice import choose_test
from medsr.evaluation.real_detail import compare_detail
from medsr.evaluation.real_difference import compare_difference
from medsr.evaluation.real_rows import DETAIL, RealTable
from medsr.evaluation.real_runner import EnlargeOnto, Look, Runner
from medsr.evaluation.rows import BICUBIC, ORACLE
from medsr.evaluation.run import shown
from medsr.jobs import Progress
from medsr.options import UpscaleOptions
from medsr.volume import Volume


def judge(
    thick: Volume,
    other: Volume,
    models: Sequence[str],
    *,
    names: tuple[str, str] = ("series", "other series"),
    profiles: Sequence[str] = ("auto",),
    seed: int = 0,
    options: UpscaleOptions | None = None,
    progress: Progress | None = None,
    watch: Callable[[Look], None] | None = None,
    enlarge: EnlargeOnto | None = None,
) -> RealTable:
    """Enlarge `thick` with every model and judge the results by `other`.

    A model that fails gives a row with the reason; the others go on. The same arguments give the same figures, times
    aside.

    Args:
        thick: a volume as measured.
        other: another series of the same patient.
        models: names of the catalog; `BASELINE` is computed in any case.
        names: what tables call the two.
        profiles: what is told of the slice axis of `thick`, as `UpscaleOptions.profile` takes it for one axis; every
            model that uses a profile runs with each.
        seed: of the bootstrap.
        options: what else the models are told (device, memory, consistency, ...).
        progress: receives the stages; can stop the run.
        watch: called at the end with all images.
        enlarge: replaces the inference.

    Raises:
        InputError: series that allow no test, or do not show the same.
        InvalidValueError, UnknownNameError: models or profiles that make no sense.
        ModelError: the baseline gave no result.
        CancelledError: the person stopped the run.
    """
    if not models or not profiles:
        raise InvalidValueError("A comparison needs at least one model and one profile.")
    if unable := [name for name in models if name in (ORACLE, BICUBIC)]:
        raise InvalidValueError(f"{unable[0]} exists for simulated cases only; name a model of `medsr models`.")
    thick, other = (shown(volume, options or UpscaleOptions()) for volume in (thick, other))
    test = choose_test(thick, other)
    told = {profile: _told(test.across, profile) for profile in profiles}
    runner = Runner(
        thick, test, told, options or UpscaleOptions(), enlarge or _inference(), progress or Progress()
    )  # fmt: skip
    compare = compare_detail if test.kind == DETAIL else compare_difference
    look = compare(runner, other, runner.runs(models), names, seed)
    if watch is not None:
        watch(look)
    return look.table


def _told(across: int, profile: str) -> str:
    """A profile of the slice axis, as `UpscaleOptions.profile` takes it; raises for one that makes no sense."""
    if "," in profile:
        raise InvalidValueError(f"A profile here is that of the slice axis alone, got {profile!r}.")
    told = "auto" if profile == "auto" else ",".join(profile if axis == across else "auto" for axis in range(3))
    UpscaleOptions(profile=told)
    return told


def _inference() -> EnlargeOnto:
    # Only here: the package may be read without its inference (and whatever that needs).
    from medsr.inference.pipeline import super_resolve

    return super_resolve
