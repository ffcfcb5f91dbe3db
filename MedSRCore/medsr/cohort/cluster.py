"""Many tasks at once on a Dask cluster: one made on this machine, or any scheduler's."""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent import futures
from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Any

from medsr.cohort.work import FAILED, Execute, Executor, T, Task, TaskResult, remove_drafts
from medsr.errors import CancelledError, InputError, MissingDependencyError
from medsr.jobs import Progress
from medsr.options import parse_bytes
from medsr.resources import available_memory

LOCAL = "local"

# Given nothing, Dask shows its state to the whole network.
_LOOPBACK = "127.0.0.1:0"
_CONNECT_SECONDS = 20
_WAIT_SECONDS = 0.5
_RETRIES = 2
_LEAST_WORKER_BYTES = 1_500_000_000
"""A process with torch loaded takes half a gigabyte before it does anything."""
_SHARE_OF_MEMORY = 0.8
_WAITING_PER_THREAD = 2
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
_PROTOCOLS = ("tcp://", "tls://", "ucx://", "ws://", "wss://")


def choose_workers(asked: int, memory: str | None, needs_bytes: int, cores: int, free: int | None) -> tuple[int, int]:
    """How many processes to start on this machine, and the memory that each may take.

    Args:
        asked: number of workers; 0 for as many as fit.
        memory: text such as "6GB" that each may take; None for what the largest task needs.
        needs_bytes: of the largest task, estimated.
        cores: of this machine.
        free: bytes of memory; None where unknown.

    Returns:
        Number of workers, at least 1, and bytes for each.
    """
    each = parse_bytes(memory) if memory else max(_LEAST_WORKER_BYTES, 2 * needs_bytes)
    fitting = cores if free is None else int(_SHARE_OF_MEMORY * free / each)
    return asked or max(1, min(cores, fitting)), each


@contextmanager
def open_cluster(cluster: str | None, workers: int, memory: str | None, needs_bytes: int) -> Iterator[Executor]:
    """An executor on a Dask cluster, for as long as the block runs.

    Args:
        cluster: address of a scheduler; None or "local" starts worker processes on this machine and ends them.
        workers: how many to start here; 0 for as many as memory and cores allow.
        memory: text such as "6GB" that each of them may take, or None.
        needs_bytes: of the largest task, estimated.

    Raises:
        MissingDependencyError: Dask is not installed.
        InputError: there is no scheduler, or none that can be talked to.
    """
    try:
        distributed: Any = import_module("distributed")
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "Working on several processes or machines needs dask, not installed here. Install with: "
            "pip install 'medsr[cohort]'"
        ) from error
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        if cluster in (None, LOCAL):
            # Last to go, when the workers have ended: what one that was killed left there goes with it.
            scratch = stack.enter_context(tempfile.TemporaryDirectory(prefix="medsr-", ignore_cleanup_errors=True))
            here = stack.enter_context(_local_cluster(distributed, workers, memory, needs_bytes, scratch))
            yield DaskExecutor(stack.enter_context(distributed.Client(here)), owns_workers=True)
        else:
            yield DaskExecutor(stack.enter_context(_connect(distributed, str(cluster))), owns_workers=False)


class DaskExecutor:
    """Sends tasks to the workers of a client and collects their results.

    A task whose worker vanished goes to another one, three times at most; a result is complete or not there, so nothing
    is done twice and nothing is half done. Only a few tasks wait at each worker: the others stay here, where stopping
    is immediate.

    Args:
        client: of ``distributed``.
        owns_workers: the workers end with the block that made this executor; tasks that run then end with them.
    """

    def __init__(self, client: Any, *, owns_workers: bool) -> None:
        self._client, self._owns_workers = client, owns_workers

    def run(self, tasks: Sequence[T], execute: Execute[T], progress: Progress) -> Iterator[TaskResult]:
        """Yield the results in the order in which they arrive.

        Raises:
            CancelledError: the person asked to stop. Workers that were started here are ended, and what they had begun
                is removed; those of another scheduler finish what they have begun.
            InputError: the scheduler went away.
        """
        distributed: Any = import_module("distributed")
        if not self._client.nthreads():
            progress.warn("The scheduler has no worker yet; the work begins when one comes.")
        left = iter(tasks)
        running: dict[Any, T] = {}
        try:
            while True:
                for task in _take(left, self._room() - len(running)):
                    # Not pure: a result that the scheduler remembers is no file on this disk.
                    future = self._client.submit(execute, task, pure=False, retries=_RETRIES, key=_key(task))
                    running[future] = task
                if not running:
                    break
                progress.check()
                try:
                    done = distributed.wait(list(running), timeout=_WAIT_SECONDS, return_when="FIRST_COMPLETED").done
                except distributed.TimeoutError:
                    continue
                for future in done:
                    yield _result_of(future, running.pop(future))
        except (asyncio.CancelledError, futures.CancelledError, OSError) as error:
            raise InputError(
                "The Dask scheduler went away. Start it again, and give the same call: what is finished is kept."
            ) from error
        except (CancelledError, KeyboardInterrupt, GeneratorExit):
            self._stop(running)
            raise
        remove_drafts(tasks)

    def _room(self) -> int:
        """How many tasks may be out at once; some even while no worker is there yet."""
        threads: int = sum(self._client.nthreads().values())
        return _WAITING_PER_THREAD * max(1, threads)

    def _stop(self, running: Mapping[Any, Task]) -> None:
        self._client.cancel(list(running), force=True)
        if self._owns_workers:
            self._client.cluster.close(timeout=10)
            remove_drafts(list(running.values()))


def _local_cluster(distributed: Any, workers: int, memory: str | None, needs_bytes: int, scratch: str) -> Any:
    """Processes on this machine that obey nobody else.

    A scheduler runs whatever code it is sent, and on a machine of several users all of them reach its port. So it
    listens on this machine only, and to nobody without the key that is made here for this one cluster.
    """
    cores = os.cpu_count() or 1
    count, each = choose_workers(workers, memory, needs_bytes, cores, available_memory())
    # Threads of several processes on the same cores would only stand in each other's way.
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, cores // count)))
    # A worker near its limit holds nothing that it could give away. Pausing it would be forever; it is ended instead
    # when it goes too far, and a fresh one tries again.
    settings: dict[str, Any] = {f"distributed.worker.memory.{name}": False for name in ("target", "spill", "pause")}
    # Its pages would tell every user of the machine which files are worked on.
    settings |= {"distributed.scheduler.http.routes": [], "distributed.worker.http.routes": []}
    settings["temporary-directory"] = scratch
    # OpenMP reads its variable when it is loaded: later is too late.
    settings["distributed.nanny.pre-spawn-environ"] = {name: os.environ.get(name, threads) for name in _THREADS}
    with import_module("dask").config.set(settings):
        return distributed.LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            memory_limit=each,
            dashboard_address=_LOOPBACK,
            worker_dashboard_address=_LOOPBACK,
            scheduler_kwargs={"dashboard": False},
            security=_own_key(),
            silence_logs=logging.CRITICAL,
        )


def _own_key() -> Any:
    """A certificate for one cluster; it is never written to a disk that outlives it."""
    try:
        return import_module("distributed.security").Security.temporary()
    except ImportError as error:
        raise MissingDependencyError(
            "Several processes on this machine talk to each other encrypted, which needs the package cryptography, not "
            "installed here. Install with: pip install 'medsr[cohort]'"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """What becomes of workers is told by results and errors, not by the log of Dask."""
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _connect(distributed: Any, address: str) -> Any:
    if not address.startswith(_PROTOCOLS):
        raise InputError(
            f"A scheduler has an address such as tcp://host:8786, got {address!r}. For workers on this machine: "
            "--cluster local."
        )
    try:
        return distributed.Client(address, timeout=_CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise InputError(
            f"No Dask scheduler answers at {address}: {' '.join(str(error).split())[:200]}. Start one with "
            "`dask scheduler`, and workers with `dask worker ADDRESS`."
        ) from error


def _take(left: Iterator[T], count: int) -> Iterator[T]:
    for _ in range(count):
        try:
            yield next(left)
        except StopIteration:
            return


def _key(task: Task) -> str:
    # Unique for this call: a scheduler that outlives it may remember an earlier result under the same name.
    return f"{task.name}-{os.urandom(6).hex()}"


def _result_of(future: Any, task: Task) -> TaskResult:
    """The result, or a failure told as one: a worker that dies or lacks a package must not end the cohort."""
    error = future.exception()
    if error is None:
        result: TaskResult = future.result()
        return result
    kind = type(error).__name__
    if kind == "KilledWorker":
        text = (
            "Every worker that tried it was killed, mostly for want of memory. Give workers more of it, or pass "
            "--memory so that MedSR works in smaller pieces."
        )
    else:
        text = f"The worker failed: {kind}: {' '.join(str(error).split())[:300]}"
    return TaskResult(task.name, FAILED, text)
