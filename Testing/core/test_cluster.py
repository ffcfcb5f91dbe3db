"""Copies made by several processes: the same ones, also when a worker is killed in the middle."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from medsr.augmentation.run import augment
from medsr.augmentation.spec import AugmentSpec
from medsr.augmentation.tasks import Task
from medsr.cohort.cluster import choose_workers, open_cluster
from medsr.cohort.work import FAILED, remove_drafts
from medsr.errors import CancelledError, InputError, MissingDependencyError
from medsr.jobs import Progress, StageEvent

pytest.importorskip("distributed", reason="the extra cohort is not installed")

GB = 10**9


def spec_of(source, output, **options):
    return AugmentSpec(str(source), str(output), recipes=("degrade-bspline",), per_image=3, seed=5, **options)


def contents(folder):
    """All files but the two that tell how the work went."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name not in ("augmentation.json", "report.html")
    }


@pytest.fixture
def a_cluster(tmp_path):
    """A scheduler and two workers, each a process of its own: address and the workers' processes."""
    processes = []

    def start(*words):
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "dask", *words]
        processes.append(subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL))
        return processes[-1]

    note = tmp_path / "scheduler.json"
    start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(note))
    deadline = time.monotonic() + 300
    while not (note.exists() and note.read_text().rstrip().endswith("}")):
        assert time.monotonic() < deadline, "the scheduler did not start"
        time.sleep(0.1)
    address = json.loads(note.read_text())["address"]
    workers = [
        start("worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(tmp_path))
        for _ in range(2)
    ]
    from distributed import Client

    with Client(address) as client:
        client.wait_for_workers(2, timeout=300)
    yield address, workers
    for process in reversed(processes):
        process.kill()
        process.wait()


def test_workers_are_as_many_as_memory_and_cores_allow():
    assert choose_workers(0, None, 0, cores=8, free=20 * GB) == (8, 1_500_000_000)
    assert choose_workers(0, None, 4 * GB, cores=8, free=20 * GB) == (2, 8 * GB)
    assert choose_workers(0, "5GB", 4 * GB, cores=8, free=20 * GB) == (3, 5 * GB)
    assert choose_workers(0, None, 40 * GB, cores=8, free=20 * GB)[0] == 1
    assert choose_workers(0, None, 0, cores=8, free=None)[0] == 8
    assert choose_workers(3, None, 4 * GB, cores=2, free=GB)[0] == 3


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_changes_nothing(a_set, a_cluster, tmp_path):
    source = a_set(4)
    serial, spread = tmp_path / "serial", tmp_path / "spread"
    augment(spec_of(source, serial), Progress())
    address, workers = a_cluster
    killed = []

    def kill_one(event):
        if isinstance(event, StageEvent) and event.name.startswith("Made 2 of") and not killed:
            killed.append(workers[0].pid)
            os.kill(workers[0].pid, signal.SIGKILL)

    report = augment(spec_of(source, spread, cluster=address), Progress(kill_one)).report
    assert killed and workers[0].wait(timeout=300) == -signal.SIGKILL
    assert workers[1].poll() is None
    # What the killed worker had finished and not told of is found finished.
    assert (report["made"] + report["kept"], report["failed"]) == (12, [])
    assert contents(spread) == contents(serial)
    assert not list(spread.rglob(".medsr-*"))


@pytest.mark.slow
def test_a_cluster_of_this_machine_makes_the_same_files_and_tells_of_bad_cases(a_set, tmp_path):
    def spoil(root, data):
        (root / "labelsTr" / "case_1.nii.gz").write_bytes(b"no image")

    source = a_set(3, spoil=spoil)
    one, two = tmp_path / "one", tmp_path / "two"
    augment(spec_of(source, one), Progress())
    report = augment(spec_of(source, two, cluster="local", workers=2), Progress()).report
    assert report["made"] == 6 and len(report["refused"]) == 1
    assert contents(one) == contents(two)


@pytest.mark.slow
def test_stopping_ends_the_workers_and_leaves_whole_copies_only(a_set, tmp_path):
    source, out = a_set(4), tmp_path / "out"
    wanted = []

    def after_two(event):
        if isinstance(event, StageEvent) and event.name.startswith("Made 2 of"):
            wanted.append(True)

    with pytest.raises(CancelledError, match=r"of 12 copies are finished and stay"):
        augment(spec_of(source, out, workers=2), Progress(after_two, lambda: bool(wanted)))
    assert not list(out.rglob(".medsr-*"))
    made = len(list((out / "provenance").iterdir()))
    assert 2 <= made < 12
    report = augment(spec_of(source, out), Progress()).report
    assert report["kept"] == made and report["made"] == 12 - made


def a_task(folder):
    image, label, sidecar = (str(folder / name) for name in ("i.nii", "l.nii", "s.json"))
    return Task("copy", "case", "subject", (), "", (), (image,), label, sidecar, {}, 1, 0, {}, {}, "")


def fail(task):
    raise ZeroDivisionError("on purpose")


def sockets_listening():
    """Address and port of every socket on which this process or one below it listens."""
    psutil = pytest.importorskip("psutil")
    here = psutil.Process()
    return [
        (socket.laddr.ip, socket.laddr.port)
        for process in (here, *here.children(recursive=True))
        for socket in process.net_connections("inet")
        if socket.status == psutil.CONN_LISTEN
    ]


def called(code):
    """What a process of this machine prints that was given nothing but `code`."""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    return ended.stdout.strip() or ended.stderr


@pytest.mark.slow
def test_workers_of_this_machine_are_reached_by_nobody_else_tell_failures_and_leave_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with open_cluster("local", 1, None, 0) as executor:
        listening = sockets_listening()
        assert len(listening) >= 3
        assert {ip for ip, _ in listening} <= {"127.0.0.1", "::1"}
        address = executor._client.scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        plain = address.replace("tls://", "tcp://")
        # As other users of the machine could: in the clear, and with a certificate of their own.
        code = (
            "from distributed import Client\nfrom distributed.security import Security\n"
            f"for shown, options in (({plain!r}, {{}}), ({address!r}, {{'security': Security.temporary()}})):\n"
            "    try:\n        print(Client(shown, timeout=5, **options).submit(lambda: 'obeyed').result())\n"
            "    except Exception as error:\n        print('refused')\n"
        )
        assert called(code).split() == ["refused", "refused"]
        pages = ("info/main/workers.html", "json/identity.json", "metrics", "status")
        answers = [page_of(port, page) for ip, port in listening if ip == "127.0.0.1" for page in pages]
        assert answers and set(answers) <= {None, 404}
        assert [path.name for path in tmp_path.iterdir()]
        (result,) = executor.run([a_task(tmp_path)], fail, Progress())
        assert result.status == FAILED and "ZeroDivisionError: on purpose" in result.error
    assert list(tmp_path.iterdir()) == []


def page_of(port, page):
    """The status of a page of HTTP, None where HTTP is not spoken."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", f"/{page}")
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def test_without_cryptography_no_cluster_is_started_in_the_clear(monkeypatch):
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(MissingDependencyError, match=r"cryptography.*medsr\[cohort\]"), open_cluster(None, 1, None, 0):
        pass


def test_what_a_killed_worker_was_writing_is_removed(tmp_path):
    (tmp_path / ".medsr-abc").mkdir()
    (tmp_path / ".medsr-abc" / "i.nii").write_bytes(b"half")
    (tmp_path / "i.nii").write_bytes(b"whole")
    remove_drafts([a_task(tmp_path)])
    assert [p.name for p in tmp_path.iterdir()] == ["i.nii"]


def test_an_address_that_is_none_or_that_nobody_answers_at_is_an_error(monkeypatch):
    with pytest.raises(InputError, match="tcp://host:8786"), open_cluster("scheduler-host", 0, None, 0):
        pass
    monkeypatch.setattr("medsr.cohort.cluster._CONNECT_SECONDS", 0.5)
    with pytest.raises(InputError, match="No Dask scheduler answers at"), open_cluster("tcp://127.0.0.1:9", 0, None, 0):
        pass


def test_without_dask_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingDependencyError, match=r"medsr\[cohort\]"), open_cluster(None, 2, None, 0):
        pass
