"""From single objects to complete series: when is a scan all there?

Over C-STORE nobody says so, and most receivers guess by waiting for silence. Here evidence is
weighed, the strongest first (``transitions``): a performed procedure step's list of its images; a
storage commitment request's list; the release of the association that carried every slice; the
extent of the scan before; silence. Each counts only with slices that make a volume
(``segmentation.volume.check_stack``). What falls short of that is provisional, or refused, with the
reason, and a late slice opens the series again.

Multi-frame objects (enhanced and legacy converted CT) add all their planes. That such an object is
whole (it is, or it would not have been acknowledged) does not say that it is the series: one scan
may be split into several, as parts of a concatenation (PS3.3, C.7.6.16.2.2.4) or as one for each
stack, and the last may be missing as a last slice may. That it belongs to no concatenation says no
more than that it is none of such parts. So it is judged by the same evidence as slices are; the
release of its association mostly follows at once.

The assembler has no clock and no threads: its owner tells it what came and what time it is, and
calls ``tick`` when ``next_deadline`` has passed.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from dicom_listener.arrivals import Arrivals, Judgement, belongs_to, judge
from dicom_listener.assembled import (
    CT_CLASSES,
    AssemblerOutput,
    Completeness,
    Evidence,
    ObjectKind,
    ObjectReady,
    Reason,
    SeriesObject,
    SeriesProgress,
    SeriesReady,
    image_of,
    kind_of,
)
from dicom_listener.events import CommitmentRequested, How, StepReported
from dicom_listener.extents import Extents
from dicom_listener.headers import ObjectHeader
from dicom_listener.lists import ListEvidence, Lists, Told
from dicom_listener.transitions import Event, State, Verdict, next_state

__all__ = [
    "AssemblerOutput",
    "AssemblerSettings",
    "Completeness",
    "Evidence",
    "ObjectKind",
    "ObjectReady",
    "Reason",
    "SeriesAssembler",
    "SeriesObject",
    "SeriesProgress",
    "SeriesReady",
    "kind_of",
]

MAXIMUM_OTHERS: Final = 20_000
"""Objects that are no slices, of which is remembered that they came: lists may name them."""

LOOK_AGAIN: Final = 16
"""A series that is long enough but does not fill the extent of the scan before is looked at again
when it has grown by one in so many: looking takes the longer the more slices there are."""

_EVIDENCE: Final[Mapping[Event, Evidence]] = {
    Event.STEP: "mpps",
    Event.COMMITMENT: "commitment",
    Event.RELEASED: "release",
    Event.EXTENT: "extent",
    Event.QUIET: "quiet",
    Event.ABORTED: "quiet",
    Event.IMPATIENT: "none",
}
_COMPLETENESS: Final[Mapping[State, Completeness]] = {
    State.FINAL: "final",
    State.PROVISIONAL: "provisional",
    State.REFUSED: "refused",
}
_UNJUDGED: Final = (State.OPEN, State.REOPENED)
_LISTED: Final[Mapping[ListEvidence, Event]] = {"mpps": Event.STEP, "commitment": Event.COMMITMENT}


@dataclass(frozen=True)
class AssemblerSettings:
    """Times and bounds.

    Attributes
    ----------
    quiet_s
        Silence after which a series is taken for what it is.
    patience_s
        A series that is neither complete nor silent for so long is judged provisional meanwhile.
    maximum_open
        Series that may be waited for at once; beyond this, the one silent for longest is judged
        provisional.
    maximum_remembered
        Judged series whose slices are remembered, for late ones.
    maximum_slices
        A series with more is refused; the further slices are reported as ``stored`` only.
    """

    quiet_s: float = 3.0
    patience_s: float = 60.0
    maximum_open: int = 64
    maximum_remembered: int = 256
    maximum_slices: int = 4096


class SeriesAssembler:
    """All series that are coming in. Not for several threads at once.

    Give it everything that came before a moment before telling it that moment by ``tick``.
    """

    def __init__(self, settings: AssemblerSettings | None = None) -> None:
        self._settings = settings or AssemblerSettings()
        self._quiet = timedelta(seconds=self._settings.quiet_s)
        self._patience = timedelta(seconds=self._settings.patience_s)
        self._series: dict[str, Arrivals] = {}
        self._waiting: dict[str, Arrivals] = {}
        """Those that silence has not yet been listened for."""
        self._series_of: dict[str, str] = {}
        """Of each slice that is remembered."""
        self._others: dict[str, str] = {}
        """Of each object that is no slice, the series that it is an image of; empty for none."""
        self._extents = Extents()
        self._lists = Lists()

    # What comes

    def add(
        self,
        header: ObjectHeader,
        path: Path,
        received_at: datetime,
        association_id: str,
        *,
        calling_ae_title: str = "",
        conflicting: bool = False,
    ) -> list[AssemblerOutput]:
        """An object was received, or was found in the spool at start.

        The same SOP instance again adds nothing, but counts as carried by its association.
        Lists are weighed of a ``calling_ae_title`` that carried some of the series.
        ``conflicting`` is for one whose UID came with another content before; it never becomes part
        of a volume.
        """
        kind: ObjectKind = "conflict" if conflicting else kind_of(header)
        item = SeriesObject(header, path)
        if kind != "slice":
            return self._other(kind, item, received_at)
        uid = header.series_instance_uid
        series = self._series.get(uid)
        if series is None:
            expected = self._extents.expected_slices(header)
            series = Arrivals(uid, expected, received_at, received_at, expected or 0)
            self._series[uid] = series
        if series.objects and belongs_to(series.first) != belongs_to(header):
            return self._other("foreign", item, received_at)
        another = bool(series.callers) and calling_ae_title not in series.callers
        series.callers.add(calling_ae_title)
        known = header.sop_instance_uid in series.objects
        if known and series.state in (State.FINAL, State.REFUSED):
            return self._weigh_lists(series) if another else []
        series.heard(association_id, header.sop_instance_uid, received_at)
        self._waiting[uid] = series
        if known:
            return [*(self._weigh_lists(series) if another else ()), *self._bound()]
        if series.state not in _UNJUDGED:
            series.unjudged_since = received_at
        series.state = next_state(series.state, Event.SLICE, Verdict.VOLUME)
        if series.slices + len(header.planes) > self._settings.maximum_slices:
            series.overflowed = True
            return self._other("stored", item, received_at)
        series.take(item)
        self._series_of[header.sop_instance_uid] = uid
        outputs = self._grown(series, header.sop_instance_uid)
        return outputs + (self._weigh_lists(series) if another else [])

    def association_ended(
        self, association_id: str, how: How, at: datetime
    ) -> list[AssemblerOutput]:
        """An association is over, at a time not before what it carried."""
        outputs: list[AssemblerOutput] = []
        for series in list(self._series.values()):
            carried = series.carried.pop(association_id, None)
            if carried is None:
                continue
            if series.last_association == association_id:
                series.cut = how == "aborted"
            if not series.carried:
                outputs += self._weigh_complete_lists(series)
            if how == "released" and series.objects.keys() <= carried:
                outputs += self._weigh(series, Event.RELEASED)
            elif series.cut and self._was_no_silence(series, at):
                outputs += self._weigh(series, Event.ABORTED)
        return outputs + self.tick(at)

    def step_reported(self, step: StepReported) -> list[AssemblerOutput]:
        """A performed procedure step was created or changed; only its end says something."""
        if step.status == "IN PROGRESS":
            return []
        outputs: list[AssemblerOutput] = []
        broken_off = step.status == "DISCONTINUED"
        for one in step.series:
            uid, named = one.series_instance_uid, one.instance_uids
            outputs += self._take_list(
                "mpps", step.calling_ae_title, named, {uid}, step.at, discontinued=broken_off
            )
        return outputs

    def commitment_requested(self, request: CommitmentRequested) -> list[AssemblerOutput]:
        """Storage commitment was asked for.

        The request does not name series. Those of the images that have come are known; an image
        that has not come may belong to any of these, and all of them lack it until it shows where
        it belongs. Objects that are no CT are of no series that is measured.
        """
        named = [uid for sop_class, uid in request.instances if sop_class in CT_CLASSES]
        series = {of for uid in named if (of := self._came_as(uid))}
        return self._take_list("commitment", request.calling_ae_title, named, series, request.at)

    def tick(self, now: datetime) -> list[AssemblerOutput]:
        """Judge what has been quiet for long enough, or was waited for long enough."""
        outputs: list[AssemblerOutput] = []
        for series in list(self._waiting.values()):
            if series.last_received_at + self._quiet <= now:
                del self._waiting[series.uid]
                outputs += self._weigh(series, Event.QUIET)
            elif series.state in _UNJUDGED and series.unjudged_since + self._patience <= now:
                outputs += self._weigh(series, Event.IMPATIENT)
        self._forget()
        return outputs

    def next_deadline(self) -> datetime | None:
        """When ``tick`` is due next; None while nothing is waited for."""
        return min(map(self._deadline, self._waiting.values()), default=None)

    # What follows from it

    def _was_no_silence(self, series: Arrivals, aborted_at: datetime) -> bool:
        """Whether it is final because nothing came, which nothing could.

        The end of an association is told late when the listener itself has broken down.
        """
        by_silence = series.state is State.FINAL and series.judged_by is Event.QUIET
        return by_silence and aborted_at < series.last_received_at + self._quiet

    def _deadline(self, series: Arrivals) -> datetime:
        quiet = series.last_received_at + self._quiet
        if series.state not in _UNJUDGED:
            return quiet
        return min(quiet, series.unjudged_since + self._patience)

    def _other(
        self, kind: ObjectKind, item: SeriesObject, received_at: datetime
    ) -> list[AssemblerOutput]:
        uid, of = item.header.sop_instance_uid, image_of(item.header)
        self._others[uid] = of
        if len(self._others) > MAXIMUM_OTHERS:
            del self._others[next(iter(self._others))]
        return [ObjectReady(kind, item, received_at), *self._arrived(uid, of)]

    def _grown(self, series: Arrivals, instance_uid: str) -> list[AssemblerOutput]:
        """A slice was added."""
        expected = self._told(series).expected or series.expected
        reopened = series.state is State.REOPENED
        outputs: list[AssemblerOutput] = [
            SeriesProgress(series.uid, series.slices, expected, reopened),
            *self._arrived(instance_uid, series.uid),
        ]
        may_fill = series.expected is not None and series.slices >= series.look_at
        if may_fill and series.state in _UNJUDGED and not series.filled:
            series.look_at = series.slices + max(series.slices // LOOK_AGAIN, 1)
            outputs += self._weigh(series, Event.EXTENT)
        return outputs + self._bound()

    def _arrived(self, instance_uid: str, series_uid: str) -> list[AssemblerOutput]:
        """Nothing is missing any more of some lists, perhaps."""
        outputs: list[AssemblerOutput] = []
        for uid in sorted(self._lists.came(instance_uid, series_uid) & self._series.keys()):
            outputs += self._weigh_lists(self._series[uid])
        return outputs

    def _take_list(
        self,
        evidence: ListEvidence,
        caller: str,
        named: Collection[str],
        series_uids: set[str],
        at: datetime,
        *,
        discontinued: bool = False,
    ) -> list[AssemblerOutput]:
        outputs: list[AssemblerOutput] = []
        if self._lists.add(
            evidence, caller, named, series_uids, self._came_as, discontinued=discontinued
        ):
            for uid in sorted(series_uids & self._series.keys()):
                outputs += self._weigh_lists(self._series[uid])
        return outputs + self.tick(at)

    def _came_as(self, instance_uid: str) -> str | None:
        """Series of an image that has come; empty for what is none, None for what has not come."""
        return self._series_of.get(instance_uid) or self._others.get(instance_uid)

    def _told(self, series: Arrivals) -> Told:
        return self._lists.of(series.uid, series.objects, series.callers)

    def _weigh_lists(self, series: Arrivals) -> list[AssemblerOutput]:
        """The lists have come to say something else."""
        self._lists.drop_parts(series.uid, series.objects)
        told = self._told(series)
        if told.missing is not None:
            return self._weigh(series, _LISTED[told.missing.evidence])
        if told.complete:
            return self._weigh_complete_lists(series)
        if told.unmeasured is not None and (series.state not in _UNJUDGED or not series.carried):
            return self._weigh(series, _LISTED[told.unmeasured.evidence])
        return self._weigh(series, Event.STEP) if told.discontinued else []

    def _weigh_complete_lists(self, series: Arrivals) -> list[AssemblerOutput]:
        """That all is listed and here counts, but for a commitment while more may be carried.

        Some scanners ask for commitment while they are sending, of what they have sent until then.
        """
        evidence = self._told(series).complete
        if evidence is None or (evidence == "commitment" and series.carried):
            return []
        return self._weigh(series, _LISTED[evidence])

    def _bound(self) -> list[AssemblerOutput]:
        if len(self._waiting) <= self._settings.maximum_open:
            return []
        series = min(self._waiting.values(), key=lambda one: one.last_received_at)
        del self._waiting[series.uid]
        outputs = self._weigh(series, Event.IMPATIENT)
        self._forget()
        return outputs

    def _weigh(self, series: Arrivals, event: Event) -> list[AssemblerOutput]:
        """Look at all slices together, and say what follows from the event, if it is news."""
        judged = judge(series, self._told(series), self._extents)
        stack, reason = judged.stack, judged.reason
        if event is Event.EXTENT:
            if stack is None or not self._extents.fills(series.first, stack):
                return []
            series.filled = True
        state = next_state(series.state, event, judged.verdict)
        if state is State.FINAL:
            reason = None
        elif reason is None:
            reason = Reason("not_waited_for", "More slices may follow; they were not waited for.")
        if state in _UNJUDGED or (state, reason) == (series.state, series.reason):
            return []
        series.state, series.reason, series.judged_by = state, reason, event
        series.revision += 1
        if event is not Event.IMPATIENT or state is State.REFUSED:  # what is broken stays so
            self._waiting.pop(series.uid, None)
        self._series[series.uid] = self._series.pop(series.uid)  # the last to be forgotten
        self._remember_extent(series, judged, event)
        return [
            SeriesReady(
                series_uid=series.uid,
                objects=tuple(series.objects.values()),
                stack=stack,
                completeness=_COMPLETENESS[state],
                evidence=_EVIDENCE[event],
                reason=reason,
                last_received_at=series.last_received_at,
                revision=series.revision,
            )
        ]

    def _remember_extent(self, series: Arrivals, judged: Judgement, event: Event) -> None:
        """The next scan is measured by it, unless this one is known to be a part."""
        whole = judged.verdict in (Verdict.VOLUME, Verdict.SHORT, Verdict.CUT)
        if judged.stack is not None and whole and event is not Event.IMPATIENT:
            sure = series.state is State.FINAL
            self._extents.remember(series.first, judged.stack, sure=sure)
        else:
            self._extents.forget(series.uid)

    def _forget(self) -> None:
        """Keep the number of judged series, and all that is known of them, bounded."""
        excess = len(self._series) - len(self._waiting) - self._settings.maximum_remembered
        if excess <= 0:
            return
        judged = [uid for uid in self._series if uid not in self._waiting]
        for uid in judged[:excess]:
            for instance_uid in self._series.pop(uid).objects:
                self._series_of.pop(instance_uid, None)
            self._lists.forget(uid)
