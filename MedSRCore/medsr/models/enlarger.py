"""The one shape of all networks that enlarge from the coarse grid by a whole factor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from torch import Tensor, nn

from medsr.errors import InvalidValueError
from medsr.models.interpolation import enlarge_cubic
from medsr.models.layers import CONVOLUTIONS


class Enlarger(nn.Module, ABC):
    """Enlarges an image by a whole factor along every axis.

    Intensities are on the scale of its training, usually about [0, 1]. In evaluation mode a network is local: an
    output voxel depends on no input voxel farther than `halo` from its own, so that tiles equal the whole image up to
    roundings. Where a network looks at the whole image (`local` is False), `local_for` gives the local network of one
    image.

    Args:
        spatial_dims: 2 or 3.
        channels: of the image, in and out.
        scales: whole factors that this network makes; the first is the usual one.
        global_residual: add the answer to the interpolated input.
    """

    def __init__(self, spatial_dims: int, channels: int, scales: Iterable[int], global_residual: bool) -> None:
        super().__init__()
        if spatial_dims not in CONVOLUTIONS:
            raise InvalidValueError(f"spatial_dims must be 2 or 3, got {spatial_dims}.")
        if channels < 1:
            raise InvalidValueError(f"channels must be at least 1, got {channels}.")
        self.spatial_dims = spatial_dims
        self.channels = channels
        self.scales = tuple(scales)
        self.global_residual = global_residual
        if not self.scales or min(self.scales) < 2:
            raise InvalidValueError(f"Scales are whole numbers from 2 up, got {list(self.scales)}.")

    @property
    @abstractmethod
    def halo(self) -> int:
        """Receptive radius in voxels of the coarse input, the largest over the scales."""

    @property
    def local(self) -> bool:
        """Whether an output voxel depends on its neighbourhood alone (in evaluation mode)."""
        return True

    def local_for(self, coarse: Tensor) -> Enlarger:
        """A network that gives for tiles of `coarse` what this one gives for the whole; itself if it is local.

        Args:
            coarse: ``(B, C, *size)``, the whole image.
        """
        return self

    def forward(self, coarse: Tensor, scale: int | None = None) -> Tensor:
        """Enlarge.

        Args:
            coarse: ``(B, C, *size)``, intensities about [0, 1], any size.
            scale: one of `scales`; None is the first.

        Returns:
            ``(B, C, *size * scale)``, intensities on the same scale, not clipped.

        Raises:
            InvalidValueError: a scale or shape that is not this network's.
        """
        factor = self.checked_scale(scale)
        self.check_shape(coarse)
        detail = self.detail(coarse, factor)
        return detail + enlarge_cubic(coarse, factor) if self.global_residual else detail

    @abstractmethod
    def detail(self, coarse: Tensor, scale: int) -> Tensor:
        """What the network itself makes, before the interpolated input is added; arguments are valid."""

    def checked_scale(self, scale: int | None) -> int:
        """`scale`, or the first of `scales`; raise InvalidValueError for one that this network does not make."""
        if scale is None:
            return self.scales[0]
        if scale not in self.scales:
            raise InvalidValueError(
                f"This network enlarges by {', '.join(map(str, self.scales))}, it was asked for {scale}. "
                "Choose one of them, or let the result be resampled."
            )
        return scale

    def check_shape(self, coarse: Tensor) -> None:
        """Raise InvalidValueError for a tensor that is no image of this network's dimension and channels."""
        if coarse.dim() != self.spatial_dims + 2 or coarse.shape[1] != self.channels:
            raise InvalidValueError(
                f"Expected (batch, {self.channels}, {self.spatial_dims} sizes), got {tuple(coarse.shape)}."
            )


def doublings(scale: int) -> int:
    """How often 2 goes into `scale`; raise InvalidValueError for a scale that is no power of two."""
    count = scale.bit_length() - 1
    if scale < 2 or scale != 2**count:
        raise InvalidValueError(f"This network enlarges by powers of two, got a scale of {scale}.")
    return count
