"""Enlarging with a network: deconvolve tile by tile, refine each tile, write its inside once.

A tile reads a halo as wide as the network looks, starts on a multiple of its fold, and is cut from the whole grid
only, so tiled equals whole; no blending and no sum or count volume is needed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from medsr.degradation import Acquisition, AxisSampling, apply_along
from medsr.errors import ResourceError
from medsr.inference.engines import TileEngine
from medsr.inference.tiles import Span, best_tile, count_tiles, spans

logger = logging.getLogger(__name__)

Array = NDArray[np.float32]

SMALLEST_TILE = 3.0e5


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
) -> Array:
    """Deconvolve and refine a volume (or, with a 2D network, one slice).

    Args:
        coarse: the input, normalised, shape ``acquisition.coarse_shape``, axes in the network's order.
        acquisition: how `coarse` samples the output grid.
        engine: runs the network, made for this acquisition, on one tile.
        halo: receptive radius of the network in output voxels.
        multiple: output sizes that the network takes are multiples of this.
        smoothness: Tikhonov weight of the network's input.
        tile_voxels: voxels of the largest tile, halo included.
        progress: receives the fraction done.

    Returns:
        The refined image, float32, shape ``acquisition.fine_shape``.

    Raises:
        ResourceError: not even a small tile fits into memory.
    """
    inverses = [_padded_inverse(axis, smoothness, multiple) for axis in acquisition.axes]
    padded = [n + -n % multiple for n in acquisition.fine_shape]
    out = np.empty(acquisition.fine_shape, dtype=np.float32)
    while True:
        sides = best_tile(padded, halo, multiple, tile_voxels)
        parts = [spans(n, side, halo, multiple) for n, side in zip(padded, sides, strict=True)]
        try:
            _run(coarse, inverses, parts, engine, out, progress)
        except ResourceError:
            if tile_voxels <= SMALLEST_TILE:
                raise
            tile_voxels = max(tile_voxels / 2, SMALLEST_TILE)
            logger.warning("out of memory on %s; trying tiles of %.2g voxels", engine.device, tile_voxels)
            continue
        return out


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
    progress: Callable[[float], None],
) -> None:
    """All tiles. Each axis is deconvolved once per slab, column and tile, so nothing of output size is held twice."""
    total = count_tiles(parts)
    done = 0

    def descend(partial: Array, axis: int, chosen: tuple[Span, ...]) -> None:
        nonlocal done
        if axis == len(parts):
            refined = engine(np.ascontiguousarray(partial))
            _write(out, refined, chosen)
            done += 1
            progress(done / total)
            return
        for span in parts[axis]:
            descend(_rows(partial, axis, inverses[axis], span), axis + 1, (*chosen, span))

    descend(coarse, 0, ())


def _rows(partial: Array, axis: int, inverse: Array | None, span: Span) -> Array:
    """The outer span of `axis`, deconvolved."""
    if inverse is None:
        index = [slice(None)] * partial.ndim
        index[axis] = span.outer_slice
        return partial[tuple(index)]
    return apply_along(partial, {axis: inverse[span.outer_slice]})


def _write(out: Array, refined: Array, tile: Sequence[Span]) -> None:
    """Copy the inside of a tile, without the padding that made its size a multiple."""
    target, source = [], []
    for span, size in zip(tile, out.shape, strict=True):
        start, stop = span.inside[0], min(span.inside[1], size)
        if stop <= start:
            return
        offset = span.crop.start
        target.append(slice(start, stop))
        source.append(slice(offset, offset + stop - start))
    out[tuple(target)] = refined[tuple(source)]
