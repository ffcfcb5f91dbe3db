"""Running a recipe: data, network, Lightning's loop, checkpoints that a killed training resumes from."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import cast

import torch
from lightning import LightningDataModule, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from torch import nn

from medsr.errors import ModelError
from medsr.losses.perceptual import PerColour
from medsr.models.enlarger import Enlarger
from medsr.models.features.shipped import LABEL, shipped_texture_net
from medsr.models.profile_refiner import ProfileRefiner
from medsr.models.registry import build_discriminator, build_features, build_network
from medsr.training.adversarial import AdversarialModule
from medsr.training.bundling import bundle_from_training
from medsr.training.cache import ArrayCache
from medsr.training.content import ContentLoss
from medsr.training.data import EnlargingData, RefiningData
from medsr.training.enlarging import EnlargingModule
from medsr.training.feature_bundle import write_feature_bundle
from medsr.training.recipe import Recipe
from medsr.training.restoration import RestorationModule
from medsr.training.sections import LossRecipe
from medsr.training.texture import TextureData, TextureModule
from medsr.training.three_player import ThreePlayerModule
from medsr.training.warm_start import copy_matching, stored_weights
from medsr.training.watching import Report, Watcher

logger = logging.getLogger(__name__)


def train(
    recipe: Recipe,
    data_list: Path,
    root: Path,
    folder: Path,
    *,
    resume: bool = False,
    workers: int = 0,
    devices: int = 1,
    nodes: int = 1,
    cache: Path | None = None,
    report: Report | None = None,
) -> Path:
    """Train a recipe and return the file of its weights (``weights.pt`` in `folder`, beside ``bundle``).

    Args:
        recipe: what to train.
        data_list: JSON file with "train" and "validation" lists.
        root: folder that the files of the list are relative to.
        folder: receives checkpoints, logs and the weights.
        resume: continue from the last checkpoint of `folder`, if there is one.
        workers: processes that prepare examples; 0 prepares them between steps, best on two cores.
        devices: number of devices of this machine; several train in parallel (DDP).
        nodes: number of machines, each started by torchrun.
        cache: folder for the prepared volumes, which are mapped from there and not held in memory.
        report: is told after every step how far the training is.

    Raises:
        ModelError: a network that the recipe's family cannot train, or a training that fell apart.
    """
    seed_everything(recipe.seed, workers=True)
    network = _started_network(recipe)
    module = _module(network, recipe)
    data = _data(network, recipe, data_list, root, workers, ArrayCache(cache))
    trainer = _trainer(recipe, folder, devices, nodes, module.automatic_optimization, report)
    checkpoint = folder / "last.ckpt"
    trainer.fit(module, data, ckpt_path=str(checkpoint) if resume and checkpoint.exists() else None)
    weights = folder / "weights.pt"
    if not trainer.is_global_zero:
        return weights
    temporary = weights.with_suffix(".partial")
    torch.save({k: v.detach().cpu() for k, v in network.state_dict().items()}, temporary)
    temporary.replace(weights)
    (write_feature_bundle if recipe.family == "features" else bundle_from_training)(folder, recipe)
    return weights


def _trainer(recipe: Recipe, folder: Path, devices: int, nodes: int, automatic: bool, report: Report | None) -> Trainer:
    """Lightning's loop with checkpoints and logs in `folder`; `automatic` where one optimiser steps by itself."""
    callbacks: list[Callback] = [EMAWeightAveraging(decay=recipe.optimiser.ema)] if recipe.optimiser.ema else []
    callbacks.append(
        ModelCheckpoint(
            folder,
            filename="last",
            save_last=False,
            save_top_k=1,
            enable_version_counter=False,
            every_n_epochs=1,
            save_on_train_epoch_end=True,
        )
    )
    if report is not None:
        callbacks.append(Watcher(report, recipe.steps_per_epoch))
    # One part per start: Lightning's CSV logger would empty the log that a resumed training continues.
    part = len(list((folder / "log").glob("part-*")))
    loggers: list[Logger] = [CSVLogger(folder, name="log", version=f"part-{part:02d}")]
    try:
        loggers.append(TensorBoardLogger(folder, name="tensorboard", version=""))
    except ModuleNotFoundError:
        logger.info("tensorboard is not installed; logging to CSV only")
    parallel = devices * nodes > 1
    return Trainer(
        default_root_dir=folder,
        accelerator="auto",
        devices=devices,
        num_nodes=nodes,
        # While one player learns, the others get no gradients.
        strategy="ddp_find_unused_parameters_true" if parallel and not automatic else "auto",
        sync_batchnorm=parallel and torch.cuda.is_available(),
        precision=recipe.precision,  # type: ignore[arg-type]
        # Not by steps: Lightning would resume inside the epoch that had just ended.
        max_epochs=-(-recipe.steps // recipe.steps_per_epoch),
        gradient_clip_val=(recipe.optimiser.clip or None) if automatic else None,
        callbacks=callbacks,
        logger=loggers,
        log_every_n_steps=50,
        check_val_every_n_epoch=recipe.validate_every,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=False,
        use_distributed_sampler=False,
    )


def _started_network(recipe: Recipe) -> nn.Module:
    """The recipe's network with its starting weights."""
    build = build_features if recipe.family == "features" else build_network
    network = build(recipe.network.architecture, recipe.network.spatial_dims, recipe.network.options)
    wanted = {"refine": ProfileRefiner, "features": nn.Module}.get(recipe.family, Enlarger)
    if not isinstance(network, wanted):
        raise ModelError(
            f"Recipe {recipe.name!r}: the family {recipe.family!r} trains a {wanted.__name__}, and "
            f"{recipe.network.architecture!r} is none. Change family or network.architecture."
        )
    if recipe.warm_start and recipe.family == "refine":
        network.load_state_dict(stored_weights(recipe.warm_start))
    elif recipe.warm_start:
        copy_matching(network, recipe.warm_start)
    # Channels-last convolutions are a fifth faster on CPUs and on tensor cores.
    layout = torch.channels_last_3d if recipe.network.spatial_dims == 3 else torch.channels_last
    return network.to(memory_format=layout)  # type: ignore[call-overload,no-any-return]


def _module(network: nn.Module, recipe: Recipe) -> LightningModule:
    """The training step of the recipe's family."""
    if recipe.family == "features":
        return TextureModule(network, recipe)
    if not isinstance(network, Enlarger):
        return RestorationModule(cast("ProfileRefiner", network), recipe)
    losses, adversary = recipe.losses, recipe.adversary
    features = _feature_network(losses, network) if losses.perceptual else None
    content = ContentLoss(losses, features, adversary.train_features)
    if recipe.family == "enlarge":
        return EnlargingModule(network, content, recipe)
    discriminator = build_discriminator(adversary.discriminator, network.spatial_dims, adversary.options)
    kind = AdversarialModule if recipe.family == "gan" else ThreePlayerModule
    return kind(network, discriminator, content, recipe)


def _feature_network(losses: LossRecipe, network: Enlarger) -> nn.Module:
    """The recipe's feature network; texture-net without further options is the one that comes with MedSR."""
    if losses.features == "texture-net" and not losses.features_options:
        logger.info("Perceptual features: %s", LABEL)
        shipped = shipped_texture_net()
        return shipped if network.channels == 1 else PerColour(shipped)
    return build_features(losses.features, network.spatial_dims, losses.features_options)


def _data(
    network: nn.Module, recipe: Recipe, data_list: Path, root: Path, workers: int, cache: ArrayCache
) -> LightningDataModule:
    """The examples of the recipe's family."""
    if recipe.family == "features":
        return TextureData(recipe, data_list, root, workers, cache)
    if isinstance(network, Enlarger):
        return EnlargingData(recipe, network, data_list, root, workers, cache)
    return RefiningData(recipe, data_list, root, workers, cache)
