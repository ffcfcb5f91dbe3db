"""Every network that enlarges: shapes, gradients, files, export, and a halo that is true."""

from inspect import signature
from itertools import pairwise, product

import pytest

torch = pytest.importorskip("torch")

from medsr.errors import InvalidValueError, UnknownNameError  # noqa: E402
from medsr.models.edsr_se import ATTENTIONS, ChannelGate  # noqa: E402
from medsr.models.enlarger import Enlarger, doublings  # noqa: E402
from medsr.models.interpolation import cubic_reach, enlarge_cubic  # noqa: E402
from medsr.models.layers import evened  # noqa: E402
from medsr.models.registry import ARCHITECTURES, build_network  # noqa: E402

pytestmark = pytest.mark.network

SMALL = {
    "progressive-gan": {"features": 4, "blocks": 1, "refine_blocks": 1},
    "edsr-se": {"scale": 4, "features": 8, "blocks": 2, "reduction": 4},
    "vdsr7": {"widths": [2, 3, 4, 4, 4, 4]},
    "srresnet": {"features": 4, "blocks": 1},
    "rrdb": {"features": 4, "growth": 2, "blocks": 1},
}
"""Options that make each network small; a line here, and everything below tests it."""
ALL = [pytest.param(name, dims, id=f"{name}-{dims}d") for name, dims in product(SMALL, (2, 3))]


def small(name, dims, **options):
    torch.manual_seed(5)
    return build_network(name, dims, {**SMALL[name], **options})


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def local(network, coarse):
    """The network of one image, in evaluation mode."""
    return network.eval().local_for(coarse)


def test_every_enlarging_architecture_is_tested():
    assert set(SMALL) == {name for name, build in ARCHITECTURES.items() if issubclass(build, Enlarger)}


def test_default_dimension_is_that_of_the_source():
    volumes = {name for name in SMALL if ARCHITECTURES[name](**SMALL[name]).spatial_dims == 3}
    assert volumes == {"rrdb"}


@pytest.mark.parametrize(("name", "dims"), ALL)
@pytest.mark.parametrize("channels", [1, 3])
def test_output_is_the_input_enlarged(name, dims, channels):
    network = small(name, dims, channels=channels)
    coarse = torch.rand(2, channels, *(7, 5, 4)[:dims])
    for scale in network.scales[:3]:
        fine = network(coarse, scale)
        assert fine.shape == (2, channels, *(n * scale for n in coarse.shape[2:]))
        assert torch.isfinite(fine).all()
    with torch.no_grad():
        network.eval()
        assert torch.equal(network(coarse), network(coarse, network.scales[0]))


@pytest.mark.parametrize(("name", "dims"), ALL)
def test_every_parameter_learns(name, dims):
    network = small(name, dims)
    network(torch.rand(2, 1, *[6] * dims)).square().mean().backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    assert gradients and all(gradient is not None for gradient in gradients)
    assert all(torch.isfinite(gradient).all() for gradient in gradients)
    assert sum(float(gradient.abs().max()) > 0 for gradient in gradients) > 0.6 * len(gradients)


@pytest.mark.parametrize(("name", "dims"), ALL)
def test_a_file_of_weights_makes_the_same_network(name, dims, tmp_path):
    network = small(name, dims)
    coarse = torch.rand(2, 1, *[6] * dims)
    network(coarse)  # moves running means, which belong to the file
    torch.save(network.state_dict(), tmp_path / "model.pt")
    torch.manual_seed(6)
    other = build_network(name, dims, SMALL[name]).eval()
    network.eval()
    with torch.no_grad():
        before = other(coarse)
        other.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
        assert not torch.equal(before, network(coarse))
        assert torch.equal(other(coarse), network(coarse))


@pytest.mark.parametrize(("name", "dims"), ALL)
def test_export_gives_the_same_numbers(name, dims):
    network = small(name, dims).eval()
    coarse = torch.rand(1, 1, *(6, 5, 4)[:dims])
    exported = torch.export.export(network, (coarse,)).module()
    other = torch.rand_like(coarse)
    with torch.no_grad():
        torch.testing.assert_close(exported(other), network(other), atol=1e-5, rtol=1e-5)


def reach_of(network, axis, scale):
    """Positions along `axis` on which the fine voxels of one coarse voxel depend, relative to it.

    All weights are positive, so that no influence is cancelled or cut by a ReLU.
    """
    for parameter in network.parameters():
        parameter.data.uniform_(0.05, 0.1)
    sizes = [3] * network.spatial_dims
    sizes[axis] = 2 * network.halo + 5
    centre = network.halo + 2
    coarse = torch.rand(1, 1, *sizes, dtype=torch.float64, requires_grad=True)
    fine = local(network.double(), coarse.detach())(coarse, scale)
    one = fine.narrow(2 + axis, centre * scale, scale).sum()
    (gradient,) = torch.autograd.grad(one, coarse)
    seen = torch.nonzero(gradient.abs().amax([i for i in range(gradient.dim()) if i != 2 + axis]))[:, 0] - centre
    return int(seen.min()), int(seen.max())


@pytest.mark.parametrize(("name", "dims"), ALL)
def test_stated_halo_is_true_and_not_wasteful(name, dims):
    for axis in (0, dims - 1):
        network = small(name, dims)
        assert reach_of(network, axis, network.scales[0]) == (-network.halo, network.halo)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("progressive-gan", {"blocks": 3, "kernels": [5], "refine_blocks": 2}),
        ("edsr-se", {"scale": 8}),
        ("edsr-se", {"scale": 16, "attention": "none"}),
        ("srresnet", {"scale": 2, "batch_norm": False}),
        ("rrdb", {"scale": 4, "global_residual": True}),
        ("vdsr7", {"scales": [3]}),
        ("vdsr7", {"scales": [8]}),
        ("vdsr7", {"scales": [2], "widths": [2, 2]}),
    ],
)
def test_halo_follows_the_options(name, options):
    network = small(name, 2, **options)
    assert reach_of(network, 0, network.scales[0]) == (-network.halo, network.halo)


@pytest.mark.parametrize(("name", "dims"), ALL)
def test_a_tile_with_its_halo_equals_the_whole(name, dims):
    network = small(name, dims)
    halo, scale = network.halo, network.scales[0]
    # One long axis suffices, and spares time: the other axes are whole in every tile.
    coarse = torch.rand(1, 1, *[2 * halo + 20, 6, 5][:dims])
    network = local(network, coarse)
    with torch.no_grad():
        whole = network(coarse)
        start, stop = halo + 4, halo + 12
        tile = network(coarse[:, :, start - halo : stop + halo])
        inside = tile[:, :, halo * scale : (halo + stop - start) * scale]
        torch.testing.assert_close(inside, whole[:, :, start * scale : stop * scale], atol=1e-5, rtol=0)


@pytest.mark.parametrize("dims", [2, 3])
def test_gates_make_edsr_global_until_they_are_kept(dims):
    network = small("edsr-se", dims).eval()
    coarse = torch.rand(1, 1, *[40, 6, 5][:dims])
    coarse[:, :, 20:] *= 3
    assert not network.local
    kept = network.local_for(coarse)
    assert kept.local and not network.local and kept.local_for(coarse) is kept
    with torch.no_grad():
        torch.testing.assert_close(kept(coarse), network(coarse))
        half = slice(0, 20)
        exact = kept(coarse[:, :, half])[:, :, : 8 * 4] - network(coarse)[:, :, : 8 * 4]
        wrong = network(coarse[:, :, half])[:, :, : 8 * 4] - network(coarse)[:, :, : 8 * 4]
    assert float(exact.abs().max()) < 1e-5 < float(wrong.abs().max())
    assert kept.state_dict().keys() == network.state_dict().keys()


@pytest.mark.parametrize("name", [name for name in SMALL if name != "edsr-se"])
def test_other_networks_are_their_own_local_network(name):
    network = small(name, 2)
    assert network.local and network.local_for(torch.rand(1, 1, 6, 6)) is network


@pytest.mark.parametrize(("name", "dims"), ALL)
def test_untrained_network_starts_near_the_interpolation(name, dims):
    optional = "global_residual" in signature(ARCHITECTURES[name]).parameters
    options = {"global_residual": True} if optional else {}
    network = small(name, dims, **options).eval()
    coarse = torch.rand(1, 1, *[12] * dims)
    with torch.no_grad():
        off = (network(coarse) - enlarge_cubic(coarse, network.scales[0])).square().mean().sqrt()
    assert 0 < float(off) < 0.15


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", ["progressive-gan", "edsr-se", "srresnet"])
def test_even_stages_print_no_grid_on_a_flat_image(name, dims):
    found = {}
    for even in (False, True):
        network = small(name, dims, even=even).eval()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter += 0.1 * torch.randn(parameter.shape)
            side = 2 * network.halo + 2
            fine = network(torch.full((1, 1, *[side] * dims), 0.4), network.scales[0])
        middle = fine[(..., *[slice(network.halo * network.scales[0], -network.halo * network.scales[0])] * dims)]
        found[even] = float(middle.std())
    assert found[True] < 1e-4 < 1e-2 < found[False]


def test_even_networks_keep_names_export_and_learn():
    network, other = small("srresnet", 2, even=True), small("srresnet", 2)
    other.load_state_dict(network.state_dict())
    coarse = torch.rand(1, 1, 6, 6)
    assert not torch.allclose(network(coarse, 4), other(coarse, 4))
    exported = torch.export.export(network.eval(), (coarse, 4)).module()
    torch.testing.assert_close(exported(coarse, 4), network(coarse, 4))
    network.train()(coarse, 4).square().mean().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("shape", [(12,), (12, 5, 3, 3), (8, 2, 3, 3, 3)])
def test_evened_kernels_have_equal_sums_and_keep_their_mean(shape):
    places = 4
    parameter = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    even = evened(parameter, places)
    sums = even.flatten(2).sum(2) if even.dim() > 2 else even
    grouped = sums.unflatten(0, (-1, places))
    torch.testing.assert_close(grouped, grouped[:, :1].expand_as(grouped))
    both = (tensor.unflatten(0, (-1, places)).mean(1) for tensor in (even, parameter))
    torch.testing.assert_close(*both)
    torch.testing.assert_close(evened(even, places), even)


@pytest.mark.parametrize("name", SMALL)
def test_refuses_what_it_cannot_enlarge(name):
    network = small(name, 2)
    with pytest.raises(InvalidValueError, match="asked for 5"):
        network(torch.rand(1, 1, 6, 6), 5)
    with pytest.raises(InvalidValueError, match=r"Expected \(batch, 1, 2 sizes\), got \(1, 3, 6, 6\)"):
        network(torch.rand(1, 3, 6, 6))
    with pytest.raises(InvalidValueError, match="got"):
        network(torch.rand(1, 1, 6, 6, 6))
    with pytest.raises(InvalidValueError, match="2 or 3, got 4"):
        build_network(name, 4, SMALL[name])
    with pytest.raises(InvalidValueError, match="channels must be at least 1"):
        build_network(name, 2, {**SMALL[name], "channels": 0})


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("srresnet", {"scale": 3}, "powers of two"),
        ("edsr-se", {"scale": 1}, "from 2 up"),
        ("vdsr7", {"scales": []}, "from 2 up"),
        ("vdsr7", {"widths": [8, 0]}, "one positive number per layer"),
        ("progressive-gan", {"kernels": [4]}, "odd numbers"),
    ],
)
def test_options_that_make_no_sense_are_refused(name, options, words):
    with pytest.raises(InvalidValueError, match=words):
        build_network(name, 2, {**SMALL[name], **options})


def test_unknown_gate_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'improved'"):
        build_network("edsr-se", 2, {"attention": "improve"})


def test_doublings():
    assert [doublings(scale) for scale in (2, 4, 16)] == [1, 2, 4]
    with pytest.raises(InvalidValueError, match="got a scale of 12"):
        doublings(12)


# Parameters of the published layouts, added up layer by layer.

BLOCK_2D = 2 * (64 * 64 * 9 + 64)
DOUBLING_2D = 64 * 256 * 9 + 256


def test_parameters_of_rrdb():
    dense = sum(64 * i * 64 * 27 + 64 for i in (1, 2, 3, 4, 5))
    ends = (64 * 27 + 64) + (64 * 27 + 1)
    total = 3 * 3 * dense + ends + 2 * (64 * 64 * 27 + 64) + (64 * 512 * 27 + 512)
    assert total == 16_042_881
    network = build_network("rrdb", 3, {})
    assert count(network) == total
    assert network.halo == 49


@pytest.mark.parametrize(("dims", "channels", "convolutions"), [(2, 3, 400_467), (2, 1, 395_713), (3, 1, 1_186_129)])
def test_parameters_of_vdsr7(dims, channels, convolutions):
    widths = [channels, 8, 16, 32, 64, 128, 256, channels]
    pairs = list(pairwise(widths))
    assert sum(inputs * outputs * 3**dims + outputs for inputs, outputs in pairs) == convolutions
    network = build_network("vdsr7", dims, {"channels": channels})
    assert count(network) == convolutions + 2 * channels  # scale and shift of the batch normalisation
    assert network.fine_reach == 10  # 21 x 21 voxels, as the source's layers see


def test_parameters_of_srresnet():
    norm, slope = 2 * 64, 1
    head = 3 * 64 * 81 + 64 + slope
    blocks = 16 * (BLOCK_2D + 2 * norm + slope)
    fuse = 64 * 64 * 9 + 64 + norm
    tail = 64 * 3 * 81 + 3
    total = head + blocks + fuse + 2 * (DOUBLING_2D + slope) + tail
    assert total == 1_549_462
    assert count(build_network("srresnet", 2, {"channels": 3})) == total


def test_parameters_of_edsr_without_gates():
    total = (3 * 64 * 9 + 64) + 16 * BLOCK_2D + (64 * 64 * 9 + 64) + 2 * DOUBLING_2D + (64 * 3 * 9 + 3)
    assert total == 1_517_571
    assert count(build_network("edsr-se", 2, {"channels": 3, "attention": "none"})) == total
    gates = 16 * (64 * 4 + 4 + 4 * 64 + 64)
    assert count(build_network("edsr-se", 2, {"channels": 3})) == total + gates
    assert count(build_network("edsr-se", 2, {"channels": 3, "attention": "plain"})) == total + gates
    assert count(build_network("edsr-se", 2, {"channels": 3, "attention": "scaled"})) == total + gates + 16


def test_parameters_of_the_progressive_generator():
    paths = sum(3 * 64 * side**2 + 64 + 1 for side in (3, 5, 7))
    trunk = (3 + 4 + 6 + 3) * (BLOCK_2D + 2 * 2 * 64)
    total = paths + (192 * 64 + 64) + trunk + 2 * (DOUBLING_2D + 1) + 2 * BLOCK_2D + (64 * 3 * 9 + 3)
    network = build_network("progressive-gan", 2, {"channels": 3})
    assert count(network) == total == 1_659_144
    assert network.halo == 39


# What is special about one of them.


@pytest.mark.parametrize("global_residual", [False, True])
def test_progressive_pictures_are_those_of_its_steps(global_residual):
    network = small("progressive-gan", 2, global_residual=global_residual).eval()
    coarse = torch.rand(1, 1, 7, 6)
    with torch.no_grad():
        half, fine = network.pictures(coarse)
        assert half.shape == (1, 1, 14, 12)
        torch.testing.assert_close(half, network.intermediate(coarse))
        torch.testing.assert_close(fine, network(coarse))
    with pytest.raises(InvalidValueError, match="Expected"):
        network.intermediate(torch.rand(1, 3, 7, 6))


@pytest.mark.parametrize(("kind", "bounds"), [("improved", (1.0, 2.0)), ("scaled", (1.0, 1.1)), ("plain", (0.0, 1.0))])
@pytest.mark.parametrize("dims", [2, 3])
def test_gates_stay_within_what_their_formula_says(kind, bounds, dims):
    torch.manual_seed(1)
    gate = ChannelGate(8, 2, kind)
    x = torch.randn(2, 8, *[4] * dims)
    gains = (gate(x) / x).flatten(2).detach()
    torch.testing.assert_close(gains, gains[:, :, :1].expand_as(gains), atol=1e-4, rtol=1e-4)
    assert bounds[0] < float(gains.min()) < float(gains.max()) < bounds[1]


def test_improved_gate_is_monais_with_residual():
    blocks = pytest.importorskip("monai.networks.blocks")
    theirs = blocks.ChannelSELayer(2, 8, r=2, acti_type_2="sigmoid", add_residual=True)
    ours = ChannelGate(8, 2, "improved")
    ours.squeeze.load_state_dict(theirs.fc[0].state_dict())
    ours.excite.load_state_dict(theirs.fc[2].state_dict())
    x = torch.randn(2, 8, 5, 6)
    torch.testing.assert_close(ours(x), theirs(x))
    assert len(ATTENTIONS) == len(set(ATTENTIONS)) == 4


def test_a_network_of_a_larger_scale_can_start_from_a_smaller_one():
    four = build_network("edsr-se", 2, SMALL["edsr-se"]).state_dict()
    eight = build_network("edsr-se", 2, {**SMALL["edsr-se"], "scale": 8}).state_dict()
    shared = {key for key, value in eight.items() if key in four and four[key].shape == value.shape}
    assert shared == set(four)
    assert set(eight) - shared == {"stages.2.convolution.weight", "stages.2.convolution.bias"}


def test_vdsr7_serves_all_scales_with_the_same_weights():
    network = small("vdsr7", 2).eval()
    coarse = torch.rand(1, 1, 6, 6)
    with torch.no_grad():
        for scale in (2, 3, 4, 8):
            fine = enlarge_cubic(coarse, scale)
            detail = network.tail(network.trunk(network.norm(fine)))
            torch.testing.assert_close(network(coarse, scale), fine + detail)


# The interpolation that they start from.

KEYS = [-0.0234375, -0.0703125, 0.2265625, 0.8671875, 0.8671875, 0.2265625, -0.0703125, -0.0234375]
"""Cubic of a = -0.5 at distances 1.75, 1.25, 0.75, 0.25 on both sides: what one sample becomes at factor 2."""


@pytest.mark.parametrize("dims", [2, 3])
def test_cubic_interpolation_of_one_bright_voxel(dims):
    coarse = torch.zeros(1, 1, *[7] * dims)
    coarse[(0, 0, *[3] * dims)] = 1
    expected = line = torch.tensor([0.0] * 3 + KEYS + [0.0] * 3)
    for _ in range(dims - 1):
        expected = expected[..., None] * line
    torch.testing.assert_close(enlarge_cubic(coarse, 2)[0, 0], expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("dims", [2, 3])
def test_cubic_interpolation_keeps_a_constant_and_a_slope(dims, scale):
    constant = torch.full((1, 2, *[6] * dims), 0.3)
    torch.testing.assert_close(enlarge_cubic(constant, scale), torch.full((1, 2, *[6 * scale] * dims), 0.3))
    for axis in range(2, 2 + dims):
        shape = [1] * (dims + 2)
        shape[axis] = 9
        slope = torch.arange(9.0).reshape(shape).expand(1, 2, *[9] * dims)
        fine = enlarge_cubic(slope, scale).narrow(axis, 2 * scale, 5 * scale)
        positions = (torch.arange(2 * scale, 7 * scale) + 0.5) / scale - 0.5
        torch.testing.assert_close(fine.mean([i for i in range(dims + 2) if i != axis]), positions, atol=1e-4, rtol=0)


def test_cubic_interpolation_keeps_the_type():
    for dtype in (torch.bfloat16, torch.float32, torch.float64):
        assert enlarge_cubic(torch.rand(1, 1, 4, 4).to(dtype), 2).dtype == dtype


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("fine_reach", [0, 1, 5, 10])
def test_cubic_reach_is_that_of_the_interpolation(scale, fine_reach):
    coarse = torch.rand(1, 1, 31, 3, dtype=torch.float64, requires_grad=True)
    fine = enlarge_cubic(coarse, scale)[:, :, 15 * scale - fine_reach : 16 * scale + fine_reach]
    (gradient,) = torch.autograd.grad((fine * torch.rand_like(fine)).sum(), coarse)
    seen = torch.nonzero(gradient.abs().amax((0, 1, 3)))[:, 0] - 15
    reach = cubic_reach(fine_reach, scale)
    assert (int(seen.min()), int(seen.max())) == (-reach, reach)


# The page about them.


def table_of_sizes():
    from pathlib import Path

    page = Path(__file__).parents[2] / "docs" / "explanation" / "systems.md"
    rows = page.read_text(encoding="utf-8").partition("## Sizes")[2].partition("\n## ")[0].splitlines()
    cells = [[cell.strip(" `") for cell in row.split("|")[1:-1]] for row in rows if row.startswith("| `")]
    assert len(cells) == 8
    return cells


def multiplications(network, coarse):
    """Of all convolutions, per value of the result."""
    done = []
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Conv3d):
            module.register_forward_hook(lambda layer, _, out: done.append(out.numel() * layer.weight[0].numel()))
    with torch.no_grad():
        fine = network(coarse)
    return sum(done) / (fine.numel() / network.channels)


@pytest.mark.parametrize("row", table_of_sizes(), ids=lambda row: row[0])
def test_the_page_states_the_size_of_the_full_recipes(row):
    from importlib.resources import files

    from medsr.training.recipe import Recipe

    name, generator, dims, channels, parameters, halo, cost = row
    recipe = Recipe.load(files("medsr") / "training" / "recipes" / f"{name}.json").network
    network = build_network(recipe.architecture, recipe.spatial_dims, recipe.options).eval()
    assert (recipe.architecture, str(recipe.spatial_dims), str(network.channels)) == (generator, dims, channels)
    assert f"{count(network):,}" == parameters
    assert str(network.halo) == halo
    coarse = torch.rand(1, network.channels, *[6] * network.spatial_dims)
    assert multiplications(network, coarse) == pytest.approx(float(cost.replace(",", "")), rel=0.02)
