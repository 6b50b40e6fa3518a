"""The journal: what was written is read back, and what can't be written is told."""

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from monitor import messages
from monitor.journal import Journal, JournalError, UnwritableError, WithdrawnError
from monitor.messages import AlertState, PhaseName
from tests.monitor.made import alert, at, measurement, not_assessable, phase, procedure
from tests.peers.postgres import Postgres, running_postgres


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server."""
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peer)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'journal.sqlite'}"
    server: Postgres = request.getfixturevalue("postgres")
    server.empty()
    return server.url


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a file may be."""
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(url: str) -> Iterator[Journal]:
    """An open one."""
    with closing(Journal(url)) as journal:
        journal.check()
        yield journal


def run(url: str, statement: str) -> list[tuple[object, ...]]:
    """Do something to the database from outside; what it finds."""
    parsed = make_url(url)
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+pg8000")
    engine = create_engine(parsed)
    with engine.begin() as connection:
        found = connection.execute(text(statement))
        rows = [tuple(row) for row in found] if found.returns_rows else []
    engine.dispose()
    return rows


def test_all_of_it_there_and_back(journal: Journal, url: str) -> None:
    message = procedure(measurement(1)).message()
    journal.procedure(message)
    written = [(measurement(1), 50), (not_assessable(2), 49), (measurement(3), 50)]
    for one, slices in written:
        journal.measurement(one, slices)
    journal.measurement(measurement(9, procedure_id="another"), 1)
    journal.alert(alert(), at(1))
    seen = alert(state=AlertState.ACTIVE_ACKNOWLEDGED, acknowledged_by="c", acknowledged_at=at(2))
    journal.alert(seen, at(2))
    phases = [phase(PhaseName.FREEZE), phase(PhaseName.THAW, 1, 600)]
    for one_phase in phases:
        journal.phase(one_phase)
    journal.close()
    with closing(Journal(url)) as reopened:
        again = reopened.read()
    (row,) = again.procedures()
    assert row == {
        "id": "p",
        "patient_id": "4711",
        "patient_name": "Muster",
        "study_instance_uid": "1.2.3",
        "opened_at": "2026-03-01T09:00:00+00:00",
        "state": "open",
    }
    assert again.measurements("p") == written
    assert again.alerts("p") == [seen]
    assert again.phases("p") == phases
    assert again.alerts("another") == []


def test_a_procedure_is_written_over(journal: Journal) -> None:
    message = procedure().message()
    journal.procedure(message)
    journal.procedure(message.model_copy(update={"state": "closed"}))
    assert [row["state"] for row in journal.read().procedures()] == ["closed"]


def test_every_change_of_an_alert_stays(journal: Journal, url: str) -> None:
    journal.alert(alert(), at(1))
    journal.alert(alert(state=AlertState.LATCHED), at(2))
    rows = run(url, "SELECT at, kind FROM events ORDER BY number")
    assert [kind for _, kind in rows] == ["alert", "alert"]
    assert str(rows[0][0]) < str(rows[1][0])


def test_the_value_that_was_acknowledged(journal: Journal) -> None:
    """Not the one that it has crept to since."""
    seen = {"state": AlertState.ACTIVE_ACKNOWLEDGED, "acknowledged_by": "c"}
    journal.alert(alert(value=4.5), at(0))
    journal.alert(alert(value=4.0, acknowledged_at=at(10), **seen), at(10))
    journal.alert(alert(value=3.5, acknowledged_at=at(10), **seen), at(60))
    assert journal.read().values_when_acknowledged("p") == {"a1": 4.0}
    journal.alert(alert(value=3.0), at(120))
    journal.alert(alert(value=2.9, acknowledged_at=at(130), **seen), at(130))
    assert journal.read().values_when_acknowledged("p") == {"a1": 2.9}
    assert journal.read().values_when_acknowledged("another") == {}


def test_a_measurement_is_written_once(journal: Journal) -> None:
    journal.measurement(measurement(1), 50)
    with pytest.raises(UnwritableError):
        journal.measurement(measurement(1, margin_mm=3.0), 50)
    assert journal.read().measurements("p") == [(measurement(1), 50)]


def test_the_same_again_changes_nothing(journal: Journal, url: str) -> None:
    """A write may be repeated when it is not known whether it went through."""
    journal.procedure(procedure().message())
    for _ in range(2):
        journal.measurement(measurement(1), 50)
        journal.alert(alert(), at(1))
        journal.phase(phase())
    assert run(url, "SELECT count(*) FROM measurements") == [(1,)]
    assert run(url, "SELECT kind FROM events ORDER BY number") == [("alert",), ("phase",)]


def test_what_nobody_wants_any_more_is_not_written(journal: Journal) -> None:
    """Asked when all is done but the commit."""
    with pytest.raises(WithdrawnError):
        journal.alert(alert(), at(1), lambda: False)
    past = journal.read()
    assert past.alerts("p") == []
    assert past.values_when_acknowledged("p") == {}


def test_an_alert_without_its_event_is_not_written(journal: Journal, url: str) -> None:
    """One call, one transaction."""
    run(url, "ALTER TABLE events RENAME TO hidden")
    with pytest.raises(JournalError, match="events"):
        journal.alert(alert(), at(1))
    run(url, "ALTER TABLE hidden RENAME TO events")
    assert journal.read().alerts("p") == []


def test_check(journal: Journal, url: str) -> None:
    journal.check()
    run(url, "DROP TABLE procedures")
    with pytest.raises(JournalError, match=re.escape(url)):
        journal.check()


def test_text_that_the_database_can_not_hold_is_told_apart(journal: Journal) -> None:
    """Trying that again leads nowhere. A name's stray half of a pair of UTF-16, for one."""
    message = procedure().message().model_copy(update={"patient_name": "M\ud800ller"})
    with pytest.raises(UnwritableError):
        journal.procedure(message)
    journal.check()


def test_a_file_that_is_no_database(path: Path) -> None:
    path.write_bytes(b"This is not a database.\n" * 100)
    with pytest.raises(JournalError, match="not a database"):
        Journal(f"sqlite:///{path}")


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(JournalError, match=re.escape(str(tmp_path / "file"))):
        Journal(f"sqlite:///{tmp_path / 'file' / 'journal.sqlite'}")


@pytest.mark.parametrize("url", ["journal.sqlite", "", "nosuch://somewhere/ice"])
def test_no_database_url(url: str) -> None:
    with pytest.raises(JournalError):
        Journal(url)


def test_a_server_that_is_away_is_no_obstacle_before_it_is_used() -> None:
    with closing(Journal("postgresql://ice:secret@127.0.0.1:1/ice")) as journal:
        with pytest.raises(JournalError) as caught:
            journal.check()
        assert "secret" not in str(caught.value)


def test_a_password_is_not_told() -> None:
    with pytest.raises(JournalError) as caught:
        Journal("nosuch://ice:secret@somewhere/ice")
    assert "secret" not in str(caught.value)


def test_the_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "journal.sqlite"
    Journal(f"sqlite:///{path}").close()
    assert path.exists()


def test_what_is_durable_is_so_at_once(journal: Journal, url: str) -> None:
    """Another process sees it as soon as the call is back."""
    journal.measurement(measurement(1), 50)
    with closing(Journal(url)) as other:
        assert other.read().measurements("p") == [(measurement(1), 50)]


def test_a_document_of_another_version_is_told(journal: Journal, url: str) -> None:
    """What can't be read back as our types is never shown as if it could; others are."""
    journal.measurement(measurement(1), 50)
    run(url, "UPDATE measurements SET document = replace(document, 'monitoring', 'unheard-of')")
    journal.measurement(measurement(2, procedure_id="another"), 50)
    past = journal.read()
    with pytest.raises(JournalError):
        past.measurements("p")
    assert len(past.measurements("another")) == 1
    assert isinstance(measurement(1), messages.Measurement)


@pytest.mark.peer
def test_a_table_that_another_holds_is_not_waited_for_without_end(postgres: Postgres) -> None:
    """The server itself ends the statement; nothing is left half done."""
    postgres.empty()
    with closing(Journal(postgres.url)) as journal:
        journal.check()
        with postgres.locked("events"), pytest.raises(JournalError, match="timeout"):
            journal.alert(alert(), at(1))
        assert journal.read().alerts("p") == []
