"""Watches a game of networks and says when one of them has stopped playing."""

from __future__ import annotations

import torch
from torch import Tensor

from medsr.losses.adversarial import joint_mean

_ALWAYS_RIGHT = 0.98
_NO_SPREAD = 1e-3
_SHRUNKEN = 0.05


class CollapseGuard:
    """Collects what the players said over an epoch.

    The discriminator's answers are probabilities that a real image is more real than the mean generated one, and the
    other way round, which serves plain and relativistic losses alike: 0.5 where it cannot tell them apart.
    """

    def __init__(self) -> None:
        self._real: list[Tensor] = []
        self._fake: list[Tensor] = []
        self._logits: list[Tensor] = []
        self._spread: list[Tensor] = []
        self._first_spread = 0.0

    def saw_logits(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Remember one answer of the discriminator; return both probabilities for the log."""
        real, fake = real.detach().float(), fake.detach().float()
        self._real.append(torch.sigmoid(real - joint_mean(fake)).mean())
        self._fake.append(torch.sigmoid(fake - joint_mean(real)).mean())
        self._logits.append(torch.cat([real.flatten(), fake.flatten()]).std())
        return {"d_real": self._real[-1], "d_fake": self._fake[-1]}

    def saw_features(self, features: Tensor) -> Tensor:
        """Remember the standard deviation of the third player's features; return it for the log."""
        self._spread.append(features.detach().float().std())
        return self._spread[-1]

    def warnings(self) -> list[str]:
        """What is wrong since the last call, as sentences; forgets what was collected."""
        found = []
        if self._real:
            real, fake, spread = (float(torch.stack(v).mean()) for v in (self._real, self._fake, self._logits))
            if real > _ALWAYS_RIGHT and fake < 1 - _ALWAYS_RIGHT:
                found.append(
                    f"The discriminator tells real from generated nearly always ({real:.3f} and {fake:.3f}): the "
                    "generator learns little from it. Lower adversary.learning_rate or raise adversary.every."
                )
            if spread < _NO_SPREAD:
                found.append(
                    "The discriminator gives one answer to everything: it teaches the generator nothing. Raise "
                    "adversary.learning_rate."
                )
        if self._spread:
            spread = float(torch.stack(self._spread).mean())
            self._first_spread = self._first_spread or spread
            if spread < _SHRUNKEN * self._first_spread:
                found.append(
                    f"The features of the third player have shrunk to {spread / self._first_spread:.1%} of their first "
                    "spread: it makes its own term small instead of the generator's error. Set "
                    "adversary.train_features=false."
                )
        for values in (self._real, self._fake, self._logits, self._spread):
            values.clear()
        return found
