"""The sections of a recipe: the only place where an option, its default and its help are written.

Where a published system leaves a choice open, or its code and its paper differ, the help names the source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from medsr.errors import InvalidValueError


def doc(text: str) -> dict[str, str]:
    """Field metadata that holds the help of an option."""
    return {"help": text}


@dataclass(frozen=True)
class NetworkRecipe:
    """Which network, and its size."""

    architecture: str = field(default="profile-refiner", metadata=doc("name in the model registry"))
    spatial_dims: int = field(default=3, metadata=doc("2 or 3"))
    options: Mapping[str, Any] = field(default_factory=dict, metadata=doc("arguments of the architecture"))


@dataclass(frozen=True)
class AcquisitionRecipe:
    """How training examples are degraded. Every range is drawn from anew for each patch."""

    single_axis: float = field(
        default=0.6, metadata=doc("share of examples with one thick axis; the rest are isotropic")
    )
    two_axes: float = field(default=0.04, metadata=doc("share with two enlarged axes (in-plane)"))
    exact_two: float = field(default=0.8, metadata=doc("share of isotropic examples at exactly x2"))
    isotropic_range: tuple[float, float] = field(default=(1.3, 3.0), metadata=doc("other isotropic factors"))
    thick_factors: tuple[float, ...] = field(
        default=(2, 3, 3, 4, 4, 5, 6, 6), metadata=doc("whole factors of the thick axis")
    )
    thick_range: tuple[float, float] = field(default=(1.3, 8.0), metadata=doc("other factors of the thick axis"))
    whole_factors: float = field(default=0.85, metadata=doc("share of thick-axis examples with a whole factor"))
    exact_width: float = field(
        default=0.5, metadata=doc("share of slice profiles that are as wide as the distance of the slices")
    )
    relative_width: tuple[float, float] = field(
        default=(0.5, 1.3), metadata=doc("width of the others over the distance of the slices")
    )
    box: float = field(default=0.08, metadata=doc("share of slice profiles that are boxes"))
    partitions: float = field(
        default=0.3, metadata=doc("share of Fourier encoding where one axis is thick (partitions of 3D MR)")
    )
    kspace: float = field(
        default=0.75, metadata=doc("share of Fourier encoding where several axes are enlarged (planes, 3D MR)")
    )
    encoded_planes: float = field(
        default=0.1, metadata=doc("share of thick-slice examples whose planes are enlarged too, and Fourier-encoded")
    )
    tapered: float = field(default=0.5, metadata=doc("share of Fourier-encoded examples with a filtered spectrum"))
    zero_filled: float = field(default=0.15, metadata=doc("share of them acquired coarser than their grid"))
    zero_filled_by: float = field(default=1.4, metadata=doc("resolution over the distance of the samples, at most"))
    misstated: float = field(default=0.1, metadata=doc("share of examples whose stated width is wrong"))
    misstated_by: float = field(default=1.3, metadata=doc("stated / true width lies in [1/this, this]"))
    unknown: float = field(default=0.25, metadata=doc("share of examples whose profile is assumed, not stated"))
    noise: float = field(default=0.12, metadata=doc("share of examples with noise"))
    noise_range: tuple[float, float] = field(default=(0.003, 0.04), metadata=doc("noise level / 99th percentile"))
    rician: bool = field(default=True, metadata=doc("Rician (magnitude MR) noise; else Gaussian (CT)"))
    smoothness: float = field(default=0.01, metadata=doc("Tikhonov weight of the network's input"))


@dataclass(frozen=True)
class AppearanceRecipe:
    """How training images are varied before they are degraded."""

    contrast: float = field(default=0.3, metadata=doc("share of examples with a random intensity curve"))
    contrast_strength: float = field(default=0.8, metadata=doc("1: the curve alone, 0: the image alone"))
    coarser: float = field(default=0.25, metadata=doc("share of examples from the volume's coarser copy"))
    coarser_factor: float = field(default=1.5, metadata=doc("how much coarser that copy is"))
    flips: bool = field(
        default=True,
        metadata=doc("reverse every axis in half of the examples; the code and texts of Wang, Zamzmi, Ledig name none"),
    )
    swaps: bool = field(
        default=True,
        metadata=doc(
            "exchange axes at random, and take slices of volumes across any of them; else in the order of the file, "
            "slices across the first. Named by EDSR (turns by 90 degrees) alone"
        ),
    )
    whole: bool = field(
        default=False,
        metadata=doc(
            "each example is a whole image or slice, resampled (bicubic) to the size of a patch, whatever its shape, "
            "as in the code of Zamzmi et al. 2020; else a crop. For families that enlarge"
        ),
    )


@dataclass(frozen=True)
class OptimiserRecipe:
    """Warm-up, constant rate, then linear cool-down, so that a training can be prolonged before its cool-down."""

    learning_rate: float = field(default=1e-3, metadata=doc("peak rate"))
    muon: bool = field(default=False, metadata=doc("Muon for the convolutions of a refiner's blocks; else Adam"))
    warmup: int = field(default=200, metadata=doc("steps of linear warm-up"))
    cooldown: int = field(default=1000, metadata=doc("steps of linear cool-down at the end"))
    drops: tuple[int, ...] = field(
        default=(), metadata=doc("steps from which on the rate is multiplied by `drop` once more")
    )
    drop: float = field(default=0.1, metadata=doc("0.1 in SRGAN (Ledig et al. 2017), 0.5 in EDSR (Lim et al. 2017)"))
    betas: tuple[float, float] = field(
        default=(0.9, 0.99),
        metadata=doc("Adam's decays of mean and mean square; (0.9, 0.999), the libraries' default, in the sources"),
    )
    clip: float = field(default=0.5, metadata=doc("largest gradient norm; 0: no limit, as no source states one"))
    ema: float = field(
        default=0.99,
        metadata=doc(
            "decay of the averaged weights that are validated and shipped; 0: those of the last step, as no source "
            "averages"
        ),
    )

    def __post_init__(self) -> None:
        if not all(0 <= decay < 1 for decay in (*self.betas, self.ema)):
            raise InvalidValueError(
                "optimiser.betas and optimiser.ema are decays from 0 to below 1, got "
                f"{list(self.betas)} and {self.ema}."
            )
        if self.clip < 0 or self.drop <= 0:
            raise InvalidValueError(
                "optimiser.clip must not be negative (0: no limit) and optimiser.drop must be positive, got "
                f"{self.clip} and {self.drop}."
            )


@dataclass(frozen=True)
class EnlargingRecipe:
    """How the coarse image of an example is made for networks that enlarge by a whole factor."""

    downscaling: str = field(
        default="bicubic",
        metadata=doc(
            "a kind of medsr.physics.profiles. The sources state bicubic for the 2D systems (Ledig et al. 2017; Bing "
            "et al. 2019); the code of Wang et al. shrinks by nearest_wang, shifted by half a fine voxel, so kspace is "
            "taken for their systems and nearest_wang only to reproduce them"
        ),
    )
    intensities: str = field(
        default="range",
        metadata=doc(
            "what the networks see: range ([0, 1], of CT fixed HU) or z-score (mean 0, standard deviation 1 over the "
            "whole volume: scripts of Wang et al., to which their instance noise of 1 belongs)"
        ),
    )
    noise: float = field(default=0.0, metadata=doc("share of examples with normal noise on the coarse image"))
    noise_range: tuple[float, float] = field(
        default=(0.003, 0.04), metadata=doc("standard deviation of that noise, in the units of `intensities`")
    )


@dataclass(frozen=True)
class LossRecipe:
    """Weights of the terms that the generator makes small; a weight of 0 leaves the term away."""

    l1: float = field(default=1.0, metadata=doc("mean absolute error"))
    mse: float = field(default=0.0, metadata=doc("mean squared error"))
    squared_cooldown: bool = field(
        default=False, metadata=doc("refine: root mean squared error of each patch while the rate cools down")
    )
    intermediate: float = field(
        default=0.0,
        metadata=doc(
            "mean absolute error of progressive-gan's picture at twice the size against the fine patch halved; not in "
            "the source's abstract, without it that picture is only a by-product"
        ),
    )
    structural: float = field(
        default=0.0, metadata=doc("1 - MS-SSIM; vdsr7: 0.6 l1 + 0.4 structural (code of Zamzmi et al. 2020)")
    )
    grid: float = field(
        default=0.0,
        metadata=doc(
            "mean absolute pattern that the error repeats in 4 coarse voxels a side: what sub-pixel convolutions print "
            "where features and adversary ask for texture. Ours, in no source; `medsr.losses.grid`"
        ),
    )
    perceptual: float = field(
        default=0.0,
        metadata=doc(
            "feature distance. 1 for VGG19, whose features come divided by 12.75 (Ledig et al. 2017); "
            "0.01 for the third player (scripts of threeplayerGANSR and DISGAN; MRSRGAN and srgan_three swap it "
            "with the pixel weight: 1 and 0.01)"
        ),
    )
    features: str = field(default="texture-net", metadata=doc("name in the registry of feature networks"))
    features_options: Mapping[str, Any] = field(
        default_factory=dict, metadata=doc('its arguments, for vgg19 {"weights": "vgg19-dcbb9e9d.pth"}')
    )
    feature_distance: str = field(default="mse", metadata=doc("mse (Ledig et al. 2017) or l1 (scripts of Wang et al.)"))
    adversarial: float = field(
        default=0.0, metadata=doc("1e-3 in SRGAN (Ledig et al. 2017), 5e-3 in the scripts of Wang et al.")
    )
    relativistic: str = field(
        default="none",
        metadata=doc(
            "none (SRGAN), half (scripts of threeplayerGANSR and DISGAN) or full (Jolicoeur-Martineau 2019; stated for "
            "edsr-se-gan as relativistic GAN)"
        ),
    )


@dataclass(frozen=True)
class AdversaryRecipe:
    """The discriminator and how it plays."""

    discriminator: str = field(default="vgg-patch", metadata=doc("name in the registry of discriminators"))
    options: Mapping[str, Any] = field(default_factory=dict, metadata=doc("arguments of the discriminator"))
    learning_rate: float = field(default=1e-4, metadata=doc("peak rate of its Adam; 1e-4 in all sources"))
    every: int = field(default=1, metadata=doc("it learns at every n-th step; 5 in one variant of MRSRGAN"))
    pixel_steps: int = field(
        default=0,
        metadata=doc(
            "steps at the start with the pixel and structural terms alone (the first epoch in MRSRGAN; SRGAN starts "
            "from the weights of SRResNet instead)"
        ),
    )
    instance_noise: float = field(
        default=0.0,
        metadata=doc(
            "standard deviation, in the units of enlarging.intensities, of one noise image added to real and generated "
            "alike; falls to 0, with every step (in the scripts of Wang et al. with every epoch, from 1)"
        ),
    )
    train_features: bool = field(
        default=False,
        metadata=doc(
            "the third player learns beside the generator, from the same loss (update_FE in threeplayerGANSR; it may "
            "collapse to constant features, which the log shows). False: it stays as it is (DISGAN)"
        ),
    )
