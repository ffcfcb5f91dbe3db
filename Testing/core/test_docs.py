"""What the documentation says is so: its code runs, its options exist, its links lead somewhere."""

import argparse
import dataclasses
import inspect
import json
import re
import shlex
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

import medsr
from medsr import errors
from medsr.cli.main import VERBS, main, verb_module
from medsr.cli.parsing import VerbParser, check_option_names, join_negative_numbers
from medsr.evaluation.rows import Row
from medsr.io.formats import READABLE, WRITABLE
from medsr.options import UpscaleOptions
from medsr.training.recipe import Recipe

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
WITH_PYTHON = ("README.md", "docs/how-to/python.md", "docs/tutorials/first-steps.md", "docs/explanation/physics.md",
               "docs/explanation/trust.md", "docs/tutorials/augmentation.md")  # fmt: skip
WITH_COMMANDS = ("README.md", "docs/tutorials/first-steps.md", "docs/how-to/choose-a-target.md", "docs/how-to/dicom.md")
NOT_RUN = "<!-- not run"

# Options of other programs that the pages name.
OTHER_PROGRAMS = {
    "--nnodes",
    "--nproc-per-node",
    "--rdzv-backend",
    "--rdzv-endpoint",
    "--no-deps",
    "--no-index",
    "--find-links",
    "--wheel-dir",
    "--extra-index-url",
    "--index-url",
    "--page",
    "--source",
    "--steps",
    "--verify_dataset_integrity",
    # Dask and SLURM
    "--nworkers",
    "--nthreads",
    "--memory-limit",
    "--gres",
    "--cpus-per-task",
    # Testing/benchmarks, Testing/fuzz
    "--crop-mm",
    "--invert",
    "--minutes",
    "--repeats",
    "--size",
    "--thickness",
    "--threads",
}
# These are tried elsewhere, or take long.
NOT_TRIED = {"evaluate", "train", "demo", "doctor"}

FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PLACE_ON_A_MACHINE = re.compile(r"(?:(?<![\w./:*~<-])/(?:work|home|root|tmp|Users)/|\b[A-Z]:\\)")


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(text, language):
    """Fenced blocks of a language, without their indentation, but for those marked as not run."""
    found = []
    for match in FENCE.finditer(text):
        indent, kind, body = match.groups()
        before = text[: match.start()].rstrip().rpartition("\n")[2]
        if kind == language and not before.strip().startswith(NOT_RUN):
            found.append("".join(line.removeprefix(indent) for line in body.splitlines(keepends=True)))
    return found


def without_fences(text):
    return FENCE.sub("", text)


def commands(text):
    """Arguments of every `medsr` command in a block for the shell."""
    found = []
    for block in blocks(text, ""):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"\w+=\S*", words[0]):  # OMP_NUM_THREADS=1 medsr ...
                words.pop(0)
            if words and words[0] == "medsr":
                found.append(with_whole_verb(words[1:]))
    return found


def with_whole_verb(words):
    """The words of a command, a verb of two words as one."""
    return [" ".join(words[:2]), *words[2:]] if " ".join(words[:2]) in VERBS else words


def inline_commands(text):
    """The words of every `medsr verb ...` within a sentence."""
    spans = re.findall(r"`(medsr [a-z][^`\n]*)`", without_fences(text))
    return [with_whole_verb(span.split()[1:]) for span in spans]


def parser_of(verb):
    module = verb_module(verb)
    parser = VerbParser(f"medsr {verb}", module.__doc__, module.EXAMPLES)
    module.configure(parser)
    parser.add_argument("--debug", action="store_true")
    return parser


def anchors_of(page):
    """Anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture
def in_phantoms(tmp_path, monkeypatch, io_dicom):
    """A working folder with the images that the pages speak of."""

    def save(name, shape=(12, 24, 24), spacing=(1.0, 1.0, 3.0), lift=500, seed=0):
        noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 1.5)
        image = sitk.GetImageFromArray((noise / noise.std() * 150 + lift).astype(np.int16))
        image.SetSpacing(spacing)
        sitk.WriteImage(image, str(tmp_path / name))

    save("brain.nii.gz")
    save("t2.nii.gz", spacing=(1.0, 1.0, 4.0), seed=1)
    save("t1.nii.gz", shape=(36, 24, 24), spacing=(1.0, 1.0, 1.0), seed=2)
    save("other.nii.gz", shape=(36, 24, 24), spacing=(1.0, 1.0, 1.0), seed=3)
    save("ct.nrrd", lift=-500, seed=4)
    io_dicom(tmp_path / "series", slices=9, size_xy=(12, 10))
    for number in (1, 2):
        io_dicom(tmp_path / "study" / str(number), slices=9, size_xy=(12, 10), number=number)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_pages_are_found():
    assert {name_of(page) for page in PAGES} >= {*WITH_PYTHON, *WITH_COMMANDS, "docs/reference/python-api.md"}
    # What looks for commands, links and places must find some, and must be able to say no.
    assert sum(len(commands(text_of(page))) for page in PAGES) > 40
    assert sum(len(LINK.findall(text_of(page))) for page in PAGES) > 40
    assert PLACE_ON_A_MACHINE.search("see /home/someone/data") and PLACE_ON_A_MACHINE.search(r"C:\data")
    assert not PLACE_ON_A_MACHINE.search("https://host/home/page and docs/tmp/page")
    ((verb, *arguments),) = commands("```\nmedsr upscale a.nii b.nii --no-such-thing\n```\n")
    with pytest.raises(errors.UnknownNameError):
        check_option_names(parser_of(verb), arguments)


def test_the_readme_begins_with_the_demo_and_the_tests():
    first, second = blocks(text_of("README.md"), "")[:2]
    assert (first.strip(), second.strip()) == ("make demo", "make test")
    targets = re.findall(r"^(\w+):", text_of("Makefile"), re.MULTILINE)
    assert {"demo", "test"} <= set(targets)
    assert set(re.findall(r"`make ([a-z]+)", "".join(map(text_of, PAGES)))) <= set(targets)


@pytest.mark.parametrize("page", WITH_PYTHON)
def test_python_blocks_run(page, in_phantoms, monkeypatch):
    found = blocks(text_of(page), "python")
    assert found
    # What `auto` would choose depends on what is installed; the closed form is always there.
    monkeypatch.setattr("medsr.methods.refiner.find_spec", lambda _: None)
    for block in found:
        # In a namespace of its own: none may lean on an earlier one.
        exec(compile(block, page, "exec"), {"__name__": "__main__"})


def test_a_wrong_width_is_invisible_to_the_residual_as_the_page_on_trust_says(capsys):
    (block,) = blocks(text_of("docs/explanation/trust.md"), "python")
    exec(block, {})
    # "residual 0.04 %, error 36 %", for the true width and for the wrong one
    (residual, error), (wrong_residual, wrong_error) = (
        map(float, re.findall(r"[\d.]+", line)) for line in capsys.readouterr().out.splitlines()
    )
    assert residual < 1 and wrong_residual < 1
    assert wrong_error > 1.2 * error


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_name_verbs_and_options_that_exist(page):
    text = page.read_text(encoding="utf-8")
    for verb, *arguments in commands(text):
        assert verb in VERBS, f"medsr {verb}"
        parser = parser_of(verb)
        arguments = join_negative_numbers(arguments)
        check_option_names(parser, arguments)
        if "--help" not in arguments:
            assert isinstance(parser.parse_args(arguments), argparse.Namespace)
    for verb, *words in inline_commands(text):
        assert verb in VERBS, f"medsr {verb}"
        check_option_names(parser_of(verb), [word for word in words if word.startswith("--")])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_options_named_in_sentences_exist(page):
    known = set().union(*(parser_of(verb).option_names for verb in VERBS)) | OTHER_PROGRAMS | {"--version"}
    named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", page.read_text(encoding="utf-8")))
    assert named <= known


@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_commands_run_one_after_the_other(page, in_phantoms, monkeypatch, capsys):
    monkeypatch.setattr("medsr.methods.refiner.find_spec", lambda _: None)
    if page.endswith("first-steps.md"):
        exec(blocks(text_of(page), "python")[0], {})  # makes the phantom that the page works on
    tried = [words for words in commands(text_of(page)) if words[0] not in NOT_TRIED]
    assert tried
    for words in tried:
        assert main(words) == 0, f"medsr {' '.join(words)}: {capsys.readouterr().err}"
    if page.endswith("first-steps.md"):
        report = json.loads(Path("final.json").read_text())
        assert set(Path().glob("*.nii.gz")) >= {Path("change.nii.gz"), Path("rest.nii.gz"), Path("thin.nii.gz")}
        assert report["consistency"]["residual_percent"] < 1
        printed = capsys.readouterr().out
        assert "Acquisition along z: Gaussian profile, 2.5 mm wide (as asked)." in printed
        (promised,) = blocks(text_of(page), "text")
        assert promised in printed
        bspline, tikhonov = (
            medsr.super_resolve("phantom.nii.gz", model=model).report["consistency"]["residual"]
            for model in ("bspline", "tikhonov")
        )
        assert bspline > tikhonov


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for target in LINK.findall(without_fences(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{name_of(page)} links to {target}"
        assert file.is_relative_to(ROOT), f"{name_of(page)} links out of the repository: {target}"
        if anchor:
            assert anchor in anchors_of(file), f"{name_of(page)} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_names_a_place_on_somebodys_machine(page):
    assert not PLACE_ON_A_MACHINE.findall(page.read_text(encoding="utf-8"))


def test_every_page_is_reachable_from_the_index():
    index = ROOT / "docs" / "README.md"
    listed = {(index.parent / target.partition("#")[0]).resolve() for target in LINK.findall(text_of("docs/README.md"))}
    assert set(PAGES) <= {*listed, index}


def test_json_blocks_are_json():
    found = [block for page in PAGES for block in blocks(page.read_text(encoding="utf-8"), "json")]
    assert found
    for block in found:
        json.loads(block)


def table_keys(text, heading):
    """Names in the first column of the tables below a heading, up to the next one of its level."""
    level = heading.partition(" ")[0]
    section = re.split(rf"^{level} ", text.partition(f"\n{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    cells = re.findall(r"^ *\|([^|]+)\|", section, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_the_python_reference_names_what_there_is():
    text = text_of("docs/reference/python-api.md")
    assert table_keys(text, "## medsr") == set(medsr.__all__)
    fields = {field.name for field in dataclasses.fields(UpscaleOptions)}
    arguments = set(inspect.signature(medsr.super_resolve).parameters) - {"options"}
    assert table_keys(text, "## medsr.super_resolve") == fields | arguments
    assert table_keys(text, "## Errors") == {
        name for name in vars(errors) if name.endswith("Error") and name != "MedSRError"
    }
    for name, code in re.findall(r"^\| `(\w+Error)` \|[^|]*\| (\d+) \|", text, re.MULTILINE):
        assert getattr(errors, name).exit_code == int(code)
    for kind in (medsr.Volume, medsr.Geometry):
        # "Volume.from_array(array, ...)" -> "from_array"
        names = [key.partition("(")[0].rpartition(".")[2] for key in table_keys(text, f"## {kind.__name__}")]
        assert names and all(hasattr(kind, name) for name in names), names


def test_the_formats_page_names_what_there_is():
    text = text_of("docs/reference/file-formats.md")
    rows = re.findall(r"^\| [^|]+ \| ([^|]+) \| yes \| ([^|]+) \|$", text, re.MULTILINE)
    read, written = set(), set()
    for names, writes in rows:
        extensions = set(re.findall(r"`(\.[\w.]+)`", names))
        read |= extensions
        written |= set() if writes.startswith("no") else extensions
    assert read == set(READABLE)
    assert written == set(WRITABLE)
    assert all(f"`{field.name}`" in text for field in dataclasses.fields(Row))
    hints = get_type_hints(Recipe)
    sections = {field.name for field in dataclasses.fields(Recipe) if dataclasses.is_dataclass(hints[field.name])}
    assert sections and all(f"`{name}`" in text for name in sections)


def test_the_report_has_the_documented_keys():
    voxels = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((12, 16, 16)), 1.5)
    report = medsr.super_resolve(voxels, scale=2, model="tikhonov", maps=("error",)).report
    documented = table_keys(text_of("docs/reference/file-formats.md"), "## The report")
    assert {*report, *report["consistency"], "output_file"} == documented
