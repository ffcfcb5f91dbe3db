"""The house stands: imports point one way, and what should be light is light."""

import ast
import subprocess
import sys
from pathlib import Path

import medsr

CORE = Path(medsr.__file__).parent

LAYERS = [
    {"errors", "digests", "resources", "interrupts", "jsontext", "fields"},
    {"geometry", "facts", "notices", "physics", "options", "normalisation", "phantom_figures", "maps"},
    {"volume", "catalog", "jobs"},
    {"io", "metrics", "models", "losses", "planning", "cohort"},
    {"methods"},
    {"inference"},
    {"training", "api", "files", "frames", "series"},
    {"augmentation", "batch", "transforms", "evaluation", "fusion", "worker"},
    {"demo", "doctor"},
    {"cli", "__main__"},
]


def layer_of(name):
    for level, names in enumerate(LAYERS):
        if name in names:
            return level
    raise AssertionError(f"{name} has no layer: add it to LAYERS")


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("medsr."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("medsr."):
                    yield alias.name.split(".")[1]


def test_imports_point_one_way():
    checked = 0
    for path in sorted(CORE.rglob("*.py")):
        relative = path.relative_to(CORE)
        own = relative.parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        for target in imports_of(path):
            assert layer_of(target) <= layer_of(own), f"{relative} ({own}) imports {target}"
            checked += 1
    assert checked > 50


def module_of(path):
    parts = path.relative_to(CORE).with_suffix("").parts
    return ".".join(("medsr", *parts)).removesuffix(".__init__")


def modules_named_by(path, known):
    """Those that a file names in imports anywhere in it: at its head, in functions, for annotations alone."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("medsr."):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in known else node.module


def test_no_two_modules_need_each_other():
    paths = {module_of(path): path for path in sorted(CORE.rglob("*.py"))}
    waiting = {name: set(modules_named_by(path, paths)) - {name} for name, path in paths.items()}
    while free := [name for name, needs in waiting.items() if not needs & waiting.keys()]:
        for name in free:
            del waiting[name]
    assert not waiting


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_importing_medsr_loads_nothing_heavy():
    code = (
        "import sys, medsr; print([m for m in ('torch', 'SimpleITK', 'scipy', 'monai', 'numpy') if m in sys.modules])"
    )
    assert run(code).strip() == "[]"


def test_closed_forms_never_load_torch():
    code = (
        "import sys, numpy as np, medsr\n"
        "sys.modules['torch'] = None\n"
        "a = np.random.default_rng(0).random((12, 16, 16))\n"
        "for model in ('linear', 'bspline', 'lanczos', 'tikhonov'):\n"
        "    medsr.super_resolve(a, scale=2, model=model)\n"
        "medsr.load_catalog(); print('fine')"
    )
    assert run(code).strip() == "fine"


def test_public_names_are_there():
    for name in medsr.__all__:
        assert getattr(medsr, name) is not None
    assert "super_resolve" in dir(medsr)
