"""The modality worklist: who is to be on the table, as the department's system says (PS3.4, K).

A query once and again, in a thread of its own. The last answer stays, with its age, when the system
does not answer any more: who looks at it must look at its age too.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from pydicom.dataset import Dataset

from dicom_listener.answers import Record
from dicom_listener.association import Proposal
from dicom_listener.client import Call
from dicom_listener.nodes import CallError, Node, Ourselves
from dicom_listener.syntaxes import UNCOMPRESSED

LOGGER = logging.getLogger(__name__)

MODALITY_WORKLIST_FIND: Final = "1.2.840.10008.5.1.4.31"

MAXIMUM_STEPS: Final = 500
"""Steps that are taken of one answer; a department plans fewer in a day."""

LATE_H: Final = 6
"""A step of last evening may still be under way so long after midnight."""

_PROPOSAL: Final[Proposal] = (MODALITY_WORKLIST_FIND, UNCOMPRESSED)
_STOP_S = 1.0


@dataclass(frozen=True)
class ScheduledStep:
    """One scheduled procedure step.

    Attributes
    ----------
    patient_name
        As written, component groups and carets and all.
    patient_birth_date
        YYYYMMDD, or empty.
    scheduled_at
        Aware, by the clock of this machine's zone.
    station_ae_title
        Scheduled Station AE Title; several are joined by a comma.
    """

    patient_id: str
    patient_name: str
    patient_birth_date: str
    accession_number: str
    study_instance_uid: str
    procedure_description: str
    step_description: str
    step_id: str
    scheduled_at: datetime
    modality: str
    station_ae_title: str


@dataclass(frozen=True)
class WorklistState:
    """What is known at this moment.

    Attributes
    ----------
    steps
        Of the last query that was answered, by their time.
    more
        There were more than ``MAXIMUM_STEPS``, so that one may be missing.
    asked_at
        When that was; None before the first.
    problem
        Why the last query was not answered; empty when it was.
    """

    steps: tuple[ScheduledStep, ...] = ()
    more: bool = False
    asked_at: datetime | None = None
    problem: str = ""

    def age_s(self, now: datetime) -> float | None:
        """How old the steps are, in seconds; None when there was no answer yet."""
        return None if self.asked_at is None else (now - self.asked_at).total_seconds()


def ask(
    node: Node, caller: Ourselves, *, station_ae_title: str = "", now: datetime | None = None
) -> WorklistState:
    """Query the steps of today, and of last evening before ``LATE_H``.

    What does not match the query is left out: not every system heeds all of it.

    Raises
    ------
    CallError
        When it is not answered.
    """
    return _ask(Call(node, caller, [_PROPOSAL]), station_ae_title, now or _now())


def _ask(call: Call, station_ae_title: str, now: datetime) -> WorklistState:
    days = sorted({f"{day:%Y%m%d}" for day in (now - timedelta(hours=LATE_H), now)})
    with call:
        found = call.find(
            MODALITY_WORKLIST_FIND, _question(days, station_ae_title), at_most=MAXIMUM_STEPS
        )
    steps = [
        step
        for answer in found.answers
        for step in _steps(Record(answer))
        if f"{step.scheduled_at:%Y%m%d}" in days
        and station_ae_title in ("", *step.station_ae_title.split(", "))
    ]
    steps.sort(key=lambda step: (step.scheduled_at, step.patient_id))
    return WorklistState(tuple(steps), found.more, now)


def _question(days: list[str], station_ae_title: str) -> Dataset:
    """Matching keys, and empty ones for what is to be told (PS3.4, table K.6-1)."""
    step = Dataset()
    step.Modality = ""
    step.ScheduledStationAETitle = station_ae_title
    step.ScheduledProcedureStepStartDate = "-".join(days)
    step.ScheduledProcedureStepStartTime = ""
    step.ScheduledProcedureStepDescription = ""
    step.ScheduledProcedureStepID = ""
    question = Dataset()
    question.SpecificCharacterSet = ""
    question.AccessionNumber = ""
    question.PatientName = ""
    question.PatientID = ""
    question.PatientBirthDate = ""
    question.StudyInstanceUID = ""
    question.RequestedProcedureDescription = ""
    question.ScheduledProcedureStepSequence = [step]
    return question


def _steps(answer: Record) -> list[ScheduledStep]:
    """The steps of one answer, which are one or, by mistake, several; without a date they are
    none."""
    steps = []
    for item in answer.items("ScheduledProcedureStepSequence"):
        scheduled_at = item.moment(
            "ScheduledProcedureStepStartDate", "ScheduledProcedureStepStartTime"
        )
        if scheduled_at is None:
            continue
        steps.append(
            ScheduledStep(
                patient_id=answer.text("PatientID"),
                patient_name=answer.text("PatientName"),
                patient_birth_date=answer.code("PatientBirthDate"),
                accession_number=answer.text("AccessionNumber"),
                study_instance_uid=answer.uid("StudyInstanceUID"),
                procedure_description=answer.text("RequestedProcedureDescription"),
                step_description=item.text("ScheduledProcedureStepDescription"),
                step_id=item.text("ScheduledProcedureStepID"),
                scheduled_at=scheduled_at,
                modality=item.code("Modality"),
                station_ae_title=item.code("ScheduledStationAETitle"),
            )
        )
    return steps


def _now() -> datetime:
    return datetime.now().astimezone()


class Worklist:
    """Asks for the worklist again and again.

    Parameters
    ----------
    every_s
        From one answer to the next query.
    """

    def __init__(
        self,
        node: Node,
        caller: Ourselves,
        *,
        station_ae_title: str = "",
        every_s: float = 60.0,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._node = node
        self._caller = caller
        self._station_ae_title = station_ae_title
        self._every_s = every_s
        self._now = now
        self._state = WorklistState()
        self._stopped = threading.Event()
        self._call: Call | None = None
        self._thread = threading.Thread(target=self._run, name="worklist", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more; a query that is under way is broken off."""
        self._stopped.set()
        call = self._call
        if call is not None:
            call.break_off()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)

    def current(self) -> WorklistState:
        """What is known at this moment."""
        return self._state

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._call = Call(self._node, self._caller, [_PROPOSAL])
            try:
                self._state = _ask(self._call, self._station_ae_title, self._now())
            except CallError as error:
                self._trouble(error.text)
            except Exception:  # the thread's outermost edge
                LOGGER.exception("A defect in asking for the worklist")
                self._trouble("There was a defect of our own; see the log.")
            self._stopped.wait(self._every_s)

    def _trouble(self, problem: str) -> None:
        if problem != self._state.problem and not self._stopped.is_set():
            LOGGER.warning("No worklist: %s", problem)
        self._state = replace(self._state, problem=problem)
