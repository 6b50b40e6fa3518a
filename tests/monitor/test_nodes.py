"""Whom the configuration names."""

from pathlib import Path
from typing import Any

import pytest

from dicom_listener.tls import TlsError
from monitor.config import ConfigError, load
from monitor.nodes import archive_nodes, ourselves, peer_nodes, worklist_node
from tests.conftest import needed
from tests.dicom_listener.certificates import Authority


def loaded(folder: Path, text: str) -> Any:
    path = folder / "config.yaml"
    path.write_text(text)
    return load(path)


def test_nobody_is_called_by_default() -> None:
    settings = load(None)
    assert archive_nodes(settings) == peer_nodes(settings) == ()
    assert worklist_node(settings) is None
    assert ourselves(settings).ae_title == "ICEMARGIN"


def test_without_tls(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        "dicom: {peers: [{name: CT 1, ae_title: CT1, host: 192.0.2.17}]}\n"
        "archive: {nodes: [{name: A, ae_title: PACS, host: 192.0.2.40, port: 11112}]}\n"
        "worklist: {host: 192.0.2.41}\n",
    )
    (archive,) = archive_nodes(settings)
    assert (archive.name, str(archive), archive.secure) == ("A", "PACS@192.0.2.40:11112", None)
    assert str(worklist_node(settings)) == "WORKLIST@192.0.2.41:104"
    (peer,) = peer_nodes(settings)
    assert (peer.name, str(peer), peer.secure) == ("CT 1", "CT1@192.0.2.17:104", None)


@pytest.mark.peer
def test_with_tls(tmp_path: Path) -> None:
    hospital = Authority(needed("openssl", "openssl"), tmp_path, "hospital")
    ours = hospital.sign("ours")
    digits = "0" * 64
    settings = loaded(
        tmp_path,
        f"tls: {{certificate: {ours.certificate}, key: {ours.key}, "
        f"authorities: {hospital.certificate}}}\n"
        "dicom: {peers: [{name: CT 1, ae_title: CT1, host: 192.0.2.17, tls_required: true}]}\n"
        "archive: {nodes: [{name: A, ae_title: PACS, host: 192.0.2.40, tls: true, "
        f"certificate_sha256: ['{digits}']}}]}}\n"
        "worklist: {host: 192.0.2.41, tls: true}\n",
    )
    (archive,), (peer,), worklist = (
        archive_nodes(settings),
        peer_nodes(settings),
        worklist_node(settings),
    )
    assert archive.secure is not None
    assert archive.secure.certificate_sha256 == (digits,)
    assert not archive.secure.context.check_hostname  # the fingerprint is enough
    assert worklist is not None
    for node in (peer, worklist):
        assert node.secure is not None
        assert node.secure.context.check_hostname
    ours.key.unlink()
    with pytest.raises(TlsError, match=r"tls\.key"):
        archive_nodes(settings)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("worklist: {tls: true}", "need tls.certificate"),
        ("archive: {nodes: [{name: A, ae_title: A, host: h, tls: true}]}", "need tls.certificate"),
        (
            "archive: {nodes: [{name: A, ae_title: A, host: h}, {name: A, ae_title: B, host: h}]}",
            "two nodes are called 'A'",
        ),
        ("archive: {nodes: [{name: A, ae_title: A, host: h, port: 65536}]}", "65535"),
        (
            "archive: {nodes: [{name: A, ae_title: A, host: h, certificate_sha256: [x]}]}",
            "SHA-256",
        ),
    ],
)
def test_what_can_not_be_called(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        loaded(tmp_path, text)


def test_a_peer_by_tls_without_files(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        "dicom: {peers: [{name: CT 1, ae_title: CT1, host: 192.0.2.17, tls_required: true}]}\n",
    )
    with pytest.raises(TlsError, match="need certificate, key and authorities"):
        peer_nodes(settings)
