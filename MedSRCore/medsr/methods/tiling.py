"""Running a network tile by tile: each tile is computed with a halo, and its inside is written once.

A tile reads a halo as wide as the network looks, starts on a multiple of its fold, and is cut from the whole grid
only, so tiled equals whole up to roundings (docs/explanation/architecture.md says how far these lead); no blending and
no sum or count volume is needed. A refiner reads the target grid, which the deconvolution makes tile by tile; a network
that enlarges reads the input grid and writes more than it read.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from medsr.errors import ResourceError
from medsr.methods.engines import TileEngine
from medsr.methods.tiles import Span, best_tile, count_tiles, spans
from medsr.physics.sampling import Acquisition, AxisSampling, apply_along, rows_along

logger = logging.getLogger(__name__)

Array = NDArray[np.float32]

Prepare = Callable[[Array], Array]

SMALLEST_TILE = 3.0e5
"""Voxels of the target grid in a tile that any machine should hold."""


def refine_volume(
    coarse: Array,
    acquisition: Acquisition,
    engine: TileEngine,
    *,
    halo: int,
    multiple: int,
    smoothness: float,
    tile_voxels: float,
    progress: Callable[[float], None],
    prepare: Prepare | None = None,
    out: Array | None = None,
) -> Array:
    """Deconvolve and refine a volume (or, with a 2D network, one slice).

    Args:
        coarse: the input, shape ``acquisition.coarse_shape``, axes in the network's order; a view will do.
        acquisition: how `coarse` samples the output grid.
        engine: runs the network, made for this acquisition, on one tile.
        halo: receptive radius of the network in output voxels.
        multiple: output sizes that the network takes are multiples of this.
        smoothness: Tikhonov weight of the network's input.
        tile_voxels: voxels of the largest tile, halo included.
        progress: receives the fraction done.
        prepare: normalises a part of `coarse`; None where it is normalised.
        out: where to put the result, in the network's order; a view will do. None makes an array.

    Returns:
        The refined image, float32, shape ``acquisition.fine_shape``.

    Raises:
        ResourceError: not even a small tile fits into memory.
    """
    inverses = [_padded_inverse(axis, smoothness, multiple) for axis in acquisition.axes]
    padded = [n + -n % multiple for n in acquisition.fine_shape]
    out = np.empty(acquisition.fine_shape, dtype=np.float32) if out is None else out
    _fill(out, coarse, inverses, padded, engine, 1, halo, multiple, tile_voxels, progress, prepare)
    return out


def enlarge_volume(
    coarse: Array,
    scale: int,
    engine: TileEngine,
    *,
    spatial_dims: int,
    halo: int,
    tile_voxels: float,
    progress: Callable[[float], None],
) -> Array:
    """Enlarge a volume (or, with a 2D network, one slice) by a whole factor.

    Args:
        coarse: the input, normalised, ``(*size)`` or ``(*size, channels)``.
        scale: the factor along every axis of the size.
        engine: runs the network on one tile.
        spatial_dims: number of sizes.
        halo: receptive radius of the network in voxels of `coarse`.
        tile_voxels: voxels of `coarse` in the largest tile, halo included.
        progress: receives the fraction done.

    Returns:
        float32, ``(*size * scale)``, with the channels of `coarse`.

    Raises:
        ResourceError: not even a small tile fits into memory.
    """
    size = coarse.shape[:spatial_dims]
    out = np.empty((*(n * scale for n in size), *coarse.shape[spatial_dims:]), dtype=np.float32)
    _fill(out, coarse, [None] * spatial_dims, size, engine, scale, halo, 1, tile_voxels, progress)
    return out


def _fill(
    out: Array,
    coarse: Array,
    inverses: Sequence[Array | None],
    size: Sequence[int],
    engine: TileEngine,
    scale: int,
    halo: int,
    multiple: int,
    tile_voxels: float,
    progress: Callable[[float], None],
    prepare: Prepare | None = None,
) -> None:
    """Compute `out` in tiles of the grid of `size`; in smaller ones when memory runs out."""
    smallest = SMALLEST_TILE / scale ** len(size)
    while True:
        sides = best_tile(tuple(size), halo, multiple, tile_voxels)
        parts = [spans(n, side, halo, multiple) for n, side in zip(size, sides, strict=True)]
        try:
            _run(coarse, inverses, parts, engine, out, scale, progress, prepare)
        except ResourceError:
            if tile_voxels <= smallest:
                raise
            # From what was tried, not from what was allowed: half of a limit beyond the image changes nothing.
            tile_voxels = max(min(tile_voxels, math.prod(sides)) / 2, smallest)
            logger.warning("out of memory on %s; trying tiles of %.2g voxels", engine.device, tile_voxels)
            continue
        return


def _padded_inverse(axis: AxisSampling, smoothness: float, multiple: int) -> Array | None:
    """Rows of the deconvolution of one axis, continued by its last row to a whole multiple; None for no change."""
    extra = -axis.n_fine % multiple
    if axis.is_identity and not extra:
        return None
    matrix = axis.pseudo_inverse(smoothness).astype(np.float32)
    return np.concatenate([matrix, np.repeat(matrix[-1:], extra, axis=0)]) if extra else matrix


def _run(
    coarse: Array,
    inverses: Sequence[Array | None],
    parts: Sequence[Sequence[Span]],
    engine: TileEngine,
    out: Array,
    scale: int,
    progress: Callable[[float], None],
    prepare: Prepare | None,
) -> None:
    """All tiles. Each axis is deconvolved once per slab, column and tile, so nothing of output size is held twice."""
    total = count_tiles(parts)
    done = 0

    def descend(partial: Array, axis: int, chosen: tuple[Span, ...]) -> None:
        nonlocal done
        if axis == len(parts):
            computed = engine(np.ascontiguousarray(partial))
            _write(out, computed, chosen, scale)
            done += 1
            progress(done / total)
            return
        for span in parts[axis]:
            rows = _rows(partial, axis, inverses[axis], span, prepare if axis == 0 else None)
            descend(rows, axis + 1, (*chosen, span))

    descend(coarse, 0, ())


def _rows(partial: Array, axis: int, inverse: Array | None, span: Span, prepare: Prepare | None) -> Array:
    """The outer span of `axis`, prepared and deconvolved."""
    if inverse is None:
        index = [slice(None)] * partial.ndim
        index[axis] = span.outer_slice
        return partial[tuple(index)] if prepare is None else prepare(partial[tuple(index)])
    if axis == 0:
        return rows_along(partial, inverse[span.outer_slice], prepare)
    return apply_along(partial, {axis: inverse[span.outer_slice]})


def _write(out: Array, computed: Array, tile: Sequence[Span], scale: int) -> None:
    """Copy the inside of a tile, without the padding that made its size a multiple."""
    target, source = [], []
    for span, size in zip(tile, out.shape, strict=False):  # `out` may have channels behind its sizes
        start, stop = span.inside[0] * scale, min(span.inside[1] * scale, size)
        if stop <= start:
            return
        offset = span.crop.start * scale
        target.append(slice(start, stop))
        source.append(slice(offset, offset + stop - start))
    out[tuple(target)] = computed[tuple(source)]
