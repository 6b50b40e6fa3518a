"""Roles in the course of a procedure: what is measured again when a series or a person changes one.

The procedure is real; the analysis is not run: every job is answered at once.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dicom_listener.assembled import SeriesObject, SeriesReady
from dicom_listener.headers import ObjectHeader
from monitor.analysis import Found, Refused
from monitor.decisions import CommandError, Decision, RoleChosen
from monitor.procedure import Procedure
from monitor.series_record import SeriesRecord
from monitor.steps import Job, Verdict
from segmentation.estimate import Estimate
from segmentation.volume import check_stack
from tests.dicom_listener.objects import START, at, heights
from tests.monitor.made import procedure as made_procedure
from tests.monitor.test_growing import made
from tests.monitor.test_roles import REDUCED, SHARP, scan

PLANNING, BASELINE, FIRST, SECOND = (1, 0), (2, 120), (3, 400), (4, 600)
"""Number, and seconds from the start."""

MANY = 200
"""Steps after which it goes round in circles."""


def found() -> Found:
    """Some figures."""
    some = Estimate(1.0, 0.0, 2.0)
    return Found(
        residual_mm=0.4,
        shift_mm=(0, 0, 0),
        planning_to_scan=(1.0, *[0.0] * 15),
        volume_ml=20,
        visible_surface_fraction=0.7,
        longest_axis_mm=30,
        margin_mm=some,
        worst_point_lps_mm=(0, 0, 0),
        covered_fraction={0: 1.0, 5: 0.5, 10: 0.1},
        distances=(),
        forecast=None,
        lethal=None,
        probes=2,
        late=(),
        ground=None,
        seconds={},
    )


class Course:
    """A procedure, and what was measured in it."""

    def __init__(self, refused: Sequence[int] = ()) -> None:
        self.procedure: Procedure = made_procedure()
        self.procedure.drawings.scan_uid = scan(*PLANNING)[0].series_instance_uid
        self.jobs: list[str] = []
        self.verdicts: list[str] = []
        self._refused = refused
        self._taken = 0

    def come(self, headers: list[ObjectHeader]) -> str:
        """A series has come; its UID."""
        received = self.received(headers)
        self.procedure.series.update(received)
        self.run()
        (uid,) = received
        return uid

    @staticmethod
    def received(headers: list[ObjectHeader]) -> dict[str, SeriesRecord]:
        """A series that is complete, by its UID."""
        uid = headers[0].series_instance_uid
        objects = tuple(SeriesObject(one, Path(one.sop_instance_uid)) for one in headers)
        record = SeriesRecord(uid, "", "CT", received=len(headers))
        stack = check_stack([plane for one in headers for plane in one.planes])
        record.ready = SeriesReady(uid, objects, stack, "final", "quiet", None, START, 1)
        return {uid: record}

    def choose(self, uid: str, role: Any) -> None:
        """A person chooses a role, and what follows from it is done."""
        self.decide(uid, role)
        self.run()

    def decide(self, uid: str, role: Any) -> None:
        """A person chooses a role."""
        self._taken += 1
        what = RoleChosen(series_instance_uid=uid, role=role)
        self.procedure.check(what)
        decision = Decision(
            id=str(self._taken), procedure_id="p", at=at(700), by="console", what=what
        )
        self.procedure.take(decision)

    def run(self) -> None:
        """Until nothing can be done."""
        self.jobs, self.verdicts = [], []
        for _ in range(MANY):
            step = self.procedure.next_step()
            if step is None:
                return
            verdict = self._answer(step) if isinstance(step, Job) else step
            if verdict is not None:
                reasons = verdict.measurement.reasons
                code = reasons[0].code if reasons else "measured"
                self.verdicts.append(f"{number(verdict.record.uid)} {code}")
        raise AssertionError(f"it goes round in circles: {self.jobs[-8:]} {self.verdicts[-8:]}")

    def _answer(self, job: Job) -> Verdict | None:
        self.jobs.append(f"{job.kind} {number(job.series_uid)}")
        answer: Any = made() if job.kind == "reference" else found()
        if job.kind == "measure" and number(job.series_uid) in self._refused:
            answer = Refused("no_ice", "There is no ice.")
        return self.procedure.course.conclude(job, answer)

    @property
    def shown(self) -> dict[int, str]:
        """Of each series, by number: its role, and the first reason."""
        return {
            number(m.series_instance_uid): f"{m.role} {m.reasons[0].code if m.reasons else 'final'}"
            for m in self.procedure.results
        }


def number(uid: str) -> int:
    """Of a series."""
    return int(uid.rsplit(".", 1)[1])


@pytest.fixture
def course() -> Course:
    """Planning and baseline have come, and the first scan with ice."""
    course = Course()
    for which in (PLANNING, BASELINE, FIRST):
        course.come(scan(*which))
    assert course.shown == {
        1: "planning planning",
        2: "baseline baseline",
        3: "monitoring final",
    }
    return course


def test_a_worse_twin_that_comes_late(course: Course) -> None:
    course.come(scan(9, FIRST[1], **SHARP))
    assert (course.jobs, course.verdicts) == ([], ["9 sharp_kernel"])
    assert course.shown[3] == "monitoring final"


def test_a_better_twin_that_comes_late() -> None:
    course = Course()
    for which in (PLANNING, BASELINE):
        course.come(scan(*which))
    course.come(scan(9, FIRST[1], **REDUCED))
    assert course.shown[9] == "monitoring metal_artefact_reduction"
    first = list(course.procedure.results)[-1].id
    course.come(scan(*FIRST))
    assert course.jobs == ["measure 3"]
    assert course.shown[9] == "ignored metal_artefact_reduction"
    assert course.shown[3] == "monitoring final"
    known = {number(m.series_instance_uid): m for m in course.procedure.results}
    assert known[9].supersedes == first


def test_a_better_twin_of_the_baseline() -> None:
    course = Course()
    course.come(scan(*PLANNING))
    course.come(scan(9, BASELINE[1], **SHARP))
    course.come(scan(*FIRST))
    assert course.shown[3] == "monitoring other_kernel"
    course.come(scan(*BASELINE))
    assert course.jobs == ["reference 2", "measure 3"]
    assert course.shown == {
        1: "planning planning",
        2: "baseline baseline",
        3: "monitoring final",
        9: "ignored sharp_kernel",
    }


def test_a_scan_is_set_aside_and_taken_back(course: Course) -> None:
    course.come(scan(*SECOND))
    uid = scan(*FIRST)[0].series_instance_uid
    course.choose(uid, "ignored")
    assert course.shown[3] == "ignored chosen"
    assert course.jobs == ["measure 4"]  # its rate rested on the scan before
    course.choose(uid, None)
    assert course.shown[3] == "monitoring final"
    assert course.jobs == ["measure 3", "measure 4"]


def test_a_scan_is_set_aside_while_it_is_measured_for_the_first_time(course: Course) -> None:
    course.procedure.series.update(Course.received(scan(*SECOND)))
    job = course.procedure.next_step()
    assert isinstance(job, Job)
    assert (job.kind, number(job.series_uid)) == ("measure", 4)
    course.decide(job.series_uid, "ignored")
    assert course.procedure.course.conclude(job, found()) is None
    course.run()
    assert course.shown[4] == "ignored chosen"
    assert course.jobs == []


def test_another_baseline(course: Course) -> None:
    course.come(scan(*SECOND))
    uid = scan(*FIRST)[0].series_instance_uid
    course.choose(uid, "baseline")
    assert course.jobs == ["reference 3", "measure 4"]
    assert course.shown == {
        1: "planning planning",
        2: "ignored earlier_baseline",
        3: "baseline baseline",
        4: "monitoring final",
    }
    course.choose(uid, None)
    assert course.shown[2] == "baseline baseline"
    assert (course.shown[3], course.shown[4]) == ("monitoring final", "monitoring final")


def test_a_chosen_baseline_is_not_replaced_where_there_is_no_ice() -> None:
    course = Course(refused=[3])
    for which in (PLANNING, BASELINE, FIRST):
        course.come(scan(*which))
    assert course.shown[3] == "baseline baseline"  # the last before ice
    course.choose(scan(*BASELINE)[0].series_instance_uid, "baseline")
    assert (course.shown[2], course.shown[3]) == ("baseline baseline", "monitoring no_ice")


def test_a_baseline_is_made_a_monitoring_scan(course: Course) -> None:
    course.choose(scan(*BASELINE)[0].series_instance_uid, "monitoring")
    assert course.shown[2] == "monitoring no_baseline"
    assert course.shown[3] == "baseline baseline"


def test_a_chosen_baseline_that_comes_later(course: Course) -> None:
    """What a person has said before the restart holds before the series is there."""
    what = RoleChosen(series_instance_uid=scan(*SECOND)[0].series_instance_uid, role="baseline")
    with pytest.raises(CommandError):
        course.procedure.check(what)
    course.procedure.take(Decision(id="1", procedure_id="p", at=START, by="console", what=what))
    course.come(scan(*SECOND))
    assert course.shown == {
        1: "planning planning",
        2: "ignored earlier_baseline",
        3: "ignored earlier_baseline",
        4: "baseline baseline",
    }


def test_another_planning_scan(course: Course) -> None:
    course.choose(scan(*BASELINE)[0].series_instance_uid, "planning")
    assert course.shown[2] == "planning planning"
    assert course.shown[1] == "baseline baseline"
    assert "reference 1" in course.jobs
    assert "measure 3" in course.jobs


def test_the_same_again_changes_nothing(course: Course) -> None:
    uid = scan(*FIRST)[0].series_instance_uid
    course.choose(uid, "ignored")
    course.choose(uid, "ignored")
    assert (course.jobs, course.verdicts) == ([], [])


def test_several_scans_in_one_series_are_never_measured_as_one(course: Course) -> None:
    late = [at(600 + n * 0.1 + (240 if n > 9 else 0)) for n in range(20)]
    course.come(scan(7, z_mm=heights(20), moments=late))
    assert (course.jobs, course.verdicts) == ([], ["7 several_acquisitions"])
    assert course.shown[7] == "monitoring several_acquisitions"
