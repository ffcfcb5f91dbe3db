"""Damaged images, by the thousand: what is read must be what was written, or be refused or warned of.

    python Testing/fuzz/fuzz_reading.py --minutes 60 --seed 7

Takes a small image in every format, flips bits, changes, cuts and appends bytes, headers and names of data files, reads
the result, and enlarges what could be read. It must come out as it was, or with a sentence; where nothing protects a
byte (raw voxels, numbers in a header), exactly what that byte says may differ. A traceback, a crash, more than 10
seconds or 1 GiB for a case, and a difference that goes unnoticed are defects. Prints a table and the defects as
Markdown; exits 1 when there are any. Case N of a seed is always the same: `--seed 7 --first N --cases 1 --keep DIR`
makes one again.

Cases run in a process of their own, so that a crash is one more finding. POSIX only.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from damage import Damage, damaged
from dicom_cases import dicom_damaged, dicom_originals
from judge import DEFECTS, FINE, judge, write
from originals import Original, originals

from medsr.io import read_volume

_MEMORY = 1 << 30


def main() -> int:
    """Run the cases and print what came of them."""
    arguments = _arguments()
    names = [original.name for original in _images()]
    if arguments.inner:
        _run_cases(arguments)
        return 0
    table: dict[str, Counter[str]] = defaultdict(Counter)
    defects = []
    for case in _outcomes(arguments, names):
        table[case["format"]][case["verdict"]] += 1
        if case["verdict"] in DEFECTS:
            defects.append(case)
    _print(table, defects, arguments)
    return int(bool(defects))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--cases", type=int, default=10**12, help="how many")
    parser.add_argument("--minutes", type=float, default=None, help="stop after these; without --cases, 1 is taken")
    parser.add_argument("--keep", type=Path, help="write the files of every defect below this folder")
    parser.add_argument("--seconds", type=int, default=10, help="longer than that is a hang")
    parser.add_argument("--inner", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.minutes is None and arguments.cases == 10**12:
        arguments.minutes = 1.0
    return arguments


def _outcomes(arguments: argparse.Namespace, names: list[str]) -> Iterator[dict[str, str]]:
    """What came of each case; the process that runs them is started again when it ends."""
    until = time.monotonic() + 60 * arguments.minutes if arguments.minutes is not None else None
    number, last = arguments.first, arguments.first + arguments.cases
    while number < last:
        command = [sys.executable, __file__, "--inner", f"--seed={arguments.seed}", f"--first={number}"]
        command += [
            f"--seconds={arguments.seconds}",
            f"--cases={last - number}",
            *([f"--keep={arguments.keep}"] if arguments.keep else []),
        ]
        with (
            tempfile.TemporaryFile("w+") as complaints,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, text=True) as process,
        ):
            begun = ""
            for line in process.stdout or ():
                case = json.loads(line)
                begun = case.pop("begun", "")
                if not begun:
                    yield {**case, "format": names[number % len(names)]}
                    number += 1
                if until is not None and time.monotonic() > until:
                    process.terminate()
                    return
            process.wait()
            complaints.seek(0)
            said = complaints.read()[-1500:]
        if number >= last:
            return
        verdict = "hang" if process.returncode == -signal.SIGALRM else "crash"
        if not begun:
            raise RuntimeError(f"The process ended before case {number} ({process.returncode}): {said}")
        ended = {"number": str(number), "verdict": verdict, "what": begun, "why": f"exit {process.returncode}: {said}"}
        yield {**ended, "format": names[number % len(names)]}
        number += 1


def _run_cases(arguments: argparse.Namespace) -> None:
    """The inner process: one line when a case begins, one when it ends."""
    warnings.simplefilter("ignore")
    images = _images()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "case"
        whole = [_read(image, folder) for image in images]
        most = _used() + _MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        for number in range(arguments.first, arguments.first + arguments.cases):
            image = images[number % len(images)]
            damage = _damaged(image, np.random.default_rng([arguments.seed, number]))
            print(json.dumps({"begun": damage.what}), flush=True)
            signal.alarm(arguments.seconds)
            verdict = judge(image, whole[number % len(images)], damage, folder)
            signal.alarm(0)
            case = {"number": str(number), "verdict": verdict.verdict, "what": damage.what, "why": verdict.why}
            if arguments.keep and verdict.verdict in DEFECTS:
                arguments.keep.mkdir(parents=True, exist_ok=True)
                write(damage.files, arguments.keep / f"{arguments.seed}-{number}")
            print(json.dumps(case), flush=True)


def _images() -> list[Original]:
    return [*originals(), *dicom_originals()]


def _damaged(image: Original, rng: np.random.Generator) -> Damage:
    return (dicom_damaged if image.name.startswith("DICOM") else damaged)(image, rng)


def _read(image: Original, folder: Path):
    write(image.files, folder)
    return read_volume(folder / image.opened)


def _used() -> int:
    """Address space that this process has, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def _print(table: dict[str, Counter[str]], defects: list[dict[str, str]], arguments: argparse.Namespace) -> None:
    total: Counter[str] = sum(table.values(), Counter())
    print(f"{sum(total.values())} cases of seed {arguments.seed} from case {arguments.first}\n")
    columns = [*FINE, *(name for name in DEFECTS if total[name])]
    print("| format | cases | " + " | ".join(columns) + " |")
    print("|---|" + "---:|" * (len(columns) + 1))
    for name, counts in [*table.items(), ("all", total)]:
        print(f"| {name} | {sum(counts.values())} | " + " | ".join(str(counts[column]) for column in columns) + " |")
    for case in defects[:50]:
        print(f"\n{case['verdict']}: {case['format']}, case {case['number']}: {case['what']}\n{case['why']}")


if __name__ == "__main__":
    raise SystemExit(main())
