"""Training networks that enlarge: their examples, the games of two and three, and runs that can be trusted."""

import json
import logging
import re
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from medsr.cli import train as train_verb
from medsr.cli.main import main
from medsr.errors import InputError, InvalidValueError, ModelError, UnknownNameError
from medsr.physics.downscaling import downscale
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
    "appearance": {"coarser": 0.0},
    "optimiser": {"warmup": 1, "cooldown": 2, "ema": 0.8, "learning_rate": 0.01},
    "adversary": {
        "options": {"features": 8, "hidden": 16, "norm": "none"},
        "learning_rate": 0.01,
        "instance_noise": 0.1,
        "pixel_steps": 1,
    },
    "patch": 16,
    "batch": 2,
    "steps": 4,
    "steps_per_epoch": 2,
    "validate_every": 2,
    "validation_patches": 4,
    "precision": "32-true",
}
GAN = ("family=gan", "losses.adversarial=0.1", "losses.relativistic=full")


def recipe(*settings):
    return Recipe(name="tiny").override([f"{k}={json.dumps(v)}" for k, v in TINY.items()]).override(settings)


@pytest.fixture
def data_list(tmp_path):
    for number, name in enumerate("abc"):
        blobs = ndimage.gaussian_filter(np.random.default_rng(number).standard_normal([40] * 3), 1.5)
        array = np.clip(blobs / blobs.std() * 250 + 400, 0, None).astype(np.float32)
        sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / f"{name}.nii.gz"))
    colours = (np.random.default_rng(9).random((60, 50, 3)) * 200 + 50).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(colours, isVector=True), str(tmp_path / "photo.png"))
    path = tmp_path / "list.json"
    train = [{"file": "a.nii.gz", "subject": "a"}, {"file": "b.nii.gz", "subject": "b", "weight": 2}]
    path.write_text(json.dumps({"train": train, "validation": [{"file": "c.nii.gz", "subject": "c"}]}))
    return path


@pytest.fixture
def with_photo(data_list):
    lists = json.loads(data_list.read_text())
    lists["train"].append({"file": "photo.png", "subject": "p", "weight": 3})
    data_list.write_text(json.dumps(lists))
    return data_list


def load(path, channels=1, dims=2):
    from medsr.training.images import load_images

    return load_images(path, path.parent, "train", "MR", channels=channels, dims=dims, coarser_factor=None)


def pairs(images, *settings, scales=(2,), per_step=2, first=0, count=8, seed=1):
    from medsr.training.pairs import EnlargingPairs

    return EnlargingPairs(recipe(*settings), images, scales, per_step, first, count, seed)


# ---------------------------------------------------------------- images


def test_each_colour_is_an_image_of_its_own_for_a_grey_network(with_photo):
    images = load(with_photo)
    assert [image.weight for image in images] == [1, 2, 1, 1, 1]
    assert [image.channels[0].array.shape for image in images] == [(40, 40, 40)] * 2 + [(60, 50)] * 3
    assert all(len(image.channels) == 1 for image in images)


def test_a_grey_image_is_three_equal_colours_for_a_colour_network(with_photo):
    images = load(with_photo, channels=3)
    assert [len(image.channels) for image in images] == [3, 3, 3]
    volume, photo = images[0], images[2]
    assert volume.channels[0] is volume.channels[2]
    assert not np.array_equal(photo.channels[0].array, photo.channels[1].array)


def test_a_flat_image_is_refused_in_3d(with_photo):
    with pytest.raises(InputError, match=r"photo.png, a flat image, and the network is 3D"):
        load(with_photo, dims=3)


def test_large_photographs_are_shrunk(tmp_path, with_photo, monkeypatch):
    from medsr.training import images

    monkeypatch.setattr(images, "_PHOTOGRAPH_SIDE", 20)
    assert load(with_photo)[2].channels[0].array.shape == (20, 16)


# ---------------------------------------------------------------- pairs


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("kind", ["box", "bicubic"])
def test_the_coarse_patch_is_the_fine_one_downscaled(data_list, dims, kind):
    settings = [f"network.spatial_dims={dims}", f"enlarging.downscaling={kind}"]
    for item in (pairs(load(data_list, dims=dims), *settings)[i] for i in range(3)):
        fine, coarse = item["fine"].numpy(), item["coarse"].numpy()
        assert fine.shape == (1,) + (16,) * dims and coarse.shape == (1,) + (8,) * dims
        # Bicubic looks beyond the patch, so only its inside can be made again from it.
        inside = (slice(None),) + (slice(2, -2),) * dims
        again = downscale(fine, kind, (1,) + (2,) * dims)
        np.testing.assert_allclose(coarse[inside], again[inside], atol=1e-5)
        assert fine.std() > 0.01


def test_examples_depend_on_their_number_alone(data_list):
    images = load(data_list)
    items = [pairs(images)[i] for i in range(4)]
    later = pairs(images, first=3)[0]
    assert torch.equal(later["fine"], items[3]["fine"]) and int(later["number"]) == 3
    assert not torch.equal(items[0]["fine"], items[1]["fine"])
    assert not torch.equal(pairs(images, seed=2)[0]["fine"], items[0]["fine"])


def test_scales_take_turns_from_step_to_step(data_list):
    items = pairs(load(data_list), "patch=24", scales=(2, 3), per_step=2)
    assert [items[i]["coarse"].shape[-1] for i in range(6)] == [12, 12, 8, 8, 12, 12]


def test_noise_is_on_the_coarse_patch_alone(data_list):
    images = load(data_list)
    clean = pairs(images)[0]
    noisy = pairs(images, "enlarging.noise=1", "enlarging.noise_range=[0.05, 0.05]")[0]
    assert torch.equal(noisy["fine"], clean["fine"])
    assert float((noisy["coarse"] - clean["coarse"]).std()) == pytest.approx(0.05, rel=0.3)


def test_all_colours_are_cut_at_the_same_place(with_photo):
    item = pairs(load(with_photo, channels=3)[:1])[0]
    assert item["fine"].shape == (3, 16, 16)
    assert torch.equal(item["fine"][0], item["fine"][2])


# ---------------------------------------------------------------- recipes


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        (["family=gann"], UnknownNameError, "Did you mean 'gan'"),
        (["losses.l1=0"], InvalidValueError, "nothing to learn from"),
        (["adversary.every=0"], InvalidValueError, "at least 1"),
        (["validation_patches=0"], InvalidValueError, "at least 1"),
    ],
)
def test_a_recipe_that_cannot_train_is_refused(settings, error, words):
    with pytest.raises(error, match=words):
        recipe(*settings)


def test_every_recipe_names_networks_that_exist():
    from medsr.losses.adversarial import RELATIVISTIC
    from medsr.models.registry import ARCHITECTURES, DISCRIMINATORS, FEATURES
    from medsr.physics.profiles import KINDS

    found = {name: read_recipe(name) for name in train_verb.known_recipes()}
    systems = ["progressive-gan", "edsr-se-gan", "edsr-se-gan-x8", "edsr-se-gan-x16", "vdsr7-multiscale", "srgan"]
    systems += ["srresnet", "three-player-gan", "disgan"]
    assert set(systems) | {f"{name}-small" for name in systems} <= set(found)
    for name, one in found.items():
        assert one.name == name.removesuffix("-small")
        assert one.network.architecture in (FEATURES if one.family == "features" else ARCHITECTURES)
        assert one.losses.features in FEATURES and one.adversary.discriminator in DISCRIMINATORS
        assert one.enlarging.downscaling in KINDS and one.losses.relativistic in RELATIVISTIC


def test_data_lists_keep_test_images_out():
    from medsr.training.volumes import read_data_list

    path = train_verb.RECIPES / "images.data.json"
    listed = {str(e["file"]) for part in ("train", "validation") for e in read_data_list(path, part)}
    assert len(listed) > 30
    for other in ("images.data.json", "slices.data.json"):
        assert not listed & {str(e["file"]) for e in read_data_list(train_verb.RECIPES / other, "test")}


# ---------------------------------------------------------------- runs


def weights_of(path):
    return torch.load(path, weights_only=True)


def distance(one, other):
    assert set(one) == set(other) and one
    return max(float((one[key].float() - other[key].float()).abs().max()) for key in one)


@pytest.mark.parametrize("settings", [(), GAN], ids=["enlarge", "gan"])
def test_a_resumed_training_equals_one_that_was_never_stopped(data_list, tmp_path, monkeypatch, settings):
    from medsr.training.data import EnlargingData
    from medsr.training.run import train

    tiny = recipe(*settings)
    whole = weights_of(train(tiny, data_list, tmp_path, tmp_path / "whole"))
    real = EnlargingData.train_dataloader

    def dies_in_the_second_epoch(self):
        if self.trainer.current_epoch == 1:
            raise RuntimeError("power cut")
        return real(self)

    with monkeypatch.context() as patched:
        patched.setattr(EnlargingData, "train_dataloader", dies_in_the_second_epoch)
        with pytest.raises(RuntimeError, match="power cut"):
            train(tiny, data_list, tmp_path, tmp_path / "stopped")
    resumed = weights_of(train(tiny, data_list, tmp_path, tmp_path / "stopped", resume=True))
    assert distance(resumed, whole) < 1e-6
    other = weights_of(train(tiny.override(["seed=2"]), data_list, tmp_path, tmp_path / "other"))
    assert distance(other, whole) > 1e-4


def test_a_run_leaves_weights_a_model_pictures_and_its_terms(data_list, tmp_path):
    from medsr.training.run import train

    folder = tmp_path / "run"
    weights = train(recipe(*GAN, "losses.grid=0.5"), data_list, tmp_path, folder)
    assert weights == folder / "weights.pt"
    assert json.loads((folder / "bundle/configs/metadata.json").read_text())["name"] == "tiny"
    picture = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "pictures/step-0000004.png")))
    assert picture.shape == (4 * 20, 3 * 20)
    header = (folder / "log/part-00/metrics.csv").read_text().splitlines()[0].split(",")
    assert {"adversarial", "d_fake", "d_loss", "d_real", "gain_db", "grid", "l1", "loss"} <= set(header)


def test_three_players_log_the_spread_of_features(data_list, tmp_path):
    from medsr.training.run import train

    network = {"scale": 2, "features": 4, "growth": 2, "blocks": 1, "global_residual": True}
    settings = [
        "family=three-player",
        "network.architecture=rrdb",
        "network.spatial_dims=3",
        f"network.options={json.dumps(network)}",
        "losses.features=resnet10",
        'losses.features_options={"width": 2}',
        "losses.perceptual=0.01",
        "losses.adversarial=0.005",
        "adversary.discriminator=pairs-3d",
        'adversary.options={"widths": [2, 4]}',
        "adversary.train_features=true",
        "steps=2",
    ]
    train(recipe(*settings), data_list, tmp_path, tmp_path / "run")
    header = (tmp_path / "run/log/part-00/metrics.csv").read_text().splitlines()[0].split(",")
    assert {"feature_std", "perceptual", "adversarial"} <= set(header)
    with pytest.raises(InvalidValueError, match="no third player"):
        train(recipe(*settings, "losses.perceptual=0"), data_list, tmp_path, tmp_path / "other")


def module_of(*settings):
    from medsr.training.run import _module, _started_network

    tiny = recipe(*settings)
    return _module(_started_network(tiny), tiny)


def test_the_grid_is_a_term_of_the_content_where_the_recipe_weighs_it():
    from medsr.losses.grid import grid_difference

    images = [torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    terms = module_of("losses.grid=3").content(*images, factor=2)
    torch.testing.assert_close(terms["grid"], 3 * grid_difference(*images, 2))
    assert set(module_of().content(*images, factor=2)) == set(terms) - {"grid"}


def test_the_third_player_learns_only_where_the_recipe_says_so():
    feature_settings = ("losses.features=resnet10", 'losses.features_options={"width": 2}', "losses.perceptual=0.1")
    for learns in (True, False):
        module = module_of(
            *GAN, *feature_settings, "family=three-player", f"adversary.train_features={str(learns).lower()}"
        )
        module.train()
        assert module.third.training == learns
        assert all(parameter.requires_grad == learns for parameter in module.third.parameters())
        learned = {id(parameter) for parameter in module.generator_parameters()}
        assert all((id(parameter) in learned) == learns for parameter in module.third.parameters())
        assert all(id(parameter) in learned for parameter in module.network.parameters())


def test_instance_noise_falls_to_nought_and_belongs_to_the_example():
    module = module_of(*GAN, "adversary.instance_noise=0.4", "steps=100")
    batch = {"fine": torch.zeros(2, 1, 16, 16), "number": torch.tensor([5, 6])}
    start, later = module.instance_noise(batch, 0), module.instance_noise(batch, 50)
    assert float(start.std()) == pytest.approx(0.4, rel=0.15)
    torch.testing.assert_close(later, start / 2)
    assert float(module.instance_noise(batch, 100)) == 0
    alone = {"fine": torch.zeros(1, 1, 16, 16), "number": torch.tensor([6])}
    torch.testing.assert_close(module.instance_noise(alone, 0)[0], start[1])


def test_a_training_that_falls_apart_stops_and_says_so(data_list, tmp_path, monkeypatch):
    from medsr.training import content
    from medsr.training.run import train

    monkeypatch.setattr(content, "mean_absolute_error", lambda enlarged, fine: (enlarged - fine).sum() * float("nan"))
    with pytest.raises(ModelError, match=r"tiny fell apart at step 1: l1 nan.*--resume"):
        train(recipe(), data_list, tmp_path, tmp_path / "run")


def test_a_network_of_another_family_is_refused(data_list, tmp_path):
    from medsr.training.run import train

    with pytest.raises(ModelError, match="'refine' trains a ProfileRefiner, and 'srresnet' is none"):
        train(recipe("family=refine"), data_list, tmp_path, tmp_path / "run")


def test_vgg19_without_its_file_says_where_to_get_it():
    with pytest.raises(InvalidValueError, match="download https://"):
        module_of("losses.perceptual=1", "losses.features=vgg19")


def test_a_warm_start_takes_the_tensors_that_fit(tmp_path, caplog):
    from medsr.models.registry import build_network
    from medsr.training.warm_start import copy_matching

    options = TINY["network"]["options"]
    x2 = build_network("srresnet", 2, options)
    x4 = build_network("srresnet", 2, {**options, "scale": 4})
    torch.save(x2.half().state_dict(), tmp_path / "x2.pt")
    with caplog.at_level(logging.INFO, "medsr"):
        copied = copy_matching(x4, str(tmp_path / "x2.pt"))
    assert copied == len(x2.state_dict()) < len(x4.state_dict())
    assert f"{copied} of {len(x4.state_dict())} tensors" in caplog.text
    torch.testing.assert_close(x4.tail.weight, x2.tail.weight.float())
    with pytest.raises(ModelError, match="nothing to start from"):
        copy_matching(torch.nn.Linear(2, 2), str(tmp_path / "x2.pt"))


# ---------------------------------------------------------------- guard


def test_the_guard_warns_of_games_that_are_over():
    from medsr.training.guard import CollapseGuard

    guard = CollapseGuard()
    answers = guard.saw_logits(torch.tensor([0.4, -0.2]), torch.tensor([0.1, -0.3]))
    assert 0.5 < float(answers["d_real"]) < 0.6 and guard.warnings() == []
    guard.saw_logits(torch.full((4,), 6.0), torch.full((4,), -6.0))
    assert "nearly always" in guard.warnings()[0]
    guard.saw_logits(torch.zeros(4), torch.zeros(4))
    assert "one answer to everything" in guard.warnings()[0]
    assert guard.warnings() == []


def test_the_guard_warns_of_a_third_player_that_goes_blind():
    from medsr.training.guard import CollapseGuard

    guard, features = CollapseGuard(), torch.randn(100, generator=torch.Generator().manual_seed(0))
    guard.saw_features(features)
    assert guard.warnings() == []
    guard.saw_features(features / 2)
    assert guard.warnings() == []
    guard.saw_features(features / 100)
    assert "shrunk to 1.0%" in guard.warnings()[0]


# ---------------------------------------------------------------- pictures


def test_a_contact_sheet_shows_columns_side_by_side():
    from medsr.training.pictures import contact_sheet

    black, white = torch.zeros(2, 1, 8, 8), torch.ones(2, 1, 8, 8) * 7
    sheet = contact_sheet([black, white])
    assert sheet.shape == (2 * 12, 2 * 12) and sheet.dtype == np.uint8
    assert (sheet[:8, :8] == 0).all() and (sheet[:8, 12:20] == 255).all()
    assert contact_sheet([torch.zeros(1, 3, 4, 8, 8)]).shape == (12, 12, 3)


# ---------------------------------------------------------------- texture-net


def test_every_way_to_spoil_a_patch_changes_it():
    from medsr.training.texture import SPOILING

    patch = np.random.default_rng(0).random((1, 32, 32)).astype(np.float32)
    spoilt = [spoil(patch, np.random.default_rng(1)) for spoil in SPOILING]
    assert np.array_equal(spoilt[0], patch)
    for one in spoilt:
        assert one.shape == patch.shape and one.mean() == pytest.approx(patch.mean(), abs=0.02)
    for i, one in enumerate(spoilt):
        assert all(np.abs(one - other).max() > 0.05 for other in spoilt[:i])


def test_a_feature_network_leaves_a_folder_that_is_checked(data_list, tmp_path):
    from medsr.models.features.shipped import shipped_texture_net
    from medsr.training.run import train

    network = {"architecture": "texture-net", "spatial_dims": 2, "options": {"widths": [2, 3]}}
    settings = ["family=features", f"network={json.dumps(network)}"]
    train(recipe(*settings), data_list, tmp_path, tmp_path / "run")
    bundle = tmp_path / "run/bundle"
    maps = shipped_texture_net(bundle)(torch.rand(1, 1, 16, 16))
    assert [tuple(m.shape) for m in maps] == [(1, 2, 16, 16), (1, 3, 8, 8)]
    model = bundle / "models/model.pt"
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match="altered or are damaged"):
        shipped_texture_net(bundle)


def test_the_texture_net_that_ships_is_small_and_whole():
    from medsr.catalog import BUNDLES
    from medsr.models.features.shipped import shipped_texture_net

    assert (BUNDLES / "texture-net/models/model.pt").stat().st_size < 500_000
    assert not shipped_texture_net().training


# ---------------------------------------------------------------- several processes, every recipe


@pytest.mark.slow
def test_two_processes_equal_one_with_the_joint_batch(data_list, tmp_path):
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(recipe(*GAN, "batch=2").to_dict()))
    shared = ["train", str(path), "--data", str(data_list), "--root", str(tmp_path), "--output"]
    command = [sys.executable, "-m", "medsr", *shared, str(tmp_path / "two"), "--devices", "2"]
    two = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert two.returncode == 0, two.stderr[-2000:]
    assert main([*shared, str(tmp_path / "one"), "--set", "batch=4"]) == 0
    weights = {name: weights_of(tmp_path / name / "weights.pt") for name in ("one", "two")}
    assert distance(weights["two"], weights["one"]) < 1e-5
    # The comparison can say no: the weights before averaging are others.
    checkpoint = torch.load(tmp_path / "one" / "last.ckpt", weights_only=False)["current_model_state"]
    current = {key.rpartition("network.")[2]: value for key, value in checkpoint.items() if "network." in key}
    assert distance(weights["two"], current) > 1e-4


def read_recipe(name):
    return Recipe.load(train_verb.find_recipe(name))


@pytest.mark.parametrize("name", train_verb.known_recipes())
def test_networks_of_every_recipe_fit_each_other_as_wide_as_they_are(name):
    """Of batches of the recipe's own size. Only shapes: on the meta device nothing is computed."""
    from medsr.models.registry import build_discriminator, build_features, build_network
    from medsr.physics.condition import PER_AXIS

    one = read_recipe(name)
    dims, channels = one.network.spatial_dims, one.network.options.get("channels", 1)
    with torch.device("meta"):
        if one.family == "features":
            maps = build_features(one.network.architecture, dims, one.network.options)(
                torch.empty(one.batch, channels, *[one.patch] * dims)
            )
            assert len(maps) == len(one.network.options["widths"])
            return
        network = build_network(one.network.architecture, dims, one.network.options)
        if one.family == "refine":
            patch = torch.empty(one.batch, 1, *[one.patch] * dims)
            assert network(patch, torch.empty(one.batch, dims * PER_AXIS)).shape == patch.shape
            return
        for scale in network.scales:
            fine = network(torch.empty(one.batch, channels, *[one.patch // scale] * dims), scale)
            assert fine.shape == (one.batch, channels, *[one.patch // scale * scale] * dims)
        if one.family != "enlarge":
            judged = build_discriminator(one.adversary.discriminator, dims, one.adversary.options)(fine)
            assert judged.shape[0] == one.batch
        if one.losses.perceptual and one.losses.features == "resnet10":
            assert len(build_features("resnet10", dims, one.losses.features_options)(fine)) > 1


def light(one):
    """Settings with which a smoke test is over in a second: all parts of the recipe, but narrow networks."""
    settings = ["steps=2", "steps_per_epoch=1", "validate_every=1", "validation_patches=1"]
    if one.family == "refine":
        settings.append("network.options.channels=16")
        settings += ["patch=16"] if one.network.spatial_dims == 3 else []
    elif one.network.architecture not in ("vdsr7", "texture-net"):
        settings.append(f"network.options.features={8 if one.network.architecture == 'rrdb' else 16}")
    if one.network.architecture == "rrdb":
        settings.append("network.options.growth=4")
    if one.losses.features == "resnet10":
        settings.append("losses.features_options.width=4")
    if one.adversary.discriminator == "pairs-3d":
        settings.append("adversary.options.widths=[4, 8, 16, 32]")
    if one.adversary.discriminator == "wavelet-unet":
        settings.append("adversary.options.features=4")
    return settings


@pytest.mark.slow
@pytest.mark.parametrize("name", train_verb.known_recipes())
def test_every_recipe_passes_its_smoke_test(name, tmp_path, capsys):
    words = ["train", name, "--smoke", "--output", str(tmp_path / "run"), "--set", *light(read_recipe(name))]
    # Not a process of its own: starting one takes longer than most of these trainings.
    assert main(words) == 0
    assert re.search(r"^Weights +\S+weights.pt", capsys.readouterr().out, re.MULTILINE)
