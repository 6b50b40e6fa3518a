"""The simulated scanner tells of its scans, and listens to the answers."""

from collections.abc import Iterator

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage
from pynetdicom import AE, evt
from pynetdicom.transport import ThreadedAssociationServer

from scanner_sim.performed import COMMITMENT, PERFORMED_STEP, step_begun, step_ended
from scanner_sim.procedure import ScanEvent
from scanner_sim.push import Destination, Pusher, PushError

ALWAYS = (
    "ScheduledStepAttributesSequence",
    "PerformedProcedureStepID",
    "PerformedStationAETitle",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    "PerformedProcedureStepStatus",
    "Modality",
)
"""Type 1 of PS3.4, table F.7.2-1."""


class Provider:
    """A server that takes images and steps, and answers with a status of one's choice."""

    def __init__(self) -> None:
        self.status = 0x0000
        self.told: list[str] = []
        entity = AE("TESTSCP")
        for sop_class in (CTImageStorage, PERFORMED_STEP, COMMITMENT):
            entity.add_supported_context(sop_class)
        self._server: ThreadedAssociationServer | None = entity.start_server(
            ("127.0.0.1", 0),
            block=False,
            evt_handlers=[
                (evt.EVT_C_STORE, self._store),
                (evt.EVT_N_CREATE, self._create),
                (evt.EVT_N_SET, self._set),
                (evt.EVT_N_ACTION, self._act),
            ],
        )
        assert self._server is not None
        self.destination = Destination("TESTSCP", "127.0.0.1", self._server.server_address[1])

    def _store(self, _event: evt.Event) -> int:
        self.told.append("image")
        return 0x0000

    def _create(self, event: evt.Event) -> tuple[int, None]:
        self.told.append(event.attribute_list.PerformedProcedureStepStatus)
        return self.status, None

    def _set(self, event: evt.Event) -> tuple[int, None]:
        modified = event.modification_list
        listed = modified.PerformedSeriesSequence[0].ReferencedImageSequence
        self.told.append(f"{modified.PerformedProcedureStepStatus} {len(listed)}")
        return self.status, None

    def _act(self, event: evt.Event) -> tuple[int, None]:
        self.told.append(f"commit {len(event.action_information.ReferencedSOPSequence)}")
        return self.status, None

    def close(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None


@pytest.fixture
def provider() -> Iterator[Provider]:
    server = Provider()
    yield server
    server.close()


@pytest.fixture
def images(scans: tuple[ScanEvent, ...]) -> list[Dataset]:
    """The first images of a scan."""
    return scans[0].datasets[:3]


def test_steps_frame_the_images(images: list[Dataset], provider: Provider) -> None:
    Pusher(provider.destination, report_steps=True).scan(images)
    assert provider.told == ["IN PROGRESS", "image", "image", "image", "COMPLETED 3"]


def test_a_scanner_that_tells_nothing(images: list[Dataset], provider: Provider) -> None:
    Pusher(provider.destination).scan(images)
    assert provider.told == ["image"] * 3


def test_a_refusal_is_an_error(images: list[Dataset], provider: Provider) -> None:
    provider.status = 0x0110
    pusher = Pusher(provider.destination)
    with pytest.raises(PushError, match="performed procedure step: status 0x0110"):
        pusher.begin_step(images)
    with pytest.raises(PushError, match="performed procedure step: status 0x0110"):
        pusher.end_step(images)
    with pytest.raises(PushError, match="storage commitment: status 0x0110"):
        pusher.ask_commitment(images)
    assert provider.told == ["IN PROGRESS", "COMPLETED 3", "commit 3"]


def test_what_is_told_is_complete(images: list[Dataset]) -> None:
    begun, ended = step_begun(images, "SIMCT"), step_ended(images)
    assert all(begun[keyword].value for keyword in ALWAYS)
    assert begun.PatientID == images[0].PatientID
    assert ended.PerformedProcedureStepEndDate
    (series,) = ended.PerformedSeriesSequence
    assert series.SeriesInstanceUID == images[0].SeriesInstanceUID
    assert series.ProtocolName
    listed = [one.ReferencedSOPInstanceUID for one in series.ReferencedImageSequence]
    assert listed == [image.SOPInstanceUID for image in images]
