"""The page of the published systems and the scripts that write it belong together."""

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from medsr.evaluation.rows import BICUBIC, EvaluationTable, Row
from medsr.evaluation.run import Trial
from medsr.volume import Volume

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "systems.md"
SYSTEMS = {
    "progressive-gan", "edsr-se-gan", "edsr-se-gan-x8", "edsr-se-gan-x16", "vdsr7-multiscale", "srresnet", "srgan",
    "three-player-gan", "disgan",
}  # fmt: skip


@pytest.fixture
def benchmarks(monkeypatch):
    """Import a script of Testing/benchmarks as it imports its neighbours."""
    pytest.importorskip("torch")
    monkeypatch.setattr(sys, "path", [str(ROOT / "Testing" / "benchmarks"), *sys.path])
    return importlib.import_module


def some_rows(model, *gains):
    names = ("T1 niimath", "CT thorax", "fundus")
    return [Row(name, "bicubic4", model, psnr=30.0 + g, ssim=0.9) for name, g in zip(names, gains, strict=False)]


def test_every_mark_of_the_page_has_an_end_once():
    marks = re.findall(r"<!-- (begin|end) ([\w-]+) -->", PAGE.read_text(encoding="utf-8"))
    assert len(marks) >= 24
    names = [name for _, name in marks[::2]]
    assert marks == [(kind, name) for name in names for kind in ("begin", "end")]
    assert len(set(names)) == len(names)


@pytest.mark.network
def test_every_system_is_compared_and_every_part_has_a_place(benchmarks):
    systems = benchmarks("bench_systems")
    compared = {model for part in systems.PARTS.values() for models in part.models.values() for model in models}
    assert compared >= SYSTEMS
    text = PAGE.read_text(encoding="utf-8")
    for name, part in systems.PARTS.items():
        assert f"<!-- begin {name} -->" in text
        assert (f"<!-- begin {name}-groups -->" in text) == (len(part.groups) > 1)


@pytest.mark.network
def test_gains_are_paired_and_groups_are_kept_apart(benchmarks):
    systems = benchmarks("bench_systems")
    table = EvaluationTable(tuple(some_rows(BICUBIC, 0, 0, 0) + some_rows("srgan", 1.0, -2.0, 4.0)))
    line = next(line for line in systems.figures_table(table) if "srgan" in line)
    assert line.startswith("| bicubic4 | srgan | 31.00 |")
    assert "+1.00 [" in line
    assert systems.groups_table(table)[-1] == "| bicubic4 | srgan | +1.00 | -2.00 | +4.00 |"


@pytest.mark.network
def test_published_conventions(benchmarks):
    """All colours off by 2 of 255; the luma weighs them by 219 / 255, and sees no border."""
    conventions = benchmarks("conventions")
    truth = np.tile(np.linspace(20, 200, 32, dtype=np.float32), (1, 32, 1)).reshape(1, 32, 32, 1).repeat(3, axis=3)
    reference = Volume.from_array(np.rint(truth)).replace(planar=True)
    wrong = reference.array + 2.0
    wrong[:, :4] = 255.0
    trial = Trial("photo", "bicubic4", "", reference, reference, {"model": reference.replace(array=wrong)}, ())
    figures = conventions.published_figures(trial)["model"]
    assert figures["y"] == pytest.approx(20 * np.log10(255 / (2 * 219 / 255)), abs=0.01)
    assert figures["rgb"] < figures["y"] - 10


def test_tables_replace_what_stands_between_their_marks(benchmarks, tmp_path):
    pages = benchmarks("pages")
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n<!-- begin y -->\n<!-- end y -->\n", encoding="utf-8")
    pages.write_between(page, "x", ["| new \\1 |"])
    text = page.read_text(encoding="utf-8")
    assert "old" not in text
    assert text.startswith("a\n<!-- begin x -->\n\n| new \\1 |\n\n<!-- end x -->\nb\n")
    with pytest.raises(SystemExit, match="no marks"):
        pages.write_between(page, "z", [])


@pytest.mark.network
def test_a_grid_is_seen_and_noise_is_none(benchmarks):
    grid_power = benchmarks("study_grid").grid_power
    noise = np.random.default_rng(0).normal(size=(96, 96))
    pattern = np.tile([10.0, 0.0, 0.0, 0.0], 24)
    assert grid_power(noise) == pytest.approx(1.0, abs=0.4)
    assert grid_power(noise + pattern) > 20
    assert grid_power(noise + pattern[:, None]) > 20
    coarser = np.tile([10.0] + [0.0] * 7, 12)
    assert grid_power(noise, factor=8) == pytest.approx(1.0, abs=0.4)
    assert grid_power(noise + coarser, factor=8) > 20


@pytest.mark.network
def test_a_grid_that_turns_into_its_negative_is_seen_in_small_windows(benchmarks):
    repeated = benchmarks("study_grid").repeated
    noise = np.random.default_rng(0).normal(size=(96, 96))
    pattern = np.tile([10.0, 0.0, 0.0, 0.0], 24)
    turning = pattern * np.repeat([1.0, -1.0, 1.0], 32)
    assert repeated(noise) == pytest.approx(1.0, abs=0.3)
    assert repeated(noise + turning) > 10 * repeated(noise)
    assert repeated(noise + turning, factor=8) > 5
