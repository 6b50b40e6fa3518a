"""The listener: where it is reached, by whom, and its start and end."""

import ipaddress
import logging
import re
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, tzinfo
from typing import Final

from dicom_listener.acceptor import Acceptor
from dicom_listener.counters import Counters
from dicom_listener.events import ListenerEvent
from dicom_listener.hosting import CommitmentHandler, Hosting, StepsHandler
from dicom_listener.peers import Peer, Peers
from dicom_listener.server import Door, Server, Visitors, open_door
from dicom_listener.spool import Spool
from dicom_listener.storing import Storing
from dicom_listener.tls import TlsError, TlsSettings, server_context

LOGGER = logging.getLogger(__name__)

_AE_TITLE: Final = re.compile(r"(?! )[\x20-\x5b\x5d-\x7e]{1,16}(?<! )")
"""PS3.5, 6.2, AE; spaces around it are of no meaning."""

_POLL_S = 0.02
_ABORT_S = 0.2
"""What is under way when ``stop_s`` is over gets so long to hear that it is."""


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
    peers
        Who may call.
    calling_ae_titles
        Titles that may call besides, with the bounds below each; one that a peer has is that peer.
    networks
        Networks (``192.0.2.0/24``) that those known by their title alone may call from; empty: any.
        With neither peers nor titles everybody may call from there; all of them share the bounds.
    maximum_associations
        At once; a further one is rejected for now, so that the peer tries again.
    maximum_pdu_bytes
        Announced to peers. 128 KiB is the fastest with dcmtk; larger ones are slower.
    maximum_object_bytes
        Longest data set.
    request_s
        Time from connection to association request, and for a TLS handshake.
    pdu_s
        Time for a PDU from its first byte to its last.
    message_s
        Time for a message from its first fragment to its last, besides that of its bytes at the
        least pace.
    idle_s
        Silence after which an association is aborted.
    stop_s
        How long ``stop`` lets transfers go on.
    zone
        The scanner's time zone, for objects that name none; None is that of this machine.
    tls
        The second port; None: there is none.
    """

    ae_title: str = "ICEMARGIN"
    host: str = "127.0.0.1"
    port: int = 11112
    peers: tuple[Peer, ...] = ()
    calling_ae_titles: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    maximum_associations: int = 25
    maximum_pdu_bytes: int = 131072
    maximum_object_bytes: int = 1 << 30
    request_s: float = 10.0
    pdu_s: float = 10.0
    message_s: float = 300.0
    idle_s: float = 60.0
    stop_s: float = 10.0
    zone: tzinfo | None = None
    tls: TlsSettings | None = None


class Listener:
    """Receives objects into a spool and tells ``sink`` of all that happens.

    ``sink`` is called from the listener's threads. What it is told before a peer is answered must
    be durable when it returns; when it raises OSError, the peer is told that it failed. The events
    of one association come in order, its end last.

    Parameters
    ----------
    steps_handler, commitment_handler
        Who answers those services; without one the service is not offered.
    """

    def __init__(
        self,
        settings: ListenerSettings,
        spool: Spool,
        sink: Callable[[ListenerEvent], None],
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        steps_handler: StepsHandler | None = None,
        commitment_handler: CommitmentHandler | None = None,
    ) -> None:
        self.settings = settings
        self.counters = Counters()
        self._spool = spool
        self._sink = sink
        self._now = now
        self._steps_handler = steps_handler
        self._commitment_handler = commitment_handler
        self._hosting: Hosting | None = None
        self._server: Server | None = None

    @property
    def port(self) -> int:
        """The port without TLS.

        Raises
        ------
        ListenerError
            When it is not started, or there is none.
        """
        return self._port(secure=False)

    @property
    def tls_port(self) -> int:
        """The port with TLS.

        Raises
        ------
        ListenerError
            When it is not started, or there is none.
        """
        return self._port(secure=True)

    def _port(self, *, secure: bool) -> int:
        for door in self._server.doors if self._server else ():
            if (door.tls is not None) == secure:
                return door.port
        raise ListenerError("The listener is not started, or has no such port.")

    @property
    def is_running(self) -> bool:
        """Whether connections are being accepted."""
        return self._server is not None and self._server.is_alive

    def start(
        self, plain: socket.socket | None = None, secure: socket.socket | None = None
    ) -> None:
        """Listen, in threads of its own.

        Parameters
        ----------
        plain, secure
            Bound sockets to listen on; without one it is bound as the settings say. They stay open
            after ``stop``, so that connections wait there for the next one that listens.

        Raises
        ------
        ListenerError
            When an address is taken or not ours, or a setting can't be used.
        """
        if self._server is not None:
            raise ListenerError("The listener is started already.")
        peers = self._peers()
        doors = self._doors(plain, secure)
        settings = self.settings
        hosting = Hosting(
            settings.ae_title,
            peers,
            Storing(self._spool, self._sink, self.counters, self._now, settings.zone),
            self._spool.receive,
            self._sink,
            self.counters,
            self._now,
            steps_handler=self._steps_handler,
            commitment_handler=self._commitment_handler,
        )
        visitors = Visitors(
            may_connect=peers.may_connect,
            connected=lambda: self.counters.add(connections=1),
            refused=hosting.turned_away,
            crowded_out=lambda: self.counters.add(connections_crowded_out=1),
            accept=lambda wire, address, tls: Acceptor(
                wire,
                address,
                hosting,
                request_s=settings.request_s,
                message_s=settings.message_s,
                tls=tls,
            ),
        )
        server = hosting.server = Server(doors, visitors, settings.pdu_s)
        try:
            server.start()
        except OSError as error:
            server.close()
            raise ListenerError(f"Can't listen: {error.strerror}.") from error
        self._hosting, self._server = hosting, server
        for door in doors:
            how = " by TLS" if door.tls else ""
            LOGGER.info("Listening as %s on port %d%s", settings.ae_title, door.port, how)

    def stop(self) -> None:
        """Accept nothing more, let transfers end for up to ``stop_s``, then end them."""
        server, hosting = self._server, self._hosting
        if server is None or hosting is None:
            return
        until = time.monotonic() + self.settings.stop_s
        hosting.is_closing = True
        server.stop()
        while self.counters.read().open_associations and time.monotonic() < until:
            time.sleep(_POLL_S)
        server.end_all(_ABORT_S)
        self._server = self._hosting = None

    def _peers(self) -> Peers:
        settings = self.settings
        for title in (settings.ae_title, *settings.calling_ae_titles):
            if _AE_TITLE.fullmatch(title) is None:
                raise ListenerError(f"A DICOM setting can't be used: {title!r} is no AE title.")
        try:
            networks = tuple(ipaddress.ip_network(network) for network in settings.networks)
            everybody = Peer(
                name="",
                ae_title="",
                networks=networks,
                maximum_associations=settings.maximum_associations,
                maximum_object_bytes=settings.maximum_object_bytes,
                maximum_pdu_bytes=settings.maximum_pdu_bytes,
                idle_s=settings.idle_s,
            )
            taken = {peer.ae_title for peer in settings.peers}
            by_title = [
                replace(everybody, name=title, ae_title=title)
                for title in settings.calling_ae_titles
                if title not in taken
            ]
            return Peers([*settings.peers, *by_title], everybody)
        except ValueError as error:
            raise ListenerError(f"A DICOM setting can't be used: {error}") from error

    def _doors(self, plain: socket.socket | None, secure: socket.socket | None) -> list[Door]:
        settings, tls = self.settings, self.settings.tls
        wanted: list[tuple[str, int, socket.socket | None, ssl.SSLContext | None]] = []
        if tls is None or not tls.only:
            wanted.append(("dicom.port", settings.port, plain, None))
        if tls is not None:
            try:
                wanted.append(("tls.port", tls.port, secure, server_context(tls)))
            except TlsError as error:
                raise ListenerError(str(error)) from error
        doors: list[Door] = []
        for key, port, given, context in wanted:
            if given is not None:
                doors.append(Door(given, context, is_ours=False))
                continue
            try:
                doors.append(open_door(settings.host, port, context))
            except OSError as error:
                for door in doors:
                    door.close()
                raise ListenerError(
                    f"Can't listen on {settings.host}:{port}: {error.strerror or error}. "
                    f"Is another service using this port? Choose another dicom.host or {key}."
                ) from error
        return doors
