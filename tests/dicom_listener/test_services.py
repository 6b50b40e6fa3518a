"""Performed procedure steps and storage commitment reach their handlers, and the answers come back.

What the handlers make of them is tested with them.
"""

import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom.dsutils import encode

from dicom_listener.commands import (
    ACTION_TYPE_ID,
    AFFECTED_CLASS,
    AFFECTED_INSTANCE,
    ANSWERED_MESSAGE_ID,
    COMMAND_FIELD,
    ERROR_COMMENT,
    ERROR_ID,
    EVENT_TYPE_ID,
    MESSAGE_ID,
    REQUESTED_CLASS,
    REQUESTED_INSTANCE,
    STATUS,
)
from dicom_listener.events import AssociationEnded
from dicom_listener.listener import Listener, ListenerSettings
from dicom_listener.messages import MAXIMUM_ATTRIBUTES_BYTES
from dicom_listener.negotiation import COMMITMENT, COMMITMENT_INSTANCE, PERFORMED_STEP
from dicom_listener.peers import Caller, Peer
from dicom_listener.spool import Spool
from dicom_listener.syntaxes import VERIFICATION
from tests.dicom_listener.conftest import Running, Sink
from tests.dicom_listener.raw_peer import ASSOCIATE_AC, RawPeer, p_data

STEP = "1.2.826.0.1.3680043.10.999.9"
EXPLICIT = [ExplicitVRLittleEndian]
CONTEXTS = [(1, PERFORMED_STEP, EXPLICIT), (3, COMMITMENT, EXPLICIT), (5, VERIFICATION, EXPLICIT)]
ECHO, CREATE, SET, ACTION, GET, REPORT = 0x30, 0x140, 0x120, 0x130, 0x110, 0x100


@dataclass
class Steps:
    """Notes what it is asked, and answers as told."""

    asked: list[tuple[str, str, Dataset, Caller]] = field(default_factory=list)
    answer: tuple[int, Dataset | None] = (0, None)
    failure: Exception | None = None

    def create(self, uid: str, attributes: Dataset, caller: Caller) -> tuple[int, Dataset | None]:
        return self._note("create", uid, attributes, caller)

    def set(self, uid: str, attributes: Dataset, caller: Caller) -> tuple[int, Dataset | None]:
        return self._note("set", uid, attributes, caller)

    def _note(
        self, what: str, uid: str, attributes: Dataset, caller: Caller
    ) -> tuple[int, Dataset | None]:
        if self.failure is not None:
            raise self.failure
        self.asked.append((what, uid, attributes, caller))
        return self.answer


@dataclass
class Commitment:
    """Notes what it is asked, and may report in a thread of its own."""

    asked: list[tuple[Dataset, Caller]] = field(default_factory=list)
    status: int = 0
    reported: list[bool] = field(default_factory=list)

    def request(self, information: Dataset, caller: Caller) -> int:
        self.asked.append((information, caller))
        self.reported.append(caller.report(information, 1))  # from this thread: not possible
        return self.status

    def report(self) -> threading.Thread:
        """Report on what was asked last."""
        information, caller = self.asked[-1]
        thread = threading.Thread(
            target=lambda: self.reported.append(caller.report(information, 1))
        )
        thread.start()
        return thread


@dataclass(frozen=True)
class Offering(Running):
    """A listener with handlers."""

    steps: Steps
    commitment: Commitment


@pytest.fixture
def offering(tmp_path: Path) -> Iterator[Offering]:
    with Spool(tmp_path / "spool", free_floor_bytes=0) as spool:
        steps, commitment, sink = Steps(), Commitment(), Sink()
        settings = ListenerSettings(port=0, stop_s=0.2, peers=(Peer("CT 1", "RAW"),))
        listener = Listener(
            settings, spool, sink, steps_handler=steps, commitment_handler=commitment
        )
        listener.start()
        yield Offering(listener, spool, sink, steps, commitment)
        listener.stop()


@pytest.fixture
def peer(offering: Offering) -> Iterator[RawPeer]:
    with RawPeer(offering.port) as peer:
        assert peer.associate(CONTEXTS) == ASSOCIATE_AC
        yield peer


def attributes(**elements: Any) -> bytes:
    """An encoded data set."""
    data = Dataset()
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    encoded = encode(data, is_implicit_vr=False, is_little_endian=True)
    assert encoded is not None
    return encoded


def asks(command: int, instance: str | None, message: int = 7, **more: Any) -> dict[int, int | str]:
    """A request's elements."""
    affected = command in (CREATE, ECHO)
    sop_class = {ACTION: COMMITMENT, ECHO: VERIFICATION}.get(command, PERFORMED_STEP)
    found: dict[int, int | str] = {COMMAND_FIELD: command, MESSAGE_ID: message}
    found[AFFECTED_CLASS if affected else REQUESTED_CLASS] = more.get("sop_class", sop_class)
    if instance is not None:
        found[AFFECTED_INSTANCE if affected else REQUESTED_INSTANCE] = instance
    if command == ACTION:
        found[ACTION_TYPE_ID] = more.get("action", 1)
    return found


def status_of(answer: tuple[dict[int, bytes], bytes]) -> int:
    """Its status, and that it is the answer to message 7."""
    assert answer[0][ANSWERED_MESSAGE_ID] == b"\7\0"
    return int.from_bytes(answer[0][STATUS], "little")


def test_a_step_is_created_and_set(offering: Offering, peer: RawPeer) -> None:
    for command, status in ((CREATE, "IN PROGRESS"), (SET, "COMPLETED")):
        given = attributes(PerformedProcedureStepStatus=status)
        answer = peer.message(asks(command, STEP), given)
        assert status_of(answer) == 0
        assert answer[0][COMMAND_FIELD] == struct.pack("<H", command | 0x8000)
        assert answer[0][AFFECTED_INSTANCE].rstrip(b"\0").decode() == STEP
        assert answer[1] == b""
    assert [(what, uid) for what, uid, *_ in offering.steps.asked] == [
        ("create", STEP),
        ("set", STEP),
    ]
    _, _, given_last, caller = offering.steps.asked[-1]
    assert given_last.PerformedProcedureStepStatus == "COMPLETED"
    assert (caller.peer.name, caller.calling_ae_title) == ("CT 1", "RAW")
    assert (caller.peer_address, caller.secure) == ("127.0.0.1", False)
    assert offering.listener.counters.read().steps_reported == 2


def test_an_answer_with_attributes(offering: Offering, peer: RawPeer) -> None:
    given = Dataset()
    given.PerformedProcedureStepID = "1" * 16
    offering.steps.answer = (0, given)
    answer = peer.message(asks(CREATE, STEP), attributes(Modality="CT"))
    assert status_of(answer) == 0
    assert attributes(PerformedProcedureStepID="1" * 16) == answer[1]


def test_a_failure_with_its_reason(offering: Offering, peer: RawPeer) -> None:
    given = Dataset()
    given.ErrorComment, given.ErrorID = "Not again", 0xA710
    offering.steps.answer = (0x0110, given)
    answer = peer.message(asks(SET, STEP), attributes(Modality="CT"))
    assert status_of(answer) == 0x0110
    assert (answer[0][ERROR_COMMENT], answer[0][ERROR_ID]) == (b"Not again ", b"\x10\xa7")
    assert answer[1] == b""


@pytest.mark.parametrize(
    ("request_", "context", "status"),
    [
        (asks(CREATE, None), 1, 0x0117),
        (asks(SET, "../../x"), 1, 0x0117),
        (asks(GET, STEP), 1, 0x0211),
        (asks(ACTION, STEP), 1, 0x0118),
        (asks(CREATE, STEP, sop_class=CTImageStorage), 1, 0x0118),
        (asks(ACTION, STEP), 3, 0x0112),
        (asks(ACTION, COMMITMENT_INSTANCE, action=2), 3, 0x0123),
        (asks(GET, COMMITMENT_INSTANCE, sop_class=COMMITMENT), 3, 0x0211),
        (asks(GET, STEP, sop_class=VERIFICATION), 5, 0x0211),
        (asks(ECHO, None, sop_class=PERFORMED_STEP), 1, 0x0211),
        (asks(ECHO, None), 5, 0),
    ],
)
def test_requests_that_are_none_of_ours(
    offering: Offering, peer: RawPeer, request_: dict[int, int | str], context: int, status: int
) -> None:
    """Each is answered, and the association goes on."""
    assert status_of(peer.message(request_, context=context)) == status
    assert status_of(peer.message(asks(ECHO, None), context=5)) == 0
    assert not offering.steps.asked
    assert not offering.commitment.asked


def test_a_data_set_that_is_none(offering: Offering, peer: RawPeer) -> None:
    answer = peer.message(asks(CREATE, STEP), b"\x08\0\x05\0SQ\0\0\xff\xff\xff\xff\1\2\3")
    assert status_of(answer) == 0x0110
    assert answer[0][ERROR_COMMENT].rstrip() == b"The data set can't be read."
    assert not offering.steps.asked
    assert offering.listener.counters.read().handler_errors == 0


def test_a_data_set_that_is_too_long(offering: Offering, peer: RawPeer) -> None:
    part = bytes(128 << 10)
    peer.send_message(asks(CREATE, STEP), part, is_last=False)
    for _ in range(MAXIMUM_ATTRIBUTES_BYTES // len(part)):
        peer.send(p_data(part, command=False, last=False))
    peer.send(p_data(b"", command=False))
    assert status_of(peer.next_message()) == 0x0213
    assert not offering.steps.asked


@pytest.mark.parametrize(
    ("failure", "counter"),
    [(OSError(5, "the disk fails"), "records_failed"), (KeyError("x"), "handler_errors")],
)
def test_a_handler_that_fails(
    offering: Offering, peer: RawPeer, failure: Exception, counter: str
) -> None:
    offering.steps.failure = failure
    assert status_of(peer.message(asks(CREATE, STEP), attributes(Modality="CT"))) == 0x0110
    offering.steps.failure = None
    assert status_of(peer.message(asks(CREATE, STEP), attributes(Modality="CT"))) == 0
    assert getattr(offering.listener.counters.read(), counter) == 1


def request_commitment(peer: RawPeer) -> None:
    data = attributes(TransactionUID="1.2.3")
    answer = peer.message(asks(ACTION, COMMITMENT_INSTANCE), data, context=3)
    assert status_of(answer) == 0
    assert answer[0][ACTION_TYPE_ID] == b"\1\0"


def test_a_report_on_the_same_association(offering: Offering, peer: RawPeer) -> None:
    request_commitment(peer)
    assert offering.commitment.reported == [False]  # within the request it can't be
    for status in (0, 0x0110):
        thread = offering.commitment.report()
        command, data = peer.next_message()
        assert command[COMMAND_FIELD] == struct.pack("<H", REPORT)
        assert command[AFFECTED_INSTANCE].rstrip(b"\0").decode() == COMMITMENT_INSTANCE
        assert command[EVENT_TYPE_ID] == b"\1\0"
        assert data == attributes(TransactionUID="1.2.3")
        # A request of the peer's own may come first.
        assert status_of(peer.message(asks(ECHO, None), context=5)) == 0
        number = int.from_bytes(command[MESSAGE_ID], "little")
        peer.send_message(
            {COMMAND_FIELD: REPORT | 0x8000, ANSWERED_MESSAGE_ID: number, STATUS: status}, context=3
        )
        thread.join(10)
    assert offering.commitment.reported == [False, True, False]
    peer.release()


def test_a_report_after_the_association(offering: Offering, peer: RawPeer) -> None:
    request_commitment(peer)
    peer.release()
    offering.sink.wait(AssociationEnded)
    offering.commitment.report().join(10)
    assert offering.commitment.reported == [False, False]


def test_an_association_that_ends_instead_of_answering_a_report(
    offering: Offering, peer: RawPeer
) -> None:
    request_commitment(peer)
    thread = offering.commitment.report()
    peer.next_message()
    peer.release()
    thread.join(10)
    assert offering.commitment.reported == [False, False]
    assert offering.sink.wait(AssociationEnded)[0].how == "released"


def test_services_without_a_handler_are_not_offered(running: Running) -> None:
    with RawPeer(running.port) as peer:
        assert set(peer.accepted(CONTEXTS)) == {5}


def stored(service: Service, count: int) -> None:
    """Wait until so many objects, and the end of their association, were told of."""
    until(
        lambda: (
            sum(isinstance(one, ObjectStored) for one in service.told) >= count
            and isinstance(service.told[-1], AssociationEnded)
        ),
        "objects",
    )


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
    assert service.judged() == [("final", "release", None)]  # which came first
    without_release = [one for one in service.told if not isinstance(one, AssociationEnded)]
    assert Service(service.listener, without_release).judged() == [("final", "mpps", None)]


def test_an_image_that_got_lost_is_missed(service: Service) -> None:
    scan = images()
    pusher = Pusher(service.destination)
    pusher.begin_step(scan)
    assert pusher.send(scan[:5]) == 5
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
    stop = threading.Event()
    pusher = Pusher(service.destination, report_steps=True, stop=stop)
    scan = images()
    pusher.begin_step(scan)
    pusher.send(scan[:4])
    pusher.end_step(scan[:4], "DISCONTINUED")
    assert service.judged()[-1] == ("provisional", "mpps", "discontinued")


def test_commitment_is_reported_after_the_last_slices_came(tmp_path: Path) -> None:
    with closing(serve(tmp_path, grace_s=30.0)) as service:  # type: ignore[type-var]
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


def test_what_the_simulated_scanner_tells_is_complete() -> None:
    """Every attribute that is type 1 or 2 at the end (PS3.4, table F.7.2-1)."""
    step = step_begun(images(), "SIMCT")
    step.update(step_ended(images()))
    assert step.PerformedProcedureStepEndDate == "20260301"
    (series,) = step.PerformedSeriesSequence
    assert len(series.ReferencedImageSequence) == 6
    assert series.ProtocolName == "Monitoring"


@pytest.mark.peer
def test_orthanc_asks_for_commitment(tmp_path: Path) -> None:
    """It asks on one association, which it closes, and waits for our call."""
    port = free_port()
    nodes = {"ORTHANC": Node("ORTHANC", "ORTHANC", "127.0.0.1", port)}
    with (
        closing(serve(tmp_path, nodes)) as service,  # type: ignore[type-var]
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

        def report() -> dict[str, object] | None:
            found = orthanc.call("GET", f"/storage-commitment/{transaction}")
            return found if found["Status"] != "Pending" else None

        reported = until(report, "Orthanc has the report")
        assert reported["Status"] == "Success"
        assert len(reported["Success"]) == 4
        until(lambda: isinstance(service.told[-1], CommitmentReported), "the report's end")
        assert service.judged()[0][0] == "final"
