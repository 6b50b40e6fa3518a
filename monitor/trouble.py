"""What goes wrong on the way in, as alert conditions: refused and contradictory objects, a listener
that can't receive. Owned by the pipeline's thread.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from dicom_listener.events import ObjectRefused, ObjectStored
from monitor.alerts import Finding
from monitor.messages import Condition

QUIET_S = 60.0
"""A condition of single objects ends when none has come for this long."""


@dataclass(frozen=True)
class _Seen:
    at: datetime
    text: str


class Trouble:
    """The latest of each kind.

    Attributes
    ----------
    problem
        Why objects can't be received at this moment, as a sentence; None when they can.
    """

    def __init__(self) -> None:
        self._conflict: _Seen | None = None
        self._refused: _Seen | None = None
        self.problem: Callable[[], str | None] = lambda: None

    def stored(self, stored: ObjectStored, at: datetime) -> None:
        """An object is in the spool."""
        if stored.outcome == "conflicting":
            text = (
                "An image came twice with different content. The first one is used, both are kept."
            )
            self._conflict = _Seen(at, text)

    def refused(self, refused: ObjectRefused, at: datetime) -> None:
        """An object was answered with a failure."""
        sender = refused.receipt.calling_ae_title or "unknown"
        self._refused = _Seen(at, f"An object from {sender} was refused: {refused.text}")

    def findings(self, now: datetime) -> Iterable[Finding]:
        """How things stand."""
        for condition, seen in (
            (Condition.OBJECT_CONFLICT, self._conflict),
            (Condition.OBJECT_REFUSED, self._refused),
        ):
            if seen is not None:
                present = (now - seen.at).total_seconds() < QUIET_S
                yield Finding(condition, present, seen.text)
        problem = self.problem()
        text = f"Scans can't be received: {problem}" if problem else ""
        yield Finding(Condition.RECEIVING_STOPPED, problem is not None, text)
