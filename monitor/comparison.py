"""What the scans of a procedure are compared with, and what is judged again when that changes."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from monitor.analysis import Refused
from monitor.drawings import Drawings
from monitor.messages import Role
from monitor.probe_book import ProbeBook
from monitor.results import Results
from monitor.role_choices import RoleChoices
from monitor.series_record import SeriesRecord
from segmentation.assessment import Reference

Grounds = tuple[tuple[Path, ...], tuple[Path, ...]]
"""Files of the planning scan, and of the baseline."""


class Comparison:
    """See the module's docstring.

    Attributes
    ----------
    generation
        Rises whenever something that scans are measured by changes: answers under way are dropped.
    reference
        What scans are compared with, once it is prepared.
    grounds
        What the reference was prepared from.
    baseline_uid
        The last series before ice, as far as is known.
    ice_seen
        Whether a scan with ice was measured: the baseline then stays.
    others
        References to other baselines, which people want for single scans.
    """

    def __init__(
        self,
        series: Mapping[str, SeriesRecord],
        results: Results,
        roles: RoleChoices,
        probes: ProbeBook,
        drawings: Drawings,
    ) -> None:
        self._series = series
        self._results = results
        self._roles = roles
        self._probes = probes
        self._drawings = drawings
        self.generation = 0
        self.reference: Reference | None = None
        self.grounds: Grounds = ((), ())
        self.baseline_uid: str | None = None
        self.ice_seen = False
        self.others: dict[str, tuple[Reference | Refused, Grounds]] = {}

    @property
    def planning_uid(self) -> str:
        """The series that the contours refer to, or a chosen one; empty where there is none."""
        return self._roles.planning_uid(self._series, self._drawings.scan_uid)

    @property
    def planning(self) -> SeriesRecord | None:
        """The planning scan, once it is a volume."""
        record = self._series.get(self.planning_uid)
        if record is None or record.ready is None or record.ready.stack is None:
            return None
        return record

    @property
    def baseline(self) -> SeriesRecord | None:
        """The baseline, as far as is known."""
        return self._series.get(self.baseline_uid or "")

    @property
    def chosen_baseline(self) -> SeriesRecord | None:
        """The baseline that a person wants."""
        return next((r for r in self._series.values() if r.purpose.use == "baseline"), None)

    def grounds_with(self, baseline: SeriesRecord) -> Grounds:
        """Files of the planning scan and of a baseline, as they are now."""
        planning = self.planning
        return (planning.paths if planning is not None else (), baseline.paths)

    @property
    def grown(self) -> bool:
        """Whether the planning scan or the baseline has grown since the reference was prepared."""
        if self.reference is None or self.baseline is None:
            return False
        return self.grounds != self.grounds_with(self.baseline)

    def before(self, record: SeriesRecord) -> list[SeriesRecord]:
        """The series that were acquired before one, in their order."""
        known = [one for one in self._series.values() if one.headers]
        earlier = [one for one in known if one.order < record.order]
        return sorted(earlier, key=lambda one: (one.order, one.uid))

    def drop_answers(self) -> None:
        """What is under way may rest on what has changed: it comes too late, and is done again."""
        self.generation += 1

    def let_go(self) -> None:
        """The procedure is over."""
        self.drop_answers()
        self.reference = None
        self.others = {}
        self._probes.forget()

    def judge_again_from(self, first: SeriesRecord) -> None:
        """A scan and the monitoring scans after it are judged again."""
        self.drop_answers()
        for record in self._series.values():
            if record is first or (record.role is Role.MONITORING and record.order > first.order):
                self.judge_again(record)

    def judge_again_all(self, records: Sequence[SeriesRecord]) -> None:
        """What is known about when some scans were acquired has changed."""
        if records:
            self.drop_answers()
        for record in records:
            self.judge_again(record)

    def judge_again(self, record: SeriesRecord) -> None:
        """Its figures are doubted until it is judged."""
        record.decided = -1
        self._results.wait(record.uid)

    def assign_roles(self) -> None:
        """What each series is for, as is now known: where that is news, it is judged again."""
        structures = self._drawings.structures or ()
        changed = self._roles.assign(self._series, self._drawings.scan_uid, structures)
        uses = {use for record, before in changed for use in (before.use, record.purpose.use)}
        uids = {record.uid for record, _ in changed}
        if self.baseline_uid is not None and (self.baseline_uid in uids or uses & _GROUNDS):
            if self.baseline_uid in uids or "baseline" in uses:  # it is searched for again
                self.baseline_uid, self.ice_seen = None, False
            self.measure_anew()
            return
        for record, _ in changed:
            self.judge_again(record)
        judged = [record for record, _ in changed if record.role is not None]
        measured = [
            record
            for record in judged
            if record.role is Role.MONITORING or record.purpose.use != "ignored"
        ]
        if measured:
            self.judge_again_from(min(measured, key=lambda record: record.order))

    def measure_anew(self) -> None:
        """What every scan is compared with has changed.

        Which scan is the last before ice does not change with it, where that is known.
        """
        self.drop_answers()
        self.reference = None
        self.others = {}
        if not self.ice_seen:
            self.baseline_uid = None
        self._probes.forget()
        for record in self._series.values():
            self.judge_again(record)


_GROUNDS = {"planning", "baseline"}
