"""Cubic interpolation to a whole multiple of the size: what the networks add their answer to."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

from torch import Tensor
from torch.nn import functional


def enlarge_cubic(coarse: Tensor, scale: int) -> Tensor:
    """Interpolate with the cubic of a = -0.5 (Keys 1981), axis by axis, as Pillow's bicubic does in 2D.

    Outer faces coincide; at the border the weights of what lies inside are divided by their sum.

    Args:
        coarse: ``(B, C, *size)``, 2D or 3D.
        scale: whole factor of every axis.

    Returns:
        ``(B, C, *size * scale)``, in the type of `coarse`; computed in float32.
    """
    x = coarse if coarse.dtype.itemsize > 4 else coarse.float()
    if x.dim() == 4:
        return _cubic(x, (scale, scale)).to(coarse.dtype)
    batch, channels, depth, height, width = x.shape
    planes = _cubic(x.reshape(batch, channels * depth, height, width), (scale, scale))
    lines = planes.reshape(batch, channels, depth, height * width * scale**2)
    fine = _cubic(lines, (scale, 1)).reshape(batch, channels, depth * scale, height * scale, width * scale)
    return fine.to(coarse.dtype)


def _cubic(x: Tensor, factors: tuple[int, int]) -> Tensor:
    # The antialiased version is the one with Pillow's cubic; enlarging, there is nothing to antialias.
    size = [n * factor for n, factor in zip(x.shape[2:], factors, strict=True)]
    return functional.interpolate(x, size=size, mode="bicubic", antialias=True)


def cubic_reach(fine_reach: int, scale: int) -> int:
    """Coarse voxels that `fine_reach` interpolated voxels depend on, in the worst place of a coarse voxel."""
    return max(_taps_above(Fraction(2 * (phase + fine_reach) + 1 - scale, 2 * scale)) for phase in range(scale))


def _taps_above(position: Fraction) -> int:
    return int(position) if position.denominator == 1 else ceil(position) + 1
