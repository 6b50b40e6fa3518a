"""What people say of scans: approved, rejected, measured in another way."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from monitor.clock import Clock
from monitor.config import Settings, StorageSection
from monitor.decisions import (
    CommandError,
    Decision,
    OfProcedure,
    PhaseOfferDismissed,
    RoleChosen,
    ScanCorrected,
    ScanReviewed,
)
from monitor.intake import Intake
from monitor.journal_writer import JournalWriter
from monitor.messages import Assessment, Measurement
from monitor.metrics import Metrics
from monitor.room import Room
from monitor.steps import Job, Verdict
from segmentation.correction import Correction
from tests.dicom_listener.objects import ROOT, at
from tests.monitor.test_forecasts import FOUND
from tests.monitor.test_growing import BASELINE, PLANNING, REFUSED, Case, made, prepared
from tests.monitor.test_intake import Page

FIRST, SECOND, THIRD = 3, 4, 5


def uid(series: int) -> str:
    return f"{ROOT}.5.{series}"


class Reviewed(Case):
    """Three scans that were measured."""

    def measured(self, *series: int) -> None:
        """The next jobs measure these scans, in this order."""
        for number in series:
            job = self.job()
            assert (job.kind, job.series_uid) == ("measure", uid(number))
            self.answer(job, FOUND)

    def of(self, series: int) -> Measurement:
        """What holds of a scan."""
        found = self.procedure.results.of(uid(series))
        assert found is not None
        return found

    def decide(self, what: OfProcedure) -> None:
        """A person decides."""
        self.procedure.check(what)
        self.procedure.take(
            Decision(id=uuid4().hex, procedure_id="p", at=at(0), by="console", what=what)
        )

    def review(self, series: int, verdict: str, reason: str = "") -> None:
        """A person reviews a scan."""
        self.decide(
            ScanReviewed.model_validate(
                {
                    "measurement_id": self.of(series).id,
                    "series_instance_uid": uid(series),
                    "verdict": verdict,
                    "reason": reason,
                }
            )
        )

    def step(self) -> Job | Verdict | None:
        """What is to be done."""
        return self.procedure.next_step()


@contextmanager
def opened(folder: Path) -> Iterator[Reviewed]:
    """Of which the planning scan has come."""
    settings = Settings(storage=StorageSection(directory=folder))
    url = f"sqlite:///{folder / 'journal.sqlite'}"
    with closing(JournalWriter(url, Metrics())) as journal:
        room = Room(settings, Clock(), journal, any_patient=False)
        case = Reviewed(Intake(settings, Clock(), room, Page()), room)
        case.send(PLANNING, 8)
        case.procedure.drawings.scan_uid = uid(PLANNING)
        case.procedure.drawings.structures = ()
        yield case


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Reviewed]:
    with opened(tmp_path) as case:
        case.send(BASELINE, 8)
        prepared(case)
        for series in (FIRST, SECOND, THIRD):
            case.send(series, 8)
        case.measured(FIRST, SECOND, THIRD)
        assert case.step() is None
        yield case


@pytest.mark.parametrize(
    "what",
    [
        {"measurement_id": "", "verdict": "rejected", "reason": "The patient moved."},
        {"seed_lps_mm": (1.0, 2.0, 3.0)},
        {"role": "ignored"},
    ],
)
def test_after_a_restart_what_rests_on_a_scan_is_measured_again(
    case: Reviewed, tmp_path: Path, what: dict[str, Any]
) -> None:
    """The service died when it had been written what a person said, and nothing else had."""
    said = of_procedure({"series_instance_uid": uid(SECOND)} | what, case.of(SECOND).id)
    decision = Decision(id="d", procedure_id="p", at=at(0), by="console", what=said)
    (tmp_path / "again").mkdir()
    with opened(tmp_path / "again") as again:
        again.procedure.results.restore((m, 8) for m in case.procedure.results)
        again.procedure.take(decision)
        for series in (BASELINE, FIRST, SECOND, THIRD):
            again.send(series, 8)
        prepared(again)
        if "seed_lps_mm" in what:
            again.measured(SECOND)
        again.measured(THIRD)
        assert again.step() is None
        assert again.of(FIRST) == case.of(FIRST)
        assert again.of(THIRD).supersedes == case.of(THIRD).id


def of_procedure(what: dict[str, Any], measurement_id: str) -> OfProcedure:
    """What a person says, by its fields."""
    if "verdict" in what:
        return ScanReviewed.model_validate(what | {"measurement_id": measurement_id})
    return (RoleChosen if "role" in what else ScanCorrected).model_validate(what)


def test_an_approval_is_said_and_changes_nothing_else(case: Reviewed) -> None:
    before = case.of(SECOND)
    case.review(SECOND, "approved", "Looks right.")
    review = case.of(SECOND).review
    assert review is not None
    assert (review.verdict, review.by, review.reason) == ("approved", "console", "Looks right.")
    assert case.of(SECOND).model_copy(update={"review": None}) == before
    assert case.procedure.results.take_retold() == [case.of(SECOND)], "every page hears of it"
    assert case.procedure.results.take_retold() == []
    assert case.step() is None


def test_a_rejected_scan_has_no_figures_and_later_ones_do_not_rest_on_it(case: Reviewed) -> None:
    before = case.of(SECOND)
    case.review(SECOND, "rejected", "The patient moved.")
    # What came after it is doubted until it is measured again.
    assert [m.series_instance_uid for m in case.procedure.results.take_retold()] == [
        uid(SECOND),
        uid(THIRD),
    ]
    assert case.of(THIRD).assessment is Assessment.PROVISIONAL
    assert case.of(THIRD).reasons[0].code == "recomputing"
    again = case.procedure.message().recomputing
    assert again is not None
    assert (again.done, again.total) == (0, 2)
    case.measured(THIRD)
    rejected = case.of(SECOND)
    assert rejected.assessment is Assessment.NOT_ASSESSABLE
    assert rejected.tumour is None
    assert rejected.reasons[0].code == "rejected"
    assert rejected.reasons[0].text == "Rejected by console: The patient moved."
    assert rejected.supersedes == before.id
    assert case.of(THIRD).assessment is Assessment.FINAL
    assert case.of(FIRST).assessment is Assessment.FINAL
    assert case.procedure.message().recomputing is None


def test_a_rejection_can_be_taken_back(case: Reviewed) -> None:
    case.review(SECOND, "rejected", "The patient moved.")
    case.measured(THIRD)
    case.review(SECOND, "approved")
    case.measured(SECOND, THIRD)
    assert case.of(SECOND).assessment is Assessment.FINAL


def test_rejected_again_while_it_is_measured(case: Reviewed) -> None:
    case.review(SECOND, "rejected", "The patient moved.")
    case.measured(THIRD)
    case.review(SECOND, "approved")
    job = case.job()
    assert job.series_uid == uid(SECOND)
    case.review(SECOND, "rejected", "It did after all.")
    case.answer(job, FOUND)
    case.measured(THIRD)
    assert case.of(SECOND).assessment is Assessment.NOT_ASSESSABLE
    assert case.of(SECOND).reasons[0].text == "Rejected by console: It did after all."


def test_taken_back_before_it_was_judged(case: Reviewed) -> None:
    case.review(SECOND, "rejected", "The patient moved.")
    case.review(SECOND, "rejected", "It did.")
    with pytest.raises(CommandError, match="is being measured again"):
        case.review(SECOND, "approved")
    case.measured(THIRD)
    assert case.of(SECOND).reasons[0].text == "Rejected by console: It did."
    case.review(SECOND, "rejected", "It moved a lot.")
    assert isinstance(case.step(), Verdict)
    assert case.step() is None, "later scans do not hang on the reason"
    assert case.of(SECOND).reasons[0].text == "Rejected by console: It moved a lot."
    case.review(SECOND, "approved")
    case.measured(SECOND, THIRD)
    assert case.of(SECOND).assessment is Assessment.FINAL
    assert case.procedure.message().recomputing is None


def test_no_phase_is_offered_by_some_of_the_scans_while_others_are_measured_again(
    case: Reviewed,
) -> None:
    offered = case.procedure.offered_phase
    assert offered is not None
    assert offered.id.endswith(uid(THIRD))
    case.decide(ScanCorrected(series_instance_uid=uid(FIRST), seed_lps_mm=(1.0, 2.0, 3.0)))
    for series in (FIRST, SECOND, THIRD):
        assert case.procedure.offered_phase is None
        with pytest.raises(CommandError, match="not offered any more"):
            case.procedure.check(PhaseOfferDismissed(offer_id=offered.id))
        case.measured(series)
    assert case.procedure.offered_phase == offered


def test_a_scan_is_measured_as_a_person_wants_it(case: Reviewed) -> None:
    before = case.of(SECOND)
    case.decide(
        ScanCorrected(
            series_instance_uid=uid(SECOND), seed_lps_mm=(1, 2, 3), nudge_mm=(4, 5, 6), note="so"
        )
    )
    job = case.job()
    assert job.series_uid == uid(SECOND)
    assert job.arguments[-1] == Correction(nudge_lps_mm=(4, 5, 6), seed_lps_mm=(1, 2, 3))
    case.answer(job, FOUND)
    case.measured(THIRD)
    after = case.of(SECOND)
    assert after.correction is not None
    assert (after.correction.seed_lps_mm, after.correction.note) == ((1, 2, 3), "so")
    assert after.supersedes == before.id
    case.decide(ScanCorrected(series_instance_uid=uid(SECOND)))
    job = case.job()
    assert job.arguments[-1] == Correction()
    case.answer(job, FOUND)
    case.measured(THIRD)
    assert case.of(SECOND).correction is None


def test_a_correction_ends_a_rejection(case: Reviewed) -> None:
    case.review(SECOND, "rejected", "Wrong place.")
    case.measured(THIRD)
    case.decide(ScanCorrected(series_instance_uid=uid(SECOND), nudge_mm=(1, 0, 0)))
    case.measured(SECOND, THIRD)
    assert case.of(SECOND).assessment is Assessment.FINAL


def test_one_scan_against_another_baseline(case: Reviewed) -> None:
    """The others stay with theirs."""
    usual = case.procedure.compared.reference
    case.decide(
        ScanCorrected(series_instance_uid=uid(SECOND), baseline_series_instance_uid=uid(FIRST))
    )
    prepare = case.job()
    assert (prepare.kind, prepare.series_uid) == ("reference", uid(FIRST))
    other = made()
    assert case.answer(prepare, other) is None
    job = case.job()
    assert (job.series_uid, job.arguments[1]) == (uid(SECOND), other)
    case.answer(job, FOUND)
    job = case.job()
    assert (job.series_uid, job.arguments[1]) == (uid(THIRD), usual)
    case.answer(job, FOUND)
    assert case.procedure.compared.reference is usual
    assert case.step() is None


def test_another_baseline_that_is_of_no_use(case: Reviewed) -> None:
    case.decide(
        ScanCorrected(series_instance_uid=uid(SECOND), baseline_series_instance_uid=uid(FIRST))
    )
    assert case.answer(case.job(), REFUSED) is None
    case.measured(THIRD)
    assert case.of(SECOND).reasons[0].code == REFUSED.code
    assert case.of(SECOND).tumour is None


@pytest.mark.parametrize(
    ("what", "text"),
    [
        (ScanCorrected(series_instance_uid="1.2"), "Only a scan that is measured"),
        (ScanCorrected(series_instance_uid=uid(BASELINE)), "Only a scan that is measured"),
        (
            ScanCorrected(series_instance_uid=uid(FIRST), baseline_series_instance_uid="1.2"),
            "no such scan to compare",
        ),
        (
            ScanCorrected(series_instance_uid=uid(FIRST), baseline_series_instance_uid=uid(THIRD)),
            "an earlier one only",
        ),
        (
            ScanReviewed(measurement_id="x", series_instance_uid=uid(FIRST), verdict="approved"),
            "a newer measurement",
        ),
    ],
)
def test_what_can_not_be_said_of_a_scan(case: Reviewed, what: OfProcedure, text: str) -> None:
    with pytest.raises(CommandError, match=text):
        case.procedure.check(what)
    assert case.procedure.decisions == []


def test_a_rejection_needs_a_reason(case: Reviewed) -> None:
    with pytest.raises(CommandError, match="needs a reason"):
        case.review(FIRST, "rejected", "  ")


def test_new_contours_keep_what_was_said(case: Reviewed) -> None:
    """A scan that is no good is none against any contours, and the baseline stays the same one."""
    case.review(SECOND, "rejected", "Motion.")
    case.measured(THIRD)
    case.procedure.compared.measure_anew()
    job = case.job()
    assert (job.kind, job.series_uid) == ("reference", uid(BASELINE))
    case.answer(job, made())
    case.measured(FIRST, THIRD)
    assert case.of(SECOND).reasons[0].code == "rejected"
