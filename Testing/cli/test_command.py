"""The command itself: verbs, options, help, errors, exit codes."""

import json
import re
import subprocess
import sys

import pytest

import medsr as package
from medsr.cli import main as command
from medsr.cli.failures import EXIT_CODES, explain
from medsr.cli.parsing import join_negative_numbers
from medsr.errors import CancelledError, MedSRError, ResourceError


def all_errors(base=MedSRError):
    for error in base.__subclasses__():
        yield error
        yield from all_errors(error)


def test_version_is_that_of_the_package(medsr):
    assert medsr("--version").out == f"medsr {package.__version__}\n"


def test_help_names_every_verb_and_every_exit_code(medsr):
    text = medsr("--help").out
    for verb in command.VERBS:
        assert f"  {verb} " in text
    for code in EXIT_CODES:
        assert re.search(rf"^ +{code}  ", text, flags=re.MULTILINE)


@pytest.mark.parametrize("verb", command.VERBS)
def test_every_verb_has_help_with_examples(medsr, verb):
    ended = medsr(verb, "--help")
    assert ended.code == 0
    assert ended.out.startswith(f"usage: medsr {verb}")
    assert "examples:" in ended.out or verb == "doctor"
    assert "--debug" in ended.out


def test_help_of_upscale_has_every_option_of_the_library(medsr):
    text = medsr("upscale", "--help").out
    options = package.UpscaleOptions.__dataclass_fields__
    assert len(options) > 10
    for name in options:
        flag = name.replace("_", "-")
        assert f"--{flag} " in text or f"--no-{flag} " in text


def test_no_command_is_an_error(medsr):
    ended = medsr()
    assert ended.code == 2
    assert "medsr --help" in ended.err


@pytest.mark.parametrize(
    ("arguments", "suggested"),
    [
        (["upscal", "a", "b"], "upscale"),
        (["--verison"], "--version"),
        (["upscale", "a", "b", "--overwrit"], "--overwrite"),
        (["upscale", "--spacin", "1", "a", "b"], "--spacing"),
        (["upscale", "--spacin=1", "a", "b"], "--spacing"),
        (["upscale", "a", "b", "--mode", "3D "], "3d"),
        (["upscale", "a", "b", "--profile", "gausian"], "gaussian"),
        (["upscale", "a", "b", "--dtype", "foat32"], "float32"),
        (["upscale", "a.nii", "b.nii", "--map", "diference=c.nii"], "difference"),
        (["upscale", "a", "b", "--progress", "jsn"], "json"),
        (["models", "bsplin"], "bspline"),
        (["evaluate", "a.nii", "--models", "linaer", "--output", "x"], "linear"),
        (["train", "--ressume"], "--resume"),
    ],
)
def test_a_wrong_name_suggests_the_nearest(medsr, arguments, suggested):
    ended = medsr(*arguments)
    assert ended.code == 2
    assert f"Did you mean {suggested!r}?" in ended.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["upscale", "a"], "required: OUT"),
        (["upscale", "a", "b", "c", "--series", "1"], "--series is for one input"),
        (["upscale", "a", "b", "--workers", "2"], "--workers is for several inputs"),
        (["upscale", "a", "b", "--scale"], "--scale: expected one argument"),
        (["upscale", "a", "b", "--scale", "-2"], "positive number or three (x,y,z), got '-2'"),
        (["upscale", "a", "b", "--scale", "-1,1,4"], "positive number or three (x,y,z), got '-1,1,4'"),
        (["upscale", "a", "b", "--scale", "1,2"], "got '1,2'"),
        (["upscale", "a", "b", "--scale", "two"], "got 'two'"),
        (["upscale", "a", "b", "--scale", "nan"], "got 'nan'"),
        (["upscale", "a", "b", "--scale", "9"], "between 1 and 8"),
        (["upscale", "a", "b", "--spacing", "0"], "got '0'"),
        (["upscale", "a", "b", "--slice-thickness", "thick"], "--slice-thickness takes a number, got 'thick'"),
        (["upscale", "a", "b", "--slice-thickness", "-.5"], "positive number of mm, got -0.5"),
        (["upscale", "a", "b", "--device", "gpu"], "auto, cpu, cuda or cuda:N, got 'gpu'"),
        (["upscale", "a", "b", "--memory", "lots"], "looks like 6GB"),
        (["upscale", "a", "b", "--isotropic=yes"], "--isotropic"),
        (["upscale", "a", "b", "--map", "difference"], "NAME=FILE"),
        (["upscale", "a", "b", "--map", "residual=x", "--map", "residual=y"], "given twice"),
        (["upscale", "a.nii", "b.nii", "--report", "b.nii"], "different file names"),
        (["evaluate", "a", "--output", "x", "--crop", "1,2"], "one number of voxels or three"),
        (["evaluate", "a", "--output", "x", "--noise", "much"], "--noise takes a number"),
        (["evaluate", "a"], "required: --output"),
    ],
)
def test_wrong_arguments_are_refused_with_what_is_accepted(medsr, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    ended = medsr(*arguments)
    assert ended.code == 2
    assert said in ended.err


def test_choices_are_found_whatever_their_case(medsr, a_volume, tmp_path):
    ended = medsr("upscale", a_volume(), tmp_path / "o.nii", "--modality", "mr", "--mode", "3D", "--model", "tikhonov")
    assert ended.code == 0
    assert "Modality: MR (as asked)" in ended.out


def test_negative_numbers_belong_to_the_option_before_them():
    assert join_negative_numbers(["a", "--scale", "-1,2,3"]) == ["a", "--scale=-1,2,3"]
    assert join_negative_numbers(["--scale", "2", "--isotropic"]) == ["--scale", "2", "--isotropic"]
    assert join_negative_numbers(["--", "-1"]) == ["--", "-1"]


@pytest.mark.parametrize("error", sorted(set(all_errors()), key=lambda e: e.__name__))
def test_every_error_ends_with_its_exit_code_and_text(medsr, monkeypatch, error):
    def fail(_arguments):
        raise error("What happened. What to do.")

    monkeypatch.setattr(command, "_dispatch", fail)
    code = command.main(["models"])
    assert code == error.exit_code
    assert code in EXIT_CODES


def test_an_unexpected_error_is_one_sentence_that_names_debug(medsr, monkeypatch):
    def fail(_arguments):
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr(command, "_dispatch", fail)
    ended = medsr("models")
    assert ended.code == 1
    assert "Unexpected ZeroDivisionError: division by zero" in ended.err
    assert "--debug" in ended.err
    assert len(ended.err.splitlines()) == 1
    ended = medsr("models", "--debug")
    assert ended.code == 1
    assert "Traceback (most recent call last)" in ended.err


def test_debug_shows_the_traceback_of_an_expected_error(medsr):
    assert "Traceback" in medsr("models", "nope", "--debug").err
    assert "Traceback" in medsr("--debug", "models", "nope").err


@pytest.mark.parametrize("error", [MemoryError(), ResourceError("No memory.")])
def test_too_little_memory_is_exit_code_7(error):
    assert explain(error).exit_code == 7
    assert "memory" in explain(error).message


def test_a_stop_ends_with_the_code_of_its_signal():
    assert explain(KeyboardInterrupt()).exit_code == 130
    assert explain(CancelledError("Stopped.")).exit_code == 130
    assert explain(KeyboardInterrupt(), 15).exit_code == 143


def test_control_characters_do_not_reach_the_terminal(medsr):
    ended = medsr("info", "\x1b[31mred.nii")
    assert ended.code == 3
    assert "\x1b" not in ended.err


def test_python_dash_m_is_the_command():
    done = subprocess.run([sys.executable, "-m", "medsr", "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"medsr {package.__version__}\n")


def test_a_reader_that_leaves_is_no_traceback(medsr_process):
    process = medsr_process("models", "--json")
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=300)
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    assert process.returncode in (0, 141)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["models"], ["models", "tikhonov"], ["upscale", "--help"], ["upscal"]]
)
def test_short_answers_load_nothing_heavy(arguments):
    code = (
        "import sys, json; from medsr.cli.main import main\n"
        f"main({arguments!r})\n"
        "heavy = {'torch', 'SimpleITK', 'scipy', 'monai', 'nibabel', 'pydicom', 'lightning', 'numpy'}\n"
        "print(json.dumps(sorted(heavy & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_import_of_the_package_is_quick():
    code = "import time; t = time.process_time(); import medsr; print(time.process_time() - t)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    # CPU time, and the best of three: the machine may be busy.
    assert min(float(run.stdout) for run in runs) < 0.3
