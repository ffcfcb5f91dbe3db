"""`medsr fuse`: what a person sees, and what is refused before any work."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from medsr.fusion.spec import FuseSpec
from medsr.jobs import NOTHING_WRITTEN, ErrorEvent, ResultEvent
from medsr.worker import run_job

SIZE = 32


@pytest.fixture(scope="module")
def stacks(tmp_path_factory):
    """Three stacks of one texture, across z, y and x."""
    folder = tmp_path_factory.mktemp("stacks")
    rng = np.random.default_rng(0)
    truth = sum(ndimage.gaussian_filter(rng.standard_normal((SIZE,) * 3), s) * s**1.5 for s in (1.0, 2.0, 4.0))
    truth = truth / truth.std() * 100 + 500
    for axis, name in enumerate(("tra", "cor", "sag")):
        blurred = ndimage.gaussian_filter1d(truth, 1.7, axis=axis)
        thick = (np.take(blurred, range(1, SIZE, 4), axis) + np.take(blurred, range(2, SIZE, 4), axis)) / 2
        spacing = [4.0 if 2 - axis == a else 1.0 for a in range(3)]
        image = sitk.GetImageFromArray(np.rint(thick).astype(np.int16))
        image.SetSpacing(spacing)
        image.SetOrigin([(s - 1) / 2 for s in spacing])
        sitk.WriteImage(image, str(folder / f"{name}.nii.gz"))
    return folder


def test_a_person_reads_a_line_per_stack_and_finds_the_volume(medsr, stacks, tmp_path):
    files = tmp_path / "fused.nii.gz", tmp_path / "fused.json"
    ended = medsr(
        "fuse", *(stacks / f"{name}.nii.gz" for name in ("tra", "sag", "cor")), files[0], "--report", files[1],
        "--slice-thickness", "4", "--progress", "none",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    report = json.loads(files[1].read_text())
    assert report["output_file"] == str(files[0]) and len(report["stacks"]) == 3
    head, *rows = ended.out.splitlines()[:4]
    assert head.split() == ["stack", "slices", "moved", "agreement", "scale", "noise", "residual"]
    assert [name in row for name, row in zip(("tra", "sag", "cor"), rows, strict=True)] == [True] * 3
    assert all("4 mm (option)" in row for row in rows)
    assert ended.err.count("do not say whose they are") == 1
    assert f"Written   {files[0]}" in ended.out and f"Written   {files[1]}" in ended.out
    image = sitk.ReadImage(str(files[0]))
    assert image.GetSize() == (SIZE,) * 3 and image.GetSpacing() == pytest.approx((1, 1, 1))
    assert image.GetOrigin() == pytest.approx((0, 0, 0), abs=1e-5)
    assert image.GetPixelID() == sitk.sitkInt16


def test_the_help_asks_for_what_is_accepted(medsr):
    told = medsr("fuse", "--help").out
    assert "--spacing MM" in told and "X,Y,Z" not in told
    assert "X,Y,Z" in medsr("upscale", "--help").out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["TRA", "OUT"], 2, "two or more"),
        (["TRA", "TRA", "OUT"], 2, "twice"),
        (["TRA", "nowhere.nrrd", "OUT"], 3, "nowhere.nrrd"),
        (["TRA", "SAG", "TRA"], 2, "is the input itself"),
        (["TRA", "SAG", "out.xyz"], 2, ".xyz"),
        (["TRA", "SAG", "no/such/out.nii.gz"], 4, "does not exist"),
        (["TRA", "SAG", "OUT", "--spacing", "1,1,2"], 2, "one number"),
        (["TRA", "SAG", "OUT", "--spacing", "fine"], 2, "--spacing"),
        (["TRA", "SAG", "OUT", "--series", "1,2"], 2, "not DICOM"),
        (["TRA", "SAG", "OUT", "--series", "1"], 2, "one for each"),
        (["TRA", "SAG", "OUT", "--scale", "2"], 2, "--scale"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_written(medsr, stacks, tmp_path, arguments, code, said):
    names = {"TRA": stacks / "tra.nii.gz", "SAG": stacks / "sag.nii.gz", "OUT": tmp_path / "out.nii.gz"}
    before = sorted(stacks.iterdir())
    ended = medsr("fuse", *(names.get(argument, argument) for argument in arguments))
    assert ended.code == code
    assert said in ended.err
    assert sorted(stacks.iterdir()) == before and not list(tmp_path.iterdir())


def test_the_worker_does_it_and_stops(stacks, tmp_path):
    output = tmp_path / "fused.nrrd"
    spec = FuseSpec((str(stacks / "tra.nii.gz"), str(stacks / "cor.nii.gz")), str(output))
    events, done = [], []
    assert run_job(spec, events.append, lambda: any(getattr(e, "name", "") == "Writing" for e in events)) == 130
    assert isinstance(events[-1], ErrorEvent) and events[-1].message == NOTHING_WRITTEN
    assert not list(tmp_path.iterdir())
    assert run_job(spec, done.append) == 0
    assert isinstance(done[-1], ResultEvent) and done[-1].output == str(output) and output.exists()
    assert [stack["source"] for stack in done[-1].report["stacks"]] == list(spec.inputs)
