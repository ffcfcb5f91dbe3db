"""VGG19 up to its last convolution (Simonyan and Zisserman 2015), as SRGAN compares it (Ledig et al. 2017).

The map is phi 5,4: the fourth convolution before the fifth pooling, after its ReLU, divided by 12.75, which brings its
squared difference to the size of that of the images. Weights come from a local file in the layout of torchvision
(``vgg19-dcbb9e9d.pth``); nothing is downloaded.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from medsr.errors import InvalidValueError
from medsr.models.features.weights import load_weights

CONVOLUTIONS_PER_STAGE = (2, 2, 4, 4, 4)
WIDTHS = (64, 128, 256, 512, 512)
DIVISOR = 12.75
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)
WEIGHTS_URL = "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"


class VGG19(nn.Module):
    """Features of a sixteenth of the size.

    Args:
        spatial_dims: 2 only.
        channels: of the image; 3, or 1, which is taken for all three colours.
        weights: the local file.

    Raises:
        InvalidValueError: 3D, other channels, or no file named.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, spatial_dims: int = 2, channels: int = 1, weights: str = "") -> None:
        super().__init__()
        if spatial_dims != 2 or channels not in (1, 3):
            raise InvalidValueError(
                f"VGG19 sees 2D images of 1 or 3 channels, got {spatial_dims}D and {channels}. "
                "Use resnet10 for volumes."
            )
        if not weights:
            raise InvalidValueError(
                f"VGG19 needs its weights: download {WEIGHTS_URL} (SHA-256 starts with dcbb9e9d) and give the file as "
                "option weights, or use texture-net."
            )
        layers: list[nn.Module] = []
        inputs = 3
        for count, width in zip(CONVOLUTIONS_PER_STAGE, WIDTHS, strict=True):
            if layers:
                layers.append(nn.MaxPool2d(2))
            for _ in range(count):
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
                inputs = width
        self.features = nn.Sequential(*layers)
        self.register_buffer("mean", torch.tensor(MEAN).reshape(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION).reshape(3, 1, 1), persistent=False)
        load_weights(self, weights)

    def forward(self, image: Tensor) -> Tensor:
        """``(B, 1 or 3, *size)`` in [0, 1] -> ``(B, 512, *size / 16)``, rounded down."""
        colours = image.expand(-1, 3, -1, -1)
        features: Tensor = self.features((colours - self.mean) / self.deviation) / DIVISOR
        return features
