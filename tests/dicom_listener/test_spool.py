"""What was acknowledged is there, whole; what was not leaves nothing behind."""

import errno
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian

from dicom_listener import spool as module
from dicom_listener.encoded import parse_dataset
from dicom_listener.events import Receipt
from dicom_listener.headers import HEADER_TAGS, ObjectHeader, parse_header
from dicom_listener.reception import META_BYTES, SPILL_BYTES, Reception
from dicom_listener.spool import (
    Spool,
    SpooledObject,
    SpoolError,
    SpoolFullError,
    SpoolInUseError,
)
from tests.dicom_listener.objects import SERIES, STUDY, at, ct_slice, encode

RECEIPT = Receipt(at(1.5), "a" * 32, "SCANNER", "192.0.2.7")


def whole(data: bytes, folder: Path = Path("/nowhere")) -> Reception:
    """What has come in; a small one needs no folder."""
    reception = Reception(folder)
    reception.write(data)
    return reception


def received(n: int = 0, **elements: Any) -> tuple[ObjectHeader, Reception]:
    data = encode(ct_slice(n, **elements))
    return parse_header(parse_dataset(data, ExplicitVRLittleEndian, HEADER_TAGS)), whole(data)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool(tmp_path / "spool", free_floor_bytes=0) as spool:
        yield spool


def files(spool: Spool) -> list[str]:
    """All files but the lock, relative to the spool."""
    paths = (path for path in spool.directory.rglob("*") if path.is_file())
    return sorted(str(path.relative_to(spool.directory)) for path in paths if path.name != "lock")


def test_an_object_is_a_dicom_file_with_the_bytes_received(spool: Spool) -> None:
    header, reception = received()
    data = bytes(reception.view())
    stored = spool.store(header, reception, RECEIPT)
    assert stored.outcome == "new"
    assert files(spool) == [f"objects/{STUDY}/{SERIES}/{SERIES}.1.dcm"]
    content = stored.path.read_bytes()
    assert content.endswith(data)
    ds = pydicom.dcmread(stored.path)
    assert ds == ct_slice()
    assert ds.file_meta.MediaStorageSOPInstanceUID == f"{SERIES}.1"
    assert ds.file_meta.SourceApplicationEntityTitle == "SCANNER"
    assert ds.file_meta.FileMetaInformationGroupLength == len(content) - len(data) - 144


def test_scan_gives_back_everything_after_a_restart(tmp_path: Path) -> None:
    with Spool(tmp_path, free_floor_bytes=0) as first:
        receipts = [replace(RECEIPT, received_at=at(3 - n)) for n in range(4)]
        stored = [first.store(*received(n), receipts[n]) for n in range(3)]
        first.store(*received(0, PatientID="4712"), receipts[3])
    with Spool(tmp_path, free_floor_bytes=0) as second:
        found = everything(second)
        assert second.store(*received(1), RECEIPT).outcome == "identical"
    assert found[1:] == stored[::-1]
    assert found[0].outcome == "conflicting"


def test_the_same_again_changes_nothing(spool: Spool) -> None:
    stored = spool.store(*received(), RECEIPT)
    before = (files(spool), stored.path.stat().st_mtime_ns)
    again = spool.store(*received(), Receipt(at(9), "b", "OTHER", ""))
    assert (again.outcome, again.path) == ("identical", stored.path)
    assert (files(spool), stored.path.stat().st_mtime_ns) == before


def test_another_content_is_kept_beside(spool: Spool) -> None:
    first = spool.store(*received(), RECEIPT)
    content = first.path.read_bytes()
    for _ in range(2):  # the second time changes nothing
        second = spool.store(*received(PatientID="4712"), RECEIPT)
        assert second.outcome == "conflicting"
        assert second.path.name.startswith(f"{SERIES}.1+")
        assert second.path.parent == first.path.parent
        assert len(files(spool)) == 2
    assert first.path.read_bytes() == content


def test_one_uid_in_two_series_is_a_conflict(spool: Spool) -> None:
    spool.store(*received(), RECEIPT)
    other = spool.store(*received(SeriesInstanceUID=f"{STUDY}.9"), RECEIPT)
    assert other.outcome == "conflicting"
    assert other.path.parent.name == f"{STUDY}.9"


def test_durable_before_it_returns(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is synced, then named, then its folder is synced; new folders before."""
    steps: list[str] = []
    fsync, rename = os.fsync, os.rename

    def watched_fsync(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        steps.append(f"fsync {path.suffix or path.name}")
        fsync(handle)

    def watched_rename(old: Any, new: Any) -> None:
        steps.append(f"rename {Path(old).suffix} {Path(new).suffix}")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "rename", watched_rename)
    spool.store(*received(0), RECEIPT)
    series = f"fsync {Path(SERIES).suffix}"
    one = ["fsync .part", "rename .part .dcm", series]
    assert steps == [f"fsync {Path(STUDY).suffix}", "fsync objects", *one]
    steps.clear()
    spool.store(*received(1), RECEIPT)
    assert steps == one


@pytest.mark.parametrize("name", ["fsync", "writev", "rename"])
def test_a_disk_error_leaves_nothing(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    spool.store(*received(0), RECEIPT)  # makes the folders
    before = files(spool)

    def broken(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, name, broken)
        with pytest.raises(SpoolError, match="No space left"):
            spool.store(*received(1), RECEIPT)
    assert files(spool) == before
    assert spool.problem() == "Writing to the spool failed: No space left on device."
    assert spool.store(*received(1), RECEIPT).outcome == "new"
    assert spool.problem() is None


def test_a_short_write_goes_on(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    writev: Callable[..., int] = os.writev
    monkeypatch.setattr(os, "writev", lambda handle, parts: writev(handle, [parts[0][:100]]))
    header, reception = received()
    content = spool.store(header, reception, RECEIPT).path.read_bytes()
    assert content.endswith(reception.view())


def test_below_the_floor(tmp_path: Path) -> None:
    with Spool(tmp_path, free_floor_bytes=1 << 60) as spool:
        with pytest.raises(SpoolFullError) as caught:
            spool.store(*received(), RECEIPT)
        assert caught.value.code == "spool_full"
        assert files(spool) == []
        assert "floor" in (spool.problem() or "")


def test_left_overs_are_cleared_away(tmp_path: Path) -> None:
    (tmp_path / "incoming").mkdir()
    (tmp_path / "incoming" / "x.part").write_bytes(b"half")
    with Spool(tmp_path, free_floor_bytes=0) as spool:
        assert files(spool) == []
        assert everything(spool) == []


def everything(spool: Spool) -> list[SpooledObject]:
    """All objects, oldest first."""
    return list(spool.read(spool.unknown(())))


def test_a_broken_file_does_not_stop_the_scan(spool: Spool) -> None:
    broken = spool.store(*received(0), RECEIPT).path
    other = spool.store(*received(1), RECEIPT).path
    broken.write_bytes(broken.read_bytes()[:-1])
    assert [found.path for found in everything(spool)] == [other]
    assert broken.exists()


def large(spool: Spool, n: int = 0) -> tuple[ObjectHeader, Reception]:
    """One that goes on in a file while it comes in."""
    size = 1500
    data = encode(ct_slice(n, size=size, PixelData=bytes(range(250)) * (2 * size * size // 250)))
    assert len(data) > SPILL_BYTES
    reception = spool.receive()
    for start in range(0, len(data), 100_000):
        reception.write(memoryview(data)[start : start + 100_000])
    assert reception.view() == data
    return parse_header(parse_dataset(data, ExplicitVRLittleEndian, HEADER_TAGS)), reception


def test_a_large_object_is_the_file_that_it_came_into(spool: Spool) -> None:
    header, reception = large(spool)
    assert reception.path is not None
    assert reception.path.parent == spool.directory / "incoming"
    inode = reception.path.stat().st_ino
    stored = spool.store(header, reception, RECEIPT)
    data = bytes(reception.view())
    reception.close()
    assert stored.path.stat().st_ino == inode
    content = stored.path.read_bytes()
    assert len(content) == META_BYTES + len(data)
    assert content.endswith(data)
    assert pydicom.dcmread(stored.path).Rows == 1500
    assert files(spool) == [f"objects/{STUDY}/{SERIES}/{SERIES}.1.dcm"]
    assert [found.receipt for found in everything(spool)] == [RECEIPT]
    again = large(spool)
    assert spool.store(*again, RECEIPT).outcome == "identical"
    again[1].close()
    assert files(spool) == [f"objects/{STUDY}/{SERIES}/{SERIES}.1.dcm"]


def test_two_large_objects_with_one_uid_at_once(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slower one is kept beside the first."""
    header, first = large(spool)
    second = spool.receive()
    second.write(bytes(first.view()[:-2]) + b"xx")
    real = Reception.seal

    def slow_seal(reception: Reception, meta: bytes) -> Path:
        path = real(reception, meta)
        monkeypatch.undo()
        assert spool.store(header, first, RECEIPT).outcome == "new"
        return path

    monkeypatch.setattr(Reception, "seal", slow_seal)
    assert spool.store(header, second, RECEIPT).outcome == "conflicting"
    first.close()
    second.close()
    assert len(files(spool)) == 2


def test_a_damaged_first_object_is_no_twin(spool: Spool) -> None:
    path = spool.store(*received(), RECEIPT).path
    for content in (b"", b"rubbish", path.read_bytes()[:-2]):
        path.write_bytes(content)
        assert spool.store(*received(), RECEIPT).outcome == "conflicting"


def test_quarantine_has_a_bound(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUARANTINE_BYTES", 100_000)
    for n in range(50):
        receipt = replace(RECEIPT, received_at=at(n))
        last = spool.quarantine(bytes(10_000), receipt, code="truncated", text="Cut.", claims={})
    kept = list(spool.directory.glob("quarantine/*.dcm"))
    assert 2 <= len(kept) <= 10
    assert last in kept
    assert len(list(spool.directory.glob("quarantine/*.json"))) == len(kept)


def test_a_large_object_that_is_given_up_leaves_nothing(spool: Spool) -> None:
    _, reception = large(spool)
    assert len(files(spool)) == 1
    reception.close()
    assert files(spool) == []


@pytest.mark.parametrize("name", ["fsync", "pwrite", "rename"])
def test_a_disk_error_with_a_large_object_leaves_nothing(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    header, reception = large(spool)

    def broken(*_: Any) -> Any:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, name, broken)
        with pytest.raises(SpoolError, match="Input/output"):
            spool.store(header, reception, RECEIPT)
    reception.close()
    assert files(spool) == []
    assert spool.sop_class_of(header.sop_instance_uid) is None


def test_there_is_no_room_for_a_large_object(tmp_path: Path) -> None:
    with (
        Spool(tmp_path, free_floor_bytes=1 << 60) as spool,
        pytest.raises(OSError, match="below the floor"),
    ):
        large(spool)


def test_it_knows_what_it_holds(spool: Spool) -> None:
    header, reception = received()
    assert spool.sop_class_of(header.sop_instance_uid) is None
    spool.store(header, reception, RECEIPT)
    assert spool.sop_class_of(header.sop_instance_uid) == header.sop_class_uid


def test_only_what_is_not_known_is_found(spool: Spool) -> None:
    known = spool.store(*received(0), RECEIPT).path
    new = spool.store(*received(1), RECEIPT).path
    assert spool.unknown({known}) == [new]


def test_what_was_written_long_ago_need_not_be_known(spool: Spool) -> None:
    old = spool.store(*received(0), RECEIPT).path
    new = spool.store(*received(1), RECEIPT).path
    yesterday = datetime.now(UTC) - timedelta(days=1)
    os.utime(old, times=(yesterday.timestamp() - 1,) * 2)
    assert spool.unknown((), yesterday) == [new]


def test_one_owner_at_a_time(tmp_path: Path) -> None:
    with (
        Spool(tmp_path, free_floor_bytes=0),
        pytest.raises(SpoolInUseError, match="already writes"),
    ):
        Spool(tmp_path, free_floor_bytes=0)
    Spool(tmp_path, free_floor_bytes=0).close()


def test_quarantine_keeps_bytes_and_reason(spool: Spool) -> None:
    claims = {"sop_class_uid": "1.2.3", "sop_instance_uid": "../../x", "transfer_syntax_uid": "1.2"}
    path = spool.quarantine(b"rubbish!", RECEIPT, code="truncated", text="Cut.", claims=claims)
    assert path is not None
    assert path.parent == spool.directory / "quarantine"
    assert path.read_bytes().endswith(b"rubbish!")
    reason = json.loads(path.with_suffix(".json").read_text())
    assert reason["code"] == "truncated"
    assert reason["claims"] == claims
    assert reason["calling_ae_title"] == "SCANNER"
    assert b"../../x" not in path.read_bytes()
    assert everything(spool) == []
