"""Each way in which a peer can break pynetdicom's listener, and that it does not break this one.

The numbers are those of ``dicom_listener.acceptor``; tests without a file are here.

1. Stalls: ``test_a_stalled_pdu`` (before an association), ``test_a_cable_pulled_within_a_slice``,
   ``test_a_slow_drip``, ``test_silent_connections``, ``test_silence_within_an_association``,
   ``test_a_peer_that_does_not_listen``; fifty at once in ``test_guards``.
2. Silent TLS clients: ``test_tls``.
3. Lengths: ``test_a_pdu_without_measure``, ``test_a_data_set_without_measure``,
   ``test_a_command_without_measure``; memory and limits by peer in ``test_coming_in`` and
   ``test_guards``.
4. UIDs that are paths: ``test_listener.test_refusals``.
5. Syntaxes and classes: ``test_listener.test_which_syntax_is_preferred``,
   ``test_listener.test_other_objects_are_stored_too``.
6. Data sets that are none, missing UIDs: ``test_listener.test_refusals``; requests and fragments
   that are none: ``test_coming_in.test_what_is_no_message``, ``test_services``.
7. A slow handler: ``test_a_slow_disk``; a release in the middle:
   ``test_a_release_within_an_object``; what is left behind: ``test_coming_in.test_broken_off``.
8. The called AE title: ``test_listener.test_who_is_let_in``; stopping:
   ``test_listener.test_stop_lets_a_transfer_end``.

Besides: ``test_garbage``, ``test_more_silent_connections_than_there_is_room_for``,
``test_idle_associations_take_no_time``, ``test_requests_ahead_of_answers``,
``test_a_killed_sender``.
"""

import contextlib
import select
import socket
import struct
import threading
import time

import pytest
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian

from dicom_listener.events import AssociationEnded, ObjectStored
from dicom_listener.server import MAXIMUM_WAITING
from dicom_listener.syntaxes import VERIFICATION
from tests.dicom_listener.conftest import Running, Start, until
from tests.dicom_listener.objects import SERIES, ct_slice, encode
from tests.dicom_listener.raw_peer import (
    ASSOCIATE_AC,
    RawPeer,
    associate_rq,
    c_echo_rq,
    c_store_rq,
    p_data,
    pdu,
)


def works(running: Running) -> bool:
    """Whether a scanner can still deliver."""
    with RawPeer(running.port) as peer:
        answer = peer.associate()
        status = peer.store(encode(ct_slice(0)), CTImageStorage, f"{SERIES}.1")
        peer.release()
    return answer == ASSOCIATE_AC and status == 0


@pytest.mark.parametrize("sent", [3, 6, 100])
def test_a_stalled_pdu(start: Start, sent: int) -> None:
    """Before the association: the connection is ended when the PDU's time is over."""
    running = start(pdu_s=0.2)
    threads = threading.active_count()
    with RawPeer(running.port) as peer:
        peer.send(associate_rq()[:sent])
        assert peer.wait_for_end()
    until(lambda: threading.active_count() <= threads)
    assert works(running)


def test_a_cable_pulled_within_a_slice(start: Start) -> None:
    running = start(pdu_s=0.2)
    with RawPeer(running.port) as peer:
        peer.associate()
        peer.send(p_data(c_store_rq(CTImageStorage, "1.2"), command=True))
        peer.send(p_data(bytes(5000), command=False)[:1000])
        assert peer.wait_for_end()
    (ended,) = running.sink.wait(AssociationEnded)
    assert ended.how == "aborted"
    assert running.listener.counters.read().open_associations == 0


def test_a_slow_drip(start: Start) -> None:
    """One byte at a time, each within the time, is not within the time for all."""
    running = start(pdu_s=0.3)
    with RawPeer(running.port) as peer:
        peer.associate()
        begun = time.monotonic()
        try:
            for byte in p_data(bytes(5000), command=False):
                peer.send(bytes([byte]))
                if threading.Event().wait(0.02) or time.monotonic() > begun + 10:
                    break
        except OSError:
            pass
        assert time.monotonic() - begun < 5
    assert running.sink.wait(AssociationEnded)[0].how == "aborted"


def test_silent_connections(start: Start) -> None:
    """Thirty of them, with the bound of associations at two, keep nobody out."""
    running = start(maximum_associations=2, request_s=0.5)
    peers = [RawPeer(running.port) for _ in range(30)]
    try:
        assert works(running)
        assert all(peer.wait_for_end() for peer in peers)
    finally:
        for peer in peers:
            peer.socket.close()


def test_more_silent_connections_than_there_is_room_for(start: Start) -> None:
    """Old ones go, long before their time is over."""
    running = start(request_s=60.0)
    peers = [RawPeer(running.port) for _ in range(MAXIMUM_WAITING + 10)]
    try:
        assert works(running)
        sockets = [peer.socket for peer in peers]
        until(lambda: len(select.select(sockets, [], [], 0)[0]) >= 10)
        assert len(select.select(sockets, [], [], 0)[0]) <= 12
    finally:
        for peer in peers:
            peer.socket.close()


def test_silence_within_an_association(start: Start) -> None:
    running = start(idle_s=0.2)
    with RawPeer(running.port) as peer:
        peer.associate()
        assert peer.wait_for_end()
    assert running.sink.wait(AssociationEnded)[0].how == "aborted"


@pytest.mark.parametrize("length", [2 << 20, 0xFFFFFFFF])
def test_a_pdu_without_measure(running: Running, length: int) -> None:
    with RawPeer(running.port) as peer:
        peer.associate()
        peer.send(struct.pack(">BBL", 4, 0, length) + bytes(100))
        assert peer.wait_for_end()
    assert works(running)


def test_a_data_set_without_measure(start: Start) -> None:
    running = start(maximum_object_bytes=100_000)
    with RawPeer(running.port) as peer:
        peer.associate()
        peer.send(p_data(c_store_rq(CTImageStorage, "1.2"), command=True))
        try:
            for _ in range(10_000):
                peer.send(p_data(bytes(16000), command=False, last=False))
        except OSError:
            pass
        else:
            pytest.fail("160 MB went in")
    assert running.sink.wait(AssociationEnded)[0].how == "aborted"
    assert not running.sink.of(ObjectStored)


def test_a_command_without_measure(running: Running) -> None:
    with RawPeer(running.port) as peer:
        peer.associate()
        for _ in range(5):
            peer.send(p_data(bytes(16000), command=True, last=False))
        assert peer.wait_for_end()
    assert works(running)


def test_requests_ahead_of_answers(running: Running) -> None:
    """Nobody may send them; they are answered in their order, none is lost."""
    one = p_data(c_store_rq(CTImageStorage, f"{SERIES}.1"), command=True)
    one += p_data(encode(ct_slice(0)), command=False)
    with RawPeer(running.port) as peer:
        peer.associate()
        peer.send(one * 50)
        assert [peer.status() for _ in range(50)] == [0] * 50
        peer.release()
    assert running.sink.wait(AssociationEnded)[0].objects == 50


def test_a_peer_that_does_not_listen(start: Start) -> None:
    """Its answers are kept up to a bound; then it is ended, and holds nobody up meanwhile."""
    running = start(pdu_s=0.3)
    with RawPeer(running.port) as peer:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.associate([(1, VERIFICATION, [ImplicitVRLittleEndian])])
        with contextlib.suppress(OSError):
            peer.send(p_data(c_echo_rq(), command=True) * 100_000)
        (ended,) = running.sink.wait(AssociationEnded)
    assert (ended.how, ended.reason) == ("aborted", "The peer does not take our answers.")
    assert works(running)


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),  # a TLS ClientHello
        pdu(1, bytes(20)),
        pdu(2, bytes(80)),
        pdu(4, bytes(10)),
        pdu(7, bytes(4)),
        pdu(9, b""),
        pdu(5, bytes(4)),
        bytes(10_000),
    ],
)
@pytest.mark.parametrize("associated", [False, True])
def test_garbage(start: Start, garbage: bytes, associated: bool) -> None:
    running = start(request_s=0.5, pdu_s=0.3)
    threads = threading.active_count()
    with RawPeer(running.port) as peer:
        if associated:
            peer.associate()
        peer.send(garbage)
        assert peer.wait_for_end()
    until(lambda: threading.active_count() <= threads)
    assert works(running)


def test_a_release_within_an_object(running: Running) -> None:
    """The sender says it is done in the middle of a slice: that is no good end."""
    with RawPeer(running.port) as peer:
        peer.associate()
        assert peer.store(encode(ct_slice(0)), CTImageStorage, f"{SERIES}.1") == 0
        peer.send(p_data(c_store_rq(CTImageStorage, f"{SERIES}.2"), command=True))
        peer.send(p_data(encode(ct_slice(1))[:200], command=False, last=False))
        peer.release()
    (ended,) = running.sink.wait(AssociationEnded)
    assert ended.how == "aborted"
    assert len(running.sink.of(ObjectStored)) == 1


def test_a_killed_sender(running: Running) -> None:
    """What was acknowledged stays; what was under way leaves nothing."""
    with RawPeer(running.port) as peer:
        peer.associate()
        for n in range(3):
            peer.store(encode(ct_slice(n)), CTImageStorage, f"{SERIES}.{n + 1}")
        peer.send(p_data(c_store_rq(CTImageStorage, f"{SERIES}.4"), command=True))
        peer.send(p_data(encode(ct_slice(3))[:300], command=False, last=False))
    assert running.sink.wait(AssociationEnded)[0].how == "aborted"
    assert len(running.spool.unknown(())) == 3
    assert not list((running.spool.directory / "incoming").iterdir())


def test_a_slow_disk(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice that takes longer than the idle time to store does not end the association."""
    running = start(idle_s=0.3)
    store, slow = running.spool.store, threading.Event()

    def slow_store(*arguments: object) -> object:
        slow.wait(0.6)
        return store(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(running.spool, "store", slow_store)
    with RawPeer(running.port) as peer:
        peer.associate()
        for n in range(2):
            assert peer.store(encode(ct_slice(n)), CTImageStorage, f"{SERIES}.{n + 1}") == 0
        peer.release()
    assert running.sink.wait(AssociationEnded)[0].how == "released"


def test_idle_associations_take_no_time(running: Running) -> None:
    """Ten of them took nine tenths of a core with pynetdicom's own loops."""
    peers = [RawPeer(running.port) for _ in range(10)]
    try:
        assert all(peer.associate() == ASSOCIATE_AC for peer in peers)
        begun, cpu = time.monotonic(), time.process_time()
        threading.Event().wait(0.5)
        share = (time.process_time() - cpu) / (time.monotonic() - begun)
    finally:
        for peer in peers:
            peer.socket.close()
    assert share < 0.3
