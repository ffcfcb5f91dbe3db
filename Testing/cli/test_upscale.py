"""``medsr upscale``: what it writes and says, progress, and being stopped."""

import io
import json
import os
import signal
import sys
import time

import numpy as np
import pytest
import SimpleITK as sitk

from medsr.cli.console import BarView, LinesView, View, open_view, seconds_text
from medsr.jobs import ProgressEvent, ResultEvent, StageEvent, WarningEvent, parse_event

TIKHONOV = ("--model", "tikhonov")


def test_upscale_writes_the_result_and_says_what_it_did(medsr, a_volume, tmp_path):
    output, report = tmp_path / "out.nrrd", tmp_path / "report.json"
    ended = medsr("upscale", a_volume(), output, *TIKHONOV, "--report", report)
    assert ended.code == 0
    assert sitk.ReadImage(str(output)).GetSize() == (24, 20, 36)
    assert "Size      24 x 20 x 12 -> 24 x 20 x 36 voxels" in ended.out
    assert "Spacing   1 x 1 x 3 -> 1 x 1 x 1 mm" in ended.out
    assert "Model: tikhonov, as asked." in ended.out
    assert "Residual" in ended.out
    assert str(output) in ended.out
    assert str(report) in ended.out
    data = json.loads(report.read_text())
    assert data["model"] == "tikhonov"
    assert data["output"]["size_xyz"] == [24, 20, 36]


@pytest.mark.parametrize(
    ("arguments", "size", "spacing"),
    [
        ([], (24, 20, 36), (1, 1, 1)),
        (["--scale", "2"], (48, 40, 24), (0.5, 0.5, 1.5)),
        (["--scale", "1,1,4"], (24, 20, 48), (1, 1, 0.75)),
        (["--scale", "1x1x1.5"], (24, 20, 18), (1, 1, 2)),
        (["--spacing", "0.5,1,1"], (48, 20, 36), (0.5, 1, 1)),
        (["--isotropic"], (24, 20, 36), (1, 1, 1)),
    ],
)
def test_targets_become_grids(medsr, a_volume, tmp_path, arguments, size, spacing):
    assert medsr("upscale", a_volume(), tmp_path / "out.nii.gz", *TIKHONOV, *arguments).code == 0
    image = sitk.ReadImage(str(tmp_path / "out.nii.gz"))
    assert image.GetSize() == size
    assert image.GetSpacing() == pytest.approx(spacing)
    assert image.GetPixelID() == sitk.sitkInt16


def test_a_reference_gives_its_grid(medsr, a_volume, tmp_path):
    reference = a_volume("reference.nrrd", spacing=(0.5, 0.5, 1.0), size_xyz=(40, 36, 30))
    assert medsr("upscale", a_volume(), tmp_path / "out.nrrd", *TIKHONOV, "--reference", reference).code == 0
    assert sitk.ReadImage(str(tmp_path / "out.nrrd")).GetSize() == (40, 36, 30)


def test_options_reach_the_library(medsr, a_volume, tmp_path):
    report = tmp_path / "report.json"
    arguments = ["--slice-thickness", "2.4", "--profile", "box", "--dtype", "float32", "--modality", "CT"]
    ended = medsr("upscale", a_volume(), tmp_path / "out.nrrd", *TIKHONOV, *arguments, "--report", report)
    assert ended.code == 0
    data = json.loads(report.read_text())
    z = data["acquisition"][2]
    assert (z["axis"], z["profile"], z["width_mm"], z["source"]) == ("z", "box", pytest.approx(2.4), "option")
    assert data["modality"] == "CT"
    assert sitk.ReadImage(str(tmp_path / "out.nrrd")).GetPixelID() == sitk.sitkFloat32


def test_every_axis_may_have_a_profile_of_its_own(medsr, a_volume, tmp_path):
    report = tmp_path / "report.json"
    arguments = ["--profile", "kspace:1.2:0.5,kspace,gaussian:2.7", "--modality", "MR", "--report", report]
    assert medsr("upscale", a_volume(), tmp_path / "out.nrrd", *TIKHONOV, *arguments).code == 0
    told = [
        [axis[key] for key in ("profile", "taper", "assumed")] for axis in json.loads(report.read_text())["acquisition"]
    ]
    assert told == [["kspace", 0.5, False], ["kspace", 0.0, False], ["gaussian", 0.0, False]]
    ended = medsr("upscale", a_volume(), tmp_path / "out2.nrrd", *TIKHONOV, "--profile", "kspace,kspace")
    assert ended.code == 2
    assert "one profile or three" in ended.err


def test_maps_are_written(medsr, a_volume, tmp_path):
    difference, residual = tmp_path / "difference.nrrd", tmp_path / "residual.nrrd"
    arguments = ["--map", f"difference={difference}", "--map", f"residual={residual}"]
    ended = medsr("upscale", a_volume(), tmp_path / "out.nrrd", *TIKHONOV, *arguments)
    assert ended.code == 0
    assert sitk.ReadImage(str(difference)).GetSize() == (24, 20, 36)
    assert sitk.ReadImage(str(residual)).GetSize() == (24, 20, 12)
    assert str(residual) in ended.out


@pytest.mark.parametrize("colours", [0, 3])
def test_a_picture_is_enlarged(medsr, tmp_path, colours):
    shape = (20, 24, colours) if colours else (20, 24)
    array = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=bool(colours)), str(tmp_path / "in.png"))
    ended = medsr("upscale", tmp_path / "in.png", tmp_path / "out.png", *TIKHONOV)
    assert ended.code == 0
    image = sitk.ReadImage(str(tmp_path / "out.png"))
    assert image.GetSize() == (48, 40)
    assert image.GetNumberOfComponentsPerPixel() == (colours or 1)


def test_warnings_are_told(medsr, a_volume, tmp_path):
    ended = medsr("upscale", a_volume(), tmp_path / "out.nrrd", *TIKHONOV, "--slice-thickness", "40")
    assert ended.code == 0
    assert "medsr: warning: A width of 40 mm along z is implausible" in ended.err
    ended = medsr("upscale", a_volume(), tmp_path / "out2.nrrd", *TIKHONOV, "--slice-thickness", "3")
    assert "warning" not in ended.err


def test_json_progress_is_events_only_and_ends_with_the_result(medsr_process, a_volume, tmp_path):
    output = tmp_path / "out.nrrd"
    process = medsr_process("upscale", a_volume(), output, *TIKHONOV, "--progress", "json")
    out, err = process.communicate(timeout=300)
    events = [parse_event(line) for line in out.splitlines()]
    assert process.returncode == 0
    assert err == ""
    assert {type(event) for event in events} == {StageEvent, ProgressEvent, ResultEvent}
    fractions = [event.fraction for event in events if isinstance(event, ProgressEvent)]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert events[-1].output == str(output)
    assert output.exists()


@pytest.mark.parametrize("arguments", [["--scale", "9"], ["--model", "tikhonof"]])
def test_json_progress_ends_with_the_error(medsr, a_volume, tmp_path, arguments):
    ended = medsr("upscale", a_volume(), tmp_path / "out.nrrd", "--progress", "json", *arguments)
    last = parse_event(ended.out.splitlines()[-1])
    assert ended.code == last.exit_code == 2
    assert f"medsr: error: {last.message}\n" == ended.err


def test_no_progress_shows_nothing_but_the_summary(medsr, a_volume, tmp_path):
    quiet = medsr("upscale", a_volume(), tmp_path / "out.nrrd", *TIKHONOV, "--progress", "none")
    assert "Enlarging" not in quiet.err
    assert "Written" in quiet.out
    loud = medsr("upscale", a_volume(), tmp_path / "out2.nrrd", *TIKHONOV)
    assert "Enlarging with tikhonov ..." in loud.err


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_a_bar_and_a_file_gets_lines(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with open_view("auto") as view:
        assert isinstance(view, BarView)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with open_view("auto") as view:
        assert isinstance(view, LinesView)
    with open_view("none") as view:
        assert type(view) is View


def test_the_bar_is_one_line_with_stage_percent_and_time_left(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with open_view("bar") as view:
        view(StageEvent("Enlarging"))
        view._last = 0
        view(ProgressEvent(0.5, 75))
        drawn = screen.getvalue()
        assert "\n" not in drawn
        assert drawn.endswith("[############------------]  50 %  1 min 15 s left  Enlarging")
        view(WarningEvent("Mind the gap."))
    last = screen.getvalue()[len(drawn) :]
    width = len(drawn.rpartition("\r")[2])
    assert last == "\r" + " " * width + "\rmedsr: warning: Mind the gap.\n"


def test_the_bar_fits_a_narrow_terminal(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "40")
    with open_view("bar") as view:
        view(StageEvent("A stage with a name that is longer than the line"))
        assert len(screen.getvalue().rpartition("\r")[2]) == 39


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.42, "0.4 s"), (12.3, "12 s"), (59.7, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")],
)
def test_seconds_are_told_for_people(seconds, text):
    assert seconds_text(seconds) == text


def start_long_job(medsr_process, a_volume, output):
    """A job of many seconds that has begun to enlarge."""
    source = a_volume("large.nrrd", size_xyz=(64, 64, 64), spacing=(1.0, 1.0, 1.0))
    process = medsr_process("upscale", source, output, "--model", "lanczos", "--scale", "4,4,8", "--progress", "json")
    for line in process.stdout:
        if "Enlarging" in line:
            return process
    raise AssertionError(process.stderr.read())


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_leaves_nothing_behind(medsr_process, a_volume, tmp_path, number, code):
    output = tmp_path / "results" / "out.nii.gz"
    output.parent.mkdir()
    process = start_long_job(medsr_process, a_volume, output)
    time.sleep(0.2)
    process.send_signal(number)
    out, err = process.communicate(timeout=300)
    assert process.returncode == code
    assert err == "medsr: error: Stopped; nothing was written.\n"
    assert parse_event(out.splitlines()[-1]).error == "CancelledError"
    assert list(output.parent.iterdir()) == []


def test_a_reader_of_events_that_leaves_ends_the_job(medsr_process, a_volume, tmp_path):
    output = tmp_path / "results" / "out.nii.gz"
    output.parent.mkdir()
    process = start_long_job(medsr_process, a_volume, output)
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=300)
    assert process.returncode == 141
    assert "Traceback" not in err
    assert list(output.parent.iterdir()) == []


# ---------------------------------------------------------------- networks with a factor of their own


@pytest.fixture
def a_gan(tmp_path):
    """The bundle of a tiny untrained network of the family "gan", outside of the catalog."""
    torch = pytest.importorskip("torch")
    from medsr.models.registry import build_network
    from medsr.training.bundling import bundle_from_training
    from medsr.training.recipe import Recipe

    options = {"features": 4, "blocks": 1, "global_residual": True}
    network = ["network.architecture=srresnet", "network.spatial_dims=2", f"network.options={json.dumps(options)}"]
    recipe = Recipe("tiny-gan").override(["family=gan", *network])
    folder = tmp_path / "run"
    (folder / "log").mkdir(parents=True)
    torch.manual_seed(0)
    torch.save(build_network("srresnet", 2, options).state_dict(), folder / "weights.pt")
    return bundle_from_training(folder, recipe)


@pytest.mark.network
def test_what_a_training_left_enlarges_by_its_own_factor_and_is_marked(medsr, a_volume, a_gan, tmp_path):
    output, report = tmp_path / "out.nrrd", tmp_path / "report.json"
    ended = medsr("upscale", a_volume(), output, "--model", a_gan, "--report", report)
    assert ended.code == 0, ended.err
    assert sitk.ReadImage(str(output)).GetSize() == (96, 80, 12)
    assert "Target: 4 times as fine in plane (x, y), the factor of tiny-gan." in ended.out
    assert "Caution   perceptual: may invent detail" in ended.out
    assert "perceptual: may invent detail" in ended.err
    assert "Unseen    93.8 % of the values" in ended.out
    assert json.loads(report.read_text())["perceptual"] is True
    assert "perceptual: may invent detail" in medsr("info", output).out


@pytest.mark.network
def test_models_tells_of_a_bundle_folder(medsr, a_gan):
    told = medsr("models", a_gan).out
    assert "perceptual: may invent detail" in told
    assert "4 of its own, in plane" in told
    assert "bicubic downscaling" in told
    ended = medsr("models", a_gan.parent)
    assert ended.code == 5
    assert "is no bundle" in ended.err


def test_interpolation_bears_no_mark(medsr, a_volume, tmp_path):
    ended = medsr("upscale", a_volume(), tmp_path / "out.nrrd", "--scale", "2", "--model", "bspline")
    assert "perceptual" not in ended.out + ended.err
    assert "Unseen    87.5 % of the values" in ended.out
    assert "MedSR" in medsr("info", tmp_path / "out.nrrd").out
