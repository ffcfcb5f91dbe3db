"""An acquisition as the numbers that a network is told."""

from __future__ import annotations

import math
from collections.abc import Sequence

from medsr.physics.sampling import AxisSampling

PER_AXIS = 6
"""Numbers that describe one axis."""

_READ_AT = (0.25, 0.5, 0.75)
"""Frequencies, in cycles per sample, at which a profile's spectrum is told: below, at and above Nyquist's."""


def acquisition_condition(axes: Sequence[AxisSampling]) -> list[float]:
    """The vector that tells a network how its input was acquired; `PER_AXIS` numbers for each axis.

    A profile is told by its spectrum, so a new kind needs nothing here.

    Args:
        axes: in the order of the tensor's axes.

    Returns:
        Per axis: ``log2`` of the factor, ``log2`` of the width of the profile over the distance of the samples, what
        the profile leaves of waves of a quarter, a half and three quarters of a cycle per sample, and 1 where it was
        assumed. All zero on an axis that was not enlarged.
    """
    values: list[float] = []
    for axis in axes:
        if not axis.is_enlarged:
            values += [0.0] * PER_AXIS
            continue
        profile = axis.profile
        spectrum = [profile.transfer(frequency) for frequency in _READ_AT]
        values += [math.log2(axis.factor), math.log2(axis.width / axis.factor), *spectrum, float(profile.assumed)]
    return values


def canonical_axes(factors: Sequence[float]) -> tuple[int, ...]:
    """Order of array axes in which the network sees them: the most enlarged first.

    A network that always meets the thick axis in the same place needs not learn it three times.
    """
    return tuple(sorted(range(len(factors)), key=lambda axis: (-round(factors[axis], 6), axis)))
