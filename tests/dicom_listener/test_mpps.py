"""Performed procedure steps: what is taken, what is refused, and what is known after a restart."""

import errno
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from dicom_listener import mpps
from dicom_listener.events import ListenerEvent, PerformedSeries, StepReported
from dicom_listener.mpps import REQUIRED, PerformedSteps
from dicom_listener.peers import Caller, Peer
from tests.dicom_listener.objects import ROOT, at

STEP = f"{ROOT}.8.1"
SERIES = f"{ROOT}.5.1"
CALLER = Caller("a1", "CT1", "192.0.2.17", Peer("CT 1", "CT1"))


def beginning(**elements: Any) -> Dataset:
    """Attributes of an N-CREATE, as a CT sends them; None leaves one out."""
    scheduled = Dataset()
    scheduled.StudyInstanceUID = f"{ROOT}.1"
    attributes = Dataset()
    attributes.ScheduledStepAttributesSequence = [scheduled]
    attributes.PatientName = "Müller^Åse"
    attributes.PatientID = "4711"
    attributes.PerformedProcedureStepID = "1"
    attributes.PerformedStationAETitle = "CT1"
    attributes.PerformedProcedureStepStartDate = "20260301"
    attributes.PerformedProcedureStepStartTime = "090000"
    attributes.PerformedProcedureStepStatus = "IN PROGRESS"
    attributes.Modality = "CT"
    attributes.PerformedSeriesSequence = []
    return changed(attributes, elements)


def ending(status: str = "COMPLETED", images: int = 3, **elements: Any) -> Dataset:
    """Attributes of the N-SET at the end."""
    series = Dataset()
    series.SeriesInstanceUID = SERIES
    series.ReferencedImageSequence = [reference(n) for n in range(images)]
    series.ReferencedNonImageCompositeSOPInstanceSequence = [reference(99)]
    attributes = Dataset()
    attributes.PerformedProcedureStepStatus = status
    attributes.PerformedProcedureStepEndDate = "20260301"
    attributes.PerformedSeriesSequence = [series]
    return changed(attributes, elements)


def reference(n: int) -> Dataset:
    """An item of a sequence of references."""
    item = Dataset()
    item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    item.ReferencedSOPInstanceUID = f"{SERIES}.{n}"
    return item


def changed(attributes: Dataset, elements: dict[str, Any]) -> Dataset:
    """With some elements changed, or left out."""
    for keyword, value in elements.items():
        if value is None:
            delattr(attributes, keyword)
        else:
            with warnings.catch_warnings(action="ignore"):  # wrong ones are meant to be
                setattr(attributes, keyword, value)
    return attributes


class Steps:
    """Steps under test, and what was told of them."""

    def __init__(self) -> None:
        self.told: list[StepReported] = []
        self.fails: OSError | None = None
        self.steps = PerformedSteps(self._sink, now=lambda: at(0))

    def _sink(self, event: ListenerEvent) -> None:
        if self.fails is not None:
            raise self.fails
        assert isinstance(event, StepReported)
        self.told.append(event)

    def create(self, attributes: Dataset, uid: str = STEP) -> int:
        return self._status(self.steps.create(uid, attributes, CALLER))

    def set(self, attributes: Dataset, caller: Caller = CALLER, uid: str = STEP) -> int:
        return self._status(self.steps.set(uid, attributes, caller))

    def _status(self, answer: tuple[int, Dataset | None]) -> int:
        status, elements = answer
        assert (elements is None) == (status == 0)
        return status


def test_from_beginning_to_end() -> None:
    steps = Steps()
    assert steps.create(beginning()) == 0
    assert steps.set(ending("IN PROGRESS", images=1)) == 0
    assert steps.set(ending(images=2)) == 0
    names = [tuple(f"{SERIES}.{n}" for n in listed) for listed in ((0, 99), (0, 1, 99))]
    assert steps.told == [
        StepReported(STEP, "IN PROGRESS", (), "a1", "CT1", at(0)),
        StepReported(STEP, "IN PROGRESS", (PerformedSeries(SERIES, names[0]),), "a1", "CT1", at(0)),
        StepReported(STEP, "COMPLETED", (PerformedSeries(SERIES, names[1]),), "a1", "CT1", at(0)),
    ]


def test_what_is_not_changed_stays() -> None:
    steps = Steps()
    steps.create(beginning())
    steps.set(ending("IN PROGRESS"))
    assert steps.set(ending("DISCONTINUED", PerformedSeriesSequence=None)) == 0
    assert steps.told[-1].status == "DISCONTINUED"
    assert steps.told[-1].series == steps.told[-2].series


def wrong_item(**elements: Any) -> Sequence:
    """A Performed Series Sequence whose one item is wrong."""
    return Sequence([changed(ending().PerformedSeriesSequence[0], elements)])


@pytest.mark.parametrize(
    ("elements", "status"),
    [
        *[({keyword: None}, 0x0120) for keyword in REQUIRED],
        *[({keyword: ""}, 0x0121) for keyword in REQUIRED],
        ({"PerformedProcedureStepStatus": None}, 0x0120),
        ({"PerformedProcedureStepStatus": ""}, 0x0121),
        ({"PerformedProcedureStepStatus": "COMPLETED"}, 0x0106),
        ({"PerformedProcedureStepStatus": "BEGUN"}, 0x0106),
        ({"PerformedProcedureStepStatus": ["IN PROGRESS", "COMPLETED"]}, 0x0106),
        ({"ScheduledStepAttributesSequence": None}, 0x0120),
        ({"ScheduledStepAttributesSequence": []}, 0x0121),
        ({"ScheduledStepAttributesSequence": [Dataset()]}, 0x0120),
        ({"PerformedSeriesSequence": None}, 0),
        ({"PerformedSeriesSequence": [Dataset()]}, 0x0120),
        ({"PerformedSeriesSequence": wrong_item(SeriesInstanceUID="1.2.x")}, 0x0106),
        ({"PerformedSeriesSequence": wrong_item(ReferencedImageSequence=[Dataset()])}, 0x0120),
        ({"PatientName": None, "PatientID": None}, 0),
    ],
)
def test_what_a_step_is_created_with(elements: dict[str, Any], status: int) -> None:
    steps = Steps()
    assert steps.create(beginning(**elements)) == status
    assert len(steps.told) == (status == 0)
    assert steps.set(ending()) == (0 if status == 0 else 0x0112)


@pytest.mark.parametrize(
    ("elements", "status"),
    [
        ({"PerformedProcedureStepStatus": "DONE"}, 0x0106),
        ({"PerformedProcedureStepStatus": ""}, 0x0121),
        ({"PerformedSeriesSequence": [Dataset()]}, 0x0120),
        ({"PerformedProcedureStepEndDate": None}, 0),
    ],
)
def test_what_a_step_is_changed_to(elements: dict[str, Any], status: int) -> None:
    steps = Steps()
    steps.create(beginning())
    assert steps.set(ending(**elements)) == status
    assert len(steps.told) == 1 + (status == 0)
    assert steps.set(ending()) == (0x0110 if status == 0 else 0)


def test_a_step_is_created_once() -> None:
    steps = Steps()
    assert steps.create(beginning()) == 0
    assert steps.create(beginning()) == 0x0111
    assert steps.create(beginning(), uid="../../x") == 0x0106


@pytest.mark.parametrize("status", ["COMPLETED", "DISCONTINUED"])
def test_what_is_over_is_not_changed(status: str) -> None:
    steps = Steps()
    steps.create(beginning())
    assert steps.set(ending(status)) == 0
    answer, elements = steps.steps.set(STEP, ending(), CALLER)
    assert answer == 0x0110
    assert elements is not None
    assert elements.ErrorID == 0xA710
    assert "no longer be updated" in elements.ErrorComment
    assert len(steps.told) == 2


def test_a_step_of_another() -> None:
    steps = Steps()
    steps.create(beginning())
    other = Caller("a2", "CT2", "192.0.2.18", Peer("CT 2", "CT2"))
    assert steps.set(ending(), caller=other) == 0x0124
    assert steps.set(ending()) == 0


@pytest.mark.parametrize(
    ("error", "status"),
    [(OSError(errno.EIO, "broken"), 0x0110), (OSError(errno.ENOSPC, "full"), 0x0213)],
)
def test_what_is_not_durable_has_not_happened(error: OSError, status: int) -> None:
    steps = Steps()
    steps.fails = error
    assert steps.create(beginning()) == status
    steps.fails = None
    assert steps.create(beginning()) == 0
    steps.fails = error
    assert steps.set(ending()) == status
    steps.fails = None
    assert steps.set(ending()) == 0


def test_after_a_restart() -> None:
    before, after = Steps(), Steps()
    for n, end in enumerate((ending(), None)):
        before.create(beginning(), uid=f"{STEP}.{n}")
        if end is not None:
            before.set(end, uid=f"{STEP}.{n}")
    after.steps.restore(before.told)
    assert after.set(ending(), uid=f"{STEP}.0") == 0x0110
    assert after.create(beginning(), uid=f"{STEP}.1") == 0x0111
    assert after.set(ending(), uid=f"{STEP}.1") == 0


def test_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mpps, "MAXIMUM_STEPS", 3)
    monkeypatch.setattr(mpps, "MAXIMUM_INSTANCES", 10)
    monkeypatch.setattr(mpps, "MAXIMUM_SERIES", 2)
    steps = Steps()
    for n in range(3):
        steps.create(beginning(), uid=f"{STEP}.{n}")
    steps.set(ending(), uid=f"{STEP}.1")
    steps.create(beginning(), uid=f"{STEP}.3")  # the one that is over is forgotten
    assert steps.set(ending(), uid=f"{STEP}.1") == 0x0112
    assert steps.set(ending(images=10), uid=f"{STEP}.0") == 0x0213
    three = [ending().PerformedSeriesSequence[0] for _ in range(3)]
    assert steps.set(ending(PerformedSeriesSequence=three), uid=f"{STEP}.0") == 0x0213
    assert steps.set(ending(images=9), uid=f"{STEP}.0") == 0


def test_steps_of_one_take_no_room_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mpps, "MAXIMUM_STEPS", 3)
    steps = Steps()
    other = Caller("a2", "CT2", "192.0.2.18", Peer("CT 2", "CT2"))
    assert steps.steps.create(f"{STEP}.9", beginning(), other)[0] == 0
    for n in range(5):
        steps.create(beginning(), uid=f"{STEP}.{n}")
    assert steps.set(ending(), caller=other, uid=f"{STEP}.9") == 0


def _text_for_a_sequence(attributes: Dataset) -> None:
    attributes.add_new(0x00400340, "LO", "no sequence")


def _bytes_for_a_text(attributes: Dataset) -> None:
    attributes.add_new(0x00400252, "OB", b"\xff\xfe\x00")


def _a_sequence_that_ends_too_early(attributes: Dataset) -> None:
    tag, value = Tag("PerformedSeriesSequence"), b"\xfe\xff\x00\xe0\xff\xff\x00\x00broken"
    attributes[tag] = RawDataElement(tag, "SQ", len(value), value, 0, False, True)


@pytest.mark.filterwarnings("ignore:The value length")
@pytest.mark.parametrize(
    "spoil", [_text_for_a_sequence, _bytes_for_a_text, _a_sequence_that_ends_too_early]
)
def test_a_wrong_data_set_is_only_refused(spoil: Callable[[Dataset], None]) -> None:
    steps = Steps()
    steps.create(beginning())
    attributes = ending()
    spoil(attributes)
    assert steps.set(attributes) in (0x0106, 0x0110, 0x0120)
    assert len(steps.told) == 1
