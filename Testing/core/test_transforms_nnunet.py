"""The trainer for nnU-Net, with nnU-Net itself where it is installed."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from medsr.augmentation.channels import make_channels
from medsr.augmentation.recipes import load_recipe
from medsr.augmentation.run import augment
from medsr.augmentation.spec import AugmentSpec
from medsr.errors import ModelError
from medsr.geometry import Geometry
from medsr.jobs import Progress
from medsr.transforms import NNUNET_TRAINERS
from medsr.volume import Volume

pytestmark = pytest.mark.network


def test_the_folder_of_trainers_shadows_no_other_module():
    # nnU-Net puts it first on the search path, and imports every module in it by its bare name.
    assert sorted(path.name for path in NNUNET_TRAINERS.glob("*.py")) == ["__init__.py", "medsr_trainer.py"]


@pytest.fixture
def nnunet():
    """The module of the trainer."""
    pytest.importorskip("nnunetv2", reason="nnU-Net is not installed: pip install nnunetv2==2.8.1")
    from medsr.transforms import nnunet

    return nnunet


class Plans:
    """What a trainer knows of its plan, as far as transforms ask for it."""

    def __init__(self, spacing):
        self.spacing = spacing


def transforms_of(nnunet, channels, spacing, patch, **changes):
    trainer = object.__new__(nnunet.nnUNetTrainerMedSR)
    trainer.dataset_json = {"channel_names": {str(i): name for i, name in enumerate(channels)}}
    trainer.configuration_manager = Plans(spacing)
    for name, value in changes.items():
        setattr(trainer, name, value)
    return trainer.get_training_transforms(np.array(patch), (-0.3, 0.3), None, (0, 1), False)


def acquisition_of(composed, nnunet):
    (found,) = [
        one.transform
        for one in composed.transforms
        if isinstance(getattr(one, "transform", None), nnunet.AcquisitionTransform)
    ]
    return found


def test_simulated_low_resolution_is_replaced_and_nothing_else(nnunet):
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    composed = transforms_of(nnunet, ["T2", "ADC"], [3.0, 0.6, 0.6], (16, 32, 32))
    theirs = nnUNetTrainer.get_training_transforms(np.array((16, 32, 32)), (-0.3, 0.3), None, (0, 1), False)
    kinds = [[type(getattr(one, "transform", one)).__name__ for one in c.transforms] for c in (composed, theirs)]
    changed = [(ours, other) for ours, other in zip(*kinds, strict=True) if ours != other]
    assert changed == [("AcquisitionTransform", "SimulateLowResolutionTransform")]
    found = acquisition_of(composed, nnunet)
    assert found.spacing_xyz_mm == (0.6, 0.6, 3.0) and found.modalities == ("MR", "MR")
    torch.manual_seed(0)
    made = composed(image=torch.rand(2, 16, 32, 32), segmentation=torch.zeros(1, 16, 32, 32, dtype=torch.int16))
    assert made["image"].shape == (2, 16, 32, 32) and bool(torch.isfinite(made["image"]).all())


def test_it_is_the_acquisition_of_medsr_augment_and_follows_the_seed_of_numpy(nnunet):
    import torch

    found = acquisition_of(transforms_of(nnunet, ["CT"], [3.0, 0.6, 0.6], (12, 24, 20)), nnunet)
    patch = torch.as_tensor(np.random.default_rng(0).normal(0, 1, (1, 12, 24, 20)), dtype=torch.float32)
    np.random.seed(4)
    seed = found.get_parameters()["seed"]
    volume = Volume(patch[0].numpy(), Geometry((20, 24, 12), (0.6, 0.6, 3.0)))
    (wanted,) = make_channels([volume], load_recipe("degrade-fast"), seed, ["CT"])
    assert wanted.drawn.slice_axis == 2
    np.random.seed(4)
    np.testing.assert_allclose(found(image=patch)["image"][0].numpy(), wanted.result.volume.array, atol=1e-4)
    assert not torch.equal(found(image=patch)["image"], found(image=patch)["image"])


def test_planes_and_recipes_of_ones_own(nnunet):
    import torch

    recipe = {"model": "linear", "degrade": {"factor": [3, 3]}}
    found = acquisition_of(transforms_of(nnunet, ["T1"], [0.7, 0.7], (24, 20), recipe=recipe), nnunet)
    plane = torch.rand(1, 24, 20)
    made = found(image=plane.clone())["image"]
    assert made.shape == plane.shape and made.std() < 0.7 * plane.std()


def test_a_version_that_composes_otherwise_is_told(nnunet, monkeypatch):
    monkeypatch.setattr(nnunet.nnUNetTrainer, "get_training_transforms", staticmethod(lambda *a, **k: None))
    with pytest.raises(ModelError, match=r"where version 2\.8 does"):
        transforms_of(nnunet, ["T1"], [1, 1, 1], (8, 8, 8))


RUN = """
import sys
from nnunetv2.experiment_planning.plan_and_preprocess_entrypoints import plan_and_preprocess_entry
from nnunetv2.run.run_training import run_training_entry

if __name__ == "__main__":
    name, sys.argv = sys.argv[1], sys.argv[1:]
    {"plan": plan_and_preprocess_entry, "train": run_training_entry}[name]()
"""
SHORT = """
from medsr.transforms.nnunet import nnUNetTrainerMedSR


class nnUNetTrainerShort(nnUNetTrainerMedSR):
    def __init__(self, plans, configuration, fold, dataset_json, device):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs, self.num_iterations_per_epoch, self.num_val_iterations_per_epoch = 1, 2, 1
"""


@pytest.mark.slow
def test_nnunet_itself_finds_the_trainer_and_trains_with_it(nnunet, a_set, tmp_path):
    raw = tmp_path / "raw"
    spec = AugmentSpec(str(a_set(5)), str(raw / "Dataset501_Small"), ("degrade-bspline",), format="nnunet")
    assert augment(spec, Progress()).report["nnunet_faults"] == []
    (tmp_path / "run.py").write_text(RUN)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/short.py").write_text(SHORT)
    environment = {
        "nnUNet_raw": raw,
        "nnUNet_preprocessed": tmp_path / "preprocessed",
        "nnUNet_results": tmp_path / "results",
        "nnUNet_extTrainer": os.pathsep.join(map(str, (NNUNET_TRAINERS, tmp_path / "mine"))),
        "nnUNet_n_proc_DA": 1,
        "nnUNet_def_n_proc": 1,
        "nnUNet_compile": "f",
    }
    environment = {**os.environ, **{name: str(value) for name, value in environment.items()}}

    def run(code, *words):
        ended = subprocess.run(
            [sys.executable, *code, *words], env=environment, cwd=tmp_path, capture_output=True, text=True
        )
        assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
        return ended.stdout

    find = "from nnunetv2.utilities.find_objects import recursive_find_trainer_class_by_name as find; print(find({!r}))"
    assert "medsr.transforms.nnunet.nnUNetTrainerMedSR" in run(["-c", find.format("nnUNetTrainerMedSR")])
    run([str(tmp_path / "run.py")], "plan", "-d", "501", "-c", "3d_fullres", "-np", "1", "-npfp", "1")
    run([str(tmp_path / "run.py")], "train", "501", "3d_fullres", "0", "-tr", "nnUNetTrainerShort", "-device", "cpu")
    (results,) = (tmp_path / "results/Dataset501_Small").glob("nnUNetTrainerShort__*")
    assert (results / "fold_0/checkpoint_final.pth").is_file()
    summary = json.loads((results / "fold_0/validation/summary.json").read_text())
    assert len(summary["metric_per_case"]) == 1
