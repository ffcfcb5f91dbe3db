"""The figures of one result, grey or in colour."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsr import metrics
from medsr.metrics import Mask, Scores
from medsr.physics.sampling import Acquisition

Array = NDArray[Any]


def grey(array: Array) -> Array:
    """``(z, y, x)`` as it is; of ``(z, y, x, c)`` the mean over the colours."""
    return array if array.ndim == 3 else np.asarray(array.mean(axis=3, dtype=np.float32))


def score_image(result: Array, reference: Array, acquisition: Acquisition, measured: Array, mask: Mask) -> Scores:
    """All figures of a result ``(z, y, x)`` or ``(z, y, x, c)``.

    In colour, PSNR, bias and the unexplained share are of all colours together, SSIM and HFEN are means over the
    colours, all with the range of the whole reference.

    Args:
        result: what is judged.
        reference: the truth, same shape.
        acquisition: what led from the reference to `measured`.
        measured: what the result was made from.
        mask: foreground, ``(z, y, x)``.

    Raises:
        InvalidValueError: shapes that differ, voxels that are not finite, a constant reference.
    """
    if reference.ndim == 3:
        return metrics.score(result, reference, acquisition, measured, mask=mask)
    span = metrics.data_range(reference)
    colours_mask = np.broadcast_to(mask[..., None], reference.shape)
    colours = range(reference.shape[3])
    return Scores(
        psnr=metrics.psnr(result, reference, span=span),
        psnr_mask=metrics.psnr(result, reference, mask=colours_mask, span=span),
        ssim=float(np.mean([metrics.ssim(result[..., c], reference[..., c], span=span) for c in colours])),
        hfen=float(np.mean([metrics.hfen(result[..., c], reference[..., c], mask=mask) for c in colours])),
        bias=metrics.bias(result, reference, mask=colours_mask),
        redegraded=metrics.nrmse(acquisition.forward(result.astype(np.float32, copy=False)), measured),
    )
