"""Enlarging one channel with a network: axes in its order, intensities on its scale, memory in its bounds."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from medsr.catalog import CatalogEntry, find_model
from medsr.degradation import Acquisition, AxisSampling, Profile, apply_along
from medsr.errors import ResourceError
from medsr.inference.engines import TileEngine, build_engine, choose_device, free_bytes, load_network
from medsr.inference.plan import Plan
from medsr.inference.refine import refine_volume
from medsr.models.profile_refiner import FOLD, acquisition_condition, canonical_axes
from medsr.normalisation import Normalisation

logger = logging.getLogger(__name__)

Array = NDArray[np.float32]

BYTES_PER_FEATURE = 4
_FEATURE_COPIES = 3.5
_LARGEST_TILE = {"cpu": 8.0e6, "cuda": 6.4e7}
"""Voxels beyond which a larger tile saves no more halo worth its memory."""


@lru_cache(maxsize=2)
def cached_network(name: str, entry_digest: str) -> torch.nn.Module:
    """A loaded network, kept between the jobs of a warm worker."""
    return load_network(find_model(name))


class NetworkEnlarger:
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
        self._network = cached_network(plan.entry.name, plan.entry.sha256)
        self._device = choose_device(device)
        self.device = self._device

    def __call__(self, coarse: Array, progress: Callable[[float], None]) -> Array:
        """Enlarge; on a CUDA device without enough memory, once more on the CPU."""
        normal = self._normalisation.apply(coarse)
        try:
            fine = self._enlarge(normal, progress)
        except ResourceError:
            if self._device == "cpu":
                raise
            logger.warning("%s has too little memory even for small tiles; continuing on the CPU", self._device)
            self._device = "cpu"
            fine = self._enlarge(normal, progress)
        return self._normalisation.invert(fine)

    def _enlarge(self, coarse: Array, progress: Callable[[float], None]) -> Array:
        return self._by_slices(coarse, progress) if self._plan.spatial_dims == 2 else self._whole(coarse, progress)

    def _whole(self, coarse: Array, progress: Callable[[float], None]) -> Array:
        axes = self._plan.acquisition.axes
        order = canonical_axes([axis.factor for axis in axes])
        acquisition = Acquisition(tuple(axes[i] for i in order))
        engine = self._engine(acquisition.axes)
        fine = self._refine(np.ascontiguousarray(coarse.transpose(order)), acquisition, engine, progress)
        return np.ascontiguousarray(fine.transpose(np.argsort(order)))

    def _by_slices(self, coarse: Array, progress: Callable[[float], None]) -> Array:
        """Deconvolve across the slices, then refine every slice of the work grid."""
        plane_axis = self._plan.plane_axis
        across = self._plan.acquisition.axes[plane_axis]
        if not across.is_identity:
            inverse = across.pseudo_inverse(self._plan.entry.smoothness).astype(np.float32)
            coarse = np.asarray(apply_along(coarse, {plane_axis: inverse}), dtype=np.float32)
        in_plane = [axis for i, axis in enumerate(self._plan.acquisition.axes) if i != plane_axis]
        order = canonical_axes([axis.factor for axis in in_plane])
        acquisition = Acquisition(tuple(in_plane[i] for i in order))
        engine = self._engine(acquisition.axes)
        slices = np.moveaxis(coarse, plane_axis, 0)
        out = np.empty(self._plan.acquisition.fine_shape, dtype=np.float32)
        out_slices = np.moveaxis(out, plane_axis, 0)
        for number, plane in enumerate(slices):
            fine = self._refine(np.ascontiguousarray(plane.transpose(order)), acquisition, engine, lambda _: None)
            out_slices[number] = fine.transpose(np.argsort(order))
            progress((number + 1) / len(slices))
        return out

    def _engine(self, axes: tuple[AxisSampling, ...]) -> TileEngine:
        boxes = [axis.profile is Profile.BOX for axis in axes]
        condition = acquisition_condition([a.factor for a in axes], [a.width for a in axes], boxes)
        engine = build_engine(self._plan.entry, self._network, condition, self._device)
        self.device = engine.device
        return engine

    def _refine(
        self, coarse: Array, acquisition: Acquisition, engine: TileEngine, progress: Callable[[float], None]
    ) -> Array:
        entry = self._plan.entry
        return refine_volume(
            coarse, acquisition, engine, halo=entry.halo, multiple=FOLD, smoothness=entry.smoothness,
            tile_voxels=self._tile_voxels(entry), progress=progress,
        )  # fmt: skip

    def _tile_voxels(self, entry: CatalogEntry) -> float:
        """Voxels of the largest tile that the memory allows."""
        channels = float(entry.network["options"]["channels"])
        folded = float(FOLD ** int(entry.network["spatial_dims"]))
        per_voxel = BYTES_PER_FEATURE * (channels / folded * _FEATURE_COPIES + 4)
        kind = self._device.partition(":")[0]
        if kind == "cuda":
            return min(0.6 * free_bytes(self._device) / per_voxel, _LARGEST_TILE["cuda"])
        if self._limit is None:
            return _LARGEST_TILE["cpu"]
        held = 4 * (2.2 * self._plan.target.work.voxels + 3 * self._plan.target.source.voxels) + 4e8
        return max(min((self._limit - held) / per_voxel, _LARGEST_TILE["cpu"]), 1.0)
