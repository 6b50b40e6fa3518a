"""The doctor finds what is wrong, says what to mend, and leaves nothing behind."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dicom_listener.listener import Listener, ListenerSettings
from dicom_listener.spool import Spool
from monitor.cli import main
from monitor.config import DicomSection, Settings, StorageSection, WebSection
from monitor.doctor import Check, Peer, echo, examine


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
    check = echo(Peer("PACS", "127.0.0.1", listener.port), "ICEMARGIN")
    assert (check.well, check.found) == (True, "answers")
    assert check.name == f"C-ECHO to PACS@127.0.0.1:{listener.port}"


def test_a_peer_that_does_not_know_us(listener: Listener) -> None:
    check = echo(Peer("OTHER", "127.0.0.1", listener.port), "ICEMARGIN")
    assert not check.well
    assert check.found == "rejected the association"
    assert "AE titles" in check.mend


# pynetdicom leaves the socket open that could not connect.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_peer_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        gone = server.getsockname()[1]
    check = echo(Peer("PACS", "127.0.0.1", gone), "ICEMARGIN")
    assert (check.well, check.found) == (False, "does not answer")
    assert "firewall" in check.mend


def test_peers_are_written_so() -> None:
    assert Peer.parse("PACS@10.0.0.5:104") == Peer("PACS", "10.0.0.5", 104)
    assert Peer.parse("PACS@[::1]:104") == Peer("PACS", "::1", 104)


@pytest.mark.parametrize("text", ["", "PACS", "PACS@host", "PACS@host:", "@host:104", "PACS@:104"])
def test_peers_are_not_written_otherwise(text: str) -> None:
    with pytest.raises(ValueError, match="is not AE@host:port"):
        Peer.parse(text)


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
    assert f"ok   C-ECHO to {peer}: answers" in said
    assert main(["doctor", "--config", str(config), "--peer", "nonsense"]) == 2
    assert "AE@host:port" in capsys.readouterr().err
