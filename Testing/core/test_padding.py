"""Voxels that show nothing: found, kept out of the work, and given back."""

import numpy as np
import pytest
from scipy import ndimage as ndi

from medsr.evaluation.run import evaluate
from medsr.facts import Fact, Facts
from medsr.geometry import Geometry
from medsr.inference.pipeline import super_resolve
from medsr.inference.planner import make_plan
from medsr.io import read_volume
from medsr.options import UpscaleOptions
from medsr.physics.noise import add_rician_noise
from medsr.physics.sampling import Acquisition
from medsr.planning.noise import noise_level
from medsr.planning.padding import find_padding
from medsr.volume import Volume

FINE, FACTORS = (32, 96, 96), (2, 2, 2)
TIKHONOV = UpscaleOptions(scale=2, model="tikhonov", dtype="float32", profile="gaussian")


def body():
    """Fine CT of soft tissue with a little texture, which goes on beyond every field of view."""
    texture = ndi.gaussian_filter(np.random.default_rng(0).standard_normal(FINE), 1)
    return (40 + 200 * texture).astype(np.float32)


def outside_circle(shape, share=0.4):
    _, y, x = shape
    far = np.hypot(*np.meshgrid(np.arange(y) - (y - 1) / 2, np.arange(x) - (x - 1) / 2, indexing="ij")) > share * y
    return np.broadcast_to(far, shape)


def as_ct(array, *facts):
    grid = Geometry(array.shape[::-1], (1.0, 1.0, 1.0))
    return Volume(array, grid, modality="CT", facts=Facts(facts))


@pytest.fixture(scope="module")
def measured():
    return Acquisition.from_factors(FINE, FACTORS).forward(body())


@pytest.mark.parametrize("value", [-1500, -2000, -3024, -32768])
def test_padding_does_not_ring_into_tissue_and_comes_back_exactly(measured, value):
    outside = outside_circle(measured.shape)
    padded = np.where(outside, value, np.rint(measured)).astype(np.int16)
    whole = super_resolve(as_ct(np.rint(measured).astype(np.int16)), TIKHONOV).volume.array
    result = super_resolve(as_ct(padded), TIKHONOV)
    fine = result.volume.array
    inside = ~np.kron(outside, np.ones(FACTORS, bool))
    np.testing.assert_array_equal(fine[~inside], value)
    edge = inside & (ndi.distance_transform_edt(inside) < 3)
    # As good beside the edge as without one; left in, the step costs hundreds of HU.
    error, least = (np.sqrt(np.mean(np.square(image - body())[edge])) for image in (fine, whole))
    assert error < 1.3 * least
    assert whole.min() - 40 < fine[inside].min() and fine[inside].max() < whole.max() + 40
    assert result.report["consistency"]["residual_percent"] < 4
    assert 0 < result.report["undetermined"]["energy"] < 0.1
    told = [each for each in result.report["decisions"] if each["kind"] == "padding"]
    assert len(told) == 1 and told[0]["values"]["value"] == value
    assert told[0]["values"]["percent"] == pytest.approx(100 * outside.mean())


def test_a_network_does_not_see_padding(measured):
    pytest.importorskip("torch")
    measured = measured[:8, 8:40, 8:40]
    outside = outside_circle(measured.shape)
    options = UpscaleOptions(scale=(2, 2, 1), device="cpu", profile="gaussian")
    padded = np.where(outside, -3024, np.rint(measured)).astype(np.int16)
    result = super_resolve(as_ct(padded), options, maps=("difference", "residual"))
    assert result.report["model"] == "ct-3d"
    fine, inside = result.volume.array, ~np.kron(outside, np.ones((1, 2, 2), bool))
    assert np.all(fine[~inside] == -3024)
    assert fine[inside].min() > -150 and fine[inside].max() < 250
    assert np.all(result.maps["difference"].array[~inside] == 0)
    assert np.abs(result.maps["difference"].array).max() < 150
    assert np.all(result.maps["residual"].array[outside] == 0)


def test_where_padding_lies_on_another_grid_is_decided_by_the_centres_of_voxels(measured):
    outside = outside_circle(measured.shape)
    volume = as_ct(np.where(outside, -2000, measured).astype(np.float32))
    turned = np.array([[np.cos(0.3), -np.sin(0.3), 0], [np.sin(0.3), np.cos(0.3), 0], [0, 0, 1]])
    origin = volume.geometry.to_patient((24, 24, 4)) - turned @ (20, 20, 0)
    reference = Geometry((50, 50, 12), (0.8, 0.8, 0.7), tuple(origin), tuple(turned.ravel()))
    options = UpscaleOptions(reference="x", model="tikhonov", profile="gaussian")
    fine = super_resolve(volume, options, reference=reference).volume.array
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in reference.size_xyz], indexing="ij"), -1)
    index = np.rint(volume.geometry.to_index(reference.to_patient(grid))).astype(int).transpose(2, 1, 0, 3)
    expected = outside[tuple(np.clip(index[..., 2 - axis], 0, outside.shape[axis] - 1) for axis in range(3))]
    # Beyond the input nothing was measured either.
    expected = expected | (index < 0).any(-1) | (index >= volume.geometry.size_xyz).any(-1)
    assert 0.1 < expected.mean() < 0.9
    np.testing.assert_array_equal(fine == -2000, expected)


def test_the_padding_of_the_header_is_believed(measured):
    # -1024 may be air; only the header tells that here it is none.
    padded = np.where(outside_circle(measured.shape), -1024, measured).astype(np.float32)
    assert find_padding(as_ct(padded), "CT") is None
    found = find_padding(as_ct(padded, Fact("padding", -1024.0, "header")), "CT")
    np.testing.assert_array_equal(found.mask, outside_circle(measured.shape))
    assert "from the header" in str(found.notice())
    ranged = as_ct(padded, Fact("padding", -1030.0, "header"), Fact("padding_limit", -1000.0, "header"))
    np.testing.assert_array_equal(find_padding(ranged, "CT").mask, found.mask)
    # Stated, but nowhere to be found, or everywhere.
    assert find_padding(as_ct(padded, Fact("padding", -2000.0, "header")), "CT") is None
    everything = as_ct(padded, Fact("padding", -3000.0, "header"), Fact("padding_limit", 3000.0, "header"))
    assert find_padding(everything, "CT") is None


def test_air_noise_and_single_dark_voxels_are_no_padding(measured):
    rng = np.random.default_rng(0)
    air = np.where(outside_circle(measured.shape), -1000, measured) + rng.normal(0, 60, measured.shape)
    assert air.min() < -1150
    assert find_padding(as_ct(np.rint(air).astype(np.int16)), "CT") is None
    assert find_padding(as_ct(air.astype(np.float32)), "CT") is None
    scattered = np.where(rng.random(measured.shape) < 0.02, -1500, measured).astype(np.float32)
    assert find_padding(as_ct(scattered), "CT") is None
    # Stated, a value that others come near to counts where it fills a region.
    clipped = np.maximum(air, -1024)
    clipped[:, :4] = -1024
    found = find_padding(as_ct(clipped, Fact("padding", -1024.0, "header")), "CT")
    assert found.mask[:, :4].all()
    assert found.mask[:, 6:].mean() < 0.02 < (clipped[:, 6:] == -1024).mean()


def test_two_paddings_and_what_a_resampling_mixed_with_them(measured):
    outside = outside_circle(measured.shape)
    padded = np.where(outside, -3024, measured).astype(np.float32)
    padded[:3] = -32768
    rim = outside ^ ndi.binary_erosion(outside, np.ones((1, 3, 3)), border_value=1)
    blurred = np.where(rim, -1700 - measured, padded).astype(np.float32)
    found = find_padding(as_ct(blurred), "CT")
    expected = outside.copy()
    expected[:3] = True
    np.testing.assert_array_equal(found.mask, expected)


def head(level=0.02):
    z, y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in (20, 60, 60)], indexing="ij")
    tissue = np.where(x**2 + y**2 + z**2 < 0.6, 600 + 200 * np.sin(9 * x) * np.cos(7 * y), 0.0)
    return add_rician_noise(tissue, level, np.random.default_rng(0)).astype(np.float32)


def test_the_dark_background_of_mr_is_padding_only_where_the_header_says_so():
    blank = head()
    blank[:, :12] = 0
    volume = Volume.from_array(blank).replace(modality="MR")
    assert make_plan(volume, TIKHONOV).padding is None
    stated = volume.replace(facts=Facts((Fact("padding", 0.0, "header"),)))
    plan = make_plan(stated, TIKHONOV)
    assert plan.padding.mask[:, :12].all() and not plan.padding.mask[:, 12:].any()
    # Of the blanked part nothing is learned: the noise is that of the rest.
    assert plan.noise == pytest.approx(noise_level(head())[0], rel=0.1)
    fine = super_resolve(stated, TIKHONOV).volume.array
    assert np.all(fine[:, :24] == 0)


@pytest.mark.parametrize("value", [-1, -32768, float(np.finfo(np.float32).min)])
def test_one_negative_intensity_is_no_magnitude(value):
    image = head()
    image[:, :12] = value
    volume = Volume.from_array(image).replace(modality="MR")
    plan = make_plan(volume, TIKHONOV)
    assert plan.padding.mask[:, :12].all() and not plan.padding.mask[:, 12:].any()
    assert plan.noise == pytest.approx(noise_level(head())[0], rel=0.1)
    result = super_resolve(volume, TIKHONOV)
    assert np.all(result.volume.array[:, :24] == value) and result.volume.array[:, 24:].min() >= 0
    # Among other negative values it is one of them.
    assert find_padding(volume.replace(array=image - head().mean()), "MR") is None


def test_noise_is_not_read_from_filled_voxels():
    noisy = head()
    padding = np.zeros(noisy.shape, bool)
    padding[:, :, :24] = True
    filled = noisy.copy()
    filled[padding] = noisy.max()
    assert noise_level(filled) is None or noise_level(filled)[0] < 0.015
    assert noise_level(filled, padding)[0] == pytest.approx(noise_level(noisy)[0], rel=0.1)


def test_padding_survives_every_voxel_type(measured):
    padded = np.where(outside_circle(measured.shape), -2147483647, np.rint(measured).astype(np.int32))
    for dtype, value in (("same", -2147483647), ("float64", -2147483647), ("int16", -32768)):
        options = UpscaleOptions(scale=2, model="tikhonov", dtype=dtype)
        result = super_resolve(as_ct(padded), options)
        assert result.volume.array.min() == value
        assert not result.report["warnings"]


def test_an_evaluation_does_not_judge_by_padding():
    fine = np.rint(body())
    outside = outside_circle(fine.shape)
    padded = as_ct(np.where(outside, -3024, fine).astype(np.int16))
    looks = []
    evaluate({"padded": padded}, ["tikhonov"], ["z4"], watch=looks.append)
    (trial,) = looks
    assert trial.reference.array.min() > -500 and trial.measured.array.min() > -500
    (row,) = trial.rows
    (plain,) = evaluate({"whole": as_ct(fine.astype(np.int16))}, ["tikhonov"], ["z4"]).rows
    assert row.psnr == pytest.approx(plain.psnr, abs=3)


def test_the_padding_of_a_dicom_series_is_told_and_kept(tmp_path, io_dicom):
    pytest.importorskip("pydicom")
    noise = np.random.default_rng(0).normal(1064, 30, (10, 20, 24))

    def pad(dataset, number):
        stored = np.rint(noise[number]).astype(np.int16)
        stored[:, :6] = -2000
        dataset.PixelRepresentation, dataset.PixelData = 1, stored.tobytes()
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
        dataset.add_new(0x00280120, "SS", -2000)

    io_dicom(tmp_path / "ct", 10, modality="CT", size_xy=(24, 20), tilt=(0, 0, 0), edit=pad)
    volume = read_volume(tmp_path / "ct")
    assert volume.array.min() == -3024
    result = super_resolve(volume, TIKHONOV)
    (told,) = [each["text"] for each in result.report["decisions"] if each["kind"] == "padding"]
    assert "25 % of the voxels show nothing and hold -3024 (from the header)" in told
    fine = result.volume.array
    assert np.all(fine[:, :, :12] == -3024) and fine[:, :, 12:].min() > -400 and fine[:, :, 12:].max() < 500
