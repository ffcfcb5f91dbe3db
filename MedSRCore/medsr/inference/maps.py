"""Making the maps that `medsr.maps` declares."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from medsr.inference.calibration import Calibration
from medsr.inference.error_map import ErrorMap, error_map
from medsr.inference.regridding import to_output_grid
from medsr.inference.solving import Solved
from medsr.normalisation import Units
from medsr.volume import Volume

Array = NDArray[np.float32]


def make_maps(
    names: Collection[str], solved: Solved, calibration: Calibration | None
) -> tuple[dict[str, Volume], ErrorMap | None]:
    """Maps by name, and what was found for "error"."""
    makers: Mapping[str, Callable[[Solved], Volume]] = {"difference": _difference, "residual": _residual}
    maps = {name: make(solved) for name, make in makers.items() if name in names}
    if "error" not in names or calibration is None:
        return maps, None
    found = error_map(solved, calibration)
    # A spline could swing below zero.
    widths = to_output_grid(found.half_widths, solved.plan.target, 0.0, "linear")
    return {**maps, "error": _as_volume(widths, solved)}, found


def _difference(solved: Solved) -> Volume:
    return _as_volume(to_output_grid(solved.work - solved.plain, solved.plan.target, 0.0), solved)


def _residual(solved: Solved) -> Volume:
    return _as_volume(solved.checks[0].difference, solved, on_input=True)


def _as_volume(values: Array, solved: Solved, *, on_input: bool = False) -> Volume:
    """`values`, in units of the work and without an offset, as a volume; where nothing was measured they are 0."""
    padding, target = solved.plan.padding, solved.plan.target
    if padding is not None and on_input:
        values[padding.mask] = 0
    elif padding is not None:
        padding.give_back(values, target.source, target.output)
    values = Units(0.0, solved.plan.units.unit).invert(values)
    if on_input:
        return solved.volume.replace(array=values, geometry=target.source, warnings=()).evened(missing=0.0)
    return solved.volume.replace(array=values, geometry=target.output, places=(), warnings=())
