"""What a modality tells besides its images, over the network: by the simulated scanner, pynetdicom
and Orthanc.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE

from dicom_listener.commitment import Commitments, CommitmentSettings
from dicom_listener.events import (
    AssociationEnded,
    CommitmentReported,
    CommitmentRequested,
    ListenerEvent,
    ObjectStored,
    StepReported,
)
from dicom_listener.listener import Listener, ListenerSettings
from dicom_listener.mpps import PerformedSteps
from dicom_listener.negotiation import PERFORMED_STEP
from dicom_listener.nodes import Node, Ourselves
from dicom_listener.peers import Peer
from dicom_listener.series import AssemblerOutput, SeriesAssembler, SeriesReady
from dicom_listener.spool import Spool
from scanner_sim.push import Destination, Pusher, PushError
from tests.dicom_listener.objects import ct_slice, part10
from tests.dicom_listener.test_mpps import STEP, beginning, ending
from tests.peers.orthanc import free_port, running_orthanc
from tests.waiting import until


@dataclass
class Service:
    """A listener with all its services, and what it has told."""

    listener: Listener
    told: list[ListenerEvent]

    @property
    def destination(self) -> Destination:
        """Where to send."""
        return Destination("ICEMARGIN", "127.0.0.1", self.listener.port)

    def judged(self) -> list[tuple[str, str, str | None]]:
        """What an assembler makes of it: completeness, evidence, reason."""
        assembler = SeriesAssembler()
        outputs: list[AssemblerOutput] = []
        for event in self.told:
            match event:
                case ObjectStored():
                    outputs += assembler.add(
                        event.header,
                        event.path,
                        event.received_at,
                        event.association_id,
                        calling_ae_title=event.calling_ae_title,
                    )
                case AssociationEnded():
                    outputs += assembler.association_ended(
                        event.association_id, event.how, event.at
                    )
                case StepReported():
                    outputs += assembler.step_reported(event)
                case CommitmentRequested():
                    outputs += assembler.commitment_requested(event)
        return [
            (one.completeness, one.evidence, one.reason.code if one.reason else None)
            for one in outputs
            if isinstance(one, SeriesReady)
        ]

    def wait_for_end(self, associations: int = 1) -> None:
        """Wait until so many associations are known to be over."""
        until(
            lambda: sum(isinstance(one, AssociationEnded) for one in self.told) >= associations,
            "the end of associations",
        )


@contextmanager
def serve(
    folder: Path, nodes: dict[str, Node] | None = None, grace_s: float = 0.0
) -> Iterator[Service]:
    """A listener with all its services."""
    told: list[ListenerEvent] = []
    settings = CommitmentSettings(grace_s=grace_s, look_s=0.02, retry_first_s=0.05)
    peers = tuple(Peer(name, name) for name in ("SIMCT", "RAW", "ORTHANC"))
    with Spool(folder / "spool") as spool:
        commitments = Commitments(spool, told.append, nodes or {}, Ourselves("ICEMARGIN"), settings)
        listener = Listener(
            ListenerSettings(port=0, peers=peers, stop_s=0.2),
            spool,
            told.append,
            steps_handler=PerformedSteps(told.append),
            commitment_handler=commitments,
        )
        commitments.start()
        listener.start()
        try:
            yield Service(listener, told)
        finally:
            listener.stop()
            commitments.stop()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """One for a test."""
    with serve(tmp_path) as one:
        yield one


def images(count: int = 6) -> list[Dataset]:
    """A scan as the simulated scanner makes it, in short."""
    found: list[Dataset] = []
    for n in range(count):
        image = ct_slice(n, size=16)
        image.AccessionNumber = image.StudyID = "1"
        image.StudyDescription = "CT"
        image.PatientBirthDate, image.PatientSex = "19600101", "O"
        image.StationName = "SIMCT"
        image.SeriesNumber = 2
        image.SeriesDate = image.InstanceCreationDate = "20260301"
        image.SeriesTime = image.InstanceCreationTime = "090000"
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        found.append(image)
    return found


def test_a_scan_is_final_by_its_step(service: Service) -> None:
    """From the first image's step to the last one's list, as a scanner does it."""
    scan = images()
    pusher = Pusher(service.destination, report_steps=True, commit=True)
    assert pusher.scan(scan) == 6
    until(lambda: any(isinstance(one, CommitmentReported) for one in service.told), "a report")
    steps = [one for one in service.told if isinstance(one, StepReported)]
    assert [one.status for one in steps] == ["IN PROGRESS", "COMPLETED"]
    listed = {uid for one in steps[1].series for uid in one.instance_uids}
    assert listed == {str(image.SOPInstanceUID) for image in scan}
    assert [said[0] for said in service.judged()] == ["final"]
    without_release: list[ListenerEvent] = [
        one for one in service.told if not isinstance(one, AssociationEnded)
    ]
    assert Service(service.listener, without_release).judged() == [("final", "mpps", None)]


def test_an_image_that_got_lost_is_missed(service: Service) -> None:
    scan = images()
    pusher = Pusher(service.destination)
    pusher.begin_step(scan)
    assert pusher.send(scan[:5]) == 5
    service.wait_for_end(2)
    pusher.end_step(scan)
    with pytest.raises(PushError, match="does not commit"):
        pusher.ask_commitment(scan)
    assert service.judged() == [
        ("final", "release", None),
        ("provisional", "mpps", "listed_images_missing"),
    ]
    assert pusher.send(scan[5:]) == 1
    pusher.ask_commitment(scan)
    assert service.judged()[2:] == [("final", "mpps", None)]


def test_a_scan_that_is_broken_off(service: Service) -> None:
    pusher = Pusher(service.destination)
    scan = images()
    pusher.begin_step(scan)
    pusher.send(scan[:4])
    pusher.end_step(scan[:4], "DISCONTINUED")
    assert service.judged()[-1] == ("provisional", "mpps", "discontinued")


def test_commitment_is_reported_after_the_last_slices_came(tmp_path: Path) -> None:
    with serve(tmp_path, grace_s=30.0) as service:
        scan = images()
        pusher = Pusher(service.destination)
        pusher.send(scan[:4])
        asking = threading.Thread(target=pusher.ask_commitment, args=(scan,))
        asking.start()
        until(lambda: any(isinstance(one, CommitmentRequested) for one in service.told), "asking")
        pusher.send(scan[4:])
        asking.join(30)
        (reported,) = [one for one in service.told if isinstance(one, CommitmentReported)]
        assert reported.delivered


def test_refusals_reach_the_modality(service: Service) -> None:
    """Status, Error ID and Error Comment, as pynetdicom reads them."""
    entity = AE("RAW")
    entity.add_requested_context(PERFORMED_STEP)
    port = service.listener.port
    association = entity.associate("127.0.0.1", port, ae_title="ICEMARGIN")
    assert association.is_established
    try:
        status, _ = association.send_n_set(ending(), PERFORMED_STEP, STEP)
        assert status.Status == 0x0112
        status, _ = association.send_n_create(beginning(Modality=None), PERFORMED_STEP, STEP)
        assert status.Status == 0x0120
        assert "Modality" in status.ErrorComment
        for expected in (0x0000, 0x0111):
            status, _ = association.send_n_create(beginning(), PERFORMED_STEP, STEP)
            assert status.Status == expected
        for expected in (0x0000, 0x0110):
            status, _ = association.send_n_set(ending(), PERFORMED_STEP, STEP)
            assert status.Status == expected
        assert status.ErrorID == 0xA710
    finally:
        association.release()


@pytest.mark.peer
def test_orthanc_asks_for_commitment(tmp_path: Path) -> None:
    """It asks on one association, which it closes, and waits for our call."""
    port = free_port()
    nodes = {"ORTHANC": Node("ORTHANC", "ORTHANC", "127.0.0.1", port)}
    with (
        serve(tmp_path, nodes) as service,
        running_orthanc(tmp_path / "orthanc", port=port) as orthanc,
    ):
        orthanc.add_modality(
            "icemargin", "ICEMARGIN", service.listener.port, AllowStorageCommitment=True
        )
        paths = []
        for n in range(4):
            paths.append(tmp_path / f"{n}.dcm")
            paths[-1].write_bytes(part10(ct_slice(n)))
        resources = [orthanc.upload(path) for path in paths]
        answer = orthanc.store("icemargin", resources, StorageCommitment=True)
        assert answer.is_success, answer.text
        transaction = answer.json()["StorageCommitmentTransactionUID"]

        def report() -> dict[str, Any] | None:
            found: dict[str, Any] = orthanc.call("GET", f"/storage-commitment/{transaction}")
            return found if found["Status"] != "Pending" else None

        reported = until(report, "Orthanc has the report")
        assert reported["Status"] == "Success"
        assert len(reported["Success"]) == 4
        until(lambda: isinstance(service.told[-1], CommitmentReported), "the report's end")
        assert service.judged()[0][0] == "final"
