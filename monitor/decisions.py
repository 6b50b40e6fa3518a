"""What people decide in the course of a procedure, as it is journaled and applied.

A decision is checked, made durable, and only then applied, on the pipeline's thread. After a
restart all of a procedure's decisions are applied again, in order, before the first of its objects
is taken in: what one says of a series is kept until the series comes.
"""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from monitor.marking_messages import VersionStructure
from monitor.probe_messages import ProbeRemoved, ProbeRestored
from monitor.wire import Point, Wire


class CommandError(Exception):
    """A command from outside that can't be done; ``code`` and message are for the caller."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ScanReviewed(Wire):
    """A person has looked at a measurement: it may be believed, or it must not be shown.

    ``reason`` says why, for one that is rejected.
    """

    kind: Literal["review"] = "review"
    measurement_id: str
    series_instance_uid: str
    verdict: Literal["approved", "rejected"]
    reason: str = ""


class StructuresSaved(Wire):
    """A person has marked structures on the page and saved them; they are in use from now on.

    ``file`` is the digest of the file that holds their voxels (``monitor.marked``).
    """

    kind: Literal["structures"] = "structures"
    version: int
    series_instance_uid: str
    file: str
    note: str = ""
    structures: list[VersionStructure]


class StructuresUsed(Wire):
    """A person has gone back to an older version of the structures.

    ``key`` stands for its content: the digest of its file, or its SOPInstanceUID.
    """

    kind: Literal["structures_used"] = "structures_used"
    version: int
    key: str


class StructuresDropped(Wire):
    """A person has dropped a planning file on the page; it counts as one that was received.

    ``file`` is the digest of its content (``monitor.dropped``).
    """

    kind: Literal["structures_dropped"] = "structures_dropped"
    file: str
    series_instance_uid: str
    sop_instance_uid: str


class ScanCorrected(Wire):
    """A person has a scan measured in another way; all None: as it is found.

    Attributes
    ----------
    baseline_series_instance_uid
        Another scan that it is to be compared with.
    seed_lps_mm, nudge_mm
        See ``segmentation.correction``.
    """

    kind: Literal["correction"] = "correction"
    series_instance_uid: str
    baseline_series_instance_uid: str | None = None
    seed_lps_mm: Point | None = None
    nudge_mm: Point | None = None
    note: str = ""


class RoleChosen(Wire):
    """What a series is for, by a person; ``role`` null gives it back to the rules."""

    kind: Literal["role"] = "role"
    series_instance_uid: str
    role: Literal["planning", "baseline", "monitoring", "ignored"] | None
    note: str = ""


class ProcedureOpened(Wire):
    """The next procedure, taken from the worklist before its first object has come."""

    kind: Literal["open"] = "open"
    patient_id: str
    patient_name: str
    study_instance_uid: str


class ProcedureClosed(Wire):
    """The procedure is over."""

    kind: Literal["close"] = "close"


class ProcedureReopened(Wire):
    """It was not over."""

    kind: Literal["reopen"] = "reopen"


class PhaseTakenBack(Wire):
    """The last press of a phase was a mistake: it has never been."""

    kind: Literal["phase_taken_back"] = "phase_taken_back"
    pressed_at: AwareDatetime


class PhaseMoved(Wire):
    """The last pressed phase began at another time."""

    kind: Literal["phase_moved"] = "phase_moved"
    pressed_at: AwareDatetime
    since: AwareDatetime


class PhaseOfferDismissed(Wire):
    """What the ice seemed to do has not begun."""

    kind: Literal["phase_offer_dismissed"] = "phase_offer_dismissed"
    offer_id: str


OfLife = ProcedureOpened | ProcedureClosed | ProcedureReopened
"""Decisions about the life of a procedure, which the room takes."""

OfPhases = PhaseTakenBack | PhaseMoved | PhaseOfferDismissed
"""Decisions about phases."""

OfProcedure = (
    ScanReviewed
    | ScanCorrected
    | StructuresSaved
    | StructuresUsed
    | StructuresDropped
    | RoleChosen
    | OfPhases
    | ProbeRemoved
    | ProbeRestored
)
"""Decisions within a procedure, which it takes itself."""

What = Annotated[OfLife | OfProcedure, Field(discriminator="kind")]
"""All there is to decide; one class each."""


class Decision(Wire):
    """Who has decided what, and when."""

    id: str
    procedure_id: str
    at: AwareDatetime
    by: str
    what: What
