"""To which procedure an object belongs, live and after a restart."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dicom_listener.events import ObjectStored, Receipt
from monitor.clock import Clock
from monitor.config import Settings, StorageSection
from monitor.journal_writer import JournalWriter
from monitor.metrics import Metrics
from monitor.room import CLOSED_KEPT, Room
from tests.dicom_listener.objects import at, header

IDLE_S = 7200.0


def stored(patient: str, minutes: float) -> ObjectStored:
    """An image of a patient in a study of their own."""
    one = replace(
        header(0.0),
        patient_id=patient,
        study_instance_uid=f"1.2.{ord(patient)}",
        series_instance_uid=f"1.2.{ord(patient)}.1",
        sop_instance_uid=f"1.2.{ord(patient)}.1.{round(minutes)}",
    )
    receipt = Receipt(at(60 * minutes), "a", "CT1", "192.0.2.17")
    return ObjectStored(one, Path(one.sop_instance_uid), receipt, "new")


def admitted(
    url: str, objects: Sequence[ObjectStored], left_out: datetime | None = None
) -> list[str | None]:
    """Whose procedure is open after each object, as the journal is told too."""
    with closing(JournalWriter(url, Metrics())) as journal:
        settings = Settings(storage=StorageSection(directory=Path("nowhere")))
        room = Room(settings, Clock(), journal, any_patient=False, left_out=left_out)
        found = []
        for one in objects:
            room.admit(one)
            for changed in room.take_changed():
                written = journal.procedure(changed.message())
                if written is not None:
                    written.result(timeout=10)
            found.append(room.current.patient_id if room.current is not None else None)
        return found


@pytest.mark.parametrize("restarts", [1, 2])
def test_a_restart_ends_where_life_was(tmp_path: Path, restarts: int) -> None:
    """A stray image in the course of a procedure must not open one of its own afterwards."""
    url = f"sqlite:///{tmp_path / 'journal.sqlite'}"
    day = [
        stored("A", 0),
        stored("B", 90),
        stored("A", 91),
        stored("C", 91 + 125),
        stored("B", 230),
    ]
    live = admitted(url, day)
    assert live == ["A", "A", "A", "C", "C"]
    for _ in range(restarts):
        assert admitted(url, day) == live


def test_what_was_closed_stays_so_when_its_course_is_not_told_again(tmp_path: Path) -> None:
    """A stray image of one of last month's patients is stored, and opens nothing."""
    url = f"sqlite:///{tmp_path / 'journal.sqlite'}"
    assert admitted(url, [stored("A", 0), stored("B", 150)]) == ["A", "B"]
    left_out = at(0) + timedelta(minutes=100)
    again = [stored("A", 151), stored("B", 152), stored("A", 500), stored("C", 501)]
    assert admitted(url, again, left_out) == [None, "B", "B", "C"]
    # Nothing is left out of its course: what has closed it is told again.
    assert admitted(url, [stored("A", 0), stored("A", 10)]) == ["A", "A"]


def test_of_many_closed_procedures_the_first_are_let_go_of(tmp_path: Path) -> None:
    """But never taken for new ones."""
    settings = Settings(storage=StorageSection(directory=tmp_path))
    patients = [chr(ord("A") + n) for n in range(CLOSED_KEPT + 4)]
    with closing(JournalWriter(f"sqlite:///{tmp_path / 'j.sqlite'}", Metrics())) as journal:
        room = Room(settings, Clock(), journal, any_patient=False)
        for n, patient in enumerate(patients):
            room.admit(stored(patient, 150 * n))
        assert [one.patient_id for one in room.procedures()] == patients[3:]
        assert len(room.alerts) == CLOSED_KEPT + 1
        assert room.admit(stored("A", 150 * len(patients))) is None
        assert room.owner("1.2.65.1") is None
        assert room.owner(f"1.2.{ord(patients[-1])}.1") is room.current
