"""Notices in the words of the panel."""

from __future__ import annotations

import os
import string
import sys

import pytest

from medsr.notices import WORDS, Notice, notice

COMMAND_LINE = ("--", "pip install", "`medsr", "medsr[")


def fields(template):
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


def test_words_name_values_that_the_library_gives():
    from MedSRLib.Messages import templates

    # "source" is what the reader of a file says, in its own words.
    assert set(templates()) == set(WORDS) - {"source"}
    for kind, template in templates().items():
        assert fields(template) <= fields(WORDS[kind]), kind


def test_every_stage_of_a_job_of_the_panel_has_its_words():
    """Read from the files of the library that do the jobs, so that a new stage fails here."""
    import re
    from pathlib import Path

    import medsr
    from MedSRLib.Messages import _stages

    core = Path(medsr.__file__).parent
    files = [core / "files.py", core / "series.py", core / "augmentation" / "run.py"]
    files += [*core.glob("inference/*.py"), *core.glob("evaluation/checking/*.py"), *core.glob("fusion/*.py")]
    told = {
        found.strip()
        for file in files
        for found in re.findall(r'\.stage\(\s*f?"([^"{]+)', file.read_text(encoding="utf-8"))
    }
    assert {"Reading", "Enlarging with", "Writing", "Making the copies"} <= told
    assert told <= set(_stages()), told - set(_stages())


def test_nothing_speaks_of_the_command_line():
    from MedSRLib.Messages import templates

    for kind, english in WORDS.items():
        text = templates().get(kind, english)
        assert not [mark for mark in COMMAND_LINE if mark in text], kind


def test_a_notice_reads_the_same_from_the_plan_and_from_a_report():
    from MedSRLib.Messages import inWords

    made = notice("target", what=notice("target.scale", factors="2 x 2 x 2"))
    assert inWords(made) == inWords(made.to_json()) == "Target: factor 2 x 2 x 2."


def test_who_states_something_is_worded_too():
    from medsr.facts import Fact, Facts
    from medsr.notices import disagreements
    from MedSRLib.Messages import inWords

    known = Facts((Fact("thickness_mm", 5, "Slicer", "z"), Fact("thickness_mm", 2.5, "option", "z")))
    (told,) = disagreements(known)
    assert inWords(told) == (
        "The thickness along z is 5.0 (from the header), but also 2.5 (as chosen); the latter is taken."
    )


def test_what_has_no_words_keeps_its_english_with_the_names_of_the_panel():
    from MedSRLib.Messages import inWords

    assert inWords({"kind": "of.tomorrow", "values": {"a": 1}, "text": "Give --spacing."}) == "Give spacing."
    # Of another version of the library, in another Python: a known kind with other values.
    assert inWords({"kind": "slices", "values": {"direction": "z"}, "text": "Slices of z."}) == "Slices of z."
    assert inWords({"kind": "noise", "values": {"percent": "much", "place": ""}, "text": "Noisy."}) == "Noisy."
    assert inWords(Notice("source", {"text": "Uneven slices."})) == "Uneven slices."
    assert inWords("A sentence of an older report.") == "A sentence of an older report."


def axis(name, profile="kspace", width=0.7, source="Slicer", **more):
    return {"axis": name, "profile": profile, "width_mm": width, "taper": 0.0, "source": source, **more}


@pytest.mark.parametrize(
    ("axes", "across", "text"),
    [
        (
            [axis("x"), axis("y"), axis("z", "gaussian", 3.2)],
            "z",
            "z: Gaussian profile, 3.2 mm (from the header); in plane: Fourier-encoded, 0.7 mm (from the header)",
        ),
        (
            [axis("x", "box", 4, "option"), axis("y"), axis("z", width=0.9, source="modality")],
            "x",
            "x: box profile, 4 mm (as chosen); y: Fourier-encoded, 0.7 mm (from the header); "
            "z: Fourier-encoded, 0.9 mm (assumed)",
        ),
        (
            [axis(name, width=1, source="voxels", probability=0.87) for name in "xyz"],
            None,
            "every axis: Fourier-encoded, 1 mm (read from the voxels, 87 % sure)",
        ),
        ([axis("x"), axis("y")], "z", "in plane: Fourier-encoded, 0.7 mm (from the header)"),
        ([axis("x"), axis("y")], None, "x, y: Fourier-encoded, 0.7 mm (from the header)"),
    ],
)
def test_the_acquisition_is_one_line(axes, across, text):
    from MedSRLib.Messages import acquisitionText

    assert acquisitionText(axes, across) == text


def test_a_filter_is_told():
    from MedSRLib.Messages import acquisitionText

    text = acquisitionText([{**axis("z"), "taper": 0.3}])
    assert text == "z: Fourier-encoded, 0.7 mm, filtered over 30 % of the band (from the header)"


def test_warnings_of_a_job_are_in_the_words_of_the_panel(resolver, a_volume):
    """In another Python without PyTorch the worker says so, with advice for a terminal."""
    from MedSRLib.WorkerProcess import WorkerProcess

    code = (
        "import sys; sys.stdin.readline()\n"
        "from medsr.jobs import Progress, ErrorEvent\n"
        "from medsr.notices import notice\n"
        "show = lambda event: print(event.to_json(), flush=True)\n"
        "Progress(show).warn(notice('model.torch_missing', model='tikhonov', network='mr-3d'))\n"
        "Progress(show).warn('Uneven slices.')\n"
        "show(ErrorEvent('That was all.'))\n"
    )
    resolver.runner.startWorker = lambda: WorkerProcess([sys.executable, "-c", code], os.environ)
    job = resolver.start(a_volume, scale=2, model="linear")
    resolver.wait(job)
    first, second = job.warnings
    assert "pip" not in first
    assert "tikhonov was taken instead of the network mr-3d" in first
    assert second == "Uneven slices."


def test_old_reports_of_sentences_can_still_be_read(scene):
    from MedSRLib.Report import reportHtml

    page = reportHtml({"model": "tikhonov", "decisions": ["Target: scale 2 x 2 x 2."], "warnings": ["Uneven."]})
    assert "Target: scale 2 x 2 x 2." in page
    assert "Uneven." in page


def test_the_report_words_decisions_target_and_acquisition(scene):
    from MedSRLib.Report import reportHtml, reportRows

    decisions = [
        notice("target", what=notice("target.twice")),
        notice("modality", modality="MR", known=notice("known.slicer")),
    ]
    report = {
        "decisions": [one.to_json() for one in decisions],
        "warnings": [notice("model.torch_missing", model="tikhonov", network="mr-3d").to_json()],
        "acquisition": [axis("x"), axis("y"), axis("z", "gaussian", 3.2)],
        "input": {"size_xyz": [9, 9, 9], "spacing_xyz_mm": [1, 1, 1]},
    }
    rows = dict(reportRows(report))
    assert rows["Target"] == "twice as fine in every direction"
    assert rows["Acquisition"].startswith("x, y: Fourier-encoded, 0.7 mm")
    page = reportHtml(report)
    assert "Modality: MR (from the header)." in page
    assert "pip install" not in page
