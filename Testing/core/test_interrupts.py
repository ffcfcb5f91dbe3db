"""A signal at any moment: either nothing happened or everything did, it is told which, and nothing is left behind."""

import gc
import os
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import medsr
from medsr.cli.folders import filled_at_the_end
from medsr.files import upscale_file
from medsr.interrupts import Undivided
from medsr.io import Staging, staging
from medsr.jobs import JobSpec, Progress
from medsr.options import UpscaleOptions
from medsr.volume import Volume

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture(autouse=True)
def handlers():
    """Both signals raise KeyboardInterrupt, as in the command; as before afterwards."""

    def stop(number, frame):
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    yield stop
    for number, handler in before.items():
        signal.signal(number, handler)


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class AtLine:
    """Sends SIGINT before the n-th line of some files that is executed."""

    def __init__(self, files, count):
        self.files, self.left = {str(f) for f in files}, count

    def __enter__(self):
        self._before = sys.gettrace()
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_):
        sys.settrace(self._before)

    def _trace(self, frame, event, argument):
        if frame.f_code.co_filename not in self.files:
            return None
        if event == "line" or event == "call":
            self.left -= 1
            if self.left == 0:
                signal.raise_signal(signal.SIGINT)
        return self._trace


def test_a_signal_at_any_line_of_putting_files_in_place(tmp_path, handlers):
    """Two files, one of which replaces another, written in turn by as many jobs as there are lines."""
    kept, new, outcomes = tmp_path / "kept.txt", tmp_path / "new.txt", set()
    before = {"kept.txt": b"old"}
    after = {"kept.txt": b"text of kept.txt", "new.txt": b"text of new.txt"}
    for count in range(1, 2000):
        new.unlink(missing_ok=True)
        kept.write_text("old")
        done = stopped = False
        with AtLine([staging.__file__], count) as at:
            files = None
            try:
                files = Staging(overwrite=True)
                with files:
                    for path in (kept, new):
                        files.draft(path).write_text(f"text of {path.name}")
            except KeyboardInterrupt:
                stopped = True
        done = files is not None and files.is_done
        files = None
        if list(tmp_path.glob(".*")):
            # The very first line of the block's end: what is left goes with the object.
            gc.collect()
        assert contents(tmp_path) == (after if done else before), count
        assert [p.name for p in tmp_path.glob(".*")] == [], count
        assert signal.getsignal(signal.SIGINT) is handlers
        if at.left > 0:
            break
        assert stopped, count
        outcomes.add(done)
    else:
        raise AssertionError("it never ends")
    assert outcomes == {True, False} and count > 50


@pytest.fixture
def image_file(tmp_path):
    array = (np.random.default_rng(0).random((6, 10, 12)) * 1000).astype(np.int16)
    return medsr.write_volume(Volume.from_array(array, np.diag([1, 1, 3, 1.0])), tmp_path / "in.nrrd")


@pytest.mark.parametrize("moment", ["link", "first", "last", "tidying", "returning"])
def test_a_job_tells_whether_it_was_stopped_before_or_after_its_end(image_file, tmp_path, monkeypatch, moment):
    output = tmp_path / "out.nrrd"
    output.write_text("old")
    spec = JobSpec(
        str(image_file), str(output), UpscaleOptions(model="linear"), overwrite=True, report=str(tmp_path / "r.json")
    )

    def interrupted(real):
        calls = []

        def function(*arguments, **options):
            calls.append(arguments)
            result = real(*arguments, **options)
            if len(calls) == (2 if moment == "last" else 1):
                signal.raise_signal(signal.SIGINT)
            return result

        return function

    if moment == "link":
        monkeypatch.setattr(os, "link", interrupted(os.link))
    elif moment in ("first", "last"):
        monkeypatch.setattr(Path, "replace", interrupted(Path.replace))
    elif moment == "tidying":
        monkeypatch.setattr(staging.shutil, "rmtree", interrupted(staging.shutil.rmtree))
    else:
        monkeypatch.setattr("medsr.files.ResultEvent", interrupted(lambda *_: None))
    with pytest.raises(KeyboardInterrupt, match=r"Stopped after its end: .*out\.nrrd' is complete"):
        upscale_file(spec, Progress())
    assert set(contents(tmp_path)) == {"in.nrrd", "out.nrrd", "r.json"}
    assert medsr.read_volume(output).array.shape == (18, 10, 12)


@pytest.mark.parametrize("stage", ["Reading", "Writing"])
def test_a_job_stopped_before_its_end_tells_that_nothing_was_written(image_file, tmp_path, stage):
    before = contents(tmp_path)

    def emit(event):
        if getattr(event, "name", "") == stage:
            signal.raise_signal(signal.SIGINT)

    spec = JobSpec(str(image_file), str(tmp_path / "out.nrrd"), UpscaleOptions(model="linear"))
    with pytest.raises(KeyboardInterrupt, match="Stopped; nothing was written"):
        upscale_file(spec, Progress(emit))
    assert contents(tmp_path) == before


def test_a_folder_of_results_is_filled_whole_or_not_at_all(tmp_path, monkeypatch):
    real, calls = Path.replace, []

    def replace(self, target):
        calls.append(target)
        real(self, target)
        if len(calls) == 4:
            raise OSError(28, "No space left on device", str(target))
        if len(calls) == 5:
            signal.raise_signal(signal.SIGINT)

    def fill():
        with filled_at_the_end(tmp_path) as draft:
            for name in "abc":
                (draft / name).write_text(name)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OSError, match="No space left"):
        fill()
    assert contents(tmp_path) == {}
    calls[:] = [None] * 5
    fill()
    assert contents(tmp_path) == {name: name.encode() for name in "abc"}
    assert not list(tmp_path.glob(".*"))


def test_a_signal_waits_for_the_end_of_the_block():
    done = []
    with pytest.raises(KeyboardInterrupt), Undivided():
        signal.raise_signal(signal.SIGTERM)
        with Undivided():
            signal.raise_signal(signal.SIGINT)
        done.append(True)
    assert done
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_signals_that_are_ignored_stay_ignored_and_threads_do_not_matter():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with Undivided():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    entered = []

    def work():
        with Undivided():
            entered.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert entered == [True]
