"""The service's first process: it binds the ports, and keeps two processes going.

One receives, one measures and shows; neither can hold up the other, and the death of one is no more
than a pause of a second or two. The sockets belong to this process, so that connections made in
that pause wait instead of being refused. It does nothing else, so that there is little to break.
"""

import logging
import multiprocessing
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Final

from monitor import children
from monitor.children import Told
from monitor.config import Settings
from monitor.link import BEAT_S, send_if_there_is_room
from monitor.nodes import tls_settings
from monitor.receiver import ReceiverStatus
from monitor.starting import StartError, bound_socket
from monitor.web import address_of

STUCK_S: Final = 10.0
"""A process that has not said for so long that it is alive is ended and started again."""

START_S: Final = 60.0
"""A process that is not up after so long is ended and started again."""

END_S: Final = 40.0
"""Time for a process to end by itself: transfers may go on for 10 s, an analysis for 30 s."""

KILLED_S: Final = 2.0

OFTEN: Final = 5
OFTEN_S: Final = 60.0
PAUSE_S: Final = 1.0
"""A process that ended more than ``OFTEN`` times in ``OFTEN_S`` is started again after a pause."""

_SPAWN = multiprocessing.get_context("spawn")

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Child:
    """One of the processes.

    Attributes
    ----------
    run, arguments
        What it runs, after its end of the connection.
    heard_at
        When it has last said that it is alive, on the monotonic clock; when it was started, before.
    status
        What it has last said along with that.
    restarts
        How often it was started again.
    """

    name: str
    run: Callable[..., None]
    arguments: tuple[Any, ...]
    process: SpawnProcess | None = None
    connection: Connection | None = None
    up: bool = False
    heard_at: float = 0.0
    status: Any = None
    restarts: int = 0
    ends: deque[float] = field(default_factory=lambda: deque(maxlen=OFTEN + 1))
    failure: str | None = None

    def start(self) -> None:
        """Start its process."""
        ours, theirs = _SPAWN.Pipe()
        process = _SPAWN.Process(
            target=self.run, args=(theirs, *self.arguments), name=f"icemargin {self.name}"
        )
        process.start()
        theirs.close()
        self.process, self.connection = process, ours
        self.up, self.failure, self.status = False, None, None
        self.heard_at = time.monotonic()
        logger.info("The %s is process %d", self.name, process.pid)

    def listen(self) -> None:
        """Take in what it has said."""
        assert self.connection is not None
        try:
            while self.connection.poll():
                kind, value = self.connection.recv()
                self.heard_at = time.monotonic()
                if kind == "up":
                    self.up = True
                elif kind == "failed":
                    self.failure = value
                else:
                    self.status = value
        except (EOFError, OSError):
            logger.debug("The %s is gone", self.name)

    def tell(self, message: Any) -> None:
        """Say something to it, if it listens."""
        if self.connection is None:
            return
        try:
            send_if_there_is_room(self.connection, message)
        except OSError:
            logger.debug("The %s is gone", self.name)

    @property
    def alive(self) -> bool:
        """Whether its process is there."""
        return self.process is not None and self.process.is_alive()

    @property
    def sources(self) -> list[Any]:
        """What to wait for: something said, or its end."""
        assert self.process is not None
        return [self.connection, self.process.sentinel]

    @property
    def stuck(self) -> bool:
        """Whether it has not been heard for too long."""
        return time.monotonic() - self.heard_at > (STUCK_S if self.up else START_S)

    def kill(self) -> None:
        """End it by force; one that the system does not let go of yet is not waited for."""
        if self.process is not None:
            self.process.kill()
            self.process.join(KILLED_S)

    def clear(self) -> None:
        """Forget a process that has ended."""
        assert self.process is not None
        assert self.connection is not None
        self.process.join()
        self.process.close()
        self.connection.close()
        self.process = self.connection = None
        self.ends.append(time.monotonic())

    @property
    def rests(self) -> bool:
        """Whether it has ended too often lately to be started again at once."""
        often = len(self.ends) > OFTEN and self.ends[-1] - self.ends[0] < OFTEN_S
        return often and time.monotonic() - self.ends[-1] < PAUSE_S


class Supervisor:
    """Keeps the processes going until told to end.

    Parameters
    ----------
    plain, secure
        Listening sockets for DICOM without and with TLS; None where there is none.
    page
        Listening socket for HTTP.
    """

    def __init__(
        self,
        settings: Settings,
        plain: socket.socket | None,
        secure: socket.socket | None,
        page: socket.socket,
    ) -> None:
        self._bells = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._receiving = Child(
            "listener", children.receive, (settings, plain, secure, self._bells[0])
        )
        self._measuring = Child("monitor", children.measure, (settings, page, self._bells[1]))
        self._told_to_end = False
        self._tell_at = 0.0

    def start(self) -> None:
        """Start both processes, and wait until they are up.

        Raises
        ------
        StartError
            One of them can't start.
        """
        for child in (self._receiving, self._measuring):
            if self._told_to_end:
                return
            child.start()
            while not (child.up or self._told_to_end):
                self._turn()
                if child.failure is not None:
                    raise StartError(child.failure)
                if (not child.alive or child.stuck) and not self._told_to_end:
                    raise StartError(f"The {child.name} ended in its start; see above.")

    def run(self) -> None:
        """Keep them going until ``end`` is called."""
        while not self._told_to_end:
            self._turn()
            for child in (self._receiving, self._measuring):
                self._look_after(child)

    def end(self) -> None:
        """Let ``run`` come to its end; may be called by a signal's handler."""
        self._told_to_end = True

    def close(self) -> None:
        """End the processes, the receiving one first: the other one then finishes what is there."""
        for child in (self._receiving, self._measuring):
            deadline = time.monotonic() + END_S
            while child.alive and not child.stuck and time.monotonic() < deadline:
                child.tell("end")
                self._turn()
            if child.alive:
                logger.error("The %s does not end; it is ended by force", child.name)
            child.kill()
        for bell in self._bells:
            bell.close()

    def _turn(self) -> None:
        """Wait a little for news, take them in, pass them on."""
        there = [c for c in (self._receiving, self._measuring) if c.process is not None]
        # What has ended would end the wait at once; it is looked after by the caller.
        ends = [c.process.sentinel for c in there if c.process is not None and c.alive]
        wait(
            [*(c.connection for c in there if c.connection is not None and c.alive), *ends], BEAT_S
        )
        for child in there:
            child.listen()
        if time.monotonic() >= self._tell_at:
            self._tell_at = time.monotonic() + BEAT_S
            self._measuring.tell(Told(self._receiver_status(), self.restarts))

    def _receiver_status(self) -> ReceiverStatus | None:
        """What it has last said, where that is news."""
        heard_s = time.monotonic() - self._receiving.heard_at
        status = self._receiving.status
        news = self._receiving.alive and heard_s < 2 * BEAT_S
        return status if news and isinstance(status, ReceiverStatus) else None

    @property
    def restarts(self) -> dict[str, int]:
        """How often each process was started again."""
        return {child.name: child.restarts for child in (self._receiving, self._measuring)}

    def _look_after(self, child: Child) -> None:
        if child.process is None:
            if not child.rests:
                child.restarts += 1
                try:
                    child.start()
                except OSError:  # no memory, or too many processes: it may be better soon
                    logger.exception("The %s can't be started", child.name)
                    child.ends.append(time.monotonic())
            return
        if child.alive and child.stuck:
            logger.error("The %s is stuck; it is started again", child.name)
            child.kill()
        if not child.alive:
            code = child.process.exitcode
            why = child.failure or f"exit status {code}"
            logger.error("The %s has ended (%s)", child.name, why)
            child.clear()


def serve(settings: Settings) -> None:
    """``icemargin serve``: run until SIGTERM or SIGINT.

    Raises
    ------
    StartError
        A port, the storage or the database can't be used.
    """
    dicom, web = settings.dicom, settings.web
    tls = tls_settings(settings)
    with ExitStack() as stack:
        plain = secure = None
        if tls is None or not tls.only:
            plain = stack.enter_context(bound_socket(dicom.host, dicom.port, "dicom.port"))
        if tls is not None:
            secure = stack.enter_context(bound_socket(dicom.host, tls.port, "tls.port"))
        page = stack.enter_context(bound_socket(web.host, web.port))
        supervisor = Supervisor(settings, plain, secure, page)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: supervisor.end())
        stack.callback(supervisor.close)
        supervisor.start()
        for how, sock in (("", plain), (" over TLS", secure)):
            if sock is not None:
                where = f"{dicom.host}:{sock.getsockname()[1]}"
                logger.info("Listening for DICOM%s as %s on %s", how, dicom.ae_title, where)
        logger.info("The page is at %s", address_of(page))
        supervisor.run()
        logger.info("Ending; what was acknowledged is kept")
