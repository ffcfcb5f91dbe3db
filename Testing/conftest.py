"""How many threads tests may use, set before anything that reads it is loaded; and what tests in parallel leave out."""

import os

import pytest

# A thread that spins while it waits for others keeps them from running where any other program wants the processor.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if _processes > 1:
    for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
        os.environ.setdefault(_name, str(max(1, (os.cpu_count() or 1) // _processes)))

_left_out = {}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Hear from a process of pytest-xdist which folders it could not test."""
    _left_out.update(getattr(node, "workeroutput", {}).get("medsr_left_out", {}))


def pytest_terminal_summary(terminalreporter):
    for folder, why in sorted(_left_out.items()):
        terminalreporter.write_line(f"SKIPPED {folder}: {why}")
