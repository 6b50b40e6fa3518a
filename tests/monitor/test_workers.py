"""The analysis processes: one that dies or hangs is replaced, and the next job runs."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

from monitor import progress
from monitor.workers import NICENESS, Workers, close_once, process_pool
from tests.waiting import PATIENCE_S, until


@pytest.fixture
def workers() -> Iterator[Workers]:
    """Two processes at most."""
    workers = Workers(lambda: process_pool(2))
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
    assert workers.submit(0, square, 7).result(PATIENCE_S) == 49
    assert workers.submit(0, os.getpid).result(PATIENCE_S) != os.getpid()
    assert workers.restarts == 0


def test_a_job_that_raises_harms_nobody(workers: Workers) -> None:
    with pytest.raises(ValueError, match="a fault"):
        workers.submit(0, fail).result(PATIENCE_S)
    assert workers.submit(0, square, 3).result(PATIENCE_S) == 9
    assert workers.restarts == 0


def test_a_pipe_that_two_threads_close_is_closed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its descriptor may be another's by the time of the second."""
    reader, writer = multiprocessing.Pipe(duplex=False)
    close_once(reader)
    closing, second_done = threading.Event(), threading.Event()
    closed: list[int] = []

    def slowly(connection: Any) -> None:
        closed.append(connection.fileno())
        closing.set()
        second_done.wait(0.2)  # it waits for us, as it should, or does not
        os.close(connection.fileno())

    monkeypatch.setattr("multiprocessing.connection.Connection._close", slowly)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(reader.close)
        assert closing.wait(PATIENCE_S)
        second = threads.submit(reader.close)
        second.add_done_callback(lambda _: second_done.set())
        first.result(PATIENCE_S)
        second.result(PATIENCE_S)
    monkeypatch.undo()
    writer.close()
    assert len(closed) == 1
    assert reader.closed


def test_a_process_that_died_is_replaced(workers: Workers) -> None:
    with pytest.raises(BrokenProcessPool):
        workers.submit(0, die).result(PATIENCE_S)
    assert workers.submit(0, square, 4).result(PATIENCE_S) == 16
    assert workers.restarts == 1


def test_a_process_that_hangs_is_ended(workers: Workers, tmp_path: Path) -> None:
    started = tmp_path / "started"
    stuck = workers.submit(0, hang, started)
    pid = until(lambda: int(started.read_text() or 0) if started.exists() else 0, "the job")
    workers.replace()
    until(lambda: not exists(pid), "its end")
    assert workers.submit(0, square, 5).result(PATIENCE_S) == 25
    assert workers.restarts == 1
    with pytest.raises((BrokenProcessPool, CancelledError)):
        stuck.result(PATIENCE_S)


def test_a_stopped_process_is_ended_at_once(workers: Workers, tmp_path: Path) -> None:
    """It does not even take a SIGTERM; nobody waits for it."""
    started = tmp_path / "started"
    stuck = workers.submit(0, hang, started)
    pid = until(lambda: int(started.read_text() or 0) if started.exists() else 0, "the job")
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    workers.replace()
    assert time.monotonic() - began < 0.5
    until(lambda: not exists(pid), "its end")
    with pytest.raises((BrokenProcessPool, CancelledError)):
        stuck.result(PATIENCE_S)


def walk(stop: Path) -> float:
    """A job that moves on until it is told to stop; when it last did."""
    step = progress.step()
    while not stop.exists():
        step()
        time.sleep(0.001)
    threads = [threading.Thread(target=step)]  # as a computation's own threads do
    for thread in threads:
        thread.start()
        thread.join()
    return time.monotonic()


def test_a_job_tells_how_it_moves_on(workers: Workers, tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    future = workers.submit(1, walk, stop)
    first = until(lambda: workers.moved_at(1), "its beginning")
    until(lambda: (workers.moved_at(1) or 0) > first, "its moving on")
    assert workers.moved_at(0) == 0
    assert workers.up_since(1) is not None
    assert workers.up_since(2) is None
    stop.touch()
    ended = future.result(PATIENCE_S)
    moved = workers.moved_at(1)
    assert moved is not None
    assert first < moved <= ended
    assert workers.submit(1, square, 2).result(PATIENCE_S) == 4
    assert (workers.moved_at(1) or 0) > ended


def priority() -> int:
    """Of the process that it runs in."""
    return os.getpriority(os.PRIO_PROCESS, 0)


def test_receiving_comes_first(workers: Workers) -> None:
    assert workers.submit(0, priority).result(PATIENCE_S) == priority() + NICENESS


def test_outside_of_a_process_nobody_watches() -> None:
    progress.step()()


def test_any_executor_will_do() -> None:
    """As a cluster's would be: not only processes."""
    workers = Workers(lambda: ThreadPoolExecutor(1))
    try:
        assert workers.submit(0, square, 6).result(PATIENCE_S) == 36
        assert workers.moved_at(0) is None
        workers.replace()
        assert workers.submit(0, square, 7).result(PATIENCE_S) == 49
    finally:
        workers.close()
