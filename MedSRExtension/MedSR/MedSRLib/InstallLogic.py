"""Getting the packages that a network needs: on the first click that needs them, after one question, never before.

Interpolation and Tikhonov need nothing. PyTorch comes through the PyTorch extension where that is installed (it picks
the build for the graphics card), everything else through Slicer's own pip, with constraints that keep the numpy,
SimpleITK and torch that Slicer and other extensions rely on.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from MedSRLib.Errors import InstallError
from MedSRLib.Translation import tr as _

KEPT = ("numpy", "SimpleITK", "torch", "scipy")
SIZES = {"torch": (200, 2500)}
"""Rough download in MB: for the processor alone, and with support for NVIDIA cards."""


class InstallerProtocol(Protocol):
    """Does the installing; replaced in tests."""

    def installTorch(self, requirement: str, arguments: list[str]) -> None:
        """Install torch, by the PyTorch extension where it is."""

    def install(self, arguments: list[str]) -> None:
        """Run ``pip install`` with `arguments`."""


class InstallLogic:
    """Finds out what is missing, asks, installs.

    Args:
        requirementsFile: one requirement per line.
        ask: shows a question to the person; True for yes.
        installer: does it.
        isTesting: True where nothing may be installed.
    """

    def __init__(
        self,
        requirementsFile: Path,
        ask: Callable[[str], bool],
        installer: InstallerProtocol | None = None,
        isTesting: Callable[[], bool] = lambda: False,
    ) -> None:
        self._file = requirementsFile
        self._ask = ask
        self._installer = installer or SlicerInstaller()
        self._isTesting = isTesting
        self.wheelFolder = ""

    def missing(self, packages: Sequence[str] | None = None) -> list[str]:
        """The requirements that this Python does not meet; nothing is imported.

        Args:
            packages: names of those that are needed; None for all of the file, which knows their versions.
        """
        lines = self._file.read_text(encoding="utf-8").splitlines()
        known = [requirement for line in lines if (requirement := line.split("#")[0].strip())]
        if packages is not None:
            versions = {_nameOf(requirement): requirement for requirement in known}
            known = [versions.get(name, name) for name in packages]
        return [requirement for requirement in known if not _isMet(requirement)]

    def ensure(self, modelName: str, packages: Sequence[str] | None = None, instead: str = "") -> None:
        """Make sure that `modelName` can run, asking once.

        Args:
            modelName: of the model or recipe that needs the packages.
            packages: which it needs, as for `missing`.
            instead: what a person who declines can do; default: choose another method.

        Raises:
            InstallError: the person declined, it cannot work on this computer, or the installation failed.
        """
        missing = self.missing(packages)
        if not missing:
            return
        _checkPlatform(missing)
        if self._isTesting():
            raise InstallError(
                _("{model} needs {packages}; nothing is installed while testing.").format(
                    model=modelName, packages=", ".join(missing)
                )
            )
        if not self._ask(self.question(modelName, missing)):
            raise InstallError(
                _("{model} needs {packages}. Without them, {instead}.").format(
                    model=modelName,
                    packages=", ".join(missing),
                    instead=instead or _("choose Tikhonov or an interpolation under Method"),
                ),
                declined=True,
            )
        self._install(missing)
        still = self.missing(packages)
        if still:
            raise InstallError(
                _("{packages} could not be installed. See the log for pip's messages, or restart Slicer.").format(
                    packages=", ".join(still)
                )
            )

    def question(self, modelName: str, missing: list[str]) -> str:
        """The one question, with sizes."""
        lines = []
        for requirement in missing:
            small, large = SIZES.get(_nameOf(requirement), (50, 50))
            size = _("{small} MB").format(small=small)
            if large > small:
                size = _("{small} MB; {large:.1f} GB with NVIDIA support").format(small=small, large=large / 1000)
            lines.append(_("- {requirement} (download about {size})").format(requirement=requirement, size=size))
        source = (
            _("They are taken from the folder {folder}; nothing is downloaded.").format(folder=self.wheelFolder)
            if self.wheelFolder
            else _("They are downloaded from the internet; no image leaves this computer.")
        )
        return _(
            "{model} needs packages that are not installed in Slicer's Python:\n\n{packages}\n\n{source} "
            "Slicer's numpy and SimpleITK stay as they are. Install now?"
        ).format(model=modelName, packages="\n".join(lines), source=source)

    def _install(self, missing: list[str]) -> None:
        with tempfile.TemporaryDirectory(prefix="medsr-") as folder:
            constraints = Path(folder, "constraints.txt")
            constraints.write_text("\n".join(pinned()) + "\n", encoding="utf-8")
            arguments = ["--constraint", str(constraints)]
            if self.wheelFolder:
                if not Path(self.wheelFolder).is_dir():
                    raise InstallError(_("There is no folder {folder} with wheels.").format(folder=self.wheelFolder))
                arguments += ["--no-index", "--find-links", self.wheelFolder]
            try:
                for requirement in missing:
                    if _nameOf(requirement) == "torch" and not self.wheelFolder:
                        self._installer.installTorch(requirement, arguments)
                    else:
                        self._installer.install([*arguments, requirement])
            except InstallError:
                raise
            except Exception as error:
                raise InstallError(
                    _(
                        "Installing failed: {reason}. Check the connection, or give a wheel folder under Advanced."
                    ).format(reason=error)
                ) from error
        importlib.invalidate_caches()


class SlicerInstaller:
    """Installs into Slicer's Python, from the main thread."""

    def installTorch(self, requirement: str, arguments: list[str]) -> None:
        """By the PyTorch extension; by pip where it is not installed."""
        try:
            import PyTorchUtils
        except ImportError:
            self.install([*arguments, requirement])
            return
        version = requirement[len("torch") :]
        if (
            PyTorchUtils.PyTorchUtilsLogic().installTorch(askConfirmation=False, torchVersionRequirement=version)
            is None
        ):
            raise InstallError(_("The PyTorch extension did not install PyTorch. Open its module to see why."))

    def install(self, arguments: list[str]) -> None:
        """By Slicer's pip; it shows its own progress since 5.12."""
        import slicer.util

        slicer.util.pip_install(arguments)


def pinned() -> list[str]:
    """``name==version`` of what is installed and must stay."""
    found = []
    for name in KEPT:
        try:
            found.append(f"{name}=={importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _nameOf(requirement: str) -> str:
    return re.split(r"[<>=!~\[; ]", requirement, maxsplit=1)[0]


def _isMet(requirement: str) -> bool:
    """True when the package is there in a version that is new enough; knows ``name`` and ``name>=version``."""
    name, _sign, least = requirement.partition(">=")
    try:
        version = importlib.metadata.version(_nameOf(name.strip()))
    except importlib.metadata.PackageNotFoundError:
        return False
    return not least or _numbers(version) >= _numbers(least)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3])


def _checkPlatform(missing: list[str]) -> None:
    """Raise for computers that no torch is made for."""
    if "torch" in map(_nameOf, missing) and sys.platform == "darwin" and platform.machine() == "x86_64":
        raise InstallError(
            _(
                "PyTorch is no longer made for Macs with Intel processors, so the networks cannot run here. "
                "Interpolation and Tikhonov work, and Advanced takes a Python on this computer that has medsr."
            )
        )


def recipesNeedTorch(recipes: Sequence[str], model: str | None = None) -> bool:
    """True when a training set by these recipes takes a network; `model` replaces the one that they name."""
    from medsr.augmentation.recipes import load_recipe
    from medsr.catalog import find_model

    chosen = [load_recipe(name) for name in recipes]
    parts = [load_recipe(name) for recipe in chosen for name in recipe.one_of]
    names = {model or recipe.model for recipe in (*chosen, *parts) if not recipe.one_of}
    return any(name == "auto" or find_model(name).needs_torch for name in names)
