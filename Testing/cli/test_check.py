"""`medsr check RESULT --against SERIES`: what a person sees, and what is refused before any work."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from medsr.jobs import NOTHING_WRITTEN
from medsr.volume import Volume

SIZE = 48


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A result, what it was made of (as its report says), and a sagittal stack of the same texture."""
    folder = tmp_path_factory.mktemp("pair")
    rng = np.random.default_rng(0)
    truth = sum(
        ndimage.gaussian_filter(rng.standard_normal((SIZE,) * 3), s) * s**1.5 * w
        for s, w in ((0.8, 0.5), (1.5, 1.0), (3.0, 2.0))
    )
    truth = truth / truth.std() * 100 + 500
    thick = ndimage.gaussian_filter1d(truth, 1.7, axis=0).reshape(12, 4, SIZE, SIZE)[:, 1:3].mean(axis=1)
    beside = ndimage.gaussian_filter1d(truth, 1.7, axis=2).reshape(SIZE, SIZE, 12, 4)[..., 1:3].mean(axis=3)
    beside = beside + rng.normal(0, 5, beside.shape)
    images = {"sr": (truth, (1, 1, 1)), "axial": (thick, (1, 1, 4)), "sagittal": (beside, (4, 1, 1))}
    for name, (array, spacing) in images.items():
        image = sitk.GetImageFromArray(array.astype(np.float32))
        image.SetSpacing([float(s) for s in spacing])
        image.SetOrigin([(s - 1) / 2 for s in spacing])
        sitk.WriteImage(image, str(folder / f"{name}.nii.gz"))
    report = {"source": "axial.nii.gz", "output_file": "sr.nii.gz", "output": {"size_xyz": [SIZE] * 3}}
    (folder / "sr.json").write_text(json.dumps(report))
    return folder


def test_a_person_reads_one_sentence_and_finds_map_picture_and_report(medsr, pair, tmp_path):
    files = [tmp_path / name for name in ("map.nii.gz", "check.png", "check.json")]
    ended = medsr(
        "check", pair / "sr.nii.gz", "--against", pair / "sagittal.nii.gz", "--map", files[0], "--picture", files[1],
        "--report", files[2], "--progress", "none",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    report = json.loads(files[2].read_text())
    first, *_ = ended.out.splitlines()
    assert first == report["sentence"]
    assert first.startswith("Of the added detail, ") and first.endswith(" % cannot be judged.")
    assert "an unrelated series would confirm" in ended.out
    assert "do not say whose they are" in ended.err
    assert all(f"Written   {file}" in ended.out for file in files)
    assert report["confirmed_percent"] > report["contradicted_percent"]
    assert (report["result"], report["input"]) == (str(pair / "sr.nii.gz"), str(pair / "axial.nii.gz"))
    shown = sitk.ReadImage(str(files[0]))
    assert shown.GetSize() == (SIZE,) * 3 and files[1].read_bytes().startswith(b"\x89PNG")
    values = sitk.GetArrayFromImage(shown)
    assert ((values == -2) | (np.abs(values) <= 1)).all()


def test_for_programs_there_are_json_lines(medsr, pair):
    ended = medsr(
        "check", pair / "sr.nii.gz", "--against", pair / "sagittal.nii.gz", "--input", pair / "axial.nii.gz",
        "--progress", "json",
    )  # fmt: skip
    assert ended.code == 0
    events = [json.loads(line) for line in ended.out.splitlines()]
    assert events[-1]["kind"] == "result" and events[-1]["output"] == ""
    assert events[-1]["report"]["schema"] == "medsr-check/1"
    assert {"Registering the two series", "Comparing the detail"} <= {e["name"] for e in events if e["kind"] == "stage"}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "--against"),
        (["--against", "nowhere.nrrd"], 3, "nowhere.nrrd"),
        (["--against", "SAG", "--picture", "p.jpg"], 2, "ends in .png"),
        (["--against", "SAG", "--map", "m.xyz"], 2, ".xyz"),
        (["--against", "SAG", "--map", "SAG"], 2, "is the input itself"),
        (["--against", "SAG", "--report", "SR", "--overwrite"], 2, "is the input itself"),
        (["--against", "SAG", "--report", "no/such/folder.json"], 4, "does not exist"),
        (["--against", "SAG", "--series", "2"], 2, "not DICOM"),
        (["--against", "AXIAL"], 3, "not finer"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_written(medsr, pair, tmp_path, arguments, code, said):
    names = {"SAG": pair / "sagittal.nii.gz", "SR": pair / "sr.nii.gz", "AXIAL": pair / "axial.nii.gz"}
    before = sorted(pair.iterdir())
    ended = medsr("check", names["SR"], *(names.get(argument, argument) for argument in arguments))
    assert ended.code == code
    assert said in ended.err
    assert sorted(pair.iterdir()) == before and not list(tmp_path.iterdir())


def test_a_result_without_a_report_asks_for_its_input(medsr, pair, tmp_path):
    alone = tmp_path / "sr.nii.gz"
    alone.write_bytes((pair / "sr.nii.gz").read_bytes())
    ended = medsr("check", alone, "--against", pair / "sagittal.nii.gz")
    assert ended.code == 3 and "--input ORIGINAL" in ended.err


def test_the_worker_does_it_and_stops(pair, tmp_path):
    from medsr.evaluation.checking.spec import CheckSpec
    from medsr.jobs import ErrorEvent, ResultEvent
    from medsr.worker import run_job

    spec = CheckSpec(str(pair / "sr.nii.gz"), str(pair / "sagittal.nii.gz"), map=str(tmp_path / "map.nrrd"))
    events = []
    stages = []

    def stop_at_the_end():
        return any(getattr(event, "name", "") == "Writing" for event in events)

    assert run_job(spec, events.append, stop_at_the_end) == 130
    assert isinstance(events[-1], ErrorEvent) and events[-1].message == NOTHING_WRITTEN
    assert not list(tmp_path.iterdir())
    assert run_job(spec, stages.append) == 0
    assert isinstance(stages[-1], ResultEvent) and stages[-1].output == str(tmp_path / "map.nrrd")
    assert isinstance(stages[-1].report["regions"], list)
    assert Volume.from_sitk(sitk.ReadImage(str(tmp_path / "map.nrrd"))).array.min() >= -2
