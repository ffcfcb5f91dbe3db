"""Tiles cover a grid exactly once, and a tiled network equals the whole one."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsr.errors import InvalidValueError, ResourceError
from medsr.methods.tiles import best_tile, spans


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 150), st.integers(0, 12), st.integers(1, 3), st.integers(1, 60))
def test_insides_cover_an_axis_exactly_once(units, halo, multiple, tile_units):
    size = units * multiple
    halo_up = -(-halo // multiple) * multiple
    tile = tile_units * multiple
    if size > tile and tile - 2 * halo_up < multiple:
        with pytest.raises(InvalidValueError):
            spans(size, tile, halo, multiple)
        return
    covered = []
    for span in spans(size, tile, halo, multiple):
        assert span.outer[0] == max(span.inside[0] - halo_up, 0)
        assert span.outer[1] == min(span.inside[1] + halo_up, size)
        assert span.outer[0] % multiple == 0 and span.outer[1] % multiple == 0
        assert span.outer[1] - span.outer[0] <= max(tile, 0)
        assert span.crop.stop - span.crop.start == span.inside[1] - span.inside[0]
        covered.extend(range(*span.inside))
    assert covered == list(range(size))


def test_tile_respects_the_limit_and_prefers_whole_axes():
    sides = best_tile((192, 256, 192), 26, 2, 6e6)
    assert math.prod(sides) <= 6e6
    # Cutting one axis only wastes least.
    assert sides.count(192) == 2


def test_tile_is_the_whole_grid_when_it_fits():
    assert best_tile((40, 50, 60), 26, 2, 1e6) == (40, 50, 60)


def test_smallest_tile_is_offered_when_nothing_fits():
    sides = best_tile((400, 400, 400), 26, 2, 10)
    assert all(side <= 2 * 26 + 8 for side in sides)


torch = pytest.importorskip("torch")


@pytest.fixture(params=[2, 3], ids=["2d", "3d"])
def refiner(request):
    from medsr.models.profile_refiner import ProfileRefiner

    torch.manual_seed(3)
    network = ProfileRefiner(request.param, channels=8, blocks=2)
    # A trained network uses everything: give the parts that start at nothing some weight.
    for parameter in network.parameters():
        if float(parameter.detach().abs().max()) < 1e-6:
            torch.nn.init.normal_(parameter, std=0.05)
    with torch.no_grad():
        network.tail.weight.mul_(100)
    return network.eval()


CONDITION = [1.0, 0.0, 0.8, 0.4, 0.1, 0.0, 0.5, 0.1, 1.0, 0.5, 0.0, 1.0, *[0.0] * 6]


def condition_for(network):
    return torch.tensor(CONDITION[: network.embed[0].in_features])


def test_specialised_network_gives_what_the_general_one_gives(refiner):
    from medsr.models.specialised_refiner import SpecialisedRefiner

    x = torch.rand(1, 1, *[12] * refiner.spatial_dims)
    condition = condition_for(refiner)
    with torch.no_grad():
        general = refiner(x, condition[None])
        special = SpecialisedRefiner(refiner, condition)(x)
    assert float((general - x).abs().max()) > 0.05
    torch.testing.assert_close(special, general, atol=1e-5, rtol=1e-5)


def test_fold_and_unfold_are_inverse(refiner):
    from medsr.models.profile_refiner import fold, unfold

    x = torch.rand(2, 3, *[4, 6, 8][: refiner.spatial_dims])
    assert fold(x).shape[1] == 3 * 2**refiner.spatial_dims
    torch.testing.assert_close(unfold(fold(x)), x)


def test_stated_halo_is_true_and_not_wasteful(refiner):
    """What one output voxel depends on, read from its gradient."""
    size = 2 * refiner.halo + 12
    x = torch.rand(1, 1, *[size] * refiner.spatial_dims, requires_grad=True)
    reaches = []
    for centre in (size // 2, size // 2 + 1):  # first and second voxel of a folded block
        out = refiner(x, condition_for(refiner)[None])
        (gradient,) = torch.autograd.grad(out[(0, 0, *[centre] * refiner.spatial_dims)], x)
        seen = torch.nonzero(gradient[0, 0]) - centre
        reaches.append(int(seen.abs().max()))
    assert max(reaches) == refiner.halo


@pytest.mark.parametrize("factors", [(2.0, 2.0, 2.0), (3.7, 1.0, 1.0), (1.5, 2.5, 1.0)])
def test_tiled_equals_whole(refiner, factors):
    from medsr.methods.engines import TorchEngine
    from medsr.methods.tiling import refine_volume
    from medsr.models.profile_refiner import FOLD
    from medsr.models.specialised_refiner import SpecialisedRefiner
    from medsr.physics.sampling import Acquisition

    dims = refiner.spatial_dims
    shape = (61, 70, 75)[:dims]
    acquisition = Acquisition.from_factors(shape, factors[:dims])
    coarse = np.random.default_rng(1).random(acquisition.coarse_shape, dtype=np.float32)
    engine = TorchEngine(SpecialisedRefiner(refiner, condition_for(refiner)), dims, "cpu")
    tiles = []

    def counting(tile):
        tiles.append(tile.shape)
        return engine(tile)

    counting.device = "cpu"
    arguments = {"halo": refiner.halo, "multiple": FOLD, "smoothness": 0.01, "progress": lambda fraction: None}
    whole = refine_volume(coarse, acquisition, counting, tile_voxels=1e9, **arguments)
    assert len(tiles) == 1
    tiled = refine_volume(coarse, acquisition, counting, tile_voxels=46.0**dims, **arguments)
    assert len(tiles) > 3
    assert whole.shape == acquisition.fine_shape
    np.testing.assert_allclose(tiled, whole, atol=1e-5)
    # The comparison can say no: with too small a halo the seams show.
    narrow = refine_volume(coarse, acquisition, counting, tile_voxels=46.0**dims, **{**arguments, "halo": 2})
    assert np.abs(narrow - whole).max() > 1e-4


def test_falls_back_to_smaller_tiles_when_memory_runs_out(refiner):
    from medsr.methods.engines import TorchEngine
    from medsr.methods.tiling import refine_volume
    from medsr.models.profile_refiner import FOLD
    from medsr.models.specialised_refiner import SpecialisedRefiner
    from medsr.physics.sampling import Acquisition

    dims = refiner.spatial_dims
    shape = (100, 90, 80)[:dims] if dims == 3 else (1400, 900)
    acquisition = Acquisition.from_factors(shape, (2.0,) * dims)
    coarse = np.random.default_rng(1).random(acquisition.coarse_shape, dtype=np.float32)
    engine = TorchEngine(SpecialisedRefiner(refiner, condition_for(refiner)), dims, "cpu")
    refused = []

    def poor(tile):
        if tile.size > 4e5:
            refused.append(tile.size)
            raise ResourceError("no memory")
        return engine(tile)

    poor.device = "poor"
    arguments = {"halo": refiner.halo, "multiple": FOLD, "smoothness": 0.01, "progress": lambda fraction: None}
    result = refine_volume(coarse, acquisition, poor, tile_voxels=1e9, **arguments)
    assert refused
    whole = refine_volume(coarse, acquisition, engine, tile_voxels=1e9, **arguments)
    np.testing.assert_allclose(result, whole, atol=1e-5)

    def hopeless(tile):
        raise ResourceError("no memory at all")

    hopeless.device = "poor"
    with pytest.raises(ResourceError, match="at all"):
        refine_volume(coarse, acquisition, hopeless, tile_voxels=1e6, **arguments)
