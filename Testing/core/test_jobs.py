"""The job contract and the worker process that speaks it."""

import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import medsr
from medsr.errors import CancelledError, InputError, InvalidValueError, OutputError, UnknownNameError
from medsr.facts import Fact, Facts
from medsr.files import upscale_file
from medsr.jobs import ErrorEvent, JobSpec, Progress, ProgressEvent, ResultEvent, StageEvent, WarningEvent, parse_event
from medsr.options import UpscaleOptions
from medsr.volume import Volume
from medsr.worker import Worker


@pytest.fixture
def image_file(tmp_path):
    array = (np.random.default_rng(0).random((10, 24, 20)) * 1000).astype(np.int16)
    path = tmp_path / "in.nrrd"
    medsr.write_volume(Volume.from_array(array, np.diag([1, 1, 3, 1.0])), path)
    return path


def job(image_file, **changes):
    output = image_file.with_name("out.nrrd")
    return JobSpec(
        **{"input": str(image_file), "output": str(output), "options": UpscaleOptions(model="tikhonov"), **changes}
    )


def serve(lines):
    """Exit code and events of a worker whose input is closed when it has answered every line."""
    sink = io.StringIO()

    def source():
        yield from (line + "\n" for line in lines)
        until = time.monotonic() + 300
        while len(re.findall(r'^{"kind": "(?:result|error)"', sink.getvalue(), re.MULTILINE)) < len(lines):
            assert time.monotonic() < until
            time.sleep(0.005)

    code = Worker(source(), sink).serve()
    return code, [parse_event(line) for line in sink.getvalue().splitlines()]


@pytest.mark.parametrize(
    "event",
    [
        StageEvent("Reading"),
        ProgressEvent(0.5, 3.0),
        WarningEvent("uneven"),
        ResultEvent("out.nrrd", {"model": "linear"}),
        ErrorEvent("no", "InputError", 3),
    ],
)
def test_events_survive_json(event):
    assert parse_event(event.to_json()) == event


def test_lines_that_are_no_events_are_refused():
    for line in ("", "hello", "{}", "[1]"):
        with pytest.raises(InputError):
            parse_event(line)
    with pytest.raises(UnknownNameError, match="Did you mean 'stage'"):
        parse_event('{"kind": "stag"}')


def test_jobs_survive_json():
    spec = JobSpec("a", "b", UpscaleOptions(scale=(1, 1, 4)), overwrite=True, maps={"difference": "d.nrrd"})
    assert JobSpec.from_json(spec.to_json()) == spec
    for text in ("nonsense", "[]", '{"input": "a"}', '{"input": "a", "output": "b", "more": 1}'):
        with pytest.raises(InputError):
            JobSpec.from_json(text)


def test_jobs_carry_what_is_known_beside_the_input():
    known = Facts((Fact("thickness_mm", 4, "Slicer", "z"), Fact("modality", "CT", "Slicer")))
    spec = JobSpec("a", "b", facts=known, warnings=("Uneven slices.",))
    assert JobSpec.from_json(spec.to_json()) == spec
    for wrong in ('{"facts": [1]}', '{"facts": [{"name": "modality"}]}', '{"warnings": 3}'):
        with pytest.raises(InputError):
            JobSpec.from_json('{"input": "a", "output": "b", ' + wrong[1:])


def test_what_is_known_beside_the_input_counts_as_if_the_input_said_it(image_file):
    """Intensities from 0 would be taken for MR, the spacing of 3 mm for the thickness."""
    known = Facts((Fact("thickness_mm", 4, "Slicer", "z"), Fact("modality", "CT", "Slicer")))
    events = []
    report = upscale_file(job(image_file, facts=known, warnings=("Uneven.",)), Progress(events.append)).report
    assert report["modality"] == "CT"
    across = report["acquisition"][2]
    assert (across["width_mm"], across["source"]) == (pytest.approx(0.9 * 4), "Slicer")
    assert [told["text"] for told in report["warnings"]] == ["Uneven."]
    assert [event.message for event in events if isinstance(event, WarningEvent)] == ["Uneven."]


def test_progress_estimates_time_left_and_cancels():
    events = []
    before = time.monotonic()
    progress = Progress(events.append)
    time.sleep(0.02)
    progress.section(0.5, 1.0)(0.5)
    assert events[-1].fraction == 0.75
    # A third of what it took until here.
    assert 0.02 / 3 < events[-1].seconds_left <= (time.monotonic() - before) / 3
    with pytest.raises(CancelledError):
        Progress(events.append, lambda: True).at(0.1)


def test_worker_does_jobs_one_after_the_other(image_file):
    second = job(image_file, output=str(image_file.with_name("second.nrrd")))
    code, events = serve([job(image_file).to_json(), second.to_json()])
    assert code == 0
    results = [e for e in events if isinstance(e, ResultEvent)]
    assert [e.output for e in results] == [job(image_file).output, second.output]
    assert medsr.read_volume(results[0].output).array.shape == (30, 24, 20)
    assert results[0].report["model"] == "tikhonov"
    fractions = [e.fraction for e in events if isinstance(e, ProgressEvent)]
    assert fractions and max(fractions) == 1.0


def test_worker_reports_mistakes_as_events_and_goes_on(image_file):
    bad = job(image_file, input="nowhere.nrrd")
    code, events = serve(["nonsense", bad.to_json(), job(image_file).to_json()])
    assert code == 0
    errors = [e for e in events if isinstance(e, ErrorEvent)]
    assert [e.exit_code for e in errors] == [3, 3]
    assert isinstance(events[-1], ResultEvent)


def test_failed_job_leaves_no_file(image_file, tmp_path):
    before = sorted(tmp_path.iterdir())
    spec = job(image_file, maps={"difference": str(tmp_path / "no-such-folder" / "d.nrrd")})
    code, events = serve([spec.to_json()])
    assert code == 4 and isinstance(events[-1], ErrorEvent)
    assert sorted(tmp_path.iterdir()) == before


def test_late_failure_takes_back_what_was_written(image_file, tmp_path, monkeypatch):
    import medsr.files

    real = medsr.files.stage_volume

    def full_disk(volume, path, staging):
        if Path(path).name == "d.nrrd":
            raise OutputError("disk full")
        return real(volume, path, staging)

    monkeypatch.setattr(medsr.files, "stage_volume", full_disk)
    before = sorted(tmp_path.iterdir())
    code, events = serve([job(image_file, maps={"difference": str(tmp_path / "d.nrrd")}).to_json()])
    assert code == 4 and events[-1].message == "disk full"
    assert sorted(tmp_path.iterdir()) == before


EXTENSIONS = (".nrrd", ".nhdr", ".nii.gz")


def contents(folder):
    return {p.name: p.read_bytes() if p.is_file() else None for p in folder.iterdir()}


def replacing_job(image_file, extension):
    """A job of three outputs, two of which are there already, and what its folder holds before it."""
    folder = image_file.parent
    output, residual = folder / f"out{extension}", folder / "res.mhd"
    old = Volume.from_array(np.arange(60.0).reshape(3, 4, 5), np.eye(4))
    for path in (output, residual):
        medsr.write_volume(old, path)
    spec = job(
        image_file,
        output=str(output),
        maps={"residual": str(residual)},
        report=str(folder / "r.json"),
        overwrite=True,
    )
    return spec, contents(folder)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_overwriting_replaces_every_file(image_file, tmp_path, extension):
    spec, before = replacing_job(image_file, extension)
    upscale_file(spec, Progress())
    after = contents(tmp_path)
    assert set(after) == {*before, "r.json"}
    changed = {name for name in before if after[name] != before[name]}
    assert changed == set(before) - {image_file.name}
    assert medsr.read_volume(spec.output).array.shape == (30, 24, 20)
    assert medsr.read_volume(spec.maps["residual"]).array.shape == (10, 24, 20)


def failing_replace(step, failure):
    """A Path.replace that fails once: at every other step before the renaming, else after it."""
    real, calls = Path.replace, []

    def replace(self, target):
        calls.append(target)
        if len(calls) != step // 2 + 1:
            return real(self, target)
        if step % 2:
            real(self, target)
        raise failure

    return replace


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(28, "No space left on device")], ids=["stop", "full"])
def test_a_failure_at_any_step_of_overwriting_loses_nothing(
    image_file, tmp_path, monkeypatch, extension, failure, links
):
    spec, before = replacing_job(image_file, extension)

    def no_link(*args, **kwargs):
        raise OSError(95, "Operation not supported")

    if not links:
        monkeypatch.setattr(os, "link", no_link)
    expected = KeyboardInterrupt if isinstance(failure, KeyboardInterrupt) else OutputError
    failed = 0
    for step in range(40):
        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", failing_replace(step, failure))
            try:
                upscale_file(spec, Progress())
                break
            except expected:
                failed += 1
        assert contents(tmp_path) == before, f"failure at step {step}"
    # On either side of every renaming; and without a failure the same job goes through.
    assert failed >= 2 * 4
    assert contents(tmp_path) != before


def test_cancelling_while_writing_keeps_the_old_files(image_file, tmp_path):
    spec, before = replacing_job(image_file, ".nrrd")
    stages = []

    def cancelled():
        # Between the last draft and the first renaming.
        return bool(stages) and stages[-1] == "Writing" and len(list(tmp_path.glob(".medsr-*"))) == 3

    def note(event):
        if isinstance(event, StageEvent):
            stages.append(event.name)

    with pytest.raises(CancelledError):
        upscale_file(spec, Progress(note, cancelled))
    assert contents(tmp_path) == before


def test_a_folder_in_the_place_of_the_report_is_refused(image_file, tmp_path):
    (tmp_path / "r.json").mkdir()
    with pytest.raises(OutputError, match="no regular file"):
        upscale_file(job(image_file, report=str(tmp_path / "r.json"), overwrite=True), Progress())
    assert (tmp_path / "r.json").is_dir()


def test_two_outputs_with_one_data_file_are_refused(image_file, tmp_path):
    with pytest.raises(InvalidValueError, match="different file names"):
        upscale_file(
            job(image_file, output=str(tmp_path / "a.nhdr"), maps={"residual": str(tmp_path / "a.mhd")}), Progress()
        )


def test_maps_of_a_colour_image_are_refused(tmp_path):
    array = np.random.default_rng(0).integers(0, 255, (8, 9, 10, 3), np.uint8)
    path = medsr.write_volume(Volume(array, medsr.Geometry((10, 9, 8), (1, 1, 1))), tmp_path / "c.nrrd")
    spec = job(path, maps={"difference": str(tmp_path / "d.nrrd")})
    with pytest.raises(InvalidValueError, match="3 channels"):
        upscale_file(spec, Progress())
    upscale_file(job(path), Progress())


def test_report_and_maps_are_written(image_file, tmp_path):
    spec = job(image_file, report=str(tmp_path / "r.json"), maps={"residual": str(tmp_path / "res.nrrd")})
    code, _ = serve([spec.to_json()])
    assert code == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["output"]["size_xyz"] == [20, 24, 30]
    assert {"model", "consistency", "decisions", "seconds", "versions"} <= set(report)
    assert medsr.read_volume(tmp_path / "res.nrrd").array.shape == (10, 24, 20)


def test_output_may_not_be_the_input(image_file):
    code, events = serve([job(image_file, output=str(image_file), overwrite=True).to_json()])
    assert code == 2 and "is the input itself" in events[-1].message


def test_too_little_memory_is_told_with_what_is_needed(image_file, tmp_path):
    before = contents(tmp_path)
    code, events = serve([job(image_file, options=UpscaleOptions(model="tikhonov", memory="1MB")).to_json()])
    assert code == 2
    assert (events[-1].error, events[-1].exit_code) == ("InvalidValueError", 2)
    assert re.search(r"needs about [0-9.]+ [GM]B.*raise --memory", events[-1].message)
    assert contents(tmp_path) == before
    assert serve([job(image_file, options=UpscaleOptions(model="tikhonov", memory="1GB")).to_json()])[0] == 0


def test_closing_the_input_in_the_middle_of_a_job_cancels_it(tmp_path):
    array = (np.random.default_rng(0).random((200, 40, 40)) * 1000).astype(np.float32)
    path = tmp_path / "big.nrrd"
    medsr.write_volume(Volume.from_array(array, np.diag([1, 1, 3, 1.0])), path)
    spec = job(path, options=UpscaleOptions(model="lanczos", scale=3))
    process = subprocess.Popen(
        [sys.executable, "-m", "medsr.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        process.stdin.write(spec.to_json() + "\n")
        process.stdin.flush()
        while not isinstance(parse_event(process.stdout.readline()), ProgressEvent):
            pass
        process.stdin.close()
        events = [parse_event(line) for line in process.stdout]
        assert process.wait(timeout=300) == 130
        assert events[-1].error == "CancelledError"
        assert sorted(p.name for p in tmp_path.iterdir()) == ["big.nrrd"]
    finally:
        process.kill()
        process.stdout.close()


def test_worker_process_cancels_and_ends_with_its_input(tmp_path):
    array = (np.random.default_rng(0).random((60, 120, 120)) * 1000).astype(np.float32)
    path = tmp_path / "big.nrrd"
    medsr.write_volume(Volume.from_array(array, np.diag([1, 1, 3, 1.0])), path)
    spec = job(path, options=UpscaleOptions(model="lanczos", scale=2))
    process = subprocess.Popen(
        [sys.executable, "-m", "medsr.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        process.stdin.write(spec.to_json() + "\n")
        process.stdin.flush()
        first = parse_event(process.stdout.readline())
        assert isinstance(first, StageEvent)
        process.stdin.write("cancel\n")
        process.stdin.flush()
        events = []
        while not events or not isinstance(events[-1], ErrorEvent | ResultEvent):
            events.append(parse_event(process.stdout.readline()))
        assert isinstance(events[-1], ErrorEvent) and events[-1].error == "CancelledError"
        assert sorted(p.name for p in tmp_path.iterdir()) == ["big.nrrd"]
        process.stdin.close()
        assert process.wait(timeout=300) == 130
    finally:
        process.kill()
        process.stdout.close()
