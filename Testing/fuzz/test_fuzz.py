"""The fuzzer runs, always makes the same cases, and notices what it is there to notice."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medsr.errors import InputError
from medsr.io import read_volume

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits memory and time as POSIX does")


@pytest.fixture
def parts(monkeypatch):
    """The modules of the fuzzer, which are no package."""
    monkeypatch.syspath_prepend(str(HERE))
    import damage
    import judge
    import originals

    return originals, damage, judge


def fuzz(*arguments, **environment):
    """Run the command."""
    command = [sys.executable, str(HERE / "fuzz_reading.py"), *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1", **environment}
    )


@pytest.fixture
def formats(parts):
    """Names of the formats, in the order in which cases take them."""
    import fuzz_reading

    return [image.name for image in fuzz_reading._images()]


def test_no_damage_of_hundreds_goes_unnoticed(formats):
    cases = 30 * len(formats)
    # With time enough for a case on a machine that has other work.
    ended = fuzz("--seed", 5, "--cases", cases, "--seconds", 120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{cases} cases of seed 5" in ended.stdout
    counted = re.search(rf"\| all \| {cases} \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|", ended.stdout)
    assert all(int(number) > 0 for number in counted.groups())
    assert re.findall(r"^\| (.*) \| 30 \|", ended.stdout, re.MULTILINE) == formats


def test_a_case_of_a_seed_is_always_the_same(parts):
    originals, damage, _ = parts
    first, second = originals.originals(), originals.originals()
    assert first == second
    for number, image in enumerate(first):
        made = [damage.damaged(image, np.random.default_rng([3, number])) for _ in range(2)]
        assert made[0] == made[1]
        assert made[0] != damage.damaged(image, np.random.default_rng([4, number]))


def lying(volume, **changes):
    return lambda _: volume.replace(**changes)


def raising(error):
    def read(_):
        raise error

    return read


def test_the_judge_notices_each_defect_and_nothing_else(parts, tmp_path, monkeypatch):
    originals, damage, judge = parts
    image = next(image for image in originals.originals() if image.name == ".nii")
    folder = tmp_path / "case"
    judge.write(image.files, folder)
    whole = read_volume(folder / image.opened)
    grid = whole.geometry
    moved = grid.cropped((1, 0, 0), grid.size_xyz)
    other = whole.array.copy()
    other[0, 0, 0] += 1
    many = whole.array + 1

    def verdict(read, promise, changed=(), geometry=grid):
        monkeypatch.setattr(judge, "read_volume", read)
        monkeypatch.setattr(judge, "read_geometry", lambda _: geometry)
        return judge.judge(image, whole, damage.Damage("damage", image.files, promise, changed), folder).verdict

    one = (("a.nii", 352, 352),)
    for promise in ("whole", "told", "voxels", "stated"):
        assert verdict(lying(whole), promise) == "same"
        assert verdict(raising(InputError("'a.nii' is truncated or corrupt. Copy it again.")), promise) == "refused"
        assert verdict(raising(ValueError("x")), promise) == "traceback"
        assert verdict(raising(InputError("bad")), promise) == "sentence"
        assert verdict(lying(whole), promise, geometry=moved) == "inconsistent"
    for promise in ("whole", "told"):
        assert verdict(lying(whole, array=other), promise) == "unnoticed"
        assert verdict(lying(whole, geometry=moved), promise, geometry=moved) == "unnoticed"
    told = lying(whole, array=other, warnings=("It is odd.",))
    assert verdict(told, "told") == "told"
    assert verdict(told, "whole") == "unnoticed"
    assert verdict(lying(whole, array=other), "voxels", one) == "voxels"
    assert verdict(lying(whole, array=many), "voxels", one) == "unnoticed"
    assert verdict(lying(whole, array=other, geometry=moved), "voxels", one, moved) == "unnoticed"
    assert verdict(lying(whole, geometry=moved), "stated", geometry=moved) == "restated"


PLANTED = {
    ".nii": ("os.kill(os.getpid(), signal.SIGSEGV)", "crash"),
    ".mgh": ("time.sleep(60)", "hang"),
    ".mgz": ("np.ones(1 << 30)", "traceback"),
}


def test_crashes_hangs_and_hunger_for_memory_are_findings_and_not_the_end(tmp_path, formats):
    codes = {suffix: code for suffix, (code, _) in PLANTED.items()}
    # Python runs this module first: it spoils the reading of some files, but for the first, which is not damaged.
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys, time\n"
        "if '--inner' in sys.orig_argv:\n"
        "    import numpy as np\n"
        "    import medsr.io.reading as reading\n"
        f"    planted = {codes}\n"
        "    seen = set()\n"
        "    def spoil(real):\n"
        "        def spoilt(source, **options):\n"
        "            if source.suffix in seen:\n"
        "                exec(planted.get(source.suffix, ''))\n"
        "            seen.add(source.suffix)\n"
        "            return real(source, **options)\n"
        "        return spoilt\n"
        "    reading.read_nifti = spoil(reading.read_nifti)\n"
        "    reading._READERS['mgh'] = spoil(reading._READERS['mgh'])\n"
    )
    kept = tmp_path / "kept"
    # Of the second round, and their neighbours.
    numbers = {suffix: len(formats) + formats.index(suffix) for suffix in PLANTED}
    first, cases = min(numbers.values()) - 1, max(numbers.values()) - min(numbers.values()) + 3
    words = ("--seed", 1, "--first", first, "--cases", cases, "--seconds", 4, "--keep", kept)
    ended = fuzz(*words, PYTHONPATH=str(tmp_path))
    assert ended.returncode == 1
    assert f"{cases} cases of seed 1" in ended.stdout
    found = re.findall(r"^(\w+): (.*), case (\d+)", ended.stdout, re.MULTILINE)
    assert {(verdict, suffix, str(numbers[suffix])) for suffix, (_, verdict) in PLANTED.items()} <= set(found)
    assert (kept / f"1-{numbers['.mgz']}" / "a.mgz").is_file()
