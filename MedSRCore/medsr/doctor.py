"""A look at the installation: what is there, what is missing for what, and whether the weights are intact."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import medsr
from medsr.catalog import load_catalog
from medsr.errors import MedSRError
from medsr.resources import available_memory

OLDEST_PYTHON = (3, 10)
REQUIRED = ("numpy", "scipy", "SimpleITK", "nibabel", "pydicom")
"""What MedSR always needs."""

# Package -> (what it is for, how to get it). `nilearn` is only located: its import needs packages that MedSR does not.
_OPTIONAL = {
    "torch": ("running the networks", "pip install 'medsr[network]'"),
    "monai": ("running the networks", "pip install 'medsr[network]'"),
    "lightning": ("medsr train", "pip install 'medsr[train]'"),
    "nilearn": ("medsr demo", "pip install --no-deps nilearn"),
}
_LITTLE_MEMORY = 2e9

OK, MISSING, BROKEN, NOTE = "ok", "missing", "BROKEN", "note"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what.
        status: "ok", "missing" (something optional), "BROKEN" (must be mended) or "note".
        detail: what was found.
        advice: what to do, or "".
        exit_code: of `medsr doctor` when this is broken.
    """

    name: str
    status: str
    detail: str
    advice: str = ""
    exit_code: int = 0


@dataclass(frozen=True)
class Diagnosis:
    """All findings."""

    findings: tuple[Finding, ...]

    @property
    def usable(self) -> bool:
        """True when nothing is broken; optional packages may be missing."""
        return not any(finding.status == BROKEN for finding in self.findings)

    @property
    def exit_code(self) -> int:
        """0 when usable, else that of the first broken thing."""
        return next((finding.exit_code for finding in self.findings if finding.status == BROKEN), 0)


def examine() -> Diagnosis:
    """Look at everything. Imports the packages, as only that shows whether they work."""
    return Diagnosis(
        (
            _python(),
            Finding("medsr", OK, f"{medsr.__version__} in {os.path.dirname(medsr.__file__)}"),  # noqa: PTH120
            *(_required(name) for name in REQUIRED),
            *(_optional(name) for name in _OPTIONAL),
            _cuda(),
            _memory(),
            *_weights(),
        )
    )


def _python() -> Finding:
    system = f"{platform.platform(terse=True)} {platform.machine()}"
    detail = f"{platform.python_version()} on {system}, {os.cpu_count()} cores"
    if sys.version_info < OLDEST_PYTHON:
        return Finding("Python", BROKEN, detail, "MedSR needs Python 3.10 or newer.", 6)
    return Finding("Python", OK, detail)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "of unknown version"


def _required(name: str) -> Finding:
    if find_spec(name) is None:
        return Finding(name, BROKEN, "not installed", "always needed. Install it with: pip install medsr", 6)
    try:
        import_module(name)
    except Exception as error:
        # Whatever a damaged package raises is the finding.
        advice = f"pip install --force-reinstall {name}"
        return Finding(name, BROKEN, f"does not import: {_first_line(error)}", advice, 6)
    return Finding(name, OK, _version(name))


def _optional(name: str) -> Finding:
    purpose, advice = _OPTIONAL[name]
    if find_spec(name) is None:
        return Finding(name, MISSING, "not installed", f"for {purpose}. Install it with: {advice}")
    if name != "nilearn":
        try:
            import_module(name)
        except Exception as error:
            # An optional package that is damaged takes only its feature away.
            detail = f"does not import: {_first_line(error)}"
            return Finding(name, NOTE, detail, f"for {purpose}. Reinstall it: {advice}")
    return Finding(name, OK, _version(name))


def _cuda() -> Finding:
    try:
        torch = import_module("torch")
        if not torch.cuda.is_available():
            return Finding("CUDA", NOTE, "no device that PyTorch can use: networks run on the CPU")
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        free, total = torch.cuda.mem_get_info()
        return Finding("CUDA", OK, f"{', '.join(names)}; {free / 1e9:.1f} of {total / 1e9:.1f} GB free")
    except ImportError:
        return Finding("CUDA", NOTE, "not asked for: PyTorch is not installed")
    except Exception as error:
        # A driver that does not answer must not end the examination.
        return Finding("CUDA", NOTE, f"PyTorch cannot ask the driver: {_first_line(error)}")


def _memory() -> Finding:
    free = available_memory()
    if free is None:
        return Finding("memory", NOTE, "this system does not say how much is free; give --memory to be safe")
    if free < _LITTLE_MEMORY:
        return Finding("memory", NOTE, f"{free / 1e9:.1f} GB free", "little: large volumes will be refused.")
    return Finding("memory", OK, f"{free / 1e9:.1f} GB free")


def _weights() -> list[Finding]:
    """One finding for every shipped network, its checksum compared."""
    try:
        networks = [entry for entry in load_catalog().values() if entry.folder is not None]
    except MedSRError as error:
        return [Finding("models", BROKEN, str(error), "Reinstall medsr.", error.exit_code)]
    if not networks:
        return [Finding("models", NOTE, "no network is installed; interpolation and deconvolution work")]
    findings = []
    for entry in networks:
        try:
            size = entry.verified_weights().stat().st_size
            findings.append(Finding(entry.name, OK, f"weights of {size / 1e6:.1f} MB, checksum right"))
        except MedSRError as error:
            findings.append(Finding(entry.name, BROKEN, str(error), "Reinstall medsr.", error.exit_code))
    return findings


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:200]
