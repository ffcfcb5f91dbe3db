"""medsr augment."""

import dataclasses
import json
import signal
import time

import numpy as np
import pytest
import SimpleITK as sitk

from medsr.augmentation.recipes import recipe_names
from medsr.augmentation.spec import AugmentSpec
from medsr.jobs import ErrorEvent, ResultEvent, parse_event
from medsr.worker import read_job, run_job


@pytest.fixture
def a_training_set(tmp_path):
    """Writes folders images and labels with blocks in noise; returns their folder."""

    def write(count=3, size=(8, 14, 16), broken=()):
        root = tmp_path / "set"
        for number in range(count):
            label = np.zeros(size, np.uint8)
            label[2:6, 4:10, 4:12] = 1
            image = (np.random.default_rng(number).integers(0, 60, size) + 150 * label + 100).astype(np.int16)
            for folder, array in (("images", image), ("labels", label)):
                (root / folder).mkdir(parents=True, exist_ok=True)
                path = root / folder / f"c{number}.nii.gz"
                sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
                if number in broken and folder == "images":
                    path.write_bytes(b"nothing")
        return root

    return write


FAST = ("--recipe", "bspline-x2,degrade-bspline", "--per-image", "2")


def test_a_training_set_is_made(medsr, a_training_set, tmp_path):
    source = a_training_set()
    ended = medsr("augment", source, tmp_path / "out", *FAST, "--seed", "7")
    assert ended.code == 0
    assert "Made      6 copies" in ended.out and str(tmp_path / "out" / "report.html") in ended.out
    assert len(list((tmp_path / "out/images").iterdir())) == 9
    again = medsr("augment", source, tmp_path / "out", *FAST, "--seed", "7")
    assert again.code == 0 and "6 were there already" in again.out
    other = medsr("augment", source, tmp_path / "out", *FAST, "--seed", "8")
    assert other.code == 4 and "6 copies that were made otherwise" in other.err
    assert medsr("augment", source, tmp_path / "out", *FAST, "--seed", "8", "--overwrite").code == 0


def test_a_dry_run_shows_counts_disk_and_time(medsr, a_training_set, tmp_path):
    ended = medsr("augment", a_training_set(), tmp_path / "out", *FAST, "--dry-run")
    assert ended.code == 0 and not (tmp_path / "out").exists()
    for said in (
        "3 cases of 3 subjects",
        "6 copies: 3 bspline-x2, 3 degrade-bspline",
        "GB are free",
        "on two free cores",
    ):
        assert said in ended.out


def test_the_way_to_train_is_told_and_refuses_a_set_that_lost_its_folds(medsr, a_training_set, tmp_path):
    out = tmp_path / "Dataset501_Larger"
    ended = medsr("augment", a_training_set(), out, *FAST, "--format", "nnunet")
    first = next(line for line in ended.out.splitlines() if line.startswith("Next"))
    assert "nnUNetv2_plan_and_preprocess -d 501 " in first and "-overwrite_target_spacing 0.5 0.5 0.5" in first
    assert f"medsr augment check {out} && nnUNetv2_train 501 3d_fullres 0 -p medsrPlans" in ended.out
    assert "nnU-Net resamples all images to one spacing" in ended.out
    good = medsr("augment", "check", out)
    assert good.code == 0 and "3 originals, 6 copies, 3 folds: no fault found." in good.out
    folder = tmp_path / "preprocessed" / out.name
    folder.mkdir(parents=True)
    split = medsr("augment", "check", out, "--preprocessed", folder.parent)
    assert split.code == 3 and "nnU-Net would divide by itself. Run: cp " in split.out
    (out / "splits_final.json").unlink()
    ended = medsr("augment", "check", out)
    assert ended.code == 3 and "no splits_final.json" in ended.out and "Do not train" in ended.err


def test_a_bad_case_is_listed_and_makes_the_exit_code(medsr, a_training_set, tmp_path):
    ended = medsr("augment", a_training_set(broken=(1,)), tmp_path / "out", *FAST)
    assert ended.code == 3
    assert "c1 is left out" in ended.err and "1 cases or copies could not be made" in ended.err
    assert "Made      4 copies" in ended.out


def test_the_recipes_are_listed(medsr):
    ended = medsr("augment", "--list")
    assert ended.code == 0 and [line.split()[0] for line in ended.out.splitlines()[1:]] == recipe_names()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--recipe", "sr-x3"), 2, "Did you mean 'sr-x2'"),
        (("--per-image", "0"), 2, "at least 1"),
        (("--format", "zip"), 2, "no format called"),
        (("--model", "nothing"), 2, "nothing"),
        (("--images", "*.png"), 2, "belong together"),
        (("--recipe", ""), 2, "at least one recipe"),
        (("--recipe", "sr-iso1"), 3, "The recipe sr-iso1 does not fit 16 x 14 x 8 voxels of 1 x 1 x 1 mm"),
        (("--dtype", "int12"), 2, "no dtype called 'int12'"),
    ],
)
def test_options_that_make_no_sense_are_refused(medsr, a_training_set, tmp_path, arguments, code, said):
    ended = medsr("augment", a_training_set(), tmp_path / "out", *arguments)
    assert (ended.code, (tmp_path / "out").exists()) == (code, False)
    assert said in ended.err


def test_what_is_missing_is_told(medsr, tmp_path):
    assert medsr("augment").code == 2
    assert medsr("augment", tmp_path / "nowhere", tmp_path / "out").code == 3


def test_events_are_json_lines(medsr, a_training_set, tmp_path):
    ended = medsr("augment", a_training_set(1), tmp_path / "out", *FAST, "--progress", "json")
    events = [parse_event(line) for line in ended.out.splitlines()]
    assert {e.kind for e in events} >= {"stage", "progress", "result"} and isinstance(events[-1], ResultEvent)
    assert events[-1].report["made"] == 2
    ended = medsr("augment", tmp_path / "nowhere", tmp_path / "out", "--progress", "json")
    assert isinstance(parse_event(ended.out.splitlines()[-1]), ErrorEvent)


def test_ctrl_c_keeps_what_is_finished(medsr_process, a_training_set, tmp_path):
    root, out = a_training_set(40, size=(24, 40, 40)), tmp_path / "out"
    process = medsr_process("augment", root, out, "--recipe", "bspline-x2", "--progress", "none")
    end = time.monotonic() + 300
    while len(list(out.glob("provenance/*.json"))) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130, errors
    assert "copies are finished and stay" in errors and "Traceback" not in errors
    assert not list(out.rglob(".medsr-*"))
    done = len(list(out.glob("provenance/*.json")))
    assert 2 <= done < 40
    assert len(list(out.glob("images/*bspline*"))) == len(list(out.glob("labels/*bspline*"))) == done


# ---------------------------------------------------------------- the worker


def test_the_worker_takes_the_job(a_training_set, tmp_path):
    spec = AugmentSpec(str(a_training_set(2, broken=(0,))), str(tmp_path / "out"), ("bspline-x2",))
    assert read_job(spec.to_json()) == spec
    events = []
    assert run_job(read_job(spec.to_json()), events.append) == 3
    assert events[-1].kind == "result" and events[-1].report["refused"][0]["case"] == "c0"
    events.clear()
    assert run_job(dataclasses.replace(spec, source=str(tmp_path / "no")), events.append) == 3
    assert events[-1].kind == "error"


def test_the_worker_can_be_cancelled(a_training_set, tmp_path):
    spec = AugmentSpec(str(a_training_set(2)), str(tmp_path / "out"), ("bspline-x2",))
    events = []
    assert run_job(spec, events.append, lambda: any(e.kind == "stage" and "Making" in e.name for e in events)) == 130
    assert json.loads(events[-1].to_json())["error"] == "CancelledError"
