"""What happens to the numbers: physical bounds, the limits of float32, of voxel types and of JSON."""

import json
from functools import cache

import numpy as np
import pytest
from scipy import ndimage as ndi

from medsr.errors import InputError, InvalidValueError
from medsr.inference.pipeline import super_resolve
from medsr.jobs import Progress, WarningEvent
from medsr.jsontext import finite
from medsr.normalisation import Units
from medsr.options import UpscaleOptions
from medsr.physics.sampling import Acquisition
from medsr.resources import size_text
from medsr.volume import Volume

SMALL = (16, 28, 28)


def blocks(low, high, shape=(16, 40, 40)):
    """Sharp blocks, measured at half the resolution."""
    fine = np.full(shape, float(low))
    fine[4:-4, 8:-8, 8:-8] = high
    fine[6:10, 14:18, 14:18] = low
    return Acquisition.from_factors(shape, (2, 2, 2)).forward(fine)


def enlarged(array, modality=None, **options):
    options = {"scale": 2, "model": "tikhonov", "profile": "gaussian", **options}
    events = []
    volume = Volume.from_array(array).replace(modality=modality)
    result = super_resolve(volume, UpscaleOptions(**options), Progress(events.append))
    return result, [event.message for event in events if isinstance(event, WarningEvent)]


def decisions(result, kind):
    return [each for each in result.report["decisions"] if each["kind"] == kind]


# -- bounds


def test_nothing_is_less_dense_than_air():
    array = blocks(-1000, 1200).astype(np.float32)
    rings = enlarged(array, "CT", model="bspline")[0]
    # Interpolation is what its name says.
    assert rings.volume.array.min() < -1050 and not decisions(rings, "bounded")
    result, _ = enlarged(array, "CT")
    assert result.volume.array.min() == pytest.approx(-1000, abs=0.01)
    (told,) = decisions(result, "bounded")
    assert 0 < told["values"]["percent"] < 50 and told["values"]["worst"] > 50
    assert "nothing is less dense than air" in told["text"]
    # Of soft tissue alone, too.
    inside = enlarged(blocks(-100, 1200).astype(np.float32), "CT")[0]
    assert -1000 < inside.volume.array.min() < -150 and not decisions(inside, "bounded")


def test_a_network_is_bounded_after_its_agreement_with_the_data():
    pytest.importorskip("torch")
    measured = blocks(-1000, 1200, SMALL)
    result, _ = enlarged(measured.astype(np.float32), "CT", model="ct-3d", device="cpu")
    assert result.volume.array.min() >= -1000.01
    assert decisions(result, "bounded")
    # The residual is that of the bounded result.
    error = Acquisition.from_factors(SMALL, (2, 2, 2)).forward(result.volume.array.astype(float)) - measured
    expected = 100 * np.linalg.norm(error) / np.linalg.norm(measured)
    assert result.report["consistency"]["residual_percent"] == pytest.approx(expected, rel=0.02)


def test_the_noise_of_the_air_keeps_its_mean_and_its_spread():
    air = np.random.default_rng(0).normal(-1000, 20, (24, 40, 40)).astype(np.float32)
    free = Acquisition.from_factors((48, 80, 80), (2, 2, 2)).tikhonov(air, 0.01)
    bounded = enlarged(air, "CT")[0].volume.array
    assert bounded.min() == pytest.approx(air.min())
    # The deconvolution amplifies white noise; of real noise, which is smoother, less is cut off.
    assert abs(float(bounded.mean()) - float(free.mean())) < 0.02 * 20
    assert float(bounded.std()) == pytest.approx(float(free.std()), rel=0.02)


def test_magnitudes_do_not_become_negative():
    result, _ = enlarged(blocks(0, 900).astype(np.float32), "MR")
    assert result.volume.array.min() == 0
    assert "magnitudes are not negative" in decisions(result, "bounded")[0]["text"]
    signed, _ = enlarged(blocks(-300, 900).astype(np.float32), "MR")
    assert signed.volume.array.min() == pytest.approx(-300, abs=0.01)
    assert "nothing darker" in decisions(signed, "bounded")[0]["text"]


# -- float32


def texture(shape=(10, 24, 24)):
    smooth = ndi.gaussian_filter(np.random.default_rng(1).random(shape), 1.5)
    # Brighter than its ringing is deep: nothing is bounded.
    return 500 + 1500 * (smooth - smooth.min()) / np.ptp(smooth)


@pytest.mark.parametrize(
    ("offset", "unit"), [(2e9, 1.0), (-2e9, 1.0), (0.0, 1e36), (0.0, 1e-36), (5e200, 1e190), (0.0, 1e304)]
)
def test_a_signal_on_an_offset_or_of_any_size_is_enlarged_as_it_would_be_without(offset, unit):
    plain = enlarged(texture(), "MR")[0]
    # Of an input with negative values, its darkest is the bound.
    expected = np.maximum(plain.volume.array, 500) if offset < 0 else plain.volume.array
    result, _ = enlarged(offset + unit * texture(), "MR")
    assert result.volume.array.dtype == np.float64
    np.testing.assert_allclose((result.volume.array - offset) / unit, expected, atol=0.1)
    assert result.report["consistency"]["residual_percent"] > 0
    assert decisions(result, "intensities") and not decisions(plain, "intensities")
    json.dumps(result.report, allow_nan=False)


def test_whole_numbers_on_an_offset_are_resolved():
    array = (2_000_000_000 + texture()).astype(np.int32)
    result, _ = enlarged(array, "MR")
    plain, _ = enlarged((array - 2_000_000_000).astype(np.int32), "MR")
    assert np.abs(result.volume.array.astype(np.int64) - 2_000_000_000 - plain.volume.array).max() <= 1


def test_ordinary_images_are_worked_on_as_they_are():
    for array in (texture(), texture() - 1000, 1e-6 * texture(), 1e5 + texture(), texture().astype(np.int16)):
        assert Units.of(array, "MR").are_plain
    floats = texture().astype(np.float32)
    assert Units().apply(floats) is floats and Units().invert(floats) is floats


def test_what_no_scale_helps_is_refused():
    with pytest.raises(InputError, match="wider than numbers of 64 bits"):
        enlarged((texture() - 1250) / 750 * 1.7e308, "MR")
    with pytest.raises(InputError, match=r"no Hounsfield units.*--modality MR"):
        enlarged(2e9 + texture(), "CT")
    with pytest.raises(InvalidValueError, match=r"reach 2e\+39.*--dtype float64"):
        enlarged(1e36 * texture(), "MR", dtype="float32")
    assert np.isfinite(enlarged(1e34 * texture(), "MR", dtype="float32")[0].volume.array).all()


def test_the_maps_are_in_the_units_of_the_image():
    array = 1e36 * texture()
    options = UpscaleOptions(scale=2, model="tikhonov", profile="gaussian")
    result = super_resolve(Volume.from_array(array), options, maps=("difference", "residual"))
    linear = super_resolve(Volume.from_array(array), UpscaleOptions(scale=2, model="linear"))
    found = result.maps["difference"].array
    np.testing.assert_allclose(found, result.volume.array - linear.volume.array, atol=1e33)
    residual = result.maps["residual"].array
    assert result.report["consistency"]["bias"] == pytest.approx(residual.mean(), rel=1e-3)


def test_json_knows_no_nan():
    data = {"a": float("nan"), "b": [1, float("inf"), {"c": 2.5}], "d": "nan", "e": (None, True)}
    assert finite(data) == {"a": None, "b": [1, None, {"c": 2.5}], "d": "nan", "e": [None, True]}


# -- voxel types


def test_what_a_voxel_type_cannot_hold_is_told():
    array = texture().astype(np.int16)
    result, warnings = enlarged(array, "MR", dtype="uint8")
    assert result.volume.array.dtype == np.uint8
    lost = int(np.count_nonzero(enlarged(array, "MR", dtype="float32")[0].volume.array > 255.5))
    assert lost > 10_000
    assert [text for text in warnings if text.startswith(f"{lost} voxels")] and "Choose int16 to keep" in warnings[0]
    assert result.report["warnings"][-1]["kind"] == "voxels.clipped"
    for dtype in ("same", "uint16", "int32", "float32"):
        assert not enlarged(array, "MR", dtype=dtype)[1]


def test_ringing_beyond_the_type_of_the_input_is_told_as_bounded():
    array = np.rint(0.9 * blocks(0, 255) + 25 * np.random.default_rng(0).random((8, 20, 20))).astype(np.uint8)
    result, warnings = enlarged(array, "MR")
    assert not warnings
    (told,) = decisions(result, "voxels.same")
    assert told["values"]["dtype"] == "uint8" and told["values"]["worst"] > 5
    assert not decisions(enlarged((array // 2).astype(np.uint8), "MR")[0], "voxels.same")


def test_rounding_a_small_range_away_is_told():
    _, warnings = enlarged((texture() / 2000).astype(np.float32), "MR", dtype="int16")
    assert warnings and "rounded away" in warnings[0] and "float32" in warnings[0]
    assert not enlarged(texture().astype(np.float32), "MR", dtype="int16")[1]
    _, warnings = enlarged(2e9 + texture(), "MR", dtype="float32")
    assert warnings and "steps of 128" in warnings[0]


def test_the_largest_whole_numbers_do_not_turn_negative():
    array = np.where(blocks(0, 1) > 0.5, np.iinfo(np.int64).max, np.arange(1600).reshape(8, 20, 10).repeat(2, 2))
    result, _ = enlarged(array, "MR", not_labels=True)
    assert result.volume.array.min() >= 0


# -- label maps


@cache
def nearest_of(count, shape=(20, 48, 48)):
    """A map of regions."""
    points = np.random.default_rng(3).random((count, 3)) * shape
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1)
    return np.linalg.norm(grid[..., None, :] - points, axis=-1).argmin(-1)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64", "float32", "float64"])
@pytest.mark.parametrize("count", [4, 61])
def test_label_maps_of_any_type_are_refused(dtype, count):
    labels = nearest_of(count).astype(dtype)
    with pytest.raises(InputError, match=r"looks like a segmentation.*--not-labels.*medsr augment"):
        enlarged(labels)
    assert enlarged(labels, not_labels=True, model="linear")[0].volume.array.shape == (40, 96, 96)


def test_labels_with_gaps_in_their_numbers_are_refused():
    numbers = np.array([-1, 0, 2, 3, 4, 41, 42, 1035, *range(2000, 2060)])
    with pytest.raises(InputError, match="segmentation"):
        enlarged(numbers[nearest_of(len(numbers))].astype(np.float32))


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_images_of_whole_numbers_are_no_label_maps(dtype):
    phantom = np.array([-1000, -100, 0, 40, 700])[nearest_of(5)]
    rng = np.random.default_rng(0)
    smooth = ndi.gaussian_filter(rng.random((16, 48, 48)), 3)
    grey = (smooth - smooth.min()) / np.ptp(smooth)
    pictures = {
        "a CT phantom": phantom,
        "8 bits": np.rint(255 * grey),
        "8 bits with noise": np.clip(np.rint(200 * grey + rng.normal(0, 8, grey.shape)), 0, 255),
        "a few smooth levels": np.rint(40 * grey),
        "twice the pixels": np.rint(255 * ndi.gaussian_filter(rng.random((8, 24, 24)), 0.7)).repeat(2, 1).repeat(2, 2),
    }
    for name, picture in pictures.items():
        assert not Volume.from_array(picture.astype(dtype)).looks_like_labels, name


# -- sizes in words


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (999, "999 bytes"), (1234, "1.23 kB"), (999_800, "1 MB"), (2.5e9, "2.5 GB"), (3e12, "3 TB")],
)
def test_sizes_read_well(count, text):
    assert size_text(count) == text
