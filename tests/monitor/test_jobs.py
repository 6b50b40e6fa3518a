"""Jobs: what hangs is ended, what dies is tried again, and neither takes another with it."""

import os
import queue
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from monitor import jobs as jobs_module
from monitor.analysis import Refused
from monitor.jobs import BEGIN_S, WHOLE, Answered, Jobs
from monitor.metrics import Metrics
from monitor.steps import Job
from monitor.workers import Workers, process_pool
from tests.monitor.made import procedure
from tests.waiting import PATIENCE_S, until

TIMEOUT_S = 10.0


class Room:
    """What the pipeline does with jobs: takes answers, looks for stuck ones, keeps what came."""

    def __init__(self, workers: Any, timeout_s: float = TIMEOUT_S) -> None:
        self.metrics = Metrics()
        self.told: queue.SimpleQueue[Answered] = queue.SimpleQueue()
        self.jobs = Jobs(cast("Workers", workers), self.metrics, self.told.put, timeout_s)
        self.answers: dict[str, Any] = {}

    def ask(self, name: str, function: Callable[..., Any] = print, *arguments: Any) -> None:
        """A job of a procedure of its own."""
        owner = procedure()
        owner.id = name
        self.jobs.hand_over(owner, Job("measure", "", 0, function, (name, *arguments), 0))

    def turn(self) -> None:
        """One turn of the pipeline's thread."""
        for running, refused in self.jobs.end_stuck():
            self.answers[running.procedure.id] = refused
        while not self.told.empty():
            answered = self.told.get()
            answer = self.jobs.take(answered)
            if answer is not None:
                self.answers[answered.running.procedure.id] = answer

    def answer(self, name: str) -> Any:
        """The answer to a job."""

        def look() -> bool:
            self.turn()
            return name in self.answers

        until(look, f"the answer of {name}")
        return self.answers[name]

    @property
    def restarts(self) -> float:
        """As /metrics tells."""
        self.turn()
        lines = self.metrics.text().decode().splitlines()
        (line,) = [one for one in lines if one.startswith("icemargin_analysis_restarts_total")]
        return float(line.split()[1])


class Hands:
    """Stands for the workers: the test decides what becomes of each job, and what time it is.

    Attributes
    ----------
    under_way
        The jobs handed over, by the name that they were given: place and future.
    moved
        When the job of each place last moved on; 0 before its beginning.
    up
        Since when all processes have been up; None while they are not.
    """

    def __init__(self, places: int = 1) -> None:
        self.places = places
        self.now = 1000.0
        self.restarts = 0
        self.under_way: dict[str, tuple[int, Future[Any]]] = {}
        self.moved: dict[int, float | None] = {}
        self.up: float | None = 0.0

    def submit(self, place: int, _function: object, name: str) -> Future[Any]:
        future: Future[Any] = Future()
        assert place not in {taken for taken, _ in self.under_way.values()}
        assert place < self.places
        self.under_way[name] = place, future
        self.moved[place] = 0.0
        return future

    def moved_at(self, place: int) -> float | None:
        return self.moved[place]

    def up_since(self, _count: int) -> float | None:
        return self.up

    def replace(self) -> None:
        self.restarts += 1
        for name in list(self.under_way):
            self.under_way.pop(name)[1].cancel()

    # What happens to a job

    def moves(self, name: str) -> None:
        """It moves on."""
        self.moved[self.under_way[name][0]] = self.now

    def ends(self, name: str, outcome: object) -> None:
        """It answers, or fails with an exception."""
        _, future = self.under_way.pop(name)
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)

    def pool_breaks(self) -> None:
        """One process died: everything that ran is lost."""
        for name in list(self.under_way):
            self.ends(name, BrokenProcessPool("died"))


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    """One place."""
    hands = Hands()
    monkeypatch.setattr(jobs_module, "time", SimpleNamespace(monotonic=lambda: hands.now))
    return hands


@pytest.fixture
def room(hands: Hands) -> Room:
    """Before them."""
    return Room(hands)


def test_a_job_that_does_not_move_on_is_ended(hands: Hands, room: Room) -> None:
    room.ask("stuck")
    hands.moves("stuck")
    hands.now += TIMEOUT_S
    room.turn()
    assert room.answers == {}
    hands.now += 0.1
    room.turn()
    answer = room.answers["stuck"]
    assert answer == Refused(
        "analysis_timeout", "The analysis did not move on for 10 s and was ended."
    )
    assert room.restarts == 1
    assert room.jobs.idle
    room.ask("next")
    hands.ends("next", "found")
    room.turn()
    assert room.answers["next"] == "found"


def test_one_that_moves_on_is_let_be_but_not_for_ever(hands: Hands, room: Room) -> None:
    room.ask("long")
    hands.now += 5  # waits for its process
    began = hands.now
    while "long" not in room.answers:
        hands.moves("long")
        hands.now += 1
        room.turn()
    assert began + WHOLE * TIMEOUT_S < hands.now <= began + WHOLE * TIMEOUT_S + 1
    assert "was not done for 30 s" in room.answers["long"].text


def test_a_job_is_not_blamed_for_the_start_of_its_process(hands: Hands, room: Room) -> None:
    """Libraries take their time to load; once the process is up, the job has its own."""
    hands.up = None
    room.ask("first")
    hands.now += BEGIN_S - 1
    room.turn()
    hands.up = hands.now
    hands.now += TIMEOUT_S
    room.turn()
    assert room.answers == {}
    hands.now += 0.1
    room.turn()
    assert "did not begin for 10 s" in room.answers["first"].text


def test_a_process_that_never_comes_up(hands: Hands, room: Room) -> None:
    hands.up = None
    room.ask("first")
    hands.now += BEGIN_S + 0.1
    room.turn()
    assert "did not begin for 30 s" in room.answers["first"].text
    assert room.restarts == 1


def test_an_executor_that_does_not_tell_is_watched_as_a_whole(hands: Hands, room: Room) -> None:
    room.ask("far")
    hands.moved[0] = None
    hands.now += WHOLE * TIMEOUT_S
    room.turn()
    assert room.answers == {}
    hands.now += 0.1
    room.turn()
    assert room.answers["far"].code == "analysis_timeout"


def test_what_runs_beside_a_stuck_job_is_started_again(hands: Hands, room: Room) -> None:
    hands.places = 2
    for name in ("stuck", "beside", "waiting"):
        room.ask(name)
    assert set(hands.under_way) == {"stuck", "beside"}
    hands.moves("stuck")
    hands.now += TIMEOUT_S + 0.1
    hands.moves("beside")
    room.turn()
    assert set(room.answers) == {"stuck"}
    assert set(hands.under_way) == {"beside", "waiting"}
    for name in ("beside", "waiting"):
        hands.ends(name, name)
    room.turn()
    assert room.answers["beside"] == "beside"
    assert room.jobs.idle


def test_what_died_is_tried_again_once(hands: Hands, room: Room) -> None:
    room.ask("fatal")
    hands.pool_breaks()
    room.turn()
    assert room.answers == {}
    hands.pool_breaks()
    room.turn()
    assert room.answers["fatal"] == Refused("analysis_failed", "The analysis failed twice.")
    assert hands.under_way == {}


def test_what_dies_takes_no_other_with_it(hands: Hands, room: Room) -> None:
    """Both die with the pool; after that each runs alone, and the one at fault dies alone."""
    hands.places = 3
    room.ask("innocent")
    room.ask("guilty")
    hands.pool_breaks()
    room.turn()
    room.ask("later")
    (first,) = hands.under_way
    while hands.under_way:
        if "guilty" in hands.under_way:
            assert len(hands.under_way) == 1
            hands.pool_breaks()
        else:
            hands.ends(next(iter(hands.under_way)), "found")
        room.turn()
    assert room.answers["guilty"].code == "analysis_failed"
    assert room.answers["innocent"] == room.answers["later"] == "found"
    assert first in {"innocent", "guilty"}


def test_a_process_in_which_a_job_failed_is_replaced(hands: Hands, room: Room) -> None:
    """What has filled its memory may still be there: the second try is in another one."""
    hands.places = 2
    room.ask("large")
    room.ask("beside")
    hands.ends("large", MemoryError("1 EiB"))
    room.turn()
    assert room.restarts == 1
    assert list(hands.under_way) == ["beside"]  # the second try runs alone
    hands.ends("beside", "found")
    room.turn()
    assert list(hands.under_way) == ["large"]
    hands.ends("large", MemoryError("1 EiB"))
    room.turn()
    assert room.answers["large"].code == "analysis_failed"
    assert room.answers["beside"] == "found"
    assert room.restarts == 2


def test_no_more_are_handed_over_than_can_run(hands: Hands, room: Room) -> None:
    """Waiting for a turn is no hanging."""
    names = [str(n) for n in range(6)]
    for name in names:
        room.ask(name)
        assert room.jobs.busy(procedure_called(name))
    for name in names:
        assert list(hands.under_way) == [name]
        hands.now += TIMEOUT_S - 1
        room.turn()
        hands.ends(name, name)
        room.turn()
    assert list(room.answers) == names
    assert room.restarts == 0


def procedure_called(name: str) -> Any:
    """A procedure with this id."""
    owner = procedure()
    owner.id = name
    return owner


def test_an_answer_that_comes_too_late_is_none(hands: Hands, room: Room) -> None:
    room.ask("late")
    _, future = hands.under_way.pop("late")
    hands.now += BEGIN_S + TIMEOUT_S
    room.turn()
    assert room.answers["late"].code == "analysis_timeout"
    future.set_result("found")
    room.turn()
    assert room.answers["late"].code == "analysis_timeout"


# With real processes


@pytest.fixture
def workers() -> Iterator[Workers]:
    """One process, up."""
    workers = Workers(lambda: process_pool(1))
    workers.submit(0, int).result(PATIENCE_S)
    yield workers
    workers.close()


def double(_name: str, n: int) -> int:
    """A job."""
    return 2 * n


def process_id(_name: str) -> int:
    """A job that tells where it ran."""
    return os.getpid()


def stop_process(_name: str, mark: Path) -> str:
    """A job whose process is stopped in the middle of it."""
    mark.write_text(str(os.getpid()))
    os.kill(os.getpid(), signal.SIGSTOP)
    return "woken"


def die(_name: str, marks: Path) -> None:
    """A job that takes its process with it; each time it leaves a mark."""
    (marks / f"{time.monotonic_ns()}").touch()
    os.kill(os.getpid(), signal.SIGKILL)


def too_much(_name: str, pids: Path) -> int:
    """A job for which there is no memory."""
    (pids / str(os.getpid())).touch()
    return int(np.empty(sys.maxsize // 2, dtype=np.uint8).size)


def test_a_process_that_is_stopped_is_replaced(workers: Workers, tmp_path: Path) -> None:
    """In the middle of a job, and while it has nothing to do."""
    mark = tmp_path / "pid"
    quick = Room(workers, timeout_s=2.0)
    quick.ask("stopped", stop_process, mark)
    assert quick.answer("stopped").code == "analysis_timeout"
    room = Room(workers)
    room.ask("idle", process_id)
    pid = room.answer("idle")
    assert pid != int(mark.read_text())
    os.kill(pid, signal.SIGSTOP)
    quick.ask("next", double, 4)
    assert quick.answer("next").code == "analysis_timeout"
    room.ask("after", double, 4)
    assert room.answer("after") == 8
    assert workers.restarts == 2


def test_what_dies_or_has_no_memory_is_tried_in_another_process(
    workers: Workers, tmp_path: Path
) -> None:
    for name, function in (("deadly", die), ("large", too_much)):
        marks = tmp_path / name
        marks.mkdir()
        room = Room(workers)
        room.ask(name, function, marks)
        assert room.answer(name).code == "analysis_failed"
        assert len(list(marks.iterdir())) == 2
        room.ask("next", double, 4)
        assert room.answer("next") == 8
