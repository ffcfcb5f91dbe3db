"""How different two images look to a small network that was trained in this project."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medsr.models.features.shipped import shipped_texture_net
from medsr.normalisation import Normalisation

MAX_SLICES = 16
"""Slices of a volume that are compared, spread evenly."""


class TextureDistance:
    """Distance of the features of `texture-net`, slice by slice and colour by colour.

    At each position of each level the features are scaled to length one; the distance is the squared difference of
    these directions, mean over positions, then over levels (Zhang et al., CVPR 2018, eq. 1, with all channels of one
    weight). 0 for equal images, at most 4. Figures of other feature networks, such as LPIPS, are not comparable.

    Args:
        network: gives the feature maps of an image ``(B, 1, H, W)`` with intensities about [0, 1]; None is the one that
            comes with MedSR.

    Raises:
        ModelError: the weights that come with MedSR are missing or damaged.
    """

    def __init__(self, network: nn.Module | None = None) -> None:
        self._network = (network or shipped_texture_net()).eval()

    def __call__(self, result: NDArray[Any], reference: NDArray[Any], /) -> float:
        """The mean distance of images ``(z, y, x)`` or ``(z, y, x, c)`` on the intensity scale of the reference."""
        scale = Normalisation.of(reference.astype(np.float32), "MR")
        kept = np.unique(np.linspace(0, len(reference) - 1, MAX_SLICES).round().astype(int))
        distances = []
        for z in kept:
            first, second = (_pictures(scale.apply(image[z])) for image in (result, reference))
            with torch.inference_mode():
                maps = zip(self._network(first), self._network(second), strict=True)
                distances.append(float(torch.stack([_difference(a, b) for a, b in maps]).mean()))
        return float(np.mean(distances))


def _pictures(plane: NDArray[np.float32]) -> Tensor:
    """``(y, x)`` or ``(y, x, c)`` -> ``(c, 1, y, x)``."""
    colours = plane[..., None] if plane.ndim == 2 else plane
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(colours, -1, 0)))[:, None]


def _difference(first: Tensor, second: Tensor) -> Tensor:
    a, b = (nn.functional.normalize(maps, dim=1, eps=1e-6) for maps in (first, second))
    return (a - b).square().sum(dim=1).mean()
