"""Write MedSRCoreFiles.cmake: the files of the library that the extension package takes along.

Run ``python MedSRExtension/update_core_files.py`` after adding, moving or removing a file of ``MedSRCore/medsr``.
"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).resolve().parent
CORE = HERE.parent / "MedSRCore"
LIST = HERE / "MedSRCoreFiles.cmake"
_LEFT_OUT = ("__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache")


def core_files() -> list[str]:
    """Paths of all files of the library, relative to MedSRCore, sorted."""
    found = (path.relative_to(CORE) for path in (CORE / "medsr").rglob("*") if path.is_file())
    return sorted(path.as_posix() for path in found if not set(path.parts) & set(_LEFT_OUT))


def cmake_text(files: list[str]) -> str:
    """The CMake file that lists `files`."""
    lines = "\n".join(f"  {name}" for name in files)
    return (
        f"# Written by update_core_files.py; a test compares it with the folder.\nset(MEDSR_CORE_FILES\n{lines}\n  )\n"
    )


if __name__ == "__main__":
    LIST.write_text(cmake_text(core_files()), encoding="utf-8")
