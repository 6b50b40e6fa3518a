"""To which procedure an object belongs, live and after a restart."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from dicom_listener.events import ObjectStored, Receipt
from monitor.clock import Clock
from monitor.config import Settings, StorageSection
from monitor.journal_writer import JournalWriter
from monitor.metrics import Metrics
from monitor.room import Room
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


def admitted(url: str, objects: Sequence[ObjectStored]) -> list[str | None]:
    """Whose procedure is open after each object, as the journal is told too."""
    with closing(JournalWriter(url, Metrics())) as journal:
        settings = Settings(storage=StorageSection(directory=Path("nowhere")))
        room = Room(settings, Clock(), journal, any_patient=False)
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
