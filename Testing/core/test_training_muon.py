"""Muon: matrices near orthogonal, steps as long as Adam's, and a training that stopped goes on as it was."""

import copy
import io

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from medsr.models.profile_refiner import ProfileRefiner  # noqa: E402
from medsr.training.muon import Muon, orthogonal  # noqa: E402
from medsr.training.schedule import muon  # noqa: E402
from medsr.training.sections import OptimiserRecipe  # noqa: E402

pytestmark = [pytest.mark.network, pytest.mark.filterwarnings("ignore")]


def random(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def stepped(shape, gradient, lr=1e-2, steps=1, hidden=True):
    """How far a weight that was zero has moved."""
    weight = torch.nn.Parameter(torch.zeros(shape))
    optimiser = Muon([weight] if hidden else [], [] if hidden else [weight], lr)
    for _ in range(steps):
        weight.grad = gradient.clone()
        optimiser.step()
    return weight.detach()


@pytest.mark.parametrize("shape", [(8, 20), (20, 8), (16, 16), (1, 5)])
def test_singular_values_come_near_one_and_their_directions_stay(shape):
    matrix = random(*shape)
    near = orthogonal(matrix)
    assert near.shape == matrix.shape
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    rotated = left.T @ near @ right.T
    values = rotated.diagonal()
    assert values.min() > 0.6 and values.max() < 1.3
    assert (rotated - torch.diag(values)).abs().max() < 1e-3


def test_the_scale_of_a_matrix_does_not_matter_and_nothing_stays_nothing():
    matrix = random(6, 9)
    torch.testing.assert_close(orthogonal(1e4 * matrix), orthogonal(matrix), atol=1e-4, rtol=1e-3)
    assert orthogonal(torch.zeros(3, 4)).abs().max() == 0


@pytest.mark.parametrize("shape", [(16, 16, 3, 3), (8, 32, 3, 3, 3), (64, 4, 1, 1)])
def test_a_step_is_as_long_as_one_of_adam(shape):
    moved = stepped(shape, random(*shape), lr=1e-2)
    # All singular values 1: a root mean square of 0.2 times the rate.
    assert moved.square().mean().sqrt() == pytest.approx(0.2 * 1e-2, rel=0.25)
    # Downhill, however steep.
    assert (moved * random(*shape)).sum() < 0
    torch.testing.assert_close(stepped(shape, 1e3 * random(*shape)), moved, atol=1e-5, rtol=1e-2)


def test_other_weights_follow_adam():
    weight = random(5, 7)
    ours, theirs = torch.nn.Parameter(weight.clone()), torch.nn.Parameter(weight.clone())
    optimisers = Muon([], [ours], 1e-2, betas=(0.9, 0.99)), torch.optim.Adam([theirs], 1e-2, betas=(0.9, 0.99))
    for number in range(5):
        for parameter, optimiser in zip((ours, theirs), optimisers, strict=True):
            parameter.grad = random(5, 7, seed=number) * 10.0**-number
            optimiser.step()
    torch.testing.assert_close(ours, theirs, atol=1e-7, rtol=1e-5)


def test_weights_without_a_gradient_stay():
    weight = torch.nn.Parameter(random(4, 4))
    Muon([weight], [], 1e-2).step()
    torch.testing.assert_close(weight.detach(), random(4, 4))


class LeastSquares:
    """Minimises ``|W x - y|^2`` for one hidden matrix and one bias."""

    def __init__(self):
        self.x, truth = random(12, 200, seed=1), random(6, 12, seed=2)
        self.y = truth @ self.x + 0.7
        self.weight, self.bias = torch.nn.Parameter(torch.zeros(6, 12)), torch.nn.Parameter(torch.zeros(6, 1))
        self.optimiser = Muon([self.weight], [self.bias], 0.3)

    def loss(self):
        return (self.weight @ self.x + self.bias - self.y).square().mean()

    def run(self, first, last):
        for step in range(first, last):
            for group in self.optimiser.param_groups:
                group["lr"] = 0.3 * (1 - step / 200)
            self.optimiser.zero_grad()
            self.loss().backward()
            self.optimiser.step()
        return float(self.loss())


def test_a_least_squares_problem_is_solved():
    problem = LeastSquares()
    before = float(problem.loss())
    assert problem.run(0, 200) < 1e-3 * before


def test_a_training_that_stopped_goes_on_as_it_was():
    whole, stopped = LeastSquares(), LeastSquares()
    whole.run(0, 30)
    stopped.run(0, 15)
    file = io.BytesIO()
    torch.save([stopped.weight.detach(), stopped.bias.detach(), stopped.optimiser.state_dict()], file)
    file.seek(0)
    again = LeastSquares()
    weight, bias, state = torch.load(file, weights_only=True)
    with torch.no_grad():
        again.weight.copy_(weight)
        again.bias.copy_(bias)
    forgetful = copy.deepcopy(again)
    again.optimiser.load_state_dict(state)
    again.run(15, 30)
    forgetful.run(15, 30)
    torch.testing.assert_close(again.weight, whole.weight, atol=0, rtol=0)
    torch.testing.assert_close(again.bias, whole.bias, atol=0, rtol=0)
    # The comparison can say no: without its momentum it goes elsewhere.
    assert (forgetful.weight - whole.weight).abs().max() > 1e-3


def test_a_refiner_has_its_blocks_convolutions_hidden_and_every_weight_once():
    network = ProfileRefiner(2, channels=4, blocks=3)
    recipe = OptimiserRecipe(warmup=4, cooldown=10)
    found = muon(network, 1e-2, 40, recipe)
    optimiser = found["optimizer"]
    hidden, others = (group["params"] for group in optimiser.param_groups)
    assert [weight.shape for weight in hidden] == [(4, 4, 3, 3)] * 6
    assert {id(w) for w in (*hidden, *others)} == {id(w) for w in network.parameters()}
    assert len(hidden) + len(others) == len(list(network.parameters()))
    rates = []
    for _ in range(5):
        rates.append([group["lr"] for group in optimiser.param_groups])
        optimiser.step()
        found["lr_scheduler"]["scheduler"].step()
    np.testing.assert_allclose(rates, np.repeat(1e-2 * np.array([[0.25], [0.5], [0.75], [1], [1]]), 2, axis=1))
