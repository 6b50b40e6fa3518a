"""The two processes of the service, as the supervisor starts them."""

import contextlib
import logging
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection

from monitor import logs
from monitor.config import Settings
from monitor.link import Link
from monitor.receiver import ReceiverStatus
from monitor.starting import StartError

HANGING_S = 3.0
"""A part of a process that has not turned for so long hangs; the process then stops saying that it
is alive, and the supervisor's patience runs. Both turn at least once a second."""

GATHER_S = 0.01
"""What is entered into the ledger in so short a time is taken together."""

_RING_BYTES = 16

SILENT_S = 5.0
"""The receiving side counts as stopped when nothing was heard of it for so long."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Told:
    """What the supervisor tells the measuring side, every half second.

    Attributes
    ----------
    receiver
        What the receiving side has last said; None when it has not been heard lately.
    restarts
        How often each process was restarted, by name.
    """

    receiver: ReceiverStatus | None = None
    restarts: dict[str, int] = field(default_factory=dict)


class News:
    """The latest that was told; read from any thread."""

    def __init__(self) -> None:
        self._told = Told()
        self._status = ReceiverStatus()
        self._at = time.monotonic()

    def hear(self, told: Told) -> None:
        """Something was told."""
        self._told = told
        if told.receiver is not None:
            self._status, self._at = told.receiver, time.monotonic()

    def receiver_status(self) -> ReceiverStatus:
        """How the receiving side is doing. A pause too short to be noticed is not told."""
        if time.monotonic() - self._at > SILENT_S:
            return replace(self._status, problem="The DICOM listener is being restarted.")
        return self._status

    def restarts(self) -> dict[str, int]:
        """How often each process was restarted."""
        return self._told.restarts


def receive(
    connection: Connection,
    settings: Settings,
    plain: socket.socket | None,
    secure: socket.socket | None,
    bell: socket.socket,
) -> None:
    """The listener's process: receives, and rings ``bell`` after each entry in the ledger."""
    _begin()
    from monitor.receiver import Receiver

    link = Link(connection)
    bell.settimeout(0)

    def ring() -> None:
        try:
            bell.send(b".")
        except OSError:  # full: it rings anyhow; or nobody is there to hear it
            logger.debug("The bell is not heard")

    receiver = Receiver(settings, ring, plain, secure)
    listening = threading.Event()

    def status() -> ReceiverStatus | None:
        if not listening.is_set():  # with a long past its start takes a while
            return ReceiverStatus("The DICOM listener is starting.")
        well = receiver.turns or link.told_to_end.is_set()  # at its end it stands still
        return receiver.status() if well else None

    link.follow(status)
    try:
        with receiver:
            listening.set()
            link.up()
            link.told_to_end.wait()
    except StartError as error:
        link.failed(str(error))


def measure(
    connection: Connection, settings: Settings, page: socket.socket, bell: socket.socket
) -> None:
    """The measuring side's process: follows the ledger, serves page and API."""
    _begin()
    from monitor.service import Service
    from monitor.web import Turning, serve_web

    link = Link(connection)
    news = News()
    turning = Turning()
    try:
        with Service(settings) as service:
            service.receiver_status = news.receiver_status
            service.restarts = news.restarts
            threading.Thread(
                target=_hear, args=(bell, service.pipeline.knock), name="bell", daemon=True
            ).start()

            def status() -> bool | None:
                parts = {"pipeline": service.pipeline.silent_s, "web": turning.silent_s}
                hanging = [f"{n} for {s:.0f} s" for n, s in parts.items() if s > HANGING_S]
                if not hanging or link.told_to_end.is_set():  # at its end they stand still
                    return True
                logger.error("Hanging: %s", ", ".join(hanging))
                return None

            link.follow(status, news.hear)
            serve_web(service.backend(), page, link.up, link.told_to_end, turning, by_signals=False)
    except StartError as error:
        link.failed(str(error))


def _begin() -> None:
    """First thing in each process."""
    logs.set_up()
    for number in (signal.SIGTERM, signal.SIGINT):
        # They go to the whole group, and the supervisor tells each when its turn to end has come.
        # Not SIG_IGN, which the analysis processes would inherit.
        signal.signal(number, lambda *_: None)


def _hear(bell: socket.socket, knock: Callable[[], None]) -> None:
    while bell.recv(_RING_BYTES):
        # To be woken for each slice of a scan would cost more than to take several at once.
        time.sleep(GATHER_S)
        with contextlib.suppress(BlockingIOError):
            while bell.recv(_RING_BYTES, socket.MSG_DONTWAIT):
                pass
        knock()
