"""Enlarging one channel with a network: axes in its order, intensities on its scale, memory in its bounds.

The only module of `medsr.methods` that loads torch, with those that it imports.
"""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from medsr.catalog import find_model
from medsr.errors import ResourceError
from medsr.methods.engines import (
    FixedFactor,
    TorchEngine,
    choose_device,
    free_bytes,
    load_network,
    local_network,
    refining_engine,
)
from medsr.methods.plan import Enlarger as ChannelEnlarger
from medsr.methods.plan import Plan
from medsr.methods.plane_ensemble import PlaneEnsemble
from medsr.methods.tiling import enlarge_volume, refine_volume
from medsr.models.enlarger import Enlarger
from medsr.models.profile_refiner import FOLD
from medsr.normalisation import Normalisation
from medsr.physics.condition import acquisition_condition, canonical_axes
from medsr.physics.sampling import Acquisition, AxisSampling, apply_along

logger = logging.getLogger(__name__)

Array = NDArray[np.float32]
Report = Callable[[float], None]
OneGrid = Callable[[Array, Report], Array]
"""Enlarges what a network works on at once: the volume, or one slice."""

BYTES_PER_FEATURE = 4
_FEATURE_COPIES = 1.3
"""The features of one layer, and what a slab needs beside them."""

_LARGEST_TILE = {"cpu": 8.0e6, "cuda": 6.4e7}
"""Voxels beyond which a larger tile of a refiner saves no more halo worth its memory."""

_SHARE_IN_TILE = 1 / 6
"""Of a large output: a tile of so many voxels takes about as much memory as the output."""

_LARGEST_TILE_BYTES = {"cpu": 1.0e9, "cuda": 8.0e9}
"""The same for networks of any width."""


@lru_cache(maxsize=4)
def cached_network(folder: str, digest: str) -> torch.nn.Module:
    """A loaded network, kept between the jobs of a warm worker; `digest` tells altered bundles apart."""
    return load_network(find_model(folder))


class NetworkEnlarger(ABC):
    """Callable: one normalisable channel on the input grid -> the same on the work grid.

    Args:
        plan: what was decided.
        device: what was asked ("auto", "cpu", "cuda:N").
        limit: bytes of main memory that may be used, or None.
        normalisation: intensity scale of the whole image, so that colours keep their relation.
    """

    def __init__(self, plan: Plan, device: str, limit: int | None, normalisation: Normalisation) -> None:
        self._plan = plan
        self._limit = limit
        self._normalisation = normalisation
        self._network = cached_network(str(plan.entry.weights.parents[1]), plan.entry.sha256)
        self.device = choose_device(device)

    def __call__(self, coarse: Array, progress: Report) -> Array:
        """Enlarge; on a CUDA device without enough memory, once more on the CPU."""
        normal = self._normalisation.apply(coarse)
        try:
            fine = self._enlarge(normal, progress)
        except ResourceError:
            if self.device == "cpu":
                raise
            logger.warning("%s has too little memory even for small tiles; continuing on the CPU", self.device)
            self.device = "cpu"
            fine = self._enlarge(normal, progress)
        return self._normalisation.invert(fine)

    def _enlarge(self, coarse: Array, progress: Report) -> Array:
        axes = self._plan.acquisition.axes
        if self._plan.spatial_dims == 3:
            return self._prepare(axes)(coarse, progress)
        return self._by_slices(coarse, progress)

    def _by_slices(self, coarse: Array, progress: Report) -> Array:
        """Deconvolve across the slices, then enlarge every slice."""
        plane_axis = self._plan.plane_axis
        across = self._plan.acquisition.axes[plane_axis]
        if not across.is_identity:
            inverse = across.pseudo_inverse(self._plan.entry.smoothness).astype(np.float32)
            coarse = np.asarray(apply_along(coarse, {plane_axis: inverse}), dtype=np.float32)
        in_plane = [axis for i, axis in enumerate(self._plan.acquisition.axes) if i != plane_axis]
        enlarge = self._prepare(in_plane)
        slices = np.moveaxis(coarse, plane_axis, 0)
        out = np.empty((*self._plan.acquisition.fine_shape, *coarse.shape[3:]), dtype=np.float32)
        out_slices = np.moveaxis(out, plane_axis, 0)
        for number, plane in enumerate(slices):
            out_slices[number] = enlarge(plane, lambda _: None)
            progress((number + 1) / len(slices))
        return out

    @abstractmethod
    def _prepare(self, axes: Sequence[AxisSampling]) -> OneGrid:
        """What enlarges an array whose axes are sampled as `axes` say."""

    @property
    def _kind(self) -> str:
        return self.device.partition(":")[0]

    def _tile_bytes(self) -> float:
        """Memory that one tile may take."""
        if self._kind == "cuda":
            return 0.6 * free_bytes(self.device)
        if self._limit is None:
            return math.inf
        return self._limit - 4 * (2.2 * self._plan.target.work.voxels + 3 * self._plan.target.source.voxels) - 4e8


class RefiningEnlarger(NetworkEnlarger):
    """With a network that refines what the deconvolution gives on the target grid."""

    def _prepare(self, axes: Sequence[AxisSampling]) -> OneGrid:
        order = canonical_axes([axis.factor for axis in axes])
        acquisition = Acquisition(tuple(axes[i] for i in order))
        entry = self._plan.entry
        engine = refining_engine(entry, self._network, acquisition_condition(acquisition.axes), self.device)
        channels, folded = float(entry.network["options"]["channels"]), float(FOLD ** len(axes))
        bytes_each = BYTES_PER_FEATURE * (channels / folded * _FEATURE_COPIES + 4)
        largest = max(_LARGEST_TILE[self._kind], _SHARE_IN_TILE * self._plan.target.work.voxels)
        tile_voxels = max(min(self._tile_bytes() / bytes_each, largest), 1.0)

        def enlarge(coarse: Array, progress: Report) -> Array:
            fine = refine_volume(
                np.ascontiguousarray(coarse.transpose(order)), acquisition, engine, halo=entry.halo, multiple=FOLD,
                smoothness=entry.smoothness, tile_voxels=tile_voxels, progress=progress,
            )  # fmt: skip
            return np.ascontiguousarray(fine.transpose(np.argsort(order)))

        return enlarge


class FixedScaleEnlarger(NetworkEnlarger):
    """With a network that enlarges the input by a factor of its own; all colours at once where it takes them so."""

    def _prepare(self, axes: Sequence[AxisSampling]) -> OneGrid:
        entry, dims = self._plan.entry, len(axes)
        scale = cast("int", self._plan.scale)
        network = cast("Enlarger", self._network)
        bytes_each = BYTES_PER_FEATURE * max(float(entry.network["values"]), 1.0) * scale**dims
        tile_voxels = max(min(self._tile_bytes(), _LARGEST_TILE_BYTES[self._kind]) / bytes_each, 1.0)

        def enlarge(coarse: Array, progress: Report) -> Array:
            engine = TorchEngine(FixedFactor(local_network(network, coarse, self.device), scale), dims, self.device)
            return enlarge_volume(
                coarse, scale, engine, spatial_dims=dims, halo=entry.halo, tile_voxels=tile_voxels, progress=progress
            )

        return enlarge


def refiner(plan: Plan, device: str, limit: int | None, coarse: Array) -> ChannelEnlarger:
    """The enlarger of a plan for a refiner, averaged with those of its planes."""
    scale = Normalisation.of(coarse, plan.modality)
    volume, *planes = (RefiningEnlarger(job, device, limit, scale) for job in (plan, *plan.planes))
    return PlaneEnsemble(volume, planes) if planes else volume


def fixed_scale(plan: Plan, device: str, limit: int | None, coarse: Array) -> ChannelEnlarger:
    """The enlarger of a plan for a network of a fixed scale, on the intensities that it was trained with."""
    z_scores = plan.entry.intensities == "z-score"
    scale = Normalisation.standard(coarse) if z_scores else Normalisation.of(coarse, plan.modality)
    return FixedScaleEnlarger(plan, device, limit, scale)
