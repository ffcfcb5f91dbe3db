"""Installing packages: after one question with sizes, keeping what Slicer relies on; nothing is installed here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

MODULE = Path(__file__).resolve().parents[2] / "MedSRExtension" / "MedSR"
if str(MODULE) not in sys.path:
    sys.path.insert(0, str(MODULE))

from MedSRLib import InstallLogic as install  # noqa: E402
from MedSRLib.Errors import InstallError  # noqa: E402

MISSING = "no-such-package-of-medsr>=2.8"


class FakeInstaller:
    """Notes what it was asked to install."""

    def __init__(self, works=True):
        self.calls, self.constraints, self.works = [], "", works

    def installTorch(self, requirement, arguments):
        self._note("torch", requirement, arguments)

    def install(self, arguments):
        self._note("pip", arguments[-1], arguments[:-1])

    def _note(self, way, requirement, arguments):
        if not self.works:
            raise OSError("no connection")
        self.calls.append((way, requirement, arguments))
        self.constraints = Path(arguments[arguments.index("--constraint") + 1]).read_text()


@pytest.fixture
def make(tmp_path):
    def build(requirements=MISSING, answer=True, works=True, isTesting=False):
        path = tmp_path / "requirements.txt"
        path.write_text(requirements + "\n")
        asked = []

        def ask(text):
            asked.append(text)
            return answer

        made = FakeInstaller(works)
        logic = install.InstallLogic(path, ask, made, lambda: isTesting)
        return logic, made, asked

    return build


def test_nothing_is_asked_when_nothing_is_missing(make):
    logic, installer, asked = make("numpy>=1.0\n# a remark")
    logic.ensure("net")
    assert (installer.calls, asked) == ([], [])


@pytest.mark.parametrize(("requirement", "met"), [("numpy", True), ("numpy>=1.20", True), ("numpy>=99", False)])
def test_versions_are_compared_without_importing(make, requirement, met):
    logic, _, _ = make(requirement)
    assert (logic.missing() == []) is met


def test_one_question_states_sizes(make):
    logic, _, asked = make("torch>=99\n" + MISSING)
    with pytest.raises(InstallError):
        logic.ensure("net")
    (question,) = asked
    for part in ("net", "torch>=99", "200 MB", "2.5 GB", "no image leaves", "numpy and SimpleITK stay"):
        assert part in question


def test_torch_goes_its_own_way_and_all_keep_what_slicer_relies_on(make):
    logic, installer, _ = make("torch>=99\n" + MISSING)
    with pytest.raises(InstallError, match="could not be installed"):  # the fake installs nothing
        logic.ensure("net")
    assert [(way, what) for way, what, _ in installer.calls] == [("torch", "torch>=99"), ("pip", MISSING)]
    assert "numpy==" in installer.constraints
    assert "SimpleITK==" in installer.constraints


def test_declining_says_what_works_without(make):
    logic, installer, _ = make(answer=False)
    with pytest.raises(InstallError, match="Tikhonov") as caught:
        logic.ensure("net")
    assert caught.value.declined
    assert installer.calls == []


def test_a_wheel_folder_needs_no_internet(make, tmp_path):
    logic, installer, asked = make("torch>=99")
    logic.wheelFolder = str(tmp_path)
    with pytest.raises(InstallError, match="could not"):
        logic.ensure("net")
    ((way, _, arguments),) = installer.calls
    assert way == "pip"
    assert "--no-index" in arguments
    assert arguments[arguments.index("--find-links") + 1] == str(tmp_path)
    assert "nothing is downloaded" in asked[0]
    logic.wheelFolder = str(tmp_path / "nothing")
    with pytest.raises(InstallError, match="no folder"):
        logic.ensure("net")


def test_failure_names_the_reason(make):
    logic, _, _ = make(works=False)
    with pytest.raises(InstallError, match="no connection"):
        logic.ensure("net")


def test_nothing_is_installed_while_testing(make):
    logic, installer, asked = make(isTesting=True)
    with pytest.raises(InstallError, match="while testing"):
        logic.ensure("net")
    assert (installer.calls, asked) == ([], [])


def test_macs_with_intel_processors_are_told(make, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(install.platform, "machine", lambda: "x86_64")
    logic, _, asked = make("torch>=99")
    with pytest.raises(InstallError, match="Intel"):
        logic.ensure("net")
    assert asked == []


def test_torch_comes_from_the_pytorch_extension_where_it_is(monkeypatch):
    import types

    calls = []

    class Logic:
        def installTorch(self, askConfirmation, torchVersionRequirement):
            calls.append((askConfirmation, torchVersionRequirement))
            return object()

    monkeypatch.setitem(sys.modules, "PyTorchUtils", types.SimpleNamespace(PyTorchUtilsLogic=Logic))
    install.SlicerInstaller().installTorch("torch>=2.8", [])
    assert calls == [(False, ">=2.8")]


def test_only_what_is_needed_is_asked_for_in_the_version_of_the_file(make):
    logic, _, _ = make("torch>=99\n" + MISSING)
    assert logic.missing(()) == []
    assert logic.missing(("torch",)) == ["torch>=99"]
    assert logic.missing(("another-package-of-medsr",)) == ["another-package-of-medsr"]
    logic.ensure("tikhonov", ())
    with pytest.raises(InstallError, match=r"torch>=99\."):
        make("torch>=99\n" + MISSING, answer=False)[0].ensure("net", ("torch",))


def test_the_file_knows_the_version_of_all_that_a_method_needs():
    from medsr.methods.table import METHODS

    logic = install.InstallLogic(MODULE / "Resources" / "requirements.txt", lambda text: False)
    needed = {package for method in METHODS for package in method.packages}
    lines = (MODULE / "Resources" / "requirements.txt").read_text().split()
    assert needed == {install._nameOf(line) for line in lines}
    assert set(logic.missing(sorted(needed))) <= set(lines)


def test_the_modules_requirements_are_readable():
    logic = install.InstallLogic(MODULE / "Resources" / "requirements.txt", lambda text: False)
    assert isinstance(logic.missing(), list)
