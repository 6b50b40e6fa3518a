"""The way of one scan, and no other way.

object received -> made durable, entered into the ledger, acknowledged (``dicom_listener``) -> read
from the ledger -> which procedure -> slice joins its series -> series complete or provisional ->
its role -> [executor] -> measured, or why not -> journal -> alerts -> stream -> display.

All of this from the ledger on runs on one thread, the pipeline's, which owns all state. It follows
the ledger at its own pace, after a restart from some days back, so that nothing between it and the
listener can overflow; a knock only tells it to look at once. The web side puts its commands into
the inbox, the executor and the journal their answers; a command that finds ``INBOX_SIZE`` there is
refused, answers are no more than what was asked.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from pydantic import ValidationError

from dicom_listener import steps
from dicom_listener.events import ListenerEvent
from monitor import findings, messages
from monitor.alerts import Finding
from monitor.analysis import Refused
from monitor.clock import Clock
from monitor.config import Settings
from monitor.decisions import CommandError
from monitor.intake import Intake, time_of
from monitor.jobs import Answered, Jobs, Running
from monitor.journal_writer import JournalWriter
from monitor.life import UNDER_WAY
from monitor.messages import Condition
from monitor.metrics import Metrics
from monitor.procedure import Procedure
from monitor.room import Room
from monitor.steps import Verdict
from monitor.stream import Data
from monitor.trouble import Trouble
from monitor.workers import Workers

INBOX_SIZE = 1000
"""Commands of people and answers of analyses that may wait; a display sends a few a minute."""

TICK_S = 1.0
"""Heartbeat of the stream; three missed ones are NO LIVE DATA on the display."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Command:
    """Something a person asks for; run on the pipeline's thread, answered through the future."""

    run: Callable[[], Any]
    future: "Future[Any]"


class Feed(Protocol):
    """What the listener has done: the ledger, or objects from folders."""

    def read(self) -> list[ListenerEvent]:
        """The next events, in order; none when there are no more by now. Never waits."""


_KNOCK = object()
"""There may be something new in the feed."""

Item = Answered | Command | object


class Pipeline:
    """The service's one thread of state; see the module's docstring.

    Parameters
    ----------
    publish
        Sends a change to the displays; must not wait.
    feed
        Followed from where it begins; what is there by then is history.
    any_patient
        Take every patient and study as a procedure of its own (folders are analysed), instead of
        one procedure at a time with an identity alert (a room).
    left_out
        What the feed has left out happened before; None: it begins at the very start.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        journal: JournalWriter,
        workers: Workers,
        metrics: Metrics,
        feed: Feed,
        *,
        any_patient: bool = False,
        left_out: datetime | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._journal = journal
        self._metrics = metrics
        self._feed = feed
        self._caught_up = False
        self.room = Room(settings, clock, journal, any_patient=any_patient, left_out=left_out)
        self._intake = Intake(settings, clock, self.room, self)
        self._inbox: queue.Queue[Item] = queue.Queue()
        self._knocked = threading.Event()
        self._stopping = threading.Event()
        self._jobs = Jobs(workers, metrics, self.tell, settings.analysis.timeout_s)
        self._progress: messages.ScanProgress | None = None
        self._publish: Callable[[Data], None] = lambda _data: None
        self._shown = self.room.snapshot(self._progress)
        self._beat = time.monotonic()
        self._thread = threading.Thread(target=self._work, name="pipeline", daemon=True)

    # From other threads

    def start(self, publish: Callable[[Data], None]) -> None:
        """Begin working."""
        self._publish = publish
        self._thread.start()

    def stop(self) -> None:
        """Finish what is in the feed and the inbox, and end; running analyses are given up."""
        self._stopping.set()
        self.knock()
        self._thread.join(timeout=30)
        self._intake.close()

    def knock(self) -> None:
        """There may be something new in the feed; from any thread, never waits."""
        if self._knocked.is_set():
            return
        self._knocked.set()
        self._inbox.put(_KNOCK)

    def call(self, run: Callable[[], Any]) -> "Future[Any]":
        """Run something on the pipeline's thread; the future carries its answer."""
        future: Future[Any] = Future()
        if self._inbox.qsize() < INBOX_SIZE:
            self._inbox.put(Command(run, future))
        else:
            future.set_exception(CommandError("busy", "The service is busy; try again."))
        return future

    def tell(self, item: "Answered | Callable[[], Any]") -> None:
        """Hand over what an analysis or the journal has answered; never waits, never refused.

        No bound is needed: there are no more of them than questions under way.
        """
        self._inbox.put(item if isinstance(item, Answered) else Command(item, Future()))

    @property
    def trouble(self) -> Trouble:
        """What goes wrong on the way in."""
        return self._intake.trouble

    def snapshot(self) -> messages.Snapshot:
        """The state as last published; safe on any thread."""
        return self._shown

    @property
    def alive(self) -> bool:
        """Whether the thread has turned round in the last three beats."""
        return self._thread.is_alive() and self.silent_s < 3 * TICK_S

    @property
    def silent_s(self) -> float:
        """Seconds since the thread has last turned round."""
        return time.monotonic() - self._beat

    # The thread

    def _work(self) -> None:
        self._recover()
        next_tick = time.monotonic()
        while not (self._stopping.is_set() and self._inbox.empty() and self._caught_up):
            if time.monotonic() >= next_tick:
                self._guarded(self._tick)
                next_tick = time.monotonic() + TICK_S
            item = self._wait(next_tick)
            if item is not None:
                self._guarded(partial(self._take, item))
            self._follow()
            if self._caught_up:  # else what ends a silence may be among the rest
                self._guarded(partial(self._intake.look, _wall()))

    def _wait(self, next_tick: float) -> Item | None:
        """What is in the inbox; None when it is time for something else."""
        wait_s = next_tick - time.monotonic()
        due = self._intake.next_look
        if due is not None:
            wait_s = min(wait_s, (due - _wall()).total_seconds())
        try:
            return self._inbox.get(timeout=max(wait_s, 0.001))
        except queue.Empty:
            return None

    def _follow(self) -> None:
        """Take in what is new in the feed: a bounded part, so that commands are not held up."""
        self._knocked.clear()
        events = self._read()
        for event in events:
            self._guarded(partial(self._event, event))
        self._caught_up = not events
        if events:
            self.knock()

    def _history(self) -> list[ListenerEvent]:
        """As ``_read``, but what can't be read now is waited for: it would be taken for news."""
        while not self._stopping.is_set():
            self._beat = time.monotonic()
            try:
                return self._feed.read()
            except OSError:
                self._metrics.pipeline_errors.inc()
                logger.exception("The ledger can't be read; it is tried again")
                self._stopping.wait(TICK_S)
        return []

    def _read(self) -> list[ListenerEvent]:
        try:
            return self._feed.read()
        except OSError:
            self._metrics.pipeline_errors.inc()
            logger.exception("The ledger can't be read; it is tried again")
            return []

    def _guarded(self, step: Callable[[], None]) -> None:
        """The thread's outermost edge: whatever one item breaks, the next is taken."""
        self._beat = time.monotonic()
        try:
            step()
        except Exception:
            self._metrics.pipeline_errors.inc()
            logger.exception("A step of the pipeline failed")

    def _take(self, item: Item) -> None:
        match item:
            case Answered():
                self._answered(item)
            case Command():
                self._command(item)

    def _event(self, event: ListenerEvent) -> None:
        steps.reached(steps.Step.TAKEN)
        self._intake.take(event)

    def _tick(self) -> None:
        """Once a second: what happens because time passes, then the heartbeat."""
        for running, refused in self._jobs.end_stuck():
            self._finish(running, refused)
        self._intake.tell_progress()
        self.room.look()
        for changed in self.room.take_changed():
            self.note(changed)
        current = self.room.current
        if current is not None:
            now = self._clock.now()
            overdue_s = self._settings.alerts.scan_overdue_s
            self.consider(current, findings.of_time(current, now, overdue_s))
            self.consider(current, self.room.foreign_finding())
            self.consider(current, self._intake.trouble.findings(now))
        self.send(self._clock.message())

    # Series -> analysis -> journal -> alerts -> stream

    def advance(self, procedure: Procedure) -> None:
        """Give all verdicts that need no analysis; then hand over the next job, one at a time."""
        while not self._jobs.busy(procedure):
            step = procedure.next_step()
            if step is None:
                return
            if isinstance(step, Verdict):
                self._conclude(procedure, step)
            else:
                self._jobs.hand_over(procedure, step)

    def _answered(self, item: Answered) -> None:
        steps.reached(steps.Step.ANALYSED)
        answer = self._jobs.take(item)
        if answer is not None:
            self._finish(item.running, answer)

    def _finish(self, running: Running, answer: Any) -> None:
        procedure = running.procedure
        try:
            verdict = procedure.course.conclude(running.job, answer)
        except ValidationError:  # figures that can't be: none is shown
            self._metrics.analysis_failures.inc()
            logger.exception("An analysis answered what is no measurement")
            refused = Refused("analysis_failed", "The analysis gave figures that can't be.")
            verdict = procedure.course.conclude(running.job, refused)
        seconds = getattr(answer, "seconds", None)
        if seconds is not None:
            self._metrics.stages(seconds)
        if verdict is not None:
            self._conclude(procedure, verdict)
        self.advance(procedure)
        self.note(procedure)

    def _conclude(self, procedure: Procedure, verdict: Verdict) -> None:
        """Journal, alerts, stream. None waits for the journal: the spool holds the scan anyhow."""
        measurement = verdict.measurement
        if verdict.adopted:  # journaled before a restart; a display that was quicker needs it
            self.send(measurement)
            return
        self._metrics.measurements.labels(measurement.role, measurement.assessment).inc()
        self._journal.measurement(measurement, verdict.record.received)
        self.send(measurement)
        warned = self.room.alerts[procedure.id].subjects(Condition.STRUCTURE_NEAR)
        found = findings.of_measurement(measurement, procedure, self._settings.alerts, warned)
        self.consider(procedure, found)

    def consider(self, procedure: Procedure, found: Iterable[Finding]) -> None:
        """Look at alert conditions; what changes is written and sent."""
        book = self.room.alerts[procedure.id]
        for finding in found:
            alert = book.consider(finding, self._clock.now())
            if alert is not None:
                self._keep_alert(alert)

    def _keep_alert(self, alert: messages.Alert) -> None:
        self._metrics.alerts.labels(alert.condition, alert.state).inc()
        self._journal.alert(alert, self._clock.now())
        self.send(alert)

    def note(self, procedure: Procedure) -> None:
        """Write and send a procedure's own state."""
        for retold in procedure.results.take_retold():
            self.send(retold)
        message = procedure.message()
        self._journal.procedure(message)
        self.send(message)

    def send(self, data: Data) -> None:
        """Publish a change, and the state after it."""
        if isinstance(data, messages.ScanProgress):
            self._progress = data
        self._shown = self.room.snapshot(self._progress)
        self._publish(data)

    # After a restart

    def _recover(self) -> None:
        """Take in all that has happened before; nothing of it is news."""
        self._intake.recovering = True
        while events := self._history():
            for event in events:
                # What fell silent then is closed before what came later, as it was then.
                self._guarded(partial(self._intake.look, time_of(event)))
                self._guarded(partial(self._event, event))
        self._guarded(partial(self._intake.look, _wall()))
        self._guarded(partial(self.room.tell_until, None))
        self._intake.recovering = False
        for procedure in self.room.procedures():
            if procedure.state in UNDER_WAY:
                self._guarded(partial(self.advance, procedure))
                self._guarded(partial(self.note, procedure))

    # What people ask for

    def _command(self, command: Command) -> None:
        if not command.future.set_running_or_notify_cancel():
            return
        try:
            command.future.set_result(command.run())
        except CommandError as error:
            command.future.set_exception(error)

    def idle(self) -> "Future[bool]":
        """Whether nothing is under way; for a caller that waits for the end."""
        return self.call(
            lambda: self._jobs.idle and self._caught_up and self._intake.next_look is None
        )


def _wall() -> datetime:
    return datetime.now().astimezone()
