"""Training examples: a patch of a fine image, degraded by a random acquisition and deconvolved again.

Example number i of a seed is always the same, whatever the number of workers and wherever a training resumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from medsr.physics.condition import acquisition_condition
from medsr.physics.noise import add_rician_noise
from medsr.physics.profiles import Profile
from medsr.physics.sampling import Acquisition
from medsr.training.crops import random_crop, random_intensity_curve
from medsr.training.recipe import Recipe
from medsr.training.sections import AcquisitionRecipe, AppearanceRecipe
from medsr.training.volumes import TrainingVolume

Array = NDArray[np.float32]

_MARGIN_SAMPLES = {"gaussian": 3, "box": 3, "kspace": 5}
"""Coarse samples around a patch that are simulated and then cut away, so that a patch has no borders of its own."""


@dataclass(frozen=True)
class DrawnAcquisition:
    """The true and the stated acquisition of one example, per array axis in canonical order."""

    factors: tuple[float, ...]
    true: tuple[Profile, ...]
    stated: tuple[Profile, ...]
    noise: float


ASSUMED = (
    Profile("kspace", assumed=True),
    Profile("gaussian", 0.6, assumed=True),
    Profile("gaussian", 0.85, assumed=True),
    Profile("gaussian", assumed=True),
)
"""What an unknown profile may be taken for."""


def draw_acquisition(recipe: AcquisitionRecipe, dims: int, rng: np.random.Generator) -> DrawnAcquisition:
    """Draw one acquisition; the most enlarged axis comes first."""
    kind = rng.random()
    single = kind < recipe.single_axis
    if single:
        if rng.random() < recipe.whole_factors:
            factor = float(rng.choice(recipe.thick_factors))
        else:
            factor = float(rng.uniform(*recipe.thick_range))
        rest = float(rng.uniform(*recipe.isotropic_range)) if rng.random() < recipe.encoded_planes else 1.0
        factors = (factor,) + (min(rest, factor),) * (dims - 1)
    else:
        factor = 2.0 if rng.random() < recipe.exact_two else float(rng.uniform(*recipe.isotropic_range))
        enlarged = min(2, dims) if kind < recipe.single_axis + recipe.two_axes else dims
        factors = (factor,) * enlarged + (1.0,) * (dims - enlarged)
    encoded = rng.random() < (recipe.partitions if single else recipe.kspace)
    first = _draw_encoded(recipe, rng) if encoded else _draw_slice(recipe, rng)
    others = _draw_encoded(recipe, rng) if single and recipe.partitions else first
    true = (first,) + (others,) * (dims - 1)
    if rng.random() < recipe.unknown:
        choices = ASSUMED if recipe.partitions or recipe.kspace else ASSUMED[1:]
        guess = choices[int(rng.integers(len(choices)))]
        stated = (guess,) + (guess if true[1] == first else choices[0],) * (dims - 1)
    else:
        stated = tuple(_told(profile, rng.random() < recipe.misstated, recipe.misstated_by, rng) for profile in true)
    # What the scanner resolves along an axis that stays as it is stays, too: the target has it.
    true, stated = (
        tuple(p if f > 1 else Profile() for p, f in zip(each, factors, strict=True)) for each in (true, stated)
    )
    noise = float(np.exp(rng.uniform(*np.log(recipe.noise_range)))) if rng.random() < recipe.noise else 0.0
    return DrawnAcquisition(factors, true, stated, noise)


def _draw_slice(recipe: AcquisitionRecipe, rng: np.random.Generator) -> Profile:
    """A slice profile."""
    width = 1.0 if rng.random() < recipe.exact_width else float(rng.uniform(*recipe.relative_width))
    return Profile("box" if rng.random() < recipe.box else "gaussian", width)


def _draw_encoded(recipe: AcquisitionRecipe, rng: np.random.Generator) -> Profile:
    """A Fourier-encoded axis."""
    taper = float(rng.uniform(0.05, 1.0)) if rng.random() < recipe.tapered else 0.0
    width = float(rng.uniform(1.0, recipe.zero_filled_by)) if rng.random() < recipe.zero_filled else 1.0
    return Profile("kspace", width, taper)


def _told(profile: Profile, wrongly: bool, by: float, rng: np.random.Generator) -> Profile:
    """What is stated of a profile. Filters are in no header, so they are told half of the time."""
    error = float(np.exp(rng.uniform(-1, 1) * np.log(by)))
    if profile.kind == "kspace":
        return Profile("kspace", 1.0 if wrongly else profile.width, profile.taper if rng.random() < 0.5 else 0.0)
    return Profile(profile.kind, profile.width * error if wrongly else profile.width)


class DegradedPatches(Dataset[dict[str, torch.Tensor]]):
    """Endless examples of a recipe, addressed by number.

    Each item has ``input`` and ``target`` of shape ``(1, *patch)``, and ``condition``, see `acquisition_condition`.
    """

    def __init__(self, recipe: Recipe, volumes: Sequence[TrainingVolume], first: int, count: int, seed: int) -> None:
        self.recipe = recipe
        self.volumes = volumes
        self.first = first
        self.count = count
        self.seed = seed
        weights = np.array([volume.weight for volume in volumes])
        self.probabilities = weights / weights.sum()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        rng = np.random.default_rng([self.seed, self.first + index])
        dims = self.recipe.network.spatial_dims
        drawn = draw_acquisition(self.recipe.acquisition, dims, rng)
        margins = [
            int(np.ceil(_MARGIN_SAMPLES[profile.kind] * f)) if f > 1 else 0
            for f, profile in zip(drawn.factors, drawn.true, strict=True)
        ]
        fine = self._draw_fine(rng, [self.recipe.patch + 2 * m for m in margins])
        true, stated = (Acquisition.from_factors(fine.shape, drawn.factors, p) for p in (drawn.true, drawn.stated))
        start = deconvolve_degraded(fine, true, stated, drawn.noise, self.recipe.acquisition, rng)
        inside = tuple(slice(lo, lo + self.recipe.patch) for lo in ((n - self.recipe.patch) // 2 for n in fine.shape))
        return {
            "input": torch.from_numpy(np.ascontiguousarray(start[inside]))[None],
            "target": torch.from_numpy(np.ascontiguousarray(fine[inside]))[None],
            "condition": torch.tensor(acquisition_condition(stated.axes)),
        }

    def _draw_fine(self, rng: np.random.Generator, shape: Sequence[int]) -> Array:
        """A random crop of a random volume in a random orientation and contrast, with something in it."""
        appearance: AppearanceRecipe = self.recipe.appearance
        volume = self.volumes[int(rng.choice(len(self.volumes), p=self.probabilities))]
        array = volume.coarser if rng.random() < appearance.coarser else volume.array
        best = crop = random_crop(array, shape, rng, volume.across, appearance)
        for _ in range(3):
            if (crop > 0.1).mean() > 0.35:
                break
            crop = random_crop(array, shape, rng, volume.across, appearance)
            if crop.std() > best.std():
                best = crop
        if self.recipe.modality == "MR" and rng.random() < appearance.contrast:
            best = random_intensity_curve(best, appearance.contrast_strength, rng)
        return best


def deconvolve_degraded(
    fine: Array,
    true: Acquisition,
    stated: Acquisition,
    noise: float,
    recipe: AcquisitionRecipe,
    rng: np.random.Generator,
) -> Array:
    """Degrade `fine` with the true acquisition, add noise, deconvolve with the stated one."""
    coarse = true.forward(fine)
    if noise:
        if recipe.rician:
            coarse = add_rician_noise(np.maximum(coarse, 0), noise, rng)
        else:
            coarse = coarse + rng.normal(0.0, noise, coarse.shape).astype(np.float32)
    return np.asarray(stated.tikhonov(coarse, recipe.smoothness), dtype=np.float32)
