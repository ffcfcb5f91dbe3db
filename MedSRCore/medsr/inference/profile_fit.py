"""The profile on which a result and its input agree best.

A network trusts only in part what it is told of the acquisition: it has learned what anatomy looks like, and with
profiles that were misstated. Degraded by the profile that was taken, its result therefore misses the input more than by
the true one; told the truth, it misses least there. So the step that makes a result agree with the measured data asks
first which profile it had best agree on: a blur is estimated by an estimate of the image (Ayers and Dainty, Optics
Letters 13(7), 1988), here a network's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medsr.facts import AXES
from medsr.notices import Notice, notice
from medsr.physics.profiles import Profile
from medsr.physics.sampling import Acquisition, apply_along
from medsr.planning.evidence import SAFE, profile_notice
from medsr.planning.sampling import SLICE_PROFILES

Array = NDArray[np.float32]

_RATIOS = tuple(1.04**step for step in range(-10, 11))
"""Widths that are tried of a slice profile, as multiples of the one that was taken."""

_WIDTHS = tuple(0.4 + 0.05 * step for step in range(22))
_TAPERS = (0.0, 0.15, 0.3, 0.5, 0.75, 1.0)
_FILLED = (1.15, 1.33)
"""Of profiles that nobody stated."""

_CLEARLY, _SURELY = 0.98, 0.65
"""Share of the squared difference that another profile may leave to be taken. Undoing a filter or a coarser band that
was none multiplies what is finest, so these, and other kinds, need the second. (Volumes with a filter that was not told
left 0.42 to 0.57, others 0.95 at least.)"""

_TOGETHER, _OTHERS = 24, 48
"""Samples that are compared along axes that change together, and along those that do not change; enough to choose."""


def fitted_acquisition(fine: Array, coarse: Array, acquisition: Acquisition) -> Acquisition:
    """`acquisition` with the profiles on which a network's result and the measured data agree best.

    Of a profile that was stated, the kind stays and its width, or the taper of its filter, is found; of one that was
    assumed, the kind too. Axes that were taken for alike stay alike. What was taken because nothing could be told
    (`SAFE`) stays.

    Args:
        fine: the result of a network that learned with misstated profiles, shape ``acquisition.fine_shape``.
        coarse: the measured data, shape ``acquisition.coarse_shape``.
        acquisition: as it was taken.
    """
    groups: dict[tuple[Profile, float], list[int]] = {}
    for axis, sampling in acquisition.active.items():
        if sampling.is_enlarged and sampling.profile != SAFE:
            groups.setdefault((sampling.profile, round(sampling.factor, 3)), []).append(axis)
    # The thickest axis first: what is wrong there disturbs the others most.
    for (taken, _), axes in sorted(groups.items(), key=lambda group: -group[0][1]):
        best = _best(fine, coarse, acquisition, axes, taken)
        acquisition = Acquisition(
            tuple(replace(axis, profile=best) if i in axes else axis for i, axis in enumerate(acquisition.axes))
        )
    return acquisition


def fit_notices(taken: Acquisition, fitted: Acquisition, spacing_xyz_mm: Sequence[float]) -> list[Notice]:
    """Where the fit found another profile than was taken, axes x, y and z; `spacing_xyz_mm` is that of the input."""
    return [
        notice("acquisition.fitted", axis=name, profile=profile_notice(after.profile, spacing))
        for name, before, after, spacing in zip(AXES, taken.axes[::-1], fitted.axes[::-1], spacing_xyz_mm, strict=True)
        if after.profile != before.profile
    ]


def _best(fine: Array, coarse: Array, acquisition: Acquisition, axes: Sequence[int], taken: Profile) -> Profile:
    """The profile of `axes` that misses least: what was taken, unless another is clearly better."""
    rows = [
        _some(sampling.n_coarse, _OTHERS if axis not in axes else _TOGETHER if len(axes) > 1 else sampling.n_coarse)
        for axis, sampling in enumerate(acquisition.axes)
    ]
    # What the other axes do is computed once.
    others = {axis: acquisition.axes[axis].rows(rows[axis]) for axis in range(len(rows)) if axis not in axes}
    part, measured = apply_along(fine, others), coarse[np.ix_(*rows)]

    def miss(choice: Profile) -> float:
        matrices = {axis: replace(acquisition.axes[axis], profile=choice).rows(rows[axis]) for axis in axes}
        return float(np.square(apply_along(part, matrices) - measured).mean(dtype=np.float64))

    limit = miss(taken)
    choices = [(miss(choice), choice) for choice in _choices(taken)]
    better = [
        (missed, number)
        for number, (missed, choice) in enumerate(choices)
        if missed < limit * (_CLEARLY if _is_harmless(taken, choice) else _SURELY)
    ]
    return _beyond(taken, choices[min(better)[1]][1]) if better else taken


def _is_harmless(taken: Profile, choice: Profile) -> bool:
    """True for another width of a slice profile, and where less of the band is undone than was taken."""
    if choice.kind != taken.kind:
        return False
    return choice.kind in SLICE_PROFILES or (choice.taper <= taken.taper and choice.width <= taken.width)


def _choices(taken: Profile) -> list[Profile]:
    tried: list[Profile] = []
    if taken.assumed:
        tried += [Profile("gaussian", width) for width in _WIDTHS]
        tried += [Profile("kspace", 1.0, taper) for taper in _TAPERS]
        tried += [Profile("kspace", width) for width in _FILLED]
    elif taken.kind in SLICE_PROFILES:
        tried += [replace(taken, width=taken.width * ratio) for ratio in _RATIOS]
    elif taken.kind == "kspace":
        tried += [replace(taken, taper=taper) for taper in _TAPERS]
    return [replace(choice, assumed=taken.assumed) for choice in tried]


def _some(count: int, most: int) -> NDArray[np.intp]:
    """Indices of at most so many samples, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.intp))


def _beyond(taken: Profile, best: Profile) -> Profile:
    """A stated width that the fit changed, changed twice: the result believes it in part, and so holds the fit back."""
    if not taken.assumed and best.kind in SLICE_PROFILES:
        return replace(best, width=best.width**2 / taken.width)
    return best
