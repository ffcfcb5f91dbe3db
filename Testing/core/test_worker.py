"""What the worker does with lines that no program should send, and with the end of its input."""

import io
import json
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import medsr
from medsr.errors import InputError, InvalidValueError
from medsr.jobs import ErrorEvent, JobSpec, ResultEvent, parse_event
from medsr.options import UpscaleOptions
from medsr.volume import Volume
from medsr.worker import Worker, read_job

GOOD = '{"input": "a.nrrd", "output": "b.nrrd"}'


@pytest.fixture
def image_file(tmp_path):
    array = (np.random.default_rng(0).random((6, 10, 12)) * 1000).astype(np.int16)
    return medsr.write_volume(Volume.from_array(array, np.diag([1, 1, 3, 1.0])), tmp_path / "in.nrrd")


def job(image_file, **changes):
    spec = {"input": str(image_file), "output": str(image_file.with_name("out.nrrd")), "options": {"model": "linear"}}
    return json.dumps({**spec, **changes})


class Sink(io.StringIO):
    """Collects events, and tells when so many lines have their last one."""

    def __init__(self):
        super().__init__()
        self.answered = threading.Semaphore(0)

    def write(self, text):
        written = super().write(text)
        if text.startswith(('{"kind": "result"', '{"kind": "error"')):
            self.answered.release()
        return written

    @property
    def events(self):
        return [parse_event(line) for line in self.getvalue().splitlines()]

    @property
    def answers(self):
        return [event for event in self.events if isinstance(event, ErrorEvent | ResultEvent)]


def serve(*lines):
    """Exit code and answers of a worker whose input ends when it has answered every line."""
    sink = Sink()

    def source():
        for line in lines:
            yield line if isinstance(line, bytes) else line.encode()
        for _ in lines:
            assert sink.answered.acquire(timeout=120)

    code = Worker(source(), sink).serve()
    return code, sink.answers


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"input": "\xff\xfe"}', "is no UTF-8"),
        (b"\xff", "is no UTF-8"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000, "nested too deeply"),
        (b'{"input": ' + b"9" * 5000 + b"}", "too many digits"),
        (b'{"kind": 1, ', "no JSON"),
        (b"7", "no JSON object"),
        (b'{"job": [], "input": "a", "output": "b"}', "job"),
        (b"\x00", "no JSON"),
    ],
    ids=["bytes in a job", "bytes", "lists", "objects", "digits", "cut short", "number", "job is a list", "null"],
)
def test_a_line_that_is_no_job_is_answered_and_the_next_one_is_done(image_file, line, words):
    code, (error, result) = serve(line, job(image_file))
    assert isinstance(error, ErrorEvent) and words in error.message
    assert (error.error, error.exit_code) == ("InputError", 3)
    assert isinstance(result, ResultEvent) and code == 0


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("overwrite", "false", "overwrite must be true or false, got 'false'"),
        ("overwrite", 1, "true or false"),
        ("input", 5, "input must be a text, got 5"),
        ("output", None, "output must be a text"),
        ("output", ["b.nrrd"], "output must be a text"),
        ("series", 2, "series must be a text"),
        ("maps", ["difference"], "maps must be an object"),
        ("maps", {"difference": 1}, "maps.difference must be a text"),
        ("warnings", "Uneven.", "warnings must be a list"),
        ("warnings", [1], "warnings must be a text"),
        ("options", [], "options must be an object"),
        ("facts", {"name": "modality"}, "list of objects"),
        ("overwrit", True, "Did you mean 'overwrite'?"),
    ],
)
def test_a_job_whose_field_has_another_type_is_refused(field, value, words):
    with pytest.raises(InputError) as caught:
        JobSpec.from_json(json.dumps({**json.loads(GOOD), field: value}))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("option", "value"), [("isotropic", "false"), ("consistency", 0), ("memory", 5), ("device", 0), ("model", ["a"])]
)
def test_an_option_of_another_type_is_refused(option, value):
    with pytest.raises(InvalidValueError, match=f"{option} must be"):
        JobSpec.from_json(json.dumps({**json.loads(GOOD), "options": {option: value}}))


@pytest.mark.parametrize(
    "changes",
    [
        {"options": {"scale": 10**400}},
        {"options": {"slice_thickness": 10**400}},
        {"options": {"memory": "9e999GB"}},
        {"facts": [{"name": "thickness_mm", "value": 10**400, "source": "Slicer", "axis": "z"}]},
        {"job": "augment", "source": "a", "memory": "9e999GB"},
    ],
    ids=["target", "option", "memory", "fact", "training set"],
)
def test_a_number_beyond_all_others_is_no_defect(changes):
    given = {**json.loads(GOOD), **changes}
    if "job" in given:
        del given["input"]
    _, (error,) = serve(json.dumps(given))
    assert error.exit_code in (2, 3) and "defect" not in error.message, error


def test_fields_of_the_right_types_are_taken():
    line = json.dumps(
        {
            **json.loads(GOOD), "overwrite": False, "series": None, "report": "r.json",
            "maps": {"difference": "d.nrrd"},
            "warnings": ["Uneven."], "options": {"scale": [1, 1, 2], "slice_thickness": 3, "isotropic": False},
        }
    )  # fmt: skip
    spec = JobSpec.from_json(line)
    assert spec.overwrite is False and spec.warnings == ("Uneven.",)
    assert spec.options == UpscaleOptions(scale=(1, 1, 2), slice_thickness=3.0)
    assert read_job(b'{"job": "augment", "source": "a", "output": "b", "recipes": ["sr-x2"]}').recipes == ("sr-x2",)


@pytest.mark.parametrize(
    ("field", "value"), [("overwrite", "false"), ("dry_run", 1), ("recipes", "sr-x2"), ("source", 1)]
)
def test_a_training_set_whose_field_has_another_type_is_refused(field, value):
    spec = {"job": "augment", "source": "a", "output": "b", field: value}
    with pytest.raises(InvalidValueError, match=f"{field} must be"):
        read_job(json.dumps(spec))


def test_false_as_text_overwrites_nothing(image_file):
    output = image_file.with_name("out.nrrd")
    output.write_text("precious")
    _, (error,) = serve(job(image_file, overwrite="false"))
    assert error.exit_code == 3 and output.read_text() == "precious"
    _, (result,) = serve(job(image_file, overwrite=True))
    assert isinstance(result, ResultEvent)


def test_when_the_input_ends_waiting_jobs_are_answered_as_stopped(image_file, monkeypatch):
    begun = []

    def upscale(spec, progress):
        begun.append(spec.output)
        listening.join()
        progress.check()

    real = threading.Thread

    def thread(**arguments):
        nonlocal listening
        listening = real(**arguments)
        return listening

    listening = None
    monkeypatch.setattr(threading, "Thread", thread)
    monkeypatch.setattr("medsr.files.upscale_file", upscale)
    sink = Sink()
    lines = [job(image_file, output=f"{name}.nrrd") for name in "abc"]
    assert Worker(iter(lines), sink).serve() == 130
    assert [(event.error, event.exit_code) for event in sink.answers] == [("CancelledError", 130)] * 3
    assert begun in ([], ["a.nrrd"])


def test_an_input_that_cannot_be_read_any_more_ends_the_worker():
    def source():
        yield b"nonsense\n"
        raise OSError(5, "Input/output error")

    sink = Sink()
    assert Worker(source(), sink).serve() == 3
    assert len(sink.answers) == 1


def test_cancel_stops_the_job_that_runs_and_no_other(image_file, monkeypatch):
    """Also when the next job comes before the running one has seen it."""
    done, sent = [], threading.Event()

    def upscale(spec, progress):
        if spec.output == "a.nrrd":
            assert sent.wait(120)
        progress.check()
        done.append(spec.output)
        return ResultEvent(spec.output)

    monkeypatch.setattr("medsr.files.upscale_file", upscale)
    sink = Sink()

    def source():
        yield job(image_file, output="a.nrrd")
        yield "cancel"
        yield job(image_file, output="b.nrrd")
        sent.set()
        for _ in range(2):
            assert sink.answered.acquire(timeout=120)
        yield "cancel"
        yield job(image_file, output="c.nrrd")
        assert sink.answered.acquire(timeout=120)

    assert Worker(source(), sink).serve() == 0
    assert [type(answer) for answer in sink.answers] == [ErrorEvent, ResultEvent, ResultEvent]
    assert done == ["b.nrrd", "c.nrrd"]


def test_the_process_answers_bytes_that_are_no_text_and_ends_with_its_input():
    ended = subprocess.run(
        [sys.executable, "-m", "medsr.worker"], input=b"\xff\xfe\n", capture_output=True, timeout=300, check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    (answer,) = map(parse_event, ended.stdout.decode().splitlines())
    assert "no UTF-8" in answer.message and ended.returncode == answer.exit_code == 3


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
def test_an_idle_process_ends_quietly_when_it_is_interrupted():
    """Python aborts at its end while a thread reads from its own standard input."""
    process = subprocess.Popen(
        [sys.executable, "-m", "medsr.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # What a shell starts in the background ignores interruptions, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        process.stdin.write(b"nonsense\n")
        process.stdin.flush()
        assert isinstance(parse_event(process.stdout.readline()), ErrorEvent)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) == 130
        assert process.stderr.read() == b""
    finally:
        process.kill()
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()
