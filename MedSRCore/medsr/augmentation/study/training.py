"""Training one segmentation network, and segmenting with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.inferers.utils import sliding_window_inference
from monai.losses.dice import DiceCELoss
from numpy.typing import NDArray
from torch import nn

from medsr.augmentation.study.network import FoldedUNet
from medsr.augmentation.study.patches import Patches
from medsr.augmentation.study.recipe import SegmentationRecipe
from medsr.augmentation.study.samples import Sample

_CLIP = 12.0
_POWER = 0.9


@dataclass(frozen=True)
class Segmenter:
    """A trained network.

    Attributes:
        network: logits from images.
        recipe: it was trained by.
        planar: it works on pictures.
        device: that it is on.
        loss: mean over the last tenth of the training.
    """

    network: nn.Module
    recipe: SegmentationRecipe
    planar: bool
    device: torch.device
    loss: float

    def probabilities(self, image: NDArray[np.float16]) -> NDArray[np.float32]:
        """Probability of each class, ``(class, z, y, x)``, for an image ``(channel, z, y, x)``."""
        tensor = torch.from_numpy(np.asarray(image, dtype=np.float32))
        tensor = tensor[:, 0] if self.planar else tensor
        multiple = 2 ** len(self.recipe.filters)
        largest = self.recipe.window // multiple * multiple
        roi = [min(max(-(-n // multiple), 2) * multiple, largest) for n in tensor.shape[1:]]
        with torch.no_grad(), _autocast(self.device, self.recipe):
            logits = sliding_window_inference(
                tensor[None].to(self.device), roi, 1, self.network, 0.5, mode="gaussian", padding_mode="replicate"
            )
        found = torch.as_tensor(logits).float().softmax(1)[0].cpu().numpy()
        return np.asarray(found[:, None] if self.planar else found)


def train_segmenter(
    samples: Sequence[Sample],
    classes: int,
    recipe: SegmentationRecipe,
    seed: int,
    *,
    device: torch.device,
    step_done: Callable[[int], None],
) -> Segmenter:
    """Train a network on `samples`.

    Args:
        samples: real images and copies.
        classes: background included.
        recipe: how.
        seed: of the first weights and the patches.
        device: to train on.
        step_done: called with the number of steps done, and may raise to stop.
    """
    image, label = samples[0].open()
    planar = label.shape[0] == 1
    torch.manual_seed(seed)
    layout = torch.channels_last if planar else torch.channels_last_3d
    network = FoldedUNet(2 if planar else 3, image.shape[0], classes, recipe.filters)
    network.to(device).to(memory_format=layout)  # type: ignore[call-overload]
    patches = Patches(samples, recipe, seed, planar=planar)
    optimiser = torch.optim.AdamW(network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _rate(step, recipe))
    criterion = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
    losses = []
    for step in range(recipe.steps):
        batch, truth = patches.next_batch()
        with _autocast(device, recipe):
            logits = network(batch.to(device))
        loss = criterion(logits.float(), truth[:, None].to(device))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
        optimiser.step()
        schedule.step()
        losses.append(float(loss.detach()))
        step_done(step + 1)
    last = losses[-max(1, len(losses) // 10) :]
    return Segmenter(network.eval(), recipe, planar, device, float(np.mean(last)))


def _rate(step: int, recipe: SegmentationRecipe) -> float:
    """Linear warm-up, then the polynomial decay of nnU-Net."""
    return float(min((step + 1) / max(recipe.warmup, 1), (1 - step / (recipe.steps + 1)) ** _POWER))


def _autocast(device: torch.device, recipe: SegmentationRecipe) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16")
