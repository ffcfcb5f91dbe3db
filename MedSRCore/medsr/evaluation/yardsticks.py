"""What results are measured against that nobody would ship: the best closed form, and the bicubic of the papers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medsr.metrics import psnr
from medsr.physics.downscaling import bicubic_matrix
from medsr.physics.sampling import Acquisition, apply_along

ORACLE_SMOOTHNESS = tuple(float(10.0**e) for e in np.arange(-4.0, 0.25, 0.5))
"""Weights from 1e-4 to 1, two per decade, among which the oracle chooses."""


def tikhonov_oracle(
    measured: NDArray[np.float32], acquisition: Acquisition, reference: NDArray[np.float32]
) -> tuple[NDArray[np.float32], float]:
    """The best known-profile Tikhonov result (by PSNR against the truth) and its weight."""

    def result(smoothness: float) -> NDArray[np.float32]:
        return acquisition.tikhonov(measured, smoothness).astype(np.float32, copy=False)

    # Made again afterwards rather than kept: nine whole results would not fit for a large volume.
    best = max(ORACLE_SMOOTHNESS, key=lambda smoothness: psnr(result(smoothness), reference))
    return result(best), best


def bicubic(measured: NDArray[np.float32], acquisition: Acquisition) -> NDArray[np.float32]:
    """`measured` enlarged by cubic convolution along every axis that `acquisition` made coarser, faces on faces."""
    matrices = {i: bicubic_matrix(axis.n_coarse, axis.n_fine) for i, axis in acquisition.active.items()}
    return apply_along(measured, matrices).astype(np.float32, copy=False)
