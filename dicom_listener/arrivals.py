"""What has come of one series, and what it makes."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from dicom_listener.assembled import Reason, SeriesObject
from dicom_listener.extents import Extents
from dicom_listener.headers import ObjectHeader
from dicom_listener.lists import Missing, Told
from dicom_listener.transitions import Event, State, Verdict
from segmentation.volume import GeometryError, SlicePlane, Stack, check_stack

MENDABLE: Final = frozenset(("too_few_slices", "missing_slices", "uneven_spacing"))
"""Faults of geometry that slices still under way can mend; the others stay whatever comes."""


@dataclass(eq=False)
class Arrivals:
    """The slices of one series, and the associations that brought them.

    Attributes
    ----------
    expected
        How many slices its predecessor had.
    unjudged_since
        When the first slice came that no judgement knows of.
    look_at
        With so many slices it is looked at again whether they fill the predecessor's extent.
    judged_by, reason
        The last judgement's.
    callers
        Calling AE titles that have brought some of it.
    carried
        SOP instances that each association which is not over has carried, duplicates too.
    last_association
        The one that carried its latest object.
    cut
        That association was aborted.
    filled
        The predecessor's extent was filled.
    overflowed
        It has more slices than are taken.
    """

    uid: str
    expected: int | None
    last_received_at: datetime
    unjudged_since: datetime
    look_at: int
    state: State = State.OPEN
    judged_by: Event | None = None
    reason: Reason | None = None
    objects: dict[str, SeriesObject] = field(default_factory=dict)
    slices: int = 0
    callers: set[str] = field(default_factory=set)
    carried: dict[str, set[str]] = field(default_factory=dict)
    last_association: str = ""
    cut: bool = False
    filled: bool = False
    overflowed: bool = False
    revision: int = 0

    @property
    def first(self) -> ObjectHeader:
        """Header of the slice that came first."""
        return next(iter(self.objects.values())).header

    @property
    def planes(self) -> list[SlicePlane]:
        """Of all frames, in the order received."""
        return [plane for item in self.objects.values() for plane in item.header.planes]

    def take(self, item: SeriesObject) -> None:
        """Add a slice."""
        self.objects[item.header.sop_instance_uid] = item
        self.slices += len(item.header.planes)

    def heard(self, association_id: str, instance_uid: str, at: datetime) -> None:
        """An association brought a slice, perhaps again."""
        self.carried.setdefault(association_id, set()).add(instance_uid)
        if at >= self.last_received_at:
            self.last_received_at = at
            self.last_association, self.cut = association_id, False


@dataclass(frozen=True, eq=False)
class Judgement:
    """What the slices make, why it is less than a volume, and how that is to be taken."""

    stack: Stack | None
    reason: Reason | None
    verdict: Verdict


def judge(series: Arrivals, told: Told, extents: Extents) -> Judgement:
    """Look at all slices of a series together, and at what is known of it besides."""
    if series.overflowed:
        text = f"The series has more than the {series.slices} slices that are taken."
        return Judgement(None, Reason("too_many_slices", text), Verdict.BROKEN)
    stack: Stack | None = None
    reason: Reason | None = None
    verdict = Verdict.VOLUME
    try:
        stack = check_stack(series.planes)
    except GeometryError as error:
        reason = Reason(error.code, error.text)
        verdict = Verdict.MENDABLE if error.code in MENDABLE else Verdict.BROKEN
    if verdict is Verdict.BROKEN:
        return Judgement(stack, reason, verdict)
    if told.missing is not None:
        return Judgement(stack, _awaited(told.missing), Verdict.AWAITED)
    if stack is None:
        return Judgement(stack, reason, verdict)
    if told.unmeasured is not None:
        return Judgement(stack, _unmeasured(told.unmeasured), Verdict.UNMEASURED)
    if told.discontinued and told.complete != "mpps":
        reason = Reason("discontinued", "The examination was discontinued.")
        return Judgement(stack, reason, Verdict.DISCONTINUED)
    missing = extents.missing_slices(series.first, stack)
    if missing:
        text = f"The scan before went on for {missing} slices more in the same place."
        return Judgement(stack, Reason("shorter_than_predecessor", text), Verdict.SHORT)
    if series.cut:
        text = "The transfer was broken off; slices may be missing at the end."
        return Judgement(stack, Reason("transfer_aborted", text), Verdict.CUT)
    return Judgement(stack, None, Verdict.VOLUME)


def belongs_to(header: ObjectHeader) -> tuple[str, str, str | None]:
    """What all slices of a series have in common."""
    return header.patient_id, header.study_instance_uid, header.frame_of_reference_uid


def _awaited(missing: Missing) -> Reason:
    are = "is" if missing.count == 1 else "are"
    text = f"{missing.count} of the {missing.listed} images that the scanner lists {are} missing"
    text += "." if missing.evidence == "mpps" else ", and may belong to this series."
    return Reason("listed_images_missing", text)


def _unmeasured(missing: Missing) -> Reason:
    of = f"{missing.count} of the {missing.listed} images that the scanner lists"
    return Reason("listed_images_unmeasured", f"{of} came in a form that is not measured.")
