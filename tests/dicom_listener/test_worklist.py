"""The worklist: what is asked, how it is read, and what is known when nobody answers."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from pydicom.dataset import Dataset
from pynetdicom import evt

from dicom_listener import worklist
from dicom_listener.nodes import CallError
from dicom_listener.worklist import MODALITY_WORKLIST_FIND, ScheduledStep, Worklist, ask
from tests.dicom_listener.conftest import until
from tests.dicom_listener.providers import CALLER, NATIVE, node, provider, scripted
from tests.peers.orthanc import free_port

NOON = datetime(2026, 3, 1, 12, 0).astimezone()

STEP = ScheduledStep(
    patient_id="4711",
    patient_name="Müller^Åse",
    patient_birth_date="19700101",
    accession_number="A17",
    study_instance_uid="1.2.3",
    procedure_description="Cryoablation, kidney",
    step_description="CT guidance",
    step_id="S1",
    scheduled_at=NOON.replace(hour=10, minute=30),
    modality="CT",
    station_ae_title="CT1",
)


def entry(step: ScheduledStep = STEP, character_set: str = "ISO_IR 100") -> Dataset:
    """A step as a worklist provider holds it."""
    item = Dataset()
    item.Modality = step.modality
    item.ScheduledStationAETitle = step.station_ae_title
    item.ScheduledProcedureStepStartDate = f"{step.scheduled_at:%Y%m%d}"
    item.ScheduledProcedureStepStartTime = f"{step.scheduled_at:%H%M%S}"
    item.ScheduledProcedureStepDescription = step.step_description
    item.ScheduledProcedureStepID = step.step_id
    dataset = Dataset()
    dataset.SpecificCharacterSet = character_set
    dataset.PatientName = step.patient_name
    dataset.PatientID = step.patient_id
    dataset.PatientBirthDate = step.patient_birth_date
    dataset.AccessionNumber = step.accession_number
    dataset.StudyInstanceUID = step.study_instance_uid
    dataset.RequestedProcedureDescription = step.procedure_description
    dataset.ScheduledProcedureStepSequence = [item]
    return dataset


class Department:
    """A worklist provider that heeds no key at all."""

    def __init__(self, *entries: Dataset) -> None:
        self.entries = list(entries)
        self.asked: list[Dataset] = []

    def find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        self.asked.append(event.identifier)
        for one in self.entries:
            if event.is_cancelled:
                yield 0xFE00, None
                return
            yield 0xFF00, one


def answered(
    *entries: Dataset, station: str = "", now: datetime = NOON
) -> tuple[worklist.WorklistState, Dataset]:
    """What is made of such answers, and what was asked."""
    department = Department(*entries)
    with provider({MODALITY_WORKLIST_FIND: NATIVE}, [(evt.EVT_C_FIND, department.find)]) as port:
        state = ask(node(port), CALLER, station_ae_title=station, now=now)
    return state, department.asked[0]


def test_a_step_is_read() -> None:
    state, asked = answered(entry())
    assert state.steps == (STEP,)
    assert (state.asked_at, state.problem, state.more) == (NOON, "", False)
    (step,) = asked.ScheduledProcedureStepSequence
    assert step.ScheduledProcedureStepStartDate == "20260301"
    assert asked.PatientID == ""


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        ("ISO_IR 192", "山田^太郎"),
        ("ISO_IR 144", "Люкceмбypг"),
        ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎"),
    ],
)
def test_names_of_all_character_sets(character_set: str, name: str) -> None:
    sets = character_set.split("\\")
    one = entry(replace(STEP, patient_name=name))
    one.SpecificCharacterSet = sets if len(sets) > 1 else character_set
    assert answered(one)[0].steps[0].patient_name == name


@pytest.mark.filterwarnings("ignore")  # pydicom warns on the side that writes
def test_a_wrong_character_set_loses_no_step() -> None:
    one = entry()
    one.PatientName = "Plain^Name"
    one.SpecificCharacterSet = "ISO_IR 4711"
    assert answered(one)[0].steps[0].patient_name == "Plain^Name"


def test_what_was_not_asked_for_is_left_out() -> None:
    """Other days, other stations, and steps without a date."""
    tomorrow = replace(STEP, scheduled_at=STEP.scheduled_at + timedelta(days=1))
    dateless = entry()
    dateless.ScheduledProcedureStepSequence[0].ScheduledProcedureStepStartDate = ""
    stepless = entry()
    del stepless.ScheduledProcedureStepSequence
    other = replace(STEP, station_ae_title="MR7")
    two = replace(STEP, station_ae_title="MR7\\CT1", patient_id="4712")
    entries = [entry(one) for one in (tomorrow, other, two, STEP)]
    state, asked = answered(*entries, dateless, stepless, station="CT1")
    assert [step.patient_id for step in state.steps] == ["4711", "4712"]
    assert asked.ScheduledProcedureStepSequence[0].ScheduledStationAETitle == "CT1"
    assert len(answered(*entries)[0].steps) == 3


@pytest.mark.filterwarnings("ignore")  # the same
def test_wrong_values_are_absent() -> None:
    one = entry()
    one.StudyInstanceUID = "1.2..3"
    one.ScheduledProcedureStepSequence[0].ScheduledProcedureStepStartTime = ""
    (step,) = answered(one)[0].steps
    assert step.study_instance_uid == ""
    assert (step.scheduled_at.hour, step.scheduled_at.day) == (0, 1)


def test_last_evening_is_asked_for_after_midnight() -> None:
    late = replace(STEP, scheduled_at=NOON.replace(hour=23))
    state, asked = answered(entry(late), now=NOON.replace(day=2, hour=2))
    assert asked.ScheduledProcedureStepSequence[0].ScheduledProcedureStepStartDate == (
        "20260301-20260302"
    )
    assert state.steps == (late,)
    assert answered(entry(late), now=NOON.replace(day=2, hour=8))[0].steps == ()


def test_too_many_steps_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worklist, "MAXIMUM_STEPS", 3)
    state, _ = answered(*[entry()] * 10)
    assert len(state.steps) == 3
    assert state.more


def test_nobody_answers() -> None:
    with pytest.raises(CallError, match="can't be reached"):
        ask(node(free_port()), CALLER)


def test_the_last_answer_stays_with_its_age() -> None:
    port = free_port()
    clock = [NOON]
    asker = Worklist(node(port), CALLER, every_s=0.02, now=lambda: clock[0])
    assert asker.current().age_s(NOON) is None
    department = Department(entry())
    asker.start()
    try:
        until(lambda: "can't be reached" in asker.current().problem)
        assert asker.current().steps == ()
        handlers = [(evt.EVT_C_FIND, department.find)]
        with provider({MODALITY_WORKLIST_FIND: NATIVE}, handlers, port=port):
            until(lambda: asker.current().steps == (STEP,))
            assert asker.current().problem == ""
        clock[0] += timedelta(seconds=90)
        until(lambda: asker.current().problem != "")
        state = asker.current()
        assert state.steps == (STEP,)
        assert (state.age_s(clock[0]) or 0) >= 90
    finally:
        asker.stop()


def test_it_stops_while_it_waits_for_an_answer() -> None:
    asked = threading.Event()

    def silent(connection: object) -> None:
        asked.set()
        over.wait(20)

    over = threading.Event()
    with scripted(silent) as port:
        asker = Worklist(node(port), CALLER)
        asker.start()
        assert asked.wait(5)
        asker.stop()
        over.set()
    assert not [thread for thread in threading.enumerate() if thread.name == "worklist"]
