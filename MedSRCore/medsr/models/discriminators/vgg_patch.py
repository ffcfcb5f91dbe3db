"""Discriminator of SRGAN (Ledig et al. 2017).

From the source: eight 3-voxel convolutions of 64, 64, 128, 128, 256, 256, 512, 512 features, strides 1 and 2 in turn,
leaky ReLU of 0.2, batch normalisation on all but the first, two dense layers of 1024 and 1; no pooling.
Ours: the "pooled" head takes the mean of each feature before the dense layers, so that any size of image can be
judged; "dense" is the source's, for one size. The last sigmoid is in the loss.
"""

from __future__ import annotations

from torch import Tensor, nn

from medsr.errors import InvalidValueError, unknown_name
from medsr.models.discriminators.norms import check_norm, normed
from medsr.models.layers import CONVOLUTIONS

HEADS = ("pooled", "dense")
SLOPE = 0.2


class VGGPatch(nn.Module):
    """One logit per image.

    Args:
        spatial_dims: 2 (the source) or 3.
        channels: of the image.
        features: width of the first convolution.
        hidden: width of the first dense layer.
        norm: "batch" (the source), "instance", "spectral" or "none".
        head: "pooled" or "dense".
        patch: side of the images, for the dense head alone; a multiple of 16, 96 in the source.
    """

    size_multiple = 1

    def __init__(
        self,
        spatial_dims: int = 2,
        channels: int = 1,
        features: int = 64,
        hidden: int = 1024,
        norm: str = "batch",
        head: str = "pooled",
        patch: int = 96,
    ) -> None:
        super().__init__()
        check_norm(norm)
        if head not in HEADS:
            raise unknown_name("head", head, HEADS)
        if head == "dense" and (patch < 16 or patch % 16):
            raise InvalidValueError(f"The dense head needs patches of a multiple of 16 voxels a side, got {patch}.")
        layers: list[nn.Module] = []
        inputs = channels
        for number in range(8):
            outputs = features * 2 ** (number // 2)
            layer = CONVOLUTIONS[spatial_dims](inputs, outputs, 3, stride=1 + number % 2, padding=1)
            layers += normed(layer, spatial_dims, outputs, norm) if number else [layer]
            layers.append(nn.LeakyReLU(SLOPE))
            inputs = outputs
        self.convolutions = nn.Sequential(*layers)
        self.patch = patch if head == "dense" else None
        positions = (patch // 16) ** spatial_dims if head == "dense" else 1
        self.head = nn.Sequential(nn.Linear(inputs * positions, hidden), nn.LeakyReLU(SLOPE), nn.Linear(hidden, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Judge ``(B, C, *size)``: ``(B, 1)``; raise InvalidValueError for another size than that of a dense head."""
        if self.patch is not None and any(n != self.patch for n in image.shape[2:]):
            raise InvalidValueError(
                f"The dense head judges images of {self.patch} voxels a side, got {tuple(image.shape[2:])}. "
                "Set its option patch, or use the pooled head."
            )
        maps = self.convolutions(image).flatten(2)
        logits: Tensor = self.head(maps.mean(2) if self.patch is None else maps.flatten(1))
        return logits
