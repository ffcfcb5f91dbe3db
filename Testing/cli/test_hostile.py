"""Ordinary mistakes are no defect of MedSR, and what files say does not steer the terminal."""

import builtins
import json
import os
import signal
import sys

import pytest

from medsr.cli.console import harmless, table_lines
from medsr.cli.failures import explain
from medsr.cli.main import main
from medsr.jobs import error_event, parse_event
from medsr.worker import run_job

LONG = "a" * 300
QUICK = ("--model", "linear", "--progress", "none")


@pytest.fixture
def refused(medsr):
    """Runs a command that must be refused in a sentence, and not as a defect."""

    def run(*arguments, code, said):
        ended = medsr(*arguments)
        assert ended.code == code, ended.err
        assert said in ended.err and "defect" not in ended.err and "Errno" not in ended.err
        return ended

    return run


@pytest.mark.skipif(sys.platform == "win32", reason="other limits")
def test_names_longer_than_a_file_system_takes_are_told(refused, a_volume, tmp_path):
    source, output = a_volume(), tmp_path / "out.nii.gz"
    refused("upscale", source, tmp_path / f"{LONG}.nii.gz", *QUICK, code=4, said="too long")
    refused("upscale", source, output, "--report", tmp_path / LONG, *QUICK, code=4, said="too long")
    refused("upscale", source, output, "--map", f"difference={tmp_path / LONG}.nrrd", *QUICK, code=4, said="too long")
    refused("upscale", tmp_path / f"{LONG}.nii.gz", output, *QUICK, code=3, said="too long")
    refused("upscale", source, output, "--reference", tmp_path / f"{LONG}.nrrd", *QUICK, code=3, said="too long")
    refused("upscale", source, output, "--model", LONG, "--progress", "none", code=2, said="no model called")
    refused("models", LONG, code=2, said="no model called")
    refused("info", tmp_path / f"{LONG}.nii.gz", code=3, said="too long")
    refused("evaluate", source, "--output", tmp_path / LONG, code=4, said="too long")
    refused("augment", tmp_path / LONG, tmp_path / "set", code=3, said=LONG)
    refused("train", f"{LONG}.json", "--output", tmp_path / "run", code=3, said=LONG)


def test_the_root_is_no_output(refused, a_volume, tmp_path):
    source = a_volume()
    refused("upscale", source, "/", *QUICK, code=2, said="no file name")
    refused("upscale", source, tmp_path / "out.nii.gz", "--report", "/", *QUICK, code=2, said="no file name")
    refused("upscale", source, tmp_path / "out.nii.gz", "--map", "difference=/", *QUICK, code=2, said="no file name")


@pytest.mark.parametrize("output", ["", "/", "//", "a\0b"])
@pytest.mark.parametrize("verb", [("train", "mr-3d", "--smoke"), ("evaluate", "IN"), ("demo",)], ids=lambda v: v[0])
def test_no_name_and_the_root_are_no_folders_for_results(refused, a_volume, verb, output):
    words = [str(a_volume()) if word == "IN" else word for word in verb]
    refused(*words, "--output", output, code=2, said="root of the disk" if "/" in output else "no folder")


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        (3, "info PRIVATE/in.nii.gz"),
        (3, "upscale PRIVATE/in.nii.gz OUT.nii.gz"),
        (4, "upscale IN PRIVATE/out.nii.gz"),
        (4, "upscale IN OUT.nii.gz --report PRIVATE/r.json"),
        (3, "upscale IN OUT.nii.gz --reference PRIVATE/r.nii.gz"),
        (4, "evaluate IN --output PRIVATE/tables"),
        (3, "evaluate PRIVATE/in.nii.gz --output OUT"),
        (3, "augment PRIVATE/set OUT"),
        (3, "train PRIVATE/recipe.json --output OUT"),
        (4, "demo --output PRIVATE/demo"),
    ],
)
def test_a_folder_without_permission_is_told(refused, a_volume, tmp_path, monkeypatch, code, arguments):
    """As the system says it to everybody but the administrator, who may run these tests."""
    places = {"IN": a_volume(), "OUT": tmp_path / "out", "PRIVATE": tmp_path / "private"}
    for key, place in places.items():
        arguments = arguments.replace(key, str(place))
    real = {name: getattr(os, name) for name in ("stat", "lstat", "open", "listdir", "scandir", "mkdir")}

    def denying(name):
        def call(path, *arguments, **options):
            if isinstance(path, str | os.PathLike) and "private" in os.fspath(path):
                raise PermissionError(13, "Permission denied", os.fspath(path))
            return real[name](path, *arguments, **options)

        return call

    with monkeypatch.context() as patched:
        for name in real:
            patched.setattr(os, name, denying(name))
        refused(*arguments.split(), code=code, said="Permission denied")


@pytest.mark.skipif(sys.platform != "linux", reason="file names are text there")
def test_a_name_that_is_no_text_is_written_or_refused(medsr, refused, a_volume, tmp_path):
    """ITK ends the whole process when it is given one."""
    source = a_volume()
    odd = os.fsdecode(b"o\xff")
    refused("upscale", source, tmp_path / f"{odd}.nrrd", *QUICK, code=2, said="no text")
    (tmp_path / f"{odd}.png").write_bytes(b"\x89PNG")
    refused("upscale", tmp_path / f"{odd}.png", tmp_path / "out.png", *QUICK, code=3, said="no text")
    ended = medsr("upscale", source, tmp_path / f"{odd}.nii.gz", "--report", tmp_path / f"{odd}.json", *QUICK)
    assert ended.code == 0, ended.err
    assert (tmp_path / f"{odd}.nii.gz").exists() and json.loads((tmp_path / f"{odd}.json").read_text())


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
def test_a_command_stopped_while_it_loads_says_so_in_every_form(a_volume, tmp_path, monkeypatch, capsys):
    real = builtins.__import__

    def loading(name, *arguments, **options):
        if name == "medsr.files":
            signal.raise_signal(signal.SIGTERM)
        return real(name, *arguments, **options)

    source, before = a_volume(), signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(builtins, "__import__", loading)
    assert main(["upscale", str(source), str(tmp_path / "out.nrrd"), "--progress", "json"]) == 143
    monkeypatch.undo()
    told = capsys.readouterr()
    event = parse_event(told.out.splitlines()[-1])
    assert (event.message, event.error, event.exit_code) == ("Stopped; nothing was written.", "CancelledError", 143)
    assert told.err == "medsr: error: Stopped; nothing was written.\n"
    assert signal.getsignal(signal.SIGTERM) is before and not (tmp_path / "out.nrrd").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"half a checkpoint"])
def test_a_damaged_checkpoint_is_told(refused, tmp_path, content):
    recipe = tmp_path / "recipe.json"
    recipe.write_text('{"name": "a"}')
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last.ckpt").write_bytes(content)
    refused("train", recipe, "--smoke", "--resume", "--output", tmp_path / "run", code=5, said="is damaged")
    assert (tmp_path / "run" / "last.ckpt").read_bytes() == content


ESCAPES = "\x1b[2J\x1b]0;owned\x07\x9b31mred\u202edesrever\u2028end\x00\r\nmodel: another"


def test_the_description_of_a_bundle_does_not_steer_the_terminal(medsr, a_network, tmp_path):
    name = a_network()
    path = tmp_path / "bundles" / name / "configs" / "metadata.json"
    data = json.loads(path.read_text())
    data["description"] = data["data_source"] = data["medsr"]["gain"] = ESCAPES
    path.write_text(json.dumps(data))
    from medsr import catalog

    for arguments in (("models", name), ("models",), ("models", str(tmp_path / "bundles" / name))):
        catalog.load_catalog.cache_clear()
        ended = medsr(*arguments)
        assert ended.code == 0 and "[2J" in ended.out
        assert all(c.isprintable() or c == "\n" for c in ended.out)
        assert not any(line.startswith("model: another") for line in ended.out.splitlines())
    ended = medsr("models", name, "--json")
    assert json.loads(ended.out)["summary"] == ESCAPES and "\x1b" not in ended.out


def test_what_people_write_stays_as_it_is():
    text = "T2 \u00e4\u00f6\u00fc \u8133 \u0645\u062e\u200c \U0001f9e0\tend\n"
    assert harmless(text) == text
    assert table_lines(("a",), [("one\ntwo",)]) == ["a", "one two"]


@pytest.mark.parametrize(
    "error",
    [MemoryError(), OSError(28, "No space left on device"), PermissionError(13, "Permission denied", "a.nii"),
     OSError(36, "File name too long", "a" * 300), ValueError("unforeseen")],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_command_and_worker_say_the_same(monkeypatch, error):
    """But for where to find more about a defect."""
    from medsr.jobs import JobSpec

    def fail(*_):
        raise error

    monkeypatch.setattr("medsr.files.upscale_file", fail)
    events = []
    code = run_job(JobSpec("a", "b"), events.append)
    (told,), command = events, explain(error)
    assert (told.error, told.exit_code) == (command.error, command.exit_code) == (told.error, code)
    assert told.message.partition(" This is a defect")[0] == command.message.partition(" This is a defect")[0]
    assert error_event(error) == told
