"""What the listener tells of. Each event's docstring says when it is sent.

Events come from the listener's own threads, one thread for each association; the events of one
association are in order. The sink writes them down (``ledger``): what carries an answer to a peer
is durable when it returns; an OSError from it means that it is not, and the peer is told so.
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
class AssociationOpened:
    """An association was accepted.

    Attributes
    ----------
    peer
        Name of the configured peer that the caller was recognized as.
    certificate
        Subject of the caller's TLS certificate; empty where it has shown none.
    """

    association_id: str
    calling_ae_title: str
    peer_address: str
    peer: str
    secure: bool
    certificate: str
    at: datetime


@dataclass(frozen=True)
class AssociationRejected:
    """A connection or an association was not let in. ``reason`` is a sentence."""

    calling_ae_title: str
    called_ae_title: str
    peer_address: str
    reason: str
    at: datetime


@dataclass(frozen=True)
class AssociationEnded:
    """An association is over. Nothing else comes of it after this.

    Attributes
    ----------
    objects, refused
        C-STORE requests answered with Success, and with a failure.
    octets
        Bytes of data sets that were stored.
    seconds
        From its acceptance to its end.
    reason
        Why it was aborted, as far as that is known; empty when it was released.
    """

    association_id: str
    calling_ae_title: str
    how: How
    at: datetime
    objects: int = 0
    refused: int = 0
    octets: int = 0
    seconds: float = 0.0
    reason: str = ""


StepStatus = Literal["IN PROGRESS", "COMPLETED", "DISCONTINUED"]
"""Performed Procedure Step Status (0040,0252) (PS3.3, C.4.14)."""


@dataclass(frozen=True)
class PerformedSeries:
    """One series of a performed procedure step, and the SOP instances that it consists of."""

    series_instance_uid: str
    instance_uids: tuple[str, ...]


@dataclass(frozen=True)
class StepReported:
    """A modality performed procedure step was created or changed. Sent before its answer.

    Attributes
    ----------
    status
        After the change.
    series
        Performed Series Sequence (0040,0340), as it stands after the change.
    """

    step_uid: str
    status: StepStatus
    series: tuple[PerformedSeries, ...]
    association_id: str
    calling_ae_title: str
    at: datetime


@dataclass(frozen=True)
class CommitmentRequested:
    """Storage commitment was asked for (PS3.4, annex J). Sent before the N-ACTION's answer.

    Attributes
    ----------
    instances
        (SOP class UID, SOP instance UID) of each that is asked for.
    """

    transaction_uid: str
    instances: tuple[tuple[str, str], ...]
    association_id: str
    calling_ae_title: str
    peer: str
    at: datetime


@dataclass(frozen=True)
class CommitmentReported:
    """The report on a storage commitment was delivered to the peer, or given up."""

    transaction_uid: str
    delivered: bool
    at: datetime
    peer: str = ""


ListenerEvent = (
    ObjectStored
    | ObjectRefused
    | AssociationOpened
    | AssociationRejected
    | AssociationEnded
    | StepReported
    | CommitmentRequested
    | CommitmentReported
)
