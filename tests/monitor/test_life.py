"""The life of a procedure: its table, what people decide of it, and what a restart makes of it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from dicom_listener.events import ObjectStored
from monitor.clock import Clock
from monitor.config import Settings, StorageSection
from monitor.decisions import (
    CommandError,
    Decision,
    ProcedureClosed,
    ProcedureOpened,
    ProcedureReopened,
    What,
)
from monitor.journal_writer import JournalWriter
from monitor.life import TRANSITIONS, State, after
from monitor.metrics import Metrics
from monitor.room import Room, id_of
from tests.dicom_listener.objects import at
from tests.monitor.test_room import stored


class Day:
    """One room with its journal, told by minutes."""

    def __init__(self, room: Room, journal: JournalWriter) -> None:
        self.room = room
        self._journal = journal

    def image(self, patient: str, minute: float, *, study: str = "") -> bool:
        """An image comes; whether it is used."""
        one = stored(patient, minute)
        if study:
            header = replace(one.header, study_instance_uid=study, series_instance_uid=f"{study}.1")
            one = ObjectStored(header, one.path, one.receipt, "new")
        used = self.room.admit(one) is not None
        self._keep()
        return used

    def decide(self, patient: str, minute: float, what: What) -> None:
        """A person decides, as the desk does it."""
        procedure_id = id_of(patient, f"1.2.{ord(patient)}")
        decision = Decision(
            id=uuid4().hex, procedure_id=procedure_id, at=at(60 * minute), by="console", what=what
        )
        self.room.check(procedure_id, what)
        self._journal.decision(decision).result(timeout=10)
        self.room.take(decision)
        self._keep()

    def open(self, patient: str, minute: float) -> None:
        """A person takes a patient from the worklist."""
        what = ProcedureOpened(
            patient_id=patient, patient_name=patient, study_instance_uid=f"1.2.{ord(patient)}"
        )
        self.decide(patient, minute, what)

    @property
    def state(self) -> tuple[str, State] | None:
        """Whose procedure is the current one, and how it stands."""
        current = self.room.current
        return (current.patient_id, current.state) if current is not None else None

    @property
    def alarmed(self) -> bool:
        """Whether the identity alert's condition was met."""
        return bool(self.room.foreign_finding())

    def _keep(self) -> None:
        for changed in self.room.take_changed():
            self._journal.procedure(changed.message()).result(timeout=10)


@contextmanager
def room_in(folder: Path) -> Iterator[Day]:
    url = f"sqlite:///{folder / 'journal.sqlite'}"
    with closing(JournalWriter(url, Metrics())) as journal:
        settings = Settings(storage=StorageSection(directory=folder))
        yield Day(Room(settings, Clock(), journal, any_patient=False), journal)


@pytest.fixture
def day(tmp_path: Path) -> Iterator[Day]:
    with room_in(tmp_path) as one:
        yield one


def test_the_table_leads_somewhere_from_everywhere() -> None:
    assert {state for state, _ in TRANSITIONS} == set(State)
    assert after(State.CLOSED, "object") is State.CLOSED
    with pytest.raises(ValueError, match="a procedure that is open has no 'reopen'"):
        after(State.OPEN, "reopen")


def test_a_second_patient_the_same_day(day: Day) -> None:
    """Closed by a person, the next begins at once, without a restart and without an alert."""
    assert day.image("A", 0)
    day.decide("A", 30, ProcedureClosed())
    assert day.image("B", 31)
    assert day.state == ("B", State.OPEN)
    assert not day.alarmed
    assert not day.image("A", 32)  # stored, not measured
    assert day.state == ("B", State.OPEN)


def test_a_second_study_of_the_same_patient(day: Day) -> None:
    assert day.image("A", 0)
    assert not day.image("A", 10, study="1.2.99")
    assert day.alarmed
    day.decide("A", 30, ProcedureClosed())
    assert day.image("A", 31, study="1.2.99")


def test_an_expected_patient(day: Day) -> None:
    day.open("A", 0)
    assert day.state == ("A", State.EXPECTED)
    assert not day.image("B", 1)
    assert day.alarmed
    assert day.image("A", 2)
    assert day.state == ("A", State.OPEN)


def test_an_expected_patient_whose_scanner_has_made_a_study_of_its_own(day: Day) -> None:
    day.open("A", 0)
    assert day.image("A", 2, study="1.2.99")
    assert not day.alarmed
    assert day.state == ("A", State.OPEN)
    assert [one.state for one in day.room.procedures()] == [State.CLOSED, State.OPEN]


def test_a_silent_one_lapses_and_comes_back(day: Day) -> None:
    assert day.image("A", 0)
    day.room.look()  # the images are of long ago
    assert day.state == ("A", State.LAPSED)
    assert day.image("A", 1)
    assert day.state == ("A", State.OPEN)
    day.room.look()
    assert day.image("B", 2)
    assert day.state == ("B", State.OPEN)


def test_what_was_closed_by_mistake(day: Day) -> None:
    assert day.image("A", 0)
    day.decide("A", 30, ProcedureClosed())
    assert not day.image("A", 31)
    day.decide("A", 32, ProcedureReopened())
    assert day.image("A", 33)


def test_what_can_not_be_decided(day: Day) -> None:
    assert day.image("A", 0)
    with pytest.raises(CommandError, match="close it first"):
        day.open("B", 1)
    with pytest.raises(CommandError, match="close it first"):
        day.decide("A", 1, ProcedureReopened())
    with pytest.raises(CommandError, match="There is no procedure"):
        day.decide("B", 1, ProcedureClosed())
    day.decide("A", 2, ProcedureClosed())
    with pytest.raises(CommandError, match="closed already"):
        day.decide("A", 3, ProcedureClosed())
    with pytest.raises(CommandError, match="open it again"):
        day.open("A", 3)


def test_a_restart_ends_where_the_day_was(tmp_path: Path) -> None:
    with room_in(tmp_path) as day:
        day.image("A", 0)
        day.decide("A", 30, ProcedureClosed())
        day.image("B", 31)
        day.decide("B", 60, ProcedureClosed())
        day.decide("A", 61, ProcedureReopened())
        day.image("A", 62)
        day.decide("A", 70, ProcedureClosed())
        day.open("C", 75)
        live = day.state
        assert live == ("C", State.EXPECTED)
    for _ in range(2):
        with room_in(tmp_path) as again:
            assert again.image("A", 0)
            assert again.image("B", 31)
            assert again.image("A", 62)
            again.room.tell_until(None)
            assert again.state == live
            assert not again.alarmed
            states = {one.patient_id: one.state for one in again.room.procedures()}
            assert states["A"] is states["B"] is State.CLOSED
            assert again.room.by_id(id_of("C", "1.2.67")).opened_at == at(0) + timedelta(minutes=75)
