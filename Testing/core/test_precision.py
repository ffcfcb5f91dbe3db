"""Blocks in bfloat16 give nearly what float32 gives, tile by tile too."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from medsr.degradation import Acquisition  # noqa: E402
from medsr.inference import engines  # noqa: E402
from medsr.inference.refine import refine_volume  # noqa: E402
from medsr.models.profile_refiner import FOLD, ProfileRefiner  # noqa: E402
from medsr.models.specialised_refiner import SpecialisedRefiner  # noqa: E402


@pytest.fixture(params=[2, 3], ids=["2d", "3d"])
def specialised(request):
    """A refiner with weights that matter everywhere, twice: in float32 and reduced."""
    torch.manual_seed(5)
    network = ProfileRefiner(request.param, channels=8, blocks=2, condition_size=3 * request.param).eval()
    with torch.no_grad():
        network.tail.weight.mul_(100)
    condition = torch.tensor([1.0, 0.0, 0.0] * request.param)
    exact, reduced = SpecialisedRefiner(network, condition), SpecialisedRefiner(network, condition)
    reduced.reduce_precision()
    return exact, reduced, network.halo, request.param


def test_reduced_precision_changes_a_correction_by_less_than_two_percent(specialised):
    exact, reduced, _, dims = specialised
    x = torch.rand(1, 1, *[20] * dims)
    wanted, found = exact(x), reduced(x)
    assert found.dtype == torch.float32
    correction = (wanted - x).norm()
    assert 0 < (found - wanted).norm() < 0.02 * correction


def test_tiled_equals_whole_in_reduced_precision(specialised):
    _, reduced, halo, dims = specialised
    acquisition = Acquisition.from_factors((60, 70, 76)[:dims], (2.0, 2.0, 1.0)[:dims])
    coarse = np.random.default_rng(1).random(acquisition.coarse_shape, dtype=np.float32)
    engine = engines.TorchEngine(reduced, dims, "cpu")
    arguments = {"halo": halo, "multiple": FOLD, "smoothness": 0.01, "progress": lambda fraction: None}
    whole = refine_volume(coarse, acquisition, engine, tile_voxels=1e9, **arguments)
    tiled = refine_volume(coarse, acquisition, engine, tile_voxels=46.0**dims, **arguments)
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


@pytest.mark.parametrize("native", [True, False])
def test_precision_follows_the_processor(native, monkeypatch):
    from medsr.catalog import find_model

    monkeypatch.setattr(engines, "multiplies_bfloat16", lambda: native)
    entry = find_model("slices-2d")
    engine = engines.refining_engine(entry, engines.load_network(entry), [1.0, 0.0, 0.0, 0.0, 0.0, 0.0], "cpu")
    types = {name.partition(".")[0]: parameter.dtype for name, parameter in engine._network.named_parameters()}
    # The first layer meets the image itself, of which bfloat16 cannot hold the small differences.
    reduced = torch.bfloat16 if native else torch.float32
    assert types == {"head": torch.float32, "pairs": reduced, "tail": reduced}
