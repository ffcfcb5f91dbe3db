"""EDSR with improved squeeze-and-excitation (Bing et al. 2019, IEEE Access), 2D, factors 4, 8 and 16.

From the source (its abstract): EDSR without batch normalisation, residual scaling, the sum with the interpolated
input, a squeeze-and-excitation that enhances channels and does not suppress them. From EDSR (Lim et al. 2017): 16
blocks of 64 features, residual scale 0.1, ReLU inside blocks only.
Ours, as its text could not be read: the gate ``x (1 + s)`` with s of Hu et al. 2018 at reduction 16, never below one;
``x + a x s`` with a learnt from 0.1 as the other reading; one sub-pixel doubling after another.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from medsr.errors import unknown_name
from medsr.models.enlarger import Enlarger, doublings
from medsr.models.layers import SubpixelStage, convolution, initialise, reach_before_stages, shrink

ATTENTIONS = ("improved", "scaled", "plain", "none")


class ChannelGate(nn.Module):
    """Multiplies every channel by one number, which two small layers read from the means of all channels.

    Args:
        features: channels.
        reduction: the hidden layer has ``features / reduction`` numbers, at least one.
        kind: "improved" ``x (1 + s)``, "scaled" ``x + a x s``, "plain" ``x s`` (Hu et al. 2018).
    """

    kept: Tensor | None

    def __init__(self, features: int, reduction: int, kind: str) -> None:
        super().__init__()
        hidden = max(features // reduction, 1)
        self.squeeze = nn.Linear(features, hidden)
        self.excite = nn.Linear(hidden, features)
        self.kind = kind
        self.share = nn.Parameter(torch.tensor(0.1)) if kind == "scaled" else None
        self.keep = False
        # A buffer moves with the network; it is of one image, so not part of the weights.
        self.register_buffer("kept", None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, features, *size)`` -> the same shape."""
        if self.kept is not None:
            return x * self.kept
        gate = self._gate(x)
        if self.keep:
            self.kept = gate
        return x * gate

    def _gate(self, x: Tensor) -> Tensor:
        means = x.flatten(2).mean(2)
        strength = torch.sigmoid(self.excite(torch.relu(self.squeeze(means))))
        if self.kind == "improved":
            strength = 1 + strength
        elif self.share is not None:
            strength = 1 + self.share * strength
        return strength.reshape(*strength.shape, *[1] * (x.dim() - 2))


class GatedBlock(nn.Module):
    """conv - ReLU - conv - gate, a tenth of it added to the input."""

    def __init__(self, spatial_dims: int, features: int, gate: nn.Module, residual_scale: float) -> None:
        super().__init__()
        self.first = convolution(spatial_dims, features, features)
        self.second = convolution(spatial_dims, features, features)
        self.gate = gate
        self.residual_scale = residual_scale

    def forward(self, x: Tensor) -> Tensor:
        """``(B, features, *size)`` -> the same shape."""
        change: Tensor = self.gate(self.second(torch.relu(self.first(x))))
        return x + self.residual_scale * change


class EDSRSE(Enlarger):
    """EDSR whose blocks weigh their channels.

    The gates look at the whole image, so the network is not local. `local_for` keeps the gates of one image; then
    tiles equal the whole. Layers before the doublings have the same names at every scale, so that a network of one
    scale can start from that of another.

    Args:
        spatial_dims: 2 (the source) or 3.
        channels: of the image.
        scale: a power of two; 4, 8 and 16 in the source.
        features: width of the network.
        blocks: number of gated blocks.
        attention: "improved", "scaled", "plain" or "none"; see `ChannelGate`.
        reduction: of the gates.
        residual_scale: share of a block's answer that is added.
        global_residual: add the answer to the cubic interpolation, as the source does.
        even: sub-pixel convolutions answer a flat input evenly, see `SubpixelStage`; in no source, prevents grids.
    """

    def __init__(
        self,
        spatial_dims: int = 2,
        channels: int = 1,
        scale: int = 4,
        features: int = 64,
        blocks: int = 16,
        attention: str = "improved",
        reduction: int = 16,
        residual_scale: float = 0.1,
        global_residual: bool = True,
        even: bool = False,
    ) -> None:
        super().__init__(spatial_dims, channels, (scale,), global_residual)
        if attention not in ATTENTIONS:
            raise unknown_name("attention", attention, ATTENTIONS)

        def block() -> GatedBlock:
            gate = nn.Identity() if attention == "none" else ChannelGate(features, reduction, attention)
            return GatedBlock(spatial_dims, features, gate, residual_scale)

        self.head = convolution(spatial_dims, channels, features)
        self.blocks = nn.Sequential(*(block() for _ in range(blocks)))
        self.fuse = convolution(spatial_dims, features, features)
        self.stages = nn.Sequential(
            *(SubpixelStage(spatial_dims, features, even=even) for _ in range(doublings(scale)))
        )
        self.tail = convolution(spatial_dims, features, channels)
        initialise(self)
        shrink(self.tail)

    @property
    def halo(self) -> int:
        """See `Enlarger.halo`; of the convolutions, the gates look at the whole image unless they are kept."""
        return 1 + 2 * len(self.blocks) + 1 + reach_before_stages(1, len(self.stages))

    @property
    def local(self) -> bool:
        """See `Enlarger.local`: without gates, or with those of one image."""
        return all(gate.kept is not None for gate in self._gates())

    def local_for(self, coarse: Tensor) -> Enlarger:
        """See `Enlarger.local_for`: a copy with the gates that the whole image sets."""
        if self.local:
            return self
        self.check_shape(coarse)
        network = deepcopy(self)
        for gate in network._gates():
            gate.keep = True
        with torch.no_grad():
            network.blocks(network.head(coarse))
        return network

    def detail(self, coarse: Tensor, scale: int) -> Tensor:
        """See `Enlarger.detail`."""
        shallow = self.head(coarse)
        deep = shallow + self.fuse(self.blocks(shallow))
        fine: Tensor = self.tail(self.stages(deep))
        return fine

    def _gates(self) -> list[ChannelGate]:
        return [module for module in self.modules() if isinstance(module, ChannelGate)]
