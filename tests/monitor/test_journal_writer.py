"""The journal's thread: nobody waits for the database, and nothing is lost while it is away."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from monitor import journal_writer
from monitor.journal import Confirm, Journal, JournalError
from monitor.journal_writer import JournalWriter
from monitor.messages import PhaseName
from monitor.metrics import Metrics
from tests.monitor.made import alert, at, measurement, phase, procedure
from tests.waiting import PATIENCE_S, until


class Database(Journal):
    """A journal on SQLite whose database can be away, slow, or lose a connection at the commit."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.away = False
        self.held = threading.Event()
        self.held.set()
        self.commits_are_lost = 0

    @contextmanager
    def _transaction(self, confirm: Confirm = lambda: True) -> Iterator[Any]:
        self.held.wait(PATIENCE_S)
        if self.away:
            raise JournalError("the database is away")
        with super()._transaction(confirm) as session:
            yield session
        if self.commits_are_lost:
            self.commits_are_lost -= 1
            raise JournalError("the connection was lost")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_writer, "LONGEST_RETRY_S", 0.2)
    monkeypatch.setattr(journal_writer, "CHECK_S", 0.2)
    monkeypatch.setattr(journal_writer, "SLOW_S", 0.3)
    monkeypatch.setattr(journal_writer, "START_S", 0.5)
    monkeypatch.setattr(journal_writer, "DRAIN_S", 1.0)


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """The one that the writer opens."""
    database = Database(f"sqlite:///{tmp_path / 'journal.sqlite'}")
    monkeypatch.setattr(journal_writer, "Journal", lambda _url: database)
    return database


@pytest.fixture
def metrics() -> Metrics:
    """Counters."""
    return Metrics()


@pytest.fixture
def writer(database: Database, metrics: Metrics) -> Iterator[JournalWriter]:
    """A running one."""
    with closing(JournalWriter("", metrics)) as writer:
        yield writer
        database.away = False
        database.held.set()


def events(database: Database) -> list[Any]:
    """The phases that were journaled, by their time after the start."""
    return [one.since for one in database.read().phases("p")]


def figure(metrics: Metrics, name: str) -> list[str]:
    """Lines of /metrics with a name."""
    lines = metrics.text().decode().splitlines()
    return [line for line in lines if line.startswith(f"icemargin_{name}")]


def in_the_database(writer: JournalWriter, database: Database) -> Future[None]:
    """A write that is held in the middle of its transaction, from where the others wait."""
    database.held.clear()
    change = writer.phase(phase(since_s=1))
    until(lambda: writer._current is not None, "the write")
    return change


def test_in_their_order_after_the_database_was_away(
    writer: JournalWriter, database: Database, metrics: Metrics
) -> None:
    database.away = True
    futures = [writer.phase(phase(since_s=n)) for n in range(50)]
    until(lambda: writer.problem() is not None, "that it is told")
    assert not any(future.done() for future in futures)
    assert figure(metrics, "journal_waiting") == ["icemargin_journal_waiting 50.0"]
    database.away = False
    for future in futures:
        future.result(PATIENCE_S)
    assert events(database) == [at(n) for n in range(50)]
    until(lambda: writer.problem() is None, "that all is well")
    assert figure(metrics, "journal_waiting") == ["icemargin_journal_waiting 0.0"]


def test_nobody_waits_for_a_slow_database(writer: JournalWriter, database: Database) -> None:
    database.held.clear()
    began = time.monotonic()
    writer.procedure(procedure().message())
    writer.measurement(measurement(1), 50)
    writer.alert(alert(), at(1))
    last = writer.phase(phase())
    assert writer.procedures() == []
    assert time.monotonic() - began < 0.2
    problem = until(writer.problem, "that it is told")
    assert "4 changes wait" in problem
    database.held.set()
    last.result(PATIENCE_S)
    past = database.read()
    assert past.measurements("p") == [(measurement(1), 50)]
    assert past.alerts("p") == [alert()]


def test_what_is_cancelled_in_time_has_not_happened(
    writer: JournalWriter, database: Database
) -> None:
    """Even in the middle of its transaction, as long as it is not committed."""
    first = in_the_database(writer, database)
    second, third = writer.phase(phase(since_s=2)), writer.phase(phase(since_s=3))
    assert first.cancel()
    assert second.cancel()
    database.held.set()
    third.result(PATIENCE_S)
    assert events(database) == [at(3)]
    with pytest.raises(CancelledError):
        first.result()


def test_from_the_commit_on_it_can_not_be_cancelled(
    writer: JournalWriter, database: Database
) -> None:
    """It is not known how a lost commit has ended: tried again, and there once."""
    database.commits_are_lost = 3
    change = writer.phase(phase())
    until(change.running, "the commit")
    assert not change.cancel()
    change.result(PATIENCE_S)
    assert database.commits_are_lost == 0
    assert events(database) == [at(0)]


def test_at_the_bound_what_can_be_made_anew_gives_way(
    writer: JournalWriter, database: Database, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oldest first; procedures before measurements before alerts before phases."""
    monkeypatch.setattr(journal_writer, "MAX_WAITING", 4)
    pressed = in_the_database(writer, database)
    measured = [writer.measurement(measurement(1), 50), writer.measurement(measurement(2), 50)]
    raised = writer.alert(alert(), at(1))
    opened = writer.procedure(procedure().message())
    more = [writer.phase(phase(since_s=n)) for n in (2, 3)]
    with pytest.raises(JournalError, match="too many"):
        opened.result(0)
    with pytest.raises(JournalError, match="too many"):
        measured[0].result(0)
    database.held.set()
    for kept in (pressed, measured[1], raised, *more):
        kept.result(PATIENCE_S)
    past = database.read()
    assert past.measurements("p") == [(measurement(2), 50)]
    assert [one.since for one in past.phases("p")] == [at(1), at(2), at(3)]
    assert figure(metrics, "journal_lost_total") == [
        'icemargin_journal_lost_total{kind="procedure"} 1.0',
        'icemargin_journal_lost_total{kind="measurement"} 1.0',
    ]


def test_what_can_not_be_written_holds_up_nothing(
    writer: JournalWriter, database: Database, metrics: Metrics
) -> None:
    first = writer.measurement(measurement(1), 50)
    other = writer.measurement(measurement(1, margin_mm=3.0), 50)
    after = writer.phase(phase())
    after.result(PATIENCE_S)
    first.result(0)
    with pytest.raises(JournalError, match="UNIQUE"):
        other.result(0)
    assert 'kind="measurement"} 1.0' in figure(metrics, "journal_lost_total")[0]


def test_a_defect_holds_up_nothing(writer: JournalWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise TypeError("a defect")

    monkeypatch.setattr(Database, "alert", broken)
    with pytest.raises(JournalError, match="a defect"):
        writer.alert(alert(), at(1)).result(PATIENCE_S)
    writer.phase(phase()).result(PATIENCE_S)


def test_a_database_that_can_not_be_written_is_told_before_anybody_writes(
    writer: JournalWriter, database: Database
) -> None:
    assert writer.problem() is None
    database.away = True
    problem = until(writer.problem, "the problem")
    assert problem == "The journal can't be written (the database is away)."
    database.away = False
    until(lambda: writer.problem() is None, "that all is well")


def test_a_database_that_does_not_answer_is_told(writer: JournalWriter, database: Database) -> None:
    database.held.clear()
    assert "has not answered" in until(writer.problem, "the problem")


def test_the_end_waits_for_what_is_not_written_yet(database: Database) -> None:
    writer = JournalWriter("", Metrics())
    database.away = True
    writer.phase(phase(PhaseName.FREEZE))
    threading.Timer(0.3, lambda: setattr(database, "away", False)).start()
    writer.close()
    assert events(database) == [at(0)]


def test_the_end_does_not_wait_for_ever(database: Database, metrics: Metrics) -> None:
    writer = JournalWriter("", metrics)
    database.away = True
    futures = [writer.phase(phase(since_s=n)) for n in range(5)]
    writer.close()
    for future in futures:
        with pytest.raises(JournalError, match="ended"):
            future.result(0)
    assert figure(metrics, "journal_lost_total") == [
        'icemargin_journal_lost_total{kind="phase"} 5.0'
    ]


def known(writer: JournalWriter) -> Callable[[], bool]:
    """Whether the past has been read."""

    def look() -> bool:
        try:
            writer.procedures()
        except JournalError:
            return False
        return True

    return look


def test_a_start_without_the_database(database: Database) -> None:
    """It begins without its past and says so; when the database is back, it is written to."""
    database.procedure(procedure().message())
    database.away = True
    began = time.monotonic()
    with closing(JournalWriter("", Metrics())) as writer:
        assert time.monotonic() - began < 2
        change = writer.phase(phase())
        with pytest.raises(JournalError, match="past"):
            writer.procedures()
        database.away = False
        change.result(PATIENCE_S)
        assert len(writer.procedures()) == 1
        assert "Restart" in until(writer.problem, "what is missing")


def test_a_start_with_a_slow_database_that_nobody_has_asked_yet(database: Database) -> None:
    database.procedure(procedure().message())
    database.away = True
    with closing(JournalWriter("", Metrics())) as writer:
        database.away = False
        until(lambda: writer.problem() is None, "the past")
        assert len(writer.procedures()) == 1
        assert writer.problem() is None


def test_the_past_is_what_was_there_at_the_start(database: Database) -> None:
    database.alert(alert(), at(1))
    with closing(JournalWriter("", Metrics())) as writer:
        writer.phase(phase()).result(PATIENCE_S)
        assert writer.alerts("p") == [alert()]
        assert writer.phases("p") == []
        assert writer.measurements("p") == []
        assert writer.values_when_acknowledged("p") == {}
