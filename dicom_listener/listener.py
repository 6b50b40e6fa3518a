"""The storage SCP: C-ECHO and C-STORE, an object being checked and durable before Success."""

import ipaddress
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from socket import socket
from typing import Final

from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_STORE

from dicom_listener.counters import Counters
from dicom_listener.encoded import DatasetError, parse_dataset
from dicom_listener.events import (
    AssociationEnded,
    ListenerEvent,
    ObjectRefused,
    ObjectStored,
    Receipt,
    RefusalCode,
)
from dicom_listener.headers import HEADER_TAGS, HeaderError, ObjectHeader, parse_header
from dicom_listener.server import GuardedServer, ServerHooks
from dicom_listener.spool import Spool, SpoolError
from dicom_listener.syntaxes import VERIFICATION
from dicom_listener.transport import GuardedAssociation, TransportLimits

LOGGER = logging.getLogger(__name__)

SUCCESS: Final = 0x0000

STATUS: Final[dict[RefusalCode, int]] = {
    "spool_full": 0xA700,
    "spool_failed": 0xA700,
    "uid_mismatch": 0xA900,
    "missing_uid": 0xA900,
    "bad_uid": 0xA900,
    "wrong_context": 0xA900,
    "truncated": 0xC001,
    "garbled": 0xC002,
    "too_large": 0xC003,
    "pixel_data_length": 0xC004,
    "unknown_syntax": 0xC005,
    "no_data_set": 0xC006,
    "error": 0xC211,
}
"""C-STORE status of each refusal (PS3.4, table B.2-1): A7xx out of resources, A9xx data set does
not match SOP class, Cxxx cannot understand."""

_POLL_S = 0.02


class ListenerError(Exception):
    """The listener can't start; the text says why, for people."""


@dataclass(frozen=True)
class ListenerSettings:
    """How the listener is reached, by whom, and within which bounds.

    Attributes
    ----------
    ae_title
        Ours: what a peer must call.
    host, port
        Where to listen; port 0 takes a free one.
    calling_ae_titles
        Who may call; empty lets everybody in.
    networks
        Networks (``192.0.2.0/24``) that may connect; empty lets everybody in.
    maximum_associations
        At once; a further one is rejected as transient, so that the peer tries again.
    maximum_pdu_bytes
        Announced to peers. 128 KiB is the fastest with dcmtk; larger ones are slower.
    maximum_object_bytes
        Longest data set.
    request_s
        Time from connection to association request.
    pdu_s
        Time for a PDU from its first byte to its last.
    idle_s
        Silence after which an association is aborted.
    stop_s
        How long ``stop`` lets transfers go on.
    zone
        The scanner's time zone, for objects that name none; None is that of this machine.
    """

    ae_title: str = "ICEMARGIN"
    host: str = "127.0.0.1"
    port: int = 11112
    calling_ae_titles: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    maximum_associations: int = 25
    maximum_pdu_bytes: int = 131072
    maximum_object_bytes: int = 1 << 30
    request_s: float = 10.0
    pdu_s: float = 10.0
    idle_s: float = 60.0
    stop_s: float = 10.0
    zone: tzinfo | None = None


class _RefusalError(Exception):
    """Why an object is not taken in."""

    def __init__(self, code: RefusalCode, text: str) -> None:
        super().__init__(text)
        self.code: RefusalCode = code
        self.text = text


@dataclass
class _Open:
    """Associations that were accepted and are not over."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    associations: dict[str, GuardedAssociation] = field(default_factory=dict)


class Listener:
    """Receives objects into a spool and tells ``sink`` of them.

    ``sink`` is called from the listener's threads, before the peer is answered: it must be quick
    and must not raise. The events of one association come in order, its end last.
    """

    def __init__(
        self,
        settings: ListenerSettings,
        spool: Spool,
        sink: Callable[[ListenerEvent], None],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.settings = settings
        self.counters = Counters()
        self._spool = spool
        self._sink = sink
        self._now = now
        self._open = _Open()
        self._server: GuardedServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port it listens on.

        Raises
        ------
        ListenerError
            When it is not started.
        """
        if self._server is None:
            raise ListenerError("The listener is not started.")
        return int(self._server.server_address[1])

    @property
    def is_running(self) -> bool:
        """Whether connections are being accepted."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, plain: socket | None = None) -> None:
        """Listen, in threads of its own, on a bound socket if one is given.

        Raises
        ------
        ListenerError
            When the address is taken or not ours, or a setting can't be used.
        """
        settings = self.settings
        if self._server is not None:
            raise ListenerError("The listener is started already.")
        try:
            entity = AE(settings.ae_title)
            networks = [ipaddress.ip_network(network) for network in settings.networks]
            entity.require_calling_aet = list(settings.calling_ae_titles)
        except ValueError as error:
            raise ListenerError(f"A DICOM setting can't be used: {error}") from error
        entity.require_called_aet = True
        entity.maximum_pdu_size = settings.maximum_pdu_bytes
        entity.acse_timeout = settings.request_s
        entity.dimse_timeout = settings.idle_s
        entity.network_timeout = settings.idle_s
        # Counted here instead (see _on_requested): pynetdicom counts silent connections too.
        entity.maximum_associations = 1 << 20
        entity.add_supported_context(VERIFICATION)
        try:
            server = GuardedServer(
                entity,
                (settings.host, settings.port),
                settings.ae_title,
                entity.supported_contexts,
                limits=TransportLimits(settings.pdu_s, settings.maximum_object_bytes),
                networks=networks,
                given=plain,
                hooks=ServerHooks(
                    connected=lambda: self.counters.add(connections=1),
                    refused=self._on_refused,
                    ended=self._on_ended,
                ),
                evt_handlers=[
                    (evt.EVT_REQUESTED, self._on_requested),
                    (evt.EVT_REJECTED, self._on_rejected),
                    (evt.EVT_ACCEPTED, self._on_accepted),
                    (evt.EVT_CONN_CLOSE, self._on_closed),
                    (evt.EVT_C_ECHO, self._on_echo),
                    (evt.EVT_C_STORE, self._on_store),
                ],
            )
        except OSError as error:
            raise ListenerError(
                f"Can't listen on {settings.host}:{settings.port}: {error.strerror or error}. "
                "Is another service using this port? Choose another dicom.host or dicom.port."
            ) from error
        entity._servers.append(server)  # noqa: SLF001 - as AE.start_server does
        self._server = server
        self._thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="dicom-listener"
        )
        self._thread.start()
        LOGGER.info("Listening as %s on %s:%d", settings.ae_title, settings.host, self.port)

    def stop(self) -> None:
        """Accept nothing more, let transfers end for up to ``stop_s``, then end them."""
        server, thread = self._server, self._thread
        if server is None or thread is None:
            return
        deadline = time.monotonic() + self.settings.stop_s
        server.shutdown()
        thread.join()
        while self._open_now() and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        for association in self._open_now():
            LOGGER.warning("Ending the transfer from %s", association.calling_ae_title)
            association.abort()
        server.end_all()
        self._server = self._thread = None

    def _open_now(self) -> list[GuardedAssociation]:
        with self._open.lock:
            return list(self._open.associations.values())

    # Handlers. Notifications must not raise: pynetdicom would log that and go on.

    def _on_refused(self, address: str) -> None:
        self.counters.add(connections_refused=1)
        LOGGER.warning("Refused a connection from %s, outside of the allowed networks", address)

    def _on_requested(self, event: evt.Event) -> None:
        association = _guarded(event)
        if self.counters.read().open_associations >= self.settings.maximum_associations:
            LOGGER.warning("Rejected an association: too many at once")
            self._on_rejected(event)
            association.reject_for_now()
            return
        association.negotiate_contexts()

    def _on_rejected(self, event: evt.Event) -> None:
        self.counters.add(associations_rejected=1)
        association = _guarded(event)
        LOGGER.warning(
            "Rejected an association with %r from %s",
            association.calling_ae_title,
            association.peer_address,
        )

    def _on_accepted(self, event: evt.Event) -> None:
        association = _guarded(event)
        association.was_established = True
        with self._open.lock:
            self._open.associations[association.association_id] = association
        self.counters.add(associations=1, open_associations=1)

    def _on_closed(self, event: evt.Event) -> None:
        _guarded(event).connection_closed()

    def _on_ended(self, association: GuardedAssociation) -> None:
        with self._open.lock:
            self._open.associations.pop(association.association_id, None)
        well = association.ended_well
        self.counters.add(
            open_associations=-1,
            associations_released=int(well),
            associations_aborted=int(not well),
        )
        self._sink(
            AssociationEnded(
                association.association_id,
                association.calling_ae_title,
                "released" if well else "aborted",
                self._now(),
            )
        )

    def _on_echo(self, _event: evt.Event) -> int:
        self.counters.add(echoes=1)
        return SUCCESS

    def _on_store(self, event: evt.Event) -> int:
        """Answer one C-STORE. The outermost edge of what an object can break."""
        try:
            return self._store(event)
        except Exception:
            LOGGER.exception("An object could not be handled")
            self.counters.add(handler_errors=1, objects_refused=1)
            return STATUS["error"]

    def _store(self, event: evt.Event) -> int:
        association = _guarded(event)
        request = event.request
        assert isinstance(request, C_STORE)
        receipt = Receipt(
            received_at=self._now(),
            association_id=association.association_id,
            calling_ae_title=association.calling_ae_title,
            peer_address=association.peer_address,
        )
        data = request.DataSet.getbuffer() if request.DataSet else memoryview(b"")
        syntax = str(event.context.transfer_syntax)
        try:
            header = self._check(request, data, str(event.context.abstract_syntax), syntax)
            reception = self._spool.receive()
            reception.write(data)
            stored = self._spool.store(header, reception, receipt)
            reception.close()
        except SpoolError as error:
            # What there is no room for can't be kept in quarantine either.
            return self._refuse(ObjectRefused(error.code, str(error), 0xA700, None, receipt))
        except _RefusalError as refusal:
            path = self._spool.quarantine(
                data,
                receipt,
                code=refusal.code,
                text=refusal.text,
                claims={
                    "sop_class_uid": str(request.AffectedSOPClassUID or ""),
                    "sop_instance_uid": str(request.AffectedSOPInstanceUID or ""),
                    "transfer_syntax_uid": syntax,
                },
            )
            status = STATUS[refusal.code]
            return self._refuse(ObjectRefused(refusal.code, refusal.text, status, path, receipt))
        if stored.outcome == "conflicting":
            LOGGER.warning("%s came again with another content", header.sop_instance_uid)
        self.counters.add(
            objects_stored=int(stored.outcome == "new"),
            objects_identical=int(stored.outcome == "identical"),
            objects_conflicting=int(stored.outcome == "conflicting"),
            bytes_received=len(data),
        )
        self._sink(ObjectStored(header, stored.path, receipt, stored.outcome))
        return SUCCESS

    def _refuse(self, refused: ObjectRefused) -> int:
        LOGGER.warning(
            "Refused an object from %s with status %04X: %s",
            refused.receipt.calling_ae_title,
            refused.status,
            refused.text,
        )
        self.counters.add(objects_refused=1)
        self._sink(refused)
        return refused.status

    def _check(
        self, request: C_STORE, data: memoryview, abstract_syntax: str, syntax: str
    ) -> ObjectHeader:
        """The header of an object that is whole and is what the request says it is."""
        if not data:
            raise _RefusalError("no_data_set", "The request came without a data set.")
        claimed = (str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID))
        if request.AffectedSOPClassUID is None or request.AffectedSOPInstanceUID is None:
            raise _RefusalError("missing_uid", "The request names no SOP class or SOP instance.")
        if claimed[0] != abstract_syntax:
            raise _RefusalError("wrong_context", "The SOP class is not that of its context.")
        try:
            header = parse_header(parse_dataset(data, syntax, HEADER_TAGS), self.settings.zone)
        except (DatasetError, HeaderError) as error:
            raise _RefusalError(error.code, error.text) from error
        if claimed != (header.sop_class_uid, header.sop_instance_uid):
            raise _RefusalError("uid_mismatch", "The UIDs of data set and request differ.")
        return header


def _guarded(event: evt.Event) -> GuardedAssociation:
    assert isinstance(event.assoc, GuardedAssociation)
    return event.assoc
