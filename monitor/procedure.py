"""One procedure: what each of its series is for, and what is to be done next.

Pure bookkeeping on one thread: no queue, no process, no clock of its own. ``next_step`` says what
the procedure waits for, either a job for the analysis processes or a verdict that needs none;
``conclude`` takes a job's answer in. Series are worked off one at a time, in order of acquisition,
because whether a scan is the baseline depends on those before it.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from dicom_listener.events import ObjectStored
from monitor import analysis, life, messages
from monitor.analysis import Found, Planned, Refused
from monitor.config import StructuresSection
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
from monitor.dropped import FOLDER, path_of
from monitor.life import State
from monitor.marked import read_marked
from monitor.measured import Context, measured, unmeasured
from monitor.messages import Assessment, PhaseName, Reason, Role
from monitor.moment import moment_of
from monitor.nephrometry_messages import Nephrometry
from monitor.nephrometry_messages import message_of as nephrometry_message
from monitor.phase_messages import OfferedPhase, ScannerClock
from monitor.phases import Phases
from monitor.plan import InUse, Plan
from monitor.probe_book import ProbeBook
from monitor.probe_messages import ProbeRemoved, ProbeRestored
from monitor.results import Results
from monitor.reviews import Reviews
from monitor.role_choices import RoleChoices
from monitor.roles import doubts_of
from monitor.scanner_clock import ScannerClocks
from monitor.series_record import SeriesRecord
from monitor.steps import Job, Verdict
from monitor.structure_sets import Patterns
from monitor.structures import Offered
from monitor.versions import ToRead, Versions
from segmentation.assessment import Reference
from segmentation.nephrometry import USUAL, Anatomy
from segmentation.structures import Structure

DECODED = "decoded"
"""Name of the folder, beside the artefacts, of slices that were decoded ahead of time."""


Grounds = tuple[tuple[Path, ...], tuple[Path, ...]]
"""Files of the planning scan, and of the baseline."""


def _usual_patterns() -> Patterns:
    usual = StructuresSection()
    return Patterns(usual.tumour_pattern, usual.hilum_pattern)


@dataclass(eq=False)
class Procedure:
    """State of one procedure.

    Attributes
    ----------
    derived
        Folder for artefacts.
    at
        Turns a real receipt time into the service's clock.
    offered
        Planning objects that have come and are to be read, one after the other.
    plan
        Those that were read.
    in_use
        What holds of them.
    planning_series_uid
        Series that the structures in use were drawn on.
    planned
        The structures as they were when it was closed.
    contours
        Rises whenever all scans are to be measured again, mostly because of other contours.
    grounds
        What the reference was prepared from.
    patterns
        What the names of structures mean.
    usual_warning_mm
        By a structure's name, how near ice may come before an alert, where the site has said so.
    anatomy
        What names of structures the nephrometry scores are computed from.
    nephrometry, nephrometry_key
        Their items, and of which structures in use.
    others
        References to other baselines, which people want for single scans.
    """

    id: str
    patient_id: str
    patient_name: str
    study_instance_uid: str
    opened_at: datetime
    derived: Path
    at: Callable[[datetime], datetime]
    state: State = State.OPEN
    last_object_at: datetime | None = None
    series: dict[str, SeriesRecord] = field(default_factory=dict)
    results: Results = field(default_factory=Results)
    offered: list[ToRead] = field(default_factory=list)
    plan: Plan = field(default_factory=Plan)
    in_use: InUse = field(default_factory=InUse)
    planning_series_uid: str = ""
    contours: int = 0
    planned: list[messages.PlannedStructure] = field(default_factory=list)
    structures: tuple[Structure, ...] | None = None
    baseline_uid: str | None = None
    reference: Reference | None = None
    grounds: Grounds = ((), ())
    ice_seen: bool = False
    others: dict[str, tuple[Reference | Refused, Grounds]] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    reviews: Reviews = field(default_factory=Reviews)
    roles: RoleChoices = field(default_factory=RoleChoices)
    probes: ProbeBook = field(default_factory=ProbeBook)
    versions: Versions = field(init=False)
    patterns: Patterns = field(default_factory=_usual_patterns)
    usual_warning_mm: Callable[[str], float | None] = lambda _name: None
    anatomy: Anatomy = USUAL
    nephrometry: Nephrometry | None = None
    nephrometry_key: str = ""

    clocks: ScannerClocks = field(default_factory=ScannerClocks)

    def __post_init__(self) -> None:
        self.versions = Versions(self.derived.parent)
        self.phases = Phases(self.id, self.opened_at)

    def record_of(self, stored: ObjectStored) -> SeriesRecord:
        """The record of an object's series, made on its first object."""
        header = stored.header
        uid = header.series_instance_uid
        if uid not in self.series:
            self.series[uid] = SeriesRecord(
                uid, header.series_description, header.modality, stored.calling_ae_title
            )
        return self.series[uid]

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
        self.offered = []
        self.contours += 1  # answers under way come too late
        self.planned = self._planned()
        self.plan.let_go()
        self.structures = self.reference = None
        self.others = {}
        self.probes.forget()

    def _take_up(self) -> None:
        """It was not over: the structures are read again, what was measured holds."""
        again, self.plan, self.in_use = self.plan.offered(), Plan(), InUse()
        self._offer(again)
        self._measure_anew()
        self.results.hold_again({uid: record.received for uid, record in self.series.items()})

    def offer_structures(self, offered: Offered) -> None:
        """A structure set has come; it is read by an analysis process, in its turn."""
        self._offer(self.versions.came(offered))

    def _offer(self, to_read: Iterable[ToRead]) -> None:
        for one in to_read:
            self.plan.coming(one.sop_instance_uid)
            self.offered.append(one)
        self.offered.sort(key=lambda one: one.at)

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
                if what.verdict == "rejected" and not what.reason.strip():
                    raise CommandError("no_reason", "A rejected scan needs a reason.")
            case StructuresSaved() | StructuresUsed():
                self.versions.check(what)
            case ScanCorrected():
                self._check_correction(what)
            case StructuresDropped():
                pass  # what is in it was looked at before
            case RoleChosen():
                self.roles.check(what, self.series, self.planning_series_uid)
            case ProbeRemoved() | ProbeRestored():
                self.probes.check(what)
            case _:
                self.phases.check(what, self._now(), self._begin, self.offered_phase)

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
                self.reviews.take(decision, decision.what)
                self._review(decision.what.series_instance_uid)
            case StructuresSaved() | StructuresUsed():
                self._offer(self.versions.take(decision, decision.what))
            case StructuresDropped():
                self.offer_structures(self._dropped(decision.at, decision.what))
            case ScanCorrected():
                self.reviews.correct(decision, decision.what)
                record = self.series.get(decision.what.series_instance_uid)
                if record is not None:
                    self._judge_again_from(record)
            case RoleChosen():
                self.roles.take(decision, decision.what)
            case ProbeRemoved() | ProbeRestored():
                self.probes.decide(decision, decision.what)
                self._measure_anew()
            case what if isinstance(what, OfPhases):
                since = self.phases.take(what)
                if since is not None:
                    self.judge_moments(since)

    def _dropped(self, at: datetime, what: StructuresDropped) -> Offered:
        return Offered(
            path_of(self.derived.parent / FOLDER, what.file),
            what.series_instance_uid,
            what.sop_instance_uid,
            self.patterns.tumour,
            self.patterns.hilum,
            at,
        )

    def planning_files(self) -> dict[str, Path]:
        """The planning objects that have come by DICOM or were dropped, by SOPInstanceUID."""
        offered = [*self.plan.offered(), *self.offered]
        return {one.sop_instance_uid: one.path for one in offered if isinstance(one, Offered)}

    def _review(self, series_uid: str) -> None:
        """A rejected scan, or one that was, is judged again; what came after it rested on it."""
        record = self.series.get(series_uid)
        known = self.results.of(series_uid)
        if record is None or known is None:
            return
        rejected = self.reviews.rejection_of(series_uid) is not None
        if rejected != (bool(known.reasons) and known.reasons[0].code == "rejected"):
            self._judge_again_from(record)
        else:
            self.results.review(self.reviews.shown(known))

    def _judge_again_from(self, first: SeriesRecord) -> None:
        """A scan and the monitoring scans after it are judged again."""
        self.contours += 1  # answers under way may rest on what has changed
        for record in self.series.values():
            if record is first or (record.role is Role.MONITORING and record.order > first.order):
                self._judge_again(record)

    def _judge_again(self, record: SeriesRecord) -> None:
        """Its figures are doubted until it is judged."""
        record.decided = -1
        self.results.wait(record.uid)

    def _assign_roles(self) -> None:
        """What each series is for, as is now known: where that is news, it is judged again."""
        changed = self.roles.assign(self.series, self.planning_series_uid, self.structures or ())
        uses = {use for record, before in changed for use in (before.use, record.purpose.use)}
        uids = {record.uid for record, _ in changed}
        if self.baseline_uid is not None and (self.baseline_uid in uids or uses & _GROUNDS):
            if self.baseline_uid in uids or "baseline" in uses:  # it is searched for again
                self.baseline_uid, self.ice_seen = None, False
            self._measure_anew()
            return
        for record, _ in changed:
            self._judge_again(record)
        judged = [record for record, _ in changed if record.role is not None]
        measured = [
            record
            for record in judged
            if record.role is Role.MONITORING or record.purpose.use != "ignored"
        ]
        if measured:
            self._judge_again_from(min(measured, key=lambda record: record.order))

    @property
    def _chosen_baseline(self) -> SeriesRecord | None:
        return next((r for r in self.series.values() if r.purpose.use == "baseline"), None)

    def _measure_anew(self) -> None:
        """What every scan is compared with has changed; answers under way are dropped.

        Which scan is the last before ice does not change with it, where that is known.
        """
        self.contours += 1
        self.reference = None
        self.others = {}
        if not self.ice_seen:
            self.baseline_uid = None
        self.probes.forget()
        for record in self.series.values():
            self._judge_again(record)

    @property
    def phase(self) -> messages.Phase:
        """The pressed phase; idle since opening when none was pressed."""
        return self.phases.current

    @property
    def offered_phase(self) -> OfferedPhase | None:
        """What the ice has begun to do and nobody has pressed."""
        if self.state not in life.UNDER_WAY:
            return None
        baseline = self.series.get(self.baseline_uid or "")
        at = self._taken_at(baseline) if baseline is not None else None
        return self.phases.offered(list(self.results), at)

    def after_press(
        self, name: PhaseName, now: datetime, since: datetime | None = None
    ) -> messages.Phase:
        """What holds once a phase is pressed; see ``Phases.after_press``."""
        return self.phases.after_press(name, now, since, self._begin)

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
                if since is None or self._taken_at(record) >= since:
                    changed.append(record)
            elif record.moment != self._moment_word(record):
                changed.append(record)
        if changed:
            self.contours += 1  # answers under way may rest on what has changed
        for record in changed:
            self._judge_again(record)

    def _moment_word(self, record: SeriesRecord) -> str:
        """The phase that a scan was acquired in, and how its time is corrected."""
        phase = self._phase_of(record)
        held = f"{phase.phase} {phase.since.timestamp()} {phase.cycle}" if phase else ""
        return f"{held} {self._clock_offset_s(record):.6f}"

    def _taken_at(self, record: SeriesRecord) -> datetime:
        """When a scan was acquired, by the service's clock as far as that is known."""
        return record.order - timedelta(seconds=self._clock_offset_s(record))

    def _clock_offset_s(self, record: SeriesRecord) -> float:
        if record.acquired_at is None:
            return 0.0
        received_at = self.at(record.last_received_at)
        return self.clocks.offset_s(record.sender, record.acquired_at, received_at)

    def _phase_of(self, record: SeriesRecord) -> messages.Phase | None:
        """The phase that held when a scan was acquired; None before any was pressed."""
        return self.phases.at(self._taken_at(record))

    @property
    def _begin(self) -> datetime:
        """No phase began before: the first object, or what it shows, came first."""
        taken = [self._taken_at(r) for r in self.series.values() if r.headers]
        return min([self.opened_at, *taken])

    def _now(self) -> datetime:
        return self.at(datetime.now().astimezone())

    @property
    def planning(self) -> SeriesRecord | None:
        """The series that the contours refer to, or a chosen one, once it is a volume."""
        record = self.series.get(self.roles.planning_uid(self.series, self.planning_series_uid))
        if record is None or record.ready is None or record.ready.stack is None:
            return None
        return record

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
                "scanner_clock": self._scanner_clock(),
                "structures": self._planned(),
                "structures_version": self.structures_version,
                "structure_sources": self.plan.messages(),
                "series": [record.message() for record in self.series.values()],
                "recomputing": self.results.recomputing,
                "probes": self.probes.message(),
                "nephrometry": self.nephrometry,
            }
        )

    def _scanner_clock(self) -> ScannerClock | None:
        """Of the scanner that sends the scans now, where it surely differs."""
        scans = [r for r in self.series.values() if r.ready is not None and r.headers]
        newest = max(scans, key=lambda record: record.last_received_at, default=None)
        return self.clocks.known(newest.sender) if newest is not None else None

    def _planned(self) -> list[messages.PlannedStructure]:
        if self.structures is None:
            return self.planned
        return [
            messages.PlannedStructure(
                name=s.name,
                kind=s.kind,
                volume_ml=s.volume_ml,
                warning_distance_mm=self.warning_mm(s),
            )
            for s in self.structures
        ]

    @property
    def structures_version(self) -> int | None:
        """Number of the structures in use."""
        known = self.structure_set
        return self.versions.number_of(known.sop_instance_uid) if known is not None else None

    def warning_mm(self, structure: Structure) -> float | None:
        """How near ice may come to it before an alert: its own distance, else the site's."""
        own: dict[str, float] = {}
        for key in self.in_use.sources:
            own |= self.versions.own_warnings_mm(key)
        usual_mm = self.usual_warning_mm(structure.name) if structure.kind == "other" else None
        return own.get(structure.name, usual_mm)

    # What is to be done next

    def next_step(self) -> Job | Verdict | None:
        """A job, a verdict, or None where nothing can be done now."""
        if self.state is State.CLOSED:
            return None
        offered = self._next_offered()
        self._replan()
        self._assign_roles()
        for record in self.series.values():
            if record.purpose.use == "ignored" and self._open(record):
                return self._verdict(record, Role.IGNORED, record.purpose.reason)
        if offered is not None:
            function = analysis.read_structures if isinstance(offered, Offered) else read_marked
            return Job("structures", offered.series_uid, 0, function, (offered,), self.contours)
        planning = self.planning
        if planning is None or self.structures is None:
            return None
        if self._open(planning):
            return self._verdict(planning, Role.PLANNING, _PLANNING)
        if self.reference is not None and self.grounds != self._grounds(self.baseline_uid):
            self._measure_anew()  # the planning scan or the baseline has grown
            return self.next_step()
        for record in self._pending():
            return self._step(planning, record)
        if self.nephrometry_key != self.in_use.key:  # it holds up no scan
            return Job(
                "nephrometry",
                planning.uid,
                0,
                analysis.nephrometry_of,
                (self.structures, self.anatomy),
                self.contours,
            )
        return None

    def _step(self, planning: SeriesRecord, record: SeriesRecord) -> Job | Verdict:
        ready = record.ready
        assert ready is not None
        if record.purpose.use == "unmeasurable":
            return self._verdict(record, Role.MONITORING, record.purpose.reason)
        adopted = self._adopt(record)
        if adopted is not None:
            return adopted
        rejection = self.reviews.rejection_of(record.uid)
        if rejection is not None:
            return self._verdict(record, Role.MONITORING, rejection)
        chosen = self._chosen_baseline
        if self.baseline_uid is None:
            baseline = chosen or record
            if (record.purpose.use == "monitoring" and chosen is None) or not self._open(baseline):
                return self._verdict(record, Role.MONITORING, _NO_BASELINE)
            return self._reference_job(planning, baseline)
        if record.uid == self.baseline_uid and self.reference is not None:
            return self._verdict(record, Role.BASELINE, _BASELINE)  # judged again, not grown
        if record.order < self.series[self.baseline_uid].order:  # sent late: it can't hold ice
            reason = _EARLIER_BASELINE if chosen is None else _BEFORE_CHOSEN
            return self._verdict(record, Role.IGNORED, reason)
        if self.reference is None:
            return self._reference_job(planning, self.series[self.baseline_uid])
        return self._measure(planning, record, self.reference, self.series[self.baseline_uid])

    def _measure(
        self,
        planning: SeriesRecord,
        record: SeriesRecord,
        reference: Reference,
        baseline: SeriesRecord,
    ) -> Job | Verdict:
        """The scan is to be measured, against the baseline that a person wants for it, if any."""
        wanted = self.series.get(self.reviews.baseline_of(record.uid) or "", baseline)
        if wanted is not baseline:
            known, grounds = self.others.get(wanted.uid, (None, None))
            if known is None or grounds != self._grounds(wanted.uid):
                return self._reference_job(planning, wanted, chosen=True)
            if isinstance(known, Refused):
                reason = Reason(code=known.code, text=known.text)
                return self._verdict(record, Role.MONITORING, reason)
            reference, baseline = known, wanted
        main = reference is self.reference
        measurement_id = uuid4().hex
        moment = moment_of(
            record.uid,
            record.order,
            self._clock_offset_s(record),
            self._phase_of(record),
            baseline.order,
            self.results,
        )
        arguments = (
            record.paths,
            self.probes.reference(reference, planning.uid, record.order, main=main),
            self.artefact(measurement_id),
            moment,
            self.derived / DECODED,
            self.reviews.correction_of(record.uid),
        )
        assert record.ready is not None
        return Job(
            "measure",
            record.uid,
            record.ready.revision,
            analysis.measure,
            arguments,
            self.contours,
            measurement_id,
        )

    def _reference_job(
        self, planning: SeriesRecord, baseline: SeriesRecord, *, chosen: bool = False
    ) -> Job:
        """``chosen``: by a person, for one scan; what it shows is then not judged."""
        assert baseline.ready is not None
        chosen = chosen or baseline.purpose.use == "baseline"
        arguments = (
            planning.paths,
            baseline.paths,
            self.structures,
            self.derived / DECODED,
            self.probes.known(planning.uid, baseline.uid),
        )
        return Job(
            "reference",
            baseline.uid,
            baseline.ready.revision,
            partial(analysis.prepare_reference, ice_allowed=chosen),
            arguments,
            self.contours,
        )

    def _grounds(self, baseline_uid: str | None) -> Grounds:
        """Files of the planning scan and of a baseline, as they are now."""
        baseline = self.series[baseline_uid or ""]
        return (self.planning.paths if self.planning is not None else (), baseline.paths)

    def _open(self, record: SeriesRecord) -> bool:
        return record.headers != [] and record.decided < record.revision

    def _pending(self) -> list[SeriesRecord]:
        volumes = (record for record in self.series.values() if record.ready is not None)
        found = [record for record in volumes if self._open(record)]
        return sorted(found, key=lambda record: record.order)

    # What the answers mean

    def conclude(self, job: Job, answer: Any) -> Verdict | None:
        """Take a job's answer in; the verdict it leads to, if any."""
        if job.contours != self.contours:
            return None
        if job.kind == "structures":
            self._conclude_structures(job.arguments[0], answer)
            return None
        if job.kind == "nephrometry":
            self.nephrometry_key = self.in_use.key
            refused = isinstance(answer, Refused)
            self.nephrometry = None if refused else nephrometry_message(answer)
            return None
        record = self.series.get(job.series_uid)
        if record is None or record.ready is None:
            return None
        if job.kind == "reference":
            grounds = self._grounds(record.uid)
            if job.arguments[:2] != grounds:
                return None  # one of the two has grown meanwhile: it is prepared again
            if self.reference is not None and record.uid != self.baseline_uid:
                self.others[record.uid] = answer, grounds
                return None
            return self._conclude_reference(record, answer)
        if isinstance(answer, Refused) and job.revision != record.revision:
            return None  # what could not be done with some of the slices is tried with all
        return self._conclude_measure(record, job, answer)

    def _next_offered(self) -> ToRead | None:
        """The planning object to be read; of one that was read, it counts when it came last."""
        while self.offered and self.plan.knows(self.offered[0].sop_instance_uid):
            self.plan.came_again(self.offered.pop(0))
        return self.offered[0] if self.offered else None

    def _conclude_structures(self, offered: ToRead, answer: Planned | Refused) -> None:
        """One that can't be used is told why; what is in use stays in use."""
        self.offered.remove(offered)
        self.plan.take(offered, answer)
        key = offered.sop_instance_uid
        if isinstance(answer, Refused):
            self.versions.refused(key, answer.text)
        else:
            self.versions.read(key, next(iter(answer.drawn.series_uids), ""), answer.structures)
        self._replan()

    @property
    def structure_set(self) -> ToRead | None:
        """What the tumour in use comes from."""
        return self.in_use.main

    def _replan(self) -> None:
        """What was drawn may fit now; when something else holds, all is measured again."""
        found = self.plan.in_use(self.series)
        for uid, reason in self.plan.reasons():
            if uid in self.series:
                self.series[uid].reason = reason
        if found.key == self.in_use.key:
            return
        self.in_use, self.planning_series_uid = found, found.scan_uid
        self.structures = found.structures or None
        self.nephrometry = None
        self._measure_anew()

    def _conclude_reference(
        self, record: SeriesRecord, answer: Reference | Refused
    ) -> Verdict | None:
        if isinstance(answer, Refused):
            if record.uid == self.baseline_uid:  # it served before a restart, and no longer does
                self.baseline_uid = None
            self.probes.drop(record.uid)
            reason = Reason(code=answer.code, text=answer.text)
            return self._verdict(record, Role.MONITORING, reason)
        self.reference, self.grounds = answer, self._grounds(record.uid)
        self.probes.take_baseline(record.uid, answer)
        if record.uid == self.baseline_uid:
            return None
        self.baseline_uid = record.uid
        for later in self.series.values():  # one of them may have been refused as the baseline
            if later.role is Role.MONITORING and later.order > record.order:
                self._judge_again(later)
        return self._verdict(record, Role.BASELINE, _BASELINE)

    def _conclude_measure(
        self, record: SeriesRecord, job: Job, answer: Found | Refused
    ) -> Verdict | None:
        if isinstance(answer, Refused):
            self.probes.drop(record.uid)
            taken_away = answer.code == "no_probes" and self.probes.any_removed
            without_ice = answer.code in _NO_ICE_YET and not self._frozen_yet(record)
            baseline = self.series[self.baseline_uid or ""]
            by_rule = record.purpose.use == baseline.purpose.use == "measured"
            if without_ice and by_rule and not taken_away:
                return self._replace_baseline()
            reason = Reason(code=answer.code, text=answer.text)
            return self._verdict(record, Role.MONITORING, reason)
        self.ice_seen = True
        self.probes.take_late(record.uid, record.order, job.arguments[1], answer)
        assert record.ready is not None
        usual = self.series[self.baseline_uid or ""]
        baseline = self.series.get(self.reviews.baseline_of(record.uid) or "", usual)
        doubts = doubts_of(record.purpose, record.facts, baseline.facts)
        whole = record.ready.completeness != "provisional" and not record.reopened
        if not whole or job.revision != record.ready.revision:
            why = record.ready.reason
            code = why.code if why is not None else "incomplete"
            text = why.text if why is not None else "More slices may follow."
            doubts.insert(0, Reason(code=code, text=text))
        measurement = measured(
            record,
            self._context(record, Role.MONITORING),
            job.measurement_id,
            answer,
            doubts,
            self._measured_before(record),
        )
        return self._decide(record, Role.MONITORING, measurement, job.revision)

    def _frozen_yet(self, record: SeriesRecord) -> bool:
        phase = self._phase_of(record)
        return self.ice_seen or (phase is not None and phase.cycle > 0)

    def _replace_baseline(self) -> Verdict | None:
        """The last scan before the first one with ice is the baseline: a later one takes over."""
        earlier = self.series[self.baseline_uid or ""]
        self.probes.drop(earlier.uid)
        self.baseline_uid = None
        self.reference = None
        return self._verdict(earlier, Role.IGNORED, _EARLIER_BASELINE)

    def _adopt(self, record: SeriesRecord) -> Verdict | None:
        """A verdict from the journal, where the series has not grown since."""
        measurement = self.results.take_before(record.uid, record.received)
        if measurement is None or measurement.basis != self._basis(record.uid, measurement.role):
            return None
        if measurement.assessment is Assessment.PROVISIONAL or measurement.role is Role.PLANNING:
            return None
        if measurement.role is Role.IGNORED and measurement.reasons[0] not in _EARLIER:
            return None
        if measurement.role is Role.BASELINE:
            self.baseline_uid = record.uid
        if measurement.assessment is Assessment.FINAL:
            self.ice_seen = True
        self.probes.restore(measurement.probes, self.planning.uid if self.planning else "")
        assert record.ready is not None
        revision = record.ready.revision
        return self._decide(record, measurement.role, measurement, revision, adopted=True)

    def _basis(self, series_uid: str, role: Role) -> str:
        """What a measurement rests on beside its scan, as a short word.

        Another word after a restart: something was decided whose consequence was not journaled.
        """
        chosen = self._chosen_baseline
        parts = [
            self.roles.planning_uid(self.series, self.planning_series_uid),
            chosen.uid if chosen is not None else "",
            self.series[series_uid].purpose.use,
            self.in_use.key,
            self.reviews.basis_of(series_uid),
            *self.probes.basis(),
        ]
        if role is Role.MONITORING:
            parts += [self.baseline_uid or "", self._moment_word(self.series[series_uid])]
        return sha256("\n".join(parts).encode()).hexdigest()[:16]

    def _context(self, record: SeriesRecord, role: Role) -> Context:
        known = self.results.of(record.uid)
        return Context(
            procedure_id=self.id,
            phase=self._phase_of(record),
            clock_offset_s=self._clock_offset_s(record),
            last_slice_received_at=self.at(record.last_received_at),
            published_at=self._now(),
            basis=self._basis(record.uid, role),
            supersedes=known.id if known is not None else None,
            probes=self.probes.of(record.uid),
        )

    def _measured_before(self, record: SeriesRecord) -> messages.Measurement | None:
        """The last figures before a scan, in the phase that it was acquired in."""
        before = self.results.last_before(record.order)
        if before is None or self.phases.at(before.taken_at) != self._phase_of(record):
            return None
        return before

    def artefact(self, measurement_id: str) -> Path:
        """Where a measurement's geometry is kept."""
        return self.derived / f"{measurement_id}.npz"

    def _verdict(self, record: SeriesRecord, role: Role, reason: Reason | None) -> Verdict:
        assert reason is not None
        revision = record.revision
        known = self.results.take_before(record.uid, record.received)
        if known is not None and known.role is role and known.reasons == [reason]:
            return self._decide(record, role, known, revision, adopted=True)
        measurement = unmeasured(record, self._context(record, role), role, reason)
        return self._decide(record, role, measurement, revision)

    def _decide(
        self,
        record: SeriesRecord,
        role: Role,
        measurement: messages.Measurement,
        revision: int,
        *,
        adopted: bool = False,
    ) -> Verdict:
        record.decided = revision
        record.moment = self._moment_word(record)
        record.role = role
        record.reason = measurement.reasons[0] if measurement.reasons else None
        measurement = self.reviews.shown(measurement)
        self.results.measured(measurement)
        return Verdict(record, role, measurement, adopted)


_NO_ICE_YET = {"no_ice", "no_probes"}
GROWING = Reason(code="incomplete", text="More slices of this scan are coming.")
_PLANNING = Reason(code="planning", text="The planning scan; the contours were drawn on it.")
_BASELINE = Reason(code="baseline", text="The baseline, before ice; later scans are compared.")
_EARLIER_BASELINE = Reason(
    code="earlier_baseline", text="Before ice; a later scan without ice is the baseline now."
)
_BEFORE_CHOSEN = Reason(
    code="earlier_baseline", text="Before the scan that a person has made the baseline."
)
_EARLIER = (_EARLIER_BASELINE, _BEFORE_CHOSEN)
_NO_BASELINE = Reason(code="no_baseline", text="There is no baseline that it can be compared with.")
_GROUNDS = {"planning", "baseline"}
