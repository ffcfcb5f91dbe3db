"""`medsr evaluate FILE --against SERIES`: two measured series, nothing simulated."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

FILES = {"table.csv", "table.json", "table.md", "index.html"}


@pytest.fixture
def two_series(tmp_path):
    """A CT in slices of 4 mm and, from the same scan, of 1 mm."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((40, 32, 36)), 1.5)
    fine = np.rint(smooth / smooth.std() * 100).astype(np.int16)
    thick = np.rint(fine.reshape(10, 4, 32, 36).mean(axis=1)).astype(np.int16)
    # Air, which tells CT; and the outer faces of both grids coincide.
    fine[0, 0, 0] = thick[0, 0, 0] = -1000
    paths = []
    for name, array, height, origin in (("thick", thick, 4.0, 1.5), ("thin", fine, 1.0, 0.0)):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing((1.0, 1.0, height))
        image.SetOrigin((0.0, 0.0, origin))
        paths.append(tmp_path / f"{name}.nii.gz")
        sitk.WriteImage(image, str(paths[-1]))
    return paths


def test_a_finer_series_of_the_same_scan_judges(medsr, two_series, tmp_path):
    thick, thin = two_series
    folder = tmp_path / "results"
    ended = medsr(
        "evaluate", thick, "--against", thin, "--models", "bspline", "tikhonov", "--profiles", "box:4", "gaussian:2",
        "--output", folder, "--progress", "none",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert {path.name for path in folder.iterdir()} == FILES
    data = json.loads((folder / "table.json").read_text())
    assert data["test"]["kind"] == "difference"
    assert [(row["model"], row["profile"]) for row in data["rows"]] == [
        ("bspline", "auto"),
        ("tikhonov", "box:4"),
        ("tikhonov", "gaussian:2"),
    ]
    assert "The slices are parallel" in ended.out
    assert "tikhonov box:4" in ended.out
    assert str(folder / "index.html") in ended.out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["THICK", "--profiles", "box"], 2, "--profiles belongs to --against"),
        (["THICK", "--against", "THIN", "--cases", "z4"], 2, "--cases belongs to simulated cases"),
        (["THICK", "--against", "THIN", "--noise", "0.02"], 2, "--noise belongs to simulated cases"),
        (["THICK", "--against", "THIN", "--told", "nothing"], 2, "--told belongs to simulated cases"),
        (["THICK", "THIN", "--against", "THIN"], 2, "one volume at a time"),
        (["THICK", "--against", "THIN", "--models", "tikhonov-oracle"], 2, "simulated cases only"),
        (["THICK", "--against", "nowhere.nrrd"], 3, "nowhere.nrrd"),
        (["THIN", "--against", "THICK"], 3, "not finer: 4 mm against 1 mm"),
    ],
)
def test_against_refuses_what_makes_no_sense(medsr, two_series, tmp_path, arguments, code, said):
    names = dict(zip(("THICK", "THIN"), two_series, strict=True))
    ended = medsr("evaluate", *(names.get(argument, argument) for argument in arguments), "--output", tmp_path / "out")
    assert ended.code == code
    assert said in ended.err
    assert not (tmp_path / "out").exists()
