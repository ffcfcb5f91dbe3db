"""A trainer for nnU-Net v2 whose images are seen through drawn acquisitions.

nnU-Net 2.8 simulates low resolution by leaving out voxels along all axes alike. Here an acquisition is drawn instead:
thicker slices across the coarsest axis, a profile, noise, each channel for itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from medsr.augmentation.building import modality_of
from medsr.errors import MissingDependencyError, ModelError
from medsr.geometry import Geometry
from medsr.transforms.core import RECIPE, SEEDS, Acquirer, AnyRecipe
from medsr.volume import Volume

try:
    import torch
    from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform, ImageOnlyTransform
    from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
except ImportError as error:
    raise MissingDependencyError(
        f"The trainer for nnU-Net needs the package nnunetv2, which is not installed: pip install nnunetv2. ({error})"
    ) from error


class AcquisitionTransform(ImageOnlyTransform):  # type: ignore[misc]
    """See a patch ``(channel, z, y, x)`` or ``(channel, y, x)`` through a drawn acquisition of each channel.

    Everything drawn follows NumPy's seed: nnU-Net's workers set it, each to its own, and inherit that of PyTorch.
    """

    def __init__(self, acquirer: Acquirer, spacing_zyx_mm: Sequence[float], modalities: Sequence[str]) -> None:
        """Choose what is drawn.

        Args:
            acquirer: what is drawn.
            spacing_zyx_mm: of the patches.
            modalities: "MR", "CT" or "auto", one for each channel.
        """
        super().__init__()
        self.acquirer, self.modalities = acquirer, tuple(modalities)
        z, y, x = (1.0,) * (3 - len(spacing_zyx_mm)) + tuple(float(v) for v in spacing_zyx_mm)
        self.spacing_xyz_mm = (x, y, z)

    def get_parameters(self, **_data: Any) -> dict[str, int]:
        """The seed of what is drawn."""
        return {"seed": int(np.random.randint(SEEDS))}

    def _apply_to_image(self, img: torch.Tensor, **params: Any) -> torch.Tensor:
        cube = img.numpy() if img.ndim == 4 else img.numpy()[:, None]
        grid = Geometry((cube.shape[3], cube.shape[2], cube.shape[1]), self.spacing_xyz_mm)
        volumes = [Volume(part, grid, planar=img.ndim == 3) for part in cube]
        arrays = self.acquirer(volumes, params["seed"], self.modalities)
        return torch.as_tensor(np.stack(arrays).reshape(img.shape))


class nnUNetTrainerMedSR(nnUNetTrainer):  # type: ignore[misc] # noqa: N801  nnU-Net finds trainers by such names
    """nnU-Net's own trainer, whose simulated low resolution is an acquisition as `medsr augment` draws it.

    How often stays as it is there. For another recipe make a subclass, in a folder of your own that
    ``nnUNet_extTrainer`` names::

        from medsr.transforms.nnunet import nnUNetTrainerMedSR

        class nnUNetTrainerThick(nnUNetTrainerMedSR):
            recipe = "/data/thick.json"

    Attributes:
        recipe: of `medsr augment`: a name, the path of a JSON file, or its content.
    """

    recipe: AnyRecipe = RECIPE

    def get_training_transforms(self, *arguments: Any, **named: Any) -> BasicTransform:
        """Those of nnU-Net, one of them replaced.

        A method of the trainer, where nnU-Net has a static one: patches have the spacing of its plan.

        Raises:
            ModelError: a version of nnU-Net that composes its transforms otherwise.
        """
        composed = nnUNetTrainer.get_training_transforms(*arguments, **named)
        channels = self.dataset_json.get("modality") or self.dataset_json["channel_names"]
        modalities = [modality_of(str(name)) for name in channels.values()]
        acquisition = AcquisitionTransform(Acquirer.of(self.recipe), self.configuration_manager.spacing, modalities)
        simulated = [
            one
            for one in getattr(composed, "transforms", ())
            if isinstance(getattr(one, "transform", None), SimulateLowResolutionTransform)
        ]
        if len(simulated) != 1:
            raise ModelError(
                "This version of nnU-Net does not simulate low resolution where version 2.8 does, so that the "
                "acquisition has no place. Install it: pip install nnunetv2==2.8.1."
            )
        simulated[0].transform = acquisition
        return composed
