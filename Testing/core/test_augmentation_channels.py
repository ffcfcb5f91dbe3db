"""Several channels of one subject: files of four dimensions, one file each, contrasts of BIDS."""

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

import medsr
from medsr.augmentation.acquisition import draw
from medsr.augmentation.datasets import check_nnunet, read_dataset
from medsr.augmentation.recipes import Degradation, Recipe
from medsr.augmentation.run import augment
from medsr.augmentation.spec import AugmentSpec
from medsr.errors import InputError, InvalidValueError, MedSRError
from medsr.geometry import Geometry
from medsr.io import Staging, read_channels, read_channels_geometry, stage_volume
from medsr.jobs import Progress
from medsr.volume import Volume

NAMES = ("FLAIR", "T1w", "t1gd", "T2w")
AFFINE = np.array([[-1.0, 0, 0, 5], [0, -1, 0, 7], [0, 0, 2, -3], [0, 0, 0, 1]])


def run(source, output, **options):
    return augment(AugmentSpec(str(source), str(output), **{"recipes": ("degrade-bspline",), **options}), Progress())


def phantom(number, channels=4):
    """Channels ``(x, y, z, c)`` of different contrast, and the label map of a block in them."""
    rng = np.random.default_rng(number)
    label = np.zeros((16, 14, 8), np.uint8)
    label[4:12, 3:10, 2:6] = 1
    levels = [300 + 100 * c + (-1) ** c * 150 * label.astype(np.int16) for c in range(channels)]
    image = np.stack([level + rng.integers(-9, 10, label.shape) for level in levels], axis=-1)
    return image.astype(np.int16), label


def decathlon_4d(root, count=2, channels=4, names=NAMES):
    """A set as the brain tumours of the Decathlon: one file of four dimensions for each subject."""
    entries = []
    for folder in ("imagesTr", "labelsTr", "imagesTs"):
        (root / folder).mkdir(parents=True)
    for number in range(count):
        image, label = phantom(number, channels)
        nibabel.save(nibabel.Nifti1Image(image, AFFINE), root / f"imagesTr/BRATS_{number}.nii.gz")
        nibabel.save(nibabel.Nifti1Image(label, AFFINE), root / f"labelsTr/BRATS_{number}.nii.gz")
        entries.append({"image": f"./imagesTr/BRATS_{number}.nii.gz", "label": f"./labelsTr/BRATS_{number}.nii.gz"})
    nibabel.save(nibabel.Nifti1Image(image, AFFINE), root / "imagesTs/BRATS_9.nii.gz")
    data = {
        "name": "BRATS", "tensorImageSize": "4D", "modality": {str(i): name for i, name in enumerate(names)},
        "labels": {"0": "background", "1": "edema"}, "numTraining": count, "numTest": 1, "training": entries,
        "test": ["./imagesTs/BRATS_9.nii.gz"],
    }  # fmt: skip
    (root / "dataset.json").write_text(json.dumps(data))
    return root / "dataset.json"


# ---------------------------------------------------------------- files of four dimensions


def test_a_file_of_four_dimensions_is_read_and_written_channel_by_channel(tmp_path):
    image, _ = phantom(0)
    nibabel.save(nibabel.Nifti1Image(image, AFFINE), tmp_path / "four.nii.gz")
    found = read_channels(tmp_path / "four.nii.gz")
    assert len(found) == 4 and read_channels_geometry(tmp_path / "four.nii.gz") == (found[0].geometry, 4)
    for channel, volume in enumerate(found):
        assert np.array_equal(volume.array, image[..., channel].T) and volume.geometry.spacing_xyz_mm == (1, 1, 2)
    with Staging() as staging:
        stage_volume(found[0], tmp_path / "again.nii.gz", staging, found[1:])
    again = nibabel.load(tmp_path / "again.nii.gz")
    assert again.shape == (16, 14, 8, 4) and np.array_equal(np.asarray(again.dataobj), image)
    np.testing.assert_allclose(again.affine, AFFINE)
    # As one image it is still refused, and a file of three dimensions has one channel.
    with pytest.raises(InputError, match="4 dimensions"):
        medsr.read_volume(tmp_path / "four.nii.gz")
    medsr.write_volume(found[0], tmp_path / "three.nii.gz")
    assert len(read_channels(tmp_path / "three.nii.gz")) == 1


@pytest.mark.parametrize("change", ["grid", "format"])
def test_channels_that_do_not_fit_into_one_file_are_refused(tmp_path, change):
    one = Volume(np.ones((4, 5, 6), np.int16), Geometry((6, 5, 4)))
    other = one.replace(geometry=Geometry((6, 5, 4), (1, 1, 2))) if change == "grid" else one
    with Staging() as staging, pytest.raises(InvalidValueError):
        stage_volume(one, tmp_path / ("a.nii.gz" if change == "grid" else "a.nrrd"), staging, [other])


def test_a_decathlon_set_of_four_dimensions_goes_in_and_out(tmp_path):
    source, out = decathlon_4d(tmp_path / "set"), tmp_path / "out"
    report = run(source, out, recipes=("bspline-x2", "degrade-bspline"), per_image=2).report
    assert report["made"] == 4 and report["failed"] == [] and report["refused"] == []
    data = json.loads((out / "dataset.json").read_text())
    assert data["modality"] == dict(zip("0123", NAMES, strict=True)) and data["tensorImageSize"] == "4D"
    assert (data["numTraining"], data["numTest"], data["test"]) == (6, 1, ["./imagesTs/BRATS_9.nii.gz"])
    assert {entry["origin"] for entry in data["training"]} == {"acquired", "BRATS_0", "BRATS_1"}
    for entry in data["training"]:
        image, label = nibabel.load(out / entry["image"]), nibabel.load(out / entry["label"])
        assert image.shape[:3] == label.shape and image.shape[3] == 4
        np.testing.assert_allclose(image.affine, label.affine, atol=1e-5)
    (fine,) = [e for e in data["training"] if e["origin"] == "BRATS_0" and e["recipe"] == "bspline-x2"]
    image = nibabel.load(out / fine["image"])
    assert image.shape == (32, 28, 16, 4) and image.get_data_dtype() == np.int16
    # Every channel is its own: their contrasts alternate.
    inside = np.asarray(nibabel.load(out / fine["label"]).dataobj) == 1
    values = [float(np.median(np.asarray(image.dataobj)[..., c][inside])) for c in range(4)]
    assert values == pytest.approx([450, 250, 650, 450], abs=8)
    record = json.loads((out / "provenance/BRATS_0_bspline-x2-1.json").read_text())
    assert len(record["channels"]) == 4 and record["files"]["images"] == ["../imagesTr/BRATS_0_bspline-x2-1.nii.gz"]
    assert "BRATS_0_bspline-x2-1" in (out / "report.html").read_text()
    # What was made is read as what it is.
    again = run(out, tmp_path / "again", recipes=("bspline-x2",)).report
    assert again["made"] == 2 and again["refused"] == []
    assert run(source, out, recipes=("bspline-x2", "degrade-bspline"), per_image=2).report["kept"] == 4


def test_four_dimensions_become_one_file_for_each_channel_for_nnunet(tmp_path):
    source, out = decathlon_4d(tmp_path / "set"), tmp_path / "out"
    report = run(source, out, format="nnunet").report
    assert report["made"] == 2 and report["nnunet_faults"] == [] == check_nnunet(out)
    data = json.loads((out / "dataset.json").read_text())
    assert data["channel_names"] == dict(zip("0123", NAMES, strict=True)) and data["numTraining"] == 4
    image, _ = phantom(1)
    for channel in range(4):
        original = nibabel.load(out / f"imagesTr/BRATS_1_{channel:04d}.nii.gz")
        assert np.array_equal(np.asarray(original.dataobj), image[..., channel])
    # And back: several files stay several files.
    run(out, tmp_path / "back", format="decathlon")
    back = read_dataset(tmp_path / "back")
    assert all(len(case.images) == 4 for case in back.cases) and len(back.synthetic) == 2


@pytest.mark.parametrize(("channels", "names"), [(4, ("MRI",)), (3, NAMES)])
def test_volumes_that_nobody_names_are_no_channels(tmp_path, channels, names):
    source = decathlon_4d(tmp_path / "set", channels=channels, names=names)
    with pytest.raises(InputError, match=f"dimensions with {channels} volumes; the channels that the training set"):
        run(source, tmp_path / "out")


def nnunet_set(root, move=None):
    """Two subjects of two channels; `move` changes the affine of the last channel of the second."""
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    for number in range(2):
        image, label = phantom(number, 2)
        for channel in range(2):
            affine = AFFINE.copy()
            if move and (number, channel) == (1, 1):
                move(affine)
            file = root / f"imagesTr/p{number}_{channel:04d}.nii.gz"
            nibabel.save(nibabel.Nifti1Image(image[..., channel], affine), file)
        nibabel.save(nibabel.Nifti1Image(label, AFFINE), root / f"labelsTr/p{number}.nii.gz")
    data = {"channel_names": {"0": "T2", "1": "ADC"}, "labels": {"background": 0, "zone": 1}, "numTraining": 2}
    (root / "dataset.json").write_text(json.dumps({**data, "file_ending": ".nii.gz"}))
    return root


def test_a_channel_on_another_grid_is_refused_by_name_and_rounding_is_not(tmp_path):
    def shifted(affine):
        affine[0, 3] += 1.0

    def rounded(affine):
        affine[0, 3] += 0.004

    (refused,) = run(nnunet_set(tmp_path / "a", shifted), tmp_path / "out-a").report["refused"]
    assert refused["case"] == "p1"
    assert "Channel 2 (ADC) lies on another grid" in refused["error"] and "than channel 1 (T2)" in refused["error"]
    report = run(nnunet_set(tmp_path / "b", rounded), tmp_path / "out-b", recipes=("bspline-x2",)).report
    assert report["made"] == 2 and report["failed"] == [] and report["refused"] == []


# ---------------------------------------------------------------- contrasts of BIDS


def bids_set(root, subjects=("01", "02"), contrasts=("T1w", "T2w", "FLAIR")):
    for number, subject in enumerate(subjects):
        image, label = phantom(number, len(contrasts))
        folder = root / f"sub-{subject}/anat"
        manual = root / f"derivatives/manual/sub-{subject}/anat"
        folder.mkdir(parents=True)
        manual.mkdir(parents=True)
        for channel, suffix in enumerate(contrasts):
            file = folder / f"sub-{subject}_{suffix}.nii.gz"
            nibabel.save(nibabel.Nifti1Image(image[..., channel], AFFINE), file)
        nibabel.save(nibabel.Nifti1Image(label, AFFINE), manual / f"sub-{subject}_dseg.nii.gz")
    (root / "dataset_description.json").write_text('{"Name": "two", "BIDSVersion": "1.10.0"}')
    return root


def test_contrasts_of_bids_are_channels_where_they_are_named(tmp_path):
    root, out = bids_set(tmp_path / "bids"), tmp_path / "out"
    assert all(case.channels == 1 for case in read_dataset(root).cases)
    report = run(root, out, channels="T1w,FLAIR", recipes=("bspline-x2",)).report
    assert report["made"] == 2 and report["refused"] == []
    made = out / "derivatives/medsr/sub-01/anat"
    assert sorted(path.name for path in made.iterdir()) == [
        f"sub-01_desc-bsplinex2c1_{suffix}.nii.gz" for suffix in ("FLAIR", "T1w", "dseg")
    ]
    for suffix in ("T1w", "FLAIR"):
        assert (out / f"derivatives/medsr/{suffix}.json").is_file()
        original = out / f"sub-02/anat/sub-02_{suffix}.nii.gz"
        assert original.read_bytes() == (root / f"sub-02/anat/sub-02_{suffix}.nii.gz").read_bytes()
    # The contrast that is no channel stays beside them.
    assert (out / "sub-02/anat/sub-02_T2w.nii.gz").is_file()
    again = read_dataset(out)
    assert again.channels == ("T1w", "FLAIR") and len(again.synthetic) == 2
    assert all(case.channels == 2 for case in again.cases)
    assert run(root, out, channels="T1w,FLAIR", recipes=("bspline-x2",)).report["kept"] == 2
    run(root, tmp_path / "nnunet", channels="T1w,FLAIR", format="nnunet")
    data = json.loads((tmp_path / "nnunet/dataset.json").read_text())
    assert data["channel_names"] == {"0": "T1w", "1": "FLAIR"} and check_nnunet(tmp_path / "nnunet") == []


def test_a_subject_without_a_contrast_is_left_out_and_told(tmp_path):
    root = bids_set(tmp_path / "bids")
    (root / "sub-02/anat/sub-02_FLAIR.nii.gz").unlink()
    report = run(root, tmp_path / "out", channels="T1w,FLAIR").report
    assert report["made"] == 1 and "No FLAIR fits sub-02_dseg.nii.gz" in " ".join(report["warnings"])


def test_channels_of_other_formats_become_contrasts_where_bids_can_tell_them_apart(tmp_path):
    names = ("FLAIR", "T1w", "PDw", "T2w")
    run(decathlon_4d(tmp_path / "a", names=names), tmp_path / "bids", format="bids")
    found = read_dataset(tmp_path / "bids")
    assert found.channels == names and all(case.channels == 4 for case in found.cases)
    image, _ = phantom(0)
    flair = nibabel.load(tmp_path / "bids/sub-BRATS0/anat/sub-BRATS0_FLAIR.nii.gz")
    assert np.array_equal(np.asarray(flair.dataobj), image[..., 0])
    with pytest.raises(InvalidValueError, match="'T1w' and 't1gd' would both be called T1w"):
        run(decathlon_4d(tmp_path / "b"), tmp_path / "refused", format="bids")
    with pytest.raises(InvalidValueError, match="--channels names contrasts of a BIDS folder"):
        run(tmp_path / "a/dataset.json", tmp_path / "refused", channels="T1w,T2w")


# ---------------------------------------------------------------- acquisitions


def thick(folder, target):
    path = folder / "thick.json"
    degrade = {"factor": [1.5, 3], "noise": [0, 0.03], "profile": ["gaussian", "box", "kspace"]}
    path.write_text(json.dumps({"model": "bspline", "target": target, "degrade": degrade}))
    return str(path)


@pytest.mark.parametrize("target", [{"grid": "original"}, {"scale": [1, 1, 2]}])
def test_every_channel_is_an_acquisition_of_its_own_on_one_grid(tmp_path, target):
    out = tmp_path / "out"
    report = run(nnunet_set(tmp_path / "set"), out, recipes=(thick(tmp_path, target),)).report
    assert report["made"] == 2 and report["failed"] == []
    for case in read_dataset(out).synthetic:
        one, other = json.loads((out / f"provenance/{case.name}.json").read_text())["drawn"]
        assert one["factors_xyz"] != other["factors_xyz"] and one["noise"] != other["noise"]
        grids = [medsr.read_volume(path).geometry for path in (*case.images, case.label)]
        assert grids[1].is_same_as(grids[0]) and grids[2].is_same_as(grids[0])
    assert "channel 2: voxels" in (out / "report.html").read_text()


def test_a_profile_is_drawn_among_several_and_all_else_stays():
    grid = Geometry((40, 40, 40))
    kinds = ("gaussian", "box", "kspace")
    several = [draw(Degradation((2, 4), profile=kinds), grid, np.random.default_rng(n)) for n in range(40)]
    alone = [draw(Degradation((2, 4)), grid, np.random.default_rng(n)) for n in range(40)]
    assert {d.profiles_xyz[d.slice_axis] for d in several} == set(kinds)
    assert [(d.factors_xyz, d.noise, d.width) for d in several] == [(d.factors_xyz, d.noise, d.width) for d in alone]
    recipe = Recipe("a", target={"grid": "original"}, degrade=Degradation(profile=kinds))
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    for wrong in ("sinc", [], ["gaussian", "sinc"], [3]):
        with pytest.raises(MedSRError, match="profile of a degradation"):
            Degradation(profile=wrong)


def test_the_first_channel_draws_what_an_only_one_draws(tmp_path):
    def drawn(count):
        source = decathlon_4d(tmp_path / f"set-{count}", channels=count, names=NAMES[:count])
        run(source, tmp_path / f"out-{count}")
        (path,) = (tmp_path / f"out-{count}/provenance").glob("BRATS_0*.json")
        return json.loads(path.read_text())["drawn"]

    assert drawn(4)[0] == drawn(2)[0] == drawn(1)[0]


@pytest.mark.slow
def test_copies_of_several_channels_are_the_same_bytes_with_several_workers(tmp_path):
    pytest.importorskip("distributed")
    source = decathlon_4d(tmp_path / "set", count=3)
    for workers in (1, 2):
        report = run(source, tmp_path / str(workers), workers=workers, per_image=2).report
        assert report["made"] == 6 and report["failed"] == []

    def files(workers):
        root = tmp_path / str(workers)
        return {p.relative_to(root): p.read_bytes() for p in sorted(root.rglob("*")) if p.suffix in (".gz", ".json")}

    one, two = files(1), files(2)
    del one[Path("augmentation.json")], two[Path("augmentation.json")]
    assert one == two and len(one) == 9 * 2 + 1 + 6 + 2


def test_a_study_reads_channels_of_one_file(tmp_path):
    from medsr.augmentation.study.samples import finest_spacing, prepare

    found = read_dataset(decathlon_4d(tmp_path / "set"))
    assert finest_spacing(found.cases) == (1, 1, 2)
    image, label = prepare(found.cases[0], tmp_path, (1, 1, 1), [1]).open()
    assert image.shape == (4, 16, 14, 16) and label.shape == image.shape[1:]


def test_sitk_sees_the_channels_that_were_written(tmp_path):
    run(decathlon_4d(tmp_path / "set"), tmp_path / "out")
    (copy, *_) = read_dataset(tmp_path / "out").synthetic
    assert sitk.ReadImage(copy.images[0]).GetSize() == (16, 14, 8, 4)
