"""medsr segment."""

import json
import sys

import numpy as np
import pytest
import SimpleITK as sitk

PROGRAM = """
import sys, SimpleITK as sitk
print("chatter on the standard output")
image = sitk.ReadImage(sys.argv[1])
sitk.WriteImage(sitk.Cast(image > 150, sitk.sitkUInt8) * 3, sys.argv[2])
"""


@pytest.fixture
def words(tmp_path):
    """An image of thick slices, and the words of a command that segments it."""
    array = np.random.default_rng(0).integers(90, 110, (6, 18, 20)).astype(np.int16)
    array[1:5, 4:14, 5:15] += 100
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1.0, 1.0, 3.0))
    sitk.WriteImage(image, str(tmp_path / "in.nii.gz"))
    (tmp_path / "program.py").write_text(PROGRAM)
    command = f"'{sys.executable}' '{tmp_path / 'program.py'}' {{image}} {{labels}}"
    return [
        "segment",
        tmp_path / "in.nii.gz",
        tmp_path / "out.nii.gz",
        "--isotropic",
        "--model",
        "bspline",
        "--with",
        command,
    ]


def test_labels_lie_on_the_grid_of_the_image(medsr, words, tmp_path):
    ended = medsr(*words)
    assert ended.code == 0, ended.err
    image, labels = (sitk.ReadImage(str(tmp_path / name)) for name in ("in.nii.gz", "out.nii.gz"))
    assert labels.GetSize() == image.GetSize() and labels.GetSpacing() == image.GetSpacing()
    found = sitk.GetArrayFromImage(labels)
    assert set(np.unique(found)) == {0, 3} and abs((found == 3).sum() - 400) <= 20
    assert "Enhanced  20 x 18 x 6 -> 20 x 18 x 18 voxels by bspline" in ended.out and "Label 3" in ended.out
    assert medsr(*words).code == 4 and medsr(*words, "--overwrite").code == 0


def test_events_are_json_lines_whatever_the_program_prints(medsr, words):
    ended = medsr(*words, "--progress", "json")
    events = [json.loads(line) for line in ended.out.splitlines()]
    assert ended.code == 0 and events[-1]["kind"] == "result" and list(events[-1]["report"]["volumes_mm3"]) == ["3"]


def test_what_cannot_work_leaves_nothing(medsr, words, tmp_path):
    wrong = [*words[:-1], "true {image}"]
    assert medsr(*wrong).code == 2
    fails = [*words[:-1], f"'{sys.executable}' -c 'raise SystemExit(5)' {{image}} {{labels}}"]
    ended = medsr(*fails)
    assert ended.code == 5 and "exit code 5" in ended.err and not (tmp_path / "out.nii.gz").exists()
    assert medsr(*words[:2], tmp_path / "in.nii.gz", *words[3:], "--overwrite").code == 2
