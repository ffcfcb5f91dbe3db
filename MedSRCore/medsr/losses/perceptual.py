"""Distance between what a feature network sees in two images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from medsr.errors import unknown_name
from medsr.losses.pixel import mean_absolute_error, mean_squared_error

DISTANCES = {"mse": mean_squared_error, "l1": mean_absolute_error}


def feature_distance(prediction: Sequence[Tensor], target: Sequence[Tensor], kind: str = "mse") -> Tensor:
    """Mean over feature maps of their distance.

    "mse" is the VGG loss of Ledig et al. (CVPR 2017, eq. 5), "l1" that of the third player of Wang et al. (MLCN 2023).

    Args:
        prediction: feature maps of the generated image, each of any shape.
        target: those of the reference, of the same shapes.
        kind: "mse" or "l1".
    """
    if kind not in DISTANCES:
        raise unknown_name("feature distance", kind, DISTANCES)
    distance = DISTANCES[kind]
    terms = [distance(p.float(), t.float()) for p, t in zip(prediction, target, strict=True)]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total / len(terms)


def feature_maps(extractor: nn.Module, image: Tensor) -> list[Tensor]:
    """The maps of one image ``(B, C, *size)``: extractors may give one map or several."""
    features: Tensor | Iterable[Tensor] = extractor(image)
    return [features] if isinstance(features, Tensor) else list(features)


class PerColour(nn.Module):
    """A feature network of one channel that looks at each colour of an image alone.

    Args:
        network: takes ``(B, 1, *size)``.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> list[Tensor]:
        """``(B, C, *size)`` -> the maps of ``B C`` grey images."""
        return feature_maps(self.network, image.flatten(0, 1)[:, None])
