"""Commands of people: answered once they are durable, and holding nobody else up."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, cast

import pytest

from monitor import desk as desk_module
from monitor import messages
from monitor.alerts import AlertBook, Finding
from monitor.clock import Clock
from monitor.decisions import CommandError
from monitor.desk import MAX_IN_LINE, Desk
from monitor.journal import JournalError
from monitor.journal_writer import JournalWriter
from monitor.life import State
from monitor.messages import AlertState, Condition, PhaseName
from monitor.pipeline import Pipeline
from monitor.procedure import Procedure
from tests.monitor.made import at, procedure
from tests.waiting import PATIENCE_S, until

Asked = Future[None]


class Writer:
    """A journal's writer that has taken everything, and written what the test lets it write."""

    def __init__(self) -> None:
        self.taken: list[tuple[Any, Asked]] = []
        self.at_once = False

    def alert(self, alert: messages.Alert, _at: object) -> Asked:
        return self._take(alert)

    def phase(self, phase: messages.Phase) -> Asked:
        return self._take(phase)

    def _take(self, what: Any) -> Asked:
        future: Asked = Future()
        self.taken.append((what, future))
        if self.at_once:
            future.set_running_or_notify_cancel()
            future.set_result(None)
        return future

    def next(self, number: int) -> Asked:
        """The write with a number, from 0, once it has been asked for."""
        until(lambda: len(self.taken) > number, f"write {number}")
        return self.taken[number][1]

    def write(self, number: int) -> None:
        """It is durable."""
        future = self.next(number)
        assert future.set_running_or_notify_cancel()
        future.set_result(None)


class Room:
    """One procedure, one alert."""

    def __init__(self) -> None:
        self.procedure = procedure()
        self.book = AlertBook("p", worsened=1.0)
        self.alerts = {"p": self.book}

    def by_id(self, procedure_id: str) -> Procedure:
        if procedure_id != "p":
            raise CommandError("no_such_procedure", "There is none.")
        return self.procedure


class Thread:
    """Stands for the pipeline: one thread that owns the room."""

    def __init__(self) -> None:
        self.room = Room()
        self.sent: list[Any] = []
        self._executor = ThreadPoolExecutor(1)

    def call(self, run: Callable[[], Any]) -> Future[Any]:
        return self._executor.submit(run)

    def tell(self, run: Callable[[], Any]) -> None:
        self._executor.submit(run)

    def send(self, data: object) -> None:
        self.sent.append(data)

    def advance(self, _procedure: Procedure) -> None:
        """Nothing is to be measured here."""

    def note(self, noted: Procedure) -> None:
        self.sent.append(noted.message())

    def now(self, run: Callable[[], Any]) -> Any:
        """Do something on the thread and wait for it."""
        return self._executor.submit(run).result(PATIENCE_S)

    def close(self) -> None:
        self._executor.shutdown()


@pytest.fixture
def thread() -> Iterator[Thread]:
    """The pipeline's."""
    thread = Thread()
    yield thread
    thread.close()


@pytest.fixture
def writer() -> Writer:
    """The journal's."""
    return Writer()


@pytest.fixture
def desk(thread: Thread, writer: Writer) -> Desk:
    """A desk before them."""
    return Desk(cast("Pipeline", thread), cast("JournalWriter", writer), Clock())


def near(value: float) -> Finding:
    """Ice near the hilum."""
    return Finding(Condition.HILUM_NEAR, True, f"Ice at {value} mm.", value, 5.0, "m", "lower")


@pytest.fixture
def alert_id(thread: Thread) -> str:
    """An alert that nobody has seen."""
    raised = thread.now(lambda: thread.room.book.consider(near(4.0), at(0)))
    return str(raised.id)


def state(thread: Thread, alert_id: str) -> AlertState:
    """Of the alert."""
    found = thread.now(lambda: thread.room.book.get(alert_id))
    return AlertState(found.state)


def refusal(asked: Future[Any]) -> str:
    """The code that a command was refused with."""
    error = asked.exception(PATIENCE_S)
    assert isinstance(error, CommandError)
    return error.code


def test_it_holds_once_it_is_durable(
    desk: Desk, thread: Thread, writer: Writer, alert_id: str
) -> None:
    asked = desk.acknowledge(alert_id, "console", "seen")
    writer.next(0)
    assert state(thread, alert_id) is AlertState.ACTIVE_UNACKNOWLEDGED
    assert not asked.done()
    assert thread.sent == []
    writer.write(0)
    alert = asked.result(PATIENCE_S)
    assert (alert.state, alert.note) == (AlertState.ACTIVE_ACKNOWLEDGED, "seen")
    assert state(thread, alert_id) is AlertState.ACTIVE_ACKNOWLEDGED
    assert thread.sent == [alert]
    assert writer.taken[0][0] == alert


def test_what_was_seen_is_known_from_then_on(
    desk: Desk, thread: Thread, writer: Writer, alert_id: str
) -> None:
    """The alert is raised again when its value has become worse than the one that was seen."""
    writer.at_once = True
    desk.acknowledge(alert_id, "console", None).result(PATIENCE_S)
    worse = thread.now(lambda: thread.room.book.consider(near(3.0), at(60)))
    assert worse.state is AlertState.ACTIVE_UNACKNOWLEDGED


def test_twice_is_once(desk: Desk, thread: Thread, writer: Writer, alert_id: str) -> None:
    """Also while the first one is on its way."""
    first, second = (desk.acknowledge(alert_id, by, None) for by in ("console", "other"))
    writer.write(0)
    assert first.result(PATIENCE_S) == second.result(PATIENCE_S)
    assert first.result().acknowledged_by == "console"
    assert len(writer.taken) == len(thread.sent) == 1


def test_what_can_not_be_written_has_not_happened(
    desk: Desk, thread: Thread, writer: Writer, alert_id: str
) -> None:
    asked = desk.acknowledge(alert_id, "console", None)
    writer.next(0).set_exception(JournalError("the disk is full"))
    assert refusal(asked) == "not_written"
    assert "the disk is full" in str(asked.exception())
    assert state(thread, alert_id) is AlertState.ACTIVE_UNACKNOWLEDGED
    writer.at_once = True
    assert desk.acknowledge(alert_id, "console", None).result(PATIENCE_S).acknowledged_by


def test_nobody_waits_for_ever(
    desk: Desk, thread: Thread, writer: Writer, alert_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "WRITE_S", 0.1)
    first, second = (desk.acknowledge(alert_id, by, None) for by in ("console", "other"))
    for asked in (first, second):
        assert refusal(asked) == "not_written"
        assert "has not happened" in str(asked.exception())
    assert state(thread, alert_id) is AlertState.ACTIVE_UNACKNOWLEDGED
    assert all(future.cancelled() for _, future in writer.taken)
    writer.at_once = True
    monkeypatch.setattr(desk_module, "WRITE_S", PATIENCE_S)
    assert desk.acknowledge(alert_id, "third", None).result(PATIENCE_S).acknowledged_by == "third"


def test_what_comes_through_after_all_holds_after_all(
    desk: Desk, thread: Thread, writer: Writer, alert_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its commit hung: who asked was told that it is not known; the journal has it, so it is so."""
    monkeypatch.setattr(desk_module, "WRITE_S", 0.1)
    asked = desk.acknowledge(alert_id, "console", None)
    committing = writer.next(0)
    assert committing.set_running_or_notify_cancel()
    assert refusal(asked) == "not_written"
    assert "if it is written after all" in str(asked.exception())
    assert state(thread, alert_id) is AlertState.ACTIVE_UNACKNOWLEDGED
    committing.set_result(None)
    until(lambda: state(thread, alert_id) is AlertState.ACTIVE_ACKNOWLEDGED, "the change")
    assert [a.acknowledged_by for a in thread.sent] == ["console"]


def test_an_alert_that_changed_meanwhile_is_acknowledged_as_it_is_now(
    desk: Desk, thread: Thread, writer: Writer, alert_id: str
) -> None:
    """What is written last is what holds: the new value, acknowledged."""
    asked = desk.acknowledge(alert_id, "console", None)
    writer.next(0)
    thread.now(lambda: thread.room.book.consider(near(3.5), at(60)))
    writer.write(0)
    writer.write(1)
    alert = asked.result(PATIENCE_S)
    assert (alert.value, alert.state) == (3.5, AlertState.ACTIVE_ACKNOWLEDGED)
    assert writer.taken[1][0] == alert
    assert thread.now(lambda: list(thread.room.book)) == [alert]


def test_phases_come_one_after_the_other(desk: Desk, thread: Thread, writer: Writer) -> None:
    """Thaw, pressed while freeze is being written, belongs to the freeze's cycle."""
    names = (PhaseName.FREEZE, PhaseName.THAW, PhaseName.THAW)
    pressed = [desk.press_phase("p", name) for name in names]
    writer.next(0)
    assert thread.now(lambda: list(thread.room.procedure.phases.pressed)) == []
    writer.write(0)
    writer.write(1)
    phases = [asked.result(PATIENCE_S) for asked in pressed]
    assert [(phase.phase, phase.cycle) for phase in phases] == [
        (PhaseName.FREEZE, 1),
        (PhaseName.THAW, 1),
        (PhaseName.THAW, 1),
    ]
    assert phases[1] == phases[2]
    assert thread.now(lambda: list(thread.room.procedure.phases.pressed)) == phases[:2]
    assert [data for data in thread.sent if isinstance(data, messages.Phase)] == phases[:2]


def test_a_phase_that_can_not_be_written_is_not_pressed(
    desk: Desk, thread: Thread, writer: Writer
) -> None:
    first, second = desk.press_phase("p", PhaseName.FREEZE), desk.press_phase("p", PhaseName.FREEZE)
    writer.next(0).set_exception(JournalError("the disk is full"))
    assert refusal(first) == "not_written"
    writer.write(1)
    assert second.result(PATIENCE_S).cycle == 1
    assert len(thread.now(lambda: list(thread.room.procedure.phases.pressed))) == 1


def test_what_can_not_be_done_is_told(desk: Desk, thread: Thread) -> None:
    assert refusal(desk.acknowledge("none", "console", None)) == "no_such_alert"
    assert refusal(desk.press_phase("none", PhaseName.FREEZE)) == "no_such_procedure"
    thread.room.procedure.state = State.CLOSED
    assert refusal(desk.press_phase("p", PhaseName.FREEZE)) == "procedure_closed"


def test_a_line_has_its_end(desk: Desk, writer: Writer, alert_id: str) -> None:
    asked = [desk.acknowledge(alert_id, "console", None) for _ in range(MAX_IN_LINE + 1)]
    assert refusal(asked[-1]) == "busy"
    writer.write(0)
    for one in asked[:-1]:
        one.result(PATIENCE_S)


def test_no_timer_is_left(desk: Desk, writer: Writer, alert_id: str) -> None:
    before = threading.active_count()
    writer.at_once = True
    desk.acknowledge(alert_id, "console", None).result(PATIENCE_S)
    until(lambda: threading.active_count() <= before + 1, "the timer's end")  # the room's thread
