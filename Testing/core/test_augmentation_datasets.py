"""Training sets in every format: read, written, read again; and descriptions that lie."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import medsr
from medsr.augmentation.datasets import check_nnunet, read_dataset
from medsr.augmentation.run import augment
from medsr.augmentation.spec import AugmentSpec
from medsr.errors import InputError, InputNotFoundError, InvalidValueError
from medsr.jobs import Progress


def run(source, output, **options):
    options = {"recipes": ("bspline-x2",), **options}
    return augment(AugmentSpec(str(source), str(output), **options), Progress()).report


def save(array, path, spacing=(1.0, 1.0, 2.0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    if image.GetDimension() == 3:
        image.SetSpacing(spacing)
    sitk.WriteImage(image, str(path))


@pytest.fixture
def arrays():
    """Image and label map of a small block, and the same as a picture."""
    label = np.zeros((8, 12, 14), np.uint8)
    label[2:6, 3:9, 4:10] = 1
    image = (np.random.default_rng(0).integers(0, 50, label.shape) + 200 * label + 100).astype(np.int16)
    return image, label


def identical(one, other):
    assert [(c.name, c.subject, c.origin, c.recipe) for c in one.cases] == [
        (c.name, c.subject, c.origin, c.recipe) for c in other.cases
    ]


# ---------------------------------------------------------------- formats


@pytest.mark.parametrize("kind", ["decathlon", "nnunet", "paired", "bids"])
def test_a_set_survives_every_format(a_set, tmp_path, kind):
    source = a_set(3)
    out = tmp_path / kind
    report = run(source, out, format=kind)
    assert report["made"] == 3 and report["failed"] == []
    # The phantoms are called MRI, which is no contrast.
    if kind == "bids":
        assert json.loads((out / "dataset_description.json").read_text())["License"] == "CC0"
    assert any("BIDS knows no images called 'MRI'" in w for w in report["warnings"]) == (kind == "bids")
    made = read_dataset(out)
    assert (made.format, len(made.real), len(made.synthetic)) == (kind, 3, 3)
    assert made.labels == {"background": 0, "left": 1, "right": 2}
    assert {c.subject for c in made.cases} == {"case_0", "case_1", "case_2"}
    assert len(made.splits) == 3 and {n for s in made.splits for n in s.val} == {c.name for c in made.cases}
    for case in made.synthetic:
        original = next(c for c in made.real if c.name == case.origin)
        assert original.subject == case.subject
        image, label = medsr.read_volume(case.images[0]), medsr.read_volume(case.label)
        assert image.geometry.is_same_as(label.geometry)
        assert image.geometry.size_xyz[0] == 2 * medsr.read_volume(original.images[0]).geometry.size_xyz[0]
    # Made again from what was made: only the originals count, and all is as it was.
    again = tmp_path / "again"
    assert "copies that MedSR made" in " ".join(run(out, again, format="decathlon")["warnings"])
    assert len(read_dataset(again).cases) == 6


def test_two_channels_are_enlarged_alike(arrays, tmp_path):
    image, label = arrays
    root = tmp_path / "set"
    for name in ("a", "b"):
        for channel, array in enumerate((image, 1000 - image)):
            save(array, root / "imagesTr" / f"{name}_{channel:04d}.nii.gz")
        save(label, root / "labelsTr" / f"{name}.nii.gz")
    data = {"channel_names": {"0": "T1", "1": "T2"}, "labels": {"background": 0, "block": 1}, "numTraining": 2}
    (root / "dataset.json").write_text(json.dumps({**data, "file_ending": ".nii.gz"}))
    assert check_nnunet(root) == []
    report = run(root, tmp_path / "out", recipes=("degrade-bspline",))
    assert report["made"] == 2 and report["nnunet_faults"] == []
    copy = read_dataset(tmp_path / "out").synthetic[0]
    one, other = (medsr.read_volume(path) for path in copy.images)
    assert one.geometry.is_same_as(other.geometry)
    assert np.corrcoef(one.array.ravel(), other.array.ravel())[0, 1] < -0.5
    report = run(root, tmp_path / "decathlon", format="decathlon")
    assert len(read_dataset(tmp_path / "decathlon").synthetic[0].images) == 2
    with pytest.raises(InputError, match="several channels"):
        run(root, tmp_path / "bids", format="bids")


def test_nnunet_regions_are_handed_on(arrays, tmp_path):
    image, label = arrays
    root = tmp_path / "set"
    label = label.copy()
    label[3, 4:6, 5:7] = 2
    save(image, root / "imagesTr/a_0000.nii.gz")
    save(label, root / "labelsTr/a.nii.gz")
    labels = {"background": 0, "whole": [1, 2], "core": [2]}
    data = {"channel_names": {"0": "MR"}, "labels": labels, "numTraining": 1, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps({**data, "regions_class_order": [1, 2]}))
    report = run(root, tmp_path / "out")
    made = json.loads((tmp_path / "out/dataset.json").read_text())
    assert made["labels"] == labels and made["regions_class_order"] == [1, 2] and report["nnunet_faults"] == []


def test_photographs_with_masks_of_255_become_an_nnunet_set(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("x1", "x2"):
        colours = rng.integers(0, 255, (24, 30, 3)).astype(np.uint8)
        sitk.WriteImage(sitk.GetImageFromArray(colours, isVector=True), str(tmp_path / f"{name}.png"))
        mask = np.zeros((24, 30), np.uint8)
        mask[6:18, 8:20] = 255
        sitk.WriteImage(sitk.GetImageFromArray(mask), str(tmp_path / f"{name}_mask.png"))
    sitk.WriteImage(sitk.GetImageFromArray(mask), str(tmp_path / "alone_mask.png"))
    options = {"images": "x*.png", "labels": "x*_mask.png"}
    options.update(recipes=("degrade-bspline", "bspline-x2"), per_image=2)
    report = run(tmp_path, tmp_path / "out", format="nnunet", **options)
    assert report["nnunet_faults"] == [] and report["made"] == 4
    data = json.loads((tmp_path / "out/dataset.json").read_text())
    assert data["channel_names"] == {"0": "R", "1": "G", "2": "B"} and data["file_ending"] == ".png"
    again = read_dataset(tmp_path / "out")
    assert len(again.cases) == data["numTraining"] and all(len(case.images) == 1 for case in again.cases)
    assert data["labels"] == {"background": 0, "label 255": 1}
    same = medsr.read_volume(tmp_path / "out/labelsTr/x1_degrade-bspline-1.png").array
    assert np.count_nonzero(same == 1) == 144 and same.max() == 1
    finer = medsr.read_volume(tmp_path / "out/labelsTr/x1_bspline-x2-2.png").array
    assert finer.shape == (1, 48, 60) and abs(np.count_nonzero(finer) / 4 - 144) < 2


def test_plain_folders_pair_by_name(arrays, tmp_path):
    image, label = arrays
    for name in ("a", "b", "c"):
        save(image, tmp_path / "set/images" / f"{name}.nii.gz")
    for name in ("a", "b", "d"):
        save(label, tmp_path / "set/labels" / f"{name}.nrrd")
    found = read_dataset(tmp_path / "set")
    assert [c.name for c in found.cases] == ["a", "b"]
    assert found.warnings == ("2 files have no partner and are left out: c, d.",)
    # What macOS leaves beside files is none of them.
    (tmp_path / "set/images/._a.nii.gz").write_bytes(b"x")
    (tmp_path / "set/labels.json").write_text('{"block": 1}')
    assert read_dataset(tmp_path / "set").labels == {"block": 1}
    nested = read_dataset(tmp_path / "set", "images/*.nii.gz", "labels/*.nrrd")
    identical(nested, found)


def test_a_pattern_with_two_stars_pairs_by_both(arrays, tmp_path):
    image, label = arrays
    for subject in ("s1", "s2"):
        for visit in ("v1", "v2"):
            save(image, tmp_path / subject / f"{visit}_t1.nii.gz")
            save(label, tmp_path / subject / f"{visit}_seg.nii.gz")
    found = read_dataset(tmp_path, "*/*_t1.nii.gz", "*/*_seg.nii.gz", subjects="(s\\d)")
    assert [(c.name, c.subject) for c in found.cases] == [
        ("s1_v1_t1", "s1"), ("s1_v2_t1", "s1"), ("s2_v1_t1", "s2"), ("s2_v2_t1", "s2"),
    ]  # fmt: skip
    assert all(c.images[0].replace("_t1", "_seg") == c.label for c in found.cases)
    with pytest.raises(InvalidValueError, match="finds no subject"):
        read_dataset(tmp_path, "*/*_t1.nii.gz", "*/*_seg.nii.gz", subjects="(x\\d)")
    run(tmp_path, tmp_path / "out", images="*/*_t1.nii.gz", labels="*/*_seg.nii.gz", subjects="(s\\d)", format="nnunet")
    made = read_dataset(tmp_path / "out")
    assert {c.subject for c in made.cases} == {"s1", "s2"} and len(made.splits) == 2
    for split in made.splits:
        assert len({c.subject for c in made.cases if c.name in split.val}) == 1


def test_bids_with_sessions_and_a_second_contrast(arrays, tmp_path):
    image, label = arrays
    root = tmp_path / "bids"
    for subject, session in (("01", "a"), ("01", "b"), ("02", "a")):
        folder = f"sub-{subject}/ses-{session}/anat"
        stem = f"sub-{subject}_ses-{session}"
        for suffix in ("T1w", "FLAIR"):
            save(image, root / folder / f"{stem}_{suffix}.nii.gz")
        save(label, root / "derivatives/manual" / folder / f"{stem}_desc-manual_dseg.nii.gz")
    (root / "dataset_description.json").write_text('{"Name": "two visits", "BIDSVersion": "1.8.0", "License": "CC0"}')
    (root / "derivatives/manual/dseg.tsv").write_text("index\tname\n1\tblock\n")
    found = read_dataset(root)
    assert [(c.name, c.subject) for c in found.cases] == [
        ("sub-01_ses-a_T1w", "01"), ("sub-01_ses-b_T1w", "01"), ("sub-02_ses-a_T1w", "02"),
    ]  # fmt: skip
    assert found.labels == {"block": 1}
    out = tmp_path / "out"
    run(root, out)
    copy = out / "derivatives/medsr/sub-01/ses-b/anat/sub-01_ses-b_desc-bsplinex2c1_T1w.nii.gz"
    assert copy.is_file() and copy.with_name(copy.name.replace("_T1w", "_dseg")).is_file()
    made = json.loads((out / "derivatives/medsr/dataset_description.json").read_text())
    assert made["DatasetType"] == "derivative" and made["GeneratedBy"][0]["Name"] == "MedSR"
    assert json.loads((out / "dataset_description.json").read_text())["License"] == "CC0"
    assert (out / "participants.tsv").read_text() == "participant_id\nsub-01\nsub-02\n"
    again = read_dataset(out)
    assert len(again.synthetic) == 3 and {c.subject for c in again.cases} == {"01", "02"}
    (root / "sub-02/ses-a/anat/sub-02_ses-a_T1w.nii.gz").unlink()
    (root / "sub-02/ses-a/anat/sub-02_ses-a_FLAIR.nii.gz").unlink()
    assert "No image fits sub-02" in " ".join(read_dataset(root).warnings)


def test_monai_lists_with_folds_validation_and_nested_folders(a_set):
    def spoil(root, data):
        for number, entry in enumerate(data["training"]):
            folder = root / f"p{number}"
            folder.mkdir()
            shutil.move(root / entry["image"], folder / "t1.nii.gz")
            entry.update(image=f"p{number}/t1.nii.gz", fold=number % 2, subject="twin" if number < 2 else "other")
        del data["labels"], data["modality"]

    found = read_dataset(a_set(3, spoil=spoil))
    assert [(c.name, c.subject) for c in found.cases] == [("p0_t1", "twin"), ("p1_t1", "twin"), ("p2_t1", "other")]
    assert [s.val for s in found.splits] == [("p0_t1", "p2_t1"), ("p1_t1",)]
    assert found.labels == {}

    def validate(root, data):
        data["validation"] = [data["training"].pop()]

    (split,) = read_dataset(a_set(3, name="other", spoil=validate)).splits
    assert split.train == ("case_0", "case_1") and split.val == ("case_2",)


@pytest.mark.network
def test_monai_reads_what_was_written(a_set, tmp_path):
    data = pytest.importorskip("monai.data")
    run(a_set(2), tmp_path / "out")
    entries = data.load_decathlon_datalist(str(tmp_path / "out/dataset.json"), True, "training")
    assert len(entries) == 4
    assert all(Path(entry["image"]).is_file() and Path(entry["label"]).is_file() for entry in entries)


# ---------------------------------------------------------------- hostile and broken


@pytest.mark.parametrize(
    "path",
    ["../secret.nii.gz", "/etc/passwd", "imagesTr/../../secret.nii.gz", "..\\secret.nii.gz", "", ".", "a\0b", 3, None],
)
def test_no_path_leads_out_of_the_folder(a_set, tmp_path, path):
    save(np.zeros((4, 4, 4), np.int16), tmp_path / "secret.nii.gz")

    def spoil(root, data):
        data["training"][0]["image"] = path

    with pytest.raises(InputError, match=r"leads out|should be the path"):
        read_dataset(a_set(2, spoil=spoil))


def test_paths_inside_are_accepted_however_they_are_written(a_set):
    def spoil(root, data):
        data["training"][0]["image"] = str(root / "imagesTr/case_0.nii.gz")
        data["training"][1]["image"] = "labelsTr/../imagesTr\\case_1.nii.gz"

    assert len(read_dataset(a_set(2, spoil=spoil)).cases) == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"training": {}}, "no list 'training'"),
        ({"training": []}, "holds no case"),
        ({"training": [{"image": "a.nii.gz"}]}, "no 'image' and 'label'"),
        ({"training": ["a.nii.gz"]}, "no 'image' and 'label'"),
        ({"training": [{"image": "a.nii", "label": "b.nii"}] * 2}, "listed twice"),
        ({"labels": ["background"]}, "should be an object"),
        ({"labels": {"0": "background", "1": "a", "2": "a"}}, "twice"),
        ({"labels": {"a": "b"}}, "whole number"),
        ({"labels": {"a": -1}}, "0 to 65535"),
        ({"training": [{"image": [], "label": "b.nii"}]}, "lists no image"),
    ],
)
def test_a_description_that_makes_no_sense_is_refused(a_set, change, said):
    with pytest.raises(InputError, match=said):
        read_dataset(a_set(1, spoil=lambda root, data: data.update(change)))


@pytest.mark.parametrize("text", ["", "{", "[1]", "\xff\xfe", "{}", "[" * 100_000])
def test_a_dataset_json_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "dataset.json").write_text(text, encoding="latin-1")
    with pytest.raises(InputError):
        read_dataset(tmp_path)


def test_what_is_no_training_set_is_refused(tmp_path):
    with pytest.raises(InputNotFoundError):
        read_dataset(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"Accepted: dataset\.json of Decathlon"):
        read_dataset(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(InputError, match="is no training set"):
        read_dataset(tmp_path / "a.txt")
    for pattern in ("../*.nii", "/etc/*", "plain.nii", "**/*.nii"):
        with pytest.raises(InputError):
            read_dataset(tmp_path, pattern, pattern)


def test_labels_that_are_an_image_are_refused(a_set, tmp_path):
    def spoil(root, data):
        shutil.copy(root / "imagesTr/case_0.nii.gz", root / "labelsTr/case_0.nii.gz")
        del data["labels"]

    report = run(a_set(2, spoil=spoil), tmp_path / "out", dry_run=True)
    assert "not a label map" in report["refused"][0]["error"] and report["plan"]["cases"] == 1


def test_names_of_any_script_are_made_fit_for_files(arrays, tmp_path):
    image, label = arrays
    for name in ("über maß", "日本"):
        save(image, tmp_path / "set/images" / f"{name}.nii.gz")
        save(label, tmp_path / "set/labels" / f"{name}.nii.gz")
    names = [c.name for c in read_dataset(tmp_path / "set").cases]
    assert names == ["ber-ma", "case"]
    assert run(tmp_path / "set", tmp_path / "out")["made"] == 2
