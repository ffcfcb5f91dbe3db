"""ResNet10 in the layout of MedicalNet (Chen et al. 2019): third player of Wang Qi et al. (2023).

From the sources: a 7-voxel convolution of stride 2, max pooling, four basic blocks of 64, 128, 256 and 512 features,
the second of stride 2, the third and fourth dilated by 2 and 4 in place of a stride: a map of an eighth of the size,
512 x 8^3 for 64^3 voxels, 14,355,520 parameters in 3D. (MONAI's ResNet strides on and gives 2^3.) Names of tensors are
MedicalNet's, so that its files fit. Without a file: random, which is how the three-player GAN starts it.
"""

from __future__ import annotations

from torch import Tensor, nn

from medsr.models.features.weights import load_weights
from medsr.models.layers import BATCH_NORMS, CONVOLUTIONS, initialise

POOLS = {2: nn.MaxPool2d, 3: nn.MaxPool3d}


class BasicBlock(nn.Module):
    """conv - BN - ReLU - conv - BN, plus the input (through a convolution where the shape changes), ReLU."""

    def __init__(self, spatial_dims: int, inputs: int, outputs: int, stride: int, dilation: int) -> None:
        super().__init__()
        conv, norm = CONVOLUTIONS[spatial_dims], BATCH_NORMS[spatial_dims]
        self.conv1 = conv(inputs, outputs, 3, stride=stride, padding=dilation, dilation=dilation, bias=False)
        self.bn1 = norm(outputs)
        self.conv2 = conv(outputs, outputs, 3, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = norm(outputs)
        self.downsample = (
            nn.Identity()
            if inputs == outputs and stride == 1
            else nn.Sequential(conv(inputs, outputs, 1, stride=stride, bias=False), norm(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(B, inputs, *size)`` -> ``(B, outputs, *size / stride)``."""
        change = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        features: Tensor = (change + self.downsample(x)).relu()
        return features


class ResNet10(nn.Module):
    """Features of an eighth of the size.

    Args:
        spatial_dims: 3 (the source) or 2.
        channels: of the image.
        width: features of the first block.
        weights: file of MedicalNet's weights, or of one's own; empty for random ones.
    """

    def __init__(self, spatial_dims: int = 3, channels: int = 1, width: int = 64, weights: str = "") -> None:
        super().__init__()
        self.conv1 = CONVOLUTIONS[spatial_dims](channels, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = BATCH_NORMS[spatial_dims](width)
        self.pool = POOLS[spatial_dims](3, stride=2, padding=1)
        # Sequential, as in MedicalNet, where deeper networks have more blocks per layer.
        self.layer1 = nn.Sequential(BasicBlock(spatial_dims, width, width, 1, 1))
        self.layer2 = nn.Sequential(BasicBlock(spatial_dims, width, 2 * width, 2, 1))
        self.layer3 = nn.Sequential(BasicBlock(spatial_dims, 2 * width, 4 * width, 1, 2))
        self.layer4 = nn.Sequential(BasicBlock(spatial_dims, 4 * width, 8 * width, 1, 4))
        initialise(self, "relu")
        if weights:
            load_weights(self, weights, lambda key: key.removeprefix("module."))

    def forward(self, image: Tensor) -> Tensor:
        """``(B, C, *size)`` -> ``(B, 8 width, *size / 8)``, rounded up."""
        x = self.pool(self.bn1(self.conv1(image)).relu())
        features: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return features
