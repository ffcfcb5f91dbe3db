"""Dictionary transforms for MONAI."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

from medsr.augmentation.labels import resample_labels
from medsr.errors import InvalidValueError, MissingDependencyError
from medsr.geometry import Geometry
from medsr.transforms.core import (
    RECIPE,
    SEEDS,
    Acquirer,
    AnyRecipe,
    Enlarger,
    array_of,
    brought_back,
    volumes_of,
)
from medsr.volume import Volume

try:
    import torch
    from monai.config import KeysCollection
    from monai.data import MetaTensor
    from monai.data.utils import to_affine_nd
    from monai.transforms import InvertibleTransform, MapTransform, RandomizableTransform
    from monai.utils import TraceKeys, convert_data_type, convert_to_dst_type, ensure_tuple
except ImportError as error:
    raise MissingDependencyError(
        f"The transforms for MONAI need the package monai, which is not installed: pip install monai. ({error})"
    ) from error


class RandAcquisitiond(RandomizableTransform, MapTransform):  # type: ignore[misc]
    """See images through an acquisition drawn anew each time, and bring them back to their grid.

    Labels fit as they are, since the grid stays. Each channel of each key is an acquisition of its own. Everything
    drawn follows `set_random_state`, `monai.utils.set_determinism` and the seeds of MONAI's DataLoader.

    Example:
        >>> Compose([LoadImaged(keys), EnsureChannelFirstd(keys), RandAcquisitiond("image", prob=0.3), ...])
    """

    def __init__(
        self,
        keys: KeysCollection,
        recipe: AnyRecipe = RECIPE,
        prob: float = 0.5,
        modality: str = "auto",
        device: str = "auto",
        allow_missing_keys: bool = False,
    ) -> None:
        """Choose what is drawn.

        Args:
            keys: of the images, ``(channel, x, y, z)`` or ``(channel, x, y)``, with their affine as MetaTensors have.
            recipe: of `medsr augment`: its name, the path of its JSON file, or its content, such as
                ``{"model": "bspline", "degrade": {"factor": [1, 4], "noise": [0, 0.03]}}``.
            prob: how often.
            modality: "MR", "CT" or "auto". Say "CT" where intensities are no Hounsfield units any more.
            device: for networks; "auto" is the CPU in workers.
            allow_missing_keys: pass over keys that are not there.

        Raises:
            MedSRError: a recipe that is none, or does not bring images back to their grid.
        """
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        self.acquirer = Acquirer.of(recipe, modality, device)
        self._seed = 0

    def randomize(self, data: Any = None) -> None:
        """Draw whether, and the seed of what."""
        super().randomize(data)
        # Drawn either way, so that what follows does not depend on it.
        self._seed = int(self.R.randint(SEEDS))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The dictionary with its images as others acquired them."""
        found = dict(data)
        self.randomize()
        if not self._do_transform:
            return found
        keys = list(self.key_iterator(found))
        channels = [(key, volume) for key in keys for volume in _volumes(found[key])]
        arrays = self.acquirer([volume for _, volume in channels], self._seed)
        for key in keys:
            made = [
                volume.replace(array=array) for (own, volume), array in zip(channels, arrays, strict=True) if own == key
            ]
            found[key] = _like(made, found[key])
        return found


class SuperResolved(MapTransform, InvertibleTransform):  # type: ignore[misc]
    """Super-resolve images, and bring their label maps along; MetaTensors get the affine of the finer grid.

    `inverse`, and so MONAI's `Invertd`, brings what was found on the finer grid back to that of the original: label
    maps and one-hot channels with the volumes that their structures have, probabilities averaged.

    Example:
        >>> pre = Compose([LoadImaged(keys), EnsureChannelFirstd(keys), SuperResolved("image", isotropic=True), ...])
        >>> post = Compose([AsDiscreted("pred", argmax=True), Invertd("pred", transform=pre, orig_keys="image")])
    """

    def __init__(
        self, keys: KeysCollection, label_keys: KeysCollection = (), allow_missing_keys: bool = False, **options: Any
    ) -> None:
        """Choose how.

        Args:
            keys: of the images, ``(channel, x, y, z)`` or ``(channel, x, y)``, with their affine as MetaTensors have.
            label_keys: of label maps, each channel one; they come onto the finer grid of the first of `keys`.
            allow_missing_keys: pass over keys that are not there, as for `Invertd`.
            **options: as for `medsr.super_resolve`: ``scale=2``, ``isotropic=True``, ``model="tikhonov"``, ...

        Raises:
            UnknownNameError, InvalidValueError: options that make no sense.
        """
        self.label_keys = ensure_tuple(label_keys)
        self.image_keys = ensure_tuple(keys)
        if both := set(self.label_keys) & set(self.image_keys):
            raise InvalidValueError(f"{sorted(map(str, both))} cannot be both images and label maps.")
        MapTransform.__init__(self, (*self.image_keys, *self.label_keys), allow_missing_keys)
        self.enlarger = Enlarger.of(options)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The dictionary with finer images and label maps."""
        found = dict(data)
        grid: Geometry | None = None
        # Images first: label maps follow their grid.
        for key in self.key_iterator(found):
            before = _volumes(found[key])
            if key in self.label_keys:
                if grid is None:
                    raise InvalidValueError(
                        f"The label map {key!r} has no image beside it whose grid it could follow: none of "
                        f"{list(self.image_keys)} is there."
                    )
                after = [resample_labels(volume, grid) for volume in before]
            else:
                after = self.enlarger(before)
                grid = grid or after[0].geometry
            found[key] = self._tracked(found[key], before[0].geometry, after)
        return found

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The dictionary with what lies on finer grids on the original ones."""
        found = dict(data)
        for key in self.key_iterator(found):
            said = self.pop_transform(found[key])[TraceKeys.EXTRA_INFO]
            grid, fine = (_grid(said[name]) for name in ("medsr_before", "medsr_after"))
            volumes = [volume.replace(geometry=fine) for volume in _volumes(found[key])]
            back = _like([brought_back(volume, grid) for volume in volumes], found[key])
            found[key] = _with_affine(back, grid)
        return found

    def _tracked(self, source: Any, before: Geometry, after: list[Volume]) -> Any:
        result = _like(after, source)
        if not isinstance(result, MetaTensor):
            return result
        grid = after[0].geometry
        said = {"medsr_before": _plain(before), "medsr_after": _plain(grid)}
        shape = before.size_xyz[: source.ndim - 1]
        tracked = self.push_transform(result, orig_size=shape, extra_info=said)
        return _with_affine(tracked, grid)


def _volumes(image: Any) -> list[Volume]:
    """The channels of a tensor or array; without an affine voxels have 1 mm."""
    array, *_ = convert_data_type(image, np.ndarray)
    affine: Any = np.eye(4)
    if isinstance(image, MetaTensor):
        affine = to_affine_nd(3, np.asarray(image.affine, dtype=float))
    return volumes_of(np.asarray(array), affine, _space(image))


def _space(image: Any) -> str:
    return "LPS" if isinstance(image, MetaTensor) and image.meta.get("space") == "LPS" else "RAS"


def _like(volumes: list[Volume], image: Any) -> Any:
    """The channels as a tensor or array as `image` is, with its type, device and meta data."""
    array, *_ = convert_data_type(image, np.ndarray)
    result, *_ = convert_to_dst_type(array_of(volumes, np.asarray(array)), image)
    return result


def _with_affine(image: Any, grid: Geometry) -> Any:
    """A MetaTensor with the affine of `grid`, and the spacing of its header where that is handed on."""
    if not isinstance(image, MetaTensor):
        return image
    matrix = grid.affine if _space(image) == "LPS" else grid.affine_ras
    # Pictures may have 3 x 3.
    image.affine = torch.as_tensor(to_affine_nd(len(image.affine) - 1, matrix), dtype=torch.float64)
    if "pixdim" in image.meta:
        pixdim = np.asarray(image.meta["pixdim"]).copy()
        pixdim[1:4] = grid.spacing_xyz_mm
        image.meta["pixdim"] = pixdim
    return image


def _plain(grid: Geometry) -> dict[str, list[float]]:
    """A grid as numbers that travel with a tensor through collating and copying."""
    return {
        "size": [float(n) for n in grid.size_xyz],
        "spacing": list(grid.spacing_xyz_mm),
        "origin": list(grid.origin_mm),
        "direction": list(grid.direction),
    }


def _grid(said: Mapping[str, Any]) -> Geometry:
    size, spacing, origin, direction = (
        tuple(float(v) for v in said[name]) for name in ("size", "spacing", "origin", "direction")
    )
    return Geometry((int(size[0]), int(size[1]), int(size[2])), spacing, origin, direction)  # type: ignore[arg-type]
