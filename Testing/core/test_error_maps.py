"""Error maps: half-widths on the grid and in the units of the result, calibrated, or refused before the work."""

import dataclasses
import json

import numpy as np
import pytest
from scipy import ndimage

from medsr import catalog
from medsr.catalog import load_catalog
from medsr.errors import InvalidValueError, ModelError
from medsr.evaluation.calibrating import Sample, calibrated, samples, unstretched
from medsr.geometry import Geometry
from medsr.inference import error_scale
from medsr.inference.calibration import BEYOND, Calibration, Group, calibration_for, scale_digest, scale_path
from medsr.inference.error_map import _pooled
from medsr.inference.error_scale import ErrorScale
from medsr.inference.pipeline import super_resolve
from medsr.inference.planner import make_plan
from medsr.jobs import Progress
from medsr.maps import MAPS, maps_help
from medsr.options import UpscaleOptions
from medsr.volume import Volume


def a_volume(size=(24, 22, 12), spacing=(1.0, 1.0, 2.0), seed=0, modality="MR", gain=100.0):
    rng = np.random.default_rng(seed)
    array = ndimage.gaussian_filter(rng.random(size[::-1]), 1.5) - 0.3
    array = np.clip(array / array.max(), 0, None) * gain
    return Volume(array.astype(np.float32), Geometry(size, spacing, (-31.0, 12.0, 55.0)), modality=modality)


def told(model="tikhonov", **more):
    return UpscaleOptions(model=model, profile="gaussian:1,gaussian:1,gaussian:2", **more)


def a_calibration(volume, **changes):
    plan = make_plan(volume, told())
    found = unstretched("tikhonov", plan.modality, scale_digest(plan.modality))
    return dataclasses.replace(found, **changes)


def test_every_declared_map_is_made_and_told_in_the_help():
    volume = a_volume()
    result = super_resolve(volume, told(), maps=tuple(MAPS))
    assert set(result.maps) == set(MAPS)
    for name, kind in MAPS.items():
        grid = volume.geometry if kind.on_input else result.volume.geometry
        assert result.maps[name].geometry.is_same_as(grid)
        assert kind.help in maps_help()


@pytest.mark.parametrize("modality", ["MR", "CT"])
def test_half_widths_are_positive_and_no_larger_than_the_image(modality):
    gain = {"MR": 100.0, "CT": 1000.0}[modality]
    volume = a_volume(modality=modality, gain=gain)
    widths = super_resolve(volume, told(), maps=("error",)).maps["error"].array
    assert widths.min() > 0
    assert widths.max() < gain
    assert widths.std() > 0


def test_half_widths_of_mr_scale_with_the_intensities():
    volume = a_volume()
    brighter = volume.replace(array=volume.array * 50)
    one, other = (super_resolve(each, told(), maps=("error",)).maps["error"].array for each in (volume, brighter))
    np.testing.assert_allclose(other, one * 50, rtol=2e-2)


def test_a_closed_form_has_a_map_without_torch(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    assert super_resolve(a_volume(), told(), maps=("error",)).maps["error"].array.min() > 0


def test_slabs_give_what_the_whole_gives(monkeypatch):
    scale = ErrorScale.load(scale_path("MR"), scale_digest("MR"))
    image = np.random.default_rng(1).random((30, 17, 20)).astype(np.float32)
    condition = np.linspace(-1, 1, scale.condition_size)
    whole = scale.half_widths(image, image * 0.9, condition, (2, 0, 1))
    monkeypatch.setattr(error_scale, "_SLAB_VOXELS", 17 * 30 * 4)
    np.testing.assert_allclose(scale.half_widths(image, image * 0.9, condition, (2, 0, 1)), whole, rtol=1e-5)
    assert whole.shape == image.shape


def test_the_convolution_is_that_of_textbooks():
    rng = np.random.default_rng(2)
    image, kernel = rng.random((5, 6, 7, 2)).astype(np.float32), rng.random((27, 2, 3)).astype(np.float32)
    found = error_scale._convolve(image, kernel)
    expected = sum(
        ndimage.correlate(image[..., i], kernel[:, i, 1].reshape(3, 3, 3), mode="constant")[1:-1, 1:-1, 1:-1]
        for i in range(2)
    )
    np.testing.assert_allclose(found[..., 1], expected, rtol=1e-5)


def test_folding_is_undone():
    image = np.arange(4 * 6 * 8, dtype=np.float32).reshape(4, 6, 8)
    blocks = error_scale.blocks_of(image)
    np.testing.assert_array_equal(error_scale._unfold(blocks), image)
    np.testing.assert_allclose(error_scale._fold(image)[..., 0], blocks.mean(axis=-1))


def test_an_uncalibrated_model_is_refused_before_the_work(monkeypatch):
    monkeypatch.setattr("medsr.methods.interpolate.interpolate", pytest.fail)
    name = next(entry.name for entry in load_catalog().values() if entry.scales)
    plan = dataclasses.replace(make_plan(a_volume(), told()), entry=load_catalog()[name])
    with pytest.raises(InvalidValueError, match="medsr calibrate"):
        calibration_for(plan)
    assert calibration_for(make_plan(a_volume(), told())).model == "tikhonov"


def test_a_calibration_of_other_weights_is_not_taken(tmp_path, monkeypatch):
    plan = make_plan(a_volume(), told())
    (tmp_path / "MR").mkdir()
    monkeypatch.setattr(catalog, "CALIBRATIONS", tmp_path)
    for weights in ("altered", ""):
        content = dataclasses.replace(unstretched("tikhonov", "MR", "0"), weights=weights)
        (tmp_path / "MR" / "tikhonov.json").write_text(json.dumps(dataclasses.asdict(content)))
        if weights:
            with pytest.raises(InvalidValueError, match="not calibrated"):
                calibration_for(plan)
        else:
            assert calibration_for(plan).groups == content.groups


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"groups": []}', '{"groups": [{"noisy": "yes"}]}', '{"groups": [3]}', "[" * 100_000],
)
def test_what_is_no_calibration_is_refused(tmp_path, text):
    path = tmp_path / "calibration.json"
    path.write_text(text)
    with pytest.raises(ModelError, match="no calibration"):
        Calibration.read(path)


def test_a_calibration_is_read_as_it_was_written(tmp_path):
    path, content = tmp_path / "calibration.json", unstretched("tikhonov", "MR", "0")
    path.write_text(json.dumps(dataclasses.asdict(content)))
    assert Calibration.read(path) == content


def test_another_scale_than_was_calibrated_is_refused():
    volume = a_volume()
    with pytest.raises(ModelError, match="SHA-256"):
        super_resolve(volume, told(), maps=("error",), calibration=a_calibration(volume, scale_sha256="0" * 64))


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"largest_factor": 1.5}, "error.factor"),
        ({"roughness": (5.0, 6.0)}, "error.unlike"),
        ({"groups": (Group(True, True, 1.0, 3, 0.9, 0.8, 0.95),)}, "error.kind"),
    ],
)
def test_what_is_unlike_all_that_was_calibrated_is_widened_and_told(changes, kind):
    volume, heard = a_volume(), []
    usual = super_resolve(volume, told(), maps=("error",), calibration=a_calibration(volume))
    wider = super_resolve(
        volume, told(), Progress(heard.append), maps=("error",), calibration=a_calibration(volume, **changes)
    )
    np.testing.assert_allclose(wider.maps["error"].array, usual.maps["error"].array * BEYOND, rtol=1e-5)
    assert [each["values"]["why"]["kind"] for each in wider.report["error"]["widened"]] == [kind]
    assert any(getattr(event, "notice", "") == "error.widened" for event in heard)
    assert usual.report["error"]["widened"] == []


def test_nothing_that_was_not_measured_has_an_error():
    volume = a_volume(modality="CT", gain=1000.0)
    array = volume.array.copy()
    array[:, :, :6] = -3024.0
    widths = super_resolve(volume.replace(array=array), told(), maps=("error",)).maps["error"].array
    assert (widths[:, :, :6] == 0).all()
    assert (widths[:, :, 8:] > 0).all()


def test_the_sentence_holds_where_errors_are_spread_exponentially():
    rng = np.random.default_rng(3)
    widths = rng.uniform(0.5, 8.0, 200_000).astype(np.float32)
    errors = rng.exponential(widths / np.log(10))
    assert np.mean(errors <= widths) == pytest.approx(0.9, abs=0.005)
    assert np.mean(errors <= _pooled(widths)) == pytest.approx(0.9, abs=0.005)


def a_sample(volume, scale, **changes):
    ratios = (np.random.default_rng(int(volume)).exponential(scale, 5000) / np.log(10)).astype(np.float32)
    worth = {"correlation": 0.5, "width": 0.8, "oracle_correlation": 0.6, "oracle_width": 0.7}
    values = {**worth, "held": 0.9, "typical": 0.9, "factor": 2.0, "noise": 0.0}
    values = {**values, "roughness": 0.05, "model": "tikhonov", "noisy": False, "assumed": False, **changes}
    return Sample(volume=volume, case="z2", ratios=ratios, **values)


def test_the_factor_makes_nine_of_ten_errors_fit_on_the_mean_volume():
    found = [a_sample("1", 2.0), a_sample("2", 2.0), a_sample("3", 2.0)]
    (group,) = calibrated(found, load_catalog()["tikhonov"], "MR", "0", "").groups
    assert group.factor == pytest.approx(2.0, rel=0.05)
    assert (group.volumes, group.noisy, group.assumed) == (3, False, False)
    assert 0.88 < group.lowest <= group.coverage <= group.highest < 0.92


def test_a_volume_is_judged_by_the_others_alone():
    found = [a_sample("1", 1.0), a_sample("2", 1.0), a_sample("3", 3.0)]
    (group,) = calibrated(found, load_catalog()["tikhonov"], "MR", "0", "").groups
    # 1 - 10^(-1/3) of the errors of the third are below what holds nine tenths of the others'.
    assert group.lowest == pytest.approx(1 - 10 ** (-1 / 3), abs=0.02)


def test_one_volume_tells_nothing_of_others():
    with pytest.raises(InvalidValueError, match="at least 2 volumes"):
        calibrated([a_sample("1", 1.0)], load_catalog()["tikhonov"], "MR", "0", "")


def test_calibrated_maps_hold_on_the_volumes_they_were_calibrated_on():
    volumes = {str(seed): a_volume(size=(32, 32, 32), spacing=(1.0,) * 3, seed=seed) for seed in (1, 2)}
    digest = scale_digest("MR")
    common = {"told": ("profile",), "noises": (0.0,)}
    found = samples(volumes, "tikhonov", ["z3"], calibration=unstretched("tikhonov", "MR", digest), **common)
    content = calibrated(found, load_catalog()["tikhonov"], "MR", digest, "")
    again = samples(volumes, "tikhonov", ["z3"], calibration=content, **common)
    assert np.mean([each.held for each in again]) == pytest.approx(0.9, abs=0.01)
