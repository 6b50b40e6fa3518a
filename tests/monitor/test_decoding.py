"""Compressed slices are decoded ahead of time, and nothing depends on it."""

import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from dicom_listener.events import ObjectStored, Receipt
from dicom_listener.headers import read_header
from monitor.decoding import Decoding
from tests.dicom_listener.objects import at, ct_slice
from tests.waiting import until


def stored(folder: Path, n: int, *, compressed: bool) -> ObjectStored:
    """A slice in the spool."""
    ds = ct_slice(n)
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    if compressed:
        ds.compress(RLELossless)
    path = folder / f"{n}.dcm"
    ds.save_as(path, enforce_file_format=True)
    return ObjectStored(read_header(path), path, Receipt(at(n), "a", "CT", ""), "new")


@pytest.fixture
def decoding(tmp_path: Path) -> Iterator[Decoding]:
    (tmp_path / "decoded").mkdir()
    (tmp_path / "decoded" / "old.hu").write_bytes(b"of an earlier run")
    decoding = Decoding(tmp_path / "decoded")
    yield decoding
    decoding.close()
    until(lambda: not multiprocessing.active_children(), "the process's end")


def kept(decoding: Decoding) -> set[str]:
    return {path.name for path in decoding.folder.glob("*.hu")}


def test_compressed_slices_are_decoded(decoding: Decoding, tmp_path: Path) -> None:
    assert kept(decoding) == set()
    slices = [stored(tmp_path, n, compressed=n < 3) for n in range(4)]
    for one in slices:
        decoding.offer(one)
    expected = {f"{one.header.sop_instance_uid}.hu" for one in slices[:3]}
    until(lambda: kept(decoding) == expected, "the decoded slices")


def test_its_process_may_die(decoding: Decoding, tmp_path: Path) -> None:
    one = stored(tmp_path, 1, compressed=True)
    decoding.offer(one)
    until(lambda: kept(decoding), "a decoded slice")
    (process,) = multiprocessing.active_children()
    process.kill()
    process.join()
    next(decoding.folder.iterdir()).unlink()

    def again() -> set[str]:
        decoding.offer(one)
        return kept(decoding)

    until(again, "a decoded slice, by another process")


def test_it_never_waits(decoding: Decoding, tmp_path: Path) -> None:
    one = stored(tmp_path, 1, compressed=True)
    began = time.thread_time()
    for _ in range(2000):
        decoding.offer(one)
    assert len(decoding._outstanding) <= 256 + 1
    assert time.thread_time() - began < 10
