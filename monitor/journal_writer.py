"""One thread between the service and the journal, so that nobody waits for a database.

Writes go through in the order in which they came. While the database does not take them they wait
here and are tried again, ever more seldom, until it is back. They may be lost with the process:
what waits can be made anew from the spool, and what a person asked for is answered only after it
is durable.
"""

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Literal

from dicom_listener import steps
from monitor import messages
from monitor.decisions import Decision
from monitor.journal import (
    ANSWER_S,
    Confirm,
    Journal,
    JournalError,
    Past,
    UnwritableError,
    WithdrawnError,
)
from monitor.metrics import Metrics

Kind = Literal["procedure", "measurement", "alert", "phase", "decision"]

MAX_WAITING = 2000
"""Writes that may wait: about 200 scans with all that follows from them, a day's work."""

GIVES_WAY: tuple[Kind, ...] = ("procedure", "measurement", "alert", "phase", "decision")
"""At the bound the oldest write of the first kind here that waits gives way to the new one.

A procedure's state is written again with its next change. A measurement is made anew from the spool
after the next start. An alert is raised anew by its measurement. A phase or a decision is a
person's of the last seconds: it is answered as not written, and has not happened."""

FIRST_RETRY_S, LONGEST_RETRY_S = 0.1, 5.0
"""Pause after a try that failed; doubled each time."""

UNWRITABLE_TRIES = 3
"""A write that the database refuses for its values is given up after so many tries."""

CHECK_S = 5.0
"""How often a journal that nobody writes to is asked whether it could be written."""

SLOW_S = 3.0
"""Waiting longer than this for the database is told."""

START_S = 5.0
"""How long the service's start waits for the past to be read."""

DRAIN_S = 5.0
"""How long the service's end waits for what is not written yet."""

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class _Write:
    """One call to the journal, and who waits for it.

    ``done`` is pending until the moment of the commit; up to then it can be cancelled, and nothing
    has happened. From then on it is running, until it is known how the commit ended.
    """

    kind: Kind
    run: Callable[[Confirm], None]
    done: "Future[None]" = field(default_factory=Future)
    since: float = field(default_factory=time.monotonic)
    tries: int = 0

    def claim(self) -> bool:
        """Whether it is still wanted; from here on it can't be cancelled."""
        return self.done.running() or self.done.set_running_or_notify_cancel()

    def fail(self, why: JournalError) -> None:
        """It is not written, and won't be."""
        if self.claim():
            self.done.set_exception(why)


class JournalWriter:
    """The journal of a running service. No call waits, but for the start and ``close``.

    At the start it waits ``START_S`` at most for the past; a service whose database is away then
    begins without, and says so.

    Raises
    ------
    JournalError
        The address is none, or the file can't be opened.
    """

    def __init__(self, url: str, metrics: Metrics) -> None:
        self._journal = Journal(url)
        self._metrics = metrics
        self._waiting: deque[_Write] = deque()
        self._current: _Write | None = None
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._close_by = math.inf
        self._past: Past | None = None
        self._past_missed = False
        self._error: JournalError | None = None
        self._busy_since: float | None = None
        metrics.journal_waiting.set_function(lambda: self.waiting)
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._past is not None, START_S)

    def close(self) -> None:
        """Write what waits, for ``DRAIN_S`` at most, and release the database."""
        with self._changed:
            self._close_by = time.monotonic() + DRAIN_S
            self._closing.set()
            self._changed.notify()
        self._thread.join(DRAIN_S + ANSWER_S)
        if self._thread.is_alive():
            logger.error("The database does not answer; %d changes are not written", self.waiting)
        else:
            self._journal.close()

    # Writes, from any thread

    def procedure(self, procedure: messages.Procedure) -> "Future[None]":
        """Write a procedure, new or changed."""
        return self._put("procedure", lambda confirm: self._journal.procedure(procedure, confirm))

    def measurement(self, measurement: messages.Measurement, slices: int) -> "Future[None]":
        """Append a measurement; ``slices`` is how many the series had then."""
        return self._put(
            "measurement", lambda confirm: self._journal.measurement(measurement, slices, confirm)
        )

    def alert(self, alert: messages.Alert, at: datetime) -> "Future[None]":
        """Write an alert's new state and the event of its change."""
        return self._put("alert", lambda confirm: self._journal.alert(alert, at, confirm))

    def phase(self, phase: messages.Phase) -> "Future[None]":
        """Append a pressed phase."""
        return self._put("phase", lambda confirm: self._journal.phase(phase, confirm))

    def decision(self, decision: Decision) -> "Future[None]":
        """Append what a person has decided."""
        return self._put("decision", lambda confirm: self._journal.decision(decision, confirm))

    # What the journal held at start, from memory

    def procedures(self) -> list[dict[str, str]]:
        """See ``Past``; JournalError where it could not be read yet. So with all that follow."""
        return self._known().procedures()

    def measurements(self, procedure_id: str) -> list[tuple[messages.Measurement, int]]:
        """See ``Past``."""
        return self._known().measurements(procedure_id)

    def alerts(self, procedure_id: str) -> list[messages.Alert]:
        """See ``Past``."""
        return self._known().alerts(procedure_id)

    def values_when_acknowledged(self, procedure_id: str) -> dict[str, float]:
        """See ``Past``."""
        return self._known().values_when_acknowledged(procedure_id)

    def phases(self, procedure_id: str) -> list[messages.Phase]:
        """See ``Past``."""
        return self._known().phases(procedure_id)

    def decisions(self, procedure_id: str) -> list[Decision]:
        """See ``Past``."""
        return self._known().decisions(procedure_id)

    def all_decisions(self) -> list[Decision]:
        """See ``Past``."""
        return self._known().all_decisions()

    def _known(self) -> Past:
        past = self._past
        if past is None:
            self._past_missed = True
            raise JournalError("the journal's past could not be read")
        return past

    # How things stand

    @property
    def waiting(self) -> int:
        """Writes that are not durable yet."""
        with self._changed:
            return len(self._waiting) + (self._current is not None)

    def problem(self) -> str | None:
        """What is wrong with the journal, as a sentence; None when it is as it should be."""
        with self._changed:
            oldest = self._current or (self._waiting[0] if self._waiting else None)
            count = len(self._waiting) + (self._current is not None)
            error, busy_since = self._error, self._busy_since
        now = time.monotonic()
        why = f" ({error})" if error is not None else ""
        if oldest is not None and now - oldest.since > SLOW_S:
            waited_s = now - oldest.since
            return f"{count} changes wait to be journaled, since {waited_s:.0f} s{why}."
        if error is not None:
            return f"The journal can't be written{why}."
        if busy_since is not None and now - busy_since > SLOW_S:
            return f"The database has not answered for {now - busy_since:.0f} s."
        if self._past_missed:
            return (
                "The journal could not be read at start: alerts acknowledged and phases pressed "
                "before are not known. Restart the service."
            )
        return None

    # The thread

    def _put(self, kind: Kind, run: Callable[[Confirm], None]) -> "Future[None]":
        write, given_way = _Write(kind, run), None
        with self._changed:
            if len(self._waiting) >= MAX_WAITING:
                given_way = self._give_way()
            self._waiting.append(write)
            self._changed.notify()
        if given_way is not None:
            self._lose(given_way, JournalError("too many changes wait for the database"))
        return write.done

    def _give_way(self) -> _Write:
        oldest = min(self._waiting, key=lambda write: GIVES_WAY.index(write.kind))
        self._waiting.remove(oldest)
        return oldest

    def _lose(self, write: _Write, why: JournalError) -> None:
        self._metrics.journal_lost.labels(write.kind).inc()
        logger.error("A change of kind %s is not journaled: %s", write.kind, why)
        write.fail(why)

    def _work(self) -> None:
        self._persist(self._read)
        while self._take():
            write = self._current
            if write is None:
                self._try(self._journal.check)
            elif not self._persist(partial(self._write, write)):
                self._lose(write, JournalError("the service ended before the database took it"))

    def _take(self) -> bool:
        """The next write becomes the current one, if there is one soon; whether to go on."""
        with self._changed:
            self._current = None
            self._changed.wait_for(lambda: self._waiting or self._closing.is_set(), CHECK_S)
            if self._waiting:
                self._current = self._waiting.popleft()
            return self._current is not None or not self._closing.is_set()

    def _persist(self, step: Callable[[], None]) -> bool:
        """Try until the database takes it; False when the time to close was over first."""
        pause_s = FIRST_RETRY_S
        while time.monotonic() < self._close_by:
            if self._try(step):
                return True
            if self._closing.wait(pause_s):
                time.sleep(FIRST_RETRY_S)
            pause_s = min(2 * pause_s, LONGEST_RETRY_S)
        return False

    def _try(self, step: Callable[[], None]) -> bool:
        """One call to the journal; whether it did what it should."""
        self._busy_since = time.monotonic()
        try:
            step()
        except JournalError as error:
            self._metrics.journal_errors.inc()
            if self._error is None:
                logger.warning("The journal can't be used: %s", error)
            self._error = error
            return False
        finally:
            self._busy_since = None
        if self._error is not None:
            logger.warning("The journal can be used again")
            self._error = None
        return True

    def _read(self) -> None:
        past = self._journal.read()
        with self._changed:
            self._past = past
            self._changed.notify_all()

    def _write(self, write: _Write) -> None:
        if write.done.cancelled():
            return
        try:
            write.run(write.claim)
        except WithdrawnError:
            return
        except UnwritableError as error:
            write.tries += 1
            if write.tries < UNWRITABLE_TRIES:
                raise
            self._lose(write, error)
        except JournalError:
            raise
        except Exception as error:  # the thread's outermost edge: the next write is no worse for it
            logger.exception("A change can't be journaled")
            self._lose(write, JournalError(f"a defect ({error})"))
        else:
            if write.kind == "measurement":
                steps.reached(steps.Step.MEASURED)
            write.done.set_result(None)
