"""The listener with well-behaved peers, and with those that ask for too much or the wrong thing."""

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    RTStructureSetStorage,
)

from dicom_listener.events import AssociationEnded, ListenerEvent, ObjectRefused, ObjectStored
from dicom_listener.listener import Listener, ListenerError, ListenerSettings
from dicom_listener.spool import Spool
from tests.dicom_listener.conftest import Running, Start, until
from tests.dicom_listener.objects import SERIES, ct_slice, encode, structure_set
from tests.dicom_listener.raw_peer import (
    ASSOCIATE_AC,
    ASSOCIATE_RJ,
    RawPeer,
    c_store_rq,
    element,
    p_data,
)

PRIVATE = "1.3.12.2.1107.5.9.1"


def store_slices(peer: RawPeer, numbers: range) -> None:
    for n in numbers:
        status = peer.store(encode(ct_slice(n)), CTImageStorage, f"{SERIES}.{n + 1}", message=n + 1)
        assert status == 0


def test_store_then_release(running: Running) -> None:
    with RawPeer(running.port) as peer:
        assert peer.associate(calling="SCANNER") == ASSOCIATE_AC
        store_slices(peer, range(3))
        peer.release()
    (ended,) = running.sink.wait(AssociationEnded)
    stored = running.sink.of(ObjectStored)
    assert [one.header.instance_number for one in stored] == [1, 2, 3]
    assert {one.association_id for one in stored} == {ended.association_id}
    assert all(one.path.is_file() and not one.duplicate for one in stored)
    assert {one.calling_ae_title for one in stored} == {"SCANNER"}
    assert (ended.how, ended.calling_ae_title) == ("released", "SCANNER")
    assert ended.at >= stored[-1].received_at
    assert running.sink.events[-1] is ended
    counts = running.listener.counters.read()
    assert (counts.objects_stored, counts.associations_released) == (3, 1)
    assert counts.open_associations == 0
    assert counts.bytes_received == sum(len(encode(ct_slice(n))) for n in range(3))


def test_the_end_comes_after_everything_that_was_stored(running: Running) -> None:
    for _ in range(5):
        with RawPeer(running.port) as peer:
            peer.associate()
            store_slices(peer, range(2))
            peer.release()
    running.sink.wait(AssociationEnded, 5)
    over: set[str] = set()
    for event in running.sink.events:
        if not isinstance(event, ObjectStored | AssociationEnded):
            continue
        assert event.association_id not in over
        if isinstance(event, AssociationEnded):
            over.add(event.association_id)


def test_duplicates(running: Running) -> None:
    with RawPeer(running.port) as peer:
        peer.associate()
        store_slices(peer, range(1))
        store_slices(peer, range(1))
        other = encode(ct_slice(0, PatientID="4712"))
        assert peer.store(other, CTImageStorage, f"{SERIES}.1") == 0
        peer.release()
    running.sink.wait(AssociationEnded)
    stored = running.sink.of(ObjectStored)
    assert [one.outcome for one in stored] == ["new", "identical", "conflicting"]
    assert stored[0].path == stored[1].path != stored[2].path
    assert pydicom.dcmread(stored[0].path).PatientID == "4711"


def test_two_senders_at_once(running: Running) -> None:
    with RawPeer(running.port) as one, RawPeer(running.port) as two:
        for peer in (one, two):
            peer.associate()
        for n in range(4):
            for peer, number in ((one, n), (two, n + 4)):
                store_slices(peer, range(number, number + 1))
        one.release()
        two.release()
    running.sink.wait(AssociationEnded, 2)
    assert len(running.spool.unknown(())) == 8


def test_the_same_object_from_many_at_once(running: Running) -> None:
    """However it goes, one is kept, and nobody is told a lie."""

    def send(_: int) -> int | None:
        with RawPeer(running.port) as peer:
            peer.associate()
            status = peer.store(encode(ct_slice(0)), CTImageStorage, f"{SERIES}.1")
            peer.release()
            return status

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(send, range(12))) == [0] * 12
    assert len(running.spool.unknown(())) == 1
    outcomes = [event.outcome for event in running.sink.of(ObjectStored)]
    assert sorted(outcomes) == ["identical"] * 11 + ["new"]


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian]
)
def test_encodings(running: Running, syntax: str) -> None:
    with RawPeer(running.port) as peer:
        peer.associate([(1, CTImageStorage, [syntax])])
        assert peer.store(encode(ct_slice(), syntax), CTImageStorage, f"{SERIES}.1") == 0
    (stored,) = running.sink.wait(ObjectStored)
    assert stored.header.transfer_syntax_uid == syntax
    assert pydicom.dcmread(stored.path).PatientName == "Müller^Åse"


def test_which_syntax_is_preferred(running: Running) -> None:
    with RawPeer(running.port) as peer:
        accepted = peer.accepted(
            [
                (1, CTImageStorage, [ImplicitVRLittleEndian, ExplicitVRLittleEndian]),
                (3, CTImageStorage, [ImplicitVRLittleEndian]),
                (5, CTImageStorage, [ImplicitVRLittleEndian, JPEGLosslessSV1]),
                (7, CTImageStorage, [JPEGBaseline8Bit, ImplicitVRLittleEndian]),
                (9, CTImageStorage, [JPEGBaseline8Bit]),
                (11, CTImageStorage, ["1.2.840.10008.1.2.4.100"]),  # MPEG2: not for images
            ]
        )
    assert accepted == {
        1: ExplicitVRLittleEndian,
        3: ImplicitVRLittleEndian,
        5: JPEGLosslessSV1,
        7: ImplicitVRLittleEndian,
        9: JPEGBaseline8Bit,
    }


def test_other_objects_are_stored_too(running: Running) -> None:
    private = ct_slice(0, SOPClassUID=PRIVATE, SOPInstanceUID=f"{SERIES}.77", PixelData=None)
    contexts = [
        (1, RTStructureSetStorage, [ExplicitVRLittleEndian]),
        (3, PRIVATE, [ExplicitVRLittleEndian]),
        (5, "1.2.840.10008.5.1.4.31", [ExplicitVRLittleEndian]),  # worklist: not ours
    ]
    with RawPeer(running.port) as peer:
        assert set(peer.accepted(contexts)) == {1, 3}
        rtstruct = structure_set()
        uid = rtstruct.SOPInstanceUID
        assert peer.store(encode(rtstruct), RTStructureSetStorage, uid) == 0
        assert peer.store(encode(private), PRIVATE, f"{SERIES}.77", context=3) == 0
        peer.release()
    running.sink.wait(AssociationEnded)
    assert [one.header.sop_class_uid for one in running.sink.of(ObjectStored)] == [
        RTStructureSetStorage,
        PRIVATE,
    ]


@pytest.mark.parametrize(
    ("data", "claims", "status", "code"),
    [
        (encode(ct_slice())[:-100], (CTImageStorage, f"{SERIES}.1"), 0xC001, "truncated"),
        (b"not DICOM at all", (CTImageStorage, f"{SERIES}.1"), 0xC001, "truncated"),
        (encode(ct_slice()), (CTImageStorage, f"{SERIES}.2"), 0xA900, "uid_mismatch"),
        (encode(ct_slice()), (CTImageStorage, "../../x"), 0xA900, "uid_mismatch"),
        (encode(ct_slice()), (RTStructureSetStorage, f"{SERIES}.1"), 0xA900, "wrong_context"),
        (encode(ct_slice()), (None, f"{SERIES}.1"), 0xA900, "missing_uid"),
        (encode(ct_slice()), (CTImageStorage, None), 0xA900, "missing_uid"),
        (encode(ct_slice(Rows=20)), (CTImageStorage, f"{SERIES}.1"), 0xC004, "pixel_data_length"),
        (b"", (CTImageStorage, f"{SERIES}.1"), 0xC006, "no_data_set"),
        (
            encode(ct_slice()).replace(
                f"{SERIES}.1".encode(), b"../../../../../tmp/evil.uid.xxxxx"[: len(SERIES) + 2]
            ),
            (CTImageStorage, f"{SERIES}.1"),
            0xA900,
            "bad_uid",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
def test_refusals(
    running: Running,
    data: bytes,
    claims: tuple[str | None, str | None],
    status: int,
    code: str,
) -> None:
    """Each gets its status and is kept with its reason; the next object is taken as ever."""
    with RawPeer(running.port) as peer:
        peer.associate()
        assert peer.store(data, *claims) == status
        store_slices(peer, range(1))
        peer.release()
    (refused,) = running.sink.wait(ObjectRefused)
    running.sink.wait(AssociationEnded)
    assert (refused.code, refused.status) == (code, status)
    assert refused.path is not None
    assert refused.path.parent == running.spool.directory / "quarantine"
    assert refused.path.read_bytes().endswith(data)
    assert json.loads(refused.path.with_suffix(".json").read_text())["code"] == code
    assert len(running.spool.unknown(())) == 1
    outside = [p for p in running.spool.directory.parent.rglob("*") if "evil" in p.name]
    assert not outside
    assert running.listener.counters.read().objects_refused == 1


def test_a_full_disk(start: Start) -> None:
    running = start(free_floor_bytes=1 << 60)
    with RawPeer(running.port) as peer:
        peer.associate()
        assert peer.store(encode(ct_slice()), CTImageStorage, f"{SERIES}.1") == 0xA700
        peer.release()
    (refused,) = running.sink.wait(ObjectRefused)
    assert (refused.code, refused.path) == ("spool_full", None)
    assert not [p for p in running.spool.directory.rglob("*") if p.is_file() and p.name != "lock"]


def test_a_defect_in_handling_is_answered_and_counted(tmp_path: Path) -> None:
    """The sink must not raise; when it does, the peer hears of it and everything goes on."""
    events: list[ListenerEvent] = []

    def sink(event: ListenerEvent) -> None:
        events.append(event)
        if sum(isinstance(one, ObjectStored) for one in events) == 1:
            raise RuntimeError("a defect")

    with Spool(tmp_path, free_floor_bytes=0) as spool:
        listener = Listener(ListenerSettings(port=0), spool, sink)
        listener.start()
        with RawPeer(listener.port) as peer:
            peer.associate()
            assert peer.store(encode(ct_slice()), CTImageStorage, f"{SERIES}.1") == 0xC211
            store_slices(peer, range(2))
            peer.release()
        listener.stop()
    assert listener.counters.read().handler_errors == 1
    assert len([event for event in events if isinstance(event, ObjectStored)]) == 3


@pytest.mark.parametrize(
    ("settings", "titles", "answer"),
    [
        ({}, {"called": "OTHER"}, ASSOCIATE_RJ),
        ({"calling_ae_titles": ("CT1", "CT2")}, {"calling": "CT2"}, ASSOCIATE_AC),
        ({"calling_ae_titles": ("CT1", "CT2")}, {"calling": "CT3"}, ASSOCIATE_RJ),
        ({"networks": ("127.0.0.0/8",)}, {}, ASSOCIATE_AC),
        ({"maximum_associations": 0}, {}, ASSOCIATE_RJ),
    ],
)
def test_who_is_let_in(
    start: Start, settings: dict[str, Any], titles: dict[str, Any], answer: int
) -> None:
    running = start(**settings)
    with RawPeer(running.port) as peer:
        assert peer.associate(**titles) == answer
    rejected = int(answer == ASSOCIATE_RJ)
    until(lambda: running.listener.counters.read().associations_rejected == rejected)


def test_a_peer_from_another_network(start: Start) -> None:
    running = start(networks=("192.0.2.0/24", "2001:db8::/32"))
    with RawPeer(running.port) as peer:
        assert peer.receive() is None
    until(lambda: running.listener.counters.read().connections_refused == 1)


def test_a_taken_port_is_said(start: Start) -> None:
    running = start()
    listener = Listener(ListenerSettings(port=running.port), running.spool, running.sink)
    with pytest.raises(ListenerError, match=f"Can't listen on 127.0.0.1:{running.port}"):
        listener.start()
    assert not listener.is_running


@pytest.mark.parametrize(
    "settings", [{"ae_title": "LONGER THAN SIXTEEN"}, {"ae_title": ""}, {"networks": ("10.0.0",)}]
)
def test_settings_that_can_t_be_used(start: Start, settings: dict[str, Any]) -> None:
    with pytest.raises(ListenerError, match="can't be used"):
        start(**settings)


def test_stop_lets_a_transfer_end(start: Start) -> None:
    running = start(stop_s=10.0)
    with RawPeer(running.port) as peer:
        peer.associate()
        store_slices(peer, range(1))
        stopping = threading.Thread(target=running.listener.stop)
        stopping.start()
        until(lambda: not running.listener.is_running)
        store_slices(peer, range(1, 3))
        peer.release()
        stopping.join(10)
        assert not stopping.is_alive()
    assert running.sink.of(AssociationEnded)[0].how == "released"
    assert len(running.sink.of(ObjectStored)) == 3


def test_stop_ends_what_does_not_end(start: Start) -> None:
    running = start(stop_s=0.05)
    with RawPeer(running.port) as peer, RawPeer(running.port) as silent:
        peer.associate()
        store_slices(peer, range(1))
        running.listener.stop()
        assert peer.wait_for_end()
        assert silent.wait_for_end()
    assert running.sink.of(AssociationEnded)[0].how == "aborted"
    with pytest.raises(ListenerError):
        _ = running.listener.port


def test_start_and_stop_leaves_nothing_behind(tmp_path: Path) -> None:
    """Twenty times, with a transfer each: the same threads and file handles as before."""

    def once() -> None:
        with Spool(tmp_path, free_floor_bytes=0) as spool:
            listener = Listener(ListenerSettings(port=0), spool, lambda _: None)
            listener.start()
            with RawPeer(listener.port) as peer, RawPeer(listener.port):
                peer.associate()
                store_slices(peer, range(1))
                peer.release()
                listener.stop()

    once()
    before = (threading.active_count(), len(list(Path("/proc/self/fd").iterdir())))
    for _ in range(20):
        once()
    assert (threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))) == before


def test_a_port_scan_leaves_no_thread_waiting(start: Start) -> None:
    running = start(request_s=60.0)
    before = threading.active_count()
    for _ in range(10):
        socket.create_connection(("127.0.0.1", running.port)).close()
    until(lambda: running.listener.counters.read().connections == 10)
    until(lambda: threading.active_count() <= before)


def test_requests_on_a_context_that_was_not_accepted(running: Running) -> None:
    with RawPeer(running.port) as peer:
        peer.associate()
        peer.send(p_data(c_store_rq(CTImageStorage, "1.2"), command=True, context=9))
        peer.send(p_data(encode(ct_slice()), command=False, context=9))
        assert peer.wait_for_end()
    assert running.sink.wait(AssociationEnded)[0].how == "aborted"


def test_a_command_that_is_none(running: Running) -> None:
    with RawPeer(running.port) as peer:
        peer.associate()
        peer.send(p_data(element(0x00000002, b"1.2"), command=True))
        assert peer.wait_for_end()
    with RawPeer(running.port) as peer:
        assert peer.associate() == ASSOCIATE_AC


def test_compressed_bytes_are_stored_as_they_are(running: Running) -> None:
    path = pydicom.data.get_testdata_file("693_J2KR.dcm")
    assert isinstance(path, str)
    ds = pydicom.dcmread(path)
    with RawPeer(running.port) as peer:
        peer.associate([(1, ds.SOPClassUID, [JPEG2000Lossless])])
        content = Path(path).read_bytes()
        body = content[144 + ds.file_meta.FileMetaInformationGroupLength :]
        assert peer.store(body, ds.SOPClassUID, ds.SOPInstanceUID) == 0
    (stored,) = running.sink.wait(ObjectStored)
    assert stored.path.read_bytes().endswith(body)
    assert not stored.header.lossy
