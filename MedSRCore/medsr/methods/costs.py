"""What a job takes: bytes at its peak, and seconds on two CPU cores; known without running it, and without torch.

Two images are held all the time: the input, in its own type and in float32, and the output. Beside them come, one after
the other, a tile of features, the difference from the measured data with a few slabs, and the output in its own type.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from medsr.methods.plan import Plan
from medsr.methods.tiles import best_tile, spans
from medsr.physics.condition import canonical_axes
from medsr.resources import has_bfloat16

_RATE, _BFLOAT16_RATE = 2.0e11, 4.0e11
"""Operations per second of two CPU cores in convolutions; the second where they multiply bfloat16 themselves."""

FOLD = 2
"""Voxels along each axis of the blocks that a refiner folds; sizes of its tiles are multiples of it."""

LARGEST_TILE = 8.0e6
"""Voxels beyond which a larger tile of a refiner saves little halo. Where memory is needed later anyway, it grows."""

_SMALLEST_TILE, _SHRINK = 3.0e5, 0.8
"""Voxels of a tile that is tried in any case; and how much smaller the next one is where memory is short."""

LARGEST_TILE_BYTES = 1.0e9
"""Of a tile of the other networks, on a CPU."""

_PROGRAM_BYTES = 2.6e8
_TORCH_BYTES = 2.0e8
_VALUE, _INPUT, _OUTPUT = 4.0, 2.0, 2.0
"""Bytes of a voxel of the work, of the input and of the output; most have 16 bits."""

_SLABS = 4.0e8
_SLAB_COPIES = 6.0
"""What is worked on in parts holds so many bytes beside, or, of a small image, so many values for each voxel."""

_FEATURE_COPIES, _BESIDE_FEATURES = 1.3, 4.0
"""The features of one layer and what a slab needs beside them; images of the size of a tile."""

_START_SECONDS, _TORCH_SECONDS = 0.7, 0.8
_SECONDS_PER_VOXEL = 1.2e-7
_SECONDS_PER_SLICE = 0.01
"""What a slice takes however small it is."""


@dataclass(frozen=True)
class Tiling:
    """How a refiner goes through a volume.

    Attributes:
        voxels: of the largest tile.
        computed: voxels of all tiles, halos included.
        bytes: held for a tile at most.
    """

    voxels: float
    computed: float
    bytes: float


def cost(plan: Plan) -> tuple[float, float]:
    """Bytes and seconds of a job, but for its network."""
    work = plan.target.work.voxels * plan.channels
    seconds = _START_SECONDS + work * _SECONDS_PER_VOXEL
    return _held(plan) + max(_comparing(plan), _finishing(plan)), seconds


def network_cost(plan: Plan, tile_bytes: Sequence[float], operations: float, slices: int = 0) -> tuple[float, float]:
    """As `cost`, of a job with networks that hold tiles of so many bytes and make so many operations, on `slices`."""
    _, seconds = cost(plan)
    peak = max(*tile_bytes, _comparing(plan), _finishing(plan))
    rate = _BFLOAT16_RATE if has_bfloat16() else _RATE
    return _held(plan) + _TORCH_BYTES + peak, seconds + _TORCH_SECONDS + operations / rate + slices * _SECONDS_PER_SLICE


def room_for_tile(plan: Plan, limit: int | None) -> float:
    """Bytes that a tile may take of the `limit` of a job."""
    return math.inf if limit is None else limit - _held(plan) - _TORCH_BYTES


def bytes_per_voxel(plan: Plan) -> float:
    """Of a tile of a refiner, in float32."""
    options = plan.entry.network.get("options", {})
    features = float(options.get("channels", 0)) / FOLD**plan.spatial_dims
    return float(_VALUE * (features * _FEATURE_COPIES + _BESIDE_FEATURES))


def refiner_tiling(plan: Plan, limit: int | None) -> Tiling:
    """The tiles of a refiner on a CPU: as large as costs no memory that is not needed later, within the limit."""
    free = max(_comparing(plan), _finishing(plan))
    usual = _tiling(plan, LARGEST_TILE)
    most = min(max(free, usual.bytes), room_for_tile(plan, limit))
    voxels = max(free / bytes_per_voxel(plan), LARGEST_TILE)
    while (found := _tiling(plan, voxels)).bytes > most and voxels > _SMALLEST_TILE:
        voxels *= _SHRINK
    return found


def refiner_operations(plan: Plan, limit: int | None) -> float:
    """Of a refiner: it uses every weight once for each block of voxels of its tiles, to multiply and to add."""
    voxels = refiner_tiling(plan, limit).computed * plan.channels
    return 2 * voxels * float(plan.entry.network.get("weights", 0)) / float(FOLD) ** plan.spatial_dims


def _tiling(plan: Plan, voxels: float) -> Tiling:
    """The tiles of at most so many voxels, or the smallest that there are."""
    axes = [axis for n, axis in enumerate(plan.acquisition.axes) if plan.spatial_dims == 3 or n != plan.plane_axis]
    axes = [axes[n] for n in canonical_axes([axis.factor for axis in axes])]
    padded = [axis.n_fine + -axis.n_fine % FOLD for axis in axes]
    sides = best_tile(tuple(padded), plan.entry.halo, FOLD, voxels)
    read = [
        sum(span.outer[1] - span.outer[0] for span in spans(size, side, plan.entry.halo, FOLD))
        for size, side in zip(padded, sides, strict=True)
    ]
    across = 1 if plan.spatial_dims == 3 else plan.acquisition.axes[plan.plane_axis].n_fine
    # Each axis is deconvolved once for all tiles that follow along the next ones.
    partial = sum(
        _VALUE * math.prod([*sides[: n + 1], *(axis.n_coarse for axis in axes[n + 1 :])]) for n in range(len(axes) - 1)
    )
    return Tiling(voxels, float(math.prod(read)) * across, bytes_per_voxel(plan) * math.prod(sides) + partial)


def _held(plan: Plan) -> float:
    source, work = plan.target.source.voxels * plan.channels, plan.target.work.voxels * plan.channels
    return _PROGRAM_BYTES + (_INPUT + _VALUE) * source + _VALUE * work


def _comparing(plan: Plan) -> float:
    """The difference from the measured data, and slabs of what is computed of it."""
    source = plan.target.source.voxels
    return _VALUE * source * plan.channels + min(_SLABS, _SLAB_COPIES * _VALUE * source)


def _finishing(plan: Plan) -> float:
    """The output in its type; where it has a grid of its own, the spline that leads there."""
    output = plan.target.output.voxels * plan.channels
    if not plan.target.needs_resampling:
        return _OUTPUT * output
    return (_OUTPUT + _VALUE) * output + 2 * _VALUE * plan.target.work.voxels
