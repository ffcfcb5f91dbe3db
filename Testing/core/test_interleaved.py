"""Motion between the two passes of an interleaved acquisition is told, and nothing else is taken for it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from medsr.facts import Fact, Facts
from medsr.geometry import Geometry
from medsr.inference.planner import make_plan
from medsr.options import UpscaleOptions
from medsr.planning.interleaving import MOVED, looks_interleaved
from medsr.volume import Volume


def _stack(*, moved_mm: float = 0.0, noise: float = 0.0, brighter: float = 1.0, count: int = 15) -> Volume:
    """Slices of 3 mm through rough tissue; of every second one, the patient lay elsewhere."""
    rng = np.random.default_rng(5)
    fine = ndi.gaussian_filter(rng.standard_normal((count * 3, 64, 64)), (7.0, 3.0, 3.0))
    fine = 400 + 120 * fine / fine.std()
    slices = fine.reshape(count, 3, 64, 64).mean(axis=1)
    slices[1::2] = [ndi.shift(one, (0, moved_mm), order=1, mode="nearest") * brighter for one in slices[1::2]]
    slices += noise * 400 * rng.standard_normal(slices.shape)
    return Volume(slices.astype(np.float32), Geometry((64, 64, count), (1.0, 1.0, 3.0)), modality="MR")


def _told(volume: Volume) -> list[str]:
    plan = make_plan(volume, UpscaleOptions(model="tikhonov"))
    return [str(one) for one in plan.warnings if one.kind == "interleaved"]


@pytest.mark.parametrize("changes", [{"moved_mm": 4.0}, {"moved_mm": -4.0, "noise": 0.03}, {"brighter": 1.3}])
def test_motion_between_two_passes_is_told(changes):
    (told,) = _told(_stack(**changes))
    assert "Every second slice along z" in told and "(0.5 is usual)" in told


@pytest.mark.parametrize("changes", [{}, {"noise": 0.05}, {"moved_mm": 0.5}, {"moved_mm": 4.0, "count": 8}])
def test_still_noisy_and_few_slices_are_passed_over(changes):
    assert _told(_stack(**changes)) == []


def test_slices_that_have_nothing_in_common_tell_nothing():
    noise = np.random.default_rng(0).standard_normal((15, 64, 64)).astype(np.float32)
    assert looks_interleaved(_stack().replace(array=noise), "z", None) is None
    assert looks_interleaved(_stack(moved_mm=4.0), "z", None) > MOVED


def test_partitions_and_thin_slices_have_no_passes():
    moved = _stack(moved_mm=4.0)
    partitions = Facts((Fact("encoding", "partition", "header", "z"),))
    assert _told(moved.replace(facts=partitions)) == []
    assert _told(moved.replace(geometry=Geometry((64, 64, 15), (1.0, 1.0, 1.0)))) == []
    assert _told(moved)
