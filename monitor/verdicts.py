"""What is said of a series: its role, its measurement, and what that rests on.

A verdict of the journal is taken over after a restart where what it rests on has not changed.
"""

from hashlib import sha256

from monitor import messages
from monitor.analysis import Found
from monitor.comparison import Comparison
from monitor.drawings import Drawings
from monitor.measured import Context, measured, unmeasured
from monitor.messages import Assessment, Reason, Role
from monitor.probe_book import ProbeBook
from monitor.results import Results
from monitor.reviews import Reviews
from monitor.roles import doubts_of
from monitor.series_record import SeriesRecord
from monitor.steps import Job, Verdict
from monitor.timing import Timing


class Verdicts:
    """See the module's docstring."""

    def __init__(
        self,
        procedure_id: str,
        comparison: Comparison,
        results: Results,
        reviews: Reviews,
        probes: ProbeBook,
        drawings: Drawings,
        timing: Timing,
    ) -> None:
        self._procedure_id = procedure_id
        self._comparison = comparison
        self._results = results
        self._reviews = reviews
        self._probes = probes
        self._drawings = drawings
        self._timing = timing

    def unmeasured(self, record: SeriesRecord, role: Role, reason: Reason | None) -> Verdict:
        """A series that has no figures, and why."""
        assert reason is not None
        revision = record.revision
        known = self._results.take_before(record.uid, record.received)
        if known is not None and known.role is role and known.reasons == [reason]:
            return self._decide(record, role, known, revision, adopted=True)
        measurement = unmeasured(record, self._context(record, role), role, reason)
        return self._decide(record, role, measurement, revision)

    def measured(
        self, record: SeriesRecord, job: Job, answer: Found, baseline: SeriesRecord
    ) -> Verdict:
        """A monitoring scan and its figures."""
        assert record.ready is not None
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

    def adopt(self, record: SeriesRecord) -> Verdict | None:
        """A verdict from the journal, where the series has not grown since."""
        measurement = self._results.take_before(record.uid, record.received)
        if measurement is None or measurement.basis != self._basis(record, measurement.role):
            return None
        if measurement.assessment is Assessment.PROVISIONAL or measurement.role is Role.PLANNING:
            return None
        if measurement.role is Role.IGNORED and measurement.reasons[0] not in _EARLIER:
            return None
        if measurement.role is Role.BASELINE:
            self._comparison.baseline_uid = record.uid
        if measurement.assessment is Assessment.FINAL:
            self._comparison.ice_seen = True
        planning = self._comparison.planning
        self._probes.restore(measurement.probes, planning.uid if planning is not None else "")
        assert record.ready is not None
        revision = record.ready.revision
        return self._decide(record, measurement.role, measurement, revision, adopted=True)

    def _basis(self, record: SeriesRecord, role: Role) -> str:
        """What a measurement rests on beside its scan, as a short word.

        Another word after a restart: something was decided whose consequence was not journaled.
        """
        chosen = self._comparison.chosen_baseline
        parts = [
            self._comparison.planning_uid,
            chosen.uid if chosen is not None else "",
            record.purpose.use,
            self._drawings.in_use.key,
            self._reviews.basis_of(record.uid),
            *self._probes.basis(),
        ]
        if role is Role.MONITORING:
            parts += [self._comparison.baseline_uid or "", self._timing.word(record)]
            parts += self._said_before(record)
        return sha256("\n".join(parts).encode()).hexdigest()[:16]

    def _said_before(self, record: SeriesRecord) -> list[str]:
        """What people have said of the scans before one, whose figures its own rest on."""
        return [
            f"{one.uid} {one.purpose.use} {self._reviews.basis_of(one.uid)}"
            for one in self._comparison.before(record)
            if one.purpose.by or self._reviews.basis_of(one.uid)
        ]

    def _context(self, record: SeriesRecord, role: Role) -> Context:
        return Context(
            procedure_id=self._procedure_id,
            phase=self._timing.phase_of(record),
            clock_offset_s=self._timing.clock_offset_s(record),
            last_slice_received_at=self._timing.at(record.last_received_at),
            published_at=self._timing.now(),
            basis=self._basis(record, role),
            supersedes=self._results.newest_id(record.uid),
            probes=self._probes.of(record.uid),
        )

    def _measured_before(self, record: SeriesRecord) -> messages.Measurement | None:
        """The last figures before a scan, in the phase that it was acquired in."""
        before, phase = self._results.last_before(record.order), self._timing.phase_of(record)
        if before is None or self._timing.phases.at(before.taken_at) != phase:
            return None
        return before

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
        record.moment = self._timing.word(record)
        record.role = role
        record.reason = measurement.reasons[0] if measurement.reasons else None
        measurement = self._reviews.shown(measurement)
        self._results.measured(measurement)
        return Verdict(record, role, measurement, adopted)


EARLIER_BASELINE = Reason(
    code="earlier_baseline", text="Before ice; a later scan without ice is the baseline now."
)
BEFORE_CHOSEN = Reason(
    code="earlier_baseline", text="Before the scan that a person has made the baseline."
)
_EARLIER = (EARLIER_BASELINE, BEFORE_CHOSEN)
