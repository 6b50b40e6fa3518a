"""Sending to real storage servers, and pacing."""

import math
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import CTImageStorage
from pynetdicom import AE, evt
from pynetdicom.transport import ThreadedAssociationServer

from scanner_sim.play import play
from scanner_sim.procedure import Event, PhaseEvent, ScanEvent, StructuresEvent
from scanner_sim.push import Destination, Pusher, PushError


class Receiver:
    """A real storage server that answers with a status of one's choice."""

    def __init__(self, status: int = 0x0000) -> None:
        self.uids: list[str] = []
        self.associations = 0
        self._status = status
        entity = AE("TESTSCP")
        entity.add_supported_context(CTImageStorage)
        entity.add_supported_context("1.2.840.10008.1.1")
        self._server: ThreadedAssociationServer | None = entity.start_server(
            ("127.0.0.1", 0),
            block=False,
            evt_handlers=[(evt.EVT_C_STORE, self._store), (evt.EVT_ACCEPTED, self._accepted)],
        )
        assert self._server is not None
        self.destination = Destination("TESTSCP", "127.0.0.1", self._server.server_address[1])

    def _store(self, event: evt.Event) -> int:
        self.uids.append(str(getattr(event.request, "AffectedSOPInstanceUID", "")))
        return self._status

    def _accepted(self, event: evt.Event) -> None:
        self.associations += 1

    def close(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.close()


def test_a_scan_goes_over_one_association(scans: tuple[ScanEvent, ...], receiver: Receiver) -> None:
    assert Pusher(receiver.destination).event(scans[0]) == 24
    assert receiver.uids == [str(image.SOPInstanceUID) for image in scans[0].datasets]
    assert receiver.associations == 1


def test_or_over_one_an_image(scans: tuple[ScanEvent, ...], receiver: Receiver) -> None:
    pusher = Pusher(receiver.destination, association_per_image=True)
    assert pusher.send(scans[0].datasets[:3]) == 3
    assert receiver.associations == 3


def test_a_refusal_is_an_error(scans: tuple[ScanEvent, ...]) -> None:
    server = Receiver(status=0xA700)
    try:
        with pytest.raises(PushError, match="0xA700"):
            Pusher(server.destination).send(scans[0].datasets)
        assert len(server.uids) == 1
    finally:
        server.close()


# pynetdicom drops a socket that could not connect without closing it.
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_nobody_there_is_an_error(scans: tuple[ScanEvent, ...]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(PushError, match="reached"):
        Pusher(Destination("NOBODY", "127.0.0.1", port)).send(scans[0].datasets)


def test_an_unwanted_class_is_an_error(structures: StructuresEvent, receiver: Receiver) -> None:
    with pytest.raises(PushError):
        Pusher(receiver.destination).event(structures)


def test_stop_breaks_off_between_objects(scans: tuple[ScanEvent, ...], receiver: Receiver) -> None:
    stop = threading.Event()
    pusher = Pusher(receiver.destination, stop=stop, slice_delay_s=0.001)
    sent: list[object] = []

    def after(dataset: object) -> None:
        sent.append(dataset)
        if len(sent) == 5:
            stop.set()

    assert pusher.send(scans[0].datasets, after) == 5
    assert len(receiver.uids) == 5


def test_echo(receiver: Receiver) -> None:
    Pusher(receiver.destination).echo()


@pytest.mark.parametrize("text", ["host:104", "AE@host", "AE@:104", "@h:1", "AE@h:x", "AE@h:0"])
def test_a_destination_is_read_strictly(text: str) -> None:
    with pytest.raises(ValueError, match="AE"):
        Destination.parse(text)


def test_a_destination_is_read() -> None:
    assert Destination.parse("PACS@10.0.0.5:11112") == Destination("PACS", "10.0.0.5", 11112)
    assert str(Destination.parse("PACS@[::1]:104")) == "PACS@::1:104"


@pytest.mark.peer
def test_dcmtk_takes_everything(
    scans: tuple[ScanEvent, ...], structures: StructuresEvent, tmp_path: Path
) -> None:
    storescp = next(
        (p for p in ("/usr/bin/storescp", shutil.which("storescp")) if p and Path(p).exists()), None
    )
    if storescp is None:
        reason = "storescp is missing: install the Debian package dcmtk"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    server = subprocess.Popen(
        [storescp, "--output-directory", str(tmp_path), str(port)],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        pusher = Pusher(Destination("DCMTK", "127.0.0.1", port))
        _until_it_listens(port, server)
        assert pusher.event(scans[1]) == 24
        assert pusher.event(structures) == 1
    finally:
        server.terminate()
        server.wait(10)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 25
    sent = {str(image.SOPInstanceUID): image for image in scans[1].datasets}
    read = [pydicom.dcmread(path) for path in files]
    images = [dataset for dataset in read if dataset.Modality == "CT"]
    assert len(images) == 24
    for image in images:
        assert image.PixelData == sent[image.SOPInstanceUID].PixelData


def _until_it_listens(port: int, server: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + 20
    pause = threading.Event()
    while time.monotonic() < until:
        assert server.poll() is None
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        pause.wait(0.02)
    raise AssertionError("storescp did not come up")


def _ticks(count: int) -> Iterator[Event]:
    for n in range(count):
        yield PhaseEvent(n * 0.05, "idle")


def test_playing_keeps_order_and_pace() -> None:
    begin = time.monotonic()
    at: list[tuple[float, float]] = []
    play(_ticks(5), 1.0, lambda event: at.append((event.at_s, time.monotonic() - begin)))
    assert [due for due, _ in at] == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
    assert all(done >= due for due, done in at)
    fast: list[float] = []
    play(_ticks(2000), math.inf, lambda event: fast.append(event.at_s))
    assert len(fast) == 2000


def test_playing_stops_and_leaves_no_thread() -> None:
    stop = threading.Event()
    seen: list[Event] = []

    def once(event: Event) -> None:
        seen.append(event)
        stop.set()

    play(_ticks(10**6), 1.0, once, stop)
    assert len(seen) == 1
    assert not [t for t in threading.enumerate() if t.name == "simulated-procedure"]


def test_what_computing_raises_reaches_the_caller() -> None:
    def broken() -> Iterator[Event]:
        yield PhaseEvent(0, "idle")
        raise RuntimeError("no anatomy")

    with pytest.raises(RuntimeError, match="no anatomy"):
        play(broken(), math.inf, lambda event: None)
    with pytest.raises(ValueError, match="speed"):
        play(broken(), 0, lambda event: None)
