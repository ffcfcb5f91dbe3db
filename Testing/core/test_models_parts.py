"""What stands beside the generators: discriminators, feature networks, the Haar transform, the registry."""

from itertools import pairwise, product

import pytest

torch = pytest.importorskip("torch")

from medsr.errors import InputNotFoundError, InvalidValueError, ModelError, UnknownNameError  # noqa: E402
from medsr.models import registry  # noqa: E402
from medsr.models.features.vgg19 import VGG19, WEIGHTS_URL  # noqa: E402
from medsr.models.haar import haar, haar_bands  # noqa: E402
from medsr.models.layers import fold, unfold  # noqa: E402
from medsr.models.registry import build_discriminator, build_features, build_network  # noqa: E402

pytestmark = pytest.mark.network


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


# Registry


def test_two_networks_of_one_name_are_refused():
    entry = ("srresnet", registry.ARCHITECTURES["srresnet"])
    with pytest.raises(ModelError, match="Two architectures are called 'srresnet'"):
        registry._register("architecture", entry, entry)
    assert list(registry._register("architecture", entry)) == ["srresnet"]


@pytest.mark.parametrize(
    ("build", "wrong", "right"),
    [
        (build_network, "srresnets", "srresnet"),
        (build_discriminator, "wavelet_unet", "wavelet-unet"),
        (build_features, "resnet-10", "resnet10"),
    ],
)
def test_a_wrong_name_gets_the_nearest_right_one(build, wrong, right):
    with pytest.raises(UnknownNameError, match=f"Did you mean '{right}'"):
        build(wrong, 2, {})
    build(right, 3 if right == "resnet10" else 2, {})


@pytest.mark.parametrize(
    ("build", "name"), [(build_network, "rrdb"), (build_discriminator, "pairs-3d"), (build_features, "resnet10")]
)
def test_wrong_options_are_named(build, name):
    with pytest.raises(ModelError, match="wdth"):
        build(name, 3, {"wdth": 3})
    with pytest.raises(InvalidValueError, match="2 or 3, got 1"):
        build(name, 1, {})


# Discriminators

SMALL_DISCRIMINATORS = {
    "vgg-patch": {"features": 4, "hidden": 8},
    "pairs-3d": {"widths": [4, 4, 6, 6]},
    "wavelet-unet": {"features": 4, "levels": 3},
}
DISCRIMINATORS = [pytest.param(*pair, id=f"{pair[0]}-{pair[1]}d") for pair in product(SMALL_DISCRIMINATORS, (2, 3))]


def test_every_discriminator_is_tested():
    assert set(SMALL_DISCRIMINATORS) == set(registry.DISCRIMINATORS)


@pytest.mark.parametrize(("name", "dims"), DISCRIMINATORS)
@pytest.mark.parametrize("channels", [1, 3])
def test_discriminators_judge_and_learn(name, dims, channels):
    torch.manual_seed(1)
    network = build_discriminator(name, dims, {**SMALL_DISCRIMINATORS[name], "channels": channels})
    side = max(32, network.size_multiple)
    image = torch.rand(2, channels, *[side] * dims, requires_grad=True)
    logits = network(image)
    expected = {"vgg-patch": (2, 1), "pairs-3d": (2, 1, *[side // 16] * dims), "wavelet-unet": (2, 1, *[side] * dims)}
    assert logits.shape == expected[name]
    assert float(logits.detach().abs().max()) < 10  # not decided before it has learnt
    logits.square().mean().backward()
    assert float(image.grad.abs().max()) > 0
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())


@pytest.mark.parametrize("name", SMALL_DISCRIMINATORS)
def test_a_discriminator_can_tell_two_kinds_apart(name):
    torch.manual_seed(1)
    network = build_discriminator(name, 2, SMALL_DISCRIMINATORS[name])
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    rough = torch.rand(4, 1, 16, 16)
    images = torch.cat([rough, rough.mean((2, 3), keepdim=True).expand_as(rough)])
    for _ in range(25):
        true, smooth = network(images).split(4)
        loss = torch.nn.functional.softplus(-true).mean() + torch.nn.functional.softplus(smooth).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.7 < 2 * 0.6931  # 2 log 2 is the loss of one that cannot


def test_parameters_of_the_wavelet_discriminator():
    assert count(build_discriminator("wavelet-unet", 3, {})) == 42_653_827


def test_levels_of_the_wavelet_discriminator_are_those_of_the_source():
    network = build_discriminator("wavelet-unet", 3, {})
    joined = [(down[1] if i else down).out_channels for i, down in enumerate(network.downs)]
    narrow = [unit.smooth.out_channels for unit in network.units]
    assert list(zip(joined, narrow, strict=True)) == [(15, 1), (30, 2), (60, 4), (120, 8), (112, 16)]
    assert [up[1].out_channels for up in network.ups] == [128, 128, 64, 32, 16]
    assert network.bottom[1].out_channels == 128 and network.last_up[3].out_channels == 32
    assert network.size_multiple == 64


def test_wavelet_discriminator_refuses_sizes_that_it_cannot_halve():
    network = build_discriminator("wavelet-unet", 2, SMALL_DISCRIMINATORS["wavelet-unet"])
    with pytest.raises(InvalidValueError, match=r"multiple of 16, got \(24, 32\)"):
        network(torch.rand(1, 1, 24, 32))
    with pytest.raises(InvalidValueError, match="at least 2"):
        build_discriminator("wavelet-unet", 3, {"levels": 1})


def test_parameters_of_srgans_discriminator():
    pairs = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 512), (512, 512)]
    layers = sum(a * b * 9 + b for a, b in pairs) + sum(2 * b for _, b in pairs[1:])
    dense = (512 * 6 * 6 * 1024 + 1024) + (1024 + 1)
    assert layers + dense == 23_565_505
    assert count(build_discriminator("vgg-patch", 2, {"channels": 3, "head": "dense", "patch": 96})) == 23_565_505
    pooled = layers + (512 * 1024 + 1024) + (1024 + 1)
    assert count(build_discriminator("vgg-patch", 2, {"channels": 3})) == pooled


def test_dense_head_judges_one_size_alone():
    network = build_discriminator("vgg-patch", 2, {"features": 4, "hidden": 8, "head": "dense", "patch": 32})
    assert network(torch.rand(2, 1, 32, 32)).shape == (2, 1)
    with pytest.raises(InvalidValueError, match="32 voxels a side, got"):
        network(torch.rand(2, 1, 48, 48))
    with pytest.raises(InvalidValueError, match="multiple of 16"):
        build_discriminator("vgg-patch", 2, {"head": "dense", "patch": 40})
    with pytest.raises(UnknownNameError, match="Did you mean 'pooled'"):
        build_discriminator("vgg-patch", 2, {"head": "pool"})


def test_pairs_give_the_patches_and_parameters_of_the_source():
    widths = [1, 64, 128, 256, 512]
    pairs = [(a, b) for i, b in enumerate(widths[1:]) for a in (widths[i], b)]
    norms = sum(2 * b for _, b in pairs[1:])
    total = sum(a * b * 27 + b for a, b in pairs) + norms + (512 * 27 + 1)
    assert total == 14_066_369
    assert count(build_discriminator("pairs-3d", 3, {})) == total
    tiny = build_discriminator("pairs-3d", 3, SMALL_DISCRIMINATORS["pairs-3d"])
    assert tiny(torch.rand(1, 1, 64, 64, 64)).shape == (1, 1, 4, 4, 4)


@pytest.mark.parametrize("name", ["vgg-patch", "pairs-3d"])
@pytest.mark.parametrize("norm", ["batch", "instance", "spectral", "none"])
def test_normalisation_is_the_one_asked_for(name, norm):
    network = build_discriminator(name, 2, {**SMALL_DISCRIMINATORS[name], "norm": norm})
    kinds = {type(module).__name__ for module in network.modules()}
    assert ("BatchNorm2d" in kinds) == (norm == "batch")
    assert ("InstanceNorm2d" in kinds) == (norm == "instance")
    assert ("_SpectralNorm" in kinds) == (norm == "spectral")
    assert network(torch.rand(2, 1, 32, 32)).isfinite().all()


def test_unknown_normalisation_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'instance'"):
        build_discriminator("pairs-3d", 3, {"norm": "instnce"})


# Feature networks


def test_parameters_and_map_of_resnet10():
    block = lambda a, b: a * b * 27 + b * b * 27 + 4 * b + (0 if a == b else a * b + 2 * b)  # noqa: E731
    total = 343 * 64 + 2 * 64 + block(64, 64) + block(64, 128) + block(128, 256) + block(256, 512)
    assert total == 14_355_520
    assert count(build_features("resnet10", 3, {})) == total
    narrow = build_features("resnet10", 3, {"width": 4})
    assert narrow(torch.rand(1, 1, 64, 64, 64)).shape == (1, 32, 8, 8, 8)
    assert build_features("resnet10", 2, {"width": 4, "channels": 3})(torch.rand(1, 3, 40, 24)).shape == (1, 32, 5, 3)


def test_resnet10_reads_files_of_medicalnet(tmp_path):
    torch.manual_seed(1)
    one = build_features("resnet10", 3, {"width": 4})
    state = {f"module.{key}": value.half() for key, value in one.state_dict().items()}
    state["module.fc.weight"] = torch.zeros(2, 32)
    torch.save({"state_dict": state}, tmp_path / "medicalnet.pth")
    two = build_features("resnet10", 3, {"width": 4, "weights": str(tmp_path / "medicalnet.pth")}).eval()
    x = torch.rand(1, 1, 16, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(two(x), one.eval()(x), atol=1e-2, rtol=1e-2)
    assert next(two.parameters()).dtype == torch.float32


def test_files_of_weights_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(InputNotFoundError, match="no file"):
        build_features("texture-net", 2, {"weights": str(tmp_path / "none.pt")})
    (tmp_path / "text.pt").write_text("no weights")
    with pytest.raises(ModelError, match="does not hold the weights of TextureNet"):
        build_features("texture-net", 2, {"weights": str(tmp_path / "text.pt")})
    torch.save({"levels.0.1.weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(ModelError, match="does not hold the weights of TextureNet"):
        build_features("texture-net", 2, {"weights": str(tmp_path / "other.pt")})
    good = build_features("texture-net", 2, {}).state_dict()
    torch.save(good, tmp_path / "net-0123abcd.pt")
    with pytest.raises(ModelError, match="damaged"):
        build_features("texture-net", 2, {"weights": str(tmp_path / "net-0123abcd.pt")})
    torch.save(good, tmp_path / "net.pt")
    loaded = build_features("texture-net", 2, {"weights": str(tmp_path / "net.pt")}).state_dict()
    assert all(torch.equal(value, good[key]) for key, value in loaded.items())


def test_texture_net_gives_a_map_per_level():
    network = build_features("texture-net", 2, {})
    maps = network(torch.rand(2, 1, 40, 24))
    assert [m.shape[1:] for m in maps] == [(16, 40, 24), (32, 20, 12), (64, 10, 6), (96, 5, 3)]
    assert all(float(m.detach().std()) > 0.05 for m in maps)
    widths = [1, 16, 16, 32, 32, 64, 64, 96, 96]
    assert count(network) == sum(a * b * 9 + b for a, b in pairwise(widths)) == 210_224
    assert 2 * count(network) < 0.5e6  # bytes of its float16 file
    with pytest.raises(InvalidValueError, match="resnet10 for volumes"):
        build_features("texture-net", 3, {})


@pytest.fixture
def flat_vgg(tmp_path):
    """A file in torchvision's layout: no weights, and a last bias of 12.75."""
    state = {}
    inputs, index = 3, 0
    for count_, width in zip((2, 2, 4, 4, 4), (64, 128, 256, 512, 512), strict=True):
        for _ in range(count_):
            state[f"features.{index}.weight"] = torch.zeros(1).expand(width, inputs, 3, 3)
            state[f"features.{index}.bias"] = torch.zeros(width)
            inputs, index = width, index + 2
        index += 1
    assert index == 37
    state["features.34.bias"] = torch.full((512,), 12.75)
    state["classifier.0.weight"] = torch.zeros(2, 2)
    torch.save(state, tmp_path / "vgg.pth")
    return str(tmp_path / "vgg.pth")


def test_vgg_ends_after_the_last_activation_and_divides(flat_vgg):
    for channels in (1, 3):
        network = build_features("vgg19", 2, {"channels": channels, "weights": flat_vgg})
        with torch.no_grad():
            features = network(torch.rand(1, channels, 48, 35))
        torch.testing.assert_close(features, torch.ones(1, 512, 3, 2))
    assert count(network) == 20_024_384
    assert "mean" not in network.state_dict()


def test_vgg_without_its_file_says_where_it_is(flat_vgg):
    with pytest.raises(InvalidValueError, match="texture-net") as caught:
        build_features("vgg19", 2, {})
    assert WEIGHTS_URL in str(caught.value) and "dcbb9e9d" in str(caught.value)
    with pytest.raises(InvalidValueError, match="2D images of 1 or 3 channels"):
        VGG19(3, 1, flat_vgg)
    with pytest.raises(InvalidValueError, match="2D images of 1 or 3 channels"):
        VGG19(2, 2, flat_vgg)


# Haar and folding


def test_haar_bands_of_one_block():
    block = torch.tensor([[1.0, 2.0], [3.0, 4.0]])[None, None]
    torch.testing.assert_close(haar_bands(block).flatten(), torch.tensor([5.0, -1.0, -2.0, 0.0]))
    cube = torch.zeros(1, 1, 2, 2, 2)
    cube[0, 0, 1, 0, 0] = 1  # differs along the first axis: the bands with d first change sign
    expected = torch.tensor([1.0, 1, 1, 1, -1, -1, -1, -1]) / 8**0.5
    torch.testing.assert_close(haar_bands(cube).flatten(), expected)


@pytest.mark.parametrize("dims", [2, 3])
def test_haar_is_orthonormal(dims):
    x = torch.rand(2, 3, *(8, 6, 4)[:dims])
    bands = haar_bands(x)
    assert bands.shape == (2, 3, 2**dims, *(n // 2 for n in x.shape[2:]))
    torch.testing.assert_close(bands.square().sum((2, *range(3, 3 + dims))), x.square().flatten(2).sum(2))
    torch.testing.assert_close(haar(dims).T @ haar(dims), torch.eye(2**dims) / 2**dims)


def test_haar_needs_an_image():
    with pytest.raises(InvalidValueError, match="got 1"):
        haar_bands(torch.rand(1, 1, 4))


def test_unfold_has_the_order_of_pixel_shuffle():
    x = torch.rand(2, 12, 3, 5)
    assert torch.equal(unfold(x), torch.nn.PixelShuffle(2)(x))
    for side in (2, 3):
        y = torch.rand(1, 2, 6, 12, 18)
        assert torch.equal(unfold(fold(y, side), side), y)
