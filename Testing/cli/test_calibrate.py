"""`medsr calibrate`, and `medsr upscale --map error`."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage


@pytest.fixture
def fine_volumes(tmp_path):
    """Two fine phantoms of other texture each."""
    files = []
    for seed in (1, 2):
        array = ndimage.gaussian_filter(np.random.default_rng(seed).random((24, 24, 24)), 1.2)
        image = sitk.GetImageFromArray((1000 * np.clip(array / array.max() - 0.4, 0, None)).astype(np.float32))
        files.append(str(tmp_path / f"fine{seed}.nii.gz"))
        sitk.WriteImage(image, files[-1])
    return files


QUICK = ("--model", "tikhonov", "--cases", "z2", "--noise", "0", "--told", "profile", "--progress", "none")
QUICK = tuple("scale=1,1,2;width=2" if word == "z2" else word for word in QUICK)


def test_an_error_map_is_written_and_told_in_one_sentence(medsr, a_volume, tmp_path):
    out, widths = tmp_path / "out.nrrd", tmp_path / "error.nrrd"
    ended = medsr("upscale", a_volume(), out, "--model", "tikhonov", "--map", f"error={widths}")
    assert ended.code == 0
    assert "9 of 10 voxels lie within +-" in ended.out
    assert sitk.ReadImage(str(widths)).GetSize() == sitk.ReadImage(str(out)).GetSize()
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(widths))).min() > 0


def test_a_map_that_cannot_be_made_is_refused_before_the_work(medsr, a_volume, tmp_path):
    widths = f"error={tmp_path / 'error.nrrd'}"
    ended = medsr("upscale", a_volume(), tmp_path / "out.nrrd", "--model", "srresnet", "--map", widths)
    assert ended.code == 2
    assert "no error map for srresnet" in ended.err
    assert "medsr calibrate" in ended.err
    assert not (tmp_path / "out.nrrd").exists()


def test_a_calibration_is_written_and_tried(medsr, fine_volumes, tmp_path):
    folder = tmp_path / "calibration"
    ended = medsr("calibrate", *fine_volumes, *QUICK, "--output", folder)
    assert ended.code == 0, ended.err
    content = json.loads((folder / "tikhonov.json").read_text())
    assert content["model"] == "tikhonov"
    assert [group["volumes"] for group in content["groups"]] == [2]
    assert "fine1" in ended.out
    again = medsr("calibrate", *fine_volumes, *QUICK, "--check")
    assert again.code == 0, again.err
    assert "%" in again.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--output DIR"),
        (("--output", "x", "--check"), "--check"),
        (("--check", "--modality", "PET"), "MR or CT"),
        (("--check", "--told", "everything"), "everything"),
        (("--check", "--model", "nosuch"), "nosuch"),
    ],
)
def test_what_makes_no_sense_is_refused(medsr, fine_volumes, arguments, said):
    ended = medsr("calibrate", *fine_volumes, *arguments)
    assert ended.code == 2
    assert said in ended.err


def test_one_volume_is_too_few(medsr, fine_volumes, tmp_path):
    ended = medsr("calibrate", fine_volumes[0], *QUICK, "--output", tmp_path / "calibration")
    assert ended.code == 2
    assert "at least 2 volumes" in ended.err
    assert not (tmp_path / "calibration").exists()
