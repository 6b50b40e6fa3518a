"""The receiving side, put together: spool, ledger and listener. It waits for nothing else of ours.

At its start the ledger is brought to one truth with the spool: an object that is whole in the spool
but is not in the ledger (a crash came between the two) is entered, and an association that a crash
has cut off is entered as aborted.
"""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from socket import socket
from types import TracebackType
from typing import Self

from dicom_listener.events import (
    AssociationEnded,
    AssociationOpened,
    AssociationRejected,
    ListenerEvent,
    ObjectRefused,
    ObjectStored,
)
from dicom_listener.ledger import Ledger
from dicom_listener.listener import Listener, ListenerError, ListenerSettings
from dicom_listener.spool import Spool, SpoolInUseError
from monitor.config import Settings
from monitor.starting import StartError

MEGABYTE = 1_000_000

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
    """

    problem: str | None = None
    counts: dict[str, float] = field(default_factory=dict)


class Receiver:
    """The receiving side: a context manager.

    Parameters
    ----------
    knock
        Called after something was entered into the ledger; must not wait.
    plain
        A bound socket to listen on; without it one is bound to the configured address.

    Raises
    ------
    StartError
        On entering: storage or port can't be used.
    """

    def __init__(
        self, settings: Settings, knock: Callable[[], None], plain: socket | None = None
    ) -> None:
        self._settings = settings
        self._knock = knock
        self._plain = plain

    def __enter__(self) -> Self:
        storage = self._settings.storage
        try:
            self.spool = Spool(
                storage.directory, free_floor_bytes=storage.minimum_free_mb * MEGABYTE
            )
        except (OSError, SpoolInUseError) as error:
            raise StartError(f"storage.directory {storage.directory}: {error}") from error
        try:
            self._ledger = Ledger(storage.directory)
            self._reconcile()
            self.listener = Listener(listener_settings(self._settings), self.spool, self._enter)
            self.listener.start(self._plain)
        except OSError as error:
            self.spool.close()
            raise StartError(f"storage.directory {storage.directory}: {error}") from error
        except ListenerError as error:
            self._close()
            raise StartError(str(error)) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Accept nothing more, let transfers end for a while, then end them."""
        self.listener.stop()
        self._close()

    def status(self) -> ReceiverStatus:
        """How it is doing."""
        counts = asdict(self.listener.counters.read())
        if not self.listener.is_running:
            return ReceiverStatus("The DICOM listener is not running.", counts)
        return ReceiverStatus(self.spool.problem(), counts)

    @property
    def turns(self) -> bool:
        """Whether it still takes connections."""
        return self.listener.is_running

    def _close(self) -> None:
        self._ledger.close()
        self.spool.close()

    def _enter(self, event: ListenerEvent) -> None:
        """The listener's sink: an event that a peer is answered on is durable after this."""
        if isinstance(event, _NEEDS_NO_ANSWER):
            try:
                self._ledger.append(event, durable=False)
            except OSError:
                logger.exception("Not entered into the ledger: %s", type(event).__name__)
        else:
            self._ledger.append(event)
        self._knock()

    def _reconcile(self) -> None:
        entered: set[Path] = set()
        open_associations: dict[str, AssociationOpened] = {}
        last_heard: dict[str, datetime] = {}
        for event in self._ledger.events():
            match event:
                case ObjectStored():
                    entered.add(event.path)
                    last_heard[event.association_id] = event.received_at
                case AssociationOpened():
                    open_associations[event.association_id] = event
                case AssociationEnded():
                    open_associations.pop(event.association_id, None)
                    last_heard.pop(event.association_id, None)
        for found in self.spool.scan(entered):
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


def listener_settings(settings: Settings) -> ListenerSettings:
    """The listener's part of the configuration."""
    dicom = settings.dicom
    return ListenerSettings(
        ae_title=dicom.ae_title,
        host=dicom.host,
        port=dicom.port,
        calling_ae_titles=tuple(dicom.allowed_calling_ae_titles),
        maximum_associations=dicom.maximum_associations,
        maximum_object_bytes=dicom.maximum_object_mb * MEGABYTE,
        pdu_s=dicom.network_timeout_s,
    )
