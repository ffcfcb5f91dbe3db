"""What all transforms share: channels of a pipeline in, through an acquisition or onto a finer grid, and out."""

from __future__ import annotations

import dataclasses
import multiprocessing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray

from medsr.augmentation.channels import enlarge_channels, make_channels, shows_something
from medsr.augmentation.labels import averaged, resample_labels
from medsr.augmentation.recipes import Recipe, load_recipe
from medsr.errors import InputError, InvalidValueError
from medsr.geometry import Geometry
from medsr.io import read_geometry
from medsr.methods.interpolate import interpolate
from medsr.options import UpscaleOptions
from medsr.volume import Volume

Array = NDArray[np.generic]
AnyRecipe: TypeAlias = "str | Path | Mapping[str, Any] | Recipe"

RECIPE = "degrade-fast"
SEEDS = 2**31 - 1
"""Seeds lie below it, whichever library draws them."""


@dataclass(frozen=True)
class Acquirer:
    """Sees images through an acquisition that a seed draws, and brings them back to their grid.

    Attributes:
        recipe: a recipe of `medsr augment` that degrades and goes back to the original grid.
        modality: "MR", "CT" or "auto", which takes intensities of -500 and below for CT.
        device: where networks run; "auto" is the CPU in worker processes.
    """

    recipe: Recipe
    modality: str = "auto"
    device: str = "auto"

    @classmethod
    def of(cls, recipe: AnyRecipe, modality: str = "auto", device: str = "auto") -> Acquirer:
        """One of a recipe's name, the path of its file, its content, or a Recipe.

        Raises:
            UnknownNameError, InputError: no such recipe.
            InvalidValueError: one that does not bring a drawn acquisition back to the original grid.
        """
        if isinstance(recipe, Mapping):
            found = Recipe.from_dict({"name": "own", "target": {"grid": "original"}, **recipe})
        else:
            found = recipe if isinstance(recipe, Recipe) else load_recipe(str(recipe))
        if found.degrade is None or "grid" not in found.target:
            raise InvalidValueError(
                f"The recipe {found.name} does not draw an acquisition and bring it back to the grid of the image, as "
                "degrade-fast and degrade-sr do. To enlarge images, use the transform that super-resolves."
            )
        # A wrong modality or device is told now, not in a worker.
        UpscaleOptions(modality=modality, device=device)
        return cls(found, modality, device)

    def __call__(self, volumes: Sequence[Volume], seed: int, modalities: Sequence[str] | None = None) -> list[Array]:
        """The voxels of the channels after an acquisition of each; constant channels, which show nothing, as they are.

        Raises:
            InputError: NaN, or voxels of no number.
        """
        given = modalities or [self.modality] * len(volumes)
        arrays = [volume.array for volume in volumes]
        live = [number for number, volume in enumerate(volumes) if shows_something(volume)]
        options = UpscaleOptions(device=_device(self.device), not_labels=True)
        with np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"):
            shown, kinds = [volumes[number] for number in live], [given[number] for number in live]
            for number, one in zip(live, make_channels(shown, self.recipe, seed, kinds, options), strict=True):
                arrays[number] = one.result.volume.array
        return arrays


@dataclass(frozen=True)
class Enlarger:
    """Super-resolves images, and brings label maps onto the grid of the result."""

    options: UpscaleOptions

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Enlarger:
        """One of the options of `medsr.super_resolve`; raises UnknownNameError or InvalidValueError for wrong ones."""
        return cls(dataclasses.replace(UpscaleOptions.from_dict(options), not_labels=True))

    def __call__(self, volumes: Sequence[Volume]) -> list[Volume]:
        """The channels, which lie on one grid, on one finer grid.

        Raises:
            MedSRError: they cannot be enlarged so.
        """
        options = dataclasses.replace(self.options, device=_device(self.options.device))
        reference = None if options.reference is None else read_geometry(options.reference)
        with np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"):
            return enlarge_channels(volumes, options, reference=reference)


def brought_back(volume: Volume, grid: Geometry) -> Volume:
    """What was found on a finer grid, on `grid`: label maps by the label rule, fractions averaged."""
    array = volume.array
    if array.dtype.kind != "f" or bool((array == np.rint(array)).all()):
        return resample_labels(volume, grid)
    smooth = averaged(array.astype(np.float32), volume.geometry, grid)
    found = interpolate(smooth, volume.geometry, grid, "linear", outside=0.0)
    return volume.replace(array=found.astype(array.dtype), geometry=grid)


def volumes_of(array: Array, affine: ArrayLike, space: str = "RAS") -> list[Volume]:
    """The channels of an array ``(c, x, y, z)`` or, of a picture, ``(c, x, y)``.

    Args:
        array: the channels.
        affine: 4 x 4, voxel index (x, y, z) to patient millimetres.
        space: "RAS" or "LPS", the patient axes that `affine` leads to.

    Raises:
        InputError: another number of axes.
    """
    if array.ndim not in (3, 4):
        raise InputError(
            f"An image of a transform has the shape (channel, x, y, z) or (channel, x, y), got {array.shape}. Load it "
            "channel first."
        )
    planar = array.ndim == 3 or array.shape[3] == 1
    cube = array[..., None] if array.ndim == 3 else array
    geometry = Geometry.from_affine(affine, cube.shape[1:], space)
    return [Volume(np.ascontiguousarray(part.T), geometry, planar=planar) for part in cube]


def array_of(volumes: Sequence[Volume], like: Array) -> Array:
    """The array ``(c, x, y, z)`` of channels, with as many axes as `like` and of its type."""
    array = np.stack([volume.array.T for volume in volumes])
    return (array[..., 0] if like.ndim == 3 else array).astype(like.dtype, copy=False)


def _device(asked: str) -> str:
    """Where to work. In worker processes, which a pipeline starts, that is the CPU on one thread unless stated."""
    if multiprocessing.current_process().daemon:
        # Many workers share the cores; a forked one cannot use a GPU that its parent uses.
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
        return "cpu" if asked == "auto" else asked
    return asked
