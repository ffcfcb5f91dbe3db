"""What this computer has to give."""

from __future__ import annotations

import ctypes
import os
import sys
from functools import lru_cache
from pathlib import Path


def wait_quietly() -> None:
    """Let threads that wait for each other sleep, not spin; call it before torch is loaded.

    Where other programs want the cores too, spinning costs more than the work: 43.7 s instead of 12.0 s for one volume
    on two busy cores. Who has set ``OMP_WAIT_POLICY`` keeps it.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def size_text(count: float) -> str:
    """Bytes for people, in the unit that leaves one to three digits before the point: "5.32 kB", "1.2 GB"."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        # What would be rounded to a thousand of the smaller unit is one of this.
        if count >= 0.9995 * unit:
            return f"{count / unit:.3g} {name}"
    return f"{count:.0f} bytes"


@lru_cache(maxsize=1)
def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself, as far as Linux says, for who plans without torch."""
    try:
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def available_memory() -> int | None:
    """Bytes of memory that a job may take without swapping, or None where the system does not say.

    On Linux the limit of the control group (a container's) counts too.
    """
    if sys.platform.startswith("linux"):
        free = _meminfo()
        limit = _cgroup_room()
        return min(v for v in (free, limit) if v is not None) if free or limit else None
    if sys.platform == "win32":
        return _windows_free()
    return None


def _meminfo() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return None


def _cgroup_room() -> int | None:
    folder = Path("/sys/fs/cgroup")
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        used = int((folder / "memory.current").read_text(encoding="ascii"))
        return None if limit == "max" else max(int(limit) - used, 0)
    except (OSError, ValueError):
        return None


def _windows_free() -> int | None:
    class Status(ctypes.Structure):
        _fields_ = [
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            ("total", ctypes.c_ulonglong),
            ("available", ctypes.c_ulonglong),
            *((name, ctypes.c_ulonglong) for name in ("a", "b", "c", "d", "e")),
        ]

    status = Status()
    status.length = ctypes.sizeof(Status)
    call = getattr(ctypes, "windll").kernel32.GlobalMemoryStatusEx  # noqa: B009  not there elsewhere, says mypy
    return int(status.available) if call(ctypes.byref(status)) else None
