"""Acquisitions and enlargements as transforms of MONAI: grids, labels, seeds, and that they are those of MedSR."""

import pickle
import re
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest

import medsr
import medsr.transforms
from medsr.augmentation.channels import make_channels
from medsr.augmentation.labels import resample_labels
from medsr.augmentation.recipes import load_recipe
from medsr.errors import InputError, InvalidValueError, MissingDependencyError, UnknownNameError

pytestmark = pytest.mark.network
torch = pytest.importorskip("torch")
monai = pytest.importorskip("monai")

from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch, list_data_collate  # noqa: E402
from monai.transforms import (  # noqa: E402
    Compose,
    EnsureChannelFirstd,
    Invertd,
    LoadImaged,
    RandSpatialCropd,
    ScaleIntensityd,
)

from medsr.transforms import RandAcquisitiond, SuperResolved  # noqa: E402

PAGE = Path(__file__).parents[2] / "docs/how-to/transforms.md"
KEYS = ["image", "label"]
# Slices of 3 mm, turned in the patient.
AFFINE = np.array([[0.8, 0.6, 0, -7], [-0.6, 0.8, 0, 3], [0, 0, 3, 11], [0, 0, 0, 1]])


def phantom(shape=(26, 24, 10), channels=1, seed=0):
    """An ellipsoid in texture ``(x, y, z[, c])``, and its label map."""
    x, y, z = np.indices(shape)
    half = np.array(shape) / 2
    label = (((x - half[0]) / 9) ** 2 + ((y - half[1]) / 7) ** 2 + ((z - half[2]) / 3) ** 2 < 1).astype(np.uint8)
    noise = np.random.default_rng(seed).normal(0, 12, (*shape, channels))
    image = (400 + 300.0 * label[..., None] + noise).astype(np.int16)
    return (image if channels > 1 else image[..., 0]), label


@pytest.fixture
def files(tmp_path):
    """A dictionary of the paths of an image of so many channels and its label map."""

    def write(channels=1):
        image, label = phantom(channels=channels)
        for name, array in (("image", image), ("label", label)):
            nibabel.save(nibabel.Nifti1Image(array, AFFINE), tmp_path / f"{name}.nii.gz")
        return {name: str(tmp_path / f"{name}.nii.gz") for name in KEYS}

    return write


def loaded(files):
    return Compose([LoadImaged(KEYS), EnsureChannelFirstd(KEYS)])(files)


def dice(one, other):
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


# ---------------------------------------------------------------- acquisitions


def test_an_image_is_acquired_anew_on_its_own_grid_and_labels_stay(files):
    data = loaded(files())
    made = RandAcquisitiond("image", prob=1.0).set_random_state(3)(data)
    before, after = data["image"], made["image"]
    assert isinstance(after, MetaTensor) and after.shape == before.shape and after.dtype == before.dtype
    assert torch.equal(after.affine, before.affine) and after.meta["filename_or_obj"] == before.meta["filename_or_obj"]
    assert made["label"] is data["label"]
    change = (after - before).abs().mean()
    assert 3 < change < 60 and torch.equal(data["image"], loaded(files())["image"])


def test_it_is_the_acquisition_of_medsr_augment(files):
    paths = files()
    transform = RandAcquisitiond("image", recipe="degrade-bspline", prob=1.0).set_random_state(5)
    made = transform(loaded(paths))["image"]
    volume = medsr.read_volume(paths["image"])
    volume = volume.replace(array=volume.array.astype(np.float32))
    (wanted,) = make_channels([volume], load_recipe("degrade-bspline"), transform._seed, ["auto"])
    assert wanted.result.volume.geometry.is_same_as(volume.geometry)
    np.testing.assert_allclose(np.asarray(made[0]).T, wanted.result.volume.array, atol=1e-3)


def test_channels_and_keys_are_acquisitions_of_their_own(files):
    data = loaded(files(channels=2))
    image = data["image"][:1].repeat(2, 1, 1, 1)
    made = RandAcquisitiond(["a", "b"], prob=1.0).set_random_state(0)({"a": image, "b": image[:1]})
    assert made["a"].shape[0] == 2 and made["b"].shape[0] == 1
    three = [made["a"][0], made["a"][1], made["b"][0]]
    assert not any(torch.allclose(three[i], three[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_draws_follow_the_state_whether_or_not_they_are_used(files):
    data = loaded(files())
    one, same, other = (RandAcquisitiond("image", prob=0.5).set_random_state(seed) for seed in (1, 1, 2))
    ones, sames, others = ([t(data)["image"] for _ in range(6)] for t in (one, same, other))
    assert all(torch.equal(a, b) for a, b in zip(ones, sames, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(ones, others, strict=True))
    untouched = [image is data["image"] for image in ones]
    assert 0 < sum(untouched) < 6
    # The sixth is the same where each of the five before was used.
    always = RandAcquisitiond("image", prob=1.0).set_random_state(1)
    certain = [always(data)["image"] for _ in range(6)]
    assert all(torch.equal(a, b) for a, b, skipped in zip(ones, certain, untouched, strict=True) if not skipped)


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_of_a_loader_draw_differently_and_always_the_same(files, workers):
    entries = [files()] * 4
    transforms = Compose(
        [
            LoadImaged(KEYS),
            EnsureChannelFirstd(KEYS),
            RandSpatialCropd(KEYS, (16, 16, 8), random_size=False),
            RandAcquisitiond("image", prob=1.0),
            ScaleIntensityd("image"),
        ]
    )

    def epoch(seed):
        monai.utils.set_determinism(seed)
        transforms.set_random_state(seed)
        try:
            loader = DataLoader(Dataset(entries, transforms), batch_size=2, num_workers=workers)
            return torch.cat([torch.as_tensor(batch["image"]) for batch in loader])
        finally:
            monai.utils.set_determinism(None)

    first = epoch(0)
    assert first.shape == (4, 1, 16, 16, 8) and torch.equal(first, epoch(0)) and not torch.equal(first, epoch(1))
    assert len({tuple(image.flatten()[:9].tolist()) for image in first}) == 4


def test_transforms_travel_to_other_processes(files):
    data = loaded(files())
    for transform in (
        RandAcquisitiond("image", prob=1.0).set_random_state(4),
        SuperResolved("image", scale=2, model="linear"),
    ):
        there = pickle.loads(pickle.dumps(transform))
        assert torch.equal(there(data)["image"], transform(data)["image"])


@pytest.mark.parametrize("shape", [(1, 30, 28), (2, 14, 12, 8)])
def test_pictures_arrays_and_constant_channels(shape):
    image = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    image[-1] = image[-1] if shape[0] == 1 else 0.25
    made = RandAcquisitiond("image", prob=1.0).set_random_state(0)({"image": image})["image"]
    assert isinstance(made, np.ndarray) and made.shape == shape and made.dtype == np.float32
    assert np.abs(made[0] - image[0]).max() > 0.1
    # A channel that shows nothing, as a modality that is missing, shows nothing afterwards.
    assert shape[0] == 1 or (made[1] == 0.25).all()
    as_tensor = RandAcquisitiond("image", prob=1.0).set_random_state(0)({"image": torch.as_tensor(image)})["image"]
    assert type(as_tensor) is torch.Tensor and np.array_equal(as_tensor.numpy(), made)


def test_what_is_no_acquisition_or_no_image_is_refused():
    with pytest.raises(InvalidValueError, match="sr-x2 does not draw an acquisition"):
        RandAcquisitiond("image", recipe="sr-x2")
    with pytest.raises(UnknownNameError, match="Did you mean 'degrade-fast'"):
        RandAcquisitiond("image", recipe="degrade-first")
    with pytest.raises(UnknownNameError, match="profile"):
        RandAcquisitiond("image", recipe={"degrade": {"profile": ["gauss"]}})
    with pytest.raises(UnknownNameError, match="modality"):
        RandAcquisitiond("image", modality="PET")
    transform = RandAcquisitiond("image", recipe={"model": "linear", "degrade": {"factor": [2, 2]}}, prob=1.0)
    with pytest.raises(InputError, match="channel first"):
        transform({"image": np.zeros((4, 4))})
    with pytest.raises(InputError, match="NaN"):
        transform({"image": np.array([[[[1, np.nan], [2, 3]]]])})
    with pytest.raises(KeyError, match="other"):
        RandAcquisitiond("other", prob=1.0)({"image": 1})
    assert RandAcquisitiond("other", prob=1.0, allow_missing_keys=True)({"image": 1}) == {"image": 1}


# ---------------------------------------------------------------- enlargements


def test_a_finer_image_is_that_of_super_resolve_and_labels_follow_it(files):
    paths = files()
    data = SuperResolved("image", "label", isotropic=True, model="tikhonov")(loaded(paths))
    volume, label = (medsr.read_volume(paths[key]) for key in KEYS)
    wanted = medsr.super_resolve(
        volume.replace(array=volume.array.astype(np.float32)), isotropic=True, model="tikhonov"
    ).volume
    for key in KEYS:
        assert data[key].shape == (1, 26, 24, 30)
        np.testing.assert_allclose(data[key].affine.numpy(), wanted.geometry.affine_ras, atol=1e-5)
        np.testing.assert_allclose(data[key].pixdim, (1, 1, 1), atol=1e-5)
    np.testing.assert_allclose(np.asarray(data["image"][0]).T, wanted.array, atol=1e-2)
    assert np.array_equal(np.asarray(data["label"][0]).T, resample_labels(label, wanted.geometry).array)
    assert data["image"].meta["pixdim"][1:4] == pytest.approx([1, 1, 1])


def test_labels_found_on_the_finer_grid_come_back_through_invertd(files):
    paths = files()
    finer = SuperResolved("image", "label", scale=2, model="bspline")
    pre = Compose([LoadImaged(KEYS), EnsureChannelFirstd(KEYS), finer])
    batch = list_data_collate([pre(paths)])
    batch["pred"] = (batch["image"] > 550).to(torch.uint8)
    batch["odds"] = torch.sigmoid((batch["image"] - 550) / 40)
    (item,) = decollate_batch(batch)
    found = Compose(
        [
            Invertd("pred", transform=pre, orig_keys="image", nearest_interp=True, to_tensor=True),
            Invertd("odds", transform=pre, orig_keys="image", nearest_interp=False, to_tensor=True),
            Invertd("label", transform=pre, orig_keys="label"),
        ]
    )(item)
    image, label = phantom()
    volume = np.count_nonzero(batch["pred"]) / 8
    assert found["pred"].shape == (1, 26, 24, 10) and found["odds"].shape == (1, 26, 24, 10)
    np.testing.assert_allclose(found["pred"].affine.numpy(), AFFINE, atol=1e-5)
    assert np.count_nonzero(found["pred"]) == pytest.approx(volume, rel=0.01)
    assert dice(np.asarray(found["pred"][0]) > 0, image > 550) > 0.97
    assert dice(np.asarray(found["label"][0]) > 0, label > 0) > 0.97
    odds = np.asarray(found["odds"])
    assert odds.min() >= 0 and odds.max() <= 1 and len(np.unique(odds)) > 100
    assert dice(odds[0] > 0.5, image > 550) > 0.95


def test_a_label_map_of_another_key_and_several_channels_each_by_the_rule():
    image, label = phantom()
    regions = np.stack([label, label * (np.indices(label.shape)[0] < 13)]).astype(np.float32)
    data = {"t1": image[None].astype(np.float32), "regions": regions}
    made = SuperResolved("t1", "regions", scale=2, model="linear")(data)
    assert made["regions"].shape == (2, 52, 48, 20) and set(np.unique(made["regions"])) == {0, 1}
    for before, after in zip(regions, made["regions"], strict=True):
        assert after.sum() / 8 == pytest.approx(before.sum(), rel=0.01)


def test_an_affine_in_lps_stays_one(files):
    image = loaded(files())["image"]
    flip = np.diag([-1.0, -1, 1, 1])
    lps = MetaTensor(torch.as_tensor(np.asarray(image)), affine=torch.as_tensor(flip @ AFFINE), meta={"space": "LPS"})
    ras, turned = (SuperResolved("image", scale=2, model="linear")({"image": i})["image"] for i in (image, lps))
    np.testing.assert_allclose(turned.affine.numpy(), flip @ ras.affine.numpy(), atol=1e-6)
    assert np.array_equal(np.asarray(turned), np.asarray(ras)) and turned.meta["space"] == "LPS"


def test_a_picture_and_a_missing_modality_are_enlarged_too():
    picture = np.random.default_rng(0).integers(0, 255, (3, 20, 24)).astype(np.uint8)
    made = SuperResolved("image", scale=2, model="linear")({"image": MetaTensor(picture)})["image"]
    assert made.shape == (3, 40, 48) and made.dtype == torch.uint8
    image = np.concatenate([phantom()[0][None], np.zeros((1, 26, 24, 10))]).astype(np.float32)
    for order in (image, image[::-1].copy(), image[1:]):
        made = SuperResolved("image", scale=2, model="linear")({"image": order})["image"]
        assert made.shape[1:] == (52, 48, 20) and [bool(c.any()) for c in made] == [bool(c.any()) for c in order]


def test_options_and_keys_that_make_no_sense_are_refused():
    with pytest.raises(UnknownNameError, match="isotropic"):
        SuperResolved("image", isotrop=True)
    with pytest.raises(InvalidValueError, match="both images and label maps"):
        SuperResolved(["image", "label"], "label", scale=2)
    with pytest.raises(InvalidValueError, match="has no image beside it"):
        SuperResolved("image", "label", allow_missing_keys=True, scale=2)({"label": np.zeros((1, 4, 4, 4))})
    image = phantom()[0][None].astype(np.float32)
    with pytest.raises(InputError, match="fractions"):
        SuperResolved("image", "label", scale=2, model="linear")({"image": image, "label": image + 0.5})


def test_the_blocks_of_the_page_run(tmp_path, monkeypatch):
    image, label = phantom((24, 24, 12))
    for name, array in (("thick", image), ("labels", label)):
        nibabel.save(nibabel.Nifti1Image(array, AFFINE), tmp_path / f"{name}.nii.gz")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"\n```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    ours = [block for block in blocks if "from monai" in block]
    assert len(ours) == 2
    for block in ours:
        exec(block, {})


@pytest.mark.parametrize(("missing", "name"), [("monai", "SuperResolved"), ("torchio", "SuperResolve")])
def test_a_library_that_is_missing_is_named(monkeypatch, missing, name):
    for module in [m for m in sys.modules if m.partition(".")[0] == missing] + [missing]:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, f"medsr.transforms.{missing}", raising=False)
    with pytest.raises(MissingDependencyError, match=f"the package {missing}, which is not installed: pip install"):
        getattr(medsr.transforms, name)
