"""The analysis processes: one that dies or hangs is replaced, and the next job runs."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from monitor.workers import Workers, process_pool
from tests.waiting import PATIENCE_S, until


@pytest.fixture
def workers() -> Iterator[Workers]:
    """One process."""
    workers = Workers(lambda: process_pool(1))
    yield workers
    workers.close()
    assert multiprocessing.active_children() == []


def square(n: int) -> int:
    """A job."""
    return n * n


def die() -> None:
    """A job that takes its process with it, as a fault in native code does."""
    os.kill(os.getpid(), signal.SIGKILL)


def hang(started: Path) -> None:
    """A job that never ends, and takes no hint."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    started.write_text(str(os.getpid()))
    while True:
        signal.pause()


def fail() -> None:
    """A job with a fault of its own."""
    raise ValueError("a fault")


def exists(pid: int) -> bool:
    """Whether a process is there, and not only its zombie."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_jobs_run_in_another_process(workers: Workers) -> None:
    workers.warm()
    assert workers.submit(square, 7).result(PATIENCE_S) == 49
    assert workers.submit(os.getpid).result(PATIENCE_S) != os.getpid()
    assert workers.restarts == 0


def test_a_job_that_raises_harms_nobody(workers: Workers) -> None:
    with pytest.raises(ValueError, match="a fault"):
        workers.submit(fail).result(PATIENCE_S)
    assert workers.submit(square, 3).result(PATIENCE_S) == 9
    assert workers.restarts == 0


def test_a_process_that_died_is_replaced(workers: Workers) -> None:
    with pytest.raises(BrokenProcessPool):
        workers.submit(die).result(PATIENCE_S)
    assert workers.submit(square, 4).result(PATIENCE_S) == 16
    assert workers.restarts == 1


def test_a_process_that_hangs_is_ended(workers: Workers, tmp_path: Path) -> None:
    started = tmp_path / "started"
    stuck = workers.submit(hang, started)
    waiting = workers.submit(square, 2)
    pid = until(lambda: int(started.read_text() or 0) if started.exists() else 0, "the job")
    workers.replace()
    assert not exists(pid)
    assert workers.submit(square, 5).result(PATIENCE_S) == 25
    assert workers.restarts == 1
    for future in (stuck, waiting):
        with pytest.raises((BrokenProcessPool, CancelledError)):
            future.result(PATIENCE_S)


def test_any_executor_will_do() -> None:
    """As a cluster's would be: not only processes."""
    workers = Workers(lambda: ThreadPoolExecutor(1))
    try:
        assert workers.submit(square, 6).result(PATIENCE_S) == 36
        workers.replace()
        assert workers.submit(square, 7).result(PATIENCE_S) == 49
    finally:
        workers.close()
