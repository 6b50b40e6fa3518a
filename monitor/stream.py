"""The stream to the displays: one snapshot, then every change, in one numbered sequence.

Published from the pipeline's thread, sent from the event loop. Each client has a bounded queue; one
that can't keep up is disconnected, reconnects and starts from a fresh snapshot, so that it can
never hold up another or show old figures as current ones.
"""

import asyncio
import logging
from collections.abc import Callable
from uuid import uuid4

from pydantic import TypeAdapter

from monitor import messages
from monitor.clock import Clock
from monitor.wire import Wire

CLIENT_QUEUE = 256
"""Messages that may wait for one client: over four minutes of heartbeats. As many may wait for the
event loop; with more it is as if every client were too slow."""

_MESSAGE: TypeAdapter[messages.ServerMessage] = TypeAdapter(messages.ServerMessage)

Data = (
    messages.ScanProgress
    | messages.Measurement
    | messages.Alert
    | messages.Phase
    | messages.Procedure
    | messages.Clock
)

_TYPES: dict[type[Wire], str] = {
    messages.ScanProgress: "scan_progress",
    messages.Measurement: "measurement",
    messages.Alert: "alert",
    messages.Phase: "phase",
    messages.Procedure: "procedure",
    messages.Clock: "heartbeat",
}

logger = logging.getLogger(__name__)


class SlowClient(Exception):  # noqa: N818  it is a reason to end a connection
    """The client's queue is full."""


class Subscription:
    """One client's view of the stream; used on the event loop only."""

    def __init__(self, first: str) -> None:
        self._waiting: asyncio.Queue[str] = asyncio.Queue(CLIENT_QUEUE)
        self._overrun = False
        self._waiting.put_nowait(first)

    async def next(self) -> str:
        """The next message's JSON text.

        Raises
        ------
        SlowClient
            Messages had to be dropped.
        """
        if self._overrun:
            raise SlowClient
        return await self._waiting.get()

    def offer(self, text: str) -> None:
        """Queue a message, or remember that the client is too slow."""
        try:
            self._waiting.put_nowait(text)
        except asyncio.QueueFull:
            self.overrun()

    def overrun(self) -> None:
        """A message for it was dropped."""
        self._overrun = True


class Stream:
    """Fans out messages to the clients of one server run.

    Parameters
    ----------
    snapshot
        Makes the current state, without anything but the pipeline's published values.
    """

    def __init__(self, clock: Clock, snapshot: Callable[[], messages.Snapshot]) -> None:
        self.run = uuid4().hex
        self._clock = clock
        self._snapshot = snapshot
        self._latest = snapshot()
        self._seq = 0
        self._handed_over = 0  # to the loop, counted by the publisher
        self._taken = 0  # by the loop
        self._dropped = False
        self._clients: set[Subscription] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Tell on which loop the clients live; before that, messages change the snapshot only."""
        self._loop = loop

    def detach(self) -> None:
        """The loop is about to end."""
        self._loop = None

    def publish(self, data: Data) -> None:
        """Send a change to all clients; called from the pipeline's thread, never waits."""
        snapshot = self._snapshot()
        loop = self._loop
        if loop is None:
            self._latest = snapshot
            return
        if self._handed_over - self._taken >= CLIENT_QUEUE:
            self._dropped = True
            return
        try:
            loop.call_soon_threadsafe(self._send, data, snapshot, self._dropped)
            self._handed_over += 1
            self._dropped = False
        except RuntimeError:  # the loop was closed between the two lines
            logger.info("The web side has ended; a message stays in the journal only")

    def _send(self, data: Data, snapshot: messages.Snapshot, after_dropped: bool) -> None:  # noqa: FBT001  by the loop
        self._taken += 1
        self._latest = snapshot
        if after_dropped:
            for client in self._clients:
                client.overrun()
        self._seq += 1
        text = self._text(_TYPES[type(data)], data)
        for client in self._clients:
            client.offer(text)

    def subscribe(self) -> Subscription:
        """A new client: its first message is the snapshot; on the event loop."""
        client = Subscription(self._text("snapshot", self._latest_now()))
        self._clients.add(client)
        return client

    def unsubscribe(self, client: Subscription) -> None:
        """The client has gone."""
        self._clients.discard(client)

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._clients)

    def _latest_now(self) -> messages.Snapshot:
        return self._latest.model_copy(update={"clock": self._clock.message()})

    def _text(self, kind: str, data: Wire) -> str:
        message = _MESSAGE.validate_python(
            {
                "seq": self._seq,
                "run": self.run,
                "at": self._clock.now(),
                "type": kind,
                "data": data,
            }
        )
        return _MESSAGE.dump_json(message).decode()
