"""The journal: what was written is read back, and what can't be written is told."""

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor import messages
from monitor.journal import Journal, JournalError
from monitor.messages import AlertState, PhaseName
from tests.monitor.made import alert, at, measurement, not_assessable, phase, procedure


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database is."""
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    """An open one."""
    journal = Journal(f"sqlite:///{path}")
    yield journal
    journal.close()


def run(path: Path, statement: str) -> None:
    """Do something to the database from outside."""
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


def reopened(path: Path) -> Journal:
    """The same journal after a restart."""
    return Journal(f"sqlite:///{path}")


def test_all_of_it_there_and_back(journal: Journal, path: Path) -> None:
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
    again = reopened(path)
    try:
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
    finally:
        again.close()


def test_a_procedure_is_written_over(journal: Journal) -> None:
    message = procedure().message()
    journal.procedure(message)
    journal.procedure(message.model_copy(update={"state": "closed"}))
    assert [row["state"] for row in journal.procedures()] == ["closed"]


def test_every_change_of_an_alert_stays(journal: Journal, path: Path) -> None:
    journal.alert(alert(), at(1))
    journal.alert(alert(state=AlertState.LATCHED), at(2))
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT at, kind FROM events ORDER BY number").fetchall()
    connection.close()
    assert [kind for _, kind in rows] == ["alert", "alert"]
    assert rows[0][0] < rows[1][0]


def test_the_value_that_was_acknowledged(journal: Journal) -> None:
    """Not the one that it has crept to since."""
    seen = {"state": AlertState.ACTIVE_ACKNOWLEDGED, "acknowledged_by": "c"}
    journal.alert(alert(value=4.5), at(0))
    journal.alert(alert(value=4.0, acknowledged_at=at(10), **seen), at(10))
    journal.alert(alert(value=3.5, acknowledged_at=at(10), **seen), at(60))
    assert journal.values_when_acknowledged("p") == {"a1": 4.0}
    journal.alert(alert(value=3.0), at(120))
    journal.alert(alert(value=2.9, acknowledged_at=at(130), **seen), at(130))
    assert journal.values_when_acknowledged("p") == {"a1": 2.9}
    assert journal.values_when_acknowledged("another") == {}


def test_a_measurement_is_written_once(journal: Journal) -> None:
    journal.measurement(measurement(1), 50)
    with pytest.raises(JournalError):
        journal.measurement(measurement(1), 50)
    assert len(journal.measurements("p")) == 1


def test_an_alert_without_its_event_is_not_written(journal: Journal, path: Path) -> None:
    """One call, one transaction."""
    run(path, "DROP TABLE events")
    with pytest.raises(JournalError, match="no such table"):
        journal.alert(alert(), at(1))
    assert journal.alerts("p") == []


def test_check(journal: Journal, path: Path) -> None:
    journal.check()
    run(path, "DROP TABLE procedures")
    with pytest.raises(JournalError, match=re.escape(str(path))):
        journal.check()


def test_a_file_that_is_no_database(path: Path) -> None:
    path.write_bytes(b"This is not a database.\n" * 100)
    with pytest.raises(JournalError, match="not a database"):
        reopened(path)


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(JournalError, match=re.escape(str(tmp_path / "file"))):
        Journal(f"sqlite:///{tmp_path / 'file' / 'journal.sqlite'}")


@pytest.mark.parametrize("url", ["journal.sqlite", "", "nosuch://somewhere/ice"])
def test_no_database_url(url: str) -> None:
    with pytest.raises(JournalError):
        Journal(url)


def test_a_password_is_not_told() -> None:
    with pytest.raises(JournalError) as caught:
        Journal("nosuch://ice:secret@somewhere/ice")
    assert "secret" not in str(caught.value)


def test_the_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "journal.sqlite"
    reopened(path).close()
    assert path.exists()


def test_what_is_durable_is_so_at_once(journal: Journal, path: Path) -> None:
    """Another process sees it as soon as the call is back."""
    journal.measurement(measurement(1), 50)
    other = reopened(path)
    try:
        assert other.measurements("p") == [(measurement(1), 50)]
    finally:
        other.close()


def test_a_document_of_another_version_is_told(journal: Journal, path: Path) -> None:
    """What can't be read back as our types is never shown as if it could."""
    journal.measurement(measurement(1), 50)
    run(path, "UPDATE measurements SET document = replace(document, 'monitoring', 'unheard-of')")
    with pytest.raises(JournalError):
        journal.measurements("p")
    assert isinstance(measurement(1), messages.Measurement)
