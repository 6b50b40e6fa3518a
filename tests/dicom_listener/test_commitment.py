"""Storage commitment: what is asked for, what is reported, and to whom it is told when."""

import errno
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.transport import ThreadedAssociationServer

from dicom_listener import commitment
from dicom_listener.commitment import Commitments, CommitmentSettings
from dicom_listener.events import CommitmentReported, CommitmentRequested, ListenerEvent
from dicom_listener.negotiation import COMMITMENT
from dicom_listener.nodes import Node, Ourselves
from dicom_listener.peers import Caller, Peer
from tests.dicom_listener.objects import ROOT
from tests.waiting import until

CT = "1.2.840.10008.5.1.4.1.1.2"
DOSE = "1.2.840.10008.5.1.4.1.1.88.67"
NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
QUICK = CommitmentSettings(grace_s=0.0, look_s=0.01, retry_first_s=0.02, retry_longest_s=0.1)


def instance(n: int) -> str:
    """UID of an image."""
    return f"{ROOT}.5.{n}"


def asked(*numbers: int, transaction: int = 1, sop_class: str = CT, **elements: Any) -> Dataset:
    """Action Information for images of these numbers."""
    information = Dataset()
    information.TransactionUID = f"{ROOT}.9.{transaction}"
    information.ReferencedSOPSequence = []
    for n in numbers:
        item = Dataset()
        item.ReferencedSOPClassUID = sop_class
        item.ReferencedSOPInstanceUID = instance(n)
        information.ReferencedSOPSequence.append(item)
    for keyword, value in elements.items():
        setattr(information, keyword, value)
    return information


@dataclass
class Desk:
    """Commitments under test; their peer on the association that asks; and what was told."""

    held: dict[str, str] = field(default_factory=dict)
    reports: list[tuple[int, Dataset]] = field(default_factory=list)
    told: list[ListenerEvent] = field(default_factory=list)
    looked: list[str] = field(default_factory=list)
    faults: list[OSError] = field(default_factory=list)
    takes: Callable[[], bool] = lambda: True
    fails: OSError | None = None
    commitments: Commitments | None = None

    def sop_class_of(self, sop_instance_uid: str) -> str | None:
        if self.faults:
            raise self.faults.pop()
        self.looked.append(sop_instance_uid)
        return self.held.get(sop_instance_uid)

    def sink(self, event: ListenerEvent) -> None:
        if self.fails is not None:
            raise self.fails
        self.told.append(event)

    def report(self, information: Dataset, event_type: int) -> bool:
        if not self.takes():
            return False
        self.reports.append((event_type, information))
        return True

    def ask(self, information: Dataset, peer: str = "CT 1") -> int:
        caller = Caller("a1", "CT1", "192.0.2.17", Peer(peer, "CT1"), report=self.report)
        assert self.commitments is not None
        return self.commitments.request(information, caller)

    def reported(self, count: int = 1) -> list[CommitmentReported]:
        def found() -> list[CommitmentReported]:
            return [one for one in self.told if isinstance(one, CommitmentReported)]

        until(lambda: len(found()) >= count, "a report")
        return found()

    @property
    def failures(self) -> list[dict[str, int]]:
        """Failure Reason by instance, of each report."""
        return [
            {item.ReferencedSOPInstanceUID: item.FailureReason for item in failed}
            for _, information in self.reports
            for failed in [information.get("FailedSOPSequence", [])]
        ]


Open = Callable[..., Desk]


@pytest.fixture
def open_desk() -> Iterator[Open]:
    """Desks that are closed after the test, quickly and with all their threads."""
    desks: list[Desk] = []

    def begin(
        nodes: Mapping[str, Node] | None = None,
        settings: CommitmentSettings = QUICK,
        *,
        started: bool = True,
        now: Callable[[], datetime] = lambda: NOW,
        before: list[ListenerEvent] | None = None,
        held: range = range(5),
    ) -> Desk:
        desk = Desk({instance(n): CT for n in held})
        desk.commitments = Commitments(
            desk, desk.sink, nodes or {}, Ourselves("ICEMARGIN"), settings, now=now
        )
        desk.commitments.restore(before or [])
        desks.append(desk)
        if started:
            desk.commitments.start()
        return desk

    yield begin
    for desk in desks:
        assert desk.commitments is not None
        begun = time.monotonic()
        desk.commitments.stop()
        assert time.monotonic() - begun < 3
    assert not [t for t in threading.enumerate() if t.name.startswith("storage commitment")]


def test_all_is_held(open_desk: Open) -> None:
    desk = open_desk()
    assert desk.ask(asked(0, 1, 1, 2)) == 0
    (reported,) = desk.reported()
    assert reported == CommitmentReported(f"{ROOT}.9.1", True, NOW, "CT 1")
    ((event_type, information),) = desk.reports
    assert event_type == 1
    assert information.TransactionUID == f"{ROOT}.9.1"
    committed = information.ReferencedSOPSequence
    assert [one.ReferencedSOPInstanceUID for one in committed] == [instance(n) for n in range(3)]
    assert "FailedSOPSequence" not in information
    instances = tuple((CT, instance(n)) for n in range(3))
    assert desk.told[0] == CommitmentRequested(f"{ROOT}.9.1", instances, "a1", "CT1", "CT 1", NOW)


def test_what_is_not_held(open_desk: Open) -> None:
    desk = open_desk()
    desk.held[instance(2)] = DOSE
    assert desk.ask(asked(1, 2, 7)) == 0
    desk.reported()
    ((event_type, information),) = desk.reports
    assert event_type == 2
    assert [one.ReferencedSOPInstanceUID for one in information.ReferencedSOPSequence] == [
        instance(1)
    ]
    assert desk.failures == [{instance(2): 0x0119, instance(7): 0x0112}]


def test_nothing_is_held(open_desk: Open) -> None:
    desk = open_desk()
    desk.ask(asked(7))
    desk.reported()
    assert "ReferencedSOPSequence" not in desk.reports[0][1]


def test_what_is_under_way_is_waited_for(open_desk: Open) -> None:
    desk = open_desk(settings=replace(QUICK, grace_s=60))
    desk.ask(asked(*range(6)))
    until(lambda: desk.looked.count(instance(5)) > 3, "looking again")
    assert desk.looked.count(instance(0)) == 1  # what is held is not looked for again
    assert not desk.reports
    desk.held[instance(5)] = CT
    desk.reported()
    assert desk.failures == [{}]


def test_it_is_not_waited_for_longer_than_that(open_desk: Open) -> None:
    clock = itertools.chain([0.0, 0.0, 5.0], itertools.repeat(10.0))
    desk = open_desk(
        settings=replace(QUICK, grace_s=10), now=lambda: NOW + timedelta(seconds=next(clock))
    )
    desk.ask(asked(7))
    desk.reported()
    assert desk.failures == [{instance(7): 0x0112}]


def test_the_same_again_is_reported_again(open_desk: Open) -> None:
    desk = open_desk()
    for _ in range(2):
        assert desk.ask(asked(0, 1)) == 0
    desk.reported(2)
    assert desk.failures == [{}, {}]


def test_a_transaction_that_is_used_for_something_else(open_desk: Open) -> None:
    desk = open_desk()
    desk.ask(asked(0, 1))
    desk.reported()
    assert desk.ask(asked(2, 3)) == 0
    desk.reported(2)
    assert desk.failures[1] == {instance(2): 0x0131, instance(3): 0x0131}


def broken(keyword: str, value: object) -> Dataset:
    """A request with one wrong element."""
    information = asked(0)
    del information[keyword]
    if value is not None:
        information.add_new(keyword, "LO", value)
    return information


@pytest.mark.parametrize(
    ("information", "status"),
    [
        (Dataset(), 0x0115),
        (broken("TransactionUID", None), 0x0115),
        (broken("TransactionUID", "no UID"), 0x0115),
        (broken("ReferencedSOPSequence", None), 0x0115),
        (broken("ReferencedSOPSequence", "no sequence"), 0x0115),
        (asked(), 0x0115),
        (asked(ReferencedSOPSequence=[Dataset()]), 0x0115),
    ],
)
def test_what_can_not_be_understood(open_desk: Open, information: Dataset, status: int) -> None:
    desk = open_desk()
    assert desk.ask(information) == status
    assert not desk.told


def test_bounds(open_desk: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicom_listener.transaction.MAXIMUM_INSTANCES", 3)
    monkeypatch.setattr(commitment, "MAXIMUM_KNOWN", 2)
    desk = open_desk(settings=replace(QUICK, maximum_pending=2), started=False)
    assert desk.ask(asked(0, 1, 2, 3)) == 0x0213
    assert [desk.ask(asked(0, transaction=n)) for n in range(3)] == [0, 0, 0x0213]
    assert desk.commitments is not None
    assert desk.commitments.pending == 2
    assert len(desk.told) == 2
    again = [asked(0, transaction=n) for n in range(3, 6)]
    assert [desk.ask(one, peer="CT 2") for one in again] == [0, 0, 0x0213]  # room of its own


def test_transactions_of_one_push_out_none_of_another(
    open_desk: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commitment, "MAXIMUM_KNOWN", 2)
    desk = open_desk()
    desk.ask(asked(0))
    for n in range(2, 6):
        desk.ask(asked(1, transaction=n), peer="CT 2")
    desk.reported(5)
    assert desk.ask(asked(1)) == 0  # another object under the UID of the first
    desk.reported(6)
    assert desk.failures[5] == {instance(1): 0x0131}


@pytest.mark.parametrize(
    ("error", "status"),
    [(OSError(errno.EIO, "broken"), 0x0110), (OSError(errno.ENOSPC, "full"), 0x0213)],
)
def test_what_is_not_durable_is_not_accepted(open_desk: Open, error: OSError, status: int) -> None:
    desk = open_desk()
    desk.fails = error
    assert desk.ask(asked(0)) == status
    assert desk.commitments is not None
    assert desk.commitments.pending == 0


def test_a_peer_that_can_not_be_called_is_given_up_soon(open_desk: Open) -> None:
    desk = open_desk()
    tries = itertools.count(1)
    desk.takes = lambda: next(tries) > 100
    desk.ask(asked(0))
    assert [one.delivered for one in desk.reported()] == [False]
    assert next(tries) == 4
    assert desk.commitments is not None
    assert desk.commitments.pending == 0


def test_a_fault_of_ours_holds_up_nothing(open_desk: Open) -> None:
    """A disk that can't be read once, for instance."""
    desk = open_desk()
    desk.faults.append(OSError("broken"))
    desk.ask(asked(0))
    desk.ask(asked(1, transaction=2))
    desk.reported(2)
    assert desk.failures == [{}, {}]


# Calls of our own


class Modality:
    """A scanner that waits for reports, by pynetdicom."""

    def __init__(self, status: int = 0, port: int = 0) -> None:
        self.reports: list[tuple[int, Dataset]] = []
        self._status = status
        entity = AE("CT1")
        # It is the user of the service, who calls is the provider (PS3.7, D.3.3.4).
        entity.add_supported_context(COMMITMENT, scu_role=False, scp_role=True)
        self._server: ThreadedAssociationServer | None = entity.start_server(
            ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, self._take)]
        )
        assert self._server is not None
        self.port = int(self._server.server_address[1])

    @property
    def node(self) -> Node:
        return Node("CT 1", "CT1", "127.0.0.1", self.port)

    def _take(self, event: evt.Event) -> tuple[int, None]:
        assert event.event_type is not None
        self.reports.append((event.event_type, event.event_information))
        return self._status, None

    def close(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server = None


@pytest.fixture
def modality() -> Iterator[Modality]:
    one = Modality()
    yield one
    one.close()


def test_a_call_when_the_association_is_over(open_desk: Open, modality: Modality) -> None:
    desk = open_desk({"CT 1": modality.node})
    desk.takes = lambda: False
    desk.ask(asked(0, 7))
    assert [one.delivered for one in desk.reported()] == [True]
    ((event_type, information),) = modality.reports
    assert event_type == 2
    assert information.TransactionUID == f"{ROOT}.9.1"
    assert information.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == instance(0)
    assert information.FailedSOPSequence[0].FailureReason == 0x0112


def test_tried_until_it_is_there(open_desk: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    desk = open_desk({"CT 1": Node("CT 1", "CT1", "127.0.0.1", port)})
    tries = itertools.count()
    desk.takes = lambda: next(tries) > 100
    desk.ask(asked(0))
    until(lambda: next(tries) > 0, "a first try")
    late = Modality(port=port)
    try:
        assert [one.delivered for one in desk.reported()] == [True]
        assert len(late.reports) == 1
    finally:
        late.close()


def test_given_up_in_the_end(open_desk: Open) -> None:
    refusing = Modality(status=0x0110)
    clock = itertools.count()
    try:
        desk = open_desk(
            {"CT 1": refusing.node},
            replace(QUICK, give_up_s=5),
            now=lambda: NOW + timedelta(seconds=next(clock)),
        )
        desk.takes = lambda: False
        desk.ask(asked(0))
        assert [one.delivered for one in desk.reported()] == [False]
        assert len(refusing.reports) > 1
    finally:
        refusing.close()


def test_after_a_restart(open_desk: Open, modality: Modality) -> None:
    before = open_desk(started=False)
    for n in (1, 2):
        before.ask(asked(0, n, transaction=n))
    told = [*before.told, CommitmentReported(f"{ROOT}.9.1", True, NOW)]
    desk = open_desk({"CT 1": modality.node}, before=told)
    assert [one.transaction_uid for one in desk.reported()] == [f"{ROOT}.9.2"]
    assert len(modality.reports) == 1
    desk.ask(asked(3, transaction=1))
    desk.reported(2)
    assert desk.failures == [{instance(3): 0x0131}]


def test_a_silent_peer_holds_up_no_other_and_no_end(open_desk: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        node = Node("CT 2", "CT2", "127.0.0.1", silent.getsockname()[1])
        desk = open_desk({"CT 2": node})
        desk.takes = lambda: False
        for n in range(20):
            desk.ask(asked(0, transaction=n), peer="CT 2")
        connection, _ = silent.accept()
        desk.takes = lambda: True
        desk.ask(asked(0, transaction=99), peer="CT 1")
        assert [one.transaction_uid for one in desk.reported()] == [f"{ROOT}.9.99"]
        assert desk.commitments is not None
        desk.commitments.stop()
        assert desk.commitments.pending == 20
        connection.close()
