"""The doctor finds what is wrong, says what to mend, and leaves nothing behind."""

import re
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dicom_listener.listener import Listener, ListenerSettings
from dicom_listener.nodes import Node
from dicom_listener.spool import Spool
from monitor.cli import main
from monitor.config import (
    ArchiveSection,
    DicomSection,
    Settings,
    StorageSection,
    TlsSection,
    WebSection,
    WorklistSection,
)
from monitor.doctor import Check, echo, examine, parse_node
from tests.conftest import needed
from tests.dicom_listener.certificates import Authority
from tests.dicom_listener.providers import scripted
from tests.peers.orthanc import free_port


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else has."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    """A DICOM peer."""
    with Spool(tmp_path / "peer", free_floor_bytes=0) as spool:
        listener = Listener(
            ListenerSettings(ae_title="PACS", port=0, stop_s=0.2), spool, lambda _event: None
        )
        listener.start()
        yield listener
        listener.stop()


def settings(directory: Path, **sections: Any) -> Settings:
    """Free ports, and a folder of the test's own."""
    given: dict[str, Any] = {
        "dicom": DicomSection(port=0),
        "web": WebSection(port=0),
        "storage": StorageSection(directory=directory, minimum_free_mb=1),
    }
    return Settings(**given | sections)


def checks(local: Settings) -> dict[str, Check]:
    """All checks by name."""
    return {check.name: check for check in examine(local, [])}


def test_all_is_well_and_nothing_is_left_behind(tmp_path: Path) -> None:
    found = checks(settings(tmp_path / "data"))
    page = found.pop("Page")  # not built where the front end was skipped
    assert page.found in {"is built", "is not built"}
    assert {name for name, check in found.items() if not check.well} == set()
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken(tmp_path: Path, taken: int) -> None:
    found = checks(settings(tmp_path, dicom=DicomSection(port=taken)))
    check = found["DICOM port"]
    assert not check.well
    assert str(taken) in check.found
    assert "dicom.port" in check.mend
    assert found["Page's port"].well


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    check = checks(settings(tmp_path / "file" / "data"))["Storage folder"]
    assert not check.well
    assert "storage.directory" in check.mend


def test_a_full_disk(tmp_path: Path) -> None:
    storage = StorageSection(directory=tmp_path, minimum_free_mb=10**9)
    check = checks(settings(tmp_path, storage=storage))["Disk space"]
    assert not check.well
    assert "floor 1000000000 MB" in check.found


def test_a_database_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_bytes(b"no database" * 100)
    check = checks(settings(tmp_path))["Database"]
    assert not check.well
    assert "journal.sqlite" in check.found


def test_a_peer_that_answers(listener: Listener) -> None:
    check = echo(parse_node(f"PACS@127.0.0.1:{listener.port}"), "ICEMARGIN")
    assert check.well
    assert re.fullmatch(r"answers in \d+ ms", check.found)
    assert check.name == f"C-ECHO to The peer (PACS@127.0.0.1:{listener.port})"


def test_a_peer_that_does_not_know_us(listener: Listener) -> None:
    check = echo(parse_node(f"OTHER@127.0.0.1:{listener.port}"), "ICEMARGIN")
    assert not check.well
    assert "rejected the association" in check.found
    assert "AE titles" in check.mend


def test_a_peer_that_is_not_there() -> None:
    check = echo(parse_node(f"PACS@127.0.0.1:{free_port()}"), "ICEMARGIN")
    assert not check.well
    assert "can't be reached" in check.found
    assert "firewall" in check.mend


def test_a_port_of_something_else() -> None:
    def page(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with scripted(page) as port:
        check = echo(parse_node(f"PACS@127.0.0.1:{port}"), "ICEMARGIN")
    assert not check.well
    assert "does not speak DICOM" in check.found
    assert "DICOM port" in check.mend


def test_everybody_who_is_configured_is_called(tmp_path: Path, listener: Listener) -> None:
    """But for peers that we have no address of."""
    here = {"host": "127.0.0.1", "port": listener.port}
    local = settings(
        tmp_path,
        dicom=DicomSection.model_validate(
            {
                "port": 0,
                "peers": [
                    {"name": "CT 1", "ae_title": "CT1"} | here,
                    {"name": "CT 2", "ae_title": "CT2"},
                ],
            }
        ),
        archive=ArchiveSection.model_validate(
            {"nodes": [{"name": "Archive", "ae_title": "PACS"} | here]}
        ),
        worklist=WorklistSection(host="127.0.0.1", port=free_port()),
    )
    found = [check for check in examine(local, []) if check.name.startswith("C-ECHO")]
    assert [(check.name.split(" (")[0], check.well) for check in found] == [
        ("C-ECHO to CT 1", False),
        ("C-ECHO to Archive", True),
        ("C-ECHO to The worklist", False),
    ]


@pytest.mark.peer
def test_certificates(tmp_path: Path, taken: int) -> None:
    """They are good, but for 30 days; then somebody takes the port, and the key is another's."""
    hospital = Authority(needed("openssl", "openssl"), tmp_path, "hospital")
    ours, other = hospital.sign("ours"), hospital.sign("other")
    files = {"certificate": ours.certificate, "key": ours.key, "authorities": hospital.certificate}
    found = checks(settings(tmp_path, tls=TlsSection(port=0, **files)))
    check = found["Certificates"]
    assert (check.well, check.soon) == (True, True)
    assert check.found == f"are valid until {datetime.now(UTC) + timedelta(days=30):%Y-%m-%d}"
    assert found["DICOM port with TLS"].well
    files["key"] = other.key
    found = checks(settings(tmp_path, tls=TlsSection(port=taken, **files)))
    assert not found["DICOM port with TLS"].well
    assert not found["Certificates"].well
    assert "tls.key" in found["Certificates"].found
    node = {"name": "Archive", "ae_title": "PACS", "host": "127.0.0.1", "tls": True}
    archive = ArchiveSection.model_validate({"nodes": [node]})
    found = checks(settings(tmp_path, tls=TlsSection(port=0, **files), archive=archive))
    assert not found["Calls by TLS"].well


def test_no_tls_no_certificates(tmp_path: Path) -> None:
    assert "Certificates" not in checks(settings(tmp_path))


def test_peers_are_written_so() -> None:
    assert parse_node("PACS@10.0.0.5:104") == Node("The peer", "PACS", "10.0.0.5", 104)
    assert parse_node("PACS@[::1]:65535") == Node("The peer", "PACS", "::1", 65535)


@pytest.mark.parametrize(
    "text",
    [
        *("", "PACS", "PACS@host", "PACS@host:", "@host:104", "PACS@:104", "PACS@host:104x"),
        *("PACS@host:0", "PACS@host:65536", "PACS@host:-1", "A_TITLE_TOO_LONG1@host:104"),
        "PACS@host:١٠٤",
    ],
)
def test_peers_are_not_written_otherwise(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        parse_node(text)


def test_the_command(
    tmp_path: Path, taken: int, listener: Listener, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(
        f"dicom: {{port: {taken}}}\nweb: {{port: 0}}\n"
        f"storage: {{directory: '{tmp_path / 'data'}', minimum_free_mb: 1}}\n"
    )
    peer = f"PACS@127.0.0.1:{listener.port}"
    assert main(["doctor", "--config", str(config), "--peer", peer]) == 1
    said = capsys.readouterr().out
    assert f"BAD  DICOM port: 127.0.0.1:{taken} can't be used" in said
    assert "choose another dicom.port" in said
    assert f"ok   C-ECHO to The peer ({peer}): answers in " in said
    assert main(["doctor", "--config", str(config), "--peer", "PACS@127.0.0.1:65536"]) == 2
