"""What people and programs ask of the pipeline: each runs on its thread, answered by a future.

A command that changes something is worked out on the pipeline's thread, goes through the journal
and is applied on the pipeline's thread once it is durable; only then it is answered. Nobody waits
meanwhile but who asked. Where it can't be written within ``WRITE_S`` it is answered so and has not
happened. Should the commit itself hang, it is applied when that comes through after all: journal
and service always agree.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Timer
from typing import Any, Generic, TypeVar
from uuid import uuid4

from monitor import messages
from monitor.alerts import AlertBook
from monitor.clock import Clock
from monitor.decisions import CommandError, Decision, ProcedureOpened, What
from monitor.journal_writer import JournalWriter
from monitor.life import UNDER_WAY
from monitor.marking_messages import StructuresVersions
from monitor.pipeline import Pipeline
from monitor.planning_scan import Source
from monitor.planning_source import source_of, versions_of
from monitor.room import id_of
from monitor.versions import Version

WRITE_S = 3.0
"""A person waits no longer than this to hear whether it was written."""

MAX_IN_LINE = 20
"""Commands about one alert, or the phases of one procedure, that may wait for one another."""

T = TypeVar("T")


@dataclass(eq=False)
class _Change(Generic[T]):
    """A command that changes something, on its way.

    Attributes
    ----------
    key
        What it is about; changes with one key are made one after the other.
    base
        What it builds on; when that has changed before it was durable, it is worked out again.
    after
        What is to hold, and whether that is anything new. Raises CommandError when it can't be.
    write
        Begins to make it durable.
    apply
        Lets it hold.
    """

    key: str
    base: Callable[[], object]
    after: Callable[[], tuple[T, bool]]
    write: Callable[[T], "Future[None]"]
    apply: Callable[[T], None]
    answer: "Future[T]" = field(default_factory=Future)
    written: "Future[None] | None" = None

    def __post_init__(self) -> None:
        self.answer.set_running_or_notify_cancel()  # who asked may go; the command stays
        self._timer = Timer(WRITE_S, self._expire)
        self._timer.daemon = True
        self._timer.start()

    def succeed(self, value: T) -> None:
        """It holds."""
        self._timer.cancel()
        with suppress(InvalidStateError):  # answered as not written in time
            self.answer.set_result(value)

    def fail(self, error: BaseException) -> None:
        """It does not hold."""
        self._timer.cancel()
        with suppress(InvalidStateError):
            self.answer.set_exception(error)

    def withdraw(self) -> bool:
        """Whether it is certain that it has not been written, and won't be."""
        return self.written is None or self.written.cancel()

    def _expire(self) -> None:
        outcome = "has not happened" if self.withdraw() else "shows if it is written after all"
        text = f"The journal did not take it within {WRITE_S:.0f} s; it {outcome}."
        self.fail(CommandError("not_written", text))


class Desk:
    """Commands and queries; all methods return at once. Futures raise ``CommandError``."""

    def __init__(self, pipeline: Pipeline, journal: JournalWriter, clock: Clock) -> None:
        self._pipeline = pipeline
        self._room = pipeline.room
        self._journal = journal
        self._clock = clock
        self._lines: dict[str, deque[_Change[Any]]] = {}

    def acknowledge(self, alert_id: str, by: str, note: str | None) -> "Future[messages.Alert]":
        """A person has seen an alert; the same call twice is one acknowledgement."""
        now = self._clock.now()

        def after() -> tuple[messages.Alert, bool]:
            book = self._book(alert_id)
            before = book.get(alert_id)
            assert before is not None
            acknowledged = book.acknowledge(alert_id, by=by, note=note, at=now)
            book.restore(before)
            return acknowledged

        def apply(alert: messages.Alert) -> None:
            self._book(alert_id).restore(alert, alert.value)
            self._pipeline.send(alert)

        return self._enter(
            _Change(
                f"alert {alert_id}",
                base=lambda: self._book(alert_id).get(alert_id),
                after=after,
                write=lambda alert: self._journal.alert(alert, now),
                apply=apply,
            )
        )

    def press_phase(
        self, procedure_id: str, name: messages.PhaseName, since: datetime | None = None
    ) -> "Future[messages.Phase]":
        """The radiographer pressed freeze, thaw or idle; the same again changes nothing.

        ``since`` is when it began, where that was earlier.
        """
        now = self._clock.now()

        def after() -> tuple[messages.Phase, bool]:
            procedure = self._room.by_id(procedure_id)
            if procedure.state not in UNDER_WAY:
                raise CommandError("procedure_closed", "The procedure is closed.")
            phase = procedure.after_press(name, now, since)
            return phase, phase not in procedure.phases.pressed

        def apply(phase: messages.Phase) -> None:
            procedure = self._room.by_id(procedure_id)
            procedure.press(phase)
            self._pipeline.send(phase)
            self._pipeline.advance(procedure)
            self._pipeline.note(procedure)

        return self._enter(
            _Change(
                f"phases {procedure_id}",
                base=lambda: list(self._room.by_id(procedure_id).phases.pressed),
                after=after,
                write=self._journal.phase,
                apply=apply,
            )
        )

    def decide(self, procedure_id: str, by: str, what: What) -> "Future[Decision]":
        """A person has decided something; it is told once it is durable and holds."""
        decision = Decision(
            id=uuid4().hex, procedure_id=procedure_id, at=self._clock.now(), by=by, what=what
        )

        def after() -> tuple[Decision, bool]:
            self._room.check(procedure_id, what)
            return decision, True

        def base() -> int:
            return sum(len(procedure.decisions) for procedure in self._room.procedures())

        def apply(decision: Decision) -> None:
            procedure = self._room.take(decision)
            for changed in self._room.take_changed():
                self._pipeline.note(changed)
            self._pipeline.advance(procedure)
            self._pipeline.note(procedure)

        return self._enter(_Change("decisions", base, after, self._journal.decision, apply))

    def open(
        self, by: str, patient_name: str, patient_id: str, study_instance_uid: str
    ) -> "Future[Decision]":
        """A person takes a patient from the worklist, before the first image."""
        what = ProcedureOpened(
            patient_id=patient_id,
            patient_name=patient_name,
            study_instance_uid=study_instance_uid,
        )
        return self.decide(id_of(patient_id, study_instance_uid), by, what)

    def decisions(self, procedure_id: str) -> "Future[list[Decision]]":
        """What people have decided about a procedure, oldest first."""
        return self._pipeline.call(lambda: list(self._room.by_id(procedure_id).decisions))

    def planning_source(self, procedure_id: str, series_uid: str | None) -> "Future[Source]":
        """The scan that structures are marked on, or the one that is asked for."""
        return self._pipeline.call(lambda: source_of(self._room.by_id(procedure_id), series_uid))

    def versions(self, procedure_id: str) -> "Future[StructuresVersions]":
        """All versions of a procedure's structures."""

        def run() -> StructuresVersions:
            procedure = self._room.by_id(procedure_id)
            return StructuresVersions(versions=versions_of(procedure))

        return self._pipeline.call(run)

    def version(self, procedure_id: str, number: int) -> "Future[Version]":
        """One version of a procedure's structures."""
        return self._pipeline.call(
            lambda: self._room.by_id(procedure_id).drawings.versions.numbered(number)
        )

    def planning_files(self, procedure_id: str) -> "Future[dict[str, Path]]":
        """Files of the planning objects that have come, by SOPInstanceUID."""

        def run() -> dict[str, Path]:
            return self._room.by_id(procedure_id).drawings.files()

        return self._pipeline.call(run)

    def procedures(self) -> "Future[list[messages.Procedure]]":
        """All procedures of this run, newest first."""

        def run() -> list[messages.Procedure]:
            found = [procedure.message() for procedure in self._room.procedures()]
            return sorted(found, key=lambda p: p.opened_at, reverse=True)

        return self._pipeline.call(run)

    def procedure(self, procedure_id: str) -> "Future[messages.Procedure]":
        """One procedure."""
        return self._pipeline.call(lambda: self._room.by_id(procedure_id).message())

    def measurements(self, procedure_id: str) -> "Future[list[messages.Measurement]]":
        """A procedure's measurements, one a series, in the order of acquisition."""
        return self._pipeline.call(lambda: list(self._room.by_id(procedure_id).results))

    def measurement(self, measurement_id: str) -> "Future[messages.Measurement]":
        """The measurement with this id, where it is its series' newest."""

        def run() -> messages.Measurement:
            for procedure in self._room.procedures():
                for measurement in procedure.results:
                    if measurement.id == measurement_id:
                        return measurement
            raise CommandError("no_such_measurement", "There is no such measurement.")

        return self._pipeline.call(run)

    def alerts(self, procedure_id: str) -> "Future[list[messages.Alert]]":
        """A procedure's alerts, oldest first."""
        return self._pipeline.call(
            lambda: list(self._room.alerts[self._room.by_id(procedure_id).id])
        )

    def sources(self, measurement_id: str) -> "Future[tuple[Path, ...]]":
        """Files of the scan that a measurement was made of."""

        def run() -> tuple[Path, ...]:
            for procedure in self._room.procedures():
                for measurement in procedure.results:
                    if measurement.id == measurement_id:
                        return procedure.series[measurement.series_instance_uid].paths
            raise CommandError("no_such_measurement", "There is no such measurement.")

        return self._pipeline.call(run)

    # The way of a change; all but _enter on the pipeline's thread

    def _enter(self, change: _Change[T]) -> "Future[T]":
        def run() -> None:
            line = self._lines.setdefault(change.key, deque())
            if len(line) == MAX_IN_LINE:
                raise CommandError("busy", "Too many ask for the same; try again.")
            line.append(change)
            if len(line) == 1:
                self._begin(change)

        def refused(entered: "Future[None]") -> None:
            error = entered.exception()
            if error is not None:
                change.fail(error)

        self._pipeline.call(run).add_done_callback(refused)
        return change.answer

    def _begin(self, change: _Change[Any]) -> None:
        if change.answer.done():  # it came too late to the head of its line
            self._leave(change)
            return
        try:
            base = change.base()
            after, changed = change.after()
        except CommandError as error:
            change.fail(error)
            self._leave(change)
            return
        if not changed:
            change.succeed(after)
            self._leave(change)
            return
        change.written = change.write(after)
        if change.answer.done():  # time ran out between the two looks
            change.withdraw()
        change.written.add_done_callback(
            lambda written: self._pipeline.tell(
                partial(self._written, change, base, after, written)
            )
        )

    def _written(
        self, change: _Change[Any], base: object, after: Any, written: "Future[None]"
    ) -> None:
        error = None if written.cancelled() else written.exception()
        if error is not None:
            change.fail(CommandError("not_written", f"It has not happened: {error}."))
        elif not written.cancelled():
            if change.base() != base:
                self._begin(change)
                return
            change.apply(after)
            change.succeed(after)
        self._leave(change)

    def _leave(self, change: _Change[Any]) -> None:
        """The next one's turn."""
        line = self._lines[change.key]
        line.popleft()
        if line:
            self._begin(line[0])
        else:
            del self._lines[change.key]

    def _book(self, alert_id: str) -> AlertBook:
        for book in self._room.alerts.values():
            if book.get(alert_id) is not None:
                return book
        raise CommandError("no_such_alert", f"There is no alert {alert_id!r}.")
