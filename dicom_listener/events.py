"""What the listener tells its owner. Each event's docstring says when it is sent.

Events come from the listener's own threads, one thread for each association; the events of one
association are in order. The sink must return at once (put the event into a queue) and must not
raise: while it runs, the sender waits for its answer.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from dicom_listener.headers import HeaderCode, ObjectHeader

Outcome = Literal["new", "identical", "conflicting"]
"""What the spool made of an object: not seen before; seen with the same content; the same SOP
Instance UID came with another content before (the first one stays, this one is kept beside it)."""

How = Literal["released", "aborted"]
"""``aborted`` is any end but a release: abort, broken connection, timeout, a release in the middle
of an object, or the end of the service."""

RefusalCode = (
    HeaderCode
    | Literal["spool_full", "spool_failed", "uid_mismatch", "no_data_set", "wrong_context", "error"]
)


@dataclass(frozen=True)
class Receipt:
    """How an object came in; kept with the object, so that it is known after a restart."""

    received_at: datetime
    association_id: str
    calling_ae_title: str
    peer_address: str


@dataclass(frozen=True)
class ObjectStored:
    """An object is durable. Sent before the peer gets its Success."""

    header: ObjectHeader
    path: Path
    receipt: Receipt
    outcome: Outcome

    @property
    def received_at(self) -> datetime:
        """When the last byte was in."""
        return self.receipt.received_at

    @property
    def association_id(self) -> str:
        """The association it came on."""
        return self.receipt.association_id

    @property
    def calling_ae_title(self) -> str:
        """Who sent it, by its own words."""
        return self.receipt.calling_ae_title

    @property
    def duplicate(self) -> bool:
        """The spool held an object with this SOP Instance UID before."""
        return self.outcome != "new"


@dataclass(frozen=True)
class ObjectRefused:
    """An object was answered with a failure. ``path`` is where its bytes are kept, if they are."""

    code: RefusalCode
    text: str
    status: int
    path: Path | None
    receipt: Receipt


@dataclass(frozen=True)
class AssociationEnded:
    """An association is over. Nothing else comes of it after this."""

    association_id: str
    calling_ae_title: str
    how: How
    at: datetime


ListenerEvent = ObjectStored | ObjectRefused | AssociationEnded
