"""Running a recipe: data, network, Lightning's loop, checkpoints that a killed training resumes from."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from lightning import LightningDataModule, Trainer, seed_everything
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger
from torch.utils.data import DataLoader

from medsr.catalog import find_model
from medsr.models.registry import build_network
from medsr.training.patches import DegradedPatches
from medsr.training.recipe import Recipe
from medsr.training.restoration import RestorationModule
from medsr.training.volumes import TrainingVolume, load_volumes

logger = logging.getLogger(__name__)

VALIDATION_EXAMPLES = 24
_VALIDATION_SEED = 7919


class PatchData(LightningDataModule):
    """Deals each epoch its own numbered examples, so that a resumed training sees what it would have seen."""

    def __init__(self, recipe: Recipe, data_list: Path, root: Path, workers: int) -> None:
        super().__init__()
        self.recipe, self.data_list, self.root, self.workers = recipe, data_list, root, workers
        self.volumes: dict[str, list[TrainingVolume]] = {}

    def setup(self, stage: str) -> None:
        """Load the volumes, once."""
        factor = self.recipe.appearance.coarser_factor
        for subset in ("train", "validation"):
            if subset not in self.volumes:
                self.volumes[subset] = load_volumes(self.data_list, self.root, subset, self.recipe.modality, factor)

    def train_dataloader(self) -> DataLoader[dict[str, torch.Tensor]]:
        """The examples of the current epoch and rank."""
        if self.trainer is None:
            raise RuntimeError("Examples are numbered by the epoch of a trainer, and there is none.")
        world, rank = self.trainer.world_size, self.trainer.global_rank
        recipe, epoch = self.recipe, self.trainer.current_epoch
        whole = recipe.steps_per_epoch * recipe.batch
        first = (epoch * world + rank) * whole
        # The last epoch may be a short one.
        count = max(min(whole, (recipe.steps - epoch * recipe.steps_per_epoch) * recipe.batch), recipe.batch)
        data = DegradedPatches(self.recipe, self.volumes["train"], first, count, self.recipe.seed)
        return DataLoader(data, self.recipe.batch, num_workers=self.workers)

    def val_dataloader(self) -> DataLoader[dict[str, torch.Tensor]]:
        """The same examples every time."""
        data = DegradedPatches(self.recipe, self.volumes["validation"], 0, VALIDATION_EXAMPLES, _VALIDATION_SEED)
        return DataLoader(data, 4)


def train(
    recipe: Recipe,
    data_list: Path,
    root: Path,
    folder: Path,
    *,
    resume: bool = False,
    workers: int = 0,
    devices: int = 1,
) -> Path:
    """Train a recipe and return the file of averaged weights (``weights.pt`` in `folder`).

    Args:
        recipe: what to train.
        data_list: JSON file with "train" and "validation" lists.
        root: folder that the files of the list are relative to.
        folder: receives checkpoints, logs and the weights.
        resume: continue from the last checkpoint of `folder`, if there is one.
        workers: processes that prepare examples; 0 prepares them between steps, best on two cores.
        devices: number of devices; several train in parallel (DDP).
    """
    seed_everything(recipe.seed, workers=True)
    network = build_network(recipe.network.architecture, recipe.network.spatial_dims, recipe.network.options)
    if recipe.warm_start:
        network.load_state_dict(torch.load(_weights_file(recipe.warm_start), weights_only=True, map_location="cpu"))
    # Channels-last convolutions are a fifth faster on CPUs and on tensor cores.
    layout = torch.channels_last_3d if recipe.network.spatial_dims == 3 else torch.channels_last
    module = RestorationModule(network.to(memory_format=layout), recipe)  # type: ignore[call-overload]
    average = EMAWeightAveraging(decay=recipe.optimiser.ema)
    callbacks: list[Callback] = [
        average,
        ModelCheckpoint(
            folder,
            filename="last",
            save_last=False,
            save_top_k=1,
            enable_version_counter=False,
            every_n_epochs=1,
            save_on_train_epoch_end=True,
        ),
    ]
    # One part per start: Lightning's CSV logger would empty the log that a resumed training continues.
    part = len(list((folder / "log").glob("part-*")))
    loggers: list[Logger] = [CSVLogger(folder, name="log", version=f"part-{part:02d}")]
    try:
        loggers.append(TensorBoardLogger(folder, name="tensorboard", version=""))
    except ModuleNotFoundError:
        logger.info("tensorboard is not installed; logging to CSV only")
    trainer = Trainer(
        accelerator="auto",
        devices=devices,
        precision=recipe.precision,  # type: ignore[arg-type]
        # Not by steps: Lightning would resume inside the epoch that had just ended.
        max_epochs=-(-recipe.steps // recipe.steps_per_epoch),
        gradient_clip_val=recipe.optimiser.clip,
        callbacks=callbacks,
        logger=loggers,
        log_every_n_steps=50,
        check_val_every_n_epoch=recipe.validate_every,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    checkpoint = folder / "last.ckpt"
    trainer.fit(
        module,
        PatchData(recipe, data_list, root, workers),
        ckpt_path=str(checkpoint) if resume and checkpoint.exists() else None,
    )
    weights = folder / "weights.pt"
    temporary = weights.with_suffix(".partial")
    torch.save({k: v.detach().cpu() for k, v in module.network.state_dict().items()}, temporary)
    temporary.replace(weights)
    return weights


def _weights_file(name: str) -> Path:
    """A file of weights, or the verified weights of a model of the catalog."""
    path = Path(name)
    return path if path.is_file() else find_model(name).verified_weights()
