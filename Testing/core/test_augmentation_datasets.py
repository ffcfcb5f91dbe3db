"""Training sets in every format: read, written, read again; and descriptions that lie."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import medsr
from medsr.augmentation.datasets import check_nnunet, division_faults, preprocessed_faults, read_dataset
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
    assert len(made.splits) == 3 and {n for s in made.splits for n in s.val} == {c.name for c in made.real}
    assert all(len(split.train) == 4 for split in made.splits)
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
    with pytest.raises(InputError, match="hold one channel"):
        run(root, tmp_path / "paired", format="paired")


def test_nnunet_regions_are_handed_on(arrays, tmp_path):
    image, label = arrays
    root = tmp_path / "set"
    label = label.copy()
    label[3, 4:6, 5:7] = 2
    for name in ("a", "b"):
        save(image, root / f"imagesTr/{name}_0000.nii.gz")
        save(label, root / f"labelsTr/{name}.nii.gz")
    labels = {"background": 0, "whole": [1, 2], "core": [2]}
    data = {"channel_names": {"0": "MR"}, "labels": labels, "numTraining": 2, "file_ending": ".nii.gz"}
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


def test_bids_keeps_sidecars_other_contrasts_and_what_the_set_says_of_itself(arrays, tmp_path):
    image, label = arrays
    root, out = tmp_path / "bids", tmp_path / "out"
    for subject in ("01", "02"):
        stem = f"sub-{subject}/anat/sub-{subject}"
        for suffix in ("T1w", "T2w"):
            save(image, root / f"{stem}_{suffix}.nii.gz")
            (root / f"{stem}_{suffix}.json").write_text('{"MagneticFieldStrength": 3}')
        save(label, root / f"derivatives/manual/{stem}_dseg.nii.gz")
    (root / "sub-01/dwi").mkdir()
    (root / "sub-01/dwi/sub-01_dwi.bval").write_text("0")
    table = "participant_id\tage\nsub-01\t30\nsub-02\t40\n"
    for name, text in (("participants.tsv", table), ("README.md", "mine"), ("CHANGES", "1.0"), ("T1w.json", "{}")):
        (root / name).write_text(text)
    (root / "dataset_description.json").write_text('{"Name": "two", "BIDSVersion": "1.10.0"}')
    run(root, out)
    for name in ("sub-01/anat/sub-01_T1w.json", "sub-02/anat/sub-02_T2w.nii.gz", "sub-01/dwi/sub-01_dwi.bval",
                 "participants.tsv", "README.md", "CHANGES", "T1w.json"):  # fmt: skip
        assert (out / name).read_bytes() == (root / name).read_bytes(), name
    assert not (out / "README").exists() and not (out / "derivatives/manual").exists()
    made = out / "derivatives/medsr"
    assert json.loads((made / "T1w.json").read_text()) == {"SkullStripped": False}
    ignored = (made / ".bidsignore").read_text().split()
    beside = {p.name + "/" * p.is_dir() for p in made.iterdir() if not p.name.startswith("sub-")}
    assert beside - {"T1w.json", "dseg.tsv", "dataset_description.json", ".bidsignore", "report.html"} <= set(ignored)
    # A second call has nothing to do, and the images are still found where they were.
    assert run(root, out)["kept"] == 2 and len(read_dataset(out).cases) == 4


@pytest.mark.slow
def test_the_validator_of_bids_accepts_what_was_made(arrays, tmp_path):
    validator = shutil.which("bids-validator-deno")
    if validator is None:
        pytest.skip("The validator of BIDS is not installed: pip install bids-validator-deno")
    image, label = arrays
    root, out = tmp_path / "bids", tmp_path / "out"
    for subject in ("01", "02"):
        save(image, root / f"sub-{subject}/anat/sub-{subject}_T1w.nii.gz")
        save(label, root / f"derivatives/manual/sub-{subject}/anat/sub-{subject}_dseg.nii.gz")
    (root / "dataset_description.json").write_text('{"Name": "two", "BIDSVersion": "1.10.0"}')
    run(root, out, recipes=("bspline-x2", "degrade-bspline"), per_image=2)
    for folder in (out, out / "derivatives/medsr", out / "derivatives/labels"):
        ended = subprocess.run([validator, "--json", str(folder)], capture_output=True, text=True)
        errors = [i for i in json.loads(ended.stdout)["issues"]["issues"] if i["severity"] == "error"]
        assert errors == [], folder


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
@pytest.mark.parametrize("count", [1, 2])
def test_monai_reads_what_was_written_and_makes_batches_of_originals_and_copies(a_set, tmp_path, count):
    data = pytest.importorskip("monai.data")

    def tell(root, described):
        for number, entry in enumerate(described["training"]):
            entry.update(age=40 + number, site="A")

    run(a_set(count, spoil=tell), tmp_path / "out", recipes=("degrade-bspline",))
    entries = data.load_decathlon_datalist(str(tmp_path / "out/dataset.json"), True, "training")
    assert len(entries) == 2 * count
    assert all(Path(entry["image"]).is_file() and Path(entry["label"]).is_file() for entry in entries)
    assert len({tuple(sorted(entry)) for entry in entries}) == 1 and ("fold" in entries[0]) == (count > 1)
    batch = data.list_data_collate([{**entry, "image": np.zeros((1, 4, 4))} for entry in entries])
    assert batch["origin"] == [*["acquired"] * count, *(f"case_{n}" for n in range(count))]
    assert batch["age"].tolist() == [*range(40, 40 + count)] * 2


def test_lists_and_keys_of_a_description_are_kept_and_only_training_subjects_get_copies(a_set, tmp_path):
    def divide(root, data):
        first, second, third, fourth = data["training"]
        for number, entry in enumerate((first, second, third)):
            entry.update(age=30 + number, subject=f"p{number}")
        (root / "imagesTs").mkdir()
        shutil.copy(root / "imagesTr/case_0.nii.gz", root / "imagesTs/t0.nii.gz")
        data["validation"] = [third]
        data["test"] = ["./imagesTs/t0.nii.gz", "./imagesTs/nowhere.nii.gz"]
        data["held_out"] = [{**fourth, "note": "another scanner"}]
        data["training"] = [first, second]
        data["contact"] = ["one", "two"]

    source, out = a_set(4, spoil=divide), tmp_path / "out"
    report = run(source, out, recipes=("degrade-bspline",))
    assert report["made"] == 2
    told = " ".join(report["warnings"])
    assert "1 cases are kept for validation" in told and "1 entries of the list 'test' name no file" in told
    made = json.loads((out / "dataset.json").read_text())
    assert [(e["subject"], e["age"], e["origin"]) for e in made["training"]] == [
        ("p0", 30, "acquired"), ("p1", 31, "acquired"), ("p0", 30, "case_0"), ("p1", 31, "case_1"),
    ]  # fmt: skip
    assert [(e["subject"], e["age"], e["origin"]) for e in made["validation"]] == [("p2", 32, "acquired")]
    assert made["contact"] == ["one", "two"] and (made["numTraining"], made["numTest"]) == (4, 1)
    (test,), (held,) = made["test"], made["held_out"]
    assert (out / test).read_bytes() == (source.parent / "imagesTr/case_0.nii.gz").read_bytes()
    assert held["note"] == "another scanner" and (out / held["image"]).is_file() and (out / held["label"]).is_file()
    (split,) = read_dataset(out).splits
    assert len(split.train) == 4 and split.val == ("case_2",)
    # Made larger again, the lists are still what they were, and in another format it is told that they are not.
    again = run(out, tmp_path / "again", recipes=("degrade-bspline",))
    assert again["made"] == 2
    assert json.loads((tmp_path / "again/dataset.json").read_text())["test"] == made["test"]
    told = run(source, tmp_path / "nnunet", recipes=("degrade-bspline",), format="nnunet")["warnings"]
    assert any("list 'test' (1 entries) is not handed on" in text for text in told)
    (split,) = read_dataset(tmp_path / "nnunet").splits
    assert len(split.train) == 4 and split.val == ("case_2",)


def test_lists_of_tests_lead_out_of_no_folder(a_set, tmp_path):
    save(np.zeros((4, 4, 4), np.int16), tmp_path / "secret.nii.gz")

    def spoil(root, data):
        data["test"] = ["../secret.nii.gz", 3, {"image": "dataset.json"}, {"label": "labelsTr/case_0.nii.gz"}]

    found = read_dataset(a_set(2, spoil=spoil))
    assert (found.lists, found.carried) == ({"test": ()}, {}) and "4 entries of the list 'test'" in found.warnings[0]


# ---------------------------------------------------------------- folds for nnU-Net


def test_folds_of_an_nnunet_set_are_five_and_validate_on_originals(a_set, tmp_path):
    out = tmp_path / "Dataset501_Larger"
    report = run(a_set(3), out, format="nnunet", recipes=("degrade-bspline",), per_image=2)
    assert report["nnunet_faults"] == []
    folds = json.loads((out / "splits_final.json").read_text())
    assert len(folds) == 5 and folds[3] == folds[0]
    copies = {case.name for case in read_dataset(out).synthetic}
    for fold in folds:
        assert not copies & set(fold["val"]) and len(fold["val"]) == 1 and len(fold["train"]) == 6
        assert fold["val"][0] not in {name.partition("_degrade")[0] for name in fold["train"]}
    assert len(read_dataset(out).splits) == 3
    plan, train = report["next"]
    assert plan.startswith("nnUNetv2_plan_and_preprocess -d 501 ") and "target_spacing" not in plan
    assert train == f"medsr augment check {out} && nnUNetv2_train 501 3d_fullres 0"
    page = (out / "report.html").read_text()
    assert f"{plan}\nmedsr augment check {out} &amp;&amp; nnUNetv2_train" in page


def test_folds_that_test_on_what_was_trained_on_are_refused(a_set, tmp_path):
    out, preprocessed = tmp_path / "Dataset501_Larger", tmp_path / "preprocessed"
    run(a_set(5), out, format="nnunet", recipes=("degrade-bspline",))
    file, names = out / "splits_final.json", [case.name for case in read_dataset(out).cases]
    good = json.loads(file.read_text())
    assert division_faults(read_dataset(out)) == []

    def faults(folds):
        file.write_text(json.dumps(folds))
        return " ".join(division_faults(read_dataset(out)))

    copy = "case_0_degrade-bspline-1"
    assert "validates on 1 copies" in faults([{"train": ["case_1"], "val": ["case_0", copy]}])
    assert "images of 1 subjects, such as case_0" in faults([{"train": ["case_1", copy], "val": ["case_0"]}])
    file.unlink()
    assert "no splits_final.json" in division_faults(read_dataset(out))[0]
    file.write_text(json.dumps(good))
    # What nnU-Net has preprocessed: nothing, without folds, with its own, with too few, with ours.
    theirs = preprocessed / out.name / "splits_final.json"
    assert "not there" in preprocessed_faults(out, preprocessed, names)[0]
    theirs.parent.mkdir(parents=True)
    assert "would divide by itself" in preprocessed_faults(out, preprocessed, names)[0]
    for other in (list(reversed(good)), good[:3], [{"train": ["nobody"], "val": []}], "x"):
        theirs.write_text(json.dumps(other))
        assert "Run: cp" in preprocessed_faults(out, preprocessed, names)[0]
    theirs.write_text(json.dumps(good))
    assert preprocessed_faults(out, preprocessed, names) == []


def test_copies_that_a_converter_made_nameless_are_refused(a_set, tmp_path):
    source, out = a_set(2), tmp_path / "out"
    run(source, out, format="nnunet", recipes=("degrade-bspline",))
    converted = tmp_path / "converted"
    shutil.copytree(out, converted, ignore=shutil.ignore_patterns("provenance", "*.json"))
    shutil.copy(out / "dataset.json", converted)
    (fault,) = division_faults(read_dataset(converted))
    assert "2 cases have names of copies, such as case_0_degrade-bspline-1" in fault
    assert division_faults(read_dataset(source)) == []


@pytest.mark.slow
@pytest.mark.network
def test_nnunet_itself_plans_with_these_folds_and_accepts_the_set(a_set, tmp_path):
    pytest.importorskip("nnunetv2", reason="nnU-Net is not installed: pip install nnunetv2==2.8.1")
    raw, preprocessed = tmp_path / "raw", tmp_path / "preprocessed"
    out = raw / "Dataset501_Larger"
    report = run(a_set(5), out, format="nnunet", recipes=("bspline-x2",))
    environment = {"nnUNet_raw": raw, "nnUNet_preprocessed": preprocessed, "nnUNet_results": tmp_path / "results"}
    code = (
        "import sys\n"
        "from nnunetv2.experiment_planning.plan_and_preprocess_entrypoints import plan_and_preprocess_entry\n"
        "if __name__ == '__main__': sys.argv = sys.argv[1:]; plan_and_preprocess_entry()"
    )
    (tmp_path / "plan.py").write_text(code)
    command = report["next"][0].split()
    subprocess.run(
        [sys.executable, str(tmp_path / "plan.py"), *command, "-np", "1", "-npfp", "1"],
        env={**os.environ, **{name: str(path) for name, path in environment.items()}}, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert preprocessed_faults(out, preprocessed, [case.name for case in read_dataset(out).cases]) == []
    (plans,) = (preprocessed / out.name).glob("medsrPlans.json")
    assert json.loads(plans.read_text())["configurations"]["3d_fullres"]["spacing"] == [1.0, 0.5, 0.5]


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
