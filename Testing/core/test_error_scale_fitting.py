"""Fitting the error scale: what it learns, and that numpy runs what PyTorch fitted."""

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

from medsr.evaluation.scale_examples import Example, draw_example
from medsr.evaluation.scale_fitting import ScaleNetwork, fit, quantile_loss
from medsr.geometry import Geometry
from medsr.inference import error_scale
from medsr.inference.error_scale import ErrorScale
from medsr.volume import Volume

pytestmark = pytest.mark.network


def an_example(seed):
    """Errors that are ten times as large in the bright half."""
    rng = np.random.default_rng(seed)
    result = np.zeros((44, 40, 40), dtype=np.float32)
    result[22:] = 1.0
    errors = rng.exponential(np.where(result > 0, 0.1, 0.01)).astype(np.float32)
    return Example(result, result * 0.9, errors, np.zeros(3, dtype=np.float32))


def test_the_scale_learns_where_errors_are_large():
    network = fit(an_example, 3, 40)
    example = an_example(7)
    widths = ErrorScale(network.weights()).half_widths(example.result, example.plain, example.condition, (0, 1, 2))
    dark, bright = (slice(4, 16), slice(28, 40))
    assert np.median(widths[bright]) > 3 * np.median(widths[dark])
    assert 0.7 < (example.errors <= widths)[bright].mean() < 1.0


def test_numpy_runs_what_was_fitted():
    torch.manual_seed(0)
    network = ScaleNetwork(4)
    for values in network.parameters():
        torch.nn.init.normal_(values, std=0.1)
    rng = np.random.default_rng(0)
    result, plain = (rng.random((10, 12, 8)).astype(np.float32) for _ in range(2))
    condition = rng.random(4).astype(np.float32)
    widths = ErrorScale(network.weights()).half_widths(result, plain, condition, (0, 1, 2))
    padded = [np.pad(image, error_scale.HALO, mode="edge") for image in (result, plain)]
    blocks = torch.from_numpy(np.moveaxis(error_scale.seen(*padded), -1, 0).copy())[None]
    with torch.no_grad():
        expected = torch.exp(network(blocks, torch.from_numpy(condition)[None]))[0].numpy()
    # The weights of one are in half precision.
    np.testing.assert_allclose(error_scale.blocks_of(widths), np.moveaxis(expected, 0, -1), rtol=2e-2)


def test_the_loss_is_least_where_nine_of_ten_errors_are_below():
    errors = torch.from_numpy(np.random.default_rng(0).exponential(1.0, 20_000))
    widths = (1.5, 2.0, 2.3, 2.6, 3.5)
    losses = {width: float(quantile_loss(torch.full_like(errors, width), errors)) for width in widths}
    assert min(losses, key=losses.__getitem__) == 2.3  # log(10)


def test_an_example_of_a_number_is_always_the_same():
    array = np.random.default_rng(0).random((40, 40, 40)).astype(np.float32)
    volumes = {"a": Volume(array, Geometry((40, 40, 40)))}
    first, again, other = (draw_example(volumes, [1.0], "CT", 32, number) for number in (5, 5, 6))
    np.testing.assert_array_equal(first.errors, again.errors)
    assert all(n % 2 == 0 for n in first.errors.shape)
    assert first.result.shape != other.result.shape or not np.array_equal(first.result, other.result)
