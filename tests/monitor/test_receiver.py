"""The receiving side's start brings ledger and spool to one truth, reading no more than it must."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydicom.uid import ExplicitVRLittleEndian

from dicom_listener import ledger as module
from dicom_listener.encoded import parse_dataset
from dicom_listener.events import (
    AssociationEnded,
    AssociationOpened,
    ListenerEvent,
    ObjectStored,
    Receipt,
)
from dicom_listener.headers import HEADER_TAGS, parse_header
from dicom_listener.ledger import Follower, Ledger
from dicom_listener.reception import Reception
from dicom_listener.spool import Spool
from monitor.config import DicomSection, Settings, StorageSection
from monitor.receiver import RECORDS, Receiver
from tests.dicom_listener.objects import ct_slice, encode

DAYS = [40, 30, 20, 10, 0]
"""How long ago each object came."""


@pytest.fixture(autouse=True)
def short_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each entry in a file of its own."""
    monkeypatch.setattr(module, "SEGMENT_BYTES", 1)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """What a service leaves that was running for weeks."""
    with Spool(tmp_path, free_floor_bytes=0) as spool:
        ledger = Ledger(tmp_path)
        for n, days in enumerate(DAYS):
            event = stored(spool, n, days)
            ledger.append(event)
            aged(event.path, days)
            aged(max((tmp_path / "ledger").iterdir()), days)
        ledger.close()
    return tmp_path


def stored(spool: Spool, n: int, days: float) -> ObjectStored:
    """An object that is in the spool, and not in the ledger."""
    data = encode(ct_slice(n))
    header = parse_header(parse_dataset(data, ExplicitVRLittleEndian, HEADER_TAGS))
    reception = Reception(Path("/nowhere"))
    reception.write(data)
    receipt = Receipt(datetime.now(UTC) - timedelta(days=days), "a", "CT", "192.0.2.1")
    kept = spool.store(header, reception, receipt)
    return ObjectStored(header, kept.path, receipt, "new")


def aged(path: Path, days: float) -> None:
    """As if it had been written so many days ago."""
    at = (datetime.now(UTC) - timedelta(days=days)).timestamp()
    os.utime(path, times=(at, at))


def events(directory: Path) -> Iterator[ListenerEvent]:
    """All that is in the ledger."""
    follower = Follower(directory)
    while found := follower.read():
        yield from found


def entered(directory: Path) -> list[Path]:
    """Files of the objects in the ledger, in its order."""
    return [event.path for event in events(directory) if isinstance(event, ObjectStored)]


def start(directory: Path) -> None:
    """Start the receiving side, and end it."""
    settings = Settings(
        storage=StorageSection(directory=directory, minimum_free_mb=0),
        dicom=DicomSection(port=0),
    )
    with Receiver(settings, lambda: None):
        pass


def test_what_is_entered_is_left_alone(directory: Path) -> None:
    before = entered(directory)
    assert len(before) == len(DAYS)
    start(directory)
    assert entered(directory) == before


def test_what_was_not_entered_is(directory: Path) -> None:
    before = entered(directory)
    with Spool(directory, free_floor_bytes=0) as spool:
        lost = stored(spool, 7, 0).path
    start(directory)
    assert entered(directory) == [*before, lost]


def test_what_is_old_is_not_read_again(directory: Path) -> None:
    """Nobody could tell from its start how long the past is."""
    for path in sorted((directory / "ledger").iterdir())[:2]:
        path.write_bytes(b"unreadable\n")
        aged(path, 30)
    start(directory)
    assert len(entered(directory)) == len(DAYS) - 2


def test_files_that_are_newer_than_what_is_written_of_them(directory: Path) -> None:
    """A copy was put back: that is no news."""
    before = entered(directory)
    for path in before:
        aged(path, 0)
    start(directory)
    assert entered(directory) == before


def test_what_brought_nothing_is_not_written_down_without_end(tmp_path: Path) -> None:
    """A peer that calls again and again must not fill the disk; what an object came by is kept."""
    settings = Settings(
        storage=StorageSection(directory=tmp_path, minimum_free_mb=0), dicom=DicomSection(port=0)
    )
    receiver = Receiver(settings, lambda: None)
    with receiver:
        for n in range(2 * RECORDS):
            at = datetime.now(UTC)
            receiver.enter(AssociationOpened(f"{n}", "CT", "192.0.2.1", "CT", False, "", at))
            receiver.enter(AssociationEnded(f"{n}", "CT", "released", at, objects=n % 2))
    found = list(events(tmp_path))
    assert sum(isinstance(event, AssociationOpened) for event in found) == RECORDS
    ended = [event.objects for event in found if isinstance(event, AssociationEnded)]
    assert (ended.count(0), ended.count(1)) == (RECORDS, RECORDS)
