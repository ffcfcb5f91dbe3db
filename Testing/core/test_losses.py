"""Losses: values that can be worked out by hand, orders that must hold, and what is refused."""

import math

import pytest

from medsr.errors import InvalidValueError, UnknownNameError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.network

from medsr.losses.adversarial import RELATIVISTIC, discriminator_loss, generator_loss  # noqa: E402
from medsr.losses.grid import grid_difference, grid_pattern  # noqa: E402
from medsr.losses.perceptual import PerColour, feature_distance, feature_maps  # noqa: E402
from medsr.losses.pixel import mean_absolute_error, mean_squared_error  # noqa: E402
from medsr.losses.structural import WEIGHTS, scales_for, structural_dissimilarity  # noqa: E402


def softplus(x):
    return math.log1p(math.exp(x))


def test_pixel_losses_by_hand():
    one, other = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.5, -1.0]])
    assert float(mean_absolute_error(one, other)) == pytest.approx(1.25)
    assert float(mean_squared_error(one, other)) == pytest.approx((0.25 + 4) / 2)


# ---------------------------------------------------------------- structural


def texture(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("side", "scales"), [(11, 1), (21, 1), (22, 2), (44, 3), (98, 3), (99, 4), (176, 5)])
def test_patches_use_as_many_scales_as_they_have_room_for(side, scales):
    assert scales_for(side) == scales
    # The library that computes it agrees that there is room.
    image = texture(1, 1, side, side)
    assert float(structural_dissimilarity(image, image)) == pytest.approx(0, abs=1e-5)


def test_the_weights_of_all_scales_are_those_of_the_source():
    assert sum(WEIGHTS) == pytest.approx(1, abs=1e-3)
    assert WEIGHTS[0] == 0.0448


@pytest.mark.parametrize("shape", [(2, 1, 48, 48), (1, 3, 48, 48), (1, 1, 24, 24, 24)])
def test_structure_is_lost_step_by_step(shape):
    image = texture(*shape)
    little, much = (image + amount * texture(*shape, seed=1) for amount in (0.05, 0.5))
    losses = [float(structural_dissimilarity(other, image)) for other in (image, little, much)]
    assert losses[0] == pytest.approx(0, abs=1e-5)
    assert losses[0] < losses[1] < losses[2] < 1


def test_structure_has_a_finite_gradient_even_where_it_is_reversed():
    image = texture(1, 1, 48, 48)
    reversed_image = (1 - image).requires_grad_()
    structural_dissimilarity(reversed_image, image).backward()
    assert torch.isfinite(reversed_image.grad).all()


def test_structure_is_not_judged_in_half_precision():
    torch.manual_seed(0)
    fine = 0.5 + 0.02 * torch.randn(1, 1, 64, 64)
    exact = structural_dissimilarity(0.99 * fine, fine)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = structural_dissimilarity(0.99 * fine, fine)
    assert float(exact) < 0.01
    torch.testing.assert_close(mixed, exact, rtol=0, atol=1e-7)


def test_structure_needs_room_for_its_window():
    with pytest.raises(InvalidValueError, match="at least 11"):
        structural_dissimilarity(texture(1, 1, 10, 30), texture(1, 1, 10, 30))


# ---------------------------------------------------------------- grid


@pytest.mark.parametrize(("dims", "factor"), [(2, 4), (2, 16), (3, 2)])
def test_a_grid_is_found_by_hand(dims, factor):
    smooth = torch.full((2, 1, *[8 * factor] * dims), 0.5)
    printed = smooth.clone()
    # One voxel of each coarse one is brighter.
    printed[(..., *[slice(1, None, factor)] * dims)] += 0.3
    places = factor**dims
    assert grid_pattern(printed, factor).shape == (2, places, *[2] * dims)
    assert float(grid_difference(printed, smooth, factor)) == pytest.approx(0.3 * 2 * (places - 1) / places**2)
    assert float(grid_difference(printed, printed, factor)) == 0


def test_a_grid_repeats_and_detail_does_not():
    truth = texture(4, 1, 96, 96)
    detail = 0.2 * texture(4, 1, 96, 96, seed=1)
    grid = detail[..., :4, :4].repeat(1, 1, 24, 24)
    assert float(grid_difference(truth + detail, truth, 4)) < 0.4 * float(grid_difference(truth + grid, truth, 4))
    # Nor is an error of the brightness one.
    assert float(grid_difference(truth + 0.2, truth, 4)) == pytest.approx(0, abs=1e-6)


def test_a_grid_fades_where_its_loss_is_made_small():
    truth = texture(1, 1, 32, 32)
    printed = (truth + texture(1, 1, 4, 4, seed=2).repeat(1, 1, 8, 8)).requires_grad_()
    before = grid_difference(printed, truth, 4)
    before.backward()
    with torch.no_grad():
        assert grid_difference(printed - 0.1 * printed.grad.sign(), truth, 4) < before


# ---------------------------------------------------------------- adversarial


def test_the_game_by_hand():
    real, fake = torch.tensor([[2.0], [0.0]]), torch.tensor([[-1.0], [1.0]])
    plain = (softplus(-2) + softplus(0)) / 2, (softplus(-1) + softplus(1)) / 2
    assert float(discriminator_loss(real, fake)) == pytest.approx(sum(plain) / 2)
    assert float(generator_loss(real, fake)) == pytest.approx(plain[1])
    # mean D(x) = 0 and mean D(y) = 1: d_y = 2, 0 and d_x = -2, 0
    relative = (softplus(-2) + softplus(0)) / 2, (softplus(-2) + softplus(0)) / 2
    for kind in ("half", "full"):
        assert float(discriminator_loss(real, fake, kind)) == pytest.approx(sum(relative) / 2)
    as_real, as_fake = (softplus(2) + softplus(0)) / 2, (softplus(2) + softplus(0)) / 2
    assert float(generator_loss(real, fake, "half")) == pytest.approx(as_real)
    assert float(generator_loss(real, fake, "full")) == pytest.approx((as_real + as_fake) / 2)


@pytest.mark.parametrize("kind", RELATIVISTIC)
@pytest.mark.parametrize("shape", [(4, 1), (2, 1, 4, 4), (2, 1, 2, 2, 2)])
def test_whoever_does_better_has_the_lower_loss(kind, shape):
    unsure = torch.zeros(shape)
    right, wrong = torch.full(shape, 3.0), torch.full(shape, -3.0)
    told_apart = discriminator_loss(right, wrong, kind)
    at_a_loss = discriminator_loss(unsure, unsure, kind)
    mistaken = discriminator_loss(wrong, right, kind)
    assert float(at_a_loss) == pytest.approx(math.log(2))
    assert told_apart < at_a_loss < mistaken
    assert generator_loss(unsure, right, kind) < generator_loss(unsure, unsure, kind)
    assert generator_loss(unsure, unsure, kind) < generator_loss(unsure, wrong, kind)


@pytest.mark.parametrize("kind", RELATIVISTIC)
def test_a_hopeless_generator_still_has_a_gradient(kind):
    fake = torch.full((4, 1), -200.0, requires_grad=True)
    generator_loss(torch.full((4, 1), 200.0), fake, kind).backward()
    assert float(fake.grad.sum()) < -0.4


def test_the_mean_of_the_other_side_has_a_gradient_in_relativistic_losses_alone():
    for kind, seen in (("none", False), ("half", True), ("full", True)):
        real = torch.zeros(2, 1, requires_grad=True)
        loss = generator_loss(real, torch.ones(2, 1, requires_grad=True), kind)
        (gradient,) = torch.autograd.grad(loss, real, allow_unused=True)
        assert (gradient is not None and float(gradient.abs().sum()) > 0) == seen


def test_an_unknown_game_is_refused():
    with pytest.raises(UnknownNameError, match="Did you mean 'full'"):
        generator_loss(torch.zeros(1), torch.zeros(1), "ful")


# ---------------------------------------------------------------- perceptual


def test_features_are_compared_map_by_map():
    seen = [torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 2, 2)]
    wanted = [torch.full((1, 2, 4, 4), 2.0), torch.full((1, 3, 2, 2), -1.0)]
    assert float(feature_distance(seen, wanted)) == pytest.approx((4 + 1) / 2)
    assert float(feature_distance(seen, wanted, "l1")) == pytest.approx((2 + 1) / 2)
    assert float(feature_distance(wanted, wanted)) == 0
    with pytest.raises(UnknownNameError, match="mse"):
        feature_distance(seen, wanted, "cosine")
    with pytest.raises(ValueError, match=r"shorter|longer"):
        feature_distance(seen, wanted[:1])


def test_extractors_may_give_one_map_or_several():
    image = texture(1, 1, 8, 8)
    assert len(feature_maps(torch.nn.Identity(), image)) == 1

    class Two(torch.nn.Module):
        def forward(self, x):
            return x, 2 * x

    assert [float(m.sum() / image.sum()) for m in feature_maps(Two(), image)] == pytest.approx([1, 2])


def test_a_grey_feature_network_sees_each_colour_alone():
    image = texture(2, 3, 8, 8)
    (maps,) = PerColour(torch.nn.Identity())(image)
    assert maps.shape == (6, 1, 8, 8)
    assert torch.equal(maps[4, 0], image[1, 1])
