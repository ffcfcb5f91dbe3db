"""Blocks in bfloat16 give nearly what float32 gives, tile by tile too.

A sum of float32 numbers differs in its last digits with the order of the summands, which the processor and the size of
a tile decide. Before a rounding to bfloat16 that is enough: a number halfway between two goes up in one and down in the
other. So a tile equals the whole only up to roundings, and `allowed` says how far these lead.
"""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from medsr.methods import engines, tiling  # noqa: E402
from medsr.methods.tiles import Span, spans  # noqa: E402
from medsr.methods.tiling import refine_volume  # noqa: E402
from medsr.models.profile_refiner import FOLD, ProfileRefiner  # noqa: E402
from medsr.models.specialised_refiner import SpecialisedRefiner  # noqa: E402
from medsr.physics.sampling import Acquisition  # noqa: E402

BLOCKS = 2


def specialised(dims, seed):
    """A refiner with weights that matter everywhere, twice: in float32 and reduced."""
    torch.manual_seed(seed)
    network = ProfileRefiner(dims, channels=8, blocks=BLOCKS).eval()
    with torch.no_grad():
        network.tail.weight.mul_(100)
    condition = torch.zeros(network.embed[0].in_features)
    exact, reduced = SpecialisedRefiner(network, condition), SpecialisedRefiner(network, condition)
    reduced.reduce_precision()
    return exact, reduced, network.halo


def allowed(correction):
    """How far apart two results in bfloat16 may lie, see `SpecialisedRefiner.reduce_precision`."""
    roundings = 3 * BLOCKS + 2
    return 2 * 2.0**-8 * math.sqrt(roundings) * float(np.abs(correction).max())


@pytest.mark.parametrize("dims", [2, 3], ids=["2d", "3d"])
def test_reduced_precision_changes_a_correction_by_less_than_two_percent(dims):
    exact, reduced, _ = specialised(dims, seed=5)
    x = torch.rand(1, 1, *[20] * dims)
    wanted, found = exact(x), reduced(x)
    assert found.dtype == torch.float32
    correction = (wanted - x).norm()
    assert 0 < (found - wanted).norm() < 0.02 * correction


class Tiled:
    """A volume to refine, and what the network gives for the whole of it."""

    def __init__(self, dims, seed):
        shape, self.tile_voxels = {2: ((180, 130), 64.0**2), 3: ((100, 40, 34), 52.0 * 40 * 34)}[dims]
        self.acquisition = Acquisition.from_factors(shape, (2.0, 2.0, 1.0)[:dims])
        self.coarse = np.random.default_rng(seed).random(self.acquisition.coarse_shape, dtype=np.float32)
        _, reduced, self.halo = specialised(dims, seed)
        self.engine = engines.TorchEngine(reduced, dims, "cpu")
        self.whole = self.refine(self.engine, 1e9)
        self.allowed = allowed(self.whole - self.refine(Unchanged(), 1e9))

    def refine(self, engine, tile_voxels, halo=None):
        return refine_volume(
            self.coarse,
            self.acquisition,
            engine,
            halo=halo or self.halo,
            multiple=FOLD,
            smoothness=0.01,
            tile_voxels=tile_voxels,
            progress=lambda fraction: None,
        )

    def difference(self, halo=None):
        """Between the whole and tiles, these as a processor gives them that sums in another order."""
        return np.abs(self.refine(OtherOrder(self.engine), self.tile_voxels, halo) - self.whole)


class Unchanged:
    device = "cpu"

    def __call__(self, tile):
        return tile


class OtherOrder:
    """Moves every voxel to the next float32 number, up or down, before the network reads it."""

    device = "cpu"

    def __init__(self, engine):
        self.engine, self.random = engine, np.random.default_rng(1)

    def __call__(self, tile):
        return self.engine(np.nextafter(tile, tile + self.random.choice(np.float32([-1, 1]), tile.shape)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("dims", [2, 3], ids=["2d", "3d"])
def test_tiled_equals_whole_up_to_roundings(dims, seed):
    tiled = Tiled(dims, seed)
    as_it_is = np.abs(tiled.refine(tiled.engine, tiled.tile_voxels) - tiled.whole)
    assert as_it_is.max() < tiled.allowed
    difference = tiled.difference()
    assert difference.max() > 1e-3  # some went the other way
    assert difference.max() < tiled.allowed


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("dims", [2, 3], ids=["2d", "3d"])
def test_too_small_a_halo_is_no_rounding(dims, seed):
    tiled = Tiled(dims, seed)
    # Tiles start on whole blocks, so an odd halo has a voxel to spare; this one lacks two blocks.
    assert tiled.difference(halo=tiled.halo - 3 * FOLD).max() > tiled.allowed


@pytest.mark.parametrize("dims", [2, 3], ids=["2d", "3d"])
def test_a_tile_that_starts_within_a_block_is_no_rounding(dims, monkeypatch):
    def misplaced(size, *arguments):
        found = spans(size, *arguments)
        return [*found[:1], *(Span(s.inside, (s.outer[0] - 1, s.outer[1] - 1)) for s in found[1:-1]), *found[-1:]]

    tiled = Tiled(dims, seed=0)
    monkeypatch.setattr(tiling, "spans", misplaced)
    assert tiled.difference().max() > tiled.allowed


@pytest.mark.parametrize("native", [True, False])
def test_precision_follows_the_processor(native, monkeypatch):
    from medsr.catalog import find_model

    monkeypatch.setattr(engines, "multiplies_bfloat16", lambda: native)
    entry = find_model("slices-2d")
    engine = engines.refining_engine(entry, engines.load_network(entry), [1.0] + [0.0] * 11, "cpu")
    types = {name.partition(".")[0]: parameter.dtype for name, parameter in engine._network.named_parameters()}
    # The first layer meets the image itself, of which bfloat16 cannot hold the small differences.
    reduced = torch.bfloat16 if native else torch.float32
    assert types == {"head": torch.float32, "pairs": reduced, "tail": reduced}
