"""Who is let in, and that nobody takes what is another's: places, connections, time, pace."""

import ipaddress
import select
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydicom.uid import CTImageStorage

from dicom_listener.counters import PeerCounts
from dicom_listener.events import (
    AssociationEnded,
    AssociationOpened,
    AssociationRejected,
    ObjectRefused,
    ObjectStored,
)
from dicom_listener.hosting import WRITTEN_PER_ADDRESS
from dicom_listener.listener import ListenerError
from dicom_listener.pace import LEAST_BYTES_S, Pace
from dicom_listener.peers import (
    CALLED_TITLE,
    CALLING_TITLE,
    LOCAL_LIMIT,
    NO_REASON,
    Peer,
    Peers,
    Rejection,
)
from dicom_listener.server import MAXIMUM_WAITING
from dicom_listener.wire import WireError
from tests.dicom_listener.conftest import Running, Start, until
from tests.dicom_listener.objects import SERIES, ct_slice, encode
from tests.dicom_listener.raw_peer import (
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    CT,
    RawPeer,
    associate_rq,
    c_store_rq,
    p_data,
)

ONE, OTHER = "a" * 64, "b" * 64
HERE = ipaddress.ip_address("192.0.2.17")
THERE = ipaddress.ip_address("198.51.100.1")
CT1 = Peer("CT 1", "CT1", (ipaddress.ip_network("192.0.2.0/24"),))


def deliver(running: Running, calling: str, count: int, source: str = "127.0.0.1") -> list[int]:
    """Send slices on one association, one after the other; what each was answered."""
    with RawPeer(running.port, source=source) as peer:
        assert peer.associate(calling=calling) == ASSOCIATE_AC
        found = [
            peer.store(encode(ct_slice(n)), CTImageStorage, f"{SERIES}.{n + 1}")
            for n in range(count)
        ]
        peer.release()
    return [status for status in found if status is not None]


# Who it is


@pytest.mark.parametrize(
    ("peers", "secure", "fingerprint", "expected"),
    [
        ([CT1], False, "", "CT 1"),
        ([Peer("CT 2", "CT2"), CT1], False, "", "CT 1"),
        ([Peer("CT 2", "CT2")], False, "", CALLING_TITLE),
        ([Peer("X", "CT1", (ipaddress.ip_network("10.0.0.0/8"),))], False, "", CALLING_TITLE),
        ([Peer("X", "CT1", (ipaddress.ip_network("10.0.0.0/8"),)), CT1], False, "", "CT 1"),
        ([Peer("X", "CT1", tls_required=True)], False, "", NO_REASON),
        ([Peer("X", "CT1", tls_required=True)], True, ONE, "X"),
        ([Peer("X", "CT1", certificate_sha256=frozenset({ONE}))], True, ONE, "X"),
        ([Peer("X", "CT1", certificate_sha256=frozenset({ONE}))], True, OTHER, CALLING_TITLE),
        ([Peer("X", "CT1", certificate_sha256=frozenset({ONE}))], False, "", NO_REASON),
    ],
)
def test_who_a_caller_is(
    peers: list[Peer], secure: bool, fingerprint: str, expected: str | tuple[int, int, int]
) -> None:
    found = Peers(peers).recognize("CT1", HERE, secure=secure, fingerprint=fingerprint)
    if isinstance(found, Rejection):
        assert found.code == expected
        assert found.reason.endswith(".")
    else:
        assert found.name == expected


def test_where_nobody_is_named_everybody_is_called_by_their_title() -> None:
    peers = Peers([], Peer("", "", maximum_associations=2))
    one, two = (peers.recognize(title, HERE, secure=False) for title in ("CT1", "CT2"))
    assert isinstance(one, Peer)
    assert isinstance(two, Peer)
    assert (one.name, two.name) == ("CT1", "CT2")
    assert [peers.take_place(peer) for peer in (one, two, one)] == [True, True, False]
    peers.leave_place(two)
    assert peers.take_place(one)


def test_from_where_a_connection_is_taken_at_all() -> None:
    assert Peers([CT1]).may_connect(HERE)
    assert not Peers([CT1]).may_connect(THERE)
    assert Peers([CT1, Peer("X", "X")]).may_connect(THERE)


@pytest.mark.parametrize(
    "wrong", [{"certificate_sha256": frozenset({"ab"})}, {"maximum_pdu_bytes": 10}]
)
def test_a_peer_that_can_t_be(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="X: "):
        Peer("X", "X", **wrong)  # type: ignore[arg-type]


def test_two_peers_of_one_name(start: Start) -> None:
    with pytest.raises(ListenerError, match="two peers are called 'CT 1'"):
        start(peers=(CT1, CT1))


# What it is told, and what is written down


def test_rejections(start: Start) -> None:
    peers = (Peer("CT 1", "CT1"), Peer("CT 2", "CT2", tls_required=True))
    running = start(peers=peers, calling_ae_titles=("OLD", "CT2"))
    expected = [
        ({"calling": "CT1", "called": "OTHER"}, CALLED_TITLE),
        ({"calling": "NOBODY"}, CALLING_TITLE),
        ({"calling": "CT2"}, NO_REASON),
    ]
    for titles, code in expected:
        with RawPeer(running.port) as peer:
            assert peer.associate(CT, **titles) == ASSOCIATE_RJ
            assert peer.rejection == code
    rejected = running.sink.wait(AssociationRejected, 3)  # each told by its own thread
    assert {one.calling_ae_title: one.reason for one in rejected} == {
        "CT1": "'CT1' calls 'OTHER', which is not us.",
        "NOBODY": "Nobody called 'NOBODY' may call.",
        "CT2": "CT 2 must call by TLS.",
    }
    assert {one.peer_address for one in rejected} == {"127.0.0.1"}
    assert deliver(running, "OLD", 1) == [0]


def test_what_is_written_of_an_association(start: Start) -> None:
    running = start(peers=(Peer("CT 1", "CT1"),))
    assert deliver(running, "CT1", 2) == [0, 0]
    (ended,) = running.sink.wait(AssociationEnded)
    (opened,) = running.sink.of(AssociationOpened)
    size = len(encode(ct_slice(0)))
    assert (opened.peer, opened.secure, opened.certificate) == ("CT 1", False, "")
    assert opened.association_id == ended.association_id
    assert (ended.objects, ended.refused, ended.octets, ended.reason) == (2, 0, 2 * size, "")
    assert ended.seconds > 0
    assert running.sink.events[0] is opened
    assert running.listener.counters.read_peers() == {
        "CT 1": PeerCounts(associations_released=1, objects=2, bytes_received=2 * size)
    }


def test_somebody_who_calls_in_vain_for_ever_fills_no_disk(start: Start) -> None:
    running = start(peers=(Peer("CT 1", "CT1"),))
    calls = WRITTEN_PER_ADDRESS + 5
    for _ in range(calls):
        with RawPeer(running.port, source="127.0.0.9") as peer:
            assert peer.associate(calling="NOBODY") == ASSOCIATE_RJ
    with RawPeer(running.port) as peer:
        assert peer.associate(calling="NOBODY") == ASSOCIATE_RJ
    until(lambda: running.listener.counters.read().associations_rejected == calls + 1)
    written = [one.peer_address for one in running.sink.of(AssociationRejected)]
    assert written == ["127.0.0.9"] * WRITTEN_PER_ADDRESS + ["127.0.0.1"]


# Places


def test_each_has_places_of_its_own(start: Start) -> None:
    peers = (Peer("CT 1", "CT1", maximum_associations=2), Peer("CT 2", "CT2"))
    running = start(peers=peers, maximum_associations=0)
    with RawPeer(running.port) as one, RawPeer(running.port) as two:
        assert [peer.associate(calling="CT1") for peer in (one, two)] == [ASSOCIATE_AC] * 2
        with RawPeer(running.port) as three:
            assert three.associate(calling="CT1") == ASSOCIATE_RJ
            assert three.rejection == LOCAL_LIMIT
        assert deliver(running, "CT2", 1) == [0]
        one.release()
        assert deliver(running, "CT1", 1) == [0]
    (rejected,) = running.sink.wait(AssociationRejected)
    assert rejected.reason == "CT 1 has 2 associations open already."
    counts = running.listener.counters.read_peers()["CT 1"]
    assert counts.associations_rejected == 1


def test_a_place_is_free_before_the_peer_knows(start: Start) -> None:
    """A scanner with one place that opens an association for each slice is never rejected."""
    running = start(peers=(Peer("CT 1", "CT1", maximum_associations=1),))
    for _ in range(20):
        assert deliver(running, "CT1", 1) == [0]


def test_a_place_is_free_after_any_end(start: Start) -> None:
    running = start(peers=(Peer("CT 1", "CT1", maximum_associations=1, idle_s=0.1),))
    for how in ("closed", "garbage", "silent"):
        with RawPeer(running.port) as peer:
            assert peer.associate(calling="CT1") == ASSOCIATE_AC, how
            if how == "garbage":
                peer.send(bytes(100))
            if how != "closed":
                assert peer.wait_for_end()
        until(lambda: running.listener.counters.read().open_associations == 0)
    reasons = {ended.reason for ended in running.sink.wait(AssociationEnded, 3)}
    assert reasons == {
        "The connection was closed without a release.",
        "A PDU of type 0 came within an association.",
        "It was silent for 0.1 s.",
    }


# Connections that ask for nothing


def test_a_flood_from_one_address_closes_none_of_another(start: Start) -> None:
    """64 silent connections, and more, take the places of each other."""
    running = start(request_s=60.0)
    with RawPeer(running.port, source="127.0.0.2") as slow:
        flood = [RawPeer(running.port, source="127.0.0.3") for _ in range(MAXIMUM_WAITING + 20)]
        try:
            until(lambda: len(closed(flood)) >= 20)
            assert slow.associate() == ASSOCIATE_AC
            assert running.listener.counters.read().connections_crowded_out >= 20
        finally:
            for peer in flood:
                peer.socket.close()


def test_a_flood_while_another_sends(start: Start) -> None:
    """Not a slice is lost, and the flood holds no more than its bound."""
    running = start(request_s=60.0)
    threads = threading.active_count()
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(deliver, running, "CT1", 60)
        flood = [RawPeer(running.port, source="127.0.0.2") for _ in range(MAXIMUM_WAITING * 2)]
        try:
            assert sending.result() == [0] * 60
            until(lambda: len(closed(flood)) >= MAXIMUM_WAITING)
            until(lambda: threading.active_count() <= threads + MAXIMUM_WAITING + 2)
        finally:
            for peer in flood:
                peer.socket.close()
    assert len(running.sink.wait(ObjectStored, 60)) == 60


def closed(peers: list[RawPeer]) -> list[socket.socket]:
    """Those that the listener has closed."""
    return select.select([peer.socket for peer in peers], [], [], 0)[0]


def test_what_has_ended_waits_within_the_same_bound(start: Start) -> None:
    """A peer that does not close after our last word holds no thread for long."""
    running = start()
    threads = threading.active_count()
    peers = [RawPeer(running.port) for _ in range(8)]
    try:
        for peer in peers:
            peer.associate(called="OTHER")
        until(lambda: threading.active_count() <= threads)
    finally:
        for peer in peers:
            peer.socket.close()


# Limits


def test_each_is_told_its_own_longest_pdu(start: Start) -> None:
    peers = (Peer("CT 1", "CT1", maximum_pdu_bytes=8192), Peer("CT 2", "CT2"))
    running = start(peers=peers)
    for title, length in (("CT1", 8192), ("CT2", 131072)):
        with RawPeer(running.port) as peer:
            peer.send(associate_rq(calling=title))
            answer = peer.receive()
            assert answer is not None
            where = answer[1].index(b"\x51\x00\x00\x04")
            assert int.from_bytes(answer[1][where + 4 : where + 8], "big") == length
            peer.send(p_data(bytes(9500), command=False))
            ended = peer.receive()  # the context is right, the data set is not
            assert ended is not None
    ended_associations = running.sink.wait(AssociationEnded, 2)  # each told by its own thread
    assert {one.calling_ae_title: one.reason for one in ended_associations} == {
        "CT1": "A PDU of 9506 bytes is too long.",
        "CT2": "A data set without a command.",
    }


def test_an_object_that_is_too_long_for_one_is_not_for_another(start: Start) -> None:
    peers = (Peer("CT 1", "CT1", maximum_object_bytes=1000), Peer("CT 2", "CT2"))
    running = start(peers=peers)
    assert len(encode(ct_slice(0))) > 1000
    assert deliver(running, "CT1", 2) == [0xC003, 0xC003]
    assert deliver(running, "CT2", 1) == [0]
    ended = {one.calling_ae_title: one for one in running.sink.wait(AssociationEnded, 2)}
    assert (ended["CT1"].how, ended["CT1"].objects, ended["CT1"].refused) == ("released", 0, 2)
    refused = running.sink.of(ObjectRefused)
    assert {(one.code, one.path) for one in refused} == {("too_large", None)}


def test_services_that_are_not_allowed(start: Start) -> None:
    running = start(peers=(Peer("RIS", "RIS", services=frozenset({"mpps"})),))
    with RawPeer(running.port) as peer:
        peer.send(associate_rq(calling="RIS"))
        answer = peer.receive()
        assert answer is not None
        assert answer[0] == ASSOCIATE_AC
        assert answer[1][68:][answer[1][68:].index(b"\x21\x00") + 6] == 3  # abstract syntax


def test_a_rate_slows_down_and_refuses_nothing(start: Start) -> None:
    size = len(encode(ct_slice(0)))
    rate = size * 20.0
    running = start(peers=(Peer("CT 1", "CT1", rate_bytes_s=rate),))
    begun = time.monotonic()
    assert deliver(running, "CT1", 12) == [0] * 12
    assert time.monotonic() - begun > 0.3  # twelve in 0.6 s, but for the credit


def test_fifty_stalled_peers_beside_a_scanner(start: Start) -> None:
    """Silent, or stalled in a PDU, before and within an association: not a slice is lost."""
    scanner, bad = Peer("CT 1", "CT1"), Peer("BAD", "BAD", maximum_associations=12)
    running = start(peers=(scanner, bad), request_s=60.0, pdu_s=60.0)
    stalled = [RawPeer(running.port, source="127.0.0.2") for _ in range(50)]
    try:
        for n, peer in enumerate(stalled):
            if n % 4 == 1:
                peer.send(associate_rq()[:50])
            if n % 4 >= 2:
                assert peer.associate(calling="BAD") == (ASSOCIATE_AC if n < 26 else ASSOCIATE_RJ)
            if n % 4 == 3 and n < 26:
                peer.send(p_data(c_store_rq(CTImageStorage, "1.2"), command=True))
                peer.send(p_data(bytes(5000), command=False)[:1000])
        assert deliver(running, "CT1", 60) == [0] * 60
    finally:
        for peer in stalled:
            peer.socket.close()
    assert len(running.sink.of(ObjectStored)) == 60


def ends(running: Running) -> list[str]:
    """Why associations have ended."""
    return [e.reason for e in running.sink.events if isinstance(e, AssociationEnded)]


def test_a_message_that_never_ends(start: Start) -> None:
    """Each of its PDUs comes in time, with as good as nothing in it."""
    running = start(message_s=0.2)
    with RawPeer(running.port) as peer:
        assert peer.associate() == ASSOCIATE_AC
        peer.send(p_data(c_store_rq(CTImageStorage, f"{SERIES}.1"), command=True))
        until_s = time.monotonic() + 10
        while not select.select([peer.socket], [], [], 0.02)[0]:
            assert time.monotonic() < until_s, "it was let go on"
            peer.send(p_data(b"xx", command=False, last=False))
        assert peer.wait_for_end()
    until(lambda: ends(running) == ["A message came too slowly to be waited for."])


def test_messages_one_by_one_have_time(start: Start) -> None:
    """The time is that of each, not of the association, and ends with the message."""
    running = start(message_s=0.3)
    with RawPeer(running.port) as peer:
        assert peer.associate() == ASSOCIATE_AC
        for n in range(5):
            data = encode(ct_slice(n))
            peer.send(p_data(c_store_rq(CTImageStorage, f"{SERIES}.{n + 1}"), command=True))
            time.sleep(0.1)  # the peer's own pace
            peer.send(p_data(data, command=False))
            assert peer.status() == 0
        peer.release()


@pytest.mark.parametrize(("rate", "pace"), [(0.0, LEAST_BYTES_S), (1e9, LEAST_BYTES_S), (1e3, 1e3)])
def test_the_pace(monkeypatch: pytest.MonkeyPatch, rate: float, pace: float) -> None:
    now = [1000.0]
    monkeypatch.setattr("dicom_listener.pace.time.monotonic", lambda: now[0])
    kept = Pace(300.0, rate)
    for n in range(100):
        now[0] += 1.0 + 3.0
        kept.read(int(pace), begins=n == 0)
        kept.paused(3.0)
    now[0] += 300.0
    kept.check()
    now[0] += 5.0
    with pytest.raises(WireError, match="too slowly"):
        kept.check()
    kept.read(0, begins=True)
    kept.check()
