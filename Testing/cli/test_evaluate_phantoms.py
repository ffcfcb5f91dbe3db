"""`medsr evaluate --phantoms`: no file, and what was kept, lost and made up."""

import json

import pytest

FILES = {"table.csv", "table.json", "table.md", "index.html"}


def test_phantoms_need_no_file_and_write_tables_and_a_page(medsr, tmp_path):
    folder = tmp_path / "results"
    ended = medsr(
        "evaluate", "--phantoms", "--models", "linear", "--cases", "k2", "--noise", "0.01", "--edge", "64",
        "--output", folder, "--progress", "none",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert {path.name for path in folder.iterdir()} == FILES
    data = json.loads((folder / "table.json").read_text())
    assert [(row["case"], row["model"]) for row in data["rows"]] == [
        ("k2 noise 0.01", "bspline"),
        ("k2 noise 0.01", "linear"),
    ]
    assert {"kept", "made_per_cm3", "sharper"} <= set(data["rows"][0]["figures"])
    assert "made/cm3" in ended.out
    assert str(folder / "index.html") in ended.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["a.nii", "--phantoms"], "leave 'a.nii' away"),
        ([], "Give a FILE whose truth is known, or --phantoms"),
        (["a.nii", "--edge", "60"], "--edge belongs to --phantoms"),
        (["--phantoms", "--edge", "10"], "64 to 160 mm, got 10"),
        (["--phantoms", "--edge", "wide"], "--edge takes a whole number"),
        (["--phantoms", "--against", "b.nii"], "--against does not go with --phantoms"),
        (["--phantoms", "--crop", "20"], "--crop does not go with --phantoms"),
        (["--phantoms", "--misstate", "1.2"], "--misstate does not go with --phantoms"),
        (["--phantoms", "--modality", "CT", "--noise", "0.02"], "made without noise"),
        (["--phantoms", "--models", "auto", "linaer"], "Did you mean 'linear'"),
    ],
)
def test_what_does_not_go_with_phantoms_is_refused(medsr, tmp_path, arguments, said):
    ended = medsr("evaluate", *arguments, "--output", tmp_path / "out")
    assert ended.code == 2
    assert said in ended.err
    assert not (tmp_path / "out").exists()
