"""The ledger: what is appended is read, in order, by any follower, after any crash."""

import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian

from dicom_listener import ledger as module
from dicom_listener import steps
from dicom_listener.encoded import parse_dataset
from dicom_listener.events import AssociationEnded, ListenerEvent, ObjectStored, Receipt
from dicom_listener.headers import HEADER_TAGS, parse_header
from dicom_listener.ledger import Follower, Ledger, Start, UnsyncedError, recent
from tests.dicom_listener.objects import ct_slice, encode

AT = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)


def ended(name: str) -> AssociationEnded:
    return AssociationEnded(name, "CT", "released", AT, objects=3, seconds=0.25)


def everything(directory: Path) -> list[ListenerEvent]:
    follower = Follower(directory)
    found: list[ListenerEvent] = []
    while events := follower.read():
        found += events
    return found


def test_an_object_comes_back_as_it_was(tmp_path: Path) -> None:
    header = parse_header(parse_dataset(encode(ct_slice(3)), ExplicitVRLittleEndian, HEADER_TAGS))
    path = tmp_path / "objects" / "1.2" / "3.4.dcm"
    stored = ObjectStored(header, path, Receipt(AT, "a", "CT", "192.0.2.1"), "new")
    ledger = Ledger(tmp_path)
    ledger.append(stored)
    ledger.close()
    assert everything(tmp_path) == [stored]
    # Another folder for the same spool: paths are kept relative to it.
    moved = tmp_path.with_name("moved")
    tmp_path.rename(moved)
    (again,) = everything(moved)
    assert isinstance(again, ObjectStored)
    assert again.path == moved / "objects" / "1.2" / "3.4.dcm"


def test_a_follower_gets_what_is_new(tmp_path: Path) -> None:
    follower = Follower(tmp_path)
    assert follower.read() == []
    ledger = Ledger(tmp_path)
    assert follower.read() == []
    ledger.append(ended("a"))
    assert follower.read() == [ended("a")]
    assert follower.read() == []
    ledger.append(ended("b"), durable=False)
    ledger.append(ended("c"))
    assert follower.read() == [ended("b"), ended("c")]
    ledger.close()


def test_it_goes_on_in_a_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 1000)
    follower = Follower(tmp_path)
    ledger = Ledger(tmp_path)
    names = [str(n) for n in range(50)]
    for name in names[:25]:
        ledger.append(ended(name))
    first = follower.read()
    for name in names[25:]:
        ledger.append(ended(name))
    ledger.close()
    rest = []
    while events := follower.read():
        rest += events
    assert [e.association_id for e in (*first, *rest) if isinstance(e, AssociationEnded)] == names
    assert len(list((tmp_path / "ledger").iterdir())) > 5


@pytest.mark.parametrize(
    "torn", [b'{"event":"Asso', b'{"event":"A","data":{},"crc32":"00000000"}\n']
)
def test_a_torn_end_is_cut_off_and_written_over(tmp_path: Path, torn: bytes) -> None:
    ledger = Ledger(tmp_path)
    ledger.append(ended("a"))
    ledger.close()
    (path,) = (tmp_path / "ledger").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole + torn)
    again = Ledger(tmp_path)
    assert path.read_bytes() == whole
    again.append(ended("b"))
    again.close()
    assert everything(tmp_path) == [ended("a"), ended("b")]


def test_every_way_of_cutting_the_file_leaves_whole_lines(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for name in "abc":
        ledger.append(ended(name))
    ledger.close()
    (path,) = (tmp_path / "ledger").iterdir()
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        Ledger(tmp_path).close()
        kept = sum(len("".join(map(bytes.decode, lines[: n + 1]))) <= length for n in range(3))
        assert path.read_bytes() == b"".join(lines[:kept])


def test_a_damaged_line_costs_no_other(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for name in "abc":
        ledger.append(ended(name))
    ledger.close()
    (path,) = (tmp_path / "ledger").iterdir()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].replace(b"CT", b"XX") + lines[2])
    follower = Follower(tmp_path)
    assert follower.read() == [ended("a"), ended("c")]
    assert follower.broken == 1


def test_nothing_is_left_of_what_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path)
    ledger.append(ended("a"))
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:20]))
    with pytest.raises(OSError, match="No space"):
        ledger.append(ended("b"))
    monkeypatch.undo()
    ledger.append(ended("c"))
    ledger.close()
    assert everything(tmp_path) == [ended("a"), ended("c")]


def test_a_follower_does_not_take_what_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path)
    follower = Follower(tmp_path)
    seen: list[list[ListenerEvent]] = []
    real = os.write

    def short(handle: int, data: bytes) -> int:
        written = real(handle, data[:50])
        seen.append(follower.read())  # just now
        return written

    monkeypatch.setattr(os, "write", short)
    with pytest.raises(OSError, match="No space"):
        ledger.append(ended("a"))
    monkeypatch.undo()
    assert seen == [[]]
    ledger.append(ended("b"))
    assert follower.read() == [ended("b")]
    assert follower.broken == 0
    ledger.close()


def test_a_line_longer_than_what_is_read_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READ_BYTES", 16)
    ledger = Ledger(tmp_path)
    for name in "abc":
        ledger.append(ended(name))
    ledger.close()
    assert everything(tmp_path) == [ended("a"), ended("b"), ended("c")]


def test_after_a_failed_sync_another_file_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path)
    ledger.append(ended("a"))

    def fail(_handle: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(OSError, match="Input/output"):
        ledger.append(ended("b"))
    monkeypatch.undo()
    ledger.append(ended("b"))
    ledger.close()
    assert len(list((tmp_path / "ledger").iterdir())) == 2
    assert everything(tmp_path)[-1] == ended("b")


def test_all_who_wait_for_a_sync_that_fails_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those who would have come after it: the kernel does not fail twice."""
    ledger = Ledger(tmp_path)
    real, first = os.fdatasync, threading.Event()
    entered = threading.Barrier(3)

    def fail_once(handle: int) -> None:
        if first.is_set():
            real(handle)
            return
        first.set()
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail_once)
    monkeypatch.setattr(steps, "reached", lambda step: entered.wait(10) if step == 10 else 0)
    told: list[str] = []

    def work(name: str) -> None:
        try:
            ledger.append(ended(name))
        except UnsyncedError:
            told.append(name)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == ["a", "b", "c"]
    monkeypatch.undo()
    ledger.append(ended("d"))
    ledger.close()
    assert everything(tmp_path)[-1] == ended("d")
    assert len(list((tmp_path / "ledger").iterdir())) == 2


def test_files_that_are_done_with_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 400)
    ledger = Ledger(tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for n in range(20):
        ledger.append(ended(str(n)), durable=bool(n % 2))
        assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert len(list((tmp_path / "ledger").iterdir())) > 2
    ledger.close()


def test_older_files_may_be_put_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 400)
    ledger = Ledger(tmp_path)
    for name in "abcdefgh":
        ledger.append(ended(name))
    ledger.close()
    (tmp_path / "ledger" / "00000001.jsonl").unlink()
    assert everything(tmp_path)[-1] == ended("h")


def test_a_start_may_leave_out_what_is_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole files of the past, and never the last two: the clock may be wrong."""
    monkeypatch.setattr(module, "SEGMENT_BYTES", 1)
    now = datetime.now(UTC)
    assert recent(tmp_path, now) == Start()
    ledger = Ledger(tmp_path)
    names = "abcdef"
    found = []
    for n, name in enumerate(names):
        ledger.append(ended(name))
        days_ago = now - timedelta(days=10 - n)
        os.utime(max((tmp_path / "ledger").iterdir()), times=(days_ago.timestamp(),) * 2)
    ledger.close()
    for days in range(12):
        start = recent(tmp_path, now - timedelta(days=days, hours=1))
        follower = Follower(tmp_path, start)
        events = []
        while read := follower.read():
            events += read
        follower.close()
        text = "".join(e.association_id for e in events if isinstance(e, AssociationEnded))
        assert names.endswith(text)
        assert (start.left_out is None) == (text == names)
        assert start.left_out is None or start.left_out < now - timedelta(days=days, hours=1)
        found.append(text)
    assert found == ["ef"] * 6 + ["ef", "def", "cdef", "bcdef", "abcdef", "abcdef"]


def test_many_threads_write_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 5000)
    ledger = Ledger(tmp_path)

    def work(name: str) -> None:
        for n in range(40):
            ledger.append(ended(f"{name}{n}"))

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.close()
    found = [e.association_id for e in everything(tmp_path) if isinstance(e, AssociationEnded)]
    assert sorted(found) == sorted(f"{name}{n}" for name in "abcd" for n in range(40))
    for name in "abcd":  # each thread's own order is kept
        assert [f for f in found if f[0] == name] == [f"{name}{n}" for n in range(40)]
