"""Playing a procedure at its own pace, or faster."""

import queue
import threading
import time
from collections.abc import Callable, Iterator

from scanner_sim.procedure import Event

AHEAD = 2
"""Events computed ahead of the one that is due."""

_POLL_S = 0.1


def play(
    events: Iterator[Event],
    speed: float,
    on_event: Callable[[Event], None],
    stop: threading.Event | None = None,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Call ``on_event`` for each event, ``at_s / speed`` seconds after the first was computed.

    Events are computed ahead in a thread of their own. One that comes late is delivered at once,
    and so is every later one that is due: the procedure's clock does not wait.

    Parameters
    ----------
    speed
        1 is real time; ``math.inf`` delivers as fast as events are computed.
    ready
        Called when procedure time begins: the first event is computed, and the rest are under way.
    stop
        Set it from anywhere to end; ``play`` then returns before the next event.

    Raises
    ------
    ValueError
        A speed that is not positive.
    Exception
        Whatever computing an event or ``on_event`` raised.
    """
    if not speed > 0:
        raise ValueError(f"speed must be positive: {speed}")
    ended = stop if stop is not None else threading.Event()
    producer = _Producer(events)
    begin: float | None = None
    try:
        while not ended.is_set():
            try:
                item = producer.ready.get(timeout=_POLL_S)
            except queue.Empty:
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            if begin is None:
                begin = time.monotonic()
                ready()
            wait_s = begin + item.at_s / speed - time.monotonic()
            if wait_s > 0 and ended.wait(wait_s):
                return
            on_event(item)
    finally:
        producer.close()


class _Producer:
    """Computes events ahead in a thread; the last item is None, or what was raised."""

    def __init__(self, events: Iterator[Event]) -> None:
        self.ready: queue.Queue[Event | BaseException | None] = queue.Queue(AHEAD)
        self._events = events
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulated-procedure", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread after the event that it is computing."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            for event in self._events:
                if not self._offer(event):
                    return
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self._offer(error)
            return
        self._offer(None)

    def _offer(self, item: Event | BaseException | None) -> bool:
        """Whether there was room before the end."""
        while not self._closing.is_set():
            try:
                self.ready.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
            return True
        return False
