"""The volume that explains all stacks at once, and is smooth where none of them says anything.

``min_x  sum_k w_k |A_k T_k x - y_k|^2 + smoothness |D2 (x - e)|^2`` with ``T_k`` the turn onto a grid parallel to stack
``k``, ``A_k`` its acquisition, ``D2`` the second differences along each axis, the prior of the deconvolution, and ``e``
what is expected, 0 at first; by conjugate gradients (Hestenes and Stiefel 1952), which need one application of
everything a step and five volumes.

Then the prior is told where the edges are: differences count the less, the larger they are in the solution so far
(iteratively reweighted least squares). At the end it is told what is expected: the mean of what looks alike nearby.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from medsr.fusion.alike import mean_of_alike
from medsr.fusion.observing import Observation
from medsr.fusion.prior import Prior, mean_roughness

Array = NDArray[np.float32]

_ENOUGH = 1e-3
"""Share of the first gradient at which the search ends."""

_FIRST_STEPS, _STEPS, _LAST_STEPS = 3, 2, 3
"""More of them changed little: 14 in place of 8 gave the same within 0.05 dB."""

_FIRST_SMOOTHNESS, _SHARE, _SMOOTHNESS = 3e-3, 0.3, (1e-3, 0.2)
"""Weight of the prior of the first solution; of the others as a share of noise over roughness of that one, within
bounds. Edges hold most of the roughness, so the share is below 1; it was found by simulated stacks."""

_ALIKE, _EXPECTED = 2.5, 2.0
"""How different, in standard deviations of the noise of the stacks, what counts as alike may be; how much more than
smoothness counts what is expected then. Both were found by simulated stacks."""


def joint_solution(
    observations: Sequence[Observation], start: Array, sigma: float, progress: Callable[[float], None]
) -> tuple[Array, float]:
    """The solution for stacks of noise `sigma` (of those with weight 1), and the weight of its prior."""
    volume = start.astype(np.float32)
    pull = _pull(observations, volume)
    _descend(observations, volume, pull, Prior(_FIRST_SMOOTHNESS), None, _FIRST_STEPS, lambda done: progress(done / 2))
    low, high = _SMOOTHNESS
    smoothness = float(np.clip(_SHARE * sigma**2 / max(mean_roughness(volume), 1e-30), low, high))
    prior = Prior.with_edges_of(volume, smoothness)
    _descend(observations, volume, pull, prior, None, _STEPS, lambda done: progress((1 + done) / 2))
    return volume, smoothness


def quieted(
    observations: Sequence[Observation],
    volume: Array,
    sigma: float,
    smoothness: float,
    progress: Callable[[float], None] | None = None,
) -> Array:
    """A solution with less noise: it explains the stacks, and differs little from the mean of what is alike in it.

    Args:
        observations: the stacks.
        volume: a solution.
        sigma: noise of stacks with weight 1.
        smoothness: weight of the prior of `volume`.
        progress: receives the fraction done, and may stop the work.
    """
    prior = Prior.with_edges_of(volume, _EXPECTED * smoothness)
    return solve_about(observations, mean_of_alike(volume, _ALIKE * sigma), prior, _LAST_STEPS, progress)


def solve_jointly(
    observations: Sequence[Observation],
    start: Array,
    prior: Prior,
    steps: int,
    progress: Callable[[float], None] | None = None,
) -> Array:
    """The solution, from `start` on.

    Args:
        observations: the stacks.
        start: a first guess, on the grid of the volume.
        prior: what is expected of it.
        steps: at most so many.
        progress: receives the fraction done, and may stop the work.
    """
    volume = start.astype(np.float32)
    _descend(observations, volume, _pull(observations, volume), prior, None, steps, progress)
    return volume


def solve_about(
    observations: Sequence[Observation],
    expected: Array,
    prior: Prior,
    steps: int,
    progress: Callable[[float], None] | None = None,
) -> Array:
    """The solution of which the prior expects to differ little from `expected`, from there on; see `solve_jointly`."""
    volume = expected.astype(np.float32)
    _descend(observations, volume, _pull(observations, volume), prior, expected, steps, progress)
    return volume


def _pull(observations: Sequence[Observation], volume: Array) -> Array:
    """Where the stacks pull each voxel: half the negative gradient of what `volume` leaves of them."""
    pull = np.zeros_like(volume)
    for each in observations:
        pull += np.float32(each.weight) * each.adjoint(each.residual(volume))
    return pull


def _descend(
    observations: Sequence[Observation],
    x: Array,
    pull: Array,
    prior: Prior,
    expected: Array | None,
    steps: int,
    progress: Callable[[float], None] | None,
) -> None:
    """Conjugate gradients; `x` and the `pull` of the stacks there change in place, so that a next prior can go on."""
    r = pull - prior.gradient(x if expected is None else x - expected)
    p = r.copy()
    norm = first = _dot(r, r)
    for step in range(steps):
        if norm <= _ENOUGH**2 * first or norm == 0:
            break
        q = _seen(observations, p)
        bent = prior.gradient(p)
        length = np.float32(norm / max(_dot(p, q) + _dot(p, bent), 1e-30))
        x += length * p
        pull -= length * q
        q += bent
        del bent
        r -= length * q
        del q
        before, norm = norm, _dot(r, r)
        p *= np.float32(norm / before)
        p += r
        if progress:
            progress((step + 1) / steps)


def _seen(observations: Sequence[Observation], image: Array) -> Array:
    """What the stacks see of `image`, brought back to its grid."""
    out = np.zeros_like(image)
    for each in observations:
        out += np.float32(each.weight) * each.adjoint(np.where(each.used, each.forward(image), np.float32(0)))
    return out


def _dot(first: Array, second: Array) -> float:
    """In float64, without a copy; not by BLAS, whose threads wait for each other wherever a core is busy."""
    return float(np.einsum("zyx,zyx->", first, second, dtype=np.float64))
