"""From the work grid onto the output grid: a part of the same lattice is taken as it is."""

import numpy as np
import pytest

from medsr.geometry import Geometry
from medsr.inference import regridding
from medsr.notices import notice
from medsr.planning.target import Target

GRID = Geometry((12, 10, 8), (1.0, 1.5, 2.0), (-3.0, 4.0, 5.0), (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0))


MOVED = Geometry((4, 4, 4), GRID.spacing_xyz_mm, tuple(GRID.to_patient((2.3, 1, 1)).tolist()), GRID.direction)


def brought(work, output):
    return regridding.to_output_grid(work, Target(GRID, GRID, output, notice("target.reference", grid="a grid")), 0.0)


def test_a_part_of_the_lattice_is_cut_out(monkeypatch):
    work = np.random.default_rng(0).random(GRID.shape_zyx).astype(np.float32)
    output = GRID.cropped((2, 1, 3), (9, 8, 5))
    slow = regridding.interpolate(work, GRID, output, "bspline")
    monkeypatch.setattr(regridding, "interpolate", None)
    fast = brought(work, output)
    assert np.array_equal(fast, work[3:8, 1:9, 2:11])
    np.testing.assert_allclose(fast, slow, atol=1e-5)


@pytest.mark.parametrize(
    "output",
    [
        GRID.cropped((-1, 0, 0), (12, 10, 8)),
        MOVED,
        GRID.with_grid((0.5, 1.5, 2), (24, 10, 8)),
    ],
)
def test_what_lies_beyond_or_between_is_interpolated(output):
    work = np.ones(GRID.shape_zyx, np.float32)
    found = brought(work, output)
    assert found.shape == output.shape_zyx and found.max() == pytest.approx(1, abs=1e-5)
    assert (found[:, :, 0] == 0).all() == (output.size_xyz[0] == 12)
