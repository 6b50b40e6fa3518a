"""Slices that come while, or after, a scan was worked on with those before them."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from dicom_listener.events import AssociationEnded, ObjectStored, Receipt
from monitor.analysis import Planned, Refused, read_structures
from monitor.clock import Clock
from monitor.config import Settings, StorageSection
from monitor.decisions import Decision, PhaseTakenBack
from monitor.intake import Intake
from monitor.journal_writer import JournalWriter
from monitor.messages import PhaseName, Role
from monitor.metrics import Metrics
from monitor.procedure import Procedure
from monitor.room import Room
from monitor.steps import Job, Verdict
from monitor.structure_sets import Drawn
from monitor.structures import Offered
from segmentation.assessment import Reference
from segmentation.nephrometry import Item, Nephrometry
from segmentation.structures import solid_from_contours
from tests.dicom_listener.objects import ROOT, at, header, heights
from tests.monitor.test_intake import Page
from tests.segmentation.shapes import ball_contours

PLANNING, BASELINE, SCAN = 1, 2, 3
NOW = at(0)
REFUSED = Refused("registration_failed", "The scan does not show the treated kidney.")


class Case:
    """A procedure with contours; jobs are answered by hand."""

    def __init__(self, intake: Intake, room: Room) -> None:
        self._intake = intake
        self._room = room

    @property
    def procedure(self) -> Procedure:
        """The only one."""
        assert self._room.current is not None
        return self._room.current

    def send(self, series: int, count: int, first: int = 0) -> None:
        """Some slices of a series, the end of their association, and silence."""
        acquired = at(0) + timedelta(minutes=series)
        name = f"{series}-{first}"
        for z in heights(count, start_mm=3.0 * first):
            one = header(z, series, acquired_at=acquired)
            receipt = Receipt(acquired, name, "CT1", "192.0.2.17")
            self._intake.take(ObjectStored(one, Path(one.sop_instance_uid), receipt, "new"))
        self._intake.take(AssociationEnded(name, "CT1", "released", acquired))
        self._intake.look(acquired + timedelta(seconds=50))

    def job(self) -> Job:
        """The next job; verdicts before it are given."""
        while isinstance(step := self.procedure.next_step(), Verdict):
            pass
        assert step is not None, "nothing is to be done"
        return step

    def answer(self, job: Job, answer: Any) -> Verdict | None:
        """The job is done."""
        return self.procedure.course.conclude(job, answer)

    def role(self, series: int) -> Role | None:
        """What a series is for."""
        return self.procedure.series[f"{ROOT}.5.{series}"].role


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    settings = Settings(storage=StorageSection(directory=tmp_path))
    url = f"sqlite:///{tmp_path / 'journal.sqlite'}"
    with closing(JournalWriter(url, Metrics())) as journal:
        room = Room(settings, Clock(), journal, any_patient=False)
        case = Case(Intake(settings, Clock(), room, Page()), room)
        case.send(PLANNING, 8)
        case.procedure.drawings.scan_uid = f"{ROOT}.5.{PLANNING}"
        case.procedure.drawings.structures = ()
        case.send(BASELINE, 8)
        yield case


def made() -> Reference:
    """A reference that nothing is measured with."""
    nothing = cast("Any", None)
    return Reference(nothing, nothing, nothing, (), None)


def prepared(case: Case) -> Reference:
    """Prepare the reference."""
    reference = made()
    job = case.job()
    assert job.kind == "reference"
    case.answer(job, reference)
    assert case.procedure.compared.reference is reference
    return reference


def test_a_refusal_of_some_slices_is_not_that_of_all(case: Case) -> None:
    prepared(case)
    case.send(SCAN, 5)
    job = case.job()
    case.send(SCAN, 3, first=5)
    assert case.answer(job, REFUSED) is None
    again = case.job()
    assert (again.kind, len(again.arguments[0])) == ("measure", 8)
    verdict = case.answer(again, REFUSED)
    assert verdict is not None
    assert verdict.measurement.reasons[0].code == REFUSED.code


@pytest.mark.parametrize("growing", [PLANNING, BASELINE])
def test_a_reference_of_some_slices_is_not_used(case: Case, growing: int) -> None:
    job = case.job()
    case.send(growing, 2, first=8)
    assert case.answer(job, made()) is None
    assert case.procedure.compared.reference is None
    again = case.job()
    assert again.kind == "reference"
    assert len(again.arguments[growing - PLANNING]) == 10


@pytest.mark.parametrize("growing", [PLANNING, BASELINE])
def test_a_reference_that_has_grown_is_prepared_again(case: Case, growing: int) -> None:
    """And what was measured against it, is measured again."""
    prepared(case)
    case.send(SCAN, 8)
    assert case.answer(case.job(), REFUSED) is not None
    assert case.procedure.next_step() is None
    case.send(growing, 2, first=8)
    reference = prepared(case)
    assert case.role(BASELINE) is Role.BASELINE
    again = case.job()
    assert again.kind == "measure"
    assert again.arguments[1] is reference


def test_a_scan_under_way_is_measured_against_the_reference_that_has_grown(case: Case) -> None:
    prepared(case)
    case.send(SCAN, 8)
    job = case.job()
    case.send(BASELINE, 2, first=8)
    reference = prepared(case)
    assert case.answer(job, REFUSED) is None
    assert case.job().arguments[1] is reference


def planned(scan_uid: str) -> Planned:
    """A tumour, drawn on a scan."""
    ball = solid_from_contours("Tumour", "tumour", ball_contours(10.0, 2.0))
    return Planned("RTSTRUCT", "", Drawn((scan_uid,), "", frozenset()), (ball,), ())


def offered(case: Case, name: str) -> Job:
    """A structure set has come: the job that reads it."""
    one = Offered(Path(name), f"{ROOT}.5.{BASELINE}", name, "tumour", "hilum", NOW)
    case.procedure.drawings.came(one)
    job = case.job()
    assert (job.kind, job.function, job.arguments) == ("structures", read_structures, (one,))
    return job


@pytest.mark.parametrize(
    ("refused", "code"),
    [
        (Refused("bad_contours", "A contour is none."), "bad_contours"),
        (Refused("no_tumour", "There is no tumour."), "no_tumour"),
        (Refused("analysis_timeout", "It took too long."), "bad_contours"),
        (Refused("analysis_failed", "The analysis failed twice."), "bad_contours"),
    ],
)
def test_contours_that_are_of_no_use_leave_the_earlier(
    case: Case, refused: Refused, code: str
) -> None:
    reference = prepared(case)
    case.answer(offered(case, "bad"), refused)
    record = case.procedure.series[f"{ROOT}.5.{BASELINE}"]
    assert record.reason is not None
    assert (record.reason.code, record.reason.text) == (code, refused.text)
    assert case.procedure.compared.reference is reference
    case.send(SCAN, 8)
    assert case.job().kind == "measure"


def test_newer_contours_replace_the_earlier(case: Case) -> None:
    """All is measured again, once: the same contours sent again change nothing."""
    prepared(case)
    case.answer(offered(case, "new"), planned(f"{ROOT}.5.{PLANNING}"))
    assert case.procedure.compared.reference is None
    prepared(case)
    case.procedure.drawings.came(Offered(Path("new"), "", "new", "tumour", "hilum", NOW))
    job = case.job()
    assert job.kind == "nephrometry"
    case.answer(job, REFUSED)
    assert case.procedure.next_step() is None
    assert case.procedure.compared.reference is not None


def test_nephrometry_waits_for_the_scans_and_is_computed_once(case: Case) -> None:
    case.answer(offered(case, "new"), planned(f"{ROOT}.5.{PLANNING}"))
    prepared(case)
    job = case.job()
    assert job.kind == "nephrometry"
    size = Item("RENAL", "R", points=1, figure=30.0, unit="mm", computed_from=("Tumour",))
    case.answer(job, Nephrometry(28.0, 30.0, (size,)))
    assert case.procedure.next_step() is None
    told = case.procedure.message().nephrometry
    assert told is not None
    assert (told.computed, told.axial_diameter_mm, told.items[0].points) == (True, 28, 1)
    case.answer(offered(case, "newer"), planned(f"{ROOT}.5.{PLANNING}"))
    assert case.procedure.message().nephrometry is None


def test_contours_are_read_in_the_order_of_their_coming(case: Case) -> None:
    """As after a restart: the last ones that can be used stay, and each is told of."""
    first = offered(case, "good")
    assert offered_paths(case, "bad") == ["good", "bad"]
    case.answer(first, planned(f"{ROOT}.5.{PLANNING}"))
    second = case.job()
    assert second.arguments[0].path == Path("bad")
    case.answer(second, Refused("bad_contours", "A contour is none."))
    assert case.procedure.drawings.main == first.arguments[0]
    prepared(case)


def offered_paths(case: Case, name: str) -> list[str]:
    """What waits to be read when one more has come."""
    case.procedure.drawings.came(Offered(Path(name), "", name, "tumour", "hilum", NOW))
    return [str(one.path) for one in case.procedure.drawings.waiting]


def press(case: Case, name: PhaseName, minutes: float) -> None:
    """A phase that began so many minutes after the story's begin is pressed some time later."""
    since = at(0) + timedelta(minutes=minutes)
    now = at(0) + timedelta(minutes=30)
    case.procedure.press(case.procedure.after_press(name, now, since))


def test_a_phase_in_the_past_is_that_of_the_scans_since(case: Case) -> None:
    """An answer under way that knows of no phase is dropped; a scan before it is left alone."""
    prepared(case)
    case.send(SCAN, 8)
    case.send(SCAN + 1, 8)
    assert case.answer(case.job(), REFUSED) is not None
    job = case.job()
    assert job.arguments[3].phase is None
    press(case, PhaseName.FREEZE, SCAN + 0.5)
    assert case.answer(job, REFUSED) is None
    again = case.job()
    assert again.series_uid == f"{ROOT}.5.{SCAN + 1}"
    assert (again.arguments[3].phase, again.arguments[3].phase_s) == ("freeze", 30.0)
    assert case.answer(again, REFUSED) is not None
    assert case.procedure.next_step() is None
    phases = [m.phase for m in case.procedure.results if m.role is Role.MONITORING]
    assert phases == [None, PhaseName.FREEZE]


def test_a_phase_that_begins_after_the_last_scan_stops_no_analysis(case: Case) -> None:
    prepared(case)
    case.send(SCAN, 8)
    job = case.job()
    press(case, PhaseName.FREEZE, SCAN + 0.5)
    assert case.answer(job, REFUSED) is not None
    assert case.procedure.next_step() is None


def test_a_phase_that_is_taken_back_has_never_been(case: Case) -> None:
    prepared(case)
    case.send(SCAN, 8)
    press(case, PhaseName.FREEZE, SCAN - 0.5)
    assert case.answer(case.job(), REFUSED) is not None
    pressed_at = case.procedure.phase.pressed_at
    assert pressed_at is not None
    what = PhaseTakenBack(pressed_at=pressed_at)
    case.procedure.take(
        Decision(id="d", procedure_id=case.procedure.id, at=at(0), by="console", what=what)
    )
    again = case.job()
    assert again.arguments[3].phase is None
