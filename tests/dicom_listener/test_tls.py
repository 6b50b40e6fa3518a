"""The port with TLS: who comes in by a certificate, and who does not, however they try."""

import logging
import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.uid import CTImageStorage

from dicom_listener.events import AssociationOpened, AssociationRejected, ObjectStored
from dicom_listener.listener import ListenerError
from dicom_listener.peers import CALLING_TITLE, Peer
from dicom_listener.tls import TlsSettings
from tests.conftest import needed
from tests.dicom_listener.certificates import Authority, Pair
from tests.dicom_listener.conftest import Start, until
from tests.dicom_listener.objects import SERIES, ct_slice, encode, part10
from tests.dicom_listener.raw_peer import ASSOCIATE_AC, ASSOCIATE_RJ, RawPeer

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that everybody trusts."""
    return Authority(needed("openssl", "openssl"), tmp_path_factory.mktemp("ca"), "hospital")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """One that nobody trusts."""
    return Authority(needed("openssl", "openssl"), tmp_path_factory.mktemp("ca"), "stranger")


@pytest.fixture(scope="module")
def ours(hospital: Authority) -> Pair:
    """The listener's certificate."""
    return hospital.sign("icemargin")


@pytest.fixture(scope="module")
def scanner(hospital: Authority) -> Pair:
    """A scanner's certificate."""
    return hospital.sign("ct1")


def test_a_certificate_lets_in(
    start: Start, hospital: Authority, ours: Pair, scanner: Pair
) -> None:
    peer_of_ours = Peer("CT 1", "CT1", certificate_sha256=frozenset({scanner.sha256}))
    running = start(peers=(peer_of_ours,), tls=hospital.settings(ours))
    data = encode(ct_slice(0, size=256))
    with RawPeer(running.listener.tls_port, tls=hospital.client(scanner)) as peer:
        assert peer.associate(calling="CT1") == ASSOCIATE_AC
        assert peer.store(data, CTImageStorage, f"{SERIES}.1") == 0
        peer.release()
    (opened,) = running.sink.of(AssociationOpened)
    assert (opened.peer, opened.secure, opened.certificate) == ("CT 1", True, "CN=ct1,O=Hospital")
    assert running.sink.of(ObjectStored)[0].path.read_bytes().endswith(data)


def test_another_s_certificate_does_not(
    start: Start, hospital: Authority, ours: Pair, scanner: Pair
) -> None:
    """Signed by our authority, but not this peer's."""
    peer_of_ours = Peer("CT 1", "CT1", certificate_sha256=frozenset({scanner.sha256}))
    running = start(peers=(peer_of_ours,), tls=hospital.settings(ours))
    with RawPeer(running.listener.tls_port, tls=hospital.client(hospital.sign("other"))) as peer:
        assert peer.associate(calling="CT1") == ASSOCIATE_RJ
        assert peer.rejection == CALLING_TITLE
    (rejected,) = running.sink.wait(AssociationRejected)
    assert rejected.reason == "CT 1 has shown a certificate that is not its own."


def test_no_certificate_and_one_of_a_stranger(
    start: Start, hospital: Authority, stranger: Authority, ours: Pair
) -> None:
    running = start(tls=hospital.settings(ours))
    for pair in (None, stranger.sign("ct1")):
        with (
            pytest.raises((ssl.SSLError, ConnectionError, AssertionError)),  # TLS 1.3 tells it late
            RawPeer(running.listener.tls_port, tls=hospital.client(pair)) as peer,
        ):
            peer.associate()
    reasons = [one.reason for one in running.sink.wait(AssociationRejected, 2)]
    assert all(reason.startswith("The TLS handshake failed: ") for reason in reasons)
    assert not running.sink.of(AssociationOpened)


def test_old_tls_is_refused(start: Start, hospital: Authority, ours: Pair, scanner: Pair) -> None:
    running = start(tls=hospital.settings(ours))
    client = hospital.client(scanner)
    client.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        RawPeer(running.listener.tls_port, tls=client)


def test_a_plain_caller_on_the_port_with_tls(start: Start, hospital: Authority, ours: Pair) -> None:
    running = start(tls=hospital.settings(ours))
    with RawPeer(running.listener.tls_port) as peer:
        peer.send(b"\1\0\0\0\0\xcd" + bytes(205))
        assert peer.receive() is None or peer.wait_for_end()
    running.sink.wait(AssociationRejected)


def test_silent_clients_hold_nobody_up(
    start: Start, hospital: Authority, ours: Pair, scanner: Pair
) -> None:
    """Neither those that say nothing, nor those that stop in the middle of the handshake."""
    running = start(tls=hospital.settings(ours), request_s=60.0)
    threads = threading.active_count()
    silent = [RawPeer(running.listener.tls_port) for _ in range(25)]
    try:
        for peer in silent[::2]:
            peer.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        for port, tls in (
            (running.listener.tls_port, hospital.client(scanner)),
            (running.port, None),
        ):
            with RawPeer(port, tls=tls) as peer:
                assert peer.associate() == ASSOCIATE_AC
                peer.release()
    finally:
        for peer in silent:
            peer.socket.close()
    until(lambda: threading.active_count() <= threads)


def test_a_silent_client_is_ended(start: Start, hospital: Authority, ours: Pair) -> None:
    running = start(tls=hospital.settings(ours), request_s=0.2)
    with RawPeer(running.listener.tls_port) as peer:
        assert peer.wait_for_end()
    (rejected,) = running.sink.wait(AssociationRejected)
    assert rejected.reason == "The TLS handshake did not come to its end in time."


def test_a_client_that_goes_after_its_first_bytes(
    start: Start, hospital: Authority, ours: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    """Python's ssl then closes the connection by itself, before the handshake."""
    running = start(tls=hospital.settings(ours))
    threads, files = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(50):
        peer = RawPeer(running.listener.tls_port)
        peer.send(b"\x16\x03\x01\x02\x00")
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.socket.close()
    until(lambda: running.listener.counters.read().connections == 50)
    until(lambda: threading.active_count() == threads)
    until(lambda: len(list(Path("/proc/self/fd").iterdir())) == files)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_stall_within_tls(start: Start, hospital: Authority, ours: Pair, scanner: Pair) -> None:
    running = start(tls=hospital.settings(ours), pdu_s=0.2)
    with RawPeer(running.listener.tls_port, tls=hospital.client(scanner)) as peer:
        assert peer.associate() == ASSOCIATE_AC
        peer.send(b"\4\0\0\0\0\x10abc")
        assert peer.wait_for_end()
    until(lambda: running.listener.counters.read().open_associations == 0)


def test_only_tls(start: Start, hospital: Authority, ours: Pair, scanner: Pair) -> None:
    running = start(tls=hospital.settings(ours, only=True))
    with pytest.raises(ListenerError):
        _ = running.port
    with RawPeer(running.listener.tls_port, tls=hospital.client(scanner)) as peer:
        assert peer.associate() == ASSOCIATE_AC


def test_files_that_can_t_be_used(
    start: Start, hospital: Authority, stranger: Authority, ours: Pair, tmp_path: Path
) -> None:
    good = hospital.settings(ours)
    text, locked = tmp_path / "text", tmp_path / "locked.key"
    text.write_text("no certificate")
    openssl = shutil.which("openssl")
    assert openssl is not None
    subprocess.run(
        [openssl, "pkey", "-in", ours.key, "-aes256", "-passout", "pass:word", "-out", locked],
        check=True,
    )
    wrong = {
        "tls.certificate": replace(good, certificate=tmp_path / "absent"),
        "tls.key": replace(good, key=tmp_path),
        "tls.authorities": replace(good, authorities=text),
        "tls.certificate and": replace(good, certificate=text),
        "the key without a password": replace(good, key=locked),
        "and of this certificate": replace(good, key=stranger.sign("x").key),
    }
    for said, settings in wrong.items():
        with pytest.raises(ListenerError, match=said):
            start(tls=settings)


Dcmtk = Callable[[str], str]


def dcmtk_tls(program: str, settings: TlsSettings, pair: Pair, port: int, *paths: Path) -> int:
    """Run one of dcmtk's programs; its exit code."""
    options = ["+tls", pair.key, pair.certificate, "+cf", settings.authorities, "-aec", "ICEMARGIN"]
    command = [program, *options, "127.0.0.1", port, *paths]
    finished = subprocess.run(
        list(map(str, command)),
        env=os.environ | {"TCP_NODELAY": "1"},
        capture_output=True,
        timeout=60,
    )
    return finished.returncode


def test_dcmtk(
    start: Start,
    dcmtk: Dcmtk,
    hospital: Authority,
    stranger: Authority,
    ours: Pair,
    scanner: Pair,
    tmp_path: Path,
) -> None:
    """echoscu and storescu, with a certificate that is trusted and with one that is not."""
    settings = hospital.settings(ours)
    running = start(tls=settings)
    port = running.listener.tls_port
    files = [tmp_path / f"{n}.dcm" for n in range(3)]
    for n, path in enumerate(files):
        path.write_bytes(part10(ct_slice(n, size=128)))
    assert dcmtk_tls(dcmtk("echoscu"), settings, scanner, port) == 0
    assert dcmtk_tls(dcmtk("storescu"), settings, scanner, port, *files) == 0
    assert len(running.sink.of(ObjectStored)) == 3
    assert dcmtk_tls(dcmtk("echoscu"), settings, stranger.sign("ct1"), port) != 0
    assert running.listener.counters.read().echoes == 1
