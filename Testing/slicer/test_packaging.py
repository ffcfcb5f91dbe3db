"""What a Slicer build tree and the Extensions Index ask of the extension, without a Slicer."""

from __future__ import annotations

import ast
import json
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXTENSION = ROOT / "MedSRExtension"
MODULE = EXTENSION / "MedSR"
SOURCES = sorted(path.relative_to(MODULE).as_posix() for path in MODULE.rglob("*.py"))


def listed(name: str) -> list[str]:
    text = (MODULE / "CMakeLists.txt").read_text(encoding="utf-8")
    body = re.search(rf"set\({name}\n(.*?)\n  \)", text, re.DOTALL).group(1)
    return [line.strip().replace("${MODULE_NAME}", "MedSR") for line in body.splitlines()]


def test_every_python_file_of_the_module_is_listed():
    assert len(SOURCES) > 15
    assert sorted(listed("MODULE_PYTHON_SCRIPTS")) == SOURCES


def test_every_resource_is_listed():
    there = sorted(p.relative_to(MODULE).as_posix() for p in (MODULE / "Resources").rglob("*") if p.is_file())
    assert sorted(listed("MODULE_PYTHON_RESOURCES")) == there


def library_files(folder: Path) -> set[str]:
    """Paths below a folder, without caches."""
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in files if not any(part.endswith("cache__") for part in path.parts)}


@pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not installed")
def test_cmake_builds_and_installs_a_working_tree(tmp_path):
    """With a stand-in for Slicer's build tree: the installed module finds its library, and the worker starts."""
    fake = Path(__file__).parent / "fakeslicer"
    source, build, installed = tmp_path / "source", tmp_path / "build", tmp_path / "installed"
    library = source / "MedSRCore" / "medsr"
    for name in ("CMakeLists.txt", "MedSRExtension", "MedSRCore/medsr"):
        source.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if ROOT.joinpath(name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    there = library_files(library)
    assert {"worker.py", "__init__.py", "py.typed"} < there
    for cache in ("__pycache__", ".ruff_cache", "io/__pycache__"):
        (library / cache).mkdir(exist_ok=True)
        (library / cache / "left.over").write_text("")
    configure = ["cmake", "-S", source, "-B", build, f"-DSlicer_DIR={fake}", f"-DCMAKE_INSTALL_PREFIX={installed}"]
    subprocess.run([*map(str, configure), "-DBUILD_TESTING=ON"], check=True, capture_output=True)
    for command in ("--build", "--install"):
        subprocess.run(["cmake", command, str(build)], check=True, capture_output=True)
    folder = installed / "lib/Slicer-5.10/qt-scripted-modules"
    built = build / "lib/Slicer-5.10/qt-scripted-modules" / "MedSRCore" / "medsr"
    for place in (folder / "MedSRCore" / "medsr", built):
        files = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
        assert files == there, place
    for name in [*SOURCES, "Resources/UI/MedSR.ui", "Resources/Icons/MedSR.png"]:
        assert (folder / name).is_file(), name
    code = "from MedSRLib.CorePath import *; print(coreFolder()); ensureCore(); import medsr.worker"
    # Without site-packages, where medsr may be installed.
    found = subprocess.run([sys.executable, "-S", "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()) == folder / "MedSRCore"
    # A file that was added or removed since is added or removed at the next build, without configuring again.
    (library / "new_file.py").write_text("")
    (library / "py.typed").unlink()
    subprocess.run(["cmake", "--build", str(build)], check=True, capture_output=True)
    assert library_files(built) - there == {"new_file.py"}
    assert there - library_files(built) == {"py.typed"}


def test_extension_metadata():
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    assert "project(MedSR)" in text
    for name in ("HOMEPAGE", "CONTRIBUTORS", "DESCRIPTION", "ICONURL", "SCREENSHOTURLS", "DEPENDS"):
        assert re.search(rf'set\(EXTENSION_{name} "[^"]+"\)', text), name
    for url in re.findall(r"https://raw.githubusercontent.com/medsr/SlicerMedSR/main/(\S+?)[\" ]", text):
        assert (ROOT / url).is_file(), url


def test_index_entry():
    entry = json.loads((ROOT / "MedSR.json").read_text(encoding="utf-8"))
    for name in ("$schema", "category", "scm_url"):
        assert entry[name]
    known = {
        "$schema",
        "build_dependencies",
        "build_subdirectory",
        "category",
        "enabled",
        "scm_revision",
        "scm_url",
        "tier",
    }
    assert set(entry) <= known
    assert entry["tier"] in (1, 3, 5)
    assert entry["category"] == "Filtering"  # the one under which Slicer lists the module, too
    assert 'translate("qSlicerAbstractCoreModule", "Filtering")' in (MODULE / "MedSR.py").read_text(encoding="utf-8")
    assert (ROOT / "LICENSE").is_file()
    assert entry["scm_url"].rsplit("/", 1)[1].startswith("Slicer")


def size_of_png(path: Path) -> tuple[int, int]:
    return struct.unpack(">II", path.read_bytes()[16:24])


def test_icon_is_a_square_picture():
    assert size_of_png(MODULE / "Resources/Icons/MedSR.png") == (128, 128)


def test_a_screenshot_shows_the_module_on_a_screen():
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    first = re.search(r'EXTENSION_SCREENSHOTURLS "\S+/main/(\S+)', text).group(1)
    assert size_of_png(ROOT / first) == (1366, 768)


def test_the_description_is_one_or_two_sentences_that_say_what_it_is_for():
    text = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
    description = re.search(r'EXTENSION_DESCRIPTION "([^"]+)"', text).group(1)
    assert description.count(". ") <= 1
    for part in ("MR", "CT", "not for diagnosis"):
        assert part in description


@pytest.mark.parametrize("name", SOURCES)
def test_module_runs_in_the_python_of_slicer_5_8(name):
    """Python 3.9 grammar, and nothing heavy at file scope: Slicer imports every module when it starts."""
    tree = ast.parse((MODULE / name).read_text(encoding="utf-8"), feature_version=(3, 9))
    light = {"slicer", "vtk", "qt", "ctk", "numpy", "MedSRLib", "AbstractScriptedSubjectHierarchyPlugin"}
    light |= sys.stdlib_module_names
    for node in tree.body:
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= light
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] in light


def test_unions_are_not_evaluated_before_python_3_10():
    """``X | None`` in annotations needs the future import; parameter classes, whose hints are evaluated, have none."""
    for name in SOURCES:
        text = (MODULE / name).read_text(encoding="utf-8")
        tree = ast.parse(text)
        has_union = any(
            isinstance(node, ast.AnnAssign | ast.arg | ast.FunctionDef)
            and (hint := getattr(node, "annotation", None) or getattr(node, "returns", None))
            and any(isinstance(part, ast.BinOp) for part in ast.walk(hint))
            for node in ast.walk(tree)
        )
        assert not has_union or "from __future__ import annotations" in text, name


def test_opening_the_module_imports_no_library(tmp_path):
    """What Slicer does at start-up: import the file. Neither medsr, SimpleITK nor torch may come in by it."""
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    pytest.importorskip("PySide6.QtUiTools", reason="PySide6 is not installed")
    code = (
        "import sys; sys.path[:0] = [sys.argv[1], sys.argv[2]]\n"
        "from qthost.host import start; start()\n"
        "before = set(sys.modules)\n"
        "import MedSR\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "heavy = new & {'medsr', 'SimpleITK', 'torch', 'scipy', 'monai'}\n"
        "assert not heavy, heavy\n"
    )
    arguments = [sys.executable, "-c", code, str(ROOT / "Testing/gui"), str(MODULE)]
    ended = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
