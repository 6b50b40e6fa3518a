"""A real Orthanc as a peer: sender, archive (PACS), worklist, storage commitment's user."""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import needed
from tests.waiting import PATIENCE_S, until

AE_TITLE = "ORTHANC"
PLUGINS = Path("/usr/share/orthanc/plugins")
ATTEMPTS = 3
"""A port that was free may be taken before Orthanc binds it; it then ends, and others are tried."""

_DEFAULTS: Mapping[str, object] = {
    "AuthenticationEnabled": False,
    "DicomAet": AE_TITLE,
    "DicomAlwaysAllowFind": True,
    "DicomAlwaysAllowFindWorklist": True,
    "DicomAlwaysAllowMove": True,
    "DicomAssociationCloseDelay": 0,
    "DicomModalitiesInDatabase": True,  # kept when it is started again in the same folder
    "HttpThreadsCount": 4,
    "RemoteAccessAllowed": False,
    "SyncStorageArea": True,
    "WebDavEnabled": False,
}


def orthanc_program() -> str:
    """Path of Debian's Orthanc, which lies where only root looks. Missing: see ``needed``."""
    return shutil.which("Orthanc", path="/usr/sbin") or needed("Orthanc", "orthanc")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody has at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Orthanc:
    """An Orthanc that is up, through its HTTP API."""

    ae_title = AE_TITLE

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, http_port: int) -> None:
        self.process = process
        self.port = port
        self._api = httpx.Client(base_url=f"http://127.0.0.1:{http_port}", timeout=PATIENCE_S)

    def call(self, method: str, path: str, body: object = None) -> Any:
        """A call of the HTTP API that must succeed; its JSON."""
        answer = self._api.request(method, path, json=body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def is_up(self) -> bool:
        """Whether it answers."""
        try:
            return self._api.get("/system").is_success
        except httpx.TransportError:
            return False

    def is_up_or_gone(self) -> bool:
        """Whether there is anything left to wait for at its start."""
        return self.process.poll() is not None or self.is_up()

    def close(self) -> None:
        """End it by force: it would take 3 s to end by itself, and its database stands that."""
        self._api.close()
        self.process.kill()
        self.process.wait()

    # What it holds

    def upload(self, path: Path) -> str:
        """Give it a DICOM file; Orthanc's own identifier of the instance."""
        answer = self._api.post("/instances", content=path.read_bytes())
        assert answer.is_success, f"{path.name}: {answer.text}"
        return str(answer.json()["ID"])

    def instances(self) -> dict[str, str]:
        """Orthanc's identifiers by SOP Instance UID."""
        found = self.call("GET", "/instances?expand")
        return {one["MainDicomTags"]["SOPInstanceUID"]: one["ID"] for one in found}

    def file(self, sop_instance_uid: str) -> bytes:
        """The DICOM file of an instance, as it keeps it."""
        identifier = self.instances()[sop_instance_uid]
        return self._api.get(f"/instances/{identifier}/file").content

    # Whom it calls

    def add_modality(self, name: str, ae_title: str, port: int, **options: object) -> None:
        """Tell it of a peer on this machine; ``options`` as in its DicomModalities."""
        body = {"AET": ae_title, "Host": "127.0.0.1", "Port": port} | options
        self.call("PUT", f"/modalities/{name}", body)

    def echo(self, name: str) -> bool:
        """C-ECHO to a modality; whether that was answered."""
        return self._api.post(f"/modalities/{name}/echo", json={}).is_success

    def store(self, name: str, resources: list[str], **options: object) -> httpx.Response:
        """C-STORE of its resources (its own identifiers) to a modality; the answer, well or not.

        ``options``: ``StorageCommitment=True`` asks for commitment afterwards.
        """
        body = {"Resources": resources, "Synchronous": True} | options
        return self._api.post(f"/modalities/{name}/store", json=body)


def write_configuration(
    folder: Path, port: int, http_port: int, plugins: list[str], changes: Mapping[str, object]
) -> Path:
    """Orthanc's configuration for a test, in a folder of its own."""
    content = {
        **_DEFAULTS,
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "DicomPort": port,
        "HttpPort": http_port,
        "Plugins": [str(PLUGINS / plugin) for plugin in plugins],
        **changes,
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(content, indent=1))
    return path


@contextmanager
def running_orthanc(
    folder: Path, *, port: int = 0, plugins: list[str] | None = None, **configuration: object
) -> Iterator[Orthanc]:
    """An Orthanc that is up; it is gone afterwards, whatever happens.

    Parameters
    ----------
    folder
        Its configuration, log and storage; the same again is the same archive started again.
    port
        DICOM port; 0 takes a free one.
    plugins
        Names of shared libraries below ``PLUGINS``.
    configuration
        Keys of its configuration, over the tests' own.
    """
    program = orthanc_program()
    folder.mkdir(parents=True, exist_ok=True)
    for _ in range(ATTEMPTS):
        ports = (port or free_port(), free_port())
        path = write_configuration(folder, *ports, plugins or [], configuration)
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [program, str(path)],
                stdout=output,
                stderr=output,
                # Without it dcmtk waits for delayed acknowledgements, 40 ms an object.
                env=os.environ | {"TCP_NODELAY": "1"},
            )
        peer = Orthanc(process, *ports)
        try:
            until(peer.is_up_or_gone, "Orthanc's start")
            if process.poll() is None:
                yield peer
                return
        finally:
            peer.close()
    raise AssertionError(f"Orthanc does not start:\n{log.read_text(errors='replace')[-4000:]}")


def worklist_file(folder: Path, name: str, content: bytes) -> None:
    """Put a worklist entry (a DICOM file) where the worklist plugin looks."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.wl").write_bytes(content)


@contextmanager
def running_worklist(folder: Path, *, port: int = 0) -> Iterator[Orthanc]:
    """An Orthanc that serves the worklist entries in ``folder / "worklists"``."""
    (folder / "worklists").mkdir(parents=True, exist_ok=True)
    with running_orthanc(
        folder,
        port=port,
        plugins=["libModalityWorklists.so"],
        Worklists={"Enable": True, "Database": str(folder / "worklists")},
    ) as peer:
        yield peer
