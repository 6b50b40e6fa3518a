"""A child process's tie to the supervisor: it says that it is alive, and hears when to end.

Neither end ever waits for the other: what finds no room is left out, and comes again soon.
"""

import logging
import os
import select
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

BEAT_S = 0.5
"""How often a child says that it is alive."""

logger = logging.getLogger(__name__)


def send_if_there_is_room(connection: Connection, message: Any) -> None:
    """Send a small message, or leave it out when the other end does not read.

    Raises
    ------
    OSError
        When the other end is gone.
    """
    _, writable, _ = select.select([], [connection], [], 0)
    if writable:
        connection.send(message)


class Link:
    """The child's end.

    Parameters
    ----------
    connection
        To the supervisor.

    Attributes
    ----------
    told_to_end
        Set when the supervisor says so. When it is gone altogether, the process ends at once: a
        child that went on would keep the next service from the folder and the ports.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._thread: threading.Thread | None = None
        self.told_to_end = threading.Event()

    def up(self) -> None:
        """It does its work from now on."""
        self._send(("up", None))

    def failed(self, text: str) -> None:
        """It can't start, and why."""
        self._send(("failed", text))

    def follow(
        self, status: Callable[[], Any | None], heard: Callable[[Any], None] = lambda _: None
    ) -> None:
        """Say in a thread that all is well, and hear what the supervisor has to tell.

        Parameters
        ----------
        status
            What to send along; None when a part of the process is stuck, which is left unsaid, so
            that the supervisor notices.
        heard
            Takes what the supervisor tells.
        """
        self._thread = threading.Thread(
            target=self._follow, args=(status, heard), name="link", daemon=True
        )
        self._thread.start()

    def _follow(self, status: Callable[[], Any | None], heard: Callable[[Any], None]) -> None:
        due = 0.0
        while True:
            try:
                if time.monotonic() >= due:  # what is heard must not make it say more
                    due = time.monotonic() + BEAT_S
                    value = status()
                    if value is not None:
                        self._send(("beat", value))
                if self._connection.poll(max(due - time.monotonic(), 0)):
                    message = self._connection.recv()
                    if message == "end":
                        self.told_to_end.set()
                    else:
                        heard(message)
            except (EOFError, OSError):
                os._exit(1)  # the supervisor is gone
            except Exception:  # a beat that is left out for long enough gets the process restarted
                logger.exception("The link to the supervisor has failed")
                self.told_to_end.wait(BEAT_S)

    def _send(self, message: tuple[str, Any]) -> None:
        with self._sending:
            send_if_there_is_room(self._connection, message)
