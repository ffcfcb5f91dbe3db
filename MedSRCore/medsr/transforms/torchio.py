"""Transforms for TorchIO."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from medsr.augmentation.labels import resample_labels
from medsr.errors import InvalidValueError, MissingDependencyError
from medsr.transforms.core import RECIPE, SEEDS, Acquirer, AnyRecipe, Enlarger, array_of, volumes_of
from medsr.volume import Volume

try:
    import torch
    import torchio
    from torchio.transforms.augmentation import RandomTransform
    from torchio.transforms.intensity_transform import IntensityTransform
except ImportError as error:
    raise MissingDependencyError(
        f"The transforms for TorchIO need the package torchio, which is not installed: pip install torchio. ({error})"
    ) from error


class Acquisition(IntensityTransform):  # type: ignore[misc]
    """See the images of a subject through the acquisitions that a seed draws: what `RandomAcquisition` did once.

    It stands in the history of a subject, so that the history can be applied again.
    """

    def __init__(
        self,
        seed: int,
        recipe: AnyRecipe = RECIPE,
        modality: str = "auto",
        device: str = "auto",
        **base: Any,
    ) -> None:
        """Choose what is drawn.

        Args:
            seed: of everything drawn.
            recipe: as for `RandomAcquisition`.
            modality: likewise.
            device: likewise.
            **base: as for every transform of TorchIO: ``include``, ``exclude``, ``copy``, ...
        """
        super().__init__(**base)
        self.acquirer = Acquirer.of(recipe, modality, device)
        self.seed, self.modality, self.device = seed, modality, device
        # As text, so that a history can be stored.
        self.recipe = json.loads(json.dumps(self.acquirer.recipe.to_dict()))
        self.args_names = ["seed", "recipe", "modality", "device"]

    def apply_transform(self, subject: torchio.Subject) -> torchio.Subject:
        """The subject with its images as others acquired them, each channel by itself."""
        images = self.get_images(subject)
        channels = [(number, volume) for number, image in enumerate(images) for volume in _volumes(image)]
        arrays = self.acquirer([volume for _, volume in channels], self.seed)
        made = [(n, volume.replace(array=array)) for (n, volume), array in zip(channels, arrays, strict=True)]
        for number, image in enumerate(images):
            image.set_data(_tensor([volume for own, volume in made if own == number], image))
        return subject


class RandomAcquisition(RandomTransform, IntensityTransform):  # type: ignore[misc]
    """See the images of a subject through acquisitions drawn anew each time, and bring them back to their grid.

    Label maps fit as they are, since the grid stays. Each channel of each image is an acquisition of its own.
    Everything drawn follows PyTorch's seed, as in all of TorchIO.

    Example:
        >>> torchio.Compose([RandomAcquisition(p=0.3), torchio.RandomFlip(), ...])
    """

    def __init__(
        self,
        recipe: AnyRecipe = RECIPE,
        modality: str = "auto",
        device: str = "auto",
        **base: Any,
    ) -> None:
        """Choose what is drawn.

        Args:
            recipe: of `medsr augment`: its name, the path of its JSON file, or its content, such as
                ``{"model": "bspline", "degrade": {"factor": [1, 4], "noise": [0, 0.03]}}``.
            modality: "MR", "CT" or "auto". Say "CT" where intensities are no Hounsfield units any more.
            device: for networks; "auto" is the CPU in workers.
            **base: as for every transform of TorchIO: ``p``, ``include``, ``exclude``, ``copy``, ...

        Raises:
            MedSRError: a recipe that is none, or does not bring images back to their grid.
        """
        super().__init__(**base)
        self.acquirer = Acquirer.of(recipe, modality, device)

    def apply_transform(self, subject: torchio.Subject) -> torchio.Subject:
        """The subject with its images as others acquired them."""
        seed = int(torch.randint(0, SEEDS, (1,)).item())
        once = self.acquirer
        return Acquisition(seed, once.recipe, once.modality, once.device, **self._get_base_args())(subject)


class SuperResolve(torchio.SpatialTransform):  # type: ignore[misc]
    """Super-resolve the images of a subject; its label maps follow, and their structures keep their volumes.

    Images have the affine of the finer grid; label maps that of the first image.

    Example:
        >>> torchio.Compose([SuperResolve(isotropic=True), torchio.ZNormalization(), ...])
    """

    def __init__(self, options: Mapping[str, Any] | None = None, **more: Any) -> None:
        """Choose how.

        Args:
            options: as for `medsr.super_resolve`: ``{"scale": 2}``, ...
            **more: the same by name (``isotropic=True``, ``model="tikhonov"``), and what every transform of TorchIO
                takes: ``p``, ``include``, ``exclude``, ``copy``, ...

        Raises:
            UnknownNameError, InvalidValueError: options that make no sense.
        """
        base = {name: more.pop(name) for name in _BASE if name in more}
        super().__init__(**base)
        self.options = {**(options or {}), **more}
        self.enlarger = Enlarger.of(self.options)
        self.args_names = ["options"]

    def apply_transform(self, subject: torchio.Subject) -> torchio.Subject:
        """The subject with finer images and label maps."""
        images = self.get_images(subject)
        # Images first: label maps follow their grid.
        grid = None
        for image in sorted(images, key=lambda one: isinstance(one, torchio.LabelMap)):
            before = _volumes(image)
            if not isinstance(image, torchio.LabelMap):
                after = self.enlarger(before)
                grid = grid or after[0].geometry
            elif grid is None:
                raise InvalidValueError("The subject has no image whose grid its label maps could follow.")
            else:
                after = [resample_labels(volume, grid) for volume in before]
            image.set_data(_tensor(after, image))
            image.affine = after[0].geometry.affine_ras
        return subject


_BASE = ("p", "copy", "include", "exclude", "keys", "keep", "parse_input", "label_keys")


def _volumes(image: torchio.Image) -> list[Volume]:
    return volumes_of(image.numpy(), image.affine)


def _tensor(volumes: list[Volume], image: torchio.Image) -> torch.Tensor:
    return torch.as_tensor(np.ascontiguousarray(array_of(volumes, image.numpy())))
