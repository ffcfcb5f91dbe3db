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


FOLDER_PROGRAM = """
import sys, pathlib, SimpleITK as sitk
source, target = map(pathlib.Path, sys.argv[1:3])
print(sorted(p.name for p in source.iterdir()), file=sys.stderr)
for path in source.glob("*_0000.nii.gz"):
    one, two = (sitk.ReadImage(str(path).replace("_0000", c)) for c in ("_0000", "_0001"))
    if path.name.startswith(sys.argv[3] if sys.argv[3:] else "-"):
        continue
    assert one.GetSpacing() == (1, 1, 1) == two.GetSpacing() and one.GetSize() == two.GetSize()
    labels = sitk.Cast(one > 150, sitk.sitkUInt8) + sitk.Cast(two < 150, sitk.sitkUInt8)
    sitk.WriteImage(labels, str(target / path.name.replace("_0000", "")))
"""


@pytest.fixture
def folder(tmp_path):
    """Two cases of two channels in thick slices, and the words of a command that segments all."""
    (tmp_path / "imagesTs").mkdir()
    for name in ("a", "b"):
        array = np.random.default_rng(0).integers(90, 110, (6, 18, 20)).astype(np.int16)
        array[1:5, 4:14, 5:15] += 100
        for channel, values in enumerate((array, 300 - array)):
            image = sitk.GetImageFromArray(values)
            image.SetSpacing((1.0, 1.0, 3.0))
            sitk.WriteImage(image, str(tmp_path / f"imagesTs/{name}_{channel:04d}.nii.gz"))
    (tmp_path / "all.py").write_text(FOLDER_PROGRAM)
    command = f"'{sys.executable}' '{tmp_path / 'all.py'}' {{image_folder}} {{labels_folder}}"
    words = ["segment", tmp_path / "imagesTs", tmp_path / "out", "--isotropic", "--model", "bspline", "--with"]
    return words, command


def test_a_folder_as_nnunet_has_it_is_segmented_at_once(medsr, folder, tmp_path):
    words, command = folder
    ended = medsr(*words, command)
    assert ended.code == 0, ended.err
    assert "2 label maps" in ended.out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.nii.gz", "b.nii.gz"]
    for name in ("a", "b"):
        labels = sitk.ReadImage(str(tmp_path / f"out/{name}.nii.gz"))
        assert labels.GetSpacing() == (1, 1, 3) and labels.GetSize() == (20, 18, 6)
        found = sitk.GetArrayFromImage(labels)
        assert set(np.unique(found)) == {0, 2} and abs(np.count_nonzero(found) - 400) <= 20
    assert medsr(*words, command).code == 4 and medsr(*words, command, "--overwrite").code == 0


def test_a_folder_that_cannot_be_segmented_leaves_no_labels(medsr, folder, tmp_path):
    words, command = folder
    ended = medsr(*words, command + " b")
    assert ended.code == 5 and "no label map of 'b'" in ended.err
    assert medsr(*words, "tool {image} {labels}").code == 2
    assert medsr(*words[:2], tmp_path / "imagesTs", *words[3:], command).code == 2
    shifted = sitk.ReadImage(str(tmp_path / "imagesTs/b_0001.nii.gz"))
    shifted.SetOrigin((1, 0, 0))
    sitk.WriteImage(shifted, str(tmp_path / "imagesTs/b_0001.nii.gz"))
    ended = medsr(*words, command)
    assert ended.code == 3 and "Channel b_0001.nii.gz lies on another grid" in ended.err
    (tmp_path / "imagesTs/b_0001.nii.gz").unlink()
    ended = medsr(*words, command)
    assert ended.code == 3 and "Case 'b' of 'imagesTs' has 1 channels, others have 2" in ended.err
    assert list((tmp_path / "out").iterdir()) == []
