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
