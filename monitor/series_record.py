"""What is known of one received series."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from dicom_listener.headers import ObjectHeader
from dicom_listener.series import ObjectReady, SeriesReady
from monitor import messages
from monitor.messages import Reason, Role
from monitor.roles import NO_PURPOSE, Purpose, unusable
from monitor.series_facts import SeriesFacts, facts_of


@dataclass(eq=False)
class SeriesRecord:
    """What is known of one series.

    Attributes
    ----------
    ready
        Its slices, once they were judged complete or not.
    other
        Its latest object that is no slice of a volume.
    decided
        The revision that a verdict was given on.
    purpose
        What it is for, as far as that does not hang on the course of the procedure.
    moment
        The phase it was acquired in, and how its time is corrected, as the verdict knew them.
    sender
        Calling AE title of its first object's sender: whose clock it was taken by.
    reopened
        Slices came after it was judged; it is being received until it is judged again.
    """

    uid: str
    description: str
    modality: str
    sender: str = ""
    received: int = 0
    ready: SeriesReady | None = None
    other: ObjectReady | None = None
    role: Role | None = None
    reason: Reason | None = None
    decided: int = -1
    moment: str = ""
    reopened: bool = False
    purpose: Purpose = NO_PURPOSE
    _facts: tuple[SeriesReady | None, ObjectReady | None, SeriesFacts] | None = None

    @property
    def facts(self) -> SeriesFacts:
        """What it tells of itself; worked out anew when it has been judged anew."""
        known = self._facts
        if known is None or known[0] is not self.ready or known[1] is not self.other:
            known = self._facts = (
                self.ready,
                self.other,
                facts_of(self.uid, self.ready, self.other),
            )
        return known[2]

    @property
    def acquired_at(self) -> datetime | None:
        """Latest acquisition time of its objects: what is shown was so at that moment."""
        times = [h.acquired_at for h in self.headers if h.acquired_at]
        return max(times) if times else None

    @property
    def headers(self) -> list[ObjectHeader]:
        """Of its slices, or of its latest other object."""
        if self.ready is not None:
            return [item.header for item in self.ready.objects]
        return [self.other.object.header] if self.other is not None else []

    @property
    def frame_of_reference_uid(self) -> str | None:
        """Of its first object."""
        return self.headers[0].frame_of_reference_uid if self.headers else None

    @property
    def instance_uids(self) -> frozenset[str]:
        """SOPInstanceUIDs of its objects."""
        return frozenset(header.sop_instance_uid for header in self.headers)

    @property
    def last_received_at(self) -> datetime:
        """Real time."""
        source = self.ready.last_received_at if self.ready is not None else None
        if source is None:
            assert self.other is not None
            return self.other.received_at
        return source

    @property
    def revision(self) -> int:
        """Rises with each judgement of its slices."""
        return self.ready.revision if self.ready is not None else 0

    @property
    def order(self) -> datetime:
        """By what series are worked off; receipt where no acquisition time is written."""
        return self.acquired_at or self.last_received_at

    @property
    def paths(self) -> tuple[Path, ...]:
        """Files of the slices."""
        assert self.ready is not None
        return tuple(o.path for o in self.ready.objects)

    @property
    def status(self) -> str:
        """As in ``messages.Series``."""
        if self.ready is not None:
            return "receiving" if self.reopened else self.ready.completeness
        return "stored" if self.other is not None else "receiving"

    def message(self) -> messages.Series:
        """As it goes over the wire."""
        reason = self.reason
        if reason is None and self.ready is not None and self.ready.reason is not None:
            reason = Reason(code=self.ready.reason.code, text=self.ready.reason.text)
        facts = self.facts
        return messages.Series.model_validate(
            {
                "series_instance_uid": self.uid,
                "description": self.description,
                "modality": self.modality,
                "role": self.role,
                "status": self.status,
                "slices": self.received,
                "reason": reason,
                "acquired_at": self.acquired_at,
                "number": facts.number,
                "kernel": facts.kernel,
                "slice_thickness_mm": facts.thickness_mm,
                "slice_spacing_mm": facts.spacing_mm,
                "metal_reduced": facts.metal_reduced,
                "can_be_measured": unusable(facts) is None,
                "chosen_by": self.purpose.by or None,
                "same_acquisition_as": self.purpose.same_acquisition_as or None,
            }
        )
