"""Cases, runs, statistics, tables and the page: on phantoms small enough to know the answer."""

import csv
import io
import json
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from html.parser import HTMLParser

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import fft
from scipy import ndimage as ndi

from medsr.errors import CancelledError, InputError, InvalidValueError, UnknownNameError
from medsr.evaluation import planes, plates, png
from medsr.evaluation.charts import gain_chart
from medsr.evaluation.page import Source, render_page
from medsr.evaluation.protocols import CASES, Case, central_crop, degrade, parse_case
from medsr.evaluation.rows import METRICS, ORACLE, EvaluationTable, Row
from medsr.evaluation.run import evaluate
from medsr.evaluation.statistics import gain, means
from medsr.evaluation.tables import from_json, to_csv, to_json, to_markdown
from medsr.evaluation.yardsticks import ORACLE_SMOOTHNESS, tikhonov_oracle
from medsr.facts import Fact, Facts
from medsr.geometry import Geometry
from medsr.jobs import Progress
from medsr.metrics import psnr
from medsr.options import StatedProfile
from medsr.physics.profiles import Profile
from medsr.physics.sampling import Acquisition
from medsr.volume import Volume


@dataclass
class Enlarged:
    volume: Volume
    report: dict


class Enlarger:
    """Stands for the inference: repeats voxels, deconvolves, or breaks, and remembers what it was told."""

    def __init__(self):
        self.told = []

    def __call__(self, volume, options, progress, /):
        progress.check()
        self.told.append(options)
        if options.model == "broken":
            raise RuntimeError("out of memory")
        factors = options.scale
        spacing = [s / f for s, f in zip(volume.geometry.spacing_xyz_mm, factors, strict=True)]
        size = [round(n * f) for n, f in zip(volume.geometry.size_xyz, factors, strict=True)]
        grid = volume.geometry.with_grid(spacing, size)
        if options.model == "nearest":
            index = np.meshgrid(
                *((np.arange(n) / f).astype(int) for n, f in zip(size[::-1], factors[::-1], strict=True)), indexing="ij"
            )
            array = volume.array[tuple(index)]
        else:
            array = Acquisition.from_factors(grid.shape_zyx, factors[::-1]).tikhonov(volume.array, 0.01)
        if options.model == "shifted":
            grid = replace(grid, origin_mm=volume.geometry.origin_mm)
        if options.model == "nan":
            array = np.full_like(array, np.nan)
        return Enlarged(volume.replace(array=array, geometry=grid), {"model": options.model + "-1.0"})


def a_volume(seed=0, size_xyz=(26, 28, 27), spacing=(0.9, 0.8, 1.1), **attributes):
    rng = np.random.default_rng(seed)
    shape = size_xyz[::-1]
    grid = np.indices(shape) - (np.array(shape)[:, None, None, None] - 1) / 2
    inside = np.square(grid / (np.array(shape)[:, None, None, None] * 0.45)).sum(axis=0) < 1
    array = np.where(inside, 500 + 300 * ndi.gaussian_filter(rng.normal(size=shape), 1.5), 10).astype(np.float32)
    turned = (0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
    geometry = Geometry(size_xyz, spacing, (-10.0, 20.0, 5.0), turned)
    return Volume(array, geometry, **{"modality": "MR", **attributes})


@pytest.fixture(scope="module")
def a_table():
    volumes = {f"head {i}": a_volume(i) for i in range(3)}
    models = ["nearest", "deconvolved", ORACLE, "broken"]
    return evaluate(volumes, models, ["z4", "iso2"], enlarge=Enlarger())


# --- cases


def test_named_cases_are_the_fields():
    slices = {"z3", "z4", "z6gap", "x3", "z5h", "z5box", "iso2", "xy4"}
    encoded = {"k2", "kf2", "zk3", "xyk2"}
    resized = {"bicubic2", "bicubic3", "bicubic4", "bicubic8", "bicubic16"}
    assert set(CASES) == slices | encoded | resized
    assert {name for name, case in CASES.items() if not case.is_measured} == resized
    assert CASES["bicubic16"].scale_xyz == (16, 16, 1)
    assert CASES["k2"].scale_xyz == CASES["kf2"].scale_xyz == (2, 2, 2)
    assert CASES["xyk2"].scale_xyz == (2, 2, 1)
    assert CASES["z6gap"].scale_xyz == (1, 1, 6)
    assert CASES["zk3"].profiles_xyz[2] == Profile("kspace")
    assert CASES["kf2"].profiles_xyz == (Profile("kspace", 1.0, 0.5),) * 3
    assert CASES["z5box"].profiles_xyz[2] == Profile("box")
    assert CASES["z5h"].profiles_xyz[2] == Profile("gaussian", 0.9)
    assert [CASES[name].slice_axis for name in ("iso2", "z4", "x3")] == ["z", "z", "x"]


@pytest.mark.parametrize(
    ("name", "voxels"),
    [("z6gap", 5), ("z5h", 4.5), ("z5box", 5), ("x3", 3), ("k2", None), ("zk3", None), ("bicubic4", None)],
)
def test_a_case_with_slices_has_their_thickness_and_no_other(name, voxels):
    assert CASES[name].thickness == (None if voxels is None else pytest.approx(voxels))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("z4", "1 x 1 x 4, gaussian of 4 voxels along z"),
        ("z6gap", "1 x 1 x 6, gaussian of 5 voxels along z"),
        ("kf2", "2 x 2 x 2, kspace of 2 voxels, filtered over 50% of the band along xyz"),
        ("bicubic3", "3 x 3 x 1, bicubic"),
        ("scale=2,2,3;profile=kspace,kspace,box;noise=0.02",
         "2 x 2 x 3, kspace of 2 voxels along xy, box of 3 voxels along z, 0.02 Rician noise"),
    ],
)  # fmt: skip
def test_a_case_is_told_in_words(text, words):
    assert parse_case(text).describe() == words


def test_case_from_text():
    case = parse_case("scale=1,1,4; width=3 ;profile=box;noise=0.02")
    assert case.scale_xyz == (1, 1, 4)
    assert case.profiles_xyz == (Profile("box"), Profile("box"), Profile("box", 0.75))
    assert case.noise == 0.02
    assert parse_case("scale=2").profiles_xyz == (Profile(),) * 3
    mixed = parse_case("scale=2,2,4;profile=kspace,kspace,gaussian;width=2.5,2,3;taper=0.5")
    assert mixed.profiles_xyz == (Profile("kspace", 1.25, 0.5), Profile("kspace", 1.0, 0.5), Profile("gaussian", 0.75))
    assert parse_case("scale=16,16,1;profile=bicubic").profiles_xyz[0] == Profile("bicubic")
    assert parse_case("scale=2,2,1;name=in plane").name == "in plane"
    assert parse_case(" z4 ") is CASES["z4"]


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("z44", UnknownNameError, "Did you mean 'z4'"),
        ("scal=2", UnknownNameError, "Did you mean 'scale'"),
        ("width=2", InvalidValueError, "needs a scale"),
        ("scale=1", InvalidValueError, "no axis coarser"),
        ("scale=1,1,9", InvalidValueError, "between 1 and 8"),
        ("scale=1,4", InvalidValueError, "one value or three"),
        ("scale=two", InvalidValueError, "takes numbers"),
        ("scale=2;width=0", InvalidValueError, "positive"),
        ("scale=2;noise=2", InvalidValueError, "fraction"),
        ("scale=2;profile=sinc", UnknownNameError, "Available: bicubic, box, gaussian, kspace"),
        ("scale=2;profile=bicubc", UnknownNameError, "Did you mean 'bicubic'"),
        ("scale=2;profile=kspace,kspace", InvalidValueError, "one value or three"),
        ("scale=2;profile=kspace;taper=2", InvalidValueError, "between 0 and 1"),
        ("scale=2;taper=0.5", InvalidValueError, "kspace only"),
        ("scale=2;downscaling=bicubic", UnknownNameError, "key of a case"),
        ("scale=1,1,17;profile=bicubic", InvalidValueError, "between 1 and 16"),
        ("scale=1,1,2.5;profile=bicubic", InvalidValueError, "whole factors"),
        ("scale=2;scale=3", InvalidValueError, "twice"),
    ],
)
def test_case_that_makes_no_sense_is_refused(text, error, words):
    with pytest.raises(error, match=words):
        parse_case(text)


# --- degrading


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.is_measured])
def test_degrading_follows_the_profile(name):
    """Each coarse value, made again from the definition of the profile with plain loops over one line of voxels."""
    case, volume = CASES[name], a_volume()
    reference, measured, acquisition = degrade(volume, case)
    assert acquisition.coarse_shape == measured.array.shape
    lines = reference.array.astype(float)
    for axis, (factor, profile) in enumerate(zip(case.scale_xyz[::-1], case.profiles_xyz[::-1], strict=True)):
        if factor == 1:
            continue
        if profile.kind == "kspace":
            lines = encoded(lines, axis, factor, profile.taper)
            continue
        z = np.arange(lines.shape[axis])
        weights = []
        for i in range(lines.shape[axis] // int(factor)):
            centre = i * factor + (factor - 1) / 2
            if profile.kind == "box":
                w = np.where(abs(z - centre) < factor / 2, 1.0, 0.0)
            else:
                w = np.exp(-4 * np.log(2) * ((z - centre) / (profile.width * factor)) ** 2)
            weights.append(w / w.sum())
        lines = np.moveaxis(np.tensordot(np.array(weights), lines, (1, axis)), 0, axis)
    np.testing.assert_allclose(measured.array, lines, rtol=1e-4)


def encoded(lines, axis, factor, taper):
    """Cut off the outer part of a cosine transform, filter what is left, and transform it back to fewer samples."""
    spectrum = fft.dct(np.moveaxis(lines, axis, -1), norm="ortho")
    kept = spectrum.shape[-1] // factor
    outside = np.arange(kept) / kept - (1 - taper)
    shape = np.where(outside > 0, 0.5 + 0.5 * np.cos(np.pi * outside / (taper or 1)), 1)
    return np.moveaxis(fft.idct(spectrum[..., :kept] * shape, norm="ortho") / np.sqrt(factor), -1, axis)


def test_an_axis_that_stays_as_it_is_is_not_blurred():
    volume = a_volume()
    wide = (Profile("gaussian", 2.0), Profile("box", 3.0), Profile("gaussian"))
    np.testing.assert_array_equal(
        degrade(volume, Case("wide", (1, 1, 3), wide))[1].array, degrade(volume, CASES["z3"])[1].array
    )


def test_faces_of_both_grids_coincide():
    reference, measured, _ = degrade(a_volume(), CASES["iso2"])
    assert reference.geometry.size_xyz == (26, 28, 26)
    assert measured.geometry.size_xyz == (13, 14, 13)
    for corner in ([-0.5] * 3, np.array(measured.geometry.size_xyz) - 0.5):
        fine = np.array(corner) * 2 + 0.5
        np.testing.assert_allclose(measured.geometry.to_patient(corner), reference.geometry.to_patient(fine))


def test_what_was_measured_comes_without_a_word_of_how():
    known = Facts((Fact("encoding", "partition", "header", "z"), Fact("thickness_mm", 1.1, "header", "z")))
    reference, measured, _ = degrade(a_volume(facts=known), CASES["z6gap"])
    assert measured.facts == Facts()
    assert reference.facts == known
    assert measured.modality == "MR"


def test_factors_that_are_no_whole_numbers_meet_the_grid_again():
    reference, measured, _ = degrade(a_volume(), parse_case("scale=1,1,2.5"))
    assert (reference.geometry.size_xyz[2], measured.geometry.size_xyz[2]) == (25, 10)
    with pytest.raises(InvalidValueError, match="ratio of small whole numbers"):
        degrade(a_volume(), parse_case("scale=1,1,3.14159"))


def test_noise_is_drawn_real_channel_first():
    clean = degrade(a_volume(), CASES["z4"])[1].array.astype(float)
    noisy = degrade(a_volume(), replace(CASES["z4"], noise=0.02), seed=3)[1].array
    rng = np.random.default_rng(3)
    sigma = 0.02 * np.percentile(clean, 99)
    real = clean + rng.normal(0, sigma, clean.shape)
    np.testing.assert_allclose(noisy, np.hypot(real, rng.normal(0, sigma, clean.shape)), rtol=1e-4)


def test_volumes_that_fit_no_case_are_refused():
    with pytest.raises(InvalidValueError, match="too few"):
        degrade(a_volume(size_xyz=(20, 20, 3)), CASES["z4"])
    with pytest.raises(InvalidValueError, match="not to CT"):
        degrade(a_volume(modality="CT"), replace(CASES["z4"], noise=0.02))


def test_central_crop_keeps_voxels_where_they_are():
    volume = a_volume()
    cropped = central_crop(volume, (10, 99, 7))
    assert cropped.geometry.size_xyz == (10, 28, 7)
    np.testing.assert_array_equal(cropped.array, volume.array[10:17, :, 8:18])
    np.testing.assert_allclose(cropped.geometry.to_patient((0, 0, 0)), volume.geometry.to_patient((8, 0, 10)))
    with pytest.raises(InvalidValueError, match="three positive"):
        central_crop(volume, (10, 0, 7))


# --- running


def test_every_combination_gives_a_row(a_table):
    assert len(a_table) == 3 * 2 * 4
    assert a_table.cases == ["z4", "iso2"]
    assert [row.model for row in a_table.failures] == ["broken"] * 6
    assert {row.error for row in a_table.failures} == {"RuntimeError: out of memory"}
    good = a_table.select(model="deconvolved")
    assert len(good) == 6
    assert all(row.model_used == "deconvolved-1.0" and row.seconds >= 0 for row in good)


def test_models_rank_as_physics_says(a_table):
    figures = means(a_table, "psnr")
    for case in a_table.cases:
        assert figures[case, "nearest"] < figures[case, "deconvolved"] <= figures[case, ORACLE] + 1e-6
    unexplained = means(a_table, "redegraded")
    assert unexplained["z4", "deconvolved"] < 0.01 < unexplained["z4", "nearest"]


def test_a_run_can_be_repeated():
    def figures():
        table = evaluate({"a": a_volume()}, ["nearest"], ["z3"], noise=0.02, seed=7, enlarge=Enlarger())
        return [replace(row, seconds=None, peak_mb=None) for row in table]

    assert figures() == figures()


def test_models_are_told_the_profile_and_nothing_of_the_truth():
    enlarger = Enlarger()
    evaluate({"a": a_volume()}, ["nearest"], ["z6gap", "x3", "z5box", "k2", "bicubic2"], enlarge=enlarger)
    gap, x3, box, encoded, resized = enlarger.told
    assert gap.scale == (1, 1, 6)
    assert (gap.slice_axis, gap.slice_thickness) == ("z", pytest.approx(5.5))
    assert (gap.profile, gap.dtype, gap.modality, gap.model) == ("auto", "float32", "MR", "nearest")
    assert (x3.slice_axis, x3.slice_thickness) == ("x", pytest.approx(2.7))
    # Headers state a thickness, not the shape of the profile, and nothing of what has no slices.
    assert (box.profile, box.slice_thickness) == ("auto", pytest.approx(5.5))
    for options in (encoded, resized):
        assert (options.profile, options.slice_axis, options.slice_thickness) == ("auto", "auto", None)


def test_models_can_be_told_every_profile():
    enlarger = Enlarger()
    cases = ["z6gap", "kf2", "scale=1,2,4;profile=gaussian,kspace,box;width=1,2.5,4", "bicubic2"]
    table = evaluate({"a": a_volume()}, ["nearest"], cases, told="profile", enlarge=enlarger)
    assert table.cases[0] == "z6gap told profile"
    gap, filtered, mixed, resized = (options.profiles_xyz for options in enlarger.told)
    # Spacing 0.9, 0.8, 1.1 mm; widths are those of the case in mm.
    assert gap[2] == StatedProfile("gaussian", pytest.approx(5 * 1.1))
    assert [stated.width_mm for stated in filtered] == pytest.approx([1.8, 1.6, 2.2])
    assert [(stated.kind, stated.taper) for stated in filtered] == [("kspace", 0.5)] * 3
    assert [(stated.kind, stated.width_mm) for stated in mixed[1:]] == [
        ("kspace", pytest.approx(2.0)),
        ("box", pytest.approx(4.4)),
    ]
    assert resized == (StatedProfile(),) * 3
    assert all(options.slice_thickness is None for options in enlarger.told)


def test_models_can_be_told_nothing():
    enlarger = Enlarger()
    table = evaluate({"a": a_volume()}, ["nearest"], ["z6gap", "k2"], told="nothing", enlarge=enlarger)
    assert table.cases == ["z6gap told nothing", "k2 told nothing"]
    for options in enlarger.told:
        assert (options.profile, options.slice_axis, options.slice_thickness) == ("auto", "auto", None)
    with pytest.raises(UnknownNameError, match="nothing, profile, thickness"):
        evaluate({"a": a_volume()}, ["nearest"], ["z4"], told="all", enlarge=enlarger)


@pytest.mark.parametrize("factor", [1.25, 1 / 1.25])
def test_the_width_can_be_misstated(factor):
    enlarger = Enlarger()
    table = evaluate({"a": a_volume()}, ["nearest"], ["z4"], misstate=factor, enlarge=enlarger)
    assert enlarger.told[0].slice_thickness == pytest.approx(4.4 * factor)
    assert table.cases == [f"z4 width told x{factor:.3g}"]
    evaluate({"a": a_volume()}, ["nearest"], ["z4"], misstate=factor, told="profile", enlarge=enlarger)
    assert enlarger.told[1].profiles_xyz[2].width_mm == pytest.approx(4.4 * factor)


def test_a_result_on_another_grid_is_an_error_not_a_figure():
    table = evaluate({"a": a_volume()}, ["shifted", "nan"], ["z4"], enlarge=Enlarger())
    shifted, nan = table.rows
    assert "cannot be judged" in shifted.error
    assert shifted.psnr is None
    assert "NaN" in nan.error


def test_a_volume_too_small_for_a_case_fails_for_that_case_only():
    table = evaluate({"a": a_volume(size_xyz=(24, 24, 5))}, ["nearest"], ["z6gap", "z4"], enlarge=Enlarger())
    assert ["too few" in row.error for row in table] == [True, False]


def test_cancel_reaches_into_an_enlargement():
    enlarger = Enlarger()
    asked = iter([False, False, True, True])  # stage, model, then inside the enlargement
    with pytest.raises(CancelledError):
        evaluate(
            {"a": a_volume()}, ["nearest"], ["z4"], progress=Progress(cancelled=lambda: next(asked)), enlarge=enlarger
        )
    assert enlarger.told == []


def test_cancel_stops_the_run():
    with pytest.raises(CancelledError):
        evaluate({"a": a_volume()}, ["nearest"], ["z4"], progress=Progress(cancelled=lambda: True), enlarge=Enlarger())


@pytest.mark.parametrize("arguments", [({}, ["nearest"], ["z4"]), ({"a": None}, [], ["z4"]), ({"a": None}, ["m"], [])])
def test_nothing_to_do_is_refused(arguments):
    with pytest.raises(InvalidValueError, match="at least one"):
        evaluate(*arguments, enlarge=Enlarger())


def test_the_oracle_takes_the_best_weight():
    reference, measured, acquisition = degrade(a_volume(), replace(CASES["z4"], noise=0.1))
    result, weight = tikhonov_oracle(measured.array, acquisition, reference.array)
    tried = {s: psnr(acquisition.tikhonov(measured.array, s), reference.array) for s in ORACLE_SMOOTHNESS}
    assert psnr(result, reference.array) == pytest.approx(max(tried.values()))
    assert weight == max(tried, key=tried.get)
    quiet = tikhonov_oracle(*(lambda r, m, a: (m.array, a, r.array))(*degrade(a_volume(), CASES["z4"])))[1]
    assert quiet < weight
    assert (min(ORACLE_SMOOTHNESS), max(ORACLE_SMOOTHNESS)) == (pytest.approx(1e-4), pytest.approx(1))


def test_evaluation_loads_no_torch():
    code = (
        "import sys, medsr.demo, medsr.evaluation.run, medsr.evaluation.page;"
        "sys.exit(any(m in sys.modules for m in ('torch', 'matplotlib', 'skimage', 'medsr.inference.pipeline')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- statistics


def rows_of(model, *values, case="z4", metric="psnr"):
    return tuple(Row(f"v{i}", case, model, **{metric: value}) for i, value in enumerate(values))


def test_gain_is_paired_by_volume():
    table = EvaluationTable(rows_of("ours", 30.0, 40.0, 50.0) + rows_of("bspline", 29.0, 38.0, 47.0))
    found = gain(table, "psnr", "ours", "bspline")
    assert found.mean == pytest.approx(2)
    assert found.volumes == 3
    assert 1 <= found.low < 2 < found.high <= 3
    assert found.is_certain


def test_low_figures_gain_where_low_is_good():
    table = EvaluationTable(rows_of("ours", 0.2, 0.3, metric="hfen") + rows_of("bspline", 0.4, 0.6, metric="hfen"))
    assert gain(table, "hfen", "ours", "bspline").mean == pytest.approx(0.25)
    assert METRICS["bias"].gain(-1.0, 3.0) == 2


def test_interval_holds_zero_where_models_are_alike():
    noise = np.random.default_rng(0).normal(size=12)
    noise -= noise.mean()
    table = EvaluationTable(rows_of("ours", *(30 + noise)) + rows_of("bspline", *([30.0] * 12)))
    found = gain(table, "psnr", "ours", "bspline")
    assert found.low < 0 < found.high
    assert not found.is_certain


def test_interval_is_that_of_the_mean():
    values = np.random.default_rng(1).normal(1, 0.5, 40)
    table = EvaluationTable(rows_of("ours", *(30 + values)) + rows_of("bspline", *([30.0] * 40)))
    found = gain(table, "psnr", "ours", "bspline")
    half = 1.96 * values.std() / np.sqrt(40)
    assert found.low == pytest.approx(values.mean() - half, abs=0.03)
    assert found.high == pytest.approx(values.mean() + half, abs=0.03)


def test_interval_does_not_depend_on_the_order_of_rows():
    rows = rows_of("ours", 30.0, 41.0, 50.0) + rows_of("bspline", 29.0, 38.0, 49.5)
    assert gain(EvaluationTable(rows), "psnr", "ours", "bspline") == gain(
        EvaluationTable(rows[::-1]), "psnr", "ours", "bspline"
    )


def test_one_volume_has_no_interval():
    found = gain(EvaluationTable(rows_of("ours", 31.0) + rows_of("bspline", 30.0)), "psnr", "ours", "bspline")
    assert (found.mean, found.low, found.high) == (1, None, None)
    assert not found.is_certain


def test_volumes_that_failed_for_one_model_do_not_count():
    failed = Row("v1", "z4", "ours", error="no")
    table = EvaluationTable((*rows_of("ours", 31.0), failed, *rows_of("bspline", 30.0, 10.0)))
    assert gain(table, "psnr", "ours", "bspline").mean == 1
    assert means(table, "psnr") == {("z4", "ours"): 31, ("z4", "bspline"): 20}
    assert gain(table, "psnr", "ours", "absent") is None


def test_cases_of_one_volume_are_one_subject():
    rows = rows_of("ours", 31.0, 32.0) + rows_of("bspline", 30.0, 30.0)
    rows += rows_of("ours", 33.0, 34.0, case="iso2") + rows_of("bspline", 30.0, 30.0, case="iso2")
    found = gain(EvaluationTable(rows), "psnr", "ours", "bspline")
    assert (found.mean, found.volumes) == (2.5, 2)


def test_unknown_metric_is_refused():
    with pytest.raises(UnknownNameError, match="psnr"):
        gain(EvaluationTable(), "psnrr", "a", "b")
    with pytest.raises(UnknownNameError):
        Row("v", "c", "m").value("model")


# --- tables


def test_csv_has_a_line_per_row(a_table):
    lines = list(csv.DictReader(io.StringIO(to_csv(a_table))))
    assert len(lines) == len(a_table)
    assert float(lines[0]["psnr"]) == pytest.approx(a_table.rows[0].psnr, rel=1e-5)
    assert lines[3]["error"] == "RuntimeError: out of memory"
    assert lines[3]["psnr"] == ""


def test_json_can_be_read_again(a_table):
    again = from_json(to_json(a_table))
    assert [(r.volume, r.case, r.model, r.error) for r in again] == [
        (r.volume, r.case, r.model, r.error) for r in a_table
    ]
    assert again.rows[0].psnr == pytest.approx(a_table.rows[0].psnr, rel=1e-5)


def test_json_says_what_made_it_and_no_date_unless_asked(a_table):
    data = json.loads(to_json(a_table))
    assert data["schema"] == "medsr-evaluation/1"
    assert {"numpy", "SimpleITK"} <= set(data["versions"])
    assert "date" not in data
    assert json.loads(to_json(a_table, date="2026-01-31"))["date"] == "2026-01-31"


def test_a_perfect_result_is_valid_json():
    text = to_json(EvaluationTable(rows_of("ours", float("inf"))))
    assert from_json(text).rows[0].psnr is None


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": "other/1", "rows": []}', '{"schema": "medsr-evaluation/1"}']
)
def test_other_json_is_refused(text):
    with pytest.raises(InputError):
        from_json(text)


def test_markdown_shows_means_gains_and_every_row(a_table):
    bspline = EvaluationTable(tuple(replace(r, model="bspline") for r in a_table.select(model="nearest")))
    text = to_markdown(a_table + bspline)
    header = next(line for line in text.splitlines() if line.startswith("| case"))
    assert "gain over bspline" in header
    assert f"gain over {ORACLE}" in header
    line = next(line for line in text.splitlines() if line.startswith("| z4 | deconvolved"))
    assert re.search(r"\+\d+\.\d\d \[\+\d+\.\d\d, \+\d+\.\d\d\]", line)
    assert "| z4 | broken | 0 (3 failed) |" in text
    assert text.count("RuntimeError: out of memory") == 6
    assert {line.count("|") for line in text.splitlines() if line.startswith("| z4")} == {header.count("|")}


# --- pictures


def test_png_is_read_back_by_another_reader(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (7, 5), dtype=np.uint8)
    (tmp_path / "grey.png").write_bytes(png.grey_png(grey))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "grey.png"))), grey)
    palette = png.difference_palette()
    numbers = png.difference_indices(np.array([[-9.0, 0.0, 1.0, 9.0]]), limit=2)
    (tmp_path / "colour.png").write_bytes(png.palette_png(numbers, palette))
    colours = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "colour.png")))
    np.testing.assert_array_equal(colours.reshape(-1, 3), palette[numbers[0]])


def test_difference_colours_are_symmetric_about_black():
    palette = png.difference_palette().astype(int)
    assert palette[png.DIFFERENCE_STEPS].tolist() == [0, 0, 0]
    assert png.difference_indices([[-1.0, 0.0, 1.0]], 1).tolist() == [[0, 127, 254]]
    cold, warm = palette[40], palette[254 - 40]
    assert cold[2] > cold[0]
    assert warm[0] > warm[2]


def a_labelled_volume(direction):
    """One bright voxel each at the patient's right, front and head end of a grid with `direction`."""
    geometry = Geometry((9, 9, 9), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), direction)
    centre = geometry.to_patient((4, 4, 4))
    array = np.zeros((9, 9, 9), np.float32)
    array[4, 4, 4] = 1
    for value, towards in ((2, (-4, 0, 0)), (3, (0, -4, 0)), (4, (0, 0, 4))):  # LPS: right, anterior, superior
        x, y, z = np.rint(geometry.to_index(centre + np.array(towards, float))).astype(int)
        array[z, y, x] = value
    return Volume(array, geometry)


@pytest.mark.parametrize(
    "direction",
    [
        (1, 0, 0, 0, 1, 0, 0, 0, 1),
        (-1, 0, 0, 0, -1, 0, 0, 0, 1),
        (0, 0, 1, 1, 0, 0, 0, -1, 0),  # sagittal acquisition
        (0, -1, 0, 0, 0, 1, -1, 0, 0),
        (0.995, -0.0998, 0, 0.0998, 0.995, 0, 0, 0, -1),  # tilted by 6 degrees
    ],
)
def test_pictures_are_turned_as_radiologists_expect(direction):
    volume = a_labelled_volume(tuple(map(float, direction)))
    pictures = {p.name: p.cut(volume.array, 0.5) for p in planes.planes_of(volume)}
    axial, coronal, sagittal = pictures["axial"], pictures["coronal"], pictures["sagittal"]
    assert (axial[4, 0], axial[0, 4]) == (2, 3)  # right on the left, front on top
    assert (coronal[4, 0], coronal[0, 4]) == (2, 4)
    assert (sagittal[4, 0], sagittal[0, 4]) == (3, 4)
    letters = {p.name: "".join(p.letters) for p in planes.planes_of(volume)}
    assert letters == {"axial": "ALPR", "coronal": "SLIR", "sagittal": "SPIA"}


def test_no_letters_where_the_orientation_is_unknown():
    plain = planes.planes_of(Volume.from_array(np.arange(60.0).reshape(3, 4, 5)))
    assert [p.name for p in plain] == ["x-y", "x-z", "y-z"]
    assert all(p.letters == () for p in plain)
    photo = planes.planes_of(Volume.from_array(np.eye(6)))
    assert [p.name for p in photo] == ["x-y"]


def test_pictures_have_the_size_of_the_patient_not_of_the_grid():
    volume = a_volume(size_xyz=(26, 28, 7), spacing=(0.9, 0.8, 5.0))
    by_name = {p.name: p for p in planes.planes_of(volume)}
    # The grid's x axis runs along the patient's y.
    assert by_name["axial"].size_mm == pytest.approx((26 * 0.9, 28 * 0.8))
    assert by_name["sagittal"].size_mm == pytest.approx((7 * 5.0, 26 * 0.9))


def test_the_patch_is_where_the_edges_are():
    picture = np.zeros((50, 60), np.float32)
    picture[30:40, 12:20] = np.random.default_rng(0).random((10, 8))
    row, column, height, width = planes.richest_patch(picture, (14, 12))
    assert (height, width) == (14, 12)
    assert row <= 30 <= 40 <= row + height
    assert column <= 12 <= 20 <= column + width


@pytest.mark.parametrize(("values", "expected"), [(-800.0, (-1350, 150)), (40.0, (-160, 240))])
def test_ct_is_shown_in_a_window_of_its_content(values, expected):
    array = np.full((6, 6, 6), -1000.0, np.float32)
    array[1:5, 1:5, 1:5] = values
    assert plates.choose_window(Volume.from_array(array).replace(modality="CT")) == expected


@pytest.fixture(scope="module")
def a_page():
    made = []
    volumes = {"head <1>": a_volume(0), "head 2": a_volume(1)}
    table = evaluate(
        volumes, ["nearest", "deconvolved", "broken"], ["z4"], enlarge=Enlarger(),
        watch=lambda trial: made.append(plates.make_plate(trial)),
    )  # fmt: skip
    source = Source("Heads", "made up & free", "https://example.org")
    return render_page(table, made, title="A <test>", introduction=["Words."], sources=[source], baseline="nearest")


class Reader(HTMLParser):
    """Collects elements and notes tags that are not closed in order."""

    VOID = frozenset(("meta", "img", "line", "rect", "path", "br"))

    def __init__(self):
        super().__init__()
        self.open, self.faults, self.elements = [], [], []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)


def test_page_is_well_formed_and_loads_nothing(a_page):
    reader = Reader()
    reader.feed(a_page)
    assert reader.faults == []
    assert reader.open == []
    loaded = [a.get("src") or a.get("href") for t, a in reader.elements if t in ("img", "script", "link", "iframe")]
    assert [uri for uri in loaded if uri and not uri.startswith("data:")] == []
    assert "@import" not in a_page
    assert "url(" not in a_page


def test_page_shows_every_column_in_every_plane(a_page):
    reader = Reader()
    reader.feed(a_page)
    pictures = [a["alt"] for t, a in reader.elements if t == "img" and "picture" in a.get("class", "")]
    # Two volumes x four lines (three planes and a patch) x (four columns + three difference maps).
    assert len(pictures) == 2 * 4 * (4 + 3)
    assert pictures.count("deconvolved, sagittal, difference") == 2


def test_page_states_what_a_reader_must_know(a_page):
    assert "not for clinical decisions" in a_page
    assert "head &lt;1&gt;" in a_page
    assert "<test>" not in a_page
    assert "broken failed: RuntimeError: out of memory" in a_page
    assert "full colour at" in a_page
    assert "Window " in a_page
    assert "made up &amp; free" in a_page
    assert "Mean over 2 volumes" in a_page


def test_page_leaves_pictures_out_rather_than_grow_without_bound(monkeypatch):
    made = []
    table = evaluate(
        {"a": a_volume()},
        ["nearest"],
        ["z4", "z3"],
        enlarge=Enlarger(),
        watch=lambda t: made.append(plates.make_plate(t)),
    )
    monkeypatch.setattr("medsr.evaluation.page.MAX_BYTES", made[0].bytes + 1)
    assert "1 more sets of pictures are left out" in render_page(table, made)


def test_large_slices_are_shown_smaller():
    volume = Volume.from_array(np.random.default_rng(0).random((8, 700, 400)).astype(np.float32))
    made = []
    evaluate(
        {"a": volume},
        ["nearest"],
        ["scale=1,2,1"],
        enlarge=Enlarger(),
        watch=lambda t: made.append(plates.make_plate(t)),
    )
    assert made[0].bytes < 1_500_000


def test_chart_without_anything_to_compare_is_empty():
    assert gain_chart(EvaluationTable(rows_of("bspline", 30.0)), "psnr", "bspline") == ""
    assert "<svg" in gain_chart(EvaluationTable(rows_of("bspline", 30.0) + rows_of("ours", 30.0)), "psnr", "bspline")


def test_cases_can_be_made_in_code():
    case = Case("mine", (1, 1, 2))
    assert evaluate({"a": a_volume()}, ["nearest"], [case], enlarge=Enlarger()).cases == ["mine"]
