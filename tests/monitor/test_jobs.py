"""Jobs: what hangs is ended, what dies is tried again, and neither takes another with it."""

import os
import queue
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor import jobs as jobs_module
from monitor import progress
from monitor.analysis import Refused
from monitor.jobs import Answered, Jobs, Running
from monitor.metrics import Metrics
from monitor.procedure import Procedure
from monitor.steps import Job
from monitor.workers import Workers, process_pool
from tests.monitor.made import procedure
from tests.waiting import PATIENCE_S, until

TIMEOUT_S = 1.5


class Desk:
    """What the pipeline does with them: takes answers, looks for stuck ones, keeps what came."""

    def __init__(self, workers: Workers, timeout_s: float = TIMEOUT_S) -> None:
        self.metrics = Metrics()
        self.told: queue.SimpleQueue[Answered] = queue.SimpleQueue()
        self.jobs = Jobs(workers, self.metrics, self.told.put, timeout_s)
        self.answers: dict[str, Any] = {}

    def ask(self, name: str, function: Callable[..., Any], *arguments: Any) -> None:
        """A job of a procedure of its own."""
        owner = procedure()
        owner.id = name
        self.jobs.hand_over(owner, Job("measure", "", 0, function, arguments, 0))

    def turn_until(self, look: Callable[[], bool], what: str) -> None:
        """Turn round as the pipeline's thread does, until something is seen."""

        def turned() -> bool:
            self.turn()
            return look()

        until(turned, what)

    def turn(self) -> None:
        """One turn of the pipeline's thread."""
        for running, refused in self.jobs.end_stuck():
            self.answers[running.procedure.id] = refused
        try:
            answered = self.told.get(timeout=0.02)
        except queue.Empty:
            return
        answer = self.jobs.take(answered)
        if answer is not None:
            self.answers[answered.running.procedure.id] = answer

    def answer(self, name: str) -> Any:
        """The answer to a job."""
        self.turn_until(lambda: name in self.answers, f"the answer of {name}")
        return self.answers[name]

    @property
    def restarts(self) -> float:
        """As /metrics tells."""
        self.jobs.end_stuck()
        lines = self.metrics.text().decode().splitlines()
        (line,) = [one for one in lines if one.startswith("icemargin_analysis_restarts_total")]
        return float(line.split()[1])


@pytest.fixture
def workers() -> Iterator[Workers]:
    """One process."""
    workers = Workers(lambda: process_pool(1))
    workers.submit(0, int).result(PATIENCE_S)
    yield workers
    workers.close()


@pytest.fixture
def two() -> Iterator[Workers]:
    """Two processes."""
    workers = Workers(lambda: process_pool(2))
    for future in [workers.submit(place, time.sleep, 0.2) for place in (0, 1)]:
        future.result(PATIENCE_S)
    yield workers
    workers.close()


def double(n: int) -> int:
    """A job."""
    return 2 * n


def slow_but_sure(stop: Path) -> str:
    """A job of many steps, that goes on until it is told to end."""
    while not stop.exists():
        progress.step()()
        time.sleep(0.01)
    return "done"


def wait_for(stop: Path) -> str:
    """A job that does not move on."""
    while not stop.exists():
        time.sleep(0.01)
    return "done"


def die(marks: Path) -> None:
    """A job that takes its process with it; each time it leaves a mark."""
    (marks / f"{time.monotonic_ns()}").touch()
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(mark: Path) -> str:
    """As when the kernel ends the process for want of memory."""
    if mark.exists():
        return "done"
    mark.touch()
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


def too_much(pids: Path) -> int:
    """A job for which there is no memory."""
    (pids / str(os.getpid())).touch()
    return int(np.empty(2**60, dtype=np.uint8).size)


def stop_process(pid_file: Path) -> str:
    """A job whose process is stopped in the middle of it, the first time."""
    if pid_file.exists():
        return "done"
    pid_file.write_text(str(os.getpid()))
    os.kill(os.getpid(), signal.SIGSTOP)
    return "woken"


def test_a_job_that_does_not_move_on_is_ended(workers: Workers, tmp_path: Path) -> None:
    desk = Desk(workers)
    began = time.monotonic()
    desk.ask("stuck", wait_for, tmp_path / "never")
    answer = desk.answer("stuck")
    assert isinstance(answer, Refused)
    assert answer.code == "analysis_timeout"
    assert "did not move on" in answer.text
    assert time.monotonic() - began < TIMEOUT_S + 1.5
    assert desk.restarts == 1
    desk.ask("next", double, 4)
    assert desk.answer("next") == 8
    assert desk.jobs.idle


def test_a_process_that_is_stopped_is_replaced(workers: Workers, tmp_path: Path) -> None:
    """In the middle of a job, and while it has nothing to do."""
    desk = Desk(workers)
    pid = tmp_path / "pid"
    desk.ask("stopped", stop_process, pid)
    assert desk.answer("stopped").code == "analysis_timeout"
    desk.ask("idle", os.getpid)
    os.kill(desk.answer("idle"), signal.SIGSTOP)
    desk.ask("next", double, 4)
    assert desk.answer("next").code == "analysis_timeout"
    desk.ask("after", double, 4)
    assert desk.answer("after") == 8
    assert desk.restarts == 2


def test_a_long_job_that_moves_on_is_let_be(workers: Workers, tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    desk = Desk(workers)
    desk.ask("long", slow_but_sure, stop)
    end = time.monotonic() + 2 * TIMEOUT_S
    desk.turn_until(lambda: time.monotonic() > end, "twice the time")
    stop.touch()
    assert desk.answer("long") == "done"
    assert desk.restarts == 0


def test_but_not_for_ever(workers: Workers, tmp_path: Path) -> None:
    desk = Desk(workers, timeout_s=0.5)
    desk.ask("long", slow_but_sure, tmp_path / "never")
    answer = desk.answer("long")
    assert answer.code == "analysis_timeout"
    assert "was not done for 2 s" in answer.text


def test_a_job_is_not_blamed_for_its_process_start(tmp_path: Path) -> None:
    """Libraries take seconds to load; the time of a job counts from its own beginning."""
    workers = Workers(lambda: process_pool(1))
    try:
        desk = Desk(workers, timeout_s=0.2)
        desk.ask("first", double, 1)
        assert desk.answer("first") == 2
    finally:
        workers.close()


def test_a_process_that_never_comes_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs_module, "BEGIN_S", 0.01)
    workers = Workers(lambda: process_pool(1))
    try:
        desk = Desk(workers, timeout_s=0.02)
        desk.ask("first", double, 1)
        assert desk.answer("first").code == "analysis_timeout"
    finally:
        workers.close()


def test_what_runs_beside_a_stuck_job_is_started_again(two: Workers, tmp_path: Path) -> None:
    desk = Desk(two)
    stop = tmp_path / "stop"
    desk.ask("stuck", wait_for, tmp_path / "never")
    desk.ask("beside", slow_but_sure, stop)
    desk.ask("waiting", double, 3)
    assert desk.answer("stuck").code == "analysis_timeout"
    stop.touch()
    assert desk.answer("beside") == "done"
    assert desk.answer("waiting") == 6


def test_what_died_is_tried_again_once(workers: Workers, tmp_path: Path) -> None:
    desk = Desk(workers)
    desk.ask("once", die_once, tmp_path / "mark")
    assert desk.answer("once") == "done"
    desk.ask("always", die, tmp_path)
    assert desk.answer("always").code == "analysis_failed"
    assert len(list(tmp_path.iterdir())) == 1 + 2
    assert desk.restarts >= 2


def test_what_dies_takes_no_other_with_it(two: Workers, tmp_path: Path) -> None:
    """Both die with the pool; the one at fault dies again, alone."""
    marks, stop = tmp_path / "marks", tmp_path / "stop"
    marks.mkdir()
    desk = Desk(two, timeout_s=PATIENCE_S)
    desk.ask("innocent", slow_but_sure, stop)
    desk.ask("guilty", die, marks)
    desk.turn_until(lambda: len(list(marks.iterdir())) == 1, "the first death")
    stop.touch()
    assert desk.answer("guilty").code == "analysis_failed"
    assert desk.answer("innocent") == "done"
    assert len(list(marks.iterdir())) == 2


def test_a_process_in_which_a_job_failed_is_replaced(workers: Workers, tmp_path: Path) -> None:
    """What has filled its memory may still be there: the second try is in another one."""
    desk = Desk(workers)
    desk.ask("large", too_much, tmp_path)
    assert desk.answer("large").code == "analysis_failed"
    assert len(list(tmp_path.iterdir())) == 2
    desk.ask("next", double, 4)
    assert desk.answer("next") == 8
    assert desk.restarts == 2


def test_no_more_are_handed_over_than_can_run(workers: Workers, tmp_path: Path) -> None:
    """Waiting for a turn is no hanging."""
    desk = Desk(workers)
    stop = tmp_path / "stop"
    desk.ask("first", slow_but_sure, stop)
    for n in range(5):
        desk.ask(str(n), double, n)
    end = time.monotonic() + TIMEOUT_S + 0.3
    desk.turn_until(lambda: time.monotonic() > end, "longer than one may hang")
    assert desk.answers == {}
    stop.touch()
    assert [desk.answer(str(n)) for n in range(5)] == [0, 2, 4, 6, 8]
    assert desk.restarts == 0


def test_an_executor_that_does_not_tell_is_watched_as_a_whole() -> None:
    workers = Workers(lambda: ThreadPoolExecutor(1))
    desk = Desk(workers, timeout_s=0.1)
    hold: Future[None] = Future()
    desk.ask("held", hold.result)
    assert desk.answer("held").code == "analysis_timeout"
    hold.set_result(None)
    workers.close()


def test_an_answer_that_comes_too_late_is_none(workers: Workers) -> None:
    desk = Desk(workers)
    late = Running(Procedure.__new__(Procedure), Job("measure", "", 0, double, (1,), 0))
    late.procedure.id = "gone"
    future: Future[int] = Future()
    future.set_result(2)
    assert desk.jobs.take(Answered(late, future)) is None
