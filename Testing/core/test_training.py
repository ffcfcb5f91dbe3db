"""Training: recipes, numbered examples, and a run that a resumed one equals."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from medsr.errors import InputError, InvalidValueError, UnknownNameError
from medsr.training.recipe import Recipe
from medsr.training.sections import AcquisitionRecipe, OptimiserRecipe
from medsr.training.volumes import fourier_shrink, load_volumes, read_data_list

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
pytestmark = [pytest.mark.network, pytest.mark.filterwarnings("ignore")]

TINY = {
    "name": "tiny",
    "network": {"options": {"channels": 4, "blocks": 1}},
    "acquisition": {"thick_factors": [2, 3], "thick_range": [1.3, 3.0], "isotropic_range": [1.5, 2.5]},
    "optimiser": {"warmup": 2, "cooldown": 2, "ema": 0.8},
    "patch": 16,
    "batch": 2,
    "steps": 4,
    "steps_per_epoch": 2,
    "validate_every": 2,
    "precision": "32-true",
}


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(TINY))
    return Recipe.load(path)


def write_list(folder, **subsets):
    path = folder / "list.json"
    path.write_text(json.dumps(subsets))
    return path


@pytest.fixture
def data_list(tmp_path):
    for number, name in enumerate("abc"):
        blobs = ndimage.gaussian_filter(np.random.default_rng(number).standard_normal([40] * 3), 1.5)
        array = np.clip(blobs / blobs.std() * 250 + 400, 0, None).astype(np.float32)
        sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / f"{name}.nii.gz"))
    train = [{"file": "a.nii.gz", "subject": "a"}, {"file": "b.nii.gz", "subject": "b", "weight": 2}]
    return write_list(tmp_path, train=train, validation=[{"file": "c.nii.gz", "subject": "c"}])


# ---------------------------------------------------------------- recipes


def test_a_recipe_is_read_with_its_defaults(tiny):
    assert (tiny.name, tiny.patch, tiny.modality) == ("tiny", 16, "MR")
    assert tiny.acquisition.thick_factors == (2.0, 3.0)
    assert tiny.optimiser.learning_rate == OptimiserRecipe().learning_rate


def test_a_recipe_survives_json(tiny, tmp_path):
    path = tmp_path / "again.json"
    path.write_text(json.dumps(tiny.to_dict()))
    assert Recipe.load(path) == tiny


def test_overrides_make_a_new_recipe(tiny):
    changed = tiny.override(["steps=8", "optimiser.learning_rate=1e-4", "acquisition.thick_range=[2, 4]"])
    assert (changed.steps, changed.optimiser.learning_rate) == (8, 1e-4)
    assert changed.acquisition.thick_range == (2.0, 4.0)
    assert tiny.steps == 4


@pytest.mark.parametrize(
    ("setting", "error", "words"),
    [
        ("stepz=8", UnknownNameError, "Did you mean 'steps'"),
        ("optimizer.ema=0.9", UnknownNameError, "Did you mean 'optimiser'"),
        ("optimiser.learning_rat=1", UnknownNameError, "Did you mean 'learning_rate'"),
        ("steps", InvalidValueError, "key=value"),
        ("steps=many", InvalidValueError, "a whole number"),
        ("steps=2.5", InvalidValueError, "a whole number"),
        ("steps=true", InvalidValueError, "a whole number"),
        ("steps=0", InvalidValueError, "at least 1"),
        ("patch=17", InvalidValueError, "even"),
        ("modality=PET", InvalidValueError, "'MR' or 'CT'"),
        ("acquisition.rician=1", InvalidValueError, "true or false"),
        ("acquisition.thick_range=4", InvalidValueError, "must be a list"),
        ("optimiser=1", InvalidValueError, "expected an object"),
    ],
)
def test_a_wrong_override_is_refused(tiny, setting, error, words):
    with pytest.raises(error, match=words):
        tiny.override([setting])


def test_files_that_are_no_recipe_are_refused(tmp_path):
    with pytest.raises(InputError, match="no recipe"):
        Recipe.load(tmp_path / "nowhere.json")
    (tmp_path / "bad.json").write_text("{steps")
    with pytest.raises(InputError, match="not a JSON recipe"):
        Recipe.load(tmp_path / "bad.json")


# ---------------------------------------------------------------- data


def test_a_subject_in_two_subsets_is_refused(tmp_path):
    a, b = {"file": "a.nii", "subject": "one"}, {"file": "b.nii", "subject": "two"}
    with pytest.raises(InputError, match="'one' is in both 'train' and 'test'"):
        read_data_list(write_list(tmp_path, train=[a], validation=[b], test=[a]), "train")
    assert read_data_list(write_list(tmp_path, train=[a, a], validation=[b]), "train") == [a, a]


def test_lists_that_cannot_be_used_are_refused(tmp_path):
    with pytest.raises(InputError, match="no data list"):
        read_data_list(tmp_path / "nowhere.json", "train")
    with pytest.raises(InputError, match="no volumes under 'validation'"):
        read_data_list(write_list(tmp_path, train=[{"file": "a", "subject": "a"}]), "validation")
    with pytest.raises(InputError, match="not below"):
        load_volumes(write_list(tmp_path, train=[{"file": "gone.nii", "subject": "a"}]), tmp_path, "train", "MR", 1.5)


def test_volumes_are_normalised_and_have_a_coarser_copy(data_list, tmp_path):
    volumes = load_volumes(data_list, tmp_path, "train", "MR", 1.5)
    assert [volume.weight for volume in volumes] == [1.0, 2.0]
    for volume in volumes:
        assert volume.array.shape == (40, 40, 40) and volume.coarser.shape == (27, 27, 27)
        assert 0.5 < float(np.percentile(volume.array, 99)) < 1.5
        # The coarser copy is of the same intensities.
        assert float(volume.coarser.mean()) == pytest.approx(float(volume.array.mean()), abs=0.05)


def test_only_slices_across_the_stated_axis_are_drawn(tmp_path):
    from medsr.training.patches import random_crop

    # The intensity tells the slice: 10, 20, ...
    array = np.broadcast_to(10 * np.arange(1, 13, dtype=np.float32)[:, None, None], (12, 30, 40)).copy()
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / "thick.nii.gz"))
    entry = {"file": "thick.nii.gz", "subject": "a"}
    (thick,) = load_volumes(write_list(tmp_path, train=[{**entry, "across": "z"}]), tmp_path, "train", "MR", 1.5)
    assert thick.across == 0
    assert thick.coarser.shape == (12, 20, 27)
    (fine,) = load_volumes(write_list(tmp_path, train=[entry]), tmp_path, "train", "MR", 1.5)
    assert fine.across is None
    assert fine.coarser.shape == (8, 20, 27)
    rng = np.random.default_rng(0)
    for volume, expected in ((thick, {True}), (fine, {True, False})):
        crops = [random_crop(volume.array, (8, 8), rng, volume.across) for _ in range(40)]
        assert {bool(np.ptp(crop) == 0) for crop in crops} == expected
    for _ in range(5):
        crop = random_crop(thick.array, (6, 8, 8), rng, thick.across)
        assert np.ptp(crop, axis=(1, 2)).max() == 0 and np.ptp(crop) > 0


@pytest.mark.parametrize(("name", "axis"), [("x", 2), ("y", 1), ("z", 0), ("w", None), ("xy", None), ("", None)])
def test_an_axis_across_is_named_like_everywhere(tmp_path, name, axis):
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((9, 10, 11), np.float32)), str(tmp_path / "a.nii.gz"))
    path = write_list(tmp_path, train=[{"file": "a.nii.gz", "subject": "a", "across": name}])
    if axis is None:
        with pytest.raises(InputError, match="across is one of x, y, z"):
            load_volumes(path, tmp_path, "train", "MR", 1.5)
    else:
        assert load_volumes(path, tmp_path, "train", "MR", 1.5)[0].across == axis


def test_a_coarser_copy_keeps_slow_waves_and_leaves_other_axes_alone():
    y, x = np.indices((48, 30), dtype=np.float32)
    slow = np.cos(2 * np.pi * 3 * y / 48) + x
    shrunk = fourier_shrink(slow, [1.5, 1.0])
    assert shrunk.shape == (32, 30)
    np.testing.assert_allclose(shrunk, np.cos(2 * np.pi * 3 * np.arange(32) / 32)[:, None] + x[:32], atol=1e-4)
    # What the copy cannot hold is gone.
    assert np.abs(fourier_shrink(np.cos(2 * np.pi * 20 * y / 48), [1.5, 1.0])).max() < 1e-5


# ---------------------------------------------------------------- examples


def test_the_most_enlarged_axis_comes_first():
    from medsr.training.patches import draw_acquisition

    rng = np.random.default_rng(0)
    kinds = set()
    for dims in (2, 3):
        for _ in range(300):
            drawn = draw_acquisition(AcquisitionRecipe(), dims, rng)
            assert len(drawn.factors) == dims
            assert list(drawn.factors) == sorted(drawn.factors, reverse=True)
            assert drawn.factors[0] > 1
            kinds.add((dims, sum(factor == 1 for factor in drawn.factors)))
    assert kinds == {(2, 0), (2, 1), (3, 0), (3, 1), (3, 2)}


def draws(dims=3, count=4000, **changes):
    from medsr.training.patches import draw_acquisition

    rng = np.random.default_rng(1)
    return [draw_acquisition(AcquisitionRecipe(**changes), dims, rng) for _ in range(count)]


def share(values):
    return np.mean(list(values))


@pytest.mark.parametrize("ct", [False, True])
def test_an_axis_that_stays_as_it_is_is_neither_blurred_nor_told_of(ct):
    from medsr.physics.condition import PER_AXIS, acquisition_condition
    from medsr.physics.sampling import Acquisition

    changes = {"partitions": 0.0, "kspace": 0.0, "encoded_planes": 0.0} if ct else {}
    for drawn in draws(count=600, **changes):
        flat = {i for i, factor in enumerate(drawn.factors) if factor == 1}
        true, stated = (Acquisition.from_factors((24,) * 3, drawn.factors, p) for p in (drawn.true, drawn.stated))
        assert not flat & (set(true.active) | set(stated.active))
        condition = np.reshape(acquisition_condition(stated.axes), (3, PER_AXIS))
        assert {i for i in range(3) if not condition[i].any()} == flat


def test_kinds_are_drawn_in_their_shares():
    recipe, found = AcquisitionRecipe(), draws(encoded_planes=0.0)
    single = [d for d in found if d.factors[0] > d.factors[1]]
    several = [d for d in found if d.factors[0] == d.factors[1]]
    slices = [d.true[0] for d in found if d.true[0].kind != "kspace"]
    encoded = [d.true[0] for d in found if d.true[0].kind == "kspace"]
    for seen, wanted in (
        (share(d.true[0].kind == "kspace" for d in single), recipe.partitions),
        (share(d.true[0].kind == "kspace" for d in several), recipe.kspace),
        (share(profile.kind == "box" for profile in slices), recipe.box),
        (share(profile.width == 1 for profile in slices), recipe.exact_width),
        (share(profile.taper > 0 for profile in encoded), recipe.tapered),
        (share(profile.width > 1 for profile in encoded), recipe.zero_filled),
        (share(d.stated[0].assumed for d in found), recipe.unknown),
        (share(d.noise > 0 for d in found), recipe.noise),
    ):
        assert seen == pytest.approx(wanted, abs=0.05)
    low, high = recipe.relative_width
    assert all(low <= profile.width <= high and profile.taper == 0 for profile in slices)
    assert all(1 <= profile.width <= recipe.zero_filled_by for profile in encoded)
    # Axes that are enlarged alike are sampled alike.
    assert all(d.true[1] == d.true[0] for d in several)


def test_planes_beside_thick_slices_are_encoded():
    with_planes = [d for d in draws(single_axis=1.0, encoded_planes=0.3, partitions=0.1) if d.factors[1] > 1]
    assert len(with_planes) / 4000 == pytest.approx(0.3, abs=0.03)
    assert all(d.true[1].kind == d.true[2].kind == "kspace" and d.true[1] == d.true[2] for d in with_planes)
    assert {d.true[0].kind for d in with_planes} == {"gaussian", "box", "kspace"}


def test_what_is_stated_is_true_wrong_within_limits_or_assumed():
    from medsr.training.patches import ASSUMED

    by = AcquisitionRecipe().misstated_by
    seen = set()
    for drawn in draws(misstated=0.5):
        for factor, true, stated in zip(drawn.factors, drawn.true, drawn.stated, strict=True):
            assert not true.assumed
            if stated.assumed:
                assert stated in ASSUMED and factor > 1
                seen.add("assumed")
                continue
            assert stated.kind == true.kind
            # No header tells of a filter that is not there.
            assert stated.taper in (0.0, true.taper)
            seen.add(("taper told", true.taper > 0 and stated.taper > 0))
            if true.kind == "kspace":
                assert stated.width in (1.0, true.width)
            else:
                assert 1 / by <= stated.width / true.width <= by
                seen.add(("width right", stated.width == true.width))
    assert seen == {"assumed", *(("taper told", told) for told in (0, 1)), *(("width right", told) for told in (0, 1))}


def test_without_errors_and_unknowns_the_truth_is_stated():
    assert all(d.stated == d.true for d in draws(count=300, unknown=0.0, misstated=0.0, tapered=0.0))
    assert all(d.stated[0].assumed for d in draws(count=50, unknown=1.0))


def test_ct_has_no_encoded_axis_and_none_is_assumed():
    found = draws(count=600, partitions=0.0, kspace=0.0, encoded_planes=0.0)
    assert {profile.kind for d in found for profile in (*d.true, *d.stated)} == {"gaussian", "box"}


def test_an_example_is_degraded_as_it_was_and_deconvolved_as_it_is_told():
    from medsr.physics.profiles import Profile
    from medsr.physics.sampling import Acquisition
    from medsr.training.patches import deconvolve_degraded

    fine = np.random.default_rng(0).random((24, 12, 12), np.float32)
    true, stated = (
        Acquisition.from_factors(fine.shape, (3, 1, 1), profile)
        for profile in (Profile("kspace", 1.0, 0.5), Profile("gaussian", 0.6, assumed=True))
    )
    recipe, rng = AcquisitionRecipe(), np.random.default_rng(0)
    clean = deconvolve_degraded(fine, true, stated, 0.0, recipe, rng)
    assert clean.dtype == np.float32
    np.testing.assert_allclose(clean, stated.tikhonov(true.forward(fine), recipe.smoothness), atol=1e-6)
    assert np.abs(clean - true.tikhonov(true.forward(fine), recipe.smoothness)).max() > 0.01
    noisy = deconvolve_degraded(fine, true, stated, 0.05, recipe, rng)
    assert 0.01 < (noisy - clean).std() < 0.2


def test_a_random_intensity_curve_keeps_zero_and_changes_the_rest():
    from medsr.training.patches import random_intensity_curve

    x = np.linspace(0, 1, 101, dtype=np.float32)
    curves = [random_intensity_curve(x, 1.0, np.random.default_rng(seed)) for seed in range(50)]
    assert all(curve[0] == 0 and np.isfinite(curve).all() and curve.dtype == np.float32 for curve in curves)
    # Some reverse contrasts, none leaves the image as it is.
    assert any((np.diff(curve) < 0).any() for curve in curves)
    assert all(np.abs(curve - x).max() > 1e-3 for curve in curves)


def same(one, other):
    return all(torch.equal(one[key], other[key]) for key in ("input", "target", "condition"))


def test_examples_depend_on_their_number_alone(tiny, data_list, tmp_path):
    from torch.utils.data import DataLoader

    from medsr.training.patches import DegradedPatches

    volumes = load_volumes(data_list, tmp_path, "train", "MR", 1.5)
    first = DegradedPatches(tiny, volumes, 0, 6, seed=1)
    examples = [first[i] for i in range(6)]
    for example in examples:
        assert example["input"].shape == example["target"].shape == (1, 16, 16, 16)
        assert example["condition"].shape == (18,)
    later = DegradedPatches(tiny, volumes, 4, 2, seed=1)
    assert same(later[0], examples[4]) and same(later[1], examples[5])
    assert not same(examples[0], examples[1])
    assert not same(DegradedPatches(tiny, volumes, 0, 1, seed=2)[0], examples[0])
    for workers in (0, 2):
        for i, batch in enumerate(DataLoader(first, 2, num_workers=workers)):
            assert same({k: v[1] for k, v in batch.items()}, examples[2 * i + 1])


def test_epochs_and_processes_share_no_example(tiny, data_list, tmp_path):
    from medsr.training.data import RefiningData

    data = RefiningData(tiny, data_list, tmp_path, 0)
    data.setup("fit")
    numbers = []
    on_cpu = SimpleNamespace(root_device=torch.device("cpu"))
    for epoch in range(2):
        for rank in range(2):
            data.trainer = SimpleNamespace(world_size=2, global_rank=rank, current_epoch=epoch, strategy=on_cpu)
            loader = data.train_dataloader()
            numbers += [loader.dataset.first + index for index in loader.sampler]
    assert sorted(numbers) == list(range(2 * 2 * tiny.steps_per_epoch * tiny.batch))
    # The first step of two processes is that of one with twice the batch.
    assert numbers[: tiny.batch] == [0, 1] and numbers[tiny.steps_per_epoch * tiny.batch :][: tiny.batch] == [2, 3]


# ---------------------------------------------------------------- runs


def test_the_rate_warms_up_stays_and_cools_down():
    from medsr.training.schedule import rate_at

    recipe = OptimiserRecipe(warmup=4, cooldown=10)
    rates = [rate_at(step, 40, recipe) for step in range(41)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert set(rates[4:31]) == {1.0}
    np.testing.assert_allclose(rates[30:40], np.arange(10, 0, -1) / 10)
    assert rates[40] == 0.01


def weights_of(path):
    return torch.load(path, weights_only=True)


def distance(one, other):
    assert set(one) == set(other) and one
    return max(float((one[key] - other[key]).abs().max()) for key in one)


@pytest.mark.parametrize("muon", [False, True])
def test_a_resumed_training_equals_one_that_was_never_stopped(tiny, data_list, tmp_path, monkeypatch, muon):
    from medsr.training.data import RefiningData
    from medsr.training.run import train

    tiny = tiny.override([f"optimiser.muon={str(muon).lower()}"])
    whole = weights_of(train(tiny, data_list, tmp_path, tmp_path / "whole"))
    real = RefiningData.train_dataloader

    def dies_in_the_second_epoch(self):
        if self.trainer.current_epoch == 1:
            raise RuntimeError("power cut")
        return real(self)

    with monkeypatch.context() as patched:
        patched.setattr(RefiningData, "train_dataloader", dies_in_the_second_epoch)
        with pytest.raises(RuntimeError, match="power cut"):
            train(tiny, data_list, tmp_path, tmp_path / "stopped")
    assert not (tmp_path / "stopped" / "weights.pt").exists()
    resumed = weights_of(train(tiny, data_list, tmp_path, tmp_path / "stopped", resume=True))
    assert distance(resumed, whole) < 1e-6
    # The comparison can say no: an epoch less, or another seed, gives other weights.
    other = weights_of(train(tiny.override(["seed=2"]), data_list, tmp_path, tmp_path / "other"))
    assert distance(other, whole) > 1e-4


def test_the_averaged_weights_are_saved(tiny, data_list, tmp_path):
    from medsr.training.run import train

    saved = weights_of(train(tiny, data_list, tmp_path, tmp_path / "run"))
    checkpoint = torch.load(tmp_path / "run" / "last.ckpt", weights_only=False)
    prefix = "network."
    average = {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}
    current = checkpoint["current_model_state"]
    current = {k.partition(prefix)[2]: v for k, v in current.items() if prefix in k}
    shared = {k: v for k, v in saved.items() if k in average}
    assert distance(shared, {k: average[k] for k in shared}) < 1e-7
    assert distance(shared, {k: current[k] for k in shared}) > 1e-5
