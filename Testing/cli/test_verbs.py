"""models, info, evaluate, train, demo and doctor."""

import builtins
import importlib.util
import json

import numpy as np
import pytest
import SimpleITK as sitk

from medsr import demo, doctor
from medsr.catalog import BUILT_IN, load_catalog
from medsr.cli import train as train_verb
from medsr.errors import ModelError

# ---------------------------------------------------------------- models


def test_models_lists_the_whole_catalog(medsr):
    ended = medsr("models")
    assert ended.code == 0
    names = [line.split()[0] for line in ended.out.splitlines()]
    assert len(BUILT_IN) >= 4
    for entry in load_catalog().values():
        assert entry.name in names


def test_models_shows_a_network_with_its_gain(medsr, a_network):
    name = a_network()
    text = medsr("models").out
    assert name in text
    assert "gain: +1.0 dB over tikhonov" in text
    details = medsr("models", name).out
    assert "phantoms" in details
    assert "pip install 'medsr[network]'" in details


def test_models_as_json_has_every_field(medsr):
    listed = json.loads(medsr("models", "--json").out)
    assert [entry["name"] for entry in listed] == list(load_catalog())
    assert json.loads(medsr("models", "tikhonov", "--json").out) in listed


def test_a_bundle_that_cannot_be_read_is_told(medsr, a_network, tmp_path):
    name = a_network()
    (tmp_path / "bundles" / name / "configs" / "metadata.json").write_text("{")
    load_catalog.cache_clear()
    ended = medsr("models")
    assert ended.code == ModelError.exit_code
    assert "unreadable metadata" in ended.err


# ---------------------------------------------------------------- info


def test_info_describes_a_volume(medsr, a_volume):
    source = a_volume()
    ended = medsr("info", source)
    assert ended.code == 0
    assert "24 x 20 x 12 voxels" in ended.out
    assert "1 x 1 x 3 mm" in ended.out
    assert "int16" in ended.out
    about = json.loads(medsr("info", source, "--json").out)
    assert about["size_xyz"] == [24, 20, 12]
    assert about["anisotropy"] == 3


SIDECAR = {
    "Modality": "MR",
    "MRAcquisitionType": "2D",
    "SliceThickness": 2.5,
    "AcquisitionMatrixPE": 12,
    "ReconMatrixPE": 24,
    "PhaseEncodingDirection": "i",
    "PartialFourier": 0.75,
}


def table_row(text, first):
    (line,) = [line for line in text.splitlines() if line.split()[:1] == [first]]
    return line.split()


def test_info_shows_how_each_axis_was_acquired_and_who_says_so(medsr, a_volume):
    source = a_volume("scan.nii.gz")
    source.with_name("scan.json").write_text(json.dumps(SIDECAR))
    ended = medsr("info", source)
    assert ended.code == 0
    assert "modality   MR (sidecar)" in ended.out
    # What is stated, then what a job would take.
    x, y, z = ("phase sidecar kspace 2 mm sidecar", "frequency sidecar kspace 1 mm sidecar",
               "slice sidecar gaussian 2.5 mm sidecar")  # fmt: skip
    assert table_row(ended.out, "x") == ["x", "24", "1", "mm", "-", "2", "mm", *x.split()]
    assert table_row(ended.out, "y") == ["y", "20", "1", "mm", "-", "-", *y.split()]
    assert table_row(ended.out, "z") == ["z", "12", "3", "mm", "2.5", "mm", "-", *z.split()]
    assert table_row(ended.out, "partial") == ["partial", "fourier", "yes", "sidecar"]
    assert "Enlarging along x adds no detail" in ended.err
    facts = json.loads(medsr("info", source, "--json").out)["facts"]
    assert {"name": "thickness_mm", "value": 2.5, "source": "sidecar", "axis": "z"} in facts


def test_info_says_when_nothing_is_stated(medsr, a_volume):
    ended = medsr("info", a_volume("bare.nii.gz"))
    assert table_row(ended.out, "axis") == ["axis", "voxels", "spacing", "taken", "for", "resolution", "from"]
    assert table_row(ended.out, "z")[-3:] == ["1.8", "mm", "modality"]  # 0.6 of 3 mm, slices taken carefully
    assert "Nothing more is stated" in ended.out
    assert ended.err == ""


def test_info_tells_where_sources_disagree():
    from medsr.facts import Fact, Facts
    from medsr.notices import disagreements

    facts = Facts((Fact("thickness_mm", 5, "header", "z"), Fact("thickness_mm", 4, "sidecar", "z")))
    (told,) = map(str, disagreements(facts))
    assert told == (
        "The sources disagree on the thickness along z: 5.0 (header), 4.0 (sidecar). The sidecar is believed."
    )
    assert disagreements(Facts(facts.all[:1])) == []


def test_info_says_what_would_be_refused(medsr, a_volume):
    array = np.random.default_rng(0).random((12, 14, 16)).astype(np.float32)
    array[0, 0, :3] = np.nan
    assert "3 voxels are NaN or infinite" in medsr("info", a_volume("bad.nrrd", array)).out


def test_info_of_a_missing_file_is_an_error(medsr, tmp_path):
    assert medsr("info", tmp_path / "nowhere.nrrd").code == 3


# ---------------------------------------------------------------- evaluate

FILES = {"table.csv", "table.json", "table.md", "index.html"}
QUICK = ("--models", "bspline", "tikhonov", "--progress", "none")


@pytest.fixture
def fine_volume(a_volume):
    return a_volume("fine.nii.gz", size_xyz=(36, 32, 28), spacing=(1.0, 1.0, 1.0))


def test_evaluate_writes_tables_and_a_page(medsr, fine_volume, tmp_path):
    folder = tmp_path / "results"
    ended = medsr("evaluate", fine_volume, *QUICK, "--cases", "iso2", "scale=1,1,3;width=2", "--output", folder)
    assert ended.code == 0, ended.err
    assert {path.name for path in folder.iterdir()} == FILES
    rows = json.loads((folder / "table.json").read_text())["rows"]
    assert [(row["case"], row["model"]) for row in rows] == [
        ("iso2", "bspline"),
        ("iso2", "tikhonov"),
        ("scale=1,1,3;width=2", "bspline"),
        ("scale=1,1,3;width=2", "tikhonov"),
    ]
    assert rows[1]["psnr"] > rows[0]["psnr"]
    assert "tikhonov" in ended.out
    assert str(folder / "index.html") in ended.out


def test_evaluate_passes_noise_width_and_crop_on(medsr, fine_volume, tmp_path):
    folder = tmp_path / "results"
    arguments = ["--cases", "z4", "--noise", "0.02", "--misstate", "1.25", "--crop", "24"]
    assert medsr("evaluate", fine_volume, *QUICK, *arguments, "--output", folder).code == 0
    rows = json.loads((folder / "table.json").read_text())["rows"]
    assert {row["case"] for row in rows} == {"z4 noise 0.02 width told x1.25"}


def test_evaluate_tells_the_models_what_was_asked(medsr, fine_volume, tmp_path):
    folder = tmp_path / "results"
    ended = medsr("evaluate", fine_volume, *QUICK, "--cases", "z3", "--told", "profile", "--output", folder)
    assert ended.code == 0, ended.err
    assert {row["case"] for row in json.loads((folder / "table.json").read_text())["rows"]} == {"z3 told profile"}
    ended = medsr("evaluate", fine_volume, *QUICK, "--told", "everything", "--output", tmp_path / "other")
    assert ended.code == 2
    assert "nothing, profile, thickness" in ended.err


def test_evaluate_names_equal_files_apart(medsr, a_volume, tmp_path):
    files = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        files.append(a_volume(f"{folder}/t1.nii.gz", size_xyz=(24, 24, 24), spacing=(1.0, 1.0, 1.0)))
    ended = medsr("evaluate", *files, *QUICK, "--cases", "iso2", "--output", tmp_path / "results")
    assert ended.code == 0
    rows = json.loads((tmp_path / "results" / "table.json").read_text())["rows"]
    assert [row["volume"] for row in rows[::2]] == ["t1", "two/t1"]


def test_evaluate_does_not_replace_tables_unasked(medsr, fine_volume, tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "table.csv").write_text("precious")
    arguments = ["evaluate", fine_volume, *QUICK, "--cases", "iso2", "--output", folder]
    ended = medsr(*arguments)
    assert ended.code == 4
    assert "--overwrite" in ended.err
    assert (folder / "table.csv").read_text() == "precious"
    assert medsr(*arguments, "--overwrite").code == 0
    assert (folder / "table.csv").read_text() != "precious"


@pytest.mark.parametrize("folder", ["nowhere/results", "fine.nii.gz"])
def test_evaluate_finds_a_useless_output_before_the_work(medsr, fine_volume, tmp_path, folder):
    assert medsr("evaluate", fine_volume, *QUICK, "--output", tmp_path / folder).code == 4


def test_evaluate_refuses_a_missing_volume_and_an_unknown_case(medsr, fine_volume, tmp_path):
    ended = medsr("evaluate", fine_volume, tmp_path / "nowhere.nrrd", *QUICK, "--output", tmp_path / "results")
    assert ended.code == 3
    ended = medsr("evaluate", fine_volume, *QUICK, "--cases", "z44", "--output", tmp_path / "results")
    assert ended.code == 2
    assert "Did you mean 'z4'?" in ended.err
    assert not (tmp_path / "results").exists()


def test_evaluate_fails_when_no_model_gave_a_result(medsr, fine_volume, tmp_path):
    arguments = ["--cases", "scale=1,1,8", "--crop", "16,16,4"]
    ended = medsr("evaluate", fine_volume, *QUICK, *arguments, "--output", tmp_path / "results")
    assert ended.code == 5
    assert "No model gave a result" in ended.err
    assert {path.name for path in tmp_path.iterdir()} == {"fine.nii.gz"}


# ---------------------------------------------------------------- train


def test_every_recipe_that_is_carried_can_be_read():
    from medsr.training.recipe import Recipe

    for name in train_verb.known_recipes():
        assert Recipe.load(train_verb.find_recipe(name)).override(train_verb._SMOKE).steps == 4


@pytest.mark.network
def test_train_smoke_makes_weights_and_resumes(medsr, a_recipe, tmp_path):
    pytest.importorskip("lightning")
    folder = tmp_path / "run"
    ended = medsr("train", a_recipe, "--smoke", "--output", folder)
    assert ended.code == 0, ended.err
    assert (folder / "weights.pt").exists()
    assert str(folder / "weights.pt") in ended.out
    ended = medsr("train", a_recipe, "--smoke", "--output", folder)
    assert ended.code == 4
    assert "--resume" in ended.err
    assert medsr("train", a_recipe, "--smoke", "--output", folder, "--resume", "--set", "steps=6").code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["nowhere.json", "--smoke"], 3, "no recipe file"),
        (["RECIPE", "--smoke", "--set", "stepz=3"], 2, "Did you mean 'steps'?"),
        (["RECIPE", "--smoke", "--set", "steps"], 2, "key=value"),
        (["RECIPE", "--smoke", "--set", "steps=many"], 2, "steps must be a whole number"),
        (["RECIPE", "--smoke", "--devices", "0"], 2, "--devices takes a whole number"),
        (["RECIPE", "--smoke", "--data", "list.json"], 2, "--smoke trains on a phantom"),
        (["RECIPE"], 2, "--data LIST.json is missing"),
        (["RECIPE", "--data", "nowhere.json"], 3, "no data list"),
    ],
)
def test_train_refuses_what_makes_no_sense(medsr, a_recipe, tmp_path, arguments, code, said):
    arguments = [a_recipe if argument == "RECIPE" else argument for argument in arguments]
    ended = medsr("train", *arguments, "--output", tmp_path / "run")
    assert ended.code == code
    assert said in ended.err
    assert not (tmp_path / "run").exists()


def test_train_without_its_packages_says_how_to_get_them(medsr, a_recipe, tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "lightning" else find_spec(name))
    ended = medsr("train", a_recipe, "--smoke", "--output", tmp_path / "run")
    assert ended.code == 6
    assert "needs lightning" in ended.err
    assert "pip install 'medsr[train]'" in ended.err


# ---------------------------------------------------------------- demo


@pytest.fixture
def a_small_brain(tmp_path, monkeypatch):
    """Stands for the volume that the package nilearn carries."""
    array = np.zeros((40, 40, 40), np.float32)
    array[6:34, 6:34, 6:34] = np.random.default_rng(0).random((28, 28, 28)) * 200 + 50
    path = tmp_path / "brain.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    monkeypatch.setattr(demo, "find_template", lambda: path)


def test_demo_fills_its_folder_and_says_where_the_page_is(medsr, a_small_brain, tmp_path):
    folder = tmp_path / "demo"
    ended = medsr("demo", "--output", folder, "--model", "tikhonov")
    assert ended.code == 0, ended.err
    assert (folder / "index.html").exists()
    assert str(folder / "index.html") in ended.out
    assert "tikhonov" in ended.out
    assert medsr("demo", "--output", folder, "--model", "tikhonov").code == 0
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_demo_without_its_brain_says_how_to_get_it(medsr, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    ended = medsr("demo", "--output", tmp_path / "demo")
    assert ended.code == 6
    assert "nilearn" in ended.err
    assert list(tmp_path.iterdir()) == []


def test_demo_refuses_an_unknown_model_before_the_work(medsr, tmp_path):
    ended = medsr("demo", "--output", tmp_path / "demo", "--model", "tikhonof")
    assert ended.code == 2
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- doctor


@pytest.fixture
def without_torch(monkeypatch):
    """Torch and its relatives look as if they were not installed, and need not be loaded."""
    hidden = {"torch", "monai", "lightning", "nilearn"}
    find_spec, import_ = importlib.util.find_spec, builtins.__import__
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name in hidden else find_spec(name))
    monkeypatch.setattr(doctor, "import_module", lambda name: import_("no_" + name if name in hidden else name))


def test_doctor_finds_an_installation_without_torch_usable(medsr, without_torch):
    ended = medsr("doctor")
    assert ended.code == 0
    assert "pip install 'medsr[network]'" in ended.out
    assert "MedSR can be used." in ended.out


def test_doctor_as_json(medsr, without_torch):
    data = json.loads(medsr("doctor", "--json").out)
    assert data["usable"] is True
    status = {finding["name"]: finding["status"] for finding in data["findings"]}
    assert status["numpy"] == "ok"
    assert status["torch"] == "missing"
    assert set(doctor.REQUIRED) < set(status)


def test_doctor_verifies_the_weights(without_torch, a_network, capsys):
    a_network("good-net")
    assert doctor.examine().exit_code == 0
    a_network("bad-net", sha256="0" * 64)
    diagnosis = doctor.examine()
    assert diagnosis.exit_code == 5
    assert {f.name: f.status for f in diagnosis.findings if f.name.endswith("-net")} == {
        "good-net": "ok",
        "bad-net": "BROKEN",
    }


def test_doctor_finds_a_required_package_missing(without_torch, monkeypatch):
    found = doctor.find_spec
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name == "scipy" else found(name))
    diagnosis = doctor.examine()
    assert not diagnosis.usable
    assert diagnosis.exit_code == 6


def test_doctor_ends_with_its_code_when_something_is_broken(without_torch, monkeypatch, capsys):
    from medsr.cli.main import main

    broken = doctor.Diagnosis((doctor.Finding("scipy", doctor.BROKEN, "not installed", "install it", 6),))
    monkeypatch.setattr("medsr.cli.doctor.examine", lambda: broken)
    assert main(["doctor"]) == 6
    assert "cannot be used" in capsys.readouterr().out
