"""What is drawn of one procedure: the planning objects that can be used, and what they come to.

Several may be in use together: one says where the tumour is, others add structures at risk.

- An object with a tumour takes the place of the one with a tumour before it.
- One without adds its structures, where it was drawn in the tumour's frame of reference; of two
  structures with one name the newer counts. It waits where there is no tumour yet.
- Each must fit the scan that it says it was drawn on. Until that has come it waits, and what is in
  use stays in use.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from monitor.analysis import Planned, Refused
from monitor.messages import Reason
from monitor.series_record import SeriesRecord
from monitor.structure_messages import State, StructureSource
from monitor.structures import Offered
from monitor.versions import ToRead
from segmentation.structures import Structure


@dataclass(eq=False)
class Source:
    """One planning object that was read.

    Attributes
    ----------
    scan_uid
        Series that it was drawn on, once that is certain.
    reason
        Why it is not in use; None when it is.
    """

    offered: ToRead
    planned: Planned
    scan_uid: str = ""
    reason: Reason | None = None


@dataclass(frozen=True, eq=False)
class InUse:
    """What scans are measured against.

    Attributes
    ----------
    main
        What the tumour comes from.
    sources
        SOPInstanceUIDs of all that something comes from, oldest first.
    key
        Another one when anything in it is another.
    """

    scan_uid: str = ""
    structures: tuple[Structure, ...] = ()
    main: ToRead | None = None
    sources: tuple[str, ...] = ()
    key: str = ""


@dataclass(eq=False)
class Plan:
    """The planning objects of a procedure, oldest first.

    Attributes
    ----------
    refused
        What can't be used whatever comes, by SOPInstanceUID.
    again
        Those of them that may be read when they are sent again: what failed was not in them.
    told
        What was told of those that were let go of.
    """

    sources: list[Source] = field(default_factory=list)
    refused: dict[str, StructureSource] = field(default_factory=dict)
    again: set[str] = field(default_factory=set)
    told: list[StructureSource] = field(default_factory=list)
    _let_go: list[ToRead] = field(default_factory=list)

    def knows(self, sop_instance_uid: str) -> bool:
        """Whether this object was read already."""
        read = any(source.offered.sop_instance_uid == sop_instance_uid for source in self.sources)
        refused = self.refused.keys() - self.again
        return read or sop_instance_uid in refused

    def coming(self, sop_instance_uid: str) -> None:
        """It is to be read; what failed before is not told of any more."""
        if sop_instance_uid in self.again:
            self.again.remove(sop_instance_uid)
            self.refused.pop(sop_instance_uid, None)

    def came_again(self, offered: ToRead) -> None:
        """One that was read came again, or was gone back to: it is the newest now."""
        for source in self.sources:
            if source.offered.sop_instance_uid == offered.sop_instance_uid:
                source.offered = max(source.offered, offered, key=lambda one: one.at)
        self.sources.sort(key=lambda one: one.offered.at)

    def take(self, offered: ToRead, answer: Planned | Refused) -> None:
        """One more was read, or could not be."""
        if isinstance(answer, Planned):
            self.refused.pop(offered.sop_instance_uid, None)
            self.sources.append(Source(offered, answer))
            self.sources.sort(key=lambda one: one.offered.at)
            return
        code = answer.code if answer.code in _TOLD else "bad_contours"
        if answer.code in _PASSING:
            self.again.add(offered.sop_instance_uid)
        self.refused[offered.sop_instance_uid] = StructureSource(
            series_instance_uid=_series_of(offered),
            sop_instance_uid=offered.sop_instance_uid,
            received_at=offered.at,
            form=None,
            label="",
            names=[],
            state="refused",
            reason=Reason(code=code, text=answer.text),
            remarks=[],
        )

    def offered(self) -> list[ToRead]:
        """All that can be used, to be read again."""
        return [*(source.offered for source in self.sources), *self._let_go]

    def let_go(self) -> None:
        """Nothing is measured any more: the solids are let go of, what is told of them stays."""
        self.told, self._let_go = self.messages(), self.offered()
        self.sources = []

    def reasons(self) -> list[tuple[str, Reason | None]]:
        """Why each is not in use, by its SeriesInstanceUID."""
        refused = [(one.series_instance_uid, one.reason) for one in self.refused.values()]
        return [*refused, *((_series_of(one.offered), one.reason) for one in self.sources)]

    def in_use(self, series: Mapping[str, SeriesRecord]) -> InUse:
        """What holds with the series that have come; each source is told why it is not used."""
        for source in self.sources:
            if source.scan_uid:
                source.reason = _misfit(source.planned, series[source.scan_uid])
            else:
                source.scan_uid, source.reason = _scan_of(source.planned, series)
        fit = [source for source in self.sources if source.reason is None]
        tumours = [source for source in fit if source.planned.has_tumour]
        if not tumours:
            for source in fit:
                source.reason = _NO_TUMOUR
            return InUse()
        main = tumours[-1]
        frame = series[main.scan_uid].frame_of_reference_uid
        used = []
        for source in fit:
            if source.planned.has_tumour and source is not main:
                source.reason = _REPLACED
            elif series[source.scan_uid].frame_of_reference_uid != frame:
                source.reason = _OTHER_FRAME
            else:
                used.append(source)
        named = {
            s.name.casefold(): (s, source) for source in used for s in source.planned.structures
        }
        tumour = next(s for s in main.planned.structures if s.kind == "tumour")
        others = [(s, source) for s, source in named.values() if s.kind != "tumour"]
        lines = [f"{source.offered.sop_instance_uid} {s.name}" for s, source in others]
        return InUse(
            scan_uid=main.scan_uid,
            structures=(tumour, *(s for s, _ in others)),
            main=main.offered,
            sources=tuple(source.offered.sop_instance_uid for source in used),
            key="\n".join([main.scan_uid, main.offered.sop_instance_uid, *sorted(lines)]),
        )

    def messages(self) -> list[StructureSource]:
        """As they go over the wire, those that were refused too, oldest first."""
        told = [
            StructureSource(
                series_instance_uid=_series_of(source.offered),
                sop_instance_uid=source.offered.sop_instance_uid,
                received_at=source.offered.at,
                form=source.planned.form,
                label=source.planned.label,
                names=[structure.name for structure in source.planned.structures],
                state=_state(source.reason),
                reason=source.reason,
                remarks=list(source.planned.remarks),
            )
            for source in self.sources
        ]
        told += self.told or self.refused.values()
        return sorted(told, key=lambda one: one.received_at)


def _series_of(offered: ToRead) -> str:
    """Its own series; what was marked on the page has none."""
    return offered.series_uid if isinstance(offered, Offered) else ""


def _state(reason: Reason | None) -> State:
    if reason is None:
        return "in_use"
    return "waiting" if reason.code in _WAITING else "not_used"


def _scan_of(planned: Planned, series: Mapping[str, SeriesRecord]) -> tuple[str, Reason | None]:
    """The scan that an object was drawn on, or why it is not known."""
    drawn = planned.drawn
    scans = [
        record for record in series.values() if record.ready is not None and record.ready.stack
    ]
    named = [record for record in scans if record.uid in drawn.series_uids]
    if len(named) > 1:  # several were looked at; the one that was drawn on has its images
        shown = [record for record in named if drawn.image_uids & record.instance_uids]
        named = shown[:1] or named[:1]
    if not named and drawn.series_uids:
        return "", _AWAITED
    if not named and drawn.image_uids:
        named = [record for record in scans if drawn.image_uids & record.instance_uids]
    if not named and drawn.frame_of_reference_uid:
        frame = drawn.frame_of_reference_uid
        named = [record for record in scans if record.frame_of_reference_uid == frame]
    if not named:
        return "", _AWAITED
    if len(named) > 1:
        return "", _AMBIGUOUS
    misfit = _misfit(planned, named[0])
    return ("", misfit) if misfit is not None else (named[0].uid, None)


def _misfit(planned: Planned, scan: SeriesRecord) -> Reason | None:
    """Why an object can't have been drawn on this scan."""
    frame = planned.drawn.frame_of_reference_uid
    if frame and scan.frame_of_reference_uid and frame != scan.frame_of_reference_uid:
        return _MISFIT_FRAME
    images = planned.drawn.image_uids
    if images and not images & scan.instance_uids:
        return _MISFIT_IMAGES
    return None


_NO_TUMOUR = Reason(
    code="no_tumour",
    text="It names no tumour; its structures are used together with one that does.",
)
_REPLACED = Reason(code="replaced", text="A newer one is in use.")
_OTHER_FRAME = Reason(
    code="another_frame",
    text="It was drawn in another frame of reference than the tumour; it is not used.",
)
_AWAITED = Reason(
    code="scan_awaited", text="The scan that it was drawn on has not come; it waits for it."
)
_AMBIGUOUS = Reason(
    code="scan_unnamed",
    text="It does not name the scan that it was drawn on, and several scans would do.",
)
_MISFIT_FRAME = Reason(
    code="misfit",
    text="Its frame of reference is not that of the scan that it names; it is not used.",
)
_MISFIT_IMAGES = Reason(
    code="misfit", text="The images that it was drawn on are not in the scan; it is not used."
)
_TOLD = frozenset({"no_tumour", "several_tumours"})
_PASSING = frozenset({"analysis_failed", "analysis_timeout"})
_WAITING = frozenset(reason.code for reason in (_NO_TUMOUR, _AWAITED, _AMBIGUOUS))
