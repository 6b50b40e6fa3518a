"""The course of a procedure: what is to be done next, and what the answers mean.

Pure bookkeeping on one thread: no queue, no process, no clock of its own. ``next_step`` says what
the procedure waits for, either a job for the analysis processes or a verdict that needs none;
``conclude`` takes a job's answer in. Series are worked off one at a time, in order of acquisition,
because whether a scan is the baseline depends on those before it.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from monitor import analysis
from monitor.analysis import Found, Refused
from monitor.comparison import Comparison
from monitor.drawings import Drawings
from monitor.marked import read_marked
from monitor.messages import Reason, Role
from monitor.moment import moment_of
from monitor.probe_book import ProbeBook
from monitor.results import Results
from monitor.reviews import Reviews
from monitor.series_record import SeriesRecord
from monitor.steps import Job, Verdict
from monitor.structures import Offered
from monitor.timing import Timing
from monitor.verdicts import BEFORE_CHOSEN, EARLIER_BASELINE, Verdicts
from segmentation.assessment import Reference

DECODED = "decoded"
"""Name of the folder, beside the artefacts, of slices that were decoded ahead of time."""


class Course:
    """See the module's docstring."""

    def __init__(
        self,
        derived: Path,
        series: Mapping[str, SeriesRecord],
        *,
        compared: Comparison,
        verdicts: Verdicts,
        results: Results,
        reviews: Reviews,
        probes: ProbeBook,
        drawings: Drawings,
        timing: Timing,
    ) -> None:
        self._derived = derived
        self._series = series
        self._compared = compared
        self._verdicts = verdicts
        self._results = results
        self._reviews = reviews
        self._probes = probes
        self._drawings = drawings
        self._timing = timing

    # What is to be done next

    def next_step(self) -> Job | Verdict | None:
        """A job, a verdict, or None where nothing can be done now."""
        offered = self._drawings.next()
        self._fit_drawings()
        self._compared.assign_roles()
        for record in self._series.values():
            if record.purpose.use == "ignored" and self._open(record):
                return self._verdicts.unmeasured(record, Role.IGNORED, record.purpose.reason)
        if offered is not None:
            function = analysis.read_structures if isinstance(offered, Offered) else read_marked
            generation = self._compared.generation
            return Job("structures", offered.series_uid, 0, function, (offered,), generation)
        planning = self._compared.planning
        if planning is None or self._drawings.structures is None:
            return None
        if self._open(planning):
            return self._verdicts.unmeasured(planning, Role.PLANNING, _PLANNING)
        if self._compared.grown:
            self._compared.measure_anew()  # the planning scan or the baseline has grown
            return self.next_step()
        for record in self._pending():
            return self._step(planning, record)
        if self._drawings.to_score:  # it holds up no scan
            return Job(
                "nephrometry",
                planning.uid,
                0,
                analysis.nephrometry_of,
                (self._drawings.structures, self._drawings.naming.anatomy),
                self._compared.generation,
            )
        return None

    def _step(self, planning: SeriesRecord, record: SeriesRecord) -> Job | Verdict:
        ready = record.ready
        assert ready is not None
        if record.purpose.use == "unmeasurable":
            return self._verdicts.unmeasured(record, Role.MONITORING, record.purpose.reason)
        adopted = self._verdicts.adopt(record)
        if adopted is not None:
            return adopted
        rejection = self._reviews.rejection_of(record.uid)
        if rejection is not None:
            return self._verdicts.unmeasured(record, Role.MONITORING, rejection)
        chosen = self._compared.chosen_baseline
        if self._compared.baseline_uid is None:
            baseline = chosen or record
            if (record.purpose.use == "monitoring" and chosen is None) or not self._open(baseline):
                return self._verdicts.unmeasured(record, Role.MONITORING, _NO_BASELINE)
            return self._reference_job(planning, baseline)
        baseline, reference = self._series[self._compared.baseline_uid], self._compared.reference
        if record is baseline and reference is not None:  # judged again, not grown
            return self._verdicts.unmeasured(record, Role.BASELINE, _BASELINE)
        if record.order < baseline.order:  # sent late: it can't hold ice
            reason = EARLIER_BASELINE if chosen is None else BEFORE_CHOSEN
            return self._verdicts.unmeasured(record, Role.IGNORED, reason)
        if reference is None:
            return self._reference_job(planning, baseline)
        return self._measure(planning, record, reference, baseline)

    def _measure(
        self,
        planning: SeriesRecord,
        record: SeriesRecord,
        reference: Reference,
        baseline: SeriesRecord,
    ) -> Job | Verdict:
        """The scan is to be measured, against the baseline that a person wants for it, if any."""
        wanted = self._series.get(self._reviews.baseline_of(record.uid) or "", baseline)
        if wanted is not baseline:
            known, grounds = self._compared.others.get(wanted.uid, (None, None))
            if known is None or grounds != self._compared.grounds_with(wanted):
                return self._reference_job(planning, wanted, chosen=True)
            if isinstance(known, Refused):
                reason = Reason(code=known.code, text=known.text)
                return self._verdicts.unmeasured(record, Role.MONITORING, reason)
            reference, baseline = known, wanted
        main = reference is self._compared.reference
        measurement_id = uuid4().hex
        moment = moment_of(
            record.uid,
            record.order,
            self._timing.clock_offset_s(record),
            self._timing.phase_of(record),
            baseline.order,
            self._results,
        )
        arguments = (
            record.paths,
            self._probes.reference(reference, planning.uid, record.order, main=main),
            self._derived / f"{measurement_id}.npz",
            moment,
            self._derived / DECODED,
            self._reviews.correction_of(record.uid),
        )
        assert record.ready is not None
        return Job(
            "measure",
            record.uid,
            record.ready.revision,
            analysis.measure,
            arguments,
            self._compared.generation,
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
            self._drawings.structures,
            self._derived / DECODED,
            self._probes.known(planning.uid, baseline.uid),
        )
        return Job(
            "reference",
            baseline.uid,
            baseline.ready.revision,
            partial(analysis.prepare_reference, ice_allowed=chosen),
            arguments,
            self._compared.generation,
        )

    def _open(self, record: SeriesRecord) -> bool:
        return record.headers != [] and record.decided < record.revision

    def _pending(self) -> list[SeriesRecord]:
        volumes = (record for record in self._series.values() if record.ready is not None)
        found = [record for record in volumes if self._open(record)]
        return sorted(found, key=lambda record: record.order)

    # What the answers mean

    def conclude(self, job: Job, answer: Any) -> Verdict | None:
        """Take a job's answer in; the verdict it leads to, if any."""
        if job.generation != self._compared.generation:
            return None
        if job.kind == "structures":
            self._drawings.read(job.arguments[0], answer)
            self._fit_drawings()
            return None
        if job.kind == "nephrometry":
            self._drawings.scored(answer)
            return None
        record = self._series.get(job.series_uid)
        if record is None or record.ready is None:
            return None
        if job.kind == "reference":
            grounds = self._compared.grounds_with(record)
            if job.arguments[:2] != grounds:
                return None  # one of the two has grown meanwhile: it is prepared again
            if self._compared.reference is not None and record is not self._compared.baseline:
                self._compared.others[record.uid] = answer, grounds
                return None
            return self._conclude_reference(record, answer)
        if isinstance(answer, Refused) and job.revision != record.revision:
            return None  # what could not be done with some of the slices is tried with all
        return self._conclude_measure(record, job, answer)

    def _fit_drawings(self) -> None:
        """What was drawn may fit now; when something else holds, all is measured again."""
        if self._drawings.fit(self._series):
            self._compared.measure_anew()

    def _conclude_reference(
        self, record: SeriesRecord, answer: Reference | Refused
    ) -> Verdict | None:
        if isinstance(answer, Refused):
            if record is self._compared.baseline:  # it served before a restart: no longer
                self._compared.baseline_uid = None
            self._probes.drop(record.uid)
            reason = Reason(code=answer.code, text=answer.text)
            return self._verdicts.unmeasured(record, Role.MONITORING, reason)
        self._compared.reference = answer
        self._compared.grounds = self._compared.grounds_with(record)
        self._probes.take_baseline(record.uid, answer)
        if record is self._compared.baseline:
            return None
        self._compared.baseline_uid = record.uid
        for later in self._series.values():  # one of them may have been refused as the baseline
            if later.role is Role.MONITORING and later.order > record.order:
                self._compared.judge_again(later)
        return self._verdicts.unmeasured(record, Role.BASELINE, _BASELINE)

    def _conclude_measure(
        self, record: SeriesRecord, job: Job, answer: Found | Refused
    ) -> Verdict | None:
        if isinstance(answer, Refused):
            self._probes.drop(record.uid)
            taken_away = answer.code == "no_probes" and self._probes.any_removed
            without_ice = answer.code in _NO_ICE_YET and not self._frozen_yet(record)
            baseline = self._series[self._compared.baseline_uid or ""]
            by_rule = record.purpose.use == baseline.purpose.use == "measured"
            if without_ice and by_rule and not taken_away:
                return self._replace_baseline()
            reason = Reason(code=answer.code, text=answer.text)
            return self._verdicts.unmeasured(record, Role.MONITORING, reason)
        self._compared.ice_seen = True
        self._probes.take_late(record.uid, record.order, job.arguments[1], answer)
        usual = self._series[self._compared.baseline_uid or ""]
        baseline = self._series.get(self._reviews.baseline_of(record.uid) or "", usual)
        return self._verdicts.measured(record, job, answer, baseline)

    def _frozen_yet(self, record: SeriesRecord) -> bool:
        phase = self._timing.phase_of(record)
        return self._compared.ice_seen or (phase is not None and phase.cycle > 0)

    def _replace_baseline(self) -> Verdict | None:
        """The last scan before the first one with ice is the baseline: a later one takes over."""
        earlier = self._series[self._compared.baseline_uid or ""]
        self._probes.drop(earlier.uid)
        self._compared.baseline_uid = None
        self._compared.reference = None
        return self._verdicts.unmeasured(earlier, Role.IGNORED, EARLIER_BASELINE)


_NO_ICE_YET = {"no_ice", "no_probes"}
_PLANNING = Reason(code="planning", text="The planning scan; the contours were drawn on it.")
_BASELINE = Reason(code="baseline", text="The baseline, before ice; later scans are compared.")
_NO_BASELINE = Reason(code="no_baseline", text="There is no baseline that it can be compared with.")
