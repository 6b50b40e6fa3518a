"""One procedure: who it is of, its series, its life, and what people decide in it.

Pure bookkeeping on one thread, as its ``course``, which says what is to be done next.
"""

from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from datetime import datetime
from pathlib import Path

from dicom_listener.events import ObjectStored
from monitor import life, messages
from monitor.comparison import Comparison
from monitor.course import Course
from monitor.decisions import (
    CommandError,
    Decision,
    OfPhases,
    OfProcedure,
    RoleChosen,
    ScanCorrected,
    ScanReviewed,
    StructuresDropped,
    StructuresSaved,
    StructuresUsed,
)
from monitor.drawings import USUAL_NAMING, Drawings, Naming
from monitor.life import State
from monitor.messages import PhaseName, Role
from monitor.phase_messages import OfferedPhase
from monitor.phases import Phases
from monitor.probe_book import ProbeBook
from monitor.probe_messages import ProbeRemoved, ProbeRestored
from monitor.results import Results
from monitor.reviews import Reviews
from monitor.role_choices import RoleChoices
from monitor.scanner_clock import ScannerClocks
from monitor.series_record import SeriesRecord
from monitor.steps import Job, Verdict
from monitor.timing import Timing
from monitor.verdicts import Verdicts


@dataclass(eq=False)
class Procedure:
    """State of one procedure.

    Attributes
    ----------
    derived
        Folder for artefacts.
    at
        Turns a real receipt time into the service's clock.
    drawings
        What was drawn: the structures, and where they come from.
    timing
        When scans were acquired, and in which phase.
    compared
        What scans are compared with.
    course
        What is to be done next.
    """

    id: str
    patient_id: str
    patient_name: str
    study_instance_uid: str
    opened_at: datetime
    derived: Path
    at: InitVar[Callable[[datetime], datetime]]
    naming: InitVar[Naming] = USUAL_NAMING
    clocks: InitVar[ScannerClocks | None] = None
    state: State = State.OPEN
    last_object_at: datetime | None = None
    series: dict[str, SeriesRecord] = field(default_factory=dict)
    results: Results = field(default_factory=Results)
    decisions: list[Decision] = field(default_factory=list)
    reviews: Reviews = field(default_factory=Reviews)
    roles: RoleChoices = field(default_factory=RoleChoices)
    probes: ProbeBook = field(default_factory=ProbeBook)
    drawings: Drawings = field(init=False)
    timing: Timing = field(init=False)
    compared: Comparison = field(init=False)
    course: Course = field(init=False)

    def __post_init__(
        self,
        at: Callable[[datetime], datetime],
        naming: Naming,
        clocks: ScannerClocks | None,
    ) -> None:
        self.phases = Phases(self.id, self.opened_at)
        self.drawings = Drawings(self.derived.parent, naming)
        clocks = clocks if clocks is not None else ScannerClocks()
        self.timing = Timing(self.phases, clocks, self.opened_at, at, self.series)
        self.compared = Comparison(
            self.series, self.results, self.roles, self.probes, self.drawings
        )
        verdicts = Verdicts(
            self.id,
            self.compared,
            self.results,
            self.reviews,
            self.probes,
            self.drawings,
            self.timing,
        )
        self.course = Course(
            self.derived,
            self.series,
            compared=self.compared,
            verdicts=verdicts,
            results=self.results,
            reviews=self.reviews,
            probes=self.probes,
            drawings=self.drawings,
            timing=self.timing,
        )

    def record_of(self, stored: ObjectStored) -> SeriesRecord:
        """The record of an object's series, made on its first object."""
        header = stored.header
        uid = header.series_instance_uid
        if uid not in self.series:
            self.series[uid] = SeriesRecord(
                uid, header.series_description, header.modality, stored.calling_ae_title
            )
        return self.series[uid]

    def next_step(self) -> Job | Verdict | None:
        """A job, a verdict, or None where nothing can be done now, or it is over."""
        return None if self.state is State.CLOSED else self.course.next_step()

    # Its life

    def live(self, event: life.Event) -> bool:
        """Something happens in its life; whether that changes its state.

        Raises
        ------
        ValueError
            It can't happen now.
        """
        before, self.state = self.state, life.after(self.state, event)
        if self.state is before:
            return False
        if self.state is State.CLOSED:
            self._let_go()
        elif before is State.CLOSED:
            self._take_up()
        return True

    def _let_go(self) -> None:
        """It is over: what was found stays to be read, what it was found with is let go of."""
        self.results.settle()
        self.compared.let_go()
        self.drawings.let_go()

    def _take_up(self) -> None:
        """It was not over: the structures are read again, what was measured holds."""
        self.drawings.take_up()
        self.compared.measure_anew()
        self.results.hold_again({uid: record.received for uid, record in self.series.items()})

    # What people decide

    def check(self, what: OfProcedure) -> None:
        """Whether a person may decide this.

        Raises
        ------
        CommandError
            Not here, or not now.
        """
        if self.state not in life.UNDER_WAY:
            raise CommandError("procedure_closed", "The procedure is closed.")
        match what:
            case ScanReviewed():
                known = self.results.of(what.series_instance_uid)
                if known is None or known.id != what.measurement_id:
                    raise CommandError("no_such_measurement", "There is a newer measurement.")
                if what.verdict == "approved" and self.results.waits(known.series_instance_uid):
                    raise CommandError("measured_again", "It is being measured again.")
                if what.verdict == "rejected" and not what.reason.strip():
                    raise CommandError("no_reason", "A rejected scan needs a reason.")
            case StructuresSaved() | StructuresUsed():
                self.drawings.versions.check(what)
            case ScanCorrected():
                self._check_correction(what)
            case StructuresDropped():
                pass  # what is in it was looked at before
            case RoleChosen():
                self.roles.check(what, self.series, self.drawings.scan_uid)
            case ProbeRemoved() | ProbeRestored():
                self.probes.check(what)
            case _:
                now, begin = self.timing.now(), self.timing.begin
                self.phases.check(what, now, begin, self.offered_phase)

    def _check_correction(self, what: ScanCorrected) -> None:
        record = self.series.get(what.series_instance_uid)
        if record is None or record.role is not Role.MONITORING:
            raise CommandError("no_such_scan", "Only a scan that is measured can be corrected.")
        uid = what.baseline_series_instance_uid
        if uid is None:
            return
        baseline = self.series.get(uid)
        if baseline is None or baseline.ready is None or baseline.ready.stack is None:
            raise CommandError("no_such_scan", "There is no such scan to compare it with.")
        if baseline.order >= record.order:
            raise CommandError("no_such_scan", "A scan is compared with an earlier one only.")

    def take(self, decision: Decision) -> None:
        """Let a decision hold; ``next_step`` then tells what follows from it."""
        self.decisions.append(decision)
        match decision.what:
            case ScanReviewed():
                self._review(decision, decision.what)
            case StructuresSaved() | StructuresUsed():
                self.drawings.decided(decision, decision.what)
            case StructuresDropped():
                self.drawings.dropped(decision.at, decision.what)
            case ScanCorrected():
                self.reviews.correct(decision, decision.what)
                record = self.series.get(decision.what.series_instance_uid)
                if record is not None:
                    self.compared.judge_again_from(record)
            case RoleChosen():
                self.roles.take(decision, decision.what)
                self.compared.drop_answers()  # what is being measured may be set aside
            case ProbeRemoved() | ProbeRestored():
                self.probes.decide(decision, decision.what)
                self.compared.measure_anew()
            case what if isinstance(what, OfPhases):
                since = self.phases.take(what)
                if since is not None:
                    self.judge_moments(since)

    def _review(self, decision: Decision, review: ScanReviewed) -> None:
        """A scan that is rejected, or no longer, is judged again, and what came after it."""
        uid = review.series_instance_uid
        before = self.reviews.rejection_of(uid)
        self.reviews.take(decision, review)
        after = self.reviews.rejection_of(uid)
        record, known = self.series.get(uid), self.results.of(uid)
        if record is None or known is None:
            return
        if (before is None) != (after is None):
            self.compared.judge_again_from(record)
        elif before != after:
            self.compared.judge_again(record)  # for another reason
        else:
            self.results.review(self.reviews.shown(known))

    # Its phases

    @property
    def phase(self) -> messages.Phase:
        """The pressed phase; idle since opening when none was pressed."""
        return self.phases.current

    @property
    def offered_phase(self) -> OfferedPhase | None:
        """What the ice has begun to do and nobody has pressed.

        Not while scans are measured again: who says no has seen all that were there.
        """
        if self.state not in life.UNDER_WAY or self.results.recomputing is not None:
            return None
        return self.timing.offered(self.results, self.compared.baseline)

    def after_press(
        self, name: PhaseName, now: datetime, since: datetime | None = None
    ) -> messages.Phase:
        """What holds once a phase is pressed; see ``Phases.after_press``."""
        return self.phases.after_press(name, now, since, self.timing.begin)

    def press(self, phase: messages.Phase) -> None:
        """A phase was pressed, and may have begun before scans that are measured already."""
        self.phases.pressed.append(phase)
        self.judge_moments(phase.since)

    def judge_moments(self, since: datetime | None = None) -> None:
        """Monitoring scans of which another phase or time is known now are judged again.

        ``since`` is when those were acquired that may be under way; None: at any time.
        """
        changed = []
        for record in self.series.values():
            if record.ready is None or record.role not in {None, Role.MONITORING}:
                continue
            if record.decided < 0:
                if since is None or self.timing.taken_at(record) >= since:
                    changed.append(record)
            elif record.moment != self.timing.word(record):
                changed.append(record)
        self.compared.judge_again_all(changed)

    # What is told

    def message(self) -> messages.Procedure:
        """As it goes over the wire."""
        return messages.Procedure.model_validate(
            {
                "id": self.id,
                "patient_id": self.patient_id,
                "patient_name": self.patient_name,
                "study_instance_uid": self.study_instance_uid,
                "opened_at": self.opened_at,
                "state": self.state,
                "phase": self.phase,
                "phases": self.phases.pressed,
                "offered_phase": self.offered_phase,
                "scanner_clock": self.timing.scanner_clock,
                "structures": self.drawings.messages(),
                "structures_version": self.drawings.version,
                "structure_sources": self.drawings.plan.messages(),
                "series": [record.message() for record in self.series.values()],
                "recomputing": self.results.recomputing,
                "probes": self.probes.message(),
                "nephrometry": self.drawings.nephrometry,
            }
        )
