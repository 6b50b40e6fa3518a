"""Data sets while they come in: large ones, broken off ones, full disks; and what each end leaves.

``Reception`` and ``MessageReader`` are driven by a raw peer, fragment by fragment.
"""

import errno
import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import CTImageStorage

from dicom_listener import reception, steps
from dicom_listener.events import AssociationEnded, ListenerEvent, ObjectRefused, ObjectStored
from dicom_listener.listener import Listener, ListenerSettings
from dicom_listener.reception import Reception
from dicom_listener.spool import Spool
from dicom_listener.steps import Step
from tests.dicom_listener.conftest import Running, Start, until
from tests.dicom_listener.objects import SERIES, ct_slice, encode
from tests.dicom_listener.raw_peer import (
    ASSOCIATE_AC,
    RawPeer,
    c_store_rq,
    element,
    p_data,
    pdu,
)

UID = f"{SERIES}.1"
MEGABYTE = 1 << 20


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data sets go into a file from 20 kB on."""
    monkeypatch.setattr(reception, "SPILL_BYTES", 20_000)


def large() -> bytes:
    """A slice that spills, where memory is small."""
    return encode(ct_slice(0, size=256))


def handles() -> int:
    """File handles of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def incoming(running: Running) -> list[Path]:
    """What is on its way to the spool."""
    return list((running.spool.directory / "incoming").iterdir())


def fragments(data: bytes, size: int = 8000) -> Iterator[bytes]:
    """P-DATA of a data set."""
    for start in range(0, len(data), size):
        last = start + size >= len(data)
        yield p_data(data[start : start + size], command=False, last=last)


@pytest.mark.usefixtures("small_memory")
def test_a_large_object(running: Running) -> None:
    data = large()
    with RawPeer(running.port) as peer:
        peer.associate()
        assert peer.store(data, CTImageStorage, UID) == 0
        assert peer.store(data, CTImageStorage, UID) == 0
        peer.release()
    stored = running.sink.wait(ObjectStored, 2)
    assert [one.outcome for one in stored] == ["new", "identical"]
    assert stored[0].path.read_bytes().endswith(data)
    assert not incoming(running)


@pytest.mark.usefixtures("small_memory")
@pytest.mark.parametrize("sent", [0, 1, 2, 4, 100])
@pytest.mark.parametrize("how", ["close", "reset", "abort", "release", "garbage", "stall"])
def test_broken_off(start: Start, how: str, sent: int) -> None:
    """After so many fragments: no file, thread or handle is left, and nothing is stored."""
    running = start(pdu_s=0.1)
    threads, open_handles = threading.active_count(), handles()
    with RawPeer(running.port) as peer:
        peer.associate()
        peer.send(p_data(c_store_rq(CTImageStorage, UID), command=True))
        for part in list(fragments(large()))[:-1][:sent]:
            peer.send(part)
        if how == "reset":
            linger = struct.pack("ii", 1, 0)
            peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        words = {"abort": pdu(7, bytes(4)), "garbage": bytes(50), "stall": b"\4\0\0"}
        if how == "release":
            peer.release()
        elif how in words:
            peer.send(words[how])
            peer.wait_for_end()
    (ended,) = running.sink.wait(AssociationEnded)
    assert (ended.how, ended.objects, ended.refused) == ("aborted", 0, 0)
    assert ended.reason.endswith(".")
    until(lambda: (threading.active_count(), handles()) == (threads, open_handles))
    assert not incoming(running)
    assert not running.sink.of(ObjectStored)


@pytest.mark.usefixtures("small_memory")
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_in_the_middle(
    running: Running, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The rest is read and dropped, the object refused, and the association goes on."""
    write = os.write
    left = [5]

    def failing(handle: int, data: memoryview) -> int:
        left[0] -= 1
        if left[0] == 0:
            raise OSError(number, os.strerror(number))
        return write(handle, data)

    monkeypatch.setattr(os, "write", failing)
    with RawPeer(running.port) as peer:
        peer.associate()
        assert peer.store(large(), CTImageStorage, UID) == 0xA700
        assert not incoming(running)
        assert peer.store(encode(ct_slice(0)), CTImageStorage, UID) == 0
        peer.release()
    (refused,) = running.sink.wait(ObjectRefused)
    code = "spool_full" if number == errno.ENOSPC else "spool_failed"
    assert (refused.code, refused.path) == (code, None)
    assert refused.text == f"{os.strerror(number)}."


def test_an_object_without_end(start: Start) -> None:
    """Twice its limit is read, then the association is ended."""
    running = start(maximum_object_bytes=100_000)
    with RawPeer(running.port) as peer:
        peer.associate()
        peer.send(p_data(c_store_rq(CTImageStorage, UID), command=True))
        for _ in range(12):
            peer.send(p_data(bytes(16000), command=False, last=False))
        assert running.listener.counters.read().open_associations == 1
        peer.send(p_data(bytes(16000), command=False, last=False))
        assert peer.wait_for_end()
    assert running.sink.wait(AssociationEnded)[0].reason == "The data set is longer than 0.1 MB."


def test_256_megabytes_take_no_memory(running: Running) -> None:
    """One object of 512 frames; the peer is in this process too, and holds one fragment."""
    pixels = 256 * MEGABYTE
    head = encode(ct_slice(0, Rows=16384, Columns=8192, PixelData=None))
    begin = struct.pack("<HH2s2xL", 0x7FE0, 0x0010, b"OW", pixels)
    block = np.random.default_rng(1).integers(0, 255, MEGABYTE // 8, np.uint8).tobytes()
    with RawPeer(running.port, timeout_s=60) as peer:
        peer.associate()
        before = resident_bytes()
        peer.send(p_data(c_store_rq(CTImageStorage, UID), command=True))
        peer.send(p_data(head + begin, command=False, last=False))
        count, highest = pixels // len(block), 0
        for n in range(count):
            peer.send(p_data(block[:-8], command=False, last=False))
            peer.send(p_data(block[-8:], command=False, last=n == count - 1))
            highest = max(highest, resident_bytes())
        assert peer.status() == 0
        highest = max(highest, resident_bytes())
    (stored,) = running.sink.wait(ObjectStored)
    assert stored.path.stat().st_size > pixels
    assert highest - before < 32 * MEGABYTE


def resident_bytes() -> int:
    """Memory of this process that is not the page cache's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon")


def test_one_byte_at_a_time(running: Running) -> None:
    """Fragments of a command and of a data set, in PDUs as small as can be."""
    command, data = c_store_rq(CTImageStorage, UID), encode(ct_slice(0))
    stream = b"".join(
        p_data(part[n : n + 1], command=is_command, last=n == len(part) - 1)
        for part, is_command in ((command, True), (data, False))
        for n in range(len(part))
    )
    with RawPeer(running.port) as peer:
        peer.associate()
        peer.send(stream)
        assert peer.status() == 0


def test_command_and_data_in_one_pdu(running: Running) -> None:
    values = p_data(c_store_rq(CTImageStorage, UID), command=True)[6:]
    values += p_data(encode(ct_slice(0)), command=False)[6:]
    with RawPeer(running.port) as peer:
        peer.associate()
        peer.send(pdu(4, values))
        assert peer.status() == 0


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (pdu(4, b"\0\0\0"), "A P-DATA-TF PDU ends too early."),
        (pdu(4, struct.pack(">LBB", 100, 1, 3)), "A presentation data value has no end."),
        (pdu(4, struct.pack(">LBB", 1, 1, 3)), "A presentation data value has no end."),
        (p_data(b"x", command=False), "A data set without a command."),
        (
            p_data(c_store_rq(CTImageStorage, UID), command=True) * 2,
            "A command where a data set should go on.",
        ),
        (
            p_data(c_store_rq(CTImageStorage, UID), command=True, context=5),
            "A message on context 5, which was not accepted.",
        ),
        (
            p_data(c_store_rq(CTImageStorage, UID), command=True)
            + p_data(b"x", command=False, context=3),
            "Fragments of one message on two presentation contexts.",
        ),
        (p_data(element(2, b"1.2"), command=True), "A command set names no command."),
        (p_data(b"1234567", command=True), "A command set ends within an element."),
        (
            p_data(struct.pack("<HHL", 0, 2, 90), command=True),
            "A command set holds what is no element of one.",
        ),
        (
            p_data(element(0x100, b"\x30\0") + element(0x800, b"\1\1"), command=True),
            "A request has no Message ID.",
        ),
        (pdu(1, bytes(68)), "A PDU of type 1 came within an association."),
        (pdu(9, b""), "A PDU of type 9 came within an association."),
        (pdu(7, bytes(4)), "The peer has aborted."),
    ],
)
def test_what_is_no_message(running: Running, sent: bytes, said: str) -> None:
    with RawPeer(running.port) as peer:
        contexts = [(n, CTImageStorage, ["1.2.840.10008.1.2.1"]) for n in (1, 3)]
        assert peer.associate(contexts) == ASSOCIATE_AC
        peer.send(sent)
        assert peer.wait_for_end()
    assert running.sink.wait(AssociationEnded)[0].reason == said


def test_what_can_t_be_written_down_is_not_acknowledged(tmp_path: Path) -> None:
    """The object is in the spool, which a later start finds; the peer sends it again."""
    broken = [True]
    events: list[ListenerEvent] = []

    def sink(event: ListenerEvent) -> None:
        if broken[0]:
            raise OSError(errno.EIO, "the ledger's disk fails")
        events.append(event)

    with Spool(tmp_path, free_floor_bytes=0) as spool:
        listener = Listener(ListenerSettings(port=0, stop_s=0.2), spool, sink)
        listener.start()
        with RawPeer(listener.port) as peer:
            assert peer.associate() == ASSOCIATE_AC
            assert peer.store(encode(ct_slice(0)), CTImageStorage, UID) == 0xA700
            broken[0] = False
            assert peer.store(encode(ct_slice(0)), CTImageStorage, UID) == 0
            peer.release()
        listener.stop()
    (stored,) = (event for event in events if isinstance(event, ObjectStored))
    assert stored.outcome == "identical"
    counts = listener.counters.read()
    assert (counts.objects_refused, counts.handler_errors) == (1, 0)
    assert counts.records_failed == 3  # the association's begin, the object, its refusal


def test_the_steps_of_an_object(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Step] = []
    monkeypatch.setattr(steps, "reached", seen.append)
    monkeypatch.setattr(reception, "SPILL_BYTES", 20_000)
    with RawPeer(running.port) as peer:
        peer.associate()
        peer.store(large(), CTImageStorage, UID)
        peer.release()
    running.sink.wait(AssociationEnded)
    assert seen == sorted(seen)
    assert set(Step) - set(seen) == {
        Step.ENTERED,  # in the ledger
        Step.JOURNALED,
        Step.TAKEN,  # and what follows, in the pipeline
        Step.COMPLETED,
        Step.ANALYSED,
        Step.MEASURED,
    }


def test_a_reception_that_was_not_begun(tmp_path: Path) -> None:
    """Closing is always right."""
    one = Reception(tmp_path)
    one.close()
    one.close()
    assert not list(tmp_path.iterdir())


def test_connections_wait_while_nobody_listens(start: Start, tmp_path: Path) -> None:
    """A socket that was handed over stays open: its next owner serves who called meanwhile."""
    with socket.create_server(("127.0.0.1", 0)) as shared:
        port = shared.getsockname()[1]
        for n in range(2):
            with Spool(tmp_path / str(n), free_floor_bytes=0) as spool:
                listener = Listener(ListenerSettings(stop_s=0.2), spool, lambda _: None)
                if n == 1:
                    early = RawPeer(port)
                listener.start(shared)
                assert listener.port == port
                with RawPeer(port) if n == 0 else early as peer:
                    assert peer.associate() == ASSOCIATE_AC
                    assert peer.store(encode(ct_slice(0)), CTImageStorage, UID) == 0
                    peer.release()
                listener.stop()
                assert not listener.is_running
