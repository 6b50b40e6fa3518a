"""From the listener's events to series that can be worked on: object -> procedure -> series.

Owned by the pipeline's thread.
"""

import logging
import time
from collections.abc import Iterable
from datetime import datetime
from typing import Final, Protocol

from dicom_listener import steps
from dicom_listener.assembled import AssemblerOutput, ObjectReady, SeriesProgress, SeriesReady
from dicom_listener.events import (
    AssociationEnded,
    CommitmentRequested,
    ListenerEvent,
    ObjectRefused,
    ObjectStored,
    StepReported,
)
from dicom_listener.series import AssemblerSettings, SeriesAssembler
from monitor import messages
from monitor.alerts import Finding
from monitor.clock import Clock
from monitor.config import Settings
from monitor.course import DECODED
from monitor.decoding import Decoding
from monitor.procedure import Procedure
from monitor.room import Room
from monitor.stream import Data
from monitor.structures import PLANNING_CLASSES, Offered
from monitor.trouble import Trouble

PROGRESS_S: Final = 0.1
"""Slices come several hundred times a second; nobody sees progress that is told so often."""

logger = logging.getLogger(__name__)


class Outlet(Protocol):
    """Where the intake's findings go: the pipeline."""

    def send(self, data: Data) -> None:
        """Publish a change."""

    def note(self, procedure: Procedure) -> None:
        """Write and send a procedure's own state."""

    def consider(self, procedure: Procedure, found: Iterable[Finding]) -> None:
        """Look at alert conditions."""

    def advance(self, procedure: Procedure) -> None:
        """Go on with what the procedure waits for."""


class Intake:
    """Takes in what the listener has done.

    Attributes
    ----------
    recovering
        What is taken in has happened before a restart: it changes the state, and is no news.
    trouble
        What goes wrong on the way in.
    """

    def __init__(self, settings: Settings, clock: Clock, room: Room, outlet: Outlet) -> None:
        self._patterns = settings.structures
        self._clock = clock
        self._room = room
        self._outlet = outlet
        self._assembler = SeriesAssembler(AssemblerSettings(quiet_s=settings.dicom.series_quiet_s))
        self._decoding = Decoding(settings.storage.directory / "derived" / DECODED)
        self._untold: messages.ScanProgress | None = None
        self._told: messages.ScanProgress | None = None
        self._told_at = 0.0
        self.trouble = Trouble()
        self.recovering = False

    def take(self, event: ListenerEvent) -> None:
        """One event, in the order of the ledger."""
        match event:
            case ObjectStored():
                self._object(event)
            case ObjectRefused():
                self.trouble.refused(event, self._clock.at(event.receipt.received_at))
            case AssociationEnded():
                self._series(
                    self._assembler.association_ended(event.association_id, event.how, event.at)
                )
            case StepReported():
                self._series(self._assembler.step_reported(event))
            case CommitmentRequested():
                self._series(self._assembler.commitment_requested(event))

    def look(self, now: datetime) -> None:
        """Series that have become complete because nothing came for a while.

        Everything that came before ``now`` must have been taken in.
        """
        due = self.next_look
        if due is not None and due <= now:
            self._series(self._assembler.tick(now))

    @property
    def next_look(self) -> datetime | None:
        """When ``look`` is due next; None while nothing is waited for."""
        return self._assembler.next_deadline()

    def close(self) -> None:
        """End what runs beside."""
        self._decoding.close()

    def _object(self, stored: ObjectStored) -> None:
        procedure = self._room.admit(stored)
        for changed in self._room.take_changed():
            self._outlet.note(changed)
        self.trouble.stored(stored, self._clock.at(stored.received_at))
        if procedure is None:
            if self._room.current is not None and not self.recovering:
                self._outlet.consider(self._room.current, self._room.foreign_finding())
            return
        if not self.recovering:
            self._decoding.offer(stored)
        self._series(
            self._assembler.add(
                stored.header,
                stored.path,
                stored.received_at,
                stored.association_id,
                calling_ae_title=stored.calling_ae_title,
                conflicting=stored.outcome == "conflicting",
            )
        )

    def _series(self, outputs: Iterable[AssemblerOutput]) -> None:
        for output in outputs:
            match output:
                case SeriesProgress():
                    self._progressed(output)
                case SeriesReady():
                    self._ready(output)
                case ObjectReady():
                    self._other(output)

    def _progressed(self, progress: SeriesProgress) -> None:
        procedure = self._room.owner(progress.series_uid)
        if procedure is None:
            return
        record = procedure.series[progress.series_uid]
        record.received = progress.received
        self._tell_progress(procedure, progress.series_uid, progress.received, progress.expected)
        if progress.reopened and not record.reopened:
            record.reopened = True
            doubted = procedure.results.doubt(record.uid, _GROWING)
            if doubted is not None:
                self._outlet.send(doubted)
            if not self.recovering:
                self._outlet.note(procedure)

    def _tell_progress(
        self,
        procedure: Procedure,
        series_uid: str,
        received: int,
        expected: int | None,
        *,
        complete: bool = False,
    ) -> None:
        if self.recovering or procedure is not self._room.current:
            return
        another = self._untold is None or self._untold.series_instance_uid != series_uid
        self._untold = messages.ScanProgress(
            procedure_id=procedure.id,
            series_instance_uid=series_uid,
            received=received,
            expected=expected,
            complete=complete,
        )
        if complete or another or time.monotonic() - self._told_at > PROGRESS_S:
            self.tell_progress()

    def tell_progress(self) -> None:
        """Tell how far the transfer is, if that was not told."""
        if self._untold is not None and self._untold != self._told:
            self._told, self._told_at = self._untold, time.monotonic()
            self._outlet.send(self._untold)

    def _ready(self, ready: SeriesReady) -> None:
        procedure = self._room.owner(ready.series_uid)
        if procedure is None:
            return
        steps.reached(steps.Step.COMPLETED)
        record = procedure.series[ready.series_uid]
        record.ready = ready
        record.reopened = False
        record.received = ready.slices
        if self._room.clocks.settle(record.sender):
            procedure.judge_moments()
        self._tell_progress(procedure, ready.series_uid, ready.slices, ready.slices, complete=True)
        self._go_on(procedure)

    def _other(self, ready: ObjectReady) -> None:
        """An object that is no slice: a planning object is to be read, others are only listed."""
        header = ready.object.header
        procedure = self._room.owner(header.series_instance_uid)
        if procedure is None:
            return
        record = procedure.series[header.series_instance_uid]
        if ready.kind == "conflict" and record.ready is not None:
            logger.warning("Same SOP Instance UID, other content: kept aside, not used")
            return
        record.other = ready
        record.received += 1
        if header.sop_class_uid in PLANNING_CLASSES:
            self._structure_set(procedure, ready)
        self._go_on(procedure)

    def _go_on(self, procedure: Procedure) -> None:
        if not self.recovering:
            self._outlet.advance(procedure)
            self._outlet.note(procedure)

    def _structure_set(self, procedure: Procedure, ready: ObjectReady) -> None:
        header = ready.object.header
        procedure.drawings.came(
            Offered(
                ready.object.path,
                header.series_instance_uid,
                header.sop_instance_uid,
                self._patterns.tumour_pattern,
                self._patterns.hilum_pattern,
                self._clock.at(ready.received_at),
            )
        )


def time_of(event: ListenerEvent) -> datetime:
    """When it happened."""
    if isinstance(event, ObjectStored | ObjectRefused):
        return event.receipt.received_at
    return event.at


_GROWING = messages.Reason(code="incomplete", text="More slices of this scan are coming.")
