"""From single objects to complete series: when is a scan all there?

No receiver can prove that (peers.md of the design: every router guesses with a quiet timer), so the
evidence is weighed. Strongest first: the association that carried every slice was released; the
extent of the scan before was filled; nothing has come for the quiet time. Each counts only with
slices that make a volume (``segmentation.volume.check_stack``). What falls short of that is
provisional, or refused, with the reason, and a late slice opens the series again.

The assembler has no clock and no threads: its owner tells it what came and what time it is, and
calls ``tick`` when ``next_deadline`` has passed.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from dicom_listener.extents import Extents
from dicom_listener.headers import ObjectHeader
from dicom_listener.syntaxes import CT_IMAGE_STORAGE
from segmentation.volume import GeometryError, SlicePlane, Stack, check_stack

MENDABLE: Final = frozenset(("too_few_slices", "missing_slices", "uneven_spacing"))
"""Faults of geometry that slices still under way can mend; the others stay whatever comes."""

ObjectKind = Literal[
    "slice", "stored", "localizer", "lossy", "no_plane", "multi_frame", "conflict", "foreign"
]
"""What an object is to the assembler. Only slices make volumes; ``stored`` is all that is no CT,
``conflict`` has the UID of another object, ``foreign`` the series UID of another patient's, study's
or frame of reference's series."""

Completeness = Literal["final", "provisional", "refused"]
Evidence = Literal["release", "extent", "quiet"]


class State(enum.Enum):
    """State of one series."""

    OPEN = "open"
    PROVISIONAL = "provisional"
    FINAL = "final"
    REFUSED = "refused"


class Event(enum.Enum):
    """What can happen to a series."""

    SLICE = "slice added"
    EXTENT = "extent of the predecessor filled"
    RELEASED = "the association that carried all slices was released"
    QUIET = "no slice for the quiet time"


class Verdict(enum.Enum):
    """What the slices are, taken together, at the moment of the event."""

    VOLUME = "a volume"
    SHORT = "a volume that ends before its predecessor did"
    CUT = "a volume whose transfer was aborted"
    MENDABLE = "no volume yet"
    BROKEN = "no volume, whatever comes"


_V = Verdict
TRANSITIONS: Final[Mapping[tuple[State, Event], Mapping[Verdict, State]]] = {
    (State.OPEN, Event.SLICE): dict.fromkeys(Verdict, State.OPEN),
    (State.PROVISIONAL, Event.SLICE): dict.fromkeys(Verdict, State.OPEN),
    (State.FINAL, Event.SLICE): dict.fromkeys(Verdict, State.OPEN),
    (State.REFUSED, Event.SLICE): dict.fromkeys(Verdict, State.OPEN),
    (State.OPEN, Event.EXTENT): {
        _V.VOLUME: State.FINAL,
        _V.SHORT: State.OPEN,
        _V.CUT: State.FINAL,  # all of the extent is there, however the transfer went
        _V.MENDABLE: State.OPEN,
        _V.BROKEN: State.OPEN,
    },
    (State.OPEN, Event.RELEASED): {
        _V.VOLUME: State.FINAL,
        _V.SHORT: State.PROVISIONAL,
        _V.CUT: State.FINAL,  # the release came after the abort, and carried all
        _V.MENDABLE: State.OPEN,  # the quiet time decides
        _V.BROKEN: State.REFUSED,
    },
    (State.OPEN, Event.QUIET): {
        _V.VOLUME: State.FINAL,
        _V.SHORT: State.PROVISIONAL,
        _V.CUT: State.PROVISIONAL,
        _V.MENDABLE: State.PROVISIONAL,
        _V.BROKEN: State.REFUSED,
    },
}
"""(state, event) to the next state, by verdict. A pair that is not here can't happen."""

_EVIDENCE: Final[Mapping[Event, Evidence]] = {
    Event.EXTENT: "extent",
    Event.RELEASED: "release",
    Event.QUIET: "quiet",
}
_COMPLETENESS: Final[Mapping[State, Completeness]] = {
    State.FINAL: "final",
    State.PROVISIONAL: "provisional",
    State.REFUSED: "refused",
}


@dataclass(frozen=True)
class AssemblerSettings:
    """Times and bounds.

    Attributes
    ----------
    quiet_s
        Silence after which a series is taken for what it is.
    maximum_open
        Series that may be open at once; beyond this, the one silent for longest is closed.
    maximum_remembered
        Closed series whose slices are remembered, for late ones.
    maximum_slices
        Further slices of a series are reported as ``stored`` only.
    """

    quiet_s: float = 3.0
    maximum_open: int = 64
    maximum_remembered: int = 256
    maximum_slices: int = 4096


@dataclass(frozen=True)
class SeriesObject:
    """An object of a series, and where it is."""

    header: ObjectHeader
    path: Path


@dataclass(frozen=True)
class Reason:
    """Why a series is not final: a code for programs, a sentence for people."""

    code: str
    text: str


@dataclass(frozen=True)
class SeriesProgress:
    """A slice came. ``expected`` is how many its predecessor had, if it has one."""

    series_uid: str
    received: int
    expected: int | None


@dataclass(frozen=True, eq=False)
class SeriesReady:
    """A series can be worked on. Comes again, with a higher ``revision``, when late slices came.

    Attributes
    ----------
    objects
        The slices, in the order received.
    stack
        How they make a volume; its ``order`` counts in ``objects``. None when they make none.
    reason
        Why it is provisional or refused; None when it is final.
    """

    series_uid: str
    objects: tuple[SeriesObject, ...]
    stack: Stack | None
    completeness: Completeness
    evidence: Evidence
    reason: Reason | None
    last_received_at: datetime
    revision: int


@dataclass(frozen=True)
class ObjectReady:
    """An object that is no slice of a volume came: a structure set, a localizer, a dose page."""

    kind: ObjectKind
    object: SeriesObject
    received_at: datetime


AssemblerOutput = SeriesProgress | SeriesReady | ObjectReady


@dataclass(eq=False)
class _Series:
    uid: str
    expected: int | None
    last_received_at: datetime
    state: State = State.OPEN
    objects: dict[str, SeriesObject] = field(default_factory=dict)
    carried: dict[str, set[str]] = field(default_factory=dict)
    """SOP instances that each association which is not over has carried, duplicates too."""
    aborted: bool = False
    """The last association that carried some of it and ended was aborted."""
    revision: int = 0

    @property
    def first(self) -> ObjectHeader:
        return next(iter(self.objects.values())).header

    @property
    def planes(self) -> list[SlicePlane]:
        planes = [item.header.plane for item in self.objects.values()]
        return [plane for plane in planes if plane is not None]


def kind_of(header: ObjectHeader) -> ObjectKind:
    """What an object is to the assembler."""
    if header.sop_class_uid != CT_IMAGE_STORAGE and header.modality != "CT":
        return "stored"
    if header.is_localizer:
        return "localizer"
    if header.number_of_frames > 1:
        return "multi_frame"
    if header.sop_class_uid != CT_IMAGE_STORAGE:
        return "stored"
    if header.plane is None:
        return "no_plane"
    return "lossy" if header.lossy else "slice"


def _belongs_to(header: ObjectHeader) -> tuple[str, str, str | None]:
    return header.patient_id, header.study_instance_uid, header.frame_of_reference_uid


class SeriesAssembler:
    """All series that are coming in. Not for several threads at once.

    Give it everything that came before a moment before telling it that moment by ``tick``.
    """

    def __init__(self, settings: AssemblerSettings | None = None) -> None:
        self._settings = settings or AssemblerSettings()
        self._quiet = timedelta(seconds=self._settings.quiet_s)
        self._open: dict[str, _Series] = {}
        self._closed: dict[str, _Series] = {}
        self._extents = Extents()

    def add(
        self,
        header: ObjectHeader,
        path: Path,
        received_at: datetime,
        association_id: str,
        *,
        conflicting: bool = False,
    ) -> list[AssemblerOutput]:
        """An object was received, or was found in the spool at start.

        The same SOP instance again adds nothing, but counts as carried by its association.
        ``conflicting`` is for one whose UID came with another content before; it never becomes part
        of a volume.
        """
        kind: ObjectKind = "conflict" if conflicting else kind_of(header)
        item = SeriesObject(header, path)
        if kind != "slice":
            return [ObjectReady(kind, item, received_at)]
        uid = header.series_instance_uid
        series = self._open.get(uid) or self._closed.get(uid)
        if series is None:
            series = _Series(uid, self._extents.expected_slices(header), received_at)
            self._open[uid] = series
        if series.objects and _belongs_to(series.first) != _belongs_to(header):
            return [ObjectReady("foreign", item, received_at)]
        series.carried.setdefault(association_id, set()).add(header.sop_instance_uid)
        if header.sop_instance_uid in series.objects:
            if series.state is State.OPEN:
                series.last_received_at = max(series.last_received_at, received_at)
            return []
        if len(series.objects) >= self._settings.maximum_slices:
            return [ObjectReady("stored", item, received_at)]
        series.objects[header.sop_instance_uid] = item
        series.last_received_at = max(series.last_received_at, received_at)
        self._move(series, TRANSITIONS[series.state, Event.SLICE][Verdict.MENDABLE])
        outputs: list[AssemblerOutput] = [SeriesProgress(uid, len(series.objects), series.expected)]
        may_be_filled = series.expected is not None and len(series.objects) >= series.expected
        if may_be_filled and series.revision == 0:  # once, or each slice beyond would start anew
            outputs += self._weigh(series, Event.EXTENT)
        return outputs + self._bound_open()

    def association_ended(
        self, association_id: str, how: Literal["released", "aborted"], at: datetime
    ) -> list[AssemblerOutput]:
        """An association is over, at a time not before what it carried."""
        outputs: list[AssemblerOutput] = []
        for series in [*self._open.values(), *self._closed.values()]:
            carried = series.carried.pop(association_id, None)
            if carried is None or series.state is not State.OPEN:
                continue
            whole = carried >= series.objects.keys()
            series.aborted = how == "aborted"
            if how == "released" and whole:
                outputs += self._weigh(series, Event.RELEASED)
        return outputs + self.tick(at)

    def tick(self, now: datetime) -> list[AssemblerOutput]:
        """Close what has been quiet for long enough."""
        quiet = [s for s in self._open.values() if s.last_received_at + self._quiet <= now]
        return [output for series in quiet for output in self._weigh(series, Event.QUIET)]

    def next_deadline(self) -> datetime | None:
        """When ``tick`` is due next; None while nothing is open."""
        times = [series.last_received_at for series in self._open.values()]
        return min(times) + self._quiet if times else None

    def _bound_open(self) -> list[AssemblerOutput]:
        if len(self._open) <= self._settings.maximum_open:
            return []
        return self._weigh(
            min(self._open.values(), key=lambda series: series.last_received_at), Event.QUIET
        )

    def _weigh(self, series: _Series, event: Event) -> list[AssemblerOutput]:
        """Look at all slices together, and say what follows from the event."""
        stack, reason, verdict = self._judge(series)
        if event is Event.EXTENT and not (stack and self._extents.fills(series.first, stack)):
            return []
        state = TRANSITIONS[series.state, event][verdict]
        if state is State.OPEN:
            return []
        if state is State.FINAL:
            reason = None
        if stack is not None:
            self._extents.remember(series.first, stack, sure=state is State.FINAL)
        self._move(series, state)
        series.revision += 1
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

    def _judge(self, series: _Series) -> tuple[Stack | None, Reason | None, Verdict]:
        try:
            stack = check_stack(series.planes)
        except GeometryError as error:
            mendable = error.code in MENDABLE
            return (
                None,
                Reason(error.code, error.text),
                Verdict.MENDABLE if mendable else Verdict.BROKEN,
            )
        missing = self._extents.missing_slices(series.first, stack)
        if missing:
            text = f"The scan before went on for {missing} slices more in the same place."
            return stack, Reason("shorter_than_predecessor", text), Verdict.SHORT
        if series.aborted:
            text = "The transfer was broken off; slices may be missing at the end."
            return stack, Reason("transfer_aborted", text), Verdict.CUT
        return stack, None, Verdict.VOLUME

    def _move(self, series: _Series, state: State) -> None:
        series.state = state
        self._open.pop(series.uid, None)
        self._closed.pop(series.uid, None)
        if state is State.OPEN:
            self._open[series.uid] = series
            return
        series.aborted = False
        self._closed[series.uid] = series
        while len(self._closed) > self._settings.maximum_remembered:
            del self._closed[next(iter(self._closed))]
