"""nnU-Net in place of the small network of `medsr augment evaluate`: one fold, real images alone and with their copies.

    export nnUNet_raw=$PWD/raw nnUNet_preprocessed=$PWD/preprocessed nnUNet_results=$PWD/results nnUNet_n_proc_DA=0
    medsr augment thick raw/Dataset501_Thick --recipe isotropic.json --format nnunet
    nnUNetv2_plan_and_preprocess -d 501 -c 3d_fullres -overwrite_target_spacing 1 1 1 -overwrite_plans_name medsrPlans
    python Testing/benchmarks/study_nnunet.py raw/Dataset501_Thick fine

By default a training is as short as one on a CPU must be, with half of the channels and AdamW; options make it longer.
Subjects, their fold and the scores are those of `medsr augment evaluate --folds 3 --sizes 16`. Both networks begin with
the same weights, and are tested on the real images and on the copies. With one training of each, the intervals are over
subjects only: they do not hold the luck of a training.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.training.nnUNetTrainer.variants.optimizer.nnUNetTrainerAdam import nnUNetTrainerAdam
from numpy.typing import NDArray

from medsr.augmentation.cases import Case, Dataset
from medsr.augmentation.datasets import read_dataset
from medsr.augmentation.study.design import COPIES, Run, arm_at, held_out_subjects, training_subjects
from medsr.augmentation.study.findings import compare, format_gain, mean_score
from medsr.augmentation.study.results import Row, RunResult
from medsr.augmentation.study.run import classes_on, grid_of
from medsr.augmentation.study.samples import class_values
from medsr.augmentation.study.scores import SCORES, Score, score_labels
from medsr.io import read_volume

FOLDS, SIZE, SEED, TOLERANCE, RATE = 3, 16, 1, 1.0, 3e-3


class ShortTrainer(nnUNetTrainerAdam):  # type: ignore[misc]
    """nnU-Net's trainer with Adam, for the cases that it is given and few epochs.

    Its plain one still finds nothing after 150 steps: SGD with a momentum of 0.99 takes longer to start.
    """

    cases: tuple[list[str], list[str]] = ([], [])

    def do_split(self) -> tuple[list[str], list[str]]:
        return self.cases

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        # As on a GPU, where nnU-Net computes in half precision; on CPUs it would not.
        with torch.autocast(self.device.type, torch.bfloat16):
            return dict(super().train_step(batch))


def trained(dataset: Dataset, arm: str, arguments: argparse.Namespace) -> ShortTrainer:
    """The trainer of an arm after its training."""
    subjects = [case.subject for case in dataset.real]
    learning = set(training_subjects(subjects, FOLDS, arguments.fold, SIZE, SEED))
    images = dataset.real if arm == "real" else dataset.cases
    folder = Path(nnUNet_preprocessed) / Path(dataset.root).name
    plans = json.loads((folder / f"{arguments.plans}.json").read_text()) | {"continue_training": False}
    if arguments.batch:
        plans["configurations"]["3d_fullres"]["batch_size"] = arguments.batch
    network = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    network["features_per_stage"] = [arguments.features * 2**n for n in range(network["n_stages"])]
    np.random.seed(SEED)  # nnU-Net draws from the global generators
    torch.manual_seed(SEED)
    description = json.loads((folder / "dataset.json").read_text())
    trainer = ShortTrainer(plans, "3d_fullres", arguments.fold, description, torch.device(arguments.device))
    trainer.num_epochs, trainer.num_iterations_per_epoch = arguments.epochs, arguments.iterations
    trainer.num_val_iterations_per_epoch, trainer.disable_checkpointing = 1, True
    trainer.initial_lr = RATE
    held_out = set(held_out_subjects(subjects, FOLDS, arguments.fold))
    trainer.cases = (
        [case.name for case in images if case.subject in learning],
        [case.name for case in dataset.real if case.subject in held_out],
    )
    trainer.run_training()
    trainer.set_deep_supervision_enabled(False)
    trainer.network.eval()
    return trainer


def predictor_of(trainer: ShortTrainer) -> nnUNetPredictor:
    """Of images as they are: nnU-Net would also segment seven mirror images of each, for eight times the work."""
    predictor = nnUNetPredictor(use_mirroring=False, device=trainer.device, allow_tqdm=False)
    plan, settings = trainer.plans_manager, trainer.configuration_manager
    predictor.manual_initialization(trainer.network, plan, settings, None, trainer.dataset_json, "", None)
    return predictor


def probabilities(predictor: nnUNetPredictor, case: Case) -> NDArray[np.float32]:
    """Of each class on the grid of the plan, which nothing was cut off from."""
    plan, settings = predictor.plans_manager, predictor.configuration_manager
    data, _, found = settings.preprocessor_class(verbose=False).run_case(
        list(case.images), None, plan, settings, predictor.dataset_json
    )
    uncut = [[0, n] for n in found["shape_before_cropping"]]
    if list(plan.transpose_forward) != [0, 1, 2] or [list(box) for box in found["bbox_used_for_cropping"]] != uncut:
        raise SystemExit(f"nnU-Net cut or turned {case.name}: this script does not follow it.")
    logits = predictor.predict_sliding_window_return_logits(torch.as_tensor(np.asarray(data)))
    return logits.float().softmax(0).cpu().numpy()


def score(predictor: nnUNetPredictor, case: Case, truth: str, structures: dict[str, int]) -> dict[str, Score]:
    """Of one image, as `medsr augment evaluate` does it."""
    label = read_volume(truth)
    spacing = tuple(reversed(predictor.configuration_manager.spacing))
    found = classes_on(probabilities(predictor, case), grid_of(case, label.geometry, spacing), label.geometry)
    values = np.array([0, *structures.values()])
    return score_labels(
        values[found], label.array.astype(values.dtype), label.geometry.spacing_xyz_mm[::-1], structures, TOLERANCE
    )


def tested(trainer: ShortTrainer, dataset: Dataset, truth: Dataset, arm: str, fold: int) -> list[Row]:
    """The scores of the real images and of the copies of one fold."""
    held_out = set(held_out_subjects([case.subject for case in dataset.real], FOLDS, fold))
    labels = {case.name: case.label for case in truth.real}
    structures, predictor = class_values(dataset.labels), predictor_of(trainer)
    scores: dict[str, dict[str, dict[str, Score]]] = {"": {}, COPIES: {}}
    for case in dataset.cases:
        if case.subject in held_out:
            where, real = (COPIES, case.origin) if case.is_synthetic else ("", case.name)
            scores[where][case.name] = score(predictor, case, labels[real], structures)
    subjects = {case.name: case.subject for case in dataset.cases}
    return list(RunResult(Run(arm, SIZE, fold, SEED), scores, subjects).rows())


def main() -> None:
    """Train both, test both, print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="nnU-Net training set with copies, planned and preprocessed")
    parser.add_argument("truth", help="training set with the labels to score against")
    parser.add_argument("--plans", default="medsrPlans")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--iterations", type=int, default=12, help="steps of an epoch")
    parser.add_argument("--batch", type=int, default=2, help="images of a step; 0: as planned")
    parser.add_argument("--features", type=int, default=16, help="of the first stage")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    dataset, truth = read_dataset(arguments.dataset), read_dataset(arguments.truth)
    rows: list[Row] = []
    for arm in ("real", "real+sr"):
        rows += tested(trained(dataset, arm, arguments), dataset, truth, arm, arguments.fold)
    places = [arm_at(arm, where) for arm in ("real", "real+sr") for where in ("", COPIES)]
    for place in places:
        means = [f"{mean_score(rows, SIZE, place, name):.{m.digits}f}" for name, m in SCORES.items()]
        print(f"| {place} | {' | '.join(means)} |")
    for arm, base in (("real+sr", "real"), *((arm_at(a, COPIES), a) for a in ("real", "real+sr"))):
        gains = [format_gain(compare(rows, SIZE, arm, base, name).gain, name) for name in SCORES]
        print(f"| {arm} | {base} | {' | '.join(gains)} |")


if __name__ == "__main__":
    main()
