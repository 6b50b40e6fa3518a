"""The receiving side, put together: spool, ledger and listener. It waits for nothing else of ours.

At its start the ledger is brought to one truth with the spool: an object that is whole in the spool
but is not in the ledger (a crash came between the two) is entered, and an association that a crash
has cut off is entered as aborted. Only the recent part of the ledger is read for that: each earlier
start has seen to what was before it.
"""

import ipaddress
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from socket import socket
from types import TracebackType
from typing import Self

from dicom_listener.commitment import Commitments
from dicom_listener.events import (
    AssociationEnded,
    AssociationOpened,
    AssociationRejected,
    CommitmentReported,
    CommitmentRequested,
    ListenerEvent,
    ObjectRefused,
    ObjectStored,
    StepReported,
)
from dicom_listener.ledger import Ledger, recent
from dicom_listener.listener import Listener, ListenerError, ListenerSettings
from dicom_listener.mpps import PerformedSteps
from dicom_listener.peers import Peer
from dicom_listener.spool import Spool, SpoolInUseError
from dicom_listener.tls import TlsError
from monitor.config import Settings
from monitor.nodes import ourselves, peer_nodes, tls_settings
from monitor.starting import StartError

MEGABYTE = 1_000_000

RECORDS, RECORDS_S = 600, 60.0
"""Of each kind of event that follows from no object that was kept, so many are written down in so
many seconds; the others are only counted."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReceiverStatus:
    """How the receiving side is doing; goes from process to process as plain values.

    Attributes
    ----------
    problem
        Why objects can't be received, as a sentence; None when they can.
    counts
        Of ``dicom_listener.counters``, by name.
    peers
        The same for each peer, by its name.
    """

    problem: str | None = None
    counts: dict[str, float] = field(default_factory=dict)
    peers: dict[str, dict[str, float]] = field(default_factory=dict)


class Receiver:
    """The receiving side: a context manager.

    Parameters
    ----------
    knock
        Called after something was entered into the ledger; must not wait.
    plain, secure
        Bound sockets to listen on; without them they are bound to the configured addresses.

    Raises
    ------
    StartError
        On entering: storage or port can't be used.
    """

    def __init__(
        self,
        settings: Settings,
        knock: Callable[[], None],
        plain: socket | None = None,
        secure: socket | None = None,
    ) -> None:
        self._settings = settings
        self._knock = knock
        self._sockets = (plain, secure)
        self._spared = {kind: _Sparing(RECORDS, RECORDS_S) for kind in _NEEDS_NO_ANSWER}

    def __enter__(self) -> Self:
        settings = self._settings
        storage = settings.storage
        try:
            self.spool = Spool(
                storage.directory, free_floor_bytes=storage.minimum_free_mb * MEGABYTE
            )
        except (OSError, SpoolInUseError) as error:
            raise StartError(f"storage.directory {storage.directory}: {error}") from error
        try:
            self._ledger = Ledger(storage.directory)
            self._commitments = Commitments(
                self.spool,
                self.enter,
                {node.name: node for node in peer_nodes(settings)},
                ourselves(settings),
            )
            steps = PerformedSteps(self.enter)
            self._reconcile(steps)
            self.listener = Listener(
                listener_settings(settings),
                self.spool,
                self.enter,
                steps_handler=steps,
                commitment_handler=self._commitments,
            )
            self.listener.start(*self._sockets)
        except OSError as error:
            self.spool.close()
            raise StartError(f"storage.directory {storage.directory}: {error}") from error
        except (ListenerError, TlsError) as error:
            self._close()
            raise StartError(str(error)) from error
        self._commitments.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Accept nothing more, let transfers end for a while, then end them."""
        self.listener.stop()
        self._commitments.stop()
        self._close()

    def status(self) -> ReceiverStatus:
        """How it is doing."""
        counts = asdict(self.listener.counters.read())
        counts["commitments_pending"] = self._commitments.pending
        peers = self.listener.counters.read_peers()
        return ReceiverStatus(
            self.spool.problem() if self.turns else "The DICOM listener is not running.",
            counts,
            {name: asdict(peer) for name, peer in peers.items()},
        )

    @property
    def turns(self) -> bool:
        """Whether it still takes connections."""
        return self.listener.is_running

    def _close(self) -> None:
        self._ledger.close()
        self.spool.close()

    def enter(self, event: ListenerEvent) -> None:
        """The listener's sink: an event that a peer is answered on is durable after this."""
        if isinstance(event, _NEEDS_NO_ANSWER):
            brought = isinstance(event, AssociationEnded) and event.objects > 0
            if not brought and not self._spared[type(event)].take():
                return
            try:
                self._ledger.append(event, durable=False)
            except OSError:
                logger.exception("Not entered into the ledger: %s", type(event).__name__)
        else:
            self._ledger.append(event)
        self._knock()

    def _reconcile(self, steps: PerformedSteps) -> None:
        start = recent(self._settings.storage.directory, self._settings.storage.replayed_since)
        entered: set[Path] = set()
        open_associations: dict[str, AssociationOpened] = {}
        last_heard: dict[str, datetime] = {}
        reported: list[ListenerEvent] = []
        for event in self._ledger.events(start):
            match event:
                case ObjectStored():
                    entered.add(event.path)
                    last_heard[event.association_id] = event.received_at
                case AssociationOpened():
                    open_associations[event.association_id] = event
                case AssociationEnded():
                    open_associations.pop(event.association_id, None)
                    last_heard.pop(event.association_id, None)
                case StepReported() | CommitmentRequested() | CommitmentReported():
                    reported.append(event)
        steps.restore(reported)
        self._commitments.restore(reported)
        unknown = self.spool.unknown(entered, start.left_out)
        if unknown and start.left_out is not None:
            # Also where files were copied, and are newer than what is written of them.
            events = self._ledger.events()
            entered |= {event.path for event in events if isinstance(event, ObjectStored)}
        for found in self.spool.read(path for path in unknown if path not in entered):
            logger.warning("%s is whole, and was not in the ledger", found.path.name)
            self._ledger.append(
                ObjectStored(found.header, found.path, found.receipt, found.outcome)
            )
        for opened in open_associations.values():
            reason = "The listener was ended by force."
            # Not now: the time without a listener was no silence of the sender.
            at = last_heard.get(opened.association_id, opened.at)
            self._ledger.append(
                AssociationEnded(
                    opened.association_id,
                    opened.calling_ae_title,
                    "aborted",
                    at,
                    reason=reason,
                )
            )


_NEEDS_NO_ANSWER = (AssociationOpened, AssociationRejected, AssociationEnded, ObjectRefused)


class _Sparing:
    """Lets so many pass in so many seconds: a flood must not fill the disk with its record."""

    def __init__(self, count: int, seconds: float) -> None:
        self._passed: deque[float] = deque(maxlen=count)
        self._seconds = seconds

    def take(self) -> bool:
        """Whether one more may pass."""
        now = time.monotonic()
        full = len(self._passed) == self._passed.maxlen
        if full and now - self._passed[0] < self._seconds:
            return False
        self._passed.append(now)
        return True


def listener_settings(settings: Settings) -> ListenerSettings:
    """The listener's part of the configuration.

    Raises
    ------
    ListenerError
        When a peer's bounds can't be.
    """
    dicom = settings.dicom
    longest = dicom.maximum_object_mb * MEGABYTE
    try:
        peers = tuple(
            Peer(
                name=peer.name,
                ae_title=peer.ae_title,
                networks=tuple(ipaddress.ip_network(network) for network in peer.networks),
                tls_required=peer.tls_required,
                certificate_sha256=frozenset(peer.certificate_sha256),
                services=frozenset(peer.services),
                maximum_associations=peer.maximum_associations,
                maximum_object_bytes=(
                    longest if peer.maximum_object_mb is None else peer.maximum_object_mb * MEGABYTE
                ),
                maximum_pdu_bytes=peer.maximum_pdu_kb * 1024,
                idle_s=peer.idle_s,
                rate_bytes_s=peer.rate_mb_s * MEGABYTE,
                host=peer.host,
                port=peer.port,
            )
            for peer in dicom.peers
        )
    except ValueError as error:
        raise ListenerError(f"dicom.peers: {error}") from error
    return ListenerSettings(
        ae_title=dicom.ae_title,
        host=dicom.host,
        port=dicom.port,
        peers=peers,
        calling_ae_titles=tuple(dicom.allowed_calling_ae_titles),
        maximum_associations=dicom.maximum_associations,
        maximum_object_bytes=longest,
        pdu_s=dicom.network_timeout_s,
        tls=tls_settings(settings),
    )
