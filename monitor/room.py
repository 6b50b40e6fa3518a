"""The procedures of one room: to which of them an object belongs, and to which it must not.

One procedure is under way at a time. Another patient's objects in its course are stored, raise the
identity alert and are used for nothing. Owned by the pipeline's thread.
"""

import logging
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

from dicom_listener.events import ObjectStored
from monitor import __version__, messages
from monitor.alerts import AlertBook, Finding
from monitor.clock import Clock
from monitor.config import Settings
from monitor.decisions import CommandError
from monitor.journal import JournalError
from monitor.journal_writer import JournalWriter
from monitor.messages import Condition
from monitor.procedure import Procedure

CLOSED_KEPT: Final = 10
"""Closed procedures that can still be asked for; the journal keeps all."""

FOREIGN_QUIET_S = 60.0
"""The identity alert's condition ends when nothing foreign has come for this long."""

logger = logging.getLogger(__name__)

Key = tuple[str, str]
"""PatientID and StudyInstanceUID."""

_PROCEDURES = UUID("8a1f2f0e-6a51-4c39-9b1e-0d5c0f6f3a57")
"""Name space of the procedures' ids; made up once."""


class Room:
    """All procedures of this run, with their alerts.

    Parameters
    ----------
    any_patient
        Take every patient and study as a procedure of its own (folders are analysed), instead of
        one procedure at a time.
    left_out
        What is not told again after a restart happened before; None: all is.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        journal: JournalWriter,
        *,
        any_patient: bool,
        left_out: datetime | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._journal = journal
        self._any_patient = any_patient
        self._left_out = left_out
        self._past: set[Key] = set()
        self._procedures: dict[Key, Procedure] = {}
        self._series: dict[str, Procedure] = {}
        self._changed: list[Procedure] = []
        self._foreign = ""
        self._foreign_at: datetime | None = None
        self.alerts: dict[str, AlertBook] = {}
        self.current: Procedure | None = None

    def procedures(self) -> list[Procedure]:
        """All, oldest first."""
        return list(self._procedures.values())

    def by_id(self, procedure_id: str) -> Procedure:
        """The procedure with this id.

        Raises
        ------
        CommandError
            There is none.
        """
        for procedure in self._procedures.values():
            if procedure.id == procedure_id:
                return procedure
        raise CommandError("no_such_procedure", f"There is no procedure {procedure_id!r}.")

    def owner(self, series_uid: str) -> Procedure | None:
        """The procedure that a series was admitted to."""
        return self._series.get(series_uid)

    def take_changed(self) -> list[Procedure]:
        """Procedures that were opened or closed since the last call."""
        changed, self._changed = self._changed, []
        return changed

    def admit(self, stored: ObjectStored) -> Procedure | None:
        """The object's procedure, opened if need be; None where the object is not to be used."""
        procedure = self._procedure_of(stored)
        if procedure is None:
            return None
        uid = stored.header.series_instance_uid
        if self._series.setdefault(uid, procedure) is not procedure:
            logger.warning("A series UID came with two patients or studies; the second is not used")
            return None
        procedure.last_object_at = self._clock.at(stored.received_at)
        procedure.record_of(stored)
        return procedure

    def snapshot(self, progress: messages.ScanProgress | None) -> messages.Snapshot:
        """The state that a display starts from."""
        limits = self._settings.alerts
        current = self.current
        return messages.Snapshot(
            version=__version__,
            clock=self._clock.message(),
            limits=messages.Limits(
                margin_target_mm=limits.margin_target_mm,
                hilum_near_mm=limits.hilum_near_mm,
                scan_overdue_s=limits.scan_overdue_s,
                value_old_s=limits.value_old_s,
            ),
            procedure=current.message() if current is not None else None,
            measurements=list(current.measurements) if current is not None else [],
            alerts=list(self.alerts[current.id]) if current is not None else [],
            scan_progress=progress,
        )

    def foreign_finding(self) -> list[Finding]:
        """The identity alert's condition, as it is now."""
        if self._foreign_at is None:
            return []
        quiet_s = (self._clock.now() - self._foreign_at).total_seconds()
        text = f"Images of {self._foreign} came in. They are stored and not used here."
        return [Finding(Condition.OTHER_PATIENT, quiet_s < FOREIGN_QUIET_S, text)]

    def _procedure_of(self, stored: ObjectStored) -> Procedure | None:
        key = (stored.header.patient_id, stored.header.study_instance_uid)
        known = self._procedures.get(key)
        if known is not None:
            if known.state == "open":
                return known
            return None  # it is stored, and not measured
        if key in self._past:
            return None
        current = None if self._any_patient else self.current
        if current is not None and not self._idle(current, stored):
            self._note_foreign(current, stored)
            return None
        row = self._journaled(key)
        if row is not None and self._was_closed(row):
            self._past.add(key)
            return None
        if current is not None:
            self._close(current)
        return self._open(stored, row)

    def _was_closed(self, row: dict[str, str]) -> bool:
        """Whether what has closed it is not told again after this restart."""
        if self._left_out is None or row["state"] != "closed":
            return False
        return datetime.fromisoformat(row["opened_at"]) < self._clock.at(self._left_out)

    def _close(self, procedure: Procedure) -> None:
        """It gives way to the next; of many, the first to be closed are let go of."""
        procedure.close()
        self._changed.append(procedure)
        closed = [key for key, one in self._procedures.items() if one.state == "closed"]
        for key in closed[:-CLOSED_KEPT]:
            self._past.add(key)
            forgotten = self._procedures.pop(key)
            del self.alerts[forgotten.id]
            for uid in forgotten.series:
                self._series.pop(uid, None)

    def _idle(self, procedure: Procedure, stored: ObjectStored) -> bool:
        last = procedure.last_object_at or procedure.opened_at
        gap_s = (self._clock.at(stored.received_at) - last).total_seconds()
        return gap_s > self._settings.procedure.idle_close_s

    def _note_foreign(self, current: Procedure, stored: ObjectStored) -> None:
        same = stored.header.patient_id == current.patient_id
        self._foreign = "another STUDY of this patient" if same else "ANOTHER PATIENT"
        logger.warning("An object of %s is stored, not used", self._foreign)
        self._foreign_at = self._clock.at(stored.received_at)

    def _open(self, stored: ObjectStored, row: dict[str, str] | None) -> Procedure:
        """A new procedure, or one that the journal knows from before a restart.

        Whether it was closed then is not asked, unless it was begun before what is told again: what
        closed it comes again, in the same order. A stray object in between finds the same procedure
        open as it did then.
        """
        header = stored.header
        procedure = Procedure(
            id=row["id"]
            if row is not None
            else _id_of(header.patient_id, header.study_instance_uid),
            patient_id=header.patient_id,
            patient_name=header.patient_name,
            study_instance_uid=header.study_instance_uid,
            opened_at=(
                datetime.fromisoformat(row["opened_at"])
                if row is not None
                else self._clock.at(stored.received_at)
            ),
            derived=self._settings.storage.directory / "derived",
            at=self._clock.at,
        )
        book = AlertBook(procedure.id, worsened=self._settings.alerts.worsened_mm)
        if row is not None:
            try:
                self._restore(procedure, book)
            except JournalError:
                logger.exception("The procedure's past can't be read; its scans are measured again")
        self._procedures[header.patient_id, header.study_instance_uid] = procedure
        self.alerts[procedure.id] = book
        self.current = procedure
        self._changed.append(procedure)
        return procedure

    def _restore(self, procedure: Procedure, book: AlertBook) -> None:
        """Take back what was found, pressed and raised before a restart."""
        measured = self._journal.measurements(procedure.id)
        phases = self._journal.phases(procedure.id)
        alerts = self._journal.alerts(procedure.id)
        seen = self._journal.values_when_acknowledged(procedure.id)
        decisions = self._journal.decisions(procedure.id)
        procedure.adopted = {m.series_instance_uid: (m, slices) for m, slices in measured}
        procedure.phases = phases
        for decision in decisions:
            procedure.take(decision)
        for alert in alerts:
            book.restore(alert, seen.get(alert.id))

    def _journaled(self, key: Key) -> dict[str, str] | None:
        try:
            rows = self._journal.procedures()
        except JournalError:
            logger.exception("The journal can't be read; the procedure is taken for a new one")
            return None
        for row in rows:
            if (row["patient_id"], row["study_instance_uid"]) == key:
                return row
        return None


def _id_of(patient_id: str, study_instance_uid: str) -> str:
    """Always the same one: a start without the journal does not make two of a procedure."""
    return uuid5(_PROCEDURES, f"{patient_id}\n{study_instance_uid}").hex
