"""Networks with a factor of their own, from bundle to result: grids, tiles, colours, agreement, marks of caution."""

import json

import numpy as np
import pytest
from scipy import ndimage as ndi

from medsr import catalog
from medsr.errors import InvalidValueError, ModelError, UnknownNameError
from medsr.geometry import Geometry
from medsr.inference.pipeline import super_resolve
from medsr.inference.planner import make_plan
from medsr.options import UpscaleOptions
from medsr.physics.downscaling import downscale
from medsr.physics.sampling import Acquisition
from medsr.training.recipe import Recipe
from medsr.volume import Volume

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.network, pytest.mark.filterwarnings("ignore")]

from medsr.models import registry  # noqa: E402
from medsr.models.enlarger import Enlarger  # noqa: E402
from medsr.models.interpolation import cubic_reach  # noqa: E402
from medsr.training.bundling import write_bundle  # noqa: E402
from medsr.training.model_card import Card  # noqa: E402

TINY = {
    "progressive-gan": {"features": 4, "blocks": 1, "refine_blocks": 1},
    "edsr-se": {"features": 4, "blocks": 2, "reduction": 2},
    "vdsr7": {"widths": [4, 4, 4, 4]},
    "srresnet": {"features": 4, "blocks": 1},
    "rrdb": {"features": 4, "blocks": 1, "growth": 2},
}
"""Options that make every registered enlarger small."""


class Toy(Enlarger):
    """Cubic interpolation and a smoothed copy of it: a network of which the result is known."""

    def __init__(self, spatial_dims=2, channels=1, scales=(4,), strength=0.0):
        super().__init__(spatial_dims, channels, scales, global_residual=True)
        self.strength = torch.nn.Parameter(torch.tensor(float(strength)))

    @property
    def halo(self):
        return max(cubic_reach(0, scale) for scale in self.scales)

    def detail(self, coarse, scale):
        detail = coarse
        for axis in range(2, coarse.dim()):
            detail = detail.repeat_interleave(scale, dim=axis)
        return self.strength * detail


@pytest.fixture(autouse=True)
def toys_are_registered(monkeypatch):
    monkeypatch.setattr(registry, "ARCHITECTURES", {**registry.ARCHITECTURES, "toy": Toy})


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """Makes a bundle of an untrained network, in the only folder that the catalog looks into."""
    monkeypatch.setattr(catalog, "BUNDLES", tmp_path / "bundles")
    catalog.load_catalog.cache_clear()

    def make(name="toy-x4", architecture="toy", dims=2, options=None, family="enlarge", downscaling="bicubic"):
        settings = [
            f"family={family}",
            f"enlarging.downscaling={downscaling}",
            f"network.architecture={architecture}",
            f"network.spatial_dims={dims}",
            f"network.options={json.dumps(options or {})}",
        ]
        recipe = Recipe(name).override(settings)
        torch.manual_seed(3)
        network = registry.build_network(architecture, dims, options or {})
        torch.save(network.state_dict(), tmp_path / "weights.pt")
        card = Card("A network.", ("MR", "CT"), "For tests.", "None.", "None.")
        folder = write_bundle(tmp_path / "bundles" / name, recipe, tmp_path / "weights.pt", card)
        catalog.load_catalog.cache_clear()
        return folder

    yield make
    monkeypatch.undo()
    catalog.load_catalog.cache_clear()


def textured(shape=(6, 24, 20), seed=0):
    image = ndi.gaussian_filter(np.random.default_rng(seed).random(shape), 1.0)
    return ((image - image.min()) / np.ptp(image) * 900 + 20).astype(np.float32)


def volume_of(array, spacing_xyz=(1.0, 1.0, 1.0), **attributes):
    z, y, x = array.shape[:3]
    c, s = np.cos(0.4), np.sin(0.4)
    direction = (c, -s, 0.0, s, c, 0.0, 0.0, 0.0, 1.0)
    return Volume(array, Geometry((x, y, z), spacing_xyz, (-30.0, 12.0, 5.0), direction), **attributes)


def run(volume, model, grid=None, **options):
    if grid is not None:
        options["reference"] = "elsewhere.nrrd"
    return super_resolve(volume, UpscaleOptions(model=str(model), device="cpu", **options), reference=grid)


# ---------------------------------------------------------------- grids


def test_without_a_target_the_network_makes_its_own_factor_in_plane(bundle):
    bundle()
    volume = volume_of(textured(), (0.5, 0.5, 3.0), modality="MR")
    result = run(volume, "toy-x4")
    assert result.volume.geometry == volume.geometry.with_grid((0.125, 0.125, 3.0), (80, 96, 6))
    # The outer corner stays: the centre of voxel 0 moves by 3/8 of a voxel.
    start = volume.geometry.to_index(result.volume.geometry.origin_mm)
    np.testing.assert_allclose(start, (-0.375, -0.375, 0), atol=1e-9)
    assert result.report["factors_xyz"] == [4, 4, 1]
    (target,) = (one["text"] for one in result.report["decisions"] if one["kind"] == "target")
    assert "in plane (x, y)" in target and "toy-x4" in target


def test_without_a_target_a_3d_network_makes_its_own_factor_in_every_direction(bundle):
    bundle("toy-3d", dims=3, options={"scales": [2]})
    volume = volume_of(textured((10, 12, 14)), (1.0, 1.0, 2.0), modality="MR")
    result = run(volume, "toy-3d")
    assert result.volume.geometry == volume.geometry.with_grid((0.5, 0.5, 1.0), (28, 24, 20))


def test_an_interpolating_network_equals_pillow(bundle):
    image = pytest.importorskip("PIL.Image")
    bundle()
    array = textured((1, 24, 20))
    result = run(Volume.from_array(array[0]), "toy-x4", consistency=False)
    # Pillow's overshoots below zero are no magnitudes.
    expected = np.maximum(image.fromarray(array[0]).resize((80, 96), image.BICUBIC), 0)
    np.testing.assert_allclose(result.volume.array[0], expected, atol=0.01)


@pytest.mark.parametrize(
    ("options", "scale", "factors", "says"),
    [
        ({"scale": (4, 4, 1)}, 4, [4, 4, 1], "enlarges by 4 in plane (x, y)."),
        ({"scale": (3, 3, 1)}, 4, [4, 4, 1], "The result of toy-x4 is brought to the target grid."),
        ({"scale": (2, 2, 1)}, 2, [2, 2, 1], "enlarges by 2 in plane (x, y)."),
        ({"scale": (2, 2, 3)}, 4, [4, 2, 4], "enlarges by 4 in plane (x, z)"),
        ({"scale": (2, 2, 3), "slice_axis": "z"}, 2, [2, 2, 3], "Deconvolution enlarges by 3 across the slices (z)."),
        ({"spacing": (0.5, 0.5, 2.0)}, 2, [2, 2, 1], "The result of toy-x4 is brought to the target grid."),
        ({"scale": (8, 8, 1)}, 4, [4, 4, 1], "The result of toy-x4 is brought to the target grid."),
    ],
)
def test_other_targets_take_the_smallest_factor_that_reaches(bundle, options, scale, factors, says):
    bundle(options={"scales": [2, 4]})
    plan = make_plan(volume_of(textured(), modality="MR"), UpscaleOptions(model="toy-x4", **options))
    assert plan.scale == scale
    told = " ".join(map(str, plan.decisions))
    assert says in told
    beyond = [each for each in plan.warnings if "4 at most; 8 is asked" in str(each)]
    assert len(beyond) == (options.get("scale") == (8, 8, 1))
    if options.get("scale") != (2, 2, 3) or "slice_axis" in options:
        assert [round(f, 6) for f in plan.target.factors_xyz] == factors


@pytest.mark.parametrize("options", [{"scale": (3, 3, 1)}, {"scale": (4, 4, 3)}, {"spacing": (0.4, 0.5, 1.5)}], ids=str)
def test_blobs_stay_where_they_are_on_other_grids(bundle, options):
    bundle()
    z, y, x = np.meshgrid(np.arange(12), np.arange(30), np.arange(28), indexing="ij")
    array = (1000 * np.exp(-((x - 13) ** 2 + (y - 15) ** 2 + (z - 6) ** 2) / 12)).astype(np.float32)
    volume = volume_of(array, modality="MR")
    result = run(volume, "toy-x4", slice_axis="z", **options).volume

    def centroid(image):
        index = np.stack(np.meshgrid(*[np.arange(n) for n in image.geometry.size_xyz], indexing="ij"), -1)
        weights = np.clip(image.array.transpose(2, 1, 0), 20, None) - 20
        return (image.geometry.to_patient(index) * weights[..., None]).sum((0, 1, 2)) / weights.sum()

    assert result.geometry.size_xyz != volume.geometry.size_xyz
    assert np.linalg.norm(centroid(result) - centroid(volume)) < 0.02


def test_a_reference_grid_is_met_exactly(bundle):
    bundle()
    volume = volume_of(textured((12, 24, 20)), modality="MR")
    reference = Geometry((30, 31, 9), (0.6, 0.7, 1.0), tuple(volume.geometry.to_patient((0.3, 1.2, 2.1))))
    result = run(volume, "toy-x4", grid=reference)
    assert result.volume.geometry == reference


def test_a_network_of_sixteen_may_enlarge_sixteen_times(bundle):
    bundle("toy-x16", options={"scales": [16]})
    bundle("toy-x4")
    volume = volume_of(textured((2, 9, 8)), modality="MR")
    assert run(volume, "toy-x16").volume.geometry.size_xyz == (128, 144, 2)
    assert run(volume, "toy-x16", scale=(16, 16, 1)).volume.geometry.size_xyz == (128, 144, 2)
    with pytest.raises(InvalidValueError, match=r"up to 8 is supported there.*--scale 16,16,1"):
        run(volume, "toy-x16", scale=16)
    with pytest.raises(InvalidValueError, match="up to 8 is supported"):
        run(volume, "toy-x4", scale=(16, 16, 1))
    with pytest.raises(InvalidValueError, match="between 1 and 8"):
        UpscaleOptions(scale=(16, 16, 1))


def test_samples_of_voxel_0_keep_the_centre_of_voxel_0(bundle):
    bundle("toy-wang", dims=3, options={"scales": [2]}, downscaling="nearest_wang")
    fine = textured((20, 24, 16))
    volume = volume_of(np.ascontiguousarray(fine[::2, ::2, ::2]), (2.0, 2.0, 2.0), modality="MR")
    result = run(volume, "toy-wang")
    np.testing.assert_allclose(result.volume.geometry.origin_mm, volume.geometry.origin_mm, atol=1e-9)
    same = downscale(fine, "nearest_wang", (2, 2, 2))
    np.testing.assert_array_equal(same, volume.array)


def test_the_automatic_choice_is_no_network_with_a_factor_of_its_own(bundle):
    bundle()
    bundle("toy-gan", family="gan")
    plan = make_plan(volume_of(textured(), modality="MR"), UpscaleOptions(mode="2d"))
    assert plan.entry.name == "tikhonov"


# ---------------------------------------------------------------- tiles


def test_every_registered_enlarger_is_tried():
    assert set(TINY) == set(registry.ARCHITECTURES) - {"profile-refiner", "toy"}


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("architecture", [*TINY, "toy"])
def test_tiled_equals_whole(architecture, dims):
    from medsr.methods.engines import FixedFactor, TorchEngine, local_network
    from medsr.methods.tiling import enlarge_volume

    torch.manual_seed(5)
    network = registry.build_network(architecture, dims, TINY.get(architecture, {"strength": 0.3})).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "tail" in name:
                parameter.mul_(10)  # untrained tails are small: a seam should be seen
    scale, halo = min(network.scales), network.halo
    size = [2 * halo + 14, 2 * halo + 9][:2] if dims == 2 else [2 * halo + 12, 6, 5]
    coarse = np.random.default_rng(1).random(size, dtype=np.float32)
    engine = TorchEngine(FixedFactor(local_network(network, coarse, "cpu"), scale), dims, "cpu")
    tiles = []

    def counting(tile):
        tiles.append(tile.shape)
        return engine(tile)

    counting.device = "cpu"
    arguments = {"spatial_dims": dims, "progress": lambda fraction: None}
    whole = enlarge_volume(coarse, scale, counting, halo=halo, tile_voxels=1e9, **arguments)
    with torch.no_grad():
        direct = network(torch.from_numpy(coarse)[None, None], scale)[0, 0].numpy()
    np.testing.assert_allclose(whole, direct, atol=1e-5)
    assert tiles == [tuple(size)]
    tiled = enlarge_volume(coarse, scale, counting, halo=halo, tile_voxels=1, **arguments)
    assert len(tiles) > 2
    np.testing.assert_allclose(tiled, whole, atol=1e-5)
    # The comparison can say no: with no halo the seams show.
    narrow = enlarge_volume(coarse, scale, counting, halo=0, tile_voxels=64, **arguments)
    assert np.abs(narrow - whole).max() > 1e-4


def test_smaller_tiles_when_memory_runs_out(monkeypatch):
    from medsr.errors import ResourceError
    from medsr.methods import tiling

    monkeypatch.setattr(tiling, "SMALLEST_TILE", 16.0 * 300)
    coarse = np.random.default_rng(1).random((50, 40), dtype=np.float32)
    refused = []

    def poor(tile):
        if tile.size > 400:
            refused.append(tile.size)
            raise ResourceError("no memory")
        return tile.repeat(4, axis=0).repeat(4, axis=1)

    poor.device = "poor"
    arguments = {"spatial_dims": 2, "halo": 1, "tile_voxels": 1e9, "progress": lambda fraction: None}
    result = tiling.enlarge_volume(coarse, 4, poor, **arguments)
    assert refused
    np.testing.assert_array_equal(result, coarse.repeat(4, axis=0).repeat(4, axis=1))

    def hopeless(tile):
        raise ResourceError("no memory at all")

    hopeless.device = "poor"
    with pytest.raises(ResourceError, match="at all"):
        tiling.enlarge_volume(coarse, 4, hopeless, **arguments)


def test_a_device_without_memory_hands_over_to_the_cpu_and_the_report_says_so(bundle, monkeypatch, caplog):
    from medsr.errors import ResourceError
    from medsr.methods import networks

    bundle()
    asked = []

    def poor(model, image, device):
        asked.append(device)
        if device != "cpu":
            raise ResourceError("no memory")
        return model

    monkeypatch.setattr(networks, "choose_device", lambda asked: "cuda:0")
    monkeypatch.setattr(networks, "free_bytes", lambda device: 1000)
    monkeypatch.setattr(networks, "local_network", poor)
    volume = volume_of(textured((2, 16, 12)), modality="MR")
    report = super_resolve(volume, UpscaleOptions(model="toy-x4")).report
    assert asked == ["cuda:0", "cpu", "cpu"]
    assert report["device"] == "cpu"
    assert "continuing on the CPU" in caplog.text


@pytest.mark.parametrize("architecture", TINY)
def test_a_bundle_of_every_architecture_runs(bundle, architecture):
    bundle("tiny-2d", architecture, 2, TINY[architecture])
    volume = Volume.from_array(textured((1, 21, 18))[0])
    result = run(volume, "tiny-2d")
    scale = catalog.find_model("tiny-2d").scales[0]
    assert result.volume.array.shape == (1, 21 * scale, 18 * scale)
    # Untrained, it is near the interpolation or at least finite; the scale of intensities comes back.
    assert np.isfinite(result.volume.array).all()
    assert catalog.find_model("tiny-2d").network["multiply_adds"] > 10
    estimate = make_plan(volume, UpscaleOptions(model="tiny-2d")).estimate()
    assert 1 < estimate["seconds"] < 60 and estimate["memory_bytes"] > 1e8


# ---------------------------------------------------------------- colours


def photo(shape=(1, 16, 20, 3)):
    image = ndi.gaussian_filter(np.random.default_rng(2).random(shape), (0, 1, 1, 0))
    return (image / image.max() * 255).astype(np.uint8)


def test_a_grey_network_enlarges_each_colour_alone(bundle):
    bundle()
    image = photo()
    result = run(Volume(image, Geometry((20, 16, 1)), planar=True), "toy-x4", dtype="float32")
    assert result.volume.array.shape == (1, 64, 80, 3)
    for colour in range(3):
        alone = run(Volume.from_array(image[0, ..., colour].astype(np.float32)), "toy-x4")
        np.testing.assert_allclose(result.volume.array[..., colour], alone.volume.array, atol=1e-2)


def test_a_colour_network_takes_the_colours_together_and_no_grey_image(bundle):
    bundle("toy-rgb", options={"channels": 3})
    bundle("toy-x4")
    image = Volume(photo(), Geometry((20, 16, 1)), planar=True)
    together, alone = run(image, "toy-rgb"), run(image, "toy-x4")
    assert together.volume.array.shape == (1, 64, 80, 3)
    np.testing.assert_allclose(together.volume.array.astype(float), alone.volume.array, atol=1)
    with pytest.raises(ModelError, match="3 colours of an image together, this image is grey"):
        run(volume_of(textured()), "toy-rgb")


# ---------------------------------------------------------------- agreement and caution


def test_what_undoes_a_program_is_measured_but_not_corrected(bundle):
    bundle(options={"strength": 0.2})
    bundle("toy-box", options={"strength": 0.2}, downscaling="box")
    volume = volume_of(textured(), modality="MR")
    measured, corrected = (run(volume, name).report["consistency"] for name in ("toy-x4", "toy-box"))
    assert measured["residual"] == measured["residual_before"] > 0.1
    assert "bicubic, which toy-x4 learned to undo" in measured["meaning"]
    assert "measured, not corrected" in measured["meaning"]
    assert corrected["residual"] < 0.2 * corrected["residual_before"]
    assert "not corrected" not in corrected["meaning"]


def test_agreement_is_measured_with_the_downscaling_that_was_learned(bundle):
    bundle()
    fine = textured((3, 64, 48))
    volume = volume_of(downscale(fine, "bicubic", (1, 4, 4)).astype(np.float32), modality="MR")
    report = run(volume, "toy-x4").report
    again = downscale(run(volume, "toy-x4").volume.array, "bicubic", (1, 4, 4))
    expected = np.linalg.norm(again - volume.array) / np.linalg.norm(volume.array)
    assert report["consistency"]["residual"] == pytest.approx(expected, rel=1e-3)
    assert report["downscaling"] == "bicubic"


@pytest.mark.parametrize(
    ("scale", "share"), [((2, 2, 1), 0.75), ((4, 4, 1), 0.9375), ((8, 8, 1), 0.9844), ((1, 1, 3), 0.6667)]
)
def test_the_report_counts_what_the_input_cannot_determine(scale, share):
    report = run(volume_of(textured(), modality="MR"), "bspline", scale=scale).report
    assert report["undetermined"]["values"] == pytest.approx(share, abs=1e-4)
    assert f"{100 * share:.1f} %" in report["undetermined"]["meaning"]


def test_at_sixteen_hardly_a_value_is_determined(bundle):
    bundle("toy-x16", options={"scales": [16]})
    report = run(volume_of(textured((1, 9, 8)), modality="MR"), "toy-x16").report
    assert report["undetermined"]["values"] == pytest.approx(1 - 1 / 256, abs=1e-4)


def test_the_energy_that_no_acquisition_sees_is_found():
    from medsr.inference.null_space import seen_energy

    acquisition = Acquisition.from_factors((24, 16, 12), (3, 2, 1))
    image = textured((24, 16, 12)).astype(np.float64)
    # Written out: the projection on what the acquisition sees, by the full matrix of two axes.
    matrices = [axis.matrix for axis in acquisition.axes]
    seen = image - image.mean()
    for axis, matrix in enumerate(matrices):
        seen = np.moveaxis(np.tensordot(np.linalg.pinv(matrix) @ matrix, seen, (1, axis)), 0, axis)

    def energy(fine):
        return seen_energy(fine.astype(np.float32), acquisition.forward(fine.astype(np.float32)), acquisition)

    found = energy(image)
    assert found.total == pytest.approx(((image - image.mean()) ** 2).sum(), rel=1e-5)
    assert found.seen == pytest.approx((seen**2).sum(), rel=1e-4)
    assert 0.3 < found.seen / found.total < 0.99
    # What is added where the acquisition is blind is counted as unseen, and nothing else.
    blind = np.random.default_rng(0).standard_normal(image.shape)
    for axis, matrix in enumerate(matrices[:1]):
        blind = blind - np.moveaxis(np.tensordot(np.linalg.pinv(matrix) @ matrix, blind, (1, axis)), 0, axis)
    added = energy(seen + 100 * blind)
    assert added.seen == pytest.approx(found.seen, rel=1e-2)
    assert added.total - added.seen == pytest.approx(1e4 * (blind**2).sum(), rel=1e-2)


@pytest.mark.parametrize("family", ["gan", "three-player", "enlarge"])
def test_models_that_were_trained_to_look_right_are_marked(bundle, family):
    folder = bundle("toy-net", family=family)
    marked = family != "enlarge"
    entry = catalog.find_model("toy-net")
    assert entry.perceptual is marked
    assert ("may invent detail" in (folder / "docs" / "README.md").read_text()) is marked
    report = run(volume_of(textured(), modality="MR"), "toy-net").report
    assert report["perceptual"] is marked
    assert any("perceptual: may invent detail" in each["text"] for each in report["warnings"]) is marked


# ---------------------------------------------------------------- bundles elsewhere


def test_a_bundle_folder_is_a_model(bundle, tmp_path):
    folder = bundle()
    elsewhere = tmp_path / "trained" / "bundle"
    elsewhere.parent.mkdir()
    folder.rename(elsewhere)
    catalog.load_catalog.cache_clear()
    result = run(volume_of(textured(), modality="MR"), elsewhere)
    assert result.report["model"] == "toy-x4"
    assert result.report["model_sha256"] == catalog.find_model(str(elsewhere)).sha256
    with pytest.raises(UnknownNameError):
        catalog.find_model("toy-x4")
    with pytest.raises(ModelError, match="no bundle"):
        catalog.find_model(str(tmp_path))
    with pytest.raises(ModelError, match="no bundle folder"):
        catalog.find_model(str(tmp_path / "nothing"))


def test_training_leaves_a_model(tmp_path):
    from medsr.training.bundling import bundle_from_training

    recipe = Recipe("my net / 2").override(["family=gan", "network.architecture=toy", "network.spatial_dims=2"])
    torch.save(Toy().state_dict(), tmp_path / "weights.pt")
    (tmp_path / "log" / "part-00").mkdir(parents=True)
    (tmp_path / "log" / "part-00" / "metrics.csv").write_text("step,loss\n0,1.0\n99,0.5\n")
    folder = bundle_from_training(tmp_path, recipe)
    entry = catalog.find_model(str(folder))
    assert (entry.name, entry.perceptual, entry.scales, entry.channels) == ("my-net-2", True, (4,), 1)
    assert "100 steps" in (folder / "docs" / "README.md").read_text()
    assert run(volume_of(textured(), modality="MR"), folder).report["model"] == "my-net-2"


def test_weights_are_stored_in_half_and_run_in_full(bundle):
    from medsr.methods.engines import load_network

    folder = bundle(architecture="srresnet", options=TINY["srresnet"])
    stored = torch.load(folder / "models" / "model.pt", weights_only=True)
    assert {v.dtype for v in stored.values() if v.is_floating_point()} == {torch.float16}
    network = load_network(catalog.find_model("toy-x4"))
    assert {p.dtype for p in network.parameters()} == {torch.float32}


def test_weights_beyond_float16_are_refused(tmp_path):
    recipe = Recipe("big").override(["family=enlarge", "network.architecture=toy", "network.spatial_dims=2"])
    torch.save(Toy(strength=1e6).state_dict(), tmp_path / "weights.pt")
    with pytest.raises(ModelError, match="float16"):
        write_bundle(tmp_path / "bundle", recipe, tmp_path / "weights.pt", Card.of_training(recipe))


def test_monai_builds_the_network_and_loads_its_weights(bundle):
    pytest.importorskip("monai")
    from monai.bundle import ConfigParser

    folder = bundle(architecture="srresnet", options=TINY["srresnet"])
    parser = ConfigParser(json.loads((folder / "configs" / "inference.json").read_text()))
    parser["bundle_root"] = str(folder)
    network = parser.get_parsed_content("network_def")
    network.load_state_dict(parser.get_parsed_content("weights"))
    assert network(torch.rand(1, 1, 8, 8)).shape == (1, 1, 32, 32)


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("name", "../../etc/passwd", "letters"),
        ("name", 7, "metadata"),
        ("description", ["a"], "no text"),
        ("medsr.halo", -1, "halo"),
        ("medsr.halo", 10**9, "halo"),
        ("medsr.halo", "9", "halo"),
        ("medsr.scales", [1], "between 2"),
        ("medsr.scales", [10**6], "between 2"),
        ("medsr.scales", "4", "metadata"),
        ("medsr.channels", 2, "1 or 3"),
        ("medsr.downscaling", "", "belong together"),
        ("medsr.sha256", "zz", "SHA-256"),
        ("medsr.perceptual", "no", "truth"),
        ("medsr.modalities", ["XR"], "MR and CT"),
        ("medsr.spatial_dims", [4], "spatial_dims"),
        ("medsr.factors", [2], "range"),
        ("medsr.smoothness", float("nan"), "smoothness"),
        ("medsr.weights_file", "/etc/passwd", "metadata"),
        ("medsr.folder", "/etc", "metadata"),
        ("medsr.network.options", {"features": 10**12}, "options"),
        ("medsr.network.options", {"a": {"b": {"c": {"d": {}}}}}, "options"),
        ("medsr.network.spatial_dims", 3, "differ"),
        ("medsr.network.values", -1, "values"),
        ("medsr.network", None, "metadata"),
        ("medsr", [], "metadata"),
    ],
)
def test_metadata_that_make_no_sense_are_refused(bundle, path, value, text):
    folder = bundle()
    file = folder / "configs" / "metadata.json"
    data = json.loads(file.read_text())
    *parents, last = path.split(".")
    target = data
    for parent in parents:
        target = target[parent]
    target[last] = value
    file.write_text(json.dumps(data))
    with pytest.raises(ModelError, match=text):
        catalog.read_bundle(folder)


@pytest.mark.parametrize("text", ["{", "[]", "nonsense", "[" * 50_000, "\x00\xff", '"' + "a" * 2_000_000 + '"'])
def test_metadata_that_are_no_json_object_are_refused(bundle, text):
    folder = bundle()
    (folder / "configs" / "metadata.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelError, match="unreadable metadata"):
        catalog.read_bundle(folder)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"options": {"features": 4096, "blocks": 100}}, "do not fit"),
        ({"options": {"features": "many"}}, "does not take|do not fit"),
        ({"options": {"colour": 1}}, "does not take"),
        ({"options": {"features": 4, "blocks": 1, "scale": 8}}, "do not fit"),
        ({"architecture": "srrestnet"}, "Did you mean 'srresnet'"),
    ],
)
def test_a_network_that_the_weights_do_not_fit_is_refused(bundle, change, text):
    folder = bundle(architecture="srresnet", options=TINY["srresnet"])
    file = folder / "configs" / "metadata.json"
    data = json.loads(file.read_text())
    data["medsr"]["network"].update(change)
    file.write_text(json.dumps(data))
    catalog.load_catalog.cache_clear()
    with pytest.raises((ModelError, UnknownNameError), match=text):
        run(Volume.from_array(textured((1, 12, 12))[0]), folder)


def test_a_description_that_is_not_its_network_s_is_refused(bundle):
    folder = bundle()
    file = folder / "configs" / "metadata.json"
    data = json.loads(file.read_text())
    data["medsr"]["halo"] += 1
    file.write_text(json.dumps(data))
    with pytest.raises(ModelError, match="says halo 3, its network has 2"):
        run(Volume.from_array(textured((1, 12, 12))[0]), folder)


def test_weights_that_hold_code_are_not_run(bundle, tmp_path):
    import hashlib
    import pickle

    folder = bundle()

    class Harm:
        def __reduce__(self):
            return (open, (str(tmp_path / "harmed"), "w"))

    weights = pickle.dumps(Harm())
    (folder / "models" / "model.pt").write_bytes(weights)
    file = folder / "configs" / "metadata.json"
    data = json.loads(file.read_text())
    data["medsr"]["sha256"] = hashlib.sha256(weights).hexdigest()
    file.write_text(json.dumps(data))
    with pytest.raises(ModelError, match="do not fit"):
        run(Volume.from_array(textured((1, 12, 12))[0]), folder)
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha", ".png", ".jpg"])
@pytest.mark.parametrize("family", ["gan", "enlarge"])
def test_the_file_says_what_made_it(bundle, tmp_path, suffix, family):
    from medsr.io import describe, read_volume, write_volume

    bundle("toy-net", family=family)
    array = textured((1, 16, 12)) / 4
    result = run(Volume.from_array(array[0].astype(np.uint8)), "toy-net").volume
    path = write_volume(result, tmp_path / f"out{suffix}")
    said = describe(path)["metadata"]["provenance"]
    assert said.startswith("MedSR ") and said.endswith("model toy-net 0.1.0")
    assert ("perceptual: may invent detail" in said) is (family == "gan")
    # The picture is the same with and without the text.
    plain = write_volume(result.replace(metadata={}), tmp_path / f"plain{suffix}")
    assert "provenance" not in describe(plain)["metadata"]
    np.testing.assert_array_equal(read_volume(path).array, read_volume(plain).array)
