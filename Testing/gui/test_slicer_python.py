"""Slicer's own Python is fetched once, checked, and found; a computer without internet is told."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import slicer_python


@pytest.fixture
def tag(tmp_path, monkeypatch):
    """A tag of which every file is known, and an environment of its own."""
    home, digest = tmp_path / "v1.0", hashlib.sha256()
    for number, name in enumerate(slicer_python.FILES):
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"number = {number}\n")
        digest.update(path.read_bytes())
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "environment"))
    monkeypatch.setitem(slicer_python.DIGESTS, "1.0", digest.hexdigest())
    monkeypatch.setenv("SLICER_PYTHON_VERSION", "1.0")
    monkeypatch.delenv("SLICER_PYTHON_DIR", raising=False)
    return home, tmp_path.as_uri() + "/v{version}/{name}"


def test_it_is_fetched_once_and_found(tag):
    home, address = tag
    assert slicer_python.folder() is None
    place = slicer_python.fetch("1.0", address)
    assert slicer_python.folder() == place
    assert (place / "slicer" / "i18n.py").read_text() == (home / "i18n.py").read_text()
    assert slicer_python.fetch("1.0", "no address at all") == place


def test_files_that_are_not_those_of_the_tag_are_refused(tag):
    home, address = tag
    (home / "i18n.py").write_text("print('somebody else was here')\n")
    with pytest.raises(ValueError, match="not the Python of Slicer"):
        slicer_python.fetch("1.0", address)
    assert slicer_python.folder() is None


def test_without_internet_it_is_told(tag):
    home, address = tag
    (home / "i18n.py").unlink()
    with pytest.raises(OSError, match="i18n"):
        slicer_python.fetch("1.0", address)
    with pytest.raises(ValueError, match=r"known: 5\.8\.1"):
        slicer_python.fetch("4.11")


def test_a_folder_that_was_named_must_hold_it(tag, monkeypatch, tmp_path):
    monkeypatch.setenv("SLICER_PYTHON_DIR", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="SLICER_PYTHON_DIR"):
        slicer_python.folder()


def test_the_program_ends_well_with_a_sentence_either_way():
    program = Path(slicer_python.__file__)
    ended = subprocess.run([sys.executable, str(program), "4.11"], capture_output=True, text=True, check=True)
    assert "stand-ins" in ended.stdout
