"""Queries for studies, and what is made of their answers; moves are for the real archives."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import evt

from dicom_listener.fetch import (
    STUDY_ROOT_FIND,
    STUDY_ROOT_MOVE,
    QueryError,
    StudyQuery,
    fetch,
    find_series,
    find_studies,
)
from dicom_listener.nodes import CallError
from tests.dicom_listener.providers import CALLER, NATIVE, node, provider


def study(number: int, patient_id: str = "4711", date: str = "20260301") -> Dataset:
    answer = Dataset()
    answer.SpecificCharacterSet = "ISO_IR 100"
    answer.StudyInstanceUID = f"1.2.{number}"
    answer.PatientID = patient_id
    answer.PatientName = "Müller^Åse"
    answer.StudyDate = date
    answer.StudyTime = "1030"
    answer.ModalitiesInStudy = ["CT", "SEG"]
    answer.NumberOfStudyRelatedInstances = 300
    return answer


def asked(answers: list[Dataset], query: StudyQuery) -> tuple[Any, Dataset]:
    """What is made of answers, and what was asked."""
    questions = []

    def find(event: evt.Event) -> Iterator[tuple[int, Dataset]]:
        questions.append(event.identifier)
        for answer in answers:
            yield 0xFF00, answer

    with provider({STUDY_ROOT_FIND: NATIVE}, [(evt.EVT_C_FIND, find)]) as port:
        return find_studies(node(port), CALLER, query), questions[0]


def test_studies_are_read_newest_first() -> None:
    answers = [study(1), study(2, date="20260401"), study(3, date="")]
    found, question = asked(answers, StudyQuery(patient_id="4711"))
    assert [one.study_instance_uid for one in found.studies] == ["1.2.2", "1.2.1", "1.2.3"]
    first = found.studies[0]
    assert (first.patient_name, first.modalities, first.objects) == ("Müller^Åse", "CT, SEG", 300)
    assert first.series is None
    assert first.at is not None
    assert f"{first.at:%Y-%m-%d %H:%M}" == "2026-04-01 10:30"
    assert found.studies[2].at is None
    assert (found.more, found.foreign) == (False, 0)
    assert (question.QueryRetrieveLevel, question.PatientID) == ("STUDY", "4711")
    assert "SpecificCharacterSet" not in question


def test_another_patients_study_is_not_taken() -> None:
    found, _ = asked([study(1), study(2, "4712"), study(3, "")], StudyQuery(patient_id="4711"))
    assert [one.study_instance_uid for one in found.studies] == ["1.2.1"]
    assert found.foreign == 2


def test_a_patient_id_that_is_not_ascii() -> None:
    _, question = asked([], StudyQuery(patient_id="Ä1"))
    assert (question.SpecificCharacterSet, question.PatientID) == ("ISO_IR 192", "Ä1")


@pytest.mark.parametrize(
    "query",
    [
        StudyQuery(),
        StudyQuery(patient_id="*"),
        StudyQuery(patient_id="47?1"),
        StudyQuery(patient_id="1\\2"),
        StudyQuery(patient_id="1" * 65),
        StudyQuery(study_instance_uid="1.2.x"),
        StudyQuery(dates="yesterday"),
        StudyQuery(dates="2026-03-01"),
    ],
)
def test_queries_that_are_not_asked(query: StudyQuery) -> None:
    with pytest.raises(QueryError):
        find_studies(node(1), CALLER, query)


@pytest.mark.parametrize("dates", ["20260301", "20260301-", "-20260301", "20260301-20260302"])
def test_dates(dates: str) -> None:
    StudyQuery(dates=dates).check()


def test_series_are_read_by_their_numbers() -> None:
    def find(event: evt.Event) -> Iterator[tuple[int, Dataset]]:
        assert event.identifier.StudyInstanceUID == "1.2.3"
        for number in (3, 1):
            answer = Dataset()
            answer.SeriesInstanceUID = f"1.2.3.{number}"
            answer.SeriesNumber = number
            answer.Modality = "CT"
            answer.NumberOfSeriesRelatedInstances = 60
            yield 0xFF00, answer
        nameless = Dataset()
        nameless.SeriesNumber = 9
        yield 0xFF00, nameless

    with provider({STUDY_ROOT_FIND: NATIVE}, [(evt.EVT_C_FIND, find)]) as port:
        found = find_series(node(port), CALLER, "1.2.3")
    assert [(one.number, one.series_instance_uid) for one in found] == [
        (1, "1.2.3.1"),
        (3, "1.2.3.3"),
    ]
    assert (found[0].modality, found[0].objects) == ("CT", 60)


def test_a_move_to_nobody_is_explained() -> None:
    def move(_event: evt.Event) -> Iterator[Any]:
        yield None, None

    with (
        provider({STUDY_ROOT_MOVE: NATIVE}, [(evt.EVT_C_MOVE, move)]) as port,
        pytest.raises(CallError) as raised,
    ):
        fetch(node(port), CALLER, "1.2.3")
    assert raised.value.status == 0xA801
    assert "does not know our AE title" in raised.value.text


def test_an_archive_without_retrieval() -> None:
    with provider({STUDY_ROOT_FIND: NATIVE}, []) as port, pytest.raises(CallError) as raised:
        fetch(node(port), CALLER, "1.2.3")
    assert raised.value.code == "no_context"


@pytest.mark.parametrize(("study_uid", "series_uid"), [("1.2.x", ""), ("1.2", "../x")])
def test_what_is_not_fetched(study_uid: str, series_uid: str) -> None:
    with pytest.raises(QueryError):
        fetch(node(1), CALLER, study_uid, series_uid)
