"""A whole training set: made, made again, stopped, killed, with bad cases among the good ones."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk

import medsr
import medsr.augmentation.contents
from medsr.augmentation import making
from medsr.augmentation.datasets import check_nnunet, read_dataset
from medsr.augmentation.labels import resample_labels
from medsr.augmentation.run import augment
from medsr.augmentation.spec import AugmentSpec
from medsr.cohort.work import MADE, SerialExecutor, TaskResult
from medsr.errors import CancelledError, InputError, InvalidValueError, MedSRError, OutputError, UnknownNameError
from medsr.jobs import Progress, ProgressEvent, WarningEvent


def spec_of(source, output, **options):
    return AugmentSpec(str(source), str(output), **{"recipes": ("bspline-x2", "degrade-bspline"), **options})


def run(source, output, **options):
    return augment(spec_of(source, output, **{"per_image": 2, **options}), Progress()).report


def contents(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name not in ("augmentation.json", "report.html")
    }


def test_a_cohort_is_made_and_read_back(a_set, tmp_path):
    source, out = a_set(), tmp_path / "out"
    report = run(source, out, seed=7)
    assert (report["made"], report["kept"], report["failed"], report["refused"]) == (6, 0, [], [])
    made = read_dataset(out)
    assert [len(made.real), len(made.synthetic)] == [3, 6]
    assert {c.origin for c in made.synthetic} == {c.name for c in made.real}
    assert {c.recipe for c in made.synthetic} == {"bspline-x2", "degrade-bspline"}
    assert made.labels == {"background": 0, "left": 1, "right": 2} and made.description["licence"] == "CC0"
    assert len(made.splits) == 3
    entry = json.loads((out / "dataset.json").read_text())["training"][-1]
    assert {"image", "label", "subject", "origin", "recipe", "fold"} <= set(entry)
    page = (out / "report.html").read_text()
    assert "data:image/png" in page and "bspline-x2" in page
    assert "http:" not in page and "https:" not in page


def test_the_same_seed_gives_the_same_bytes_in_any_order(a_set, tmp_path):
    class Backwards:
        def run(self, tasks, execute, progress):
            yield from (execute(task) for task in reversed(tasks))

    source = a_set()
    one = tmp_path / "one"
    augment(spec_of(source, one, per_image=2, seed=7), Progress())
    other = tmp_path / "other"
    augment(spec_of(source, other, per_image=2, seed=7), Progress(), Backwards())
    assert contents(one) == contents(other) and len(contents(one)) > 20
    third = tmp_path / "third"
    run(source, third, seed=8)
    assert contents(one) != contents(third)


def test_a_second_call_makes_nothing_anew(a_set, tmp_path):
    source, out = a_set(), tmp_path / "out"
    run(source, out)
    files = {p: p.stat().st_mtime_ns for p in (out / "imagesTr").iterdir()}
    report = run(source, out)
    assert (report["made"], report["kept"]) == (0, 6)
    assert {p: p.stat().st_mtime_ns for p in (out / "imagesTr").iterdir()} == files
    # More copies of the same kind are added to those that are there.
    report = run(source, out, recipes=("bspline-x2", "degrade-bspline", "degrade-bspline"), per_image=3)
    assert (report["made"], report["kept"]) == (3, 6)


def test_a_stopped_run_goes_on_where_it_was(a_set, tmp_path):
    source, out = a_set(), tmp_path / "out"
    steps = []

    def cancelled():
        steps.append(1)
        return len(list((out / "provenance").glob("*.json"))) >= 2 if out.is_dir() else False

    with pytest.raises(CancelledError, match="2 of 6 copies are finished"):
        augment(spec_of(source, out, per_image=2), Progress(cancelled=cancelled))
    assert not (out / "dataset.json").exists() and not list(out.rglob(".medsr-*"))
    report = run(source, out)
    assert (report["made"], report["kept"]) == (4, 2)
    run(source, tmp_path / "whole")
    assert contents(out) == contents(tmp_path / "whole")


def test_a_killed_run_goes_on_where_it_was(a_set, tmp_path):
    source, out = a_set(2), tmp_path / "out"
    # The process ends between the renaming of image and label map of the second copy: no clean-up can run.
    code = f"""
import os
from pathlib import Path
from medsr.augmentation.run import augment
from medsr.augmentation.spec import AugmentSpec
from medsr.jobs import Progress
real, count = Path.replace, []
def replace(self, target):
    if "bspline" in self.name and "provenance" not in str(target):
        count.append(1)
        if len(count) == 4:
            os._exit(9)
    return real(self, target)
Path.replace = replace
augment(AugmentSpec({str(source)!r}, {str(out)!r}, ("bspline-x2", "degrade-bspline"), 2), Progress())
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 9
    assert list(out.rglob(".medsr-*")), "the kill came too late"
    report = run(source, out)
    assert (report["made"], report["kept"]) == (3, 1)
    assert not list(out.rglob(".medsr-*"))
    run(source, tmp_path / "whole")
    assert contents(out) == contents(tmp_path / "whole")


def test_a_set_that_was_moved_is_the_same_and_one_that_was_changed_is_not(a_set, tmp_path):
    source, out = a_set(), tmp_path / "out"
    run(source, out, originals="copy")
    # Copied elsewhere, under another name, with other times: as from a backup or another mount.
    moved = tmp_path / "elsewhere" / "renamed"
    shutil.copytree(source.parent, moved, copy_function=shutil.copyfile)
    report = run(moved / "dataset.json", out)
    assert (report["made"], report["kept"]) == (0, 6)
    assert json.loads((out / "augmentation.json").read_text())["source"] == str(moved)
    # And from there however the path is written.
    (tmp_path / "link").symlink_to(moved)
    for path in (moved / ".." / "renamed" / "dataset.json", tmp_path / "link"):
        assert run(path, out)["kept"] == 6
    record = json.loads((out / "provenance/case_0_bspline-x2-1.json").read_text())
    assert record["source"]["images"] == ["imagesTr/case_0.nii.gz"]
    # Another image of the same name, as old as it likes to be.
    shutil.copy(moved / "imagesTr/case_1.nii.gz", moved / "imagesTr/case_0.nii.gz")
    os.utime(moved / "imagesTr/case_0.nii.gz", (1, 1))
    with pytest.raises(OutputError, match=r"was made from|made otherwise"):
        run(moved / "dataset.json", out)
    report = run(moved / "dataset.json", out, overwrite=True)
    assert (report["made"], report["kept"]) == (2, 4)
    assert (out / "imagesTr/case_0.nii.gz").read_bytes() == (moved / "imagesTr/case_1.nii.gz").read_bytes()


def test_two_dots_in_the_path_change_nothing(a_set, tmp_path):
    source = a_set(2)
    dotted = source.parent / "imagesTr" / ".." / "dataset.json"
    run(dotted, tmp_path / "one")
    run(source, tmp_path / "other")
    assert contents(tmp_path / "one") == contents(tmp_path / "other")
    assert run(source, tmp_path / "one")["kept"] == 4


@pytest.mark.parametrize("changed", ["labelsTr/case_0.nii.gz", "imagesTr/case_0.nii.gz"])
def test_a_rewritten_original_is_written_anew_when_its_source_changes(a_set, tmp_path, changed):
    def renumber(root, data):
        data["labels"] = {"0": "background", "1": "left", "2": "right", "7": "never"}

    source, out = a_set(2, spoil=renumber), tmp_path / "out"
    run(source, out, format="nnunet")
    target = out / "labelsTr/case_0.nii.gz"
    kept = target.stat().st_mtime_ns
    assert run(source, out, format="nnunet")["made"] == 0 and target.stat().st_mtime_ns == kept
    other = source.parent / changed.replace("case_0", "case_1")
    shutil.copy(other, source.parent / changed)
    os.utime(source.parent / changed, (1, 1))
    run(source, out, format="nnunet", overwrite=True)
    now, wanted = (medsr.read_volume(path).array for path in (out / "labelsTr/case_0.nii.gz", source.parent / changed))
    if changed.startswith("labels"):
        assert np.array_equal(now, wanted)
    assert check_nnunet(out) == []


def test_unfinished_work_on_another_set_leaves_no_original_behind(a_set, tmp_path):
    first, other, out = a_set(4), a_set(2, name="other"), tmp_path / "out"
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(other.parent / "imagesTr/case_0.nii.gz")))
    picture = sitk.GetImageFromArray(array + 1)
    picture.SetSpacing((1.0, 1.0, 2.0))
    sitk.WriteImage(picture, str(other.parent / "imagesTr/case_0.nii.gz"))
    os.utime(other.parent / "imagesTr/case_0.nii.gz", (1, 1))
    run(first, out)
    with pytest.raises(OutputError, match="holds other images"):
        run(other, out)
    run(other, out, overwrite=True)
    assert sorted(p.name for p in (out / "imagesTr").glob("case_?.nii.gz")) == ["case_0.nii.gz", "case_1.nii.gz"]
    assert (out / "imagesTr/case_0.nii.gz").read_bytes() == (other.parent / "imagesTr/case_0.nii.gz").read_bytes()


@pytest.mark.parametrize(
    ("kind", "scale", "most"), [("int16", 1, 9.5), ("float32", 1, 12), ("float32", 0.25, 14), ("float64", 0.1, 12)]
)
def test_a_copy_holds_the_steps_of_its_original_and_packs_like_it(a_set, tmp_path, kind, scale, most):
    def convert(root, data):
        for number in range(2):
            path = root / f"imagesTr/case_{number}.nii.gz"
            image = sitk.ReadImage(str(path))
            new = sitk.GetImageFromArray((sitk.GetArrayFromImage(image) * scale).astype(kind))
            new.CopyInformation(image)
            sitk.WriteImage(new, str(path))

    source, out = a_set(2, spoil=convert), tmp_path / "out"
    report = run(source, out, recipes=("bspline-x2",), per_image=1, originals="copy", dry_run=True)
    run(source, out, recipes=("bspline-x2",), per_image=1)
    old, new = source.parent / "imagesTr/case_0.nii.gz", out / "imagesTr/case_0_bspline-x2-1.nii.gz"
    assert new.stat().st_size < most * old.stat().st_size
    copy = medsr.read_volume(new).array
    assert copy.dtype == kind
    if kind.startswith("float"):
        assert np.abs(copy / scale - np.rint(copy / scale)).max() < 0.01 and len(np.unique(copy)) > 50
    # What was told before is what it took, within a third.
    written = sum(p.stat().st_size for p in out.rglob("*") if p.is_file() and p.name != "report.html")
    assert 0.67 < report["plan"]["disk_bytes"] / written < 1.5


def test_a_continuum_is_not_rounded_and_the_type_can_be_asked_for(a_set, tmp_path):
    def noisy(root, data):
        path = root / "imagesTr/case_0.nii.gz"
        image = sitk.ReadImage(str(path))
        array = sitk.GetArrayFromImage(image) + np.random.default_rng(0).random((10, 18, 20), np.float32)
        new = sitk.GetImageFromArray(array.astype(np.float32))
        new.CopyInformation(image)
        sitk.WriteImage(new, str(path))

    source = a_set(1, spoil=noisy)
    run(source, tmp_path / "same", recipes=("bspline-x2",), per_image=1)
    run(source, tmp_path / "small", recipes=("bspline-x2",), per_image=1, dtype="int16")
    same, small = (
        medsr.read_volume(tmp_path / name / "imagesTr/case_0_bspline-x2-1.nii.gz").array for name in ("same", "small")
    )
    assert same.dtype == np.float32 and len(np.unique(same)) > 0.9 * same.size
    assert small.dtype == np.int16 and np.abs(same - small).max() <= 0.501


def test_bad_cases_do_not_stop_the_others(a_set, tmp_path):
    def spoil(root, data):
        (root / "imagesTr/case_0.nii.gz").write_bytes(b"no image")
        array = sitk.GetArrayFromImage(sitk.ReadImage(str(root / "imagesTr/case_1.nii.gz"))).astype(np.float32)
        array[0, 0, 0] = np.nan
        broken = sitk.GetImageFromArray(array)
        broken.SetSpacing((1.0, 1.0, 2.0))
        sitk.WriteImage(broken, str(root / "imagesTr/case_1.nii.gz"))
        label = sitk.ReadImage(str(root / "labelsTr/case_2.nii.gz")) * 3
        sitk.WriteImage(label, str(root / "labelsTr/case_2.nii.gz"))
        data["training"].append({"image": "imagesTr/nowhere.nii.gz", "label": "labelsTr/case_3.nii.gz"})

    warnings = []
    source, out = a_set(5, spoil=spoil), tmp_path / "out"
    report = augment(
        spec_of(source, out), Progress(lambda e: warnings.append(e.message) if isinstance(e, WarningEvent) else None)
    ).report
    assert {r["case"] for r in report["refused"]} == {"case_0", "case_2", "nowhere"}
    assert [f["case"] for f in report["failed"]] == ["case_1"] and "NaN" in report["failed"][0]["error"]
    assert report["made"] == 2
    assert sum("case_1" in w for w in warnings) == 1 and any("names 0 background" in w for w in warnings)
    assert [c.name for c in read_dataset(out).synthetic] == ["case_3_bspline-x2-1", "case_4_bspline-x2-1"]
    assert "case_2" in (out / "report.html").read_text()


def test_an_original_that_cannot_be_converted_does_not_stop_the_others(a_set, tmp_path):
    def spoil(root, data):
        label = sitk.GetArrayFromImage(sitk.ReadImage(str(root / "labelsTr/case_0.nii.gz")))
        sitk.WriteImage(sitk.GetImageFromArray(label), str(root / "labelsTr/case_0.nrrd"))
        data["training"][0]["label"] = "labelsTr/case_0.nrrd"
        picture = sitk.ReadImage(str(root / "imagesTr/case_0.nii.gz"))
        sitk.WriteImage(picture, str(root / "imagesTr/case_0.nrrd"))
        # The header is whole, the voxels are not: only reading them tells.
        whole = (root / "imagesTr/case_0.nrrd").read_bytes()
        (root / "imagesTr/case_0.nrrd").write_bytes(whole[: len(whole) // 2])
        data["training"][0]["image"] = "imagesTr/case_0.nrrd"

    report = run(a_set(3, spoil=spoil), tmp_path / "out", format="nnunet")
    assert [found["case"] for found in report["refused"]] == ["case_0"]
    assert report["made"] == 4 and report["nnunet_faults"] == []


def test_nothing_usable_is_an_error(a_set, tmp_path):
    def spoil(root, data):
        for file in (root / "labelsTr").iterdir():
            file.unlink()

    with pytest.raises(InputError, match=r"None of 2 cases can be used\. The first one, case_0: There is no file"):
        run(a_set(2, spoil=spoil), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_dry_run_writes_nothing(a_set, tmp_path):
    out = tmp_path / "out"
    report = run(a_set(), out, dry_run=True)
    assert not out.exists()
    plan = report["plan"]
    assert (plan["cases"], plan["copies"], plan["recipes"]) == (3, 6, {"bspline-x2": 3, "degrade-bspline": 3})
    assert plan["disk_bytes"] > 1000 and plan["seconds"] > 0 and plan["memory_bytes"] > 0
    assert report["dataset"] is None


def test_a_dry_run_reads_contents_only_where_something_could_be_compared(a_set, tmp_path, monkeypatch):
    source, out = a_set(), tmp_path / "out"
    read = []
    digest = medsr.augmentation.contents.file_digest
    monkeypatch.setattr("medsr.augmentation.contents.file_digest", lambda file: read.append(str(file)) or digest(file))
    run(source, out, dry_run=True)
    assert read == []
    run(source, out)
    assert len(read) == 6 == len(set(read))
    # Unchanged files are known by their size and time.
    assert run(source, out, dry_run=True)["plan"]["already_there"] == 6 and len(read) == 6


def test_a_label_map_on_another_grid_is_resampled_with_a_warning(a_set, tmp_path):
    def spoil(root, data):
        label = sitk.ReadImage(str(root / "labelsTr/case_0.nii.gz"))
        sitk.WriteImage(label[1:, :, :], str(root / "labelsTr/case_0.nii.gz"))

    source, out = a_set(2, spoil=spoil), tmp_path / "out"
    report = run(source, out)
    assert any("different grids" in w and "case_0" in w for w in report["warnings"])
    for case in read_dataset(out).cases:
        image, label = medsr.read_volume(case.images[0]), medsr.read_volume(case.label)
        assert image.geometry.is_same_as(label.geometry), case.name


def test_an_empty_label_map_is_told_and_used(a_set, tmp_path):
    def spoil(root, data):
        label = sitk.ReadImage(str(root / "labelsTr/case_0.nii.gz"))
        sitk.WriteImage(label * 0, str(root / "labelsTr/case_0.nii.gz"))

    report = run(a_set(2, spoil=spoil), tmp_path / "out")
    assert report["warnings"] == ["case_0: the label map is empty."] and report["made"] == 4


def test_equal_copies_are_refused(a_set, tmp_path):
    with pytest.raises(InvalidValueError, match="draws nothing"):
        run(a_set(), tmp_path / "out", recipes=("bspline-x2",), per_image=2)
    report = run(a_set(), tmp_path / "out", recipes=("mix",), per_image=3, model="bspline", dry_run=True)
    assert report["plan"]["recipes"]["sr-x2"] <= 3 and sum(report["plan"]["recipes"].values()) == 9


def test_a_folder_of_something_else_is_left_alone(a_set, tmp_path):
    source, out = a_set(), tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="other files"):
        run(source, out)
    with pytest.raises(InvalidValueError, match="source"):
        run(source, source.parent)
    assert [p.name for p in out.iterdir()] == ["thesis.txt"]


def test_copies_of_another_call_are_removed_only_when_asked(a_set, tmp_path):
    source, out = a_set(), tmp_path / "out"
    run(source, out)
    with pytest.raises(OutputError, match="3 copies that this call would not make"):
        run(source, out, recipes=("bspline-x2",), per_image=1)
    victim = tmp_path / "victim.nii.gz"
    victim.write_text("keep me")
    sidecar = out / "provenance/case_0_degrade-bspline-2.json"
    record = json.loads(sidecar.read_text())
    record["files"]["label"] = "../../victim.nii.gz"
    sidecar.write_text(json.dumps(record))
    run(source, out, recipes=("bspline-x2",), per_image=1, overwrite=True)
    assert len(read_dataset(out).synthetic) == 3 and victim.read_text() == "keep me"


@pytest.mark.parametrize("how", ["link", "symlink", "copy"])
def test_originals_are_linked_or_copied(a_set, tmp_path, how):
    source, out = a_set(1), tmp_path / "out"
    run(source, out, originals=how)
    old, new = source.parent / "imagesTr/case_0.nii.gz", out / "imagesTr/case_0.nii.gz"
    assert new.is_symlink() == (how == "symlink")
    assert (new.stat().st_ino == old.stat().st_ino) == (how != "copy")
    assert new.read_bytes() == old.read_bytes()


def test_a_flagged_copy_is_told(a_set, tmp_path, monkeypatch):
    def eaten(label, grid):
        after = resample_labels(label, grid)
        return after.replace(array=np.where(after.array == 2, 0, after.array).astype(np.uint8))

    monkeypatch.setattr(making, "resample_labels", eaten)
    report = run(a_set(1), tmp_path / "out", recipes=("bspline-x2",), per_image=1)
    assert report["flagged"] == [{"name": "case_0_bspline-x2-1", "reasons": ["right has vanished"]}]
    page = (tmp_path / "out/report.html").read_text()
    assert "right has vanished" in page and "right 1, 0, 0 to 0, 0, 0" in page and "1 of 1" in page


@pytest.mark.parametrize(("stated", "flagged"), [(None, True), (0.1, False)])
def test_noise_that_was_guessed_is_flagged_and_noise_that_was_stated_is_not(a_set, tmp_path, stated, flagged):
    def spoil(root, data):
        real, other = np.random.default_rng(0).normal(0, 100, (2, 40, 40, 40))
        real[10:30, 10:30, 10:30] += 1000
        noisy = sitk.GetImageFromArray(np.hypot(real, other).astype(np.int16))
        sitk.WriteImage(noisy, str(root / "imagesTr/case_0.nii.gz"))
        label = np.zeros((40, 40, 40), np.uint8)
        label[10:30, 10:30, 10:30] = 1
        sitk.WriteImage(sitk.GetImageFromArray(label), str(root / "labelsTr/case_0.nii.gz"))

    recipe = tmp_path / "fine.json"
    recipe.write_text(json.dumps({"model": "bspline", "target": {"scale": [1, 1, 2]}, "noise": stated}))
    report = run(a_set(1, spoil=spoil), tmp_path / "out", recipes=(str(recipe),), per_image=1)
    assert bool(report["flagged"]) == flagged
    if flagged:
        assert "taken for noisy by its looks" in report["flagged"][0]["reasons"][0]


def test_progress_grows_and_ends_at_one(a_set, tmp_path):
    events = []
    augment(spec_of(a_set(), tmp_path / "out"), Progress(events.append))
    fractions = [e.fraction for e in events if isinstance(e, ProgressEvent)]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0 and len(fractions) > 8


def test_the_python_call_takes_the_options_by_name(a_set, tmp_path):
    report = medsr.augment(a_set(1), tmp_path / "out", recipes="bspline-x2", originals="copy")
    assert report["made"] == 1
    with pytest.raises(UnknownNameError, match="recipes"):
        medsr.augment(a_set(1), tmp_path / "out", recipe="bspline-x2")


def test_a_job_comes_back_from_its_line():
    spec = AugmentSpec("a", "b", ("sr-x2", "degrade-sr"), 2, 7, format="nnunet", subjects="(\\d+)")
    assert AugmentSpec.from_json(spec.to_json()) == spec
    for text in ("[]", "{", '{"source": "a", "output": "b"}', '{"job": "augment", "source": "a"}'):
        with pytest.raises(InputError):
            AugmentSpec.from_json(text)


@pytest.mark.parametrize(
    "options",
    [
        {"per_image": 0}, {"per_image": True}, {"seed": -1}, {"format": "zip"}, {"images": "*.png"}, {"recipes": ()},
        {"subjects": "("}, {"subjects": "abc"}, {"device": "gpu"}, {"memory": "lots"}, {"workers": -1},
        {"dtype": "int12"},
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(options):
    with pytest.raises(MedSRError):
        AugmentSpec("a", "b", **options)


def test_a_task_list_can_be_run_by_any_executor():
    done = []

    def execute(task, cancelled=None):
        assert not cancelled()
        return TaskResult(task, MADE)

    for result in SerialExecutor().run(["a", "b"], execute, Progress()):
        done.append(result.name)
    assert done == ["a", "b"]


def test_planning_loads_no_torch():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from medsr.augmentation.spec import AugmentSpec; from medsr.augmentation.recipes import load_recipe\n"
        "load_recipe('sr-x2'); import medsr.augmentation.tasks\n"
        "print([m for m in ('numpy', 'SimpleITK') if m in sys.modules])\n"
        "import medsr.augmentation.run"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


def test_nnunet_output_passes_its_check_and_a_spoilt_one_does_not(a_set, tmp_path):
    out = tmp_path / "out"
    report = run(a_set(2), out, format="nnunet")
    assert report["nnunet_faults"] == [] == check_nnunet(out)
    data = json.loads((out / "dataset.json").read_text())
    assert data["numTraining"] == 6 and data["channel_names"] == {"0": "MRI"}
    assert data["labels"] == {"background": 0, "left": 1, "right": 2} and data["file_ending"] == ".nii.gz"
    (out / "imagesTr/case_0_0000.nii.gz").unlink()
    (out / "dataset.json").write_text(json.dumps({**data, "labels": {"left": 1, "far": 3}}))
    faults = " ".join(check_nnunet(out))
    for said in ("numTraining is 6, but imagesTr holds 5", "'background' must be", "without a gap", "holds [0, 2]"):
        assert said in faults
