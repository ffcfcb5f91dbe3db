"""The training step of generator and discriminator: two optimisers, one game."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, cast

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from medsr.losses.adversarial import discriminator_loss, generator_loss
from medsr.models.enlarger import Enlarger
from medsr.training.content import ContentLoss
from medsr.training.enlarging import Batch, EnlargingModule, scale_of
from medsr.training.guard import CollapseGuard
from medsr.training.precision import trusted_precision
from medsr.training.recipe import Recipe
from medsr.training.schedule import adam

logger = logging.getLogger(__name__)


class AdversarialModule(EnlargingModule):
    """Trains `network` with content terms and against `discriminator`.

    Logs beside the terms ``d_loss`` and the discriminator's answers ``d_real`` and ``d_fake``, and warns once per
    epoch where a player has stopped playing.
    """

    def __init__(self, network: Enlarger, discriminator: nn.Module, content: ContentLoss, recipe: Recipe) -> None:
        super().__init__(network, content, recipe)
        self.automatic_optimization = False
        self.discriminator = discriminator
        self.guard = CollapseGuard()

    def training_step(self, batch: Batch, index: int) -> None:  # type: ignore[override]
        """First the discriminator learns, then the generator against the new discriminator."""
        adversary = self.recipe.adversary
        step = self.current_epoch * self.recipe.steps_per_epoch + index
        playing = step >= adversary.pixel_steps
        generators, judges = cast("list[LightningOptimizer]", self.optimizers())
        fine = batch["fine"]
        enlarged, middle = self.answer(batch)
        noise = self.instance_noise(batch, step)

        if playing and step % adversary.every == 0:
            self.toggle_optimizer(judges)
            real, fake = self.judge(fine + noise), self.judge(enlarged.detach() + noise)
            loss = discriminator_loss(real, fake, self.recipe.losses.relativistic)
            self.learn(judges, loss)
            self.untoggle_optimizer(judges)
            answers = self.guard.saw_logits(real, fake)
            self.log_dict({"d_loss": loss.detach(), **answers}, on_step=False, on_epoch=True)

        self.toggle_optimizer(generators)
        terms = self.content(enlarged, fine, factor=scale_of(batch), perceptual=playing) | middle
        if playing:
            with torch.no_grad():
                real = self.judge(fine + noise)
            fake = self.judge(enlarged + noise)
            terms["adversarial"] = self.recipe.losses.adversarial * generator_loss(
                real, fake, self.recipe.losses.relativistic
            )
        self.learn(generators, self.total(terms))
        self.untoggle_optimizer(generators)
        for schedule in cast("list[Any]", self.lr_schedulers()):
            schedule.step()

    def judge(self, image: Tensor) -> Tensor:
        """The discriminator's logits."""
        with trusted_precision(image):
            logits: Tensor = self.discriminator(image)
        return logits

    def learn(self, optimiser: LightningOptimizer, loss: Tensor) -> None:
        """One step of one player, with clipped gradients where the recipe clips."""
        optimiser.zero_grad()
        self.manual_backward(loss)
        if self.recipe.optimiser.clip:
            self.clip_gradients(optimiser.optimizer, self.recipe.optimiser.clip, "norm")
        optimiser.step()

    def instance_noise(self, batch: Batch, step: int) -> Tensor:
        """Noise for the discriminator's images, the same for real and generated ones, that falls to 0 over a training.

        It depends on the seed and the number of each example alone, whatever the number of processes.
        """
        fine = batch["fine"]
        sigma = self.recipe.adversary.instance_noise * max(1 - step / self.recipe.steps, 0.0)
        if not sigma:
            return torch.zeros((), device=fine.device)
        source = torch.Generator()
        images = []
        for number in batch["number"].tolist():
            source.manual_seed(self.recipe.seed * 1_000_003 + number)
            images.append(torch.randn(fine.shape[1:], generator=source))
        return sigma * torch.stack(images).to(fine.device)

    def on_train_epoch_end(self) -> None:
        """Say what is wrong with the game."""
        found = self.guard.warnings()
        if self.trainer.is_global_zero:
            for warning in found:
                logger.warning("%s", warning)

    def generator_parameters(self) -> Iterable[nn.Parameter]:
        """What learns beside the generator, with it."""
        return self.network.parameters()

    def configure_optimizers(self) -> Any:
        """Adam for either side."""
        recipe, steps = self.recipe.optimiser, self.recipe.steps
        return [
            adam(self.generator_parameters(), recipe.learning_rate, steps, recipe),
            adam(self.discriminator.parameters(), self.recipe.adversary.learning_rate, steps, recipe),
        ]
