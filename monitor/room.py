"""The procedures of one room: to which of them an object belongs, and to which it must not.

One procedure is under way at a time. Another patient's objects in its course are stored, raise the
identity alert and are used for nothing. Owned by the pipeline's thread.
"""

import logging
from collections import deque
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

from dicom_listener.events import ObjectStored
from monitor import __version__, messages
from monitor.alerts import AlertBook, Finding
from monitor.clock import Clock
from monitor.config import Settings
from monitor.decisions import (
    CommandError,
    Decision,
    OfLife,
    ProcedureClosed,
    ProcedureOpened,
    ProcedureReopened,
    What,
)
from monitor.drawings import Naming
from monitor.journal import JournalError
from monitor.journal_writer import JournalWriter
from monitor.life import UNDER_WAY, Event, State
from monitor.messages import Condition
from monitor.procedure import Procedure
from monitor.role_choices import RoleChoices
from monitor.scanner_clock import ScannerClocks
from monitor.structure_sets import Patterns

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
        self._decided: deque[Decision] | None = None
        self._procedures: dict[Key, Procedure] = {}
        self._series: dict[str, Procedure] = {}
        self._changed: list[Procedure] = []
        self._foreign = ""
        self._foreign_at: datetime | None = None
        self.alerts: dict[str, AlertBook] = {}
        self.clocks = ScannerClocks(
            settings.procedure.clock_tolerance_s,
            measured=not (any_patient or clock.simulated),
        )
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
        self.tell_until(self._clock.at(stored.received_at))
        procedure = self._procedure_of(stored)
        if procedure is None:
            return None
        uid = stored.header.series_instance_uid
        if self._series.setdefault(uid, procedure) is not procedure:
            logger.warning("A series UID came with two patients or studies; the second is not used")
            return None
        procedure.last_object_at = self._clock.at(stored.received_at)
        self.clocks.take(stored)
        procedure.record_of(stored)
        return procedure

    # What people decide

    def check(self, procedure_id: str, what: What) -> None:
        """Whether a person may decide this.

        Raises
        ------
        CommandError
            Not here, or not now.
        """
        if not isinstance(what, OfLife):
            self.by_id(procedure_id).check(what)
            return
        current = self.current
        busy = current is not None and current.state in UNDER_WAY
        if isinstance(what, ProcedureClosed):
            if self.by_id(procedure_id).state is State.CLOSED:
                raise CommandError("procedure_closed", "The procedure is closed already.")
        elif busy:
            raise CommandError("procedure_open", "Another procedure is open; close it first.")
        elif isinstance(what, ProcedureReopened):
            self.by_id(procedure_id)
        elif any(procedure.id == procedure_id for procedure in self._procedures.values()):
            raise CommandError("procedure_known", "It was begun before; open it again.")

    def take(self, decision: Decision) -> Procedure:
        """Let a decision hold; whose it is."""
        what = decision.what
        match what:
            case ProcedureOpened():
                key = (what.patient_id, what.study_instance_uid)
                if self.current is not None and self.current.state is not State.CLOSED:
                    self._live(self.current, "replaced")
                row = self._journaled(key)
                procedure = self._begin(key, what.patient_name, decision.at, State.EXPECTED, row)
            case ProcedureClosed():
                procedure = self.by_id(decision.procedure_id)
                self._live(procedure, "close")
            case ProcedureReopened():
                procedure = self.by_id(decision.procedure_id)
                if self.current is not None and self.current.state is State.LAPSED:
                    self._live(self.current, "replaced")
                self._live(procedure, "reopen")
                procedure.last_object_at = decision.at
                self.current = procedure
            case _:
                procedure = self.by_id(decision.procedure_id)
                procedure.take(decision)
                return procedure
        procedure.decisions.append(decision)
        return procedure

    def tell_until(self, moment: datetime | None) -> None:
        """After a restart: what was decided about the life of procedures, up to a moment."""
        if self._decided is None:
            self._decided = self._journaled_decisions()
        while self._decided and (moment is None or self._decided[0].at <= moment):
            decision = self._decided.popleft()
            try:
                self.take(decision)
            except (CommandError, ValueError):  # what it was about is not told again
                logger.info("A decision about an older procedure is passed over")

    def _journaled_decisions(self) -> deque[Decision]:
        try:
            found = self._journal.all_decisions()
        except JournalError:
            logger.exception("The journal can't be read; what was closed by hand is not known")
            return deque()
        since = self._clock.at(self._left_out) if self._left_out is not None else None
        of_life = (d for d in found if isinstance(d.what, OfLife))
        told = (d for d in of_life if since is None or d.at >= since)
        return deque(sorted(told, key=lambda d: d.at))

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
                protocol=self._settings.procedure.steps,
            ),
            procedure=current.message() if current is not None else None,
            measurements=list(current.results) if current is not None else [],
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
        current = None if self._any_patient else self.current
        others = current is not None and current is not known and current.state in UNDER_WAY
        if known is not None and (known.state is State.CLOSED or not others):
            return self._continued(known)
        if key in self._past:
            return None
        if current is not None and others and not self._gives_way(current, stored):
            self._note_foreign(current, stored)
            return None
        if known is None:
            row = self._journaled(key)
            if row is not None and self._was_closed(row):
                self._past.add(key)
                return None
        if current is not None and current.state is not State.CLOSED:
            self._live(current, "replaced")
        if known is not None:
            return self._continued(known)
        header = stored.header
        at = self._clock.at(stored.received_at)
        return self._begin(key, header.patient_name, at, State.OPEN, row)

    def _continued(self, known: Procedure) -> Procedure | None:
        """The procedure that an object of its own has come for; None where it is over."""
        self._live(known, "object")
        if known.state is State.CLOSED:
            return None  # it is stored, and not measured
        self.current = known
        return known

    def _was_closed(self, row: dict[str, str]) -> bool:
        """Whether what has closed it is not told again after this restart."""
        if self._left_out is None or row["state"] != "closed":
            return False
        return datetime.fromisoformat(row["opened_at"]) < self._clock.at(self._left_out)

    def _live(self, procedure: Procedure, event: Event) -> None:
        """Something happens in its life; of many closed ones, the first are let go of."""
        if not procedure.live(event):
            return
        self._changed.append(procedure)
        closed = [key for key, one in self._procedures.items() if one.state is State.CLOSED]
        for key in closed[:-CLOSED_KEPT]:
            self._past.add(key)
            forgotten = self._procedures.pop(key)
            del self.alerts[forgotten.id]
            for uid in forgotten.series:
                self._series.pop(uid, None)

    def _gives_way(self, procedure: Procedure, stored: ObjectStored) -> bool:
        """Whether another may begin: it is silent, or was only expected and has another study."""
        if procedure.state is State.EXPECTED and procedure.patient_id == stored.header.patient_id:
            return True
        return self._is_silent(procedure, self._clock.at(stored.received_at))

    def _is_silent(self, procedure: Procedure, now: datetime) -> bool:
        last = procedure.last_object_at or procedure.opened_at
        return (now - last).total_seconds() > self._settings.procedure.idle_close_s

    def look(self) -> None:
        """What happens in a procedure's life because time passes."""
        current = self.current
        if current is None or current.state not in UNDER_WAY or self._any_patient:
            return
        if self._is_silent(current, self._clock.now()):
            self._live(current, "silence")

    def _note_foreign(self, current: Procedure, stored: ObjectStored) -> None:
        same = stored.header.patient_id == current.patient_id
        self._foreign = "another STUDY of this patient" if same else "ANOTHER PATIENT"
        logger.warning("An object of %s is stored, not used", self._foreign)
        self._foreign_at = self._clock.at(stored.received_at)

    def _begin(
        self, key: Key, patient_name: str, at: datetime, state: State, row: dict[str, str] | None
    ) -> Procedure:
        """A new procedure, or one that the journal knows from before a restart.

        Whether it was closed then is not asked, unless it was begun before what is told again: what
        closed it comes again, in the same order. A stray object in between finds the same procedure
        open as it did then.
        """
        procedure = Procedure(
            id=row["id"] if row is not None else id_of(*key),
            patient_id=key[0],
            patient_name=patient_name,
            study_instance_uid=key[1],
            opened_at=datetime.fromisoformat(row["opened_at"]) if row is not None else at,
            derived=self._settings.storage.directory / "derived",
            at=self._clock.at,
            roles=RoleChoices(self._settings.procedure.twin_rule),
            state=state,
            naming=Naming(
                Patterns(
                    self._settings.structures.tumour_pattern,
                    self._settings.structures.hilum_pattern,
                ),
                self._settings.structures.warning_mm,
                self._settings.nephrometry.anatomy,
            ),
            clocks=self.clocks,
        )
        book = AlertBook(procedure.id, worsened=self._settings.alerts.worsened_mm)
        if row is not None:
            try:
                self._restore(procedure, book)
            except JournalError:
                logger.exception("The procedure's past can't be read; its scans are measured again")
        self._procedures[key] = procedure
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
        procedure.results.restore(measured)
        procedure.phases.pressed = phases
        for decision in decisions:
            if not isinstance(decision.what, OfLife):  # those are told in their time
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


def id_of(patient_id: str, study_instance_uid: str) -> str:
    """A procedure's id, always the same: a start without the journal does not make two of it."""
    return uuid5(_PROCEDURES, f"{patient_id}\n{study_instance_uid}").hex
