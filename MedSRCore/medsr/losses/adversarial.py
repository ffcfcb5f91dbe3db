"""The game of generator and discriminator, played with cross-entropy on logits.

With ``y`` real and ``x`` generated images, ``D`` the logits and ``BCE(l, t)`` the cross-entropy of ``sigmoid(l)``
with the label ``t``:

* **none** (Goodfellow et al., NeurIPS 2014, the form for generators that does not saturate):
  ``L_D = 1/2 [BCE(D(y), 1) + BCE(D(x), 0)]``, ``L_G = BCE(D(x), 1)``.
* **full** (relativistic average, Jolicoeur-Martineau, ICLR 2019, eq. 6 and 7), with
  ``d_y = D(y) - mean D(x)`` and ``d_x = D(x) - mean D(y)``:
  ``L_D = 1/2 [BCE(d_y, 1) + BCE(d_x, 0)]``, ``L_G = 1/2 [BCE(d_x, 1) + BCE(d_y, 0)]``.
* **half**: ``L_D`` as in full, ``L_G = BCE(d_x, 1)``: the training scripts of the three-player GAN and of DISGAN leave
  the generator's second term away.

The means go over the batch of all processes, so that training on two devices is training with the joint batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, distributed
from torch.nn.functional import binary_cross_entropy_with_logits

from medsr.errors import unknown_name

RELATIVISTIC = ("none", "half", "full")


def discriminator_loss(real: Tensor, fake: Tensor, relativistic: str = "none") -> Tensor:
    """What the discriminator makes small; ``log 2`` where it cannot tell real from generated.

    Args:
        real: logits of real images, any shape with the batch first.
        fake: logits of generated images, same shape.
        relativistic: one of `RELATIVISTIC`.
    """
    real, fake = _compared(real, fake, relativistic)
    return (_against(real, 1.0) + _against(fake, 0.0)) / 2


def generator_loss(real: Tensor, fake: Tensor, relativistic: str = "none") -> Tensor:
    """What the generator makes small; `real` does not matter where `relativistic` is "none"."""
    real, fake = _compared(real, fake, relativistic)
    if relativistic == "full":
        return (_against(fake, 1.0) + _against(real, 0.0)) / 2
    return _against(fake, 1.0)


def _compared(real: Tensor, fake: Tensor, relativistic: str) -> tuple[Tensor, Tensor]:
    if relativistic not in RELATIVISTIC:
        raise unknown_name("relativistic loss", relativistic, RELATIVISTIC)
    real, fake = real.float(), fake.float()
    if relativistic == "none":
        return real, fake
    return real - joint_mean(fake), fake - joint_mean(real)


def _against(logits: Tensor, label: float) -> Tensor:
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def joint_mean(values: Tensor) -> Tensor:
    """Mean over everything and over all processes of a parallel training; gradients flow through all of them."""
    mean = values.mean()
    if distributed.is_available() and distributed.is_initialized():
        from torch.distributed.nn.functional import all_reduce

        mean = all_reduce(mean) / distributed.get_world_size()  # type: ignore[no-untyped-call]
    return mean
