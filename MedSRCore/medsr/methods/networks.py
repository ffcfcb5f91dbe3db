"""Enlarging one channel with a network: axes in its order, intensities on its scale, memory in its bounds.

The only module of `medsr.methods` that loads torch, with those that it imports.
"""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray

from medsr.catalog import find_model
from medsr.errors import ResourceError
from medsr.methods.costs import (
    LARGEST_TILE_BYTES,
    bytes_per_voxel,
    refiner_operations,
    refiner_tiling,
    room_for_tile,
)
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
from medsr.methods.tiling import Prepare, enlarge_volume, refine_volume
from medsr.models.enlarger import Enlarger
from medsr.models.profile_refiner import FOLD
from medsr.normalisation import Normalisation
from medsr.physics.condition import acquisition_condition, canonical_axes
from medsr.physics.sampling import Acquisition, AxisSampling, in_slabs

logger = logging.getLogger(__name__)

Array = NDArray[np.float32]
Report = Callable[[float], None]


class OneGrid(Protocol):
    """Enlarges what a network works on at once, the volume or one slice; `prepare` normalises parts of it."""

    def __call__(self, coarse: Array, progress: Report, prepare: Prepare | None = None) -> Array:
        """On the input grid -> a new array on the work grid, normalised."""
        ...


_BYTES_PER_FEATURE = 4
_LARGEST_CUDA_TILE = 6.4e7
"""Voxels beyond which a larger tile of a refiner saves no more halo worth its memory."""

_LARGEST_CUDA_TILE_BYTES = 8.0e9
"""The same for networks of any width."""

_TRIED = {2: 1024, 3: 80}
"""Largest sides of a piece that is tried out to tell the time: slices whole, since small ones take longer a voxel."""

_CUDA_SHARE = 0.6
"""Of the memory that is free on a device."""


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
        """Enlarge; on a CUDA device without enough memory, go on on the CPU."""
        acquisition = self._plan.acquisition
        if self._plan.spatial_dims == 3:
            volume = self._where_it_fits(acquisition.axes)
            return self._normalisation.invert(volume(coarse, progress, self._normalisation.apply))
        out = np.empty((*acquisition.fine_shape, *coarse.shape[3:]), dtype=np.float32)
        for number, plane in self._slices(coarse, progress):
            self._across(out)[number] = plane
        return out

    def add(self, coarse: Array, share: float, total: Array, progress: Report) -> None:
        """Add a share of the enlarged slices of `coarse` to `total`, one by one; no other output is held."""
        for number, plane in self._slices(coarse, progress):
            plane *= np.float32(share)
            self._across(total)[number] += plane

    def seconds(self) -> float | None:
        """See `Enlarger`."""
        return None

    def _across(self, array: Array) -> Array:
        """A view of the slices of an array, the first axis across them."""
        return np.moveaxis(array, self._plan.plane_axis, 0)

    def _slices(self, coarse: Array, progress: Report) -> Iterator[tuple[int, Array]]:
        """Deconvolve across the slices, then enlarge every slice; number and intensities of each."""
        plan = self._plan
        across = plan.acquisition.axes[plan.plane_axis]
        enlarge = self._where_it_fits([axis for i, axis in enumerate(plan.acquisition.axes) if i != plan.plane_axis])
        inverse = {} if across.is_identity else {0: across.pseudo_inverse(plan.entry.smoothness)}
        for rows, slab in in_slabs(self._across(coarse), inverse, self._normalisation.apply):
            for number, plane in enumerate(slab, rows.start):
                yield number, self._normalisation.invert(enlarge(plane, lambda _: None))
                progress((number + 1) / across.n_fine)

    def _where_it_fits(self, axes: Sequence[AxisSampling]) -> OneGrid:
        """What `_prepare` makes; on the CPU from where a CUDA device has too little memory even for small tiles."""
        made = self._prepare(axes)

        def enlarge(coarse: Array, progress: Report, prepare: Prepare | None = None) -> Array:
            nonlocal made
            try:
                return made(coarse, progress, prepare)
            except ResourceError:
                if self.device == "cpu":
                    raise
                logger.warning("%s has too little memory even for small tiles; continuing on the CPU", self.device)
                self.device = "cpu"
                made = self._prepare(axes)
                return made(coarse, progress, prepare)

        return enlarge

    @abstractmethod
    def _prepare(self, axes: Sequence[AxisSampling]) -> OneGrid:
        """What enlarges an array whose axes are sampled as `axes` say."""


class RefiningEnlarger(NetworkEnlarger):
    """With a network that refines what the deconvolution gives on the target grid."""

    def seconds(self) -> float | None:
        """See `Enlarger`."""
        plan = self._plan
        if self.device != "cpu":
            return None
        axes = [axis for n, axis in enumerate(plan.acquisition.axes) if plan.spatial_dims == 3 or n != plan.plane_axis]
        condition = acquisition_condition([axes[n] for n in canonical_axes([axis.factor for axis in axes])])
        engine = refining_engine(plan.entry, self._network, condition, self.device)
        sides = [min(_TRIED[plan.spatial_dims], axis.n_fine + axis.n_fine % FOLD) for axis in axes]
        piece = np.zeros(sides, dtype=np.float32)
        engine(piece)  # the first call prepares what the others use
        started = time.perf_counter()
        engine(piece)
        passed = time.perf_counter() - started
        return passed * refiner_tiling(plan, self._limit).computed * plan.channels / piece.size

    def _prepare(self, axes: Sequence[AxisSampling]) -> OneGrid:
        order = canonical_axes([axis.factor for axis in axes])
        acquisition = Acquisition(tuple(axes[i] for i in order))
        entry = self._plan.entry
        engine = refining_engine(entry, self._network, acquisition_condition(acquisition.axes), self.device)
        if self.device == "cpu":
            tile_voxels = refiner_tiling(self._plan, self._limit).voxels
        else:
            free = _CUDA_SHARE * free_bytes(self.device) / bytes_per_voxel(self._plan)
            tile_voxels = max(min(free, _LARGEST_CUDA_TILE), 1.0)

        def enlarge(coarse: Array, progress: Report, prepare: Prepare | None = None) -> Array:
            out = np.empty([axis.n_fine for axis in axes], dtype=np.float32)
            refine_volume(
                coarse.transpose(order), acquisition, engine, halo=entry.halo, multiple=FOLD,
                smoothness=entry.smoothness, tile_voxels=tile_voxels, progress=progress, prepare=prepare,
                out=out.transpose(order),
            )  # fmt: skip
            return out

        return enlarge


class FixedScaleEnlarger(NetworkEnlarger):
    """With a network that enlarges the input by a factor of its own; all colours at once where it takes them so."""

    def _prepare(self, axes: Sequence[AxisSampling]) -> OneGrid:
        entry, dims = self._plan.entry, len(axes)
        scale = cast("int", self._plan.scale)
        network = cast("Enlarger", self._network)
        if self.device == "cpu":
            room = min(room_for_tile(self._plan, self._limit), LARGEST_TILE_BYTES)
        else:
            room = min(_CUDA_SHARE * free_bytes(self.device), _LARGEST_CUDA_TILE_BYTES)
        tile_voxels = max(room / (_BYTES_PER_FEATURE * max(float(entry.network["values"]), 1.0) * scale**dims), 1.0)

        def enlarge(coarse: Array, progress: Report, prepare: Prepare | None = None) -> Array:
            coarse = coarse if prepare is None else prepare(coarse)
            engine = TorchEngine(FixedFactor(local_network(network, coarse, self.device), scale), dims, self.device)
            return enlarge_volume(
                coarse, scale, engine, spatial_dims=dims, halo=entry.halo, tile_voxels=tile_voxels, progress=progress
            )

        return enlarge


def refiner(plan: Plan, device: str, limit: int | None, coarse: Array) -> ChannelEnlarger:
    """The enlarger of a plan for a refiner, averaged with those of its planes."""
    scale = Normalisation.of(coarse, plan.modality)
    jobs = (plan, *plan.planes)
    volume, *planes = (RefiningEnlarger(job, device, limit, scale) for job in jobs)
    work = [refiner_operations(job, limit) for job in jobs]
    return PlaneEnsemble(volume, planes, work) if planes else volume


def fixed_scale(plan: Plan, device: str, limit: int | None, coarse: Array) -> ChannelEnlarger:
    """The enlarger of a plan for a network of a fixed scale, on the intensities that it was trained with."""
    z_scores = plan.entry.intensities == "z-score"
    scale = Normalisation.standard(coarse) if z_scores else Normalisation.of(coarse, plan.modality)
    return FixedScaleEnlarger(plan, device, limit, scale)
