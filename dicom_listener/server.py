"""The TCP side of the listener: who may connect, and how many may wait there."""

import ipaddress
import logging
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from socket import socket
from typing import Any, cast

from pynetdicom import AE, evt
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AddressInformation, RequestHandler, ThreadedAssociationServer

from dicom_listener.transport import (
    GuardedAssociation,
    GuardedSocket,
    TransportHooks,
    TransportLimits,
)

LOGGER = logging.getLogger(__name__)

MAXIMUM_PENDING_CONNECTIONS = 64
"""Connections that have not asked for an association yet. Silent ones could otherwise take all
threads and file handles; beyond this, the oldest goes."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class ServerHooks:
    """Calls from the server's threads.

    Attributes
    ----------
    connected
        A connection was let in.
    refused
        A connection from this address was not.
    ended
        An association that had been accepted is over.
    """

    connected: Callable[[], None]
    refused: Callable[[str], None]
    ended: Callable[[GuardedAssociation], None]


class GuardedHandler(RequestHandler):
    """Makes the association for one connection."""

    server: "GuardedServer"

    def handle(self) -> None:
        """Start the association's thread."""
        association = self._create_association()
        self.server.admit(association)
        evt.trigger(association, evt.EVT_CONN_OPEN, {"address": self.client_address})
        association.start()

    def _create_association(self) -> GuardedAssociation:
        server = self.server
        association = GuardedAssociation(self.ae, server.limits, server.association_hooks)
        association._server = server  # noqa: SLF001 - as the base class does
        association.name = f"AcceptorThread@{association.association_id}"
        association.set_socket(GuardedSocket(association, self.request, server.limits))
        acceptor = association.acceptor
        acceptor.maximum_length = self.ae.maximum_pdu_size
        acceptor.ae_title = server.ae_title
        acceptor.address_info = self.local
        acceptor.implementation_class_uid = self.ae.implementation_class_uid
        acceptor.implementation_version_name = self.ae.implementation_version_name
        association.requestor.address_info = self.remote
        server.bind_handlers(association)
        return association


class GuardedServer(ThreadedAssociationServer):
    """Accepts connections of the allowed networks, and hands each to its own thread."""

    request_queue_size = 128
    daemon_threads = True

    def __init__(
        self,
        ae: AE,
        address: tuple[str, int],
        ae_title: str,
        contexts: list[PresentationContext],
        *,
        limits: TransportLimits,
        networks: Sequence[Network],
        hooks: ServerHooks,
        given: socket | None = None,
        evt_handlers: list[Any],
        ssl_context: None = None,
    ) -> None:
        self.limits = limits
        self.association_hooks = TransportHooks(settled=self.settle, ended=hooks.ended)
        self._networks = networks
        self._hooks = hooks
        self._given = given
        self._pending: dict[str, GuardedAssociation] = {}
        self._pending_lock = threading.Lock()
        super().__init__(ae, address, ae_title, contexts, ssl_context, evt_handlers, GuardedHandler)

    def _bind_defaults(self) -> None:
        """Only what is needed to answer (fault 7)."""
        for event in evt._INTERVENTION_EVENTS:  # noqa: SLF001 - the base class does the same
            self.bind(event, evt.get_default_handler(event))

    def admit(self, association: GuardedAssociation) -> None:
        """A connection came; the one that has been silent for longest may have to go (fault 11)."""
        with self._pending_lock:
            self._pending[association.association_id] = association
            if len(self._pending) <= MAXIMUM_PENDING_CONNECTIONS:
                return
            oldest = self._pending.pop(next(iter(self._pending)))
        LOGGER.warning("Closing a connection from %s: it asks for nothing", oldest.peer_address)
        oldest.hang_up()

    def settle(self, association: GuardedAssociation) -> None:
        """A connection has asked for an association, or is over."""
        with self._pending_lock:
            self._pending.pop(association.association_id, None)

    def bind_handlers(self, association: GuardedAssociation) -> None:
        """Give an association the server's handlers."""
        for event, handlers in self._handlers.items():
            if isinstance(event, evt.InterventionEvent):
                handler, arguments = cast("tuple[Callable[..., Any], list[Any] | None]", handlers)
                association.bind(event, handler, arguments)
            else:
                for handler, arguments in cast("list[tuple[Any, Any]]", handlers):
                    association.bind(event, handler, arguments)

    def end_all(self) -> None:
        """Close every connection that is left, and wait for its threads."""
        for association in self.active_associations:
            assert isinstance(association, GuardedAssociation)
            association.hang_up()
            association.join(self.limits.pdu_s)

    def verify_request(self, _request: Any, client_address: Any) -> bool:
        """Whether a peer with this address is let in at all."""
        address = ipaddress.ip_address(str(client_address[0]).split("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        if self._networks and not any(address in network for network in self._networks):
            self._hooks.refused(str(address))
            return False
        self._hooks.connected()
        return True

    def server_bind(self) -> None:
        """Bind; SO_REUSEADDR lets a restart take the port over, but not a second service."""
        if self._given is None:
            super().server_bind()
        else:
            self.server_close()
            self.socket = self._given.dup()
            self.server_address = self.socket.getsockname()
        self.address_info = AddressInformation.from_tuple(self.server_address)

    def handle_error(self, _request: Any, client_address: Any) -> None:
        """A connection that failed before it had an association."""
        LOGGER.error("A connection from %s failed: %r", client_address, sys.exc_info()[1])
