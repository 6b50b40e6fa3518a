"""What the benchmark of receiving sends, measures and makes of it."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from benchmarks.certificates import Certificate
from benchmarks.enhanced import write_enhanced
from benchmarks.processes import PeakMemory, listener_of, tree
from benchmarks.receivers import free_port
from benchmarks.receiving import (
    LEAST_MB_S,
    ORTHANC,
    OURS,
    STORESCP,
    Memory,
    Receiving,
    as_markdown,
)
from benchmarks.sending import SendingError, Slices, Speed, send, start_s
from benchmarks.stalled import KINDS, stalled_peers, stalled_tls_peers
from dicom_listener.events import ListenerEvent
from dicom_listener.listener import Listener, ListenerSettings
from dicom_listener.spool import Spool
from dicom_listener.tls import TlsSettings
from scanner_sim.push import Destination
from tests.dicom_listener.objects import ct_slice, part10
from tests.waiting import until


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    """Ours, without anything behind it."""

    def forget(_event: ListenerEvent) -> None:
        pass

    with Spool(tmp_path / "spool", free_floor_bytes=0) as spool:
        listener = Listener(ListenerSettings(port=0, stop_s=0.2, pdu_s=1.0), spool, forget)
        listener.start()
        try:
            yield listener
        finally:
            listener.stop()


def template(tmp_path: Path) -> Dataset:
    """A slice to make others of."""
    path = tmp_path / "template.dcm"
    path.write_bytes(part10(ct_slice(ImagePositionPatient=[0, 0, 5])))
    return pydicom.dcmread(path)


def test_slices_are_a_series_and_another_one_when_renewed(tmp_path: Path) -> None:
    slices = Slices(tmp_path / "slices", scanner=1, count=3)
    slices.write(template(tmp_path))
    seen = set()
    for _ in range(2):
        found = [pydicom.dcmread(path) for path in sorted(slices.folder.iterdir())]
        assert {d.SeriesInstanceUID for d in found} == {slices.series_uid}
        assert all(d.file_meta.MediaStorageSOPInstanceUID == d.SOPInstanceUID for d in found)
        assert [d.ImagePositionPatient[2] for d in found] == [5, 5.75, 6.5]
        seen |= {d.SOPInstanceUID for d in found}
        slices.renew()
    assert len(seen) == 6


@pytest.mark.peer
def test_slices_are_sent_and_counted(tmp_path: Path, storescu: str, listener: Listener) -> None:
    slices = Slices(tmp_path / "slices", scanner=1, count=3)
    slices.write(template(tmp_path))
    destination = Destination("ICEMARGIN", "127.0.0.1", listener.port)
    assert send(destination, [slices.folder]) > 0
    assert len(list((tmp_path / "spool" / "objects").glob("*/*/*.dcm"))) == 3
    assert start_s([slices.folder]) > 0
    with pytest.raises(SendingError, match="storescu"):
        send(replace(destination, port=free_port()), [slices.folder])


def test_stalled_peers_are_connected_and_let_in(listener: Listener) -> None:
    count = 2 * len(KINDS)
    with stalled_peers(count, listener.port, "ICEMARGIN"):
        until(lambda: listener.counters.read().connections == count, "all connections")
        # Half of the kinds have an association.
        until(lambda: listener.counters.read().open_associations == count // 2, "associations")
    until(lambda: listener.counters.read().open_associations == 0, "their end")
    assert listener.counters.read().objects_stored == 0


def test_stalled_peers_over_tls(tmp_path: Path) -> None:
    """Nothing, half or all of the first word; or an association, and part of an object."""
    certificate = Certificate.make(tmp_path)
    files = (certificate.certificate, certificate.key, certificate.certificate)
    settings = ListenerSettings(port=0, stop_s=0.2, tls=TlsSettings(*files, port=0))
    with Spool(tmp_path / "spool", free_floor_bytes=0) as spool:
        listener = Listener(settings, spool, lambda _event: None)
        listener.start()
        try:
            with stalled_tls_peers(8, listener.tls_port, "ICEMARGIN", certificate.client()):
                until(lambda: listener.counters.read().open_associations == 2, "associations")
                assert listener.counters.read().connections == 8
        finally:
            listener.stop()


def test_a_stalled_peer_that_is_not_let_in_is_told_of(listener: Listener) -> None:
    with (
        pytest.raises(ConnectionRefusedError),
        stalled_peers(len(KINDS), listener.port, "SOMEBODY"),
    ):
        pass


def test_the_process_that_listens_is_found(listener: Listener) -> None:
    assert listener_of(os.getpid(), listener.port) == os.getpid()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in tree(os.getpid())
        assert child.stdin is not None
        child.stdin.close()
    assert child.pid not in tree(os.getpid())


def test_nobody_listens() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as deaf,
        pytest.raises(RuntimeError, match="no pro"),
    ):
        listener_of(os.getpid(), deaf.getsockname()[1], patience_s=0.1)


def test_memory_is_told_from_mapped_files(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(32 << 20))
    with PeakMemory(os.getpid()) as peak:
        mapped = np.memmap(path, mode="r")
        assert mapped.sum() == 0
        own = np.ones(64 << 20, np.uint8)  # so much is never taken from what was freed before
        until(lambda: peak.anonymous_bytes > peak.before_bytes + 60e6, "a look at the memory")
        until(lambda: peak.total_bytes > peak.total_before_bytes + 90e6, "a look at the memory")
    assert peak.anonymous_bytes - peak.before_bytes < 80e6
    del own, mapped


def test_the_large_object_is_a_stack(tmp_path: Path) -> None:
    path = tmp_path / "enhanced.dcm"
    write_enhanced(path, 3)
    found = pydicom.dcmread(path)
    assert found.pixel_array.shape == (3, 512, 512)
    positions = [
        frame.PlanePositionSequence[0].ImagePositionPatient[2]
        for frame in found.PerFrameFunctionalGroupsSequence
    ]
    assert positions == [0, 0.75, 1.5]


def speed(mb_s: float) -> Speed:
    """100 MB, of which the sender's start takes 0.1 s."""
    seconds = 100 / mb_s + 0.1
    return Speed(100_000_000, (seconds - 0.05, seconds, seconds + 0.05), 0.1)


GOOD = Receiving(
    busy={OURS: speed(150), ORTHANC: speed(140), STORESCP: speed(600)},
    always_busy=True,
    one=speed(160),
    two=speed(250),
    beside_stalled=speed(150),
    two_busy=speed(170),
    lost=0,
    memory=Memory(268_000_000, 20_000_000, 280_000_000, 0.9),
    cores=2,
    quick=False,
)


def test_speeds_are_medians_net_of_the_senders_start() -> None:
    assert speed(100).net_mb_s == pytest.approx(100)
    assert speed(100).gross_mb_s == pytest.approx(100 / 1.1)


def test_what_was_asked_is_met() -> None:
    assert GOOD.failures == ()
    text = as_markdown(GOOD)
    assert f">= {LEAST_MB_S:.0f} and >= Orthanc" in text
    assert "20 MB of extra memory (asked: < 150), 280 MB with" in text


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"busy": GOOD.busy | {OURS: speed(110), ORTHANC: speed(90)}}, "110 MB/s, at least 118"),
        ({"busy": GOOD.busy | {ORTHANC: speed(155)}}, "Orthanc 155"),
        ({"always_busy": False}, "ended before"),
        ({"two": speed(230)}, "Two scanners: 1.44"),
        ({"beside_stalled": speed(120)}, "Beside 50 stalled peers: 0.75"),
        ({"memory": replace(GOOD.memory, anonymous_bytes=151_000_000)}, "151 MB"),
        ({"lost": 1}, "1 slices"),
        ({"lost": 1, "quick": True, "two": speed(1)}, "1 slices"),
    ],
)
def test_what_was_asked_is_missed(changes: dict[str, object], told: str) -> None:
    (failure,) = replace(GOOD, **changes).failures  # type: ignore[arg-type]
    assert told in failure
