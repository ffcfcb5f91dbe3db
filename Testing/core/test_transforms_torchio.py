"""Acquisitions and enlargements as transforms of TorchIO, where it is installed."""

import re
from pathlib import Path

import numpy as np
import pytest

import medsr
from medsr.augmentation.channels import make_channels
from medsr.augmentation.labels import resample_labels
from medsr.augmentation.recipes import load_recipe
from medsr.errors import InvalidValueError, UnknownNameError
from medsr.geometry import Geometry
from medsr.volume import Volume

pytestmark = pytest.mark.network
torch = pytest.importorskip("torch")
torchio = pytest.importorskip("torchio", reason="TorchIO is not installed: pip install torchio")

from medsr.transforms import Acquisition, RandomAcquisition, SuperResolve  # noqa: E402

AFFINE = np.array([[0.8, 0.6, 0, -7], [-0.6, 0.8, 0, 3], [0, 0, 3, 11], [0, 0, 0, 1]])


def subject(channels=1, seed=0):
    x, y, z = np.indices((26, 24, 10))
    label = (((x - 13) / 9) ** 2 + ((y - 12) / 7) ** 2 + ((z - 5) / 3) ** 2 < 1).astype(np.uint8)
    noise = np.random.default_rng(seed).normal(0, 12, (channels, *label.shape))
    image = torch.as_tensor(400 + 300.0 * label + noise, dtype=torch.float32)
    return torchio.Subject(
        t1=torchio.ScalarImage(tensor=image, affine=AFFINE),
        seg=torchio.LabelMap(tensor=torch.as_tensor(label[None]), affine=AFFINE),
    )


def as_volume(tensor):
    grid = Geometry.from_affine(AFFINE, tensor.shape[1:], "RAS")
    return Volume(tensor[0].numpy().T, grid)


def test_images_are_acquired_anew_and_label_maps_stay():
    before = subject(channels=2)
    torch.manual_seed(0)
    after = RandomAcquisition()(before)
    assert after.t1.shape == before.t1.shape and np.array_equal(after.t1.affine, AFFINE)
    assert torch.equal(after.seg.data, before.seg.data) and after.t1.data.dtype == torch.float32
    changes = (after.t1.data - before.t1.data).abs().mean(dim=(1, 2, 3))
    assert (changes > 2).all() and changes[0] != changes[1]
    assert torch.equal(before.t1.data, subject(channels=2).t1.data)


def test_it_is_the_acquisition_of_medsr_augment():
    before = subject()
    after = Acquisition(7, recipe="degrade-bspline")(before)
    (wanted,) = make_channels([as_volume(before.t1.data)], load_recipe("degrade-bspline"), 7, ["auto"])
    np.testing.assert_allclose(after.t1.data[0].numpy().T, wanted.result.volume.array, atol=1e-3)


def test_draws_follow_the_seed_of_torch_and_the_history_makes_them_again():
    transform = torchio.Compose([RandomAcquisition(p=1), torchio.RandomFlip()])

    def made(seed):
        torch.manual_seed(seed)
        return transform(subject())

    one = made(1)
    assert torch.equal(one.t1.data, made(1).t1.data) and not torch.equal(one.t1.data, made(2).t1.data)
    again = one.get_composed_history()(subject())
    assert torch.equal(again.t1.data, one.t1.data)
    assert "Acquisition(seed=" in str(one.history[0])


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_of_a_loader_draw_differently_and_always_the_same(workers):
    dataset = torchio.SubjectsDataset([subject(seed=n) for n in range(4)], transform=RandomAcquisition())

    def epoch(seed):
        torch.manual_seed(seed)
        loader = torchio.SubjectsLoader(dataset, batch_size=2, num_workers=workers)
        return torch.cat([batch["t1"]["data"] for batch in loader])

    first = epoch(0)
    assert first.shape == (4, 1, 26, 24, 10)
    assert torch.equal(first, epoch(0)) and not torch.equal(first, epoch(1))


def test_a_finer_subject_is_that_of_super_resolve_and_labels_follow_it():
    before = subject()
    after = SuperResolve(isotropic=True, model="tikhonov")(before)
    wanted = medsr.super_resolve(as_volume(before.t1.data), isotropic=True, model="tikhonov").volume
    assert after.spatial_shape == (26, 24, 30) and after.spacing == pytest.approx((1, 1, 1))
    np.testing.assert_allclose(after.t1.affine, wanted.geometry.affine_ras, atol=1e-6)
    np.testing.assert_allclose(after.t1.data[0].numpy().T, wanted.array, atol=1e-2)
    label = resample_labels(as_volume(before.seg.data), wanted.geometry)
    assert np.array_equal(after.seg.data[0].numpy().T, label.array) and after.seg.data.dtype == torch.uint8
    assert "isotropic" in str(after.history[0]) and torch.equal(after.history[0](before).t1.data, after.t1.data)


def test_images_may_be_chosen_and_tensors_pass():
    after = RandomAcquisition(exclude=["t1"])(subject())
    assert torch.equal(after.t1.data, subject().t1.data)
    assert SuperResolve(scale=2, model="linear", include=["t1"])(subject()).t1.shape == (1, 52, 48, 20)
    assert SuperResolve(scale=2, model="linear")(torch.rand(1, 8, 8, 8)).shape == (1, 16, 16, 16)
    # A picture.
    assert SuperResolve(scale=2, model="linear")(torch.rand(3, 20, 24, 1)).shape == (3, 40, 48, 1)
    assert RandomAcquisition()(torch.rand(3, 20, 24, 1)).shape == (3, 20, 24, 1)


def test_the_block_of_the_page_runs(tmp_path, monkeypatch):
    subject().t1.save(tmp_path / "thick.nii.gz")
    subject().seg.save(tmp_path / "labels.nii.gz")
    monkeypatch.chdir(tmp_path)
    page = Path(__file__).parents[2] / "docs/how-to/transforms.md"
    (block,) = [
        found
        for found in re.findall(r"\n```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
        if "import torchio" in found
    ]
    exec(block, {})


def test_what_makes_no_sense_is_refused():
    with pytest.raises(InvalidValueError, match="sr-x2 does not draw an acquisition"):
        RandomAcquisition("sr-x2")
    with pytest.raises(UnknownNameError, match="isotropic"):
        SuperResolve(isotrop=True)
    with pytest.raises(InvalidValueError, match="has no image whose grid"):
        SuperResolve(scale=2)(torchio.Subject(seg=subject().seg))
