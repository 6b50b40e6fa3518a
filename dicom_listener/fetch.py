"""Studies in an archive: found by a query, and fetched by having them sent to ourselves.

C-MOVE lets the archive send to our listener, which takes the objects in like any others: the
archive must know our AE title with its address and port.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydicom.dataset import Dataset

from dicom_listener.answers import Record
from dicom_listener.client import CANCELLED, SUCCESS, Call, MoveProgress
from dicom_listener.nodes import CallError, Node, Ourselves
from dicom_listener.syntaxes import UNCOMPRESSED, is_uid

STUDY_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_MOVE: Final = "1.2.840.10008.5.1.4.1.2.2.2"

MAXIMUM_ANSWERS: Final = 200
"""Studies or series that are taken of one answer."""

_DATES = re.compile(r"\d{8}|\d{8}-(\d{8})?|-\d{8}")
_WILDCARDS = re.compile(r"[*?\\]")
_PARTLY: Final = range(0xB000, 0xC000)

_REFUSALS: Final[dict[int, str]] = {
    0xA701: "can't tell how many objects that are",
    0xA702: "could not send to us; see that it can reach our listener",
    0xA801: "does not know our AE title as a destination; enter it there, with address and port",
    0xA900: "does not understand the request",
}
"""What failures of C-MOVE mean (PS3.4, table C.4-2)."""

_REFUSED: Final = (
    "can't do that; see that it has it, knows our AE title, and can reach our listener"
)
"""Any other: Cxxx, unable to process, is what Orthanc answers to all of these."""


class QueryError(ValueError):
    """A query that must not be asked; the text says why, for people."""


@dataclass(frozen=True)
class StudyQuery:
    """What is known of the wanted studies; at least one of it.

    Attributes
    ----------
    dates
        Of the study: ``20260301``, or ``20260301-20260331``, where one end may be absent.
    """

    patient_id: str = ""
    study_instance_uid: str = ""
    dates: str = ""

    def check(self) -> None:
        """See that it asks for something, and for no more than it seems to.

        Raises
        ------
        QueryError
            It does not.
        """
        if not (self.patient_id or self.study_instance_uid or self.dates):
            raise QueryError("A patient ID, a study or a date must be given.")
        if len(self.patient_id) > 64 or _WILDCARDS.search(self.patient_id):
            raise QueryError(f"{self.patient_id!r} is no patient ID; wildcards are not taken.")
        if self.study_instance_uid and not is_uid(self.study_instance_uid):
            raise QueryError(f"{self.study_instance_uid!r} is no UID.")
        if self.dates and _DATES.fullmatch(self.dates) is None:
            raise QueryError(f"{self.dates!r} is no date or range, as in 20260301-20260331.")


@dataclass(frozen=True)
class Study:
    """A study in an archive. ``series`` and ``objects`` are None where the archive does not say."""

    study_instance_uid: str
    patient_id: str
    patient_name: str
    patient_birth_date: str
    at: datetime | None
    description: str
    accession_number: str
    modalities: str
    series: int | None
    objects: int | None


@dataclass(frozen=True)
class Series:
    """A series in an archive."""

    series_instance_uid: str
    number: int | None
    modality: str
    description: str
    objects: int | None


@dataclass(frozen=True)
class Studies:
    """Studies that were found, newest first.

    Attributes
    ----------
    more
        There were more than ``MAXIMUM_ANSWERS``.
    foreign
        Answers that do not match the query, which are left out: an archive may pass over a key
        that it does not know.
    """

    studies: tuple[Study, ...]
    more: bool
    foreign: int


def find_studies(node: Node, caller: Ourselves, query: StudyQuery) -> Studies:
    """Query for studies.

    Raises
    ------
    QueryError
        When the query is none.
    CallError
        When it is not answered.
    """
    query.check()
    question = _question("STUDY", query.patient_id)
    question.StudyInstanceUID = query.study_instance_uid
    question.StudyDate = query.dates
    for keyword in (
        "StudyTime",
        "StudyDescription",
        "AccessionNumber",
        "ModalitiesInStudy",
        "PatientName",
        "PatientBirthDate",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
    ):
        setattr(question, keyword, None)
    question.PatientID = query.patient_id
    with Call(node, caller, [(STUDY_ROOT_FIND, UNCOMPRESSED)]) as call:
        found = call.find(STUDY_ROOT_FIND, question, at_most=MAXIMUM_ANSWERS)
    studies = [_study(Record(answer)) for answer in found.answers]
    matching = [study for study in studies if _matches(study, query)]
    matching.sort(key=lambda study: study.at.timestamp() if study.at else 0.0, reverse=True)
    return Studies(tuple(matching), found.more, len(studies) - len(matching))


def find_series(node: Node, caller: Ourselves, study_instance_uid: str) -> tuple[Series, ...]:
    """The series of a study, by their numbers.

    Raises
    ------
    QueryError
        When that is no UID.
    CallError
        When the query is not answered.
    """
    StudyQuery(study_instance_uid=study_instance_uid).check()
    question = _question("SERIES", "")
    question.StudyInstanceUID = study_instance_uid
    for keyword in (
        "SeriesInstanceUID",
        "SeriesNumber",
        "Modality",
        "SeriesDescription",
        "NumberOfSeriesRelatedInstances",
    ):
        setattr(question, keyword, None)
    with Call(node, caller, [(STUDY_ROOT_FIND, UNCOMPRESSED)]) as call:
        found = call.find(STUDY_ROOT_FIND, question, at_most=MAXIMUM_ANSWERS)
    series = [_series(Record(answer)) for answer in found.answers]
    series = [one for one in series if one.series_instance_uid]
    return tuple(sorted(series, key=lambda one: (one.number or 0, one.series_instance_uid)))


def fetch(
    node: Node,
    caller: Ourselves,
    study_instance_uid: str,
    series_instance_uid: str = "",
    *,
    on_progress: Callable[[MoveProgress], None] = lambda _progress: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> MoveProgress:
    """Have a study, or one series of it, sent to ourselves; how it ended.

    It ended well when nothing failed; ``cancelled`` ends it early.

    Raises
    ------
    QueryError
        When one of them is no UID.
    CallError
        When it is refused, or not answered. What came before that stays.
    """
    for uid in filter(None, (study_instance_uid, series_instance_uid)):
        StudyQuery(study_instance_uid=uid).check()
    wanted = Dataset()
    wanted.QueryRetrieveLevel = "SERIES" if series_instance_uid else "STUDY"
    wanted.StudyInstanceUID = study_instance_uid
    if series_instance_uid:
        wanted.SeriesInstanceUID = series_instance_uid
    progress = MoveProgress(SUCCESS)
    with Call(node, caller, [(STUDY_ROOT_MOVE, UNCOMPRESSED)]) as call:
        for progress in call.move(STUDY_ROOT_MOVE, wanted, caller.ae_title, cancelled=cancelled):
            on_progress(progress)
    if progress.status not in (SUCCESS, CANCELLED, *_PARTLY):
        why = _REFUSALS.get(progress.status, _REFUSED)
        text = f"{node.name} {why} ({progress.comment})."
        raise CallError("refused", text, progress.status)
    return progress


def _question(level: str, text: str) -> Dataset:
    question = Dataset()
    question.QueryRetrieveLevel = level
    if not text.isascii():
        question.SpecificCharacterSet = "ISO_IR 192"
    return question


def _matches(study: Study, query: StudyQuery) -> bool:
    return (
        bool(study.study_instance_uid)
        and query.patient_id in ("", study.patient_id)
        and query.study_instance_uid in ("", study.study_instance_uid)
    )


def _study(answer: Record) -> Study:
    return Study(
        study_instance_uid=answer.uid("StudyInstanceUID"),
        patient_id=answer.text("PatientID"),
        patient_name=answer.text("PatientName"),
        patient_birth_date=answer.code("PatientBirthDate"),
        at=answer.moment("StudyDate", "StudyTime"),
        description=answer.text("StudyDescription"),
        accession_number=answer.text("AccessionNumber"),
        modalities=answer.code("ModalitiesInStudy"),
        series=answer.whole_number("NumberOfStudyRelatedSeries"),
        objects=answer.whole_number("NumberOfStudyRelatedInstances"),
    )


def _series(answer: Record) -> Series:
    return Series(
        series_instance_uid=answer.uid("SeriesInstanceUID"),
        number=answer.whole_number("SeriesNumber"),
        modality=answer.code("Modality"),
        description=answer.text("SeriesDescription"),
        objects=answer.whole_number("NumberOfSeriesRelatedInstances"),
    )
