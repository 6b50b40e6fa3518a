"""What is said of a series while its slices come, and after."""

from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from dicom_listener.events import AssociationEnded, ObjectStored, Receipt
from monitor.alerts import Finding
from monitor.clock import Clock
from monitor.config import Settings, StorageSection
from monitor.intake import Intake
from monitor.journal_writer import JournalWriter
from monitor.messages import Assessment, Measurement, ScanProgress
from monitor.metrics import Metrics
from monitor.procedure import Procedure
from monitor.room import Room
from monitor.stream import Data
from tests.dicom_listener.objects import at, header, heights
from tests.monitor.made import measurement


class Page:
    """What is shown: series' states each time that something is told of them."""

    def __init__(self) -> None:
        self.states: list[list[str]] = []
        self.progress: list[tuple[int, bool]] = []
        self.measurements: list[Measurement] = []

    def send(self, data: Data) -> None:
        """A message."""
        if isinstance(data, ScanProgress):
            self.progress.append((data.received, data.complete))
        if isinstance(data, Measurement):
            self.measurements.append(data)

    def note(self, procedure: Procedure) -> None:
        """The procedure has changed."""
        self.states.append([str(one.status) for one in procedure.message().series])

    def consider(self, procedure: Procedure, found: Iterable[Finding]) -> None:
        """Nothing here raises an alert."""

    def advance(self, procedure: Procedure) -> None:
        """Nothing is measured here."""


@pytest.fixture
def page() -> Page:
    return Page()


def slices(intake: Intake, z_mm: Sequence[float], association: str, from_s: float) -> None:
    """Slices come, and their association is released."""
    for n, z in enumerate(z_mm):
        one = header(z)
        receipt = Receipt(at(from_s + n * 0.01), association, "CT1", "192.0.2.17")
        intake.take(ObjectStored(one, Path(one.sop_instance_uid), receipt, "new"))
    intake.take(AssociationEnded(association, "CT1", "released", at(from_s + 1)))


def test_a_late_slice_takes_back_what_was_said(page: Page, tmp_path: Path) -> None:
    settings = Settings(storage=StorageSection(directory=tmp_path))
    url = f"sqlite:///{tmp_path / 'journal.sqlite'}"
    with closing(JournalWriter(url, Metrics())) as journal:
        room = Room(settings, Clock(), journal, any_patient=False)
        intake = Intake(settings, Clock(), room, page)
        slices(intake, heights(5), "a", 0.0)
        assert page.states[-1] == ["final"]
        assert page.progress[-1] == (5, True)
        assert len(page.progress) < 5  # not each slice is told
        procedure = room.current
        assert procedure is not None
        final = measurement(series_instance_uid=next(iter(procedure.series)))
        procedure.results.put(final)
        before = len(page.states)
        slices(intake, [15, 18], "b", 10.0)
        (doubted,) = page.measurements  # told once, with the same figures
        assert doubted.assessment is Assessment.PROVISIONAL
        assert doubted.reasons[0].code == "incomplete"
        assert doubted.tumour == final.tumour
        assert list(procedure.results) == [doubted]
        assert page.states[before:] == [["receiving"]]  # told once
        intake.tell_progress()
        assert page.progress[-1] == (7, False)
        intake.look(at(20))
        assert page.states[-1] == ["final"]
        assert page.progress[-1] == (7, True)
