"""Training a feature network without labels: from a patch, tell how it was spoilt and which image it comes from.

The first task (as Gidaris et al., ICLR 2018, predict a rotation) makes features sensitive to sharpness, noise and
ringing; the second, every training image a class of its own, as Dosovitskiy et al. (NeurIPS 2014) do, to the textures
of tissues.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from lightning import LightningModule
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset

from medsr.losses.perceptual import feature_maps
from medsr.physics.downscaling import bicubic_matrix, downscale
from medsr.physics.noise import add_gaussian_noise
from medsr.physics.sampling import apply_along
from medsr.training.data import NumberedData
from medsr.training.images import TrainingImage, load_images
from medsr.training.pairs import FinePatches
from medsr.training.recipe import Recipe
from medsr.training.schedule import adam

Array = NDArray[np.float32]
Batch = dict[str, Tensor]


def _blurred(factor: int) -> Callable[[Array, np.random.Generator], Array]:
    def blur(patch: Array, _rng: np.random.Generator) -> Array:
        size = patch.shape[-1]
        coarse = downscale(patch, "bicubic", (1, factor, factor))
        back = bicubic_matrix(size // factor, size)
        return apply_along(coarse, {1: back, 2: back})

    return blur


def _sharpened(patch: Array, rng: np.random.Generator) -> Array:
    return patch + float(rng.uniform(0.7, 1.5)) * (patch - _blurred(2)(patch, rng))


def _ringing(patch: Array, _rng: np.random.Generator) -> Array:
    size = patch.shape[-1]
    spectrum = np.fft.fftshift(np.fft.fft2(patch), axes=(1, 2))
    kept = np.abs(np.arange(size) - size // 2) < size // 5
    cut = np.fft.ifft2(np.fft.ifftshift(spectrum * (kept[:, None] & kept), axes=(1, 2)))
    return cut.real.astype(np.float32)


def _noisy(patch: Array, rng: np.random.Generator) -> Array:
    return add_gaussian_noise(patch, float(np.exp(rng.uniform(*np.log((0.02, 0.1))))), rng)


def _blocky(patch: Array, _rng: np.random.Generator) -> Array:
    return np.kron(downscale(patch, "box", (1, 2, 2)), np.ones((1, 2, 2), np.float32))


SPOILING: Sequence[Callable[[Array, np.random.Generator], Array]] = (
    lambda patch, _rng: patch,
    _blurred(2),
    _blurred(4),
    _sharpened,
    _ringing,
    _noisy,
    _blocky,
)
"""What may be done to a patch ``(C, n, n)``: nothing, blur of two strengths, sharpening, ringing, noise, blocks."""


class TextureExamples(Dataset[Batch]):
    """Numbered patches: ``image`` of shape ``(C, patch, patch)``, how it was spoilt (``kind``), and its ``source``."""

    def __init__(self, recipe: Recipe, images: Sequence[TrainingImage], first: int, count: int, seed: int) -> None:
        self.patches = FinePatches(recipe, images)
        self.side, self.first, self.count, self.seed = recipe.patch, first, count, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Batch:
        rng = np.random.default_rng([self.seed, self.first + index])
        patch, source = self.patches.draw((self.side, self.side), rng)
        kind = int(rng.integers(len(SPOILING)))
        spoilt = np.ascontiguousarray(SPOILING[kind](patch, rng), dtype=np.float32)
        return {"image": torch.from_numpy(spoilt), "kind": torch.tensor(kind), "source": torch.tensor(source)}


class TextureData(NumberedData[TrainingImage]):
    """Deals the examples of a feature network, which sees one grey channel."""

    def load(self, subset: str) -> list[TrainingImage]:
        """See `NumberedData.load`."""
        return load_images(
            self.data_list,
            self.root,
            subset,
            self.recipe.modality,
            channels=1,
            dims=2,
            coarser_factor=None,
            cache=self.cache,
        )

    def examples(
        self, sources: list[TrainingImage], per_step: int, first: int, count: int, seed: int
    ) -> Dataset[Batch]:
        """See `NumberedData.examples`."""
        return TextureExamples(self.recipe, sources, first, count, seed)


class TextureModule(LightningModule):
    """Trains `network` by two linear answers from the means of its feature maps.

    Logs the two losses; in validation the share of patches whose spoiling was told right, ``kind_right``.

    Args:
        network: a 2D feature network.
        recipe: the training.
        classes: how many images may be the source; numbers beyond share a class.
    """

    def __init__(self, network: nn.Module, recipe: Recipe, classes: int = 64) -> None:
        super().__init__()
        self.network = network
        self.recipe = recipe
        self.classes = classes
        with torch.no_grad():
            width = self.means(torch.zeros(1, 1, recipe.patch, recipe.patch)).shape[1]
        self.kind, self.source = nn.Linear(width, len(SPOILING)), nn.Linear(width, classes)

    def means(self, image: Tensor) -> Tensor:
        """``(B, features)``: the mean of every feature of every level."""
        return torch.cat([maps.flatten(2).mean(2) for maps in feature_maps(self.network, image)], 1)

    def training_step(self, batch: Batch, _index: int) -> Tensor:
        """Sum of the cross-entropies of both tasks."""
        means = self.means(batch["image"])
        kind = cross_entropy(self.kind(means).float(), batch["kind"])
        source = cross_entropy(self.source(means).float(), batch["source"] % self.classes)
        self.log_dict({"kind": kind.detach(), "source": source.detach()}, on_step=False, on_epoch=True)
        return kind + source

    def validation_step(self, batch: Batch, _index: int) -> None:
        """How often the first task is solved on images that were not learned from."""
        answers = self.kind(self.means(batch["image"])).argmax(1)
        self.log("kind_right", (answers == batch["kind"]).float().mean(), sync_dist=True, prog_bar=True)

    def configure_optimizers(self) -> Any:
        """Adam for network and answers."""
        recipe = self.recipe.optimiser
        return adam(self.parameters(), recipe.learning_rate, self.recipe.steps, recipe)
