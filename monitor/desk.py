"""What people and programs ask of the pipeline: each runs on its thread, answered by a future.

A command that changes something is written to the journal before it is answered; where that fails,
it has not happened.
"""

from concurrent.futures import Future
from pathlib import Path

from monitor import messages
from monitor.clock import Clock
from monitor.journal import Journal, JournalError
from monitor.pipeline import Pipeline
from monitor.room import CommandError


class Desk:
    """Commands and queries; all methods return at once. Futures raise ``CommandError``."""

    def __init__(self, pipeline: Pipeline, journal: Journal, clock: Clock) -> None:
        self._pipeline = pipeline
        self._room = pipeline.room
        self._journal = journal
        self._clock = clock

    def acknowledge(self, alert_id: str, by: str, note: str | None) -> "Future[messages.Alert]":
        """A person has seen an alert; the same call twice is one acknowledgement."""

        def run() -> messages.Alert:
            for book in self._room.alerts.values():
                before = book.get(alert_id)
                if before is None:
                    continue
                now = self._clock.now()
                alert, changed = book.acknowledge(alert_id, by=by, note=note, at=now)
                if changed:
                    try:
                        self._journal.alert(alert, now)
                    except JournalError:
                        book.restore(before)
                        raise
                    self._pipeline.send(alert)
                return alert
            raise CommandError("no_such_alert", f"There is no alert {alert_id!r}.")

        return self._pipeline.call(run)

    def press_phase(self, procedure_id: str, name: messages.PhaseName) -> "Future[messages.Phase]":
        """The radiographer pressed freeze, thaw or idle; the same again changes nothing."""

        def run() -> messages.Phase:
            procedure = self._room.by_id(procedure_id)
            if procedure.state != "open":
                raise CommandError("procedure_closed", "The procedure is closed.")
            known = len(procedure.phases)
            phase = procedure.press(name, self._clock.now())
            if len(procedure.phases) > known:
                try:
                    self._journal.phase(phase)
                except JournalError:
                    procedure.phases.pop()
                    raise
                self._pipeline.send(phase)
                self._pipeline.note(procedure)
            return phase

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
        return self._pipeline.call(lambda: list(self._room.by_id(procedure_id).measurements))

    def alerts(self, procedure_id: str) -> "Future[list[messages.Alert]]":
        """A procedure's alerts, oldest first."""
        return self._pipeline.call(
            lambda: list(self._room.alerts[self._room.by_id(procedure_id).id])
        )

    def sources(self, measurement_id: str) -> "Future[tuple[Path, ...]]":
        """Files of the scan that a measurement was made of."""

        def run() -> tuple[Path, ...]:
            for procedure in self._room.procedures():
                for measurement in procedure.measurements:
                    if measurement.id == measurement_id:
                        return procedure.series[measurement.series_instance_uid].paths
            raise CommandError("no_such_measurement", "There is no such measurement.")

        return self._pipeline.call(run)
