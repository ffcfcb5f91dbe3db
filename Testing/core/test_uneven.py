"""Slices that lie unevenly or are missing: each is taken where it was measured, and gaps are told."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from medsr.errors import InputError, InvalidValueError, ModelError
from medsr.facts import Fact, Facts
from medsr.geometry import Geometry
from medsr.inference.pipeline import super_resolve
from medsr.inference.planner import make_plan
from medsr.io import read_volume, write_volume
from medsr.options import UpscaleOptions
from medsr.physics.profiles import Profile
from medsr.physics.sampling import Acquisition, AxisSampling
from medsr.volume import Volume

HEIGHTS = (0.0, 1.0, 2.0, 4.0, 5.0, 6.5, 7.0, 8.0, 9.0, 10.0, 11.0)
"""In steps of 4 mm: a slice is missing, and another lies half a step too far."""


# ---------------------------------------------------------------- the operator


def test_samples_with_centres_see_what_lies_there():
    even = AxisSampling(24, 8, 3.0, Profile("box"))
    same = AxisSampling(24, 8, 3.0, Profile("box"), centres=tuple(1.0 + 3 * n for n in range(8)))
    assert np.array_equal(same.matrix, even.matrix)
    uneven = AxisSampling(24, 3, 3.0, Profile("box"), centres=(1.0, 10.0, 14.5))
    assert np.flatnonzero(uneven.matrix[1]).tolist() == [9, 10, 11]
    assert uneven.matrix[2] @ np.arange(24) == pytest.approx(14.5)
    assert np.array_equal(uneven.rows(np.array([2])), uneven.matrix[2:])


def test_samples_and_centres_must_be_as_many():
    with pytest.raises(InvalidValueError, match="3 samples need as many finite centres, got 2"):
        AxisSampling(24, 3, 3.0, centres=(1.0, 4.0))
    assert not AxisSampling(3, 3, 1.0, Profile("box"), centres=(0.0, 1.0, 2.0)).is_identity


def test_the_deconvolution_meets_uneven_samples_where_they_lie():
    axis = AxisSampling(48, 10, 4.0, Profile("gaussian"), centres=tuple(1.5 + 4 * h for h in HEIGHTS[:10]))
    wave = np.cos(np.arange(48) / 9)
    found = axis.pseudo_inverse(1e-4) @ (axis.matrix @ wave)
    # Also where a slice is missing (fine voxels 10 to 16), a wave that is longer than the gap is found again.
    assert np.abs(found - wave)[2:40].max() < 0.05
    evenly = AxisSampling(48, 10, 4.0, Profile("gaussian"), 1.5)
    assert np.abs(evenly.pseudo_inverse(1e-4) @ (axis.matrix @ wave) - wave)[2:40].max() > 0.3


# ---------------------------------------------------------------- a volume of such slices


def _truth(height_mm: np.ndarray) -> np.ndarray:
    return 500 + 200 * np.cos(height_mm / 7.0)


def _volume(heights: tuple[float, ...] = HEIGHTS, modality: str = "MR") -> Volume:
    """Slices of 4 mm with a pattern in their plane, whose mean tells how high a slice lies."""
    grid = Geometry((20, 16, round(max(heights)) + 1), (1.0, 1.0, 4.0))
    y, x = np.mgrid[:16, :20]
    array = _truth(4 * np.array(heights))[:, None, None] + 40 * np.cos(x / 3)[None] * np.cos(y / 2)[None]
    facts = Facts((Fact("thickness_mm", 4.0, "header", "z"),))
    return Volume(array.astype(np.float32), grid, modality=modality, facts=facts, places=heights)


@pytest.mark.parametrize("model", ["tikhonov", "linear", "bspline"])
def test_each_slice_is_taken_where_it_was_measured(model):
    result = super_resolve(_volume(), UpscaleOptions(scale=(1, 1, 4), model=model))
    assert result.volume.geometry.size_xyz == (20, 16, 48) and result.volume.places == ()
    heights = result.volume.geometry.to_patient(np.stack([np.zeros(48), np.zeros(48), np.arange(48)], axis=1))[:, 2]
    off = np.abs(result.volume.array.mean(axis=(1, 2)) - _truth(heights) - 40 * _pattern_mean())
    measured = (np.abs(heights[:, None] / 4 - np.array(HEIGHTS)).min(axis=1) < 0.6)[2:-2]
    assert off[2:-2][measured].max() < 25
    # Taken for even slices, those beyond the gap lie 4 mm too low: 110 off.
    assert off[2:-2].max() < 60


def _pattern_mean() -> float:
    y, x = np.mgrid[:16, :20]
    return float((np.cos(x / 3) * np.cos(y / 2)).mean())


def test_the_report_counts_what_was_measured():
    whole = super_resolve(_volume(tuple(range(12))), UpscaleOptions(scale=(1, 1, 4), model="tikhonov")).report
    report = super_resolve(_volume(), UpscaleOptions(scale=(1, 1, 4), model="tikhonov")).report
    assert whole["undetermined"]["values"] == 0.75
    assert report["undetermined"]["values"] == pytest.approx(1 - 0.25 * 11 / 12, abs=1e-4)
    assert report["consistency"]["residual_percent"] < 0.5


def test_maps_lie_on_whole_grids_and_show_the_gap():
    maps = super_resolve(
        _volume(), UpscaleOptions(scale=(1, 1, 4), model="tikhonov"), maps=("difference", "residual", "error")
    ).maps
    assert maps["difference"].array.shape == (48, 16, 20)
    assert maps["residual"].array.shape == (12, 16, 20)
    # Plane 3 is missing: there is nothing to compare.
    assert not maps["residual"].array[3].any() and maps["residual"].array[4].any()
    widths = maps["error"].array.mean(axis=(1, 2))
    assert widths[13:15].mean() > 2 * widths[17:31:4].mean()


def test_the_error_map_holds_the_truth_where_a_slice_is_missing():
    texture = ndi.gaussian_filter(np.random.default_rng(1).standard_normal((72, 40, 40)), 2.0)
    truth = (1000 + 200 * texture / texture.std()).astype(np.float32)
    slices = Acquisition.from_factors(truth.shape, (3, 1, 1)).forward(truth)
    kept = [n for n in range(24) if n != 11]
    grid = Geometry((40, 40, 24), (1.0, 1.0, 3.0))
    volume = Volume(slices[kept], grid, modality="MR", places=tuple(map(float, kept)))
    options = UpscaleOptions(scale=(1, 1, 3), model="tikhonov", slice_thickness=3.0)
    result = super_resolve(volume, options, maps=("error",))
    errors, widths = np.abs(result.volume.array - truth), result.maps["error"].array
    gap = slice(33, 36)
    assert errors[gap].mean() > 3 * errors[36:].mean()  # nobody knows what was there
    assert (errors[gap] <= widths[gap]).mean() > 0.9
    assert any("widened between slices" in one["text"] for one in result.report["warnings"])


def test_padding_is_given_back_beside_the_slices_that_held_it():
    volume = _volume(modality="CT")
    array = volume.array.copy()
    array[:, :4, :4] = -2000.0
    array[3:, :, 12:] = -2000.0  # from the slice above the gap on
    out = super_resolve(volume.replace(array=array), UpscaleOptions(scale=(1, 1, 4), model="tikhonov")).volume.array
    assert (out[:, :4, :4] == -2000).all()
    assert (out[16:, :, 12:] == -2000).all() and not (out[:8, 5:, 12:] == -2000).any()


def test_networks_of_a_fixed_factor_want_even_slices():
    with pytest.raises(ModelError, match="evenly spaced"):
        make_plan(_volume(), UpscaleOptions(model="rrdb"))
    assert make_plan(_volume(), UpscaleOptions(model="tikhonov", scale=2)).acquisition.axes[0].centres is not None


def test_uneven_slices_cannot_be_written():
    with pytest.raises(InvalidValueError, match="uneven"):
        write_volume(_volume(), "never.nii.gz")


# ---------------------------------------------------------------- reading


def test_a_series_with_a_gap_is_read_as_acquired_and_told(tmp_path, io_dicom):
    io_dicom(tmp_path / "s", 6, heights=(0, 3, 6, 12, 15, 18))
    volume = read_volume(tmp_path / "s", as_acquired=True)
    assert volume.array.shape[0] == 6 and volume.geometry.size_xyz[2] == 7
    assert volume.places == (0, 1, 2, 4, 5, 6)
    assert volume.geometry.spacing_xyz_mm[2] == pytest.approx(3.0)
    assert "6 mm between slices 3 and 4" in volume.warnings[0] and "1 slice(s) seem" in volume.warnings[0]
    with pytest.raises(InputError, match=r"unevenly.*medsr upscale"):
        read_volume(tmp_path / "s")


def test_uneven_slices_keep_their_places(tmp_path, io_dicom):
    io_dicom(tmp_path / "s", 6, heights=(0, 3, 6, 10.2, 13.2, 16.2))
    volume = read_volume(tmp_path / "s", as_acquired=True)
    assert volume.places == pytest.approx((0, 1, 2, 3.4, 4.4, 5.4))
    assert volume.geometry.size_xyz[2] == 7  # the sixth slice reaches beyond the plane at 5
    even = io_dicom(tmp_path / "even", 6)
    assert even and read_volume(tmp_path / "even", as_acquired=True).places == ()


def test_more_gaps_than_slices_are_refused(tmp_path, io_dicom):
    io_dicom(tmp_path / "s", 6, heights=(0, 3, 6, 9, 40, 43))
    with pytest.raises(InputError, match="more are missing than there are"):
        read_volume(tmp_path / "s", as_acquired=True)


def test_a_tilted_series_may_lack_a_slice(tmp_path, io_dicom):
    paths = io_dicom(tmp_path / "s", 7, modality="CT", tilt=(0, 0, 0), step=(0, 1, 5))
    paths[3].unlink()
    volume = read_volume(tmp_path / "s", as_acquired=True)
    assert volume.places == (0, 1, 2, 4, 5, 6) and volume.geometry.shear is not None
    assert np.allclose(volume.geometry.to_patient((0, 0, 6)), (-10, 26, 60))
