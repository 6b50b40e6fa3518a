"""Our calls by TLS: whom we trust, and what people are told when we do not."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from dicom_listener.client import echo
from dicom_listener.nodes import CallError, Node, Ourselves, Secure
from dicom_listener.tls import client_context
from tests.conftest import needed
from tests.dicom_listener.certificates import Authority, Pair
from tests.dicom_listener.conftest import Running, Start
from tests.dicom_listener.providers import CALLER, node, scripted

pytestmark = pytest.mark.peer

QUICK = Ourselves("ICEMARGIN", connect_s=0.3, answer_s=0.3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where certificates lie."""
    return tmp_path_factory.mktemp("ca")


@pytest.fixture(scope="module")
def hospital(folder: Path) -> Authority:
    """The authority that everybody trusts."""
    return Authority(needed("openssl", "openssl"), folder, "hospital")


@pytest.fixture(scope="module")
def stranger(folder: Path) -> Authority:
    """One that nobody trusts."""
    return Authority(needed("openssl", "openssl"), folder, "stranger")


@pytest.fixture(scope="module")
def archive(hospital: Authority) -> Pair:
    """The certificate of the one who is called."""
    return hospital.sign("archive")


@pytest.fixture(scope="module")
def ours(hospital: Authority) -> Pair:
    """Our certificate."""
    return hospital.sign("ours")


@pytest.fixture
def called(start: Start, hospital: Authority, archive: Pair) -> Running:
    """Who is called: a listener with TLS."""
    return start(tls=hospital.settings(archive))


def secure_node(port: int, authority: Authority, pair: Pair, *fingerprints: str) -> Node:
    """Call a port with a certificate, and trust an authority."""
    context = client_context(authority.settings(pair), named_host=not fingerprints)
    return node(port, ae_title="ICEMARGIN", secure=Secure(context, fingerprints))


def failure(one: Node, caller: Ourselves = CALLER) -> CallError:
    with pytest.raises(CallError) as raised:
        echo(one, caller)
    return raised.value


def test_both_sides_trust_each_other(called: Running, hospital: Authority, ours: Pair) -> None:
    echo(secure_node(called.listener.tls_port, hospital, ours), CALLER)
    assert called.listener.counters.read().echoes == 1


def test_a_certificate_that_is_known(
    called: Running, hospital: Authority, ours: Pair, archive: Pair
) -> None:
    echo(secure_node(called.listener.tls_port, hospital, ours, archive.sha256), CALLER)
    other = secure_node(called.listener.tls_port, hospital, ours, "0" * 64)
    error = failure(other)
    assert (error.code, archive.sha256 in error.text) == ("tls", True)


def test_a_certificate_of_another_host(
    called: Running, hospital: Authority, ours: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any machine of the hospital has a certificate of the authority's."""
    connect: Callable[..., socket.socket] = socket.create_connection
    monkeypatch.setattr(
        "socket.create_connection", lambda address, *more: connect(("127.0.0.1", address[1]), *more)
    )
    context = client_context(hospital.settings(ours), named_host=True)
    port = called.listener.tls_port
    error = failure(node(port, host="pacs.hospital.example", secure=Secure(context)))
    assert error.code == "tls"
    assert "pacs.hospital.example" in error.text


def test_a_certificate_of_nobody_we_know(called: Running, stranger: Authority, ours: Pair) -> None:
    error = failure(secure_node(called.listener.tls_port, stranger, ours))
    assert error.code == "tls"
    assert "is not trusted" in error.text


def test_ours_is_not_trusted(called: Running, hospital: Authority, stranger: Authority) -> None:
    """TLS 1.3 tells only when the first answer is read."""
    pair = stranger.sign("ours")
    settings = hospital.settings(pair)
    context = client_context(settings, named_host=True)
    port = called.listener.tls_port
    error = failure(node(port, ae_title="ICEMARGIN", secure=Secure(context)))
    assert error.code in ("tls", "aborted")  # the alert may be lost with the connection


def test_tls_to_one_without_it(running: Running, hospital: Authority, ours: Pair) -> None:
    error = failure(secure_node(running.port, hospital, ours), QUICK)
    assert error.code in ("tls", "timed_out")


def test_no_tls_to_one_with_it(called: Running) -> None:
    error = failure(node(called.listener.tls_port, ae_title="ICEMARGIN"))
    assert error.code == "aborted"


def test_one_that_is_silent(hospital: Authority, ours: Pair) -> None:
    def silent(connection: socket.socket) -> None:
        while connection.recv(1 << 16):
            pass

    with scripted(silent) as port:
        error = failure(secure_node(port, hospital, ours), QUICK)
    assert error.code == "timed_out"
