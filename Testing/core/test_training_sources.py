"""What the authors of the published systems did is an option of a recipe, and the full-size recipes take it."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from medsr.cli import train as train_verb
from medsr.errors import InvalidValueError
from medsr.training.recipe import Recipe

torch = pytest.importorskip("torch")
pytest.importorskip("lightning")
pytestmark = [pytest.mark.network, pytest.mark.filterwarnings("ignore")]

TINY = {
    "name": "tiny",
    "family": "enlarge",
    "network": {
        "architecture": "srresnet",
        "spatial_dims": 2,
        "options": {"scale": 2, "features": 4, "blocks": 1, "batch_norm": False, "global_residual": True},
    },
    "appearance": {"coarser": 0.0, "contrast": 0.0},
    "optimiser": {"warmup": 0, "cooldown": 0, "ema": 0.5, "learning_rate": 0.01},
    "adversary": {"options": {"features": 8, "hidden": 16, "norm": "none"}},
    "patch": 16,
    "batch": 2,
    "steps": 2,
    "steps_per_epoch": 2,
    "validate_every": 1,
    "validation_patches": 4,
    "precision": "32-true",
}
GAN = ("family=gan", "losses.adversarial=0.1")
SYSTEMS = [
    "progressive-gan", "edsr-se-gan", "edsr-se-gan-x8", "edsr-se-gan-x16", "vdsr7-multiscale", "srresnet", "srgan",
    "three-player-gan", "disgan",
]  # fmt: skip


def recipe(*settings):
    return Recipe(name="tiny").override([f"{k}={json.dumps(v)}" for k, v in TINY.items()]).override(settings)


def full(name):
    return Recipe.load(train_verb.RECIPES / f"{name}.json")


@pytest.fixture
def data_list(tmp_path):
    for number, name in enumerate("ab"):
        blobs = ndimage.gaussian_filter(np.random.default_rng(number).standard_normal([40] * 3), 1.5)
        array = np.clip(blobs / blobs.std() * 250 + 400, 0, None).astype(np.float32)
        sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / f"{name}.nii.gz"))
    path = tmp_path / "list.json"
    lists = {"train": [{"file": "a.nii.gz", "subject": "a"}], "validation": [{"file": "b.nii.gz", "subject": "b"}]}
    path.write_text(json.dumps(lists))
    return path


def module_of(*settings):
    from medsr.training.run import _module, _started_network

    one = recipe(*settings)
    return _module(_started_network(one), one)


# ---------------------------------------------------------------- optimiser


REFINER = "network=" + json.dumps({"options": {"channels": 4, "blocks": 1}})


@pytest.mark.parametrize("settings", [(), GAN, ("family=refine", REFINER)])
def test_adam_has_the_betas_of_the_recipe(settings):
    for given, betas in (((), (0.9, 0.99)), (("optimiser.betas=[0.5,0.999]",), (0.5, 0.999))):
        made = module_of(*settings, *given).configure_optimizers()
        for one in made if isinstance(made, list) else [made]:
            assert one["optimizer"].param_groups[0]["betas"] == betas


def test_muons_adam_has_them_too():
    made = module_of("family=refine", REFINER, "optimiser.muon=true", "optimiser.betas=[0.5,0.999]")
    assert made.configure_optimizers()["optimizer"].param_groups[1]["betas"] == (0.5, 0.999)


def test_the_rate_drops_at_the_stated_steps():
    from medsr.training.schedule import rate_at

    dropping = recipe("optimiser.drops=[3,6]", "optimiser.drop=0.5").optimiser
    assert [rate_at(step, 9, dropping) for step in range(9)] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]
    assert {rate_at(step, 9, recipe().optimiser) for step in range(9)} == {1}


@pytest.mark.parametrize("setting", ["betas=[0.9,1]", "betas=[-0.1,0.9]", "ema=1", "clip=-1", "drop=0"])
def test_an_optimiser_that_cannot_learn_is_refused(setting):
    with pytest.raises(InvalidValueError, match=f"optimiser.{setting.partition('=')[0]}"):
        recipe(f"optimiser.{setting}")


def weights(folder):
    return torch.load(folder / "weights.pt", weights_only=True)


def distance(one, other):
    return max(float((one[key] - other[key]).abs().max()) for key in one)


@pytest.mark.parametrize("settings", [(), GAN], ids=["enlarge", "gan"])
def test_gradients_are_clipped_only_where_the_recipe_says_so(data_list, tmp_path, monkeypatch, settings):
    from medsr.training.run import train

    largest = []
    real = torch.optim.Adam.step

    def watched(self, closure=None):
        value = closure() if closure else None
        grads = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        largest.append(float(torch.linalg.vector_norm(torch.cat([g.flatten() for g in grads]))))
        real(self)
        return value

    monkeypatch.setattr(torch.optim.Adam, "step", watched)
    train(recipe(*settings, "optimiser.clip=1e-4"), data_list, tmp_path, tmp_path / "clipped")
    assert largest and max(largest) < 1.01e-4
    largest.clear()
    train(recipe(*settings, "optimiser.clip=0"), data_list, tmp_path, tmp_path / "free")
    assert max(largest) > 1e-3


def test_without_averaging_the_last_weights_are_shipped(data_list, tmp_path):
    from medsr.training.run import train

    for name, ema in (("last", 0), ("averaged", 0.5)):
        train(recipe(f"optimiser.ema={ema}"), data_list, tmp_path, tmp_path / name)
    last = torch.load(tmp_path / "last/last.ckpt", weights_only=False)["state_dict"]
    stored = {key.removeprefix("network."): value for key, value in last.items() if key.startswith("network.")}
    assert distance(weights(tmp_path / "last"), stored) == 0
    assert distance(weights(tmp_path / "averaged"), weights(tmp_path / "last")) > 1e-4


@pytest.mark.parametrize("name", SYSTEMS)
def test_full_size_recipes_optimise_as_their_sources(name):
    optimiser = full(name).optimiser
    assert (optimiser.betas, optimiser.clip, optimiser.ema, optimiser.warmup) == ((0.9, 0.999), 0, 0, 0)
    assert optimiser.learning_rate == 1e-4


def test_the_rate_of_srgan_falls_to_a_tenth_half_way():
    from medsr.training.schedule import rate_at

    srgan = full("srgan")
    rates = [rate_at(step, srgan.steps, srgan.optimiser) for step in (0, 99_999, 100_000, 199_999)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1])


# ---------------------------------------------------------------- appearance

USUAL = [[175.0, 119.0, 63.0], [174.0, 118.0, 62.0], [173.0, 117.0, 61.0], [172.0, 116.0, 60.0]]


def ramp(*shape):
    """An array that tells where each voxel comes from."""
    return np.arange(np.prod(shape), dtype=np.float16).reshape(shape)


def appearance(**options):
    from medsr.training.sections import AppearanceRecipe

    return AppearanceRecipe(**options)


def crops(array, shape, count=24, across=None, **options):
    from medsr.training.crops import random_crop

    rng = np.random.default_rng(0)
    return [random_crop(array, shape, rng, across, appearance(**options)) for _ in range(count)]


def test_without_flips_every_axis_runs_as_it_does_in_the_file():
    array = ramp(6, 7, 8)
    for flips in (True, False):
        found = crops(array, (4, 4, 4), flips=flips)
        rising = [[bool((np.diff(crop, axis=axis) > 0).all()) for axis in range(3)] for crop in found]
        assert np.all(rising) == (not flips)


def test_without_swaps_axes_keep_their_order_and_slices_lie_across_the_first():
    array = ramp(6, 7, 8)
    for dims in (2, 3):
        for swaps in (True, False):
            found = crops(array, (4,) * dims, flips=False, swaps=swaps)
            assert all(np.all(np.diff(crop, axis=-1) == 1) for crop in found) == (not swaps)
            assert all(np.all(np.diff(crop, axis=-2) == 8) for crop in found) == (not swaps)
    # A list may say that slices lie across another axis.
    last = crops(array, (4, 4), across=2, flips=False, swaps=False)
    assert all(np.all(np.diff(crop, axis=-1) == 8) and np.all(np.diff(crop, axis=-2) == 56) for crop in last)


def test_the_usual_crops_are_those_of_the_shipped_models():
    """Example numbers are kept: weights that ship can be trained again from the same examples."""
    from medsr.training.crops import random_crop

    crop = random_crop(ramp(6, 7, 8), (4, 3), np.random.default_rng(5))
    assert crop.tolist() == USUAL


def test_a_whole_image_is_resampled_to_the_patch_as_pillow_does():
    image = np.random.default_rng(1).random((30, 44)).astype(np.float32)
    crop = crops(image, (24, 24), count=1, whole=True, flips=False, swaps=False)[0]
    tensor = torch.from_numpy(image)[None, None]
    wanted = torch.nn.functional.interpolate(tensor, size=(24, 24), mode="bicubic", antialias=True)[0, 0].numpy()
    np.testing.assert_allclose(crop, wanted, atol=1e-4)
    cut = crops(image, (24, 24), count=1, whole=False, flips=False, swaps=False)[0]
    assert np.abs(cut - wanted).max() > 0.1


def images_of(*arrays, mean=0.0, deviation=1.0):
    from medsr.training.images import TrainingImage
    from medsr.training.volumes import TrainingVolume

    volumes = [TrainingVolume(str(n), 1.0, a.astype(np.float16), a.astype(np.float16)) for n, a in enumerate(arrays)]
    return [TrainingImage(1.0, (volume,), mean, deviation) for volume in volumes]


def pairs(images, *settings, scales=(2,), count=4):
    from medsr.training.pairs import EnlargingPairs

    return EnlargingPairs(recipe(*settings), images, scales, 1, 0, count, 1)


def test_a_pair_of_a_whole_image_is_the_image_and_its_downscaled_self():
    from medsr.physics.downscaling import downscale

    image = np.random.default_rng(1).random((16, 16)) + 0.2
    whole = ("appearance.whole=true", "appearance.flips=false", "appearance.swaps=false")
    for number, item in enumerate(pairs(images_of(image), *whole, scales=(2, 3))[i] for i in range(2)):
        scale, side = ((2, 16), (3, 15))[number]
        assert item["fine"].shape == (1, side, side) and item["coarse"].shape == (1, side // scale, side // scale)
        # Nothing was cut away: the border of the coarse image is that of the whole image.
        fine = item["fine"].numpy()
        np.testing.assert_allclose(item["coarse"], downscale(fine, "bicubic", (1, scale, scale)), atol=1e-5)
    np.testing.assert_allclose(pairs(images_of(image), *whole)[0]["fine"][0], image, atol=2e-3)


def test_a_refiner_takes_no_whole_images():
    with pytest.raises(InvalidValueError, match=r"appearance.whole .* family 'refine'"):
        recipe("family=refine", "appearance.whole=true")


@pytest.mark.parametrize("name", SYSTEMS)
def test_full_size_recipes_vary_images_as_their_sources(name):
    varied = full(name).appearance
    edsr = name.startswith("edsr")
    assert (varied.flips, varied.swaps, varied.whole) == (edsr, edsr, name == "vdsr7-multiscale")
    assert varied.contrast == varied.coarser == 0


# ---------------------------------------------------------------- images that are too small


def test_patches_with_their_margins_fit_into_the_images_of_stare():
    from medsr.training.pairs import drawn_side

    for name in ("edsr-se-gan", "edsr-se-gan-x8", "edsr-se-gan-x16"):
        one = full(name)
        assert drawn_side(one, one.network.options["scale"]) <= 605


def test_images_that_must_be_continued_are_named(data_list, tmp_path, caplog):
    from medsr.training.data import EnlargingData
    from medsr.training.run import _started_network

    whole = ("patch=64", "appearance.whole=true")
    for settings, warned in ((("patch=16",), False), (("patch=24",), False), (("patch=32",), True), (whole, False)):
        caplog.clear()
        one = recipe(*settings)
        EnlargingData(one, _started_network(one), data_list, tmp_path, 0).load("train")
        said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert bool(said) == warned
    caplog.clear()
    one = recipe("patch=32")
    EnlargingData(one, _started_network(one), data_list, tmp_path, 0).load("train")
    assert "a.nii.gz (40 x 40 x 40) is smaller than 44 voxels a side" in caplog.text and "patch" in caplog.text


# ---------------------------------------------------------------- intensities

Z = "enlarging.intensities=z-score"


def test_z_scores_have_mean_nought_and_deviation_one_over_the_volume(data_list):
    from medsr.training.images import load_images

    (image,) = load_images(data_list, data_list.parent, "train", "MR", channels=1, dims=3, coarser_factor=None)
    scaled = (image.channels[0].array.astype(np.float64) - image.mean) / image.deviation
    assert scaled.mean() == pytest.approx(0, abs=1e-3) and scaled.std() == pytest.approx(1, abs=1e-3)


def test_both_patches_are_z_scores_and_noise_is_in_their_units():
    array = np.random.default_rng(2).random((40, 40)) + 0.3
    images = images_of(array, mean=0.8, deviation=0.25)
    plain, scaled = pairs(images)[0], pairs(images, Z)[0]
    for key in ("fine", "coarse"):
        torch.testing.assert_close(scaled[key], (plain[key] - 0.8) / 0.25, atol=1e-4, rtol=0)
    noise = ("enlarging.noise=1", "enlarging.noise_range=[0.5,0.5]")
    added = pairs(images, Z, *noise)[0]["coarse"] - scaled["coarse"]
    assert float(added.std()) == pytest.approx(0.5, rel=0.3)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("enlarging.intensities=zscore",), "z-score"),
        ((Z, "family=refine"), "family 'refine'"),
        ((Z, "appearance.contrast=0.3"), "appearance.contrast"),
        ((Z, "losses.structural=0.4"), "losses.structural"),
        ((Z, "losses.perceptual=0.1"), "losses.features=resnet10"),
    ],
)
def test_what_does_not_go_with_z_scores_is_refused(settings, words):
    from medsr.errors import MedSRError

    with pytest.raises(MedSRError, match=words):
        recipe(*settings)
    recipe(Z, "losses.perceptual=0.1", "losses.features=resnet10")


def test_full_size_wang_recipes_learn_from_z_scores_under_their_noise():
    for name in ("three-player-gan", "disgan"):
        assert (full(name).enlarging.intensities, full(name).adversary.instance_noise) == ("z-score", 1)
    for name in ("rrdb-small", "three-player-gan-small", "disgan-small", "srgan"):
        assert full(name).enlarging.intensities == "range"


def test_a_network_of_z_scores_is_run_on_z_scores(data_list, tmp_path):
    """A result follows the image's scale; and the network saw what it was trained on."""
    import medsr
    from medsr.models.enlarger import Enlarger
    from medsr.training.run import train

    seen = []
    voxels = np.random.default_rng(3).normal(500, 40, (6, 20, 20)).astype(np.float32)
    real = Enlarger.forward
    for settings, mean, deviation in (((Z,), 0, 1), ((), 0.5, None)):
        folder = tmp_path / ("z" if settings else "range")
        train(recipe(*settings), data_list, tmp_path, folder)
        metadata = json.loads((folder / "bundle/configs/metadata.json").read_text())["medsr"]
        assert metadata["intensities"] == ("z-score" if settings else "range")
        seen.clear()

        def watched(self, coarse, scale=None):
            if not coarse.is_meta:
                seen.append(coarse.clone())
            return real(self, coarse, scale)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(Enlarger, "forward", watched)
            result = medsr.super_resolve(voxels, model=str(folder / "bundle"))
        values = torch.cat([tile.flatten() for tile in seen])
        assert float(values.mean()) == pytest.approx(mean, abs=0.2)
        assert deviation is None or float(values.std()) == pytest.approx(deviation, abs=0.1)
        assert float(np.asarray(result.volume.array).mean()) == pytest.approx(500, rel=0.05)


# ---------------------------------------------------------------- devices


@pytest.mark.parametrize(("device", "pinned"), [("cuda", True), ("cpu", False)])
def test_memory_is_pinned_for_gpus_and_workers_are_those_asked_for(data_list, tmp_path, device, pinned):
    from medsr.training.data import EnlargingData
    from medsr.training.run import _started_network

    one = recipe()
    data = EnlargingData(one, _started_network(one), data_list, tmp_path, 3)
    data.trainer = SimpleNamespace(
        current_epoch=0, world_size=1, global_rank=0, strategy=SimpleNamespace(root_device=torch.device(device))
    )
    data.setup("fit")
    assert (data.train_dataloader().num_workers, data.train_dataloader().pin_memory) == (3, pinned)
    assert data.val_dataloader().pin_memory == pinned


# ---------------------------------------------------------------- data larger than memory


def loaders(family):
    from medsr.training.images import load_images
    from medsr.training.volumes import load_volumes

    if family == "refine":
        return lambda path, cache: load_volumes(path, path.parent, "train", "MR", 1.5, cache)
    coarser = 1.5 if family == "coarser" else None
    return lambda path, cache: [
        image.channels[0]
        for image in load_images(
            path, path.parent, "train", "MR", channels=1, dims=3, coarser_factor=coarser, cache=cache
        )
    ]


@pytest.mark.parametrize("family", ["refine", "enlarge", "coarser"])
def test_cached_volumes_are_mapped_from_files_and_read_once(data_list, tmp_path, monkeypatch, family):
    from medsr.training import images, volumes
    from medsr.training.cache import ArrayCache

    load, cache = loaders(family), ArrayCache(tmp_path / "cache")
    (plain,), (first,) = load(data_list, ArrayCache()), load(data_list, cache)
    assert not isinstance(plain.array, np.memmap)

    def no_more(_file):
        raise AssertionError("read again")

    with monkeypatch.context() as patched:
        for module in (images, volumes):
            patched.setattr(module, "read_volume", no_more)
        (second,) = load(data_list, cache)
    for found in (first, second):
        for part in ("array", "coarser"):
            stored = getattr(found, part)
            assert isinstance(stored, np.memmap) and stored.dtype == np.float16
            np.testing.assert_array_equal(stored, getattr(plain, part))
    # Another content of the file is another volume.
    other = sitk.GetImageFromArray(np.random.default_rng(8).random((41, 40, 40)).astype(np.float32))
    sitk.WriteImage(other, str(tmp_path / "a.nii.gz"))
    assert load(data_list, cache)[0].array.shape == (41, 40, 40)


def test_two_processes_that_prepare_the_same_file_agree(tmp_path):
    from medsr.training.cache import ArrayCache

    source = tmp_path / "a.bin"
    source.write_bytes(b"x")
    cache = ArrayCache(tmp_path / "cache")

    def slow():
        # While this one reads, the other one is done.
        cache.arrays(source, [1], lambda: [np.zeros(3)])
        return [np.zeros(3)]

    assert cache.arrays(source, [1], slow)[0].tolist() == [0, 0, 0]
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert cache.arrays(source, [2], lambda: [np.ones(2)])[0].tolist() == [1, 1]


def test_a_cache_that_cannot_be_written_is_told(tmp_path):
    from medsr.errors import OutputError
    from medsr.training.cache import ArrayCache

    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="Choose another folder"):
        ArrayCache(tmp_path / "file").arrays(tmp_path / "file", [], lambda: [np.zeros(1)])


def test_a_training_with_a_cache_is_the_training_without(data_list, tmp_path):
    from medsr.training.run import train

    train(recipe(), data_list, tmp_path, tmp_path / "memory")
    train(recipe(), data_list, tmp_path, tmp_path / "mapped", cache=tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert distance(weights(tmp_path / "memory"), weights(tmp_path / "mapped")) == 0


# ---------------------------------------------------------------- what ships


@pytest.mark.parametrize("name", [*SYSTEMS, "rrdb"])
def test_shipped_weights_keep_the_recipe_that_made_them(name):
    """Options that came later leave what the small recipes, and those beside the weights, mean as it was."""
    small = Recipe.load(train_verb.RECIPES / f"{name}-small.json")
    shipped = Recipe.load(train_verb.RECIPES.parents[1] / "bundles" / name / "docs" / "recipe.json")
    for one in (small, shipped):
        optimiser, varied = one.optimiser, one.appearance
        assert (optimiser.betas, optimiser.clip, optimiser.ema, optimiser.drops) == ((0.9, 0.99), 0.5, 0.99, ())
        assert (varied.flips, varied.swaps, varied.whole, one.enlarging.intensities) == (True, True, False, "range")
        assert one.adversary.instance_noise in (0, 0.3)
