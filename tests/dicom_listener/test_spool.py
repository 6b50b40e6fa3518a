"""What was acknowledged is there, whole; what was not leaves nothing behind."""

import errno
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian

from dicom_listener.encoded import parse_dataset
from dicom_listener.events import Receipt
from dicom_listener.headers import HEADER_TAGS, ObjectHeader, parse_header
from dicom_listener.spool import Spool, SpoolError, SpoolFullError, SpoolInUseError
from tests.dicom_listener.objects import SERIES, STUDY, at, ct_slice, encode

RECEIPT = Receipt(at(1.5), "a" * 32, "SCANNER", "192.0.2.7")


def received(n: int = 0, **elements: Any) -> tuple[ObjectHeader, bytes]:
    data = encode(ct_slice(n, **elements))
    return parse_header(parse_dataset(data, ExplicitVRLittleEndian, HEADER_TAGS)), data


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool(tmp_path / "spool", free_floor_bytes=0) as spool:
        yield spool


def files(spool: Spool) -> list[str]:
    """All files but the lock, relative to the spool."""
    paths = (path for path in spool.directory.rglob("*") if path.is_file())
    return sorted(str(path.relative_to(spool.directory)) for path in paths if path.name != "lock")


def test_an_object_is_a_dicom_file_with_the_bytes_received(spool: Spool) -> None:
    header, data = received()
    stored = spool.store(header, data, RECEIPT)
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
        found = list(second.scan())
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
    header, data = received()
    assert spool.store(header, data, RECEIPT).path.read_bytes().endswith(data)


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
        assert list(spool.scan()) == []


def test_a_broken_file_does_not_stop_the_scan(spool: Spool) -> None:
    broken = spool.store(*received(0), RECEIPT).path
    whole = spool.store(*received(1), RECEIPT).path
    broken.write_bytes(broken.read_bytes()[:-1])
    assert [found.path for found in spool.scan()] == [whole]
    assert broken.exists()


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
    assert list(spool.scan()) == []
