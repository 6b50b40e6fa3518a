"""The TCP side of the listener: who may connect, and how many may wait there."""

import contextlib
import logging
import os
import select
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from dicom_listener.acceptor import Acceptor
from dicom_listener.peers import Address, parse_address
from dicom_listener.wire import Wire

LOGGER = logging.getLogger(__name__)

MAXIMUM_WAITING: Final = 64
"""Connections without an association: those that have not asked for one yet, and those that are
over and not closed. Silent ones could otherwise take all threads and file handles."""

BACKLOG: Final = 128
"""Connections that the system keeps for us while we are busy or being started again."""

_AT_ONCE = 16
_EXHAUSTED_S = 0.1
"""How long we leave new connections alone when there are no threads or file handles left."""


@dataclass(frozen=True)
class Door:
    """A listening socket.

    Attributes
    ----------
    tls
        How connections that come here are secured; None: not at all.
    is_ours
        Whether it is closed with the server. One that was handed over stays open in the process
        that handed it over, and keeps connections waiting there until it is served again.
    """

    socket: socket.socket
    tls: ssl.SSLContext | None
    is_ours: bool

    @property
    def port(self) -> int:
        """Its TCP port."""
        return int(self.socket.getsockname()[1])

    def close(self) -> None:
        """Close the socket if it is ours."""
        if self.is_ours:
            self.socket.close()


def open_door(host: str, port: int, tls: ssl.SSLContext | None) -> Door:
    """Bind.

    Raises
    ------
    OSError
        When the address is taken or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Lets a restart take the port over, but not a second service.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except BaseException:
        bound.close()
        raise
    return Door(bound, tls, is_ours=True)


@dataclass(frozen=True)
class Visitors:
    """Calls from the server's thread.

    Attributes
    ----------
    may_connect
        Whether connections from an address are taken at all.
    connected, refused
        A connection was taken; was not.
    crowded_out
        One was closed to make room for others.
    accept
        The thread for a connection, not started.
    """

    may_connect: Callable[[Address], bool]
    connected: Callable[[], None]
    refused: Callable[[Address], None]
    crowded_out: Callable[[], None]
    accept: Callable[[Wire, Address, ssl.SSLContext | None], Acceptor]


class Server:
    """Accepts connections, in a thread of its own, and gives each a thread.

    Nothing that a peer does or fails to do happens in the server's thread.
    """

    def __init__(self, doors: Sequence[Door], visitors: Visitors, pdu_s: float) -> None:
        self.doors = tuple(doors)
        self._visitors = visitors
        self._pdu_s = pdu_s
        self._lock = threading.Lock()
        self._all: set[Acceptor] = set()
        self._waiting: dict[Acceptor, None] = {}
        self._over = False
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._serve, name="dicom-server", daemon=True)

    def start(self) -> None:
        """Begin.

        Raises
        ------
        OSError
            When a socket can't be listened on.
        """
        for door in self.doors:
            door.socket.settimeout(0)  # a peer may be gone before it is accepted
            door.socket.listen(BACKLOG)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether connections are accepted."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Accept nothing more; associations go on."""
        self._over = True
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        self.close()

    def close(self) -> None:
        """Free what it holds; its thread must be over, or never have begun."""
        os.close(self._wake)
        for door in self.doors:
            door.close()

    def end_all(self, patience_s: float) -> None:
        """End every connection that is left; what is under way may come to its end for so long."""
        until = time.monotonic() + patience_s
        for acceptor in self._left():
            acceptor.end()
        for acceptor in self._left():
            with self._lock:
                is_waiting = acceptor in self._waiting
            if not is_waiting:
                acceptor.join(max(0.0, until - time.monotonic()))
            acceptor.wire.hang_up()
        for acceptor in self._left():
            acceptor.join(self._pdu_s)

    def _left(self) -> list[Acceptor]:
        with self._lock:
            return list(self._all)

    # Who waits

    def wait(self, acceptor: Acceptor) -> None:
        """A connection has no association, yet or any more. Another one may have to go for it: the
        oldest of the address that has most."""
        with self._lock:
            self._waiting[acceptor] = None
            if len(self._waiting) <= MAXIMUM_WAITING:
                return
            held = Counter(one.address for one in self._waiting)
            (most, _), *_ = held.most_common(1)
            oldest = next(one for one in self._waiting if one.address == most)
            del self._waiting[oldest]
        LOGGER.debug("Closing a connection from %s: it asks for nothing", oldest.address)
        oldest.wire.hang_up()
        self._visitors.crowded_out()

    def settle(self, acceptor: Acceptor) -> None:
        """A connection has an association."""
        with self._lock:
            self._waiting.pop(acceptor, None)

    def gone(self, acceptor: Acceptor) -> None:
        """A connection is closed."""
        with self._lock:
            self._waiting.pop(acceptor, None)
            self._all.discard(acceptor)

    # The thread

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        doors = {door.socket.fileno(): door for door in self.doors}
        for handle in doors:
            poll.register(handle, select.POLLIN)
        while not self._over:
            for handle, _ in poll.poll():
                if handle in doors:
                    self._open(doors[handle])

    def _open(self, door: Door) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, name = door.socket.accept()
            except BlockingIOError:
                return
            except ConnectionError:
                continue
            except OSError:
                LOGGER.exception("Connections can't be accepted")
                self._rest()
                return
            self._take(connection, parse_address(str(name[0])), door.tls)

    def _take(
        self, connection: socket.socket, address: Address, tls: ssl.SSLContext | None
    ) -> None:
        if not self._visitors.may_connect(address):
            connection.close()
            self._visitors.refused(address)
            return
        with contextlib.ExitStack() as undo:
            undo.callback(connection.close)
            try:
                wire = Wire(connection, self._pdu_s)
                undo.pop_all()
                undo.callback(wire.close)
                acceptor = self._visitors.accept(wire, address, tls)
                with self._lock:
                    self._all.add(acceptor)
                undo.callback(self.gone, acceptor)
                self.wait(acceptor)
                acceptor.start()
            except (OSError, RuntimeError):  # the latter when there can be no further thread
                LOGGER.exception("A connection from %s can't be served", address)
                self._rest()
                return
            undo.pop_all()
        self._visitors.connected()

    def _rest(self) -> None:
        select.select([self._wake], [], [], _EXHAUSTED_S)
