"""The receivers that ours is compared with, as their Debian packages ship them."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from scanner_sim.push import Destination

START_S = 30.0
END_S = 10.0
_POLL_S = 0.05

ENVIRONMENT = {"TCP_NODELAY": "1"}
"""See ``sending``: without it both take 40 ms an object."""


class ReceiverError(RuntimeError):
    """A receiver is not there or does not start; the message says why."""


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def orthanc(folder: Path) -> Iterator[Destination]:
    """Orthanc with its own defaults, so that it syncs each file; only ports and folders are ours.

    Raises
    ------
    ReceiverError
        It is not installed, or does not start.
    """
    port = free_port()
    settings = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "DicomPort": port,
        "HttpPort": free_port(),
    }
    folder.mkdir(parents=True)
    (folder / "orthanc.json").write_text(json.dumps(settings))
    command = [_found("Orthanc", "orthanc"), str(folder / "orthanc.json")]
    with _running(command, Destination("ORTHANC", "127.0.0.1", port)) as destination:
        yield destination


@contextmanager
def storescp(folder: Path) -> Iterator[Destination]:
    """dcmtk's receiver, which writes files and never syncs them.

    Raises
    ------
    ReceiverError
        It is not installed, or does not start.
    """
    port = free_port()
    folder.mkdir(parents=True)
    command = [_found("storescp", "dcmtk"), "--max-pdu", "131072", "-od", str(folder), str(port)]
    with _running(command, Destination("STORESCP", "127.0.0.1", port)) as destination:
        yield destination


def _found(program: str, package: str) -> str:
    # Orthanc is in /usr/sbin, which is not on everybody's path.
    path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if path is None:
        raise ReceiverError(f"{program} is missing: install the Debian package {package}.")
    return path


@contextmanager
def _running(command: Sequence[str], destination: Destination) -> Iterator[Destination]:
    process = subprocess.Popen(
        command,
        env=os.environ | ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + START_S
        while not _listens(destination.port):
            if process.poll() is not None or time.monotonic() > end:
                raise ReceiverError(f"{command[0]} does not start")
            time.sleep(_POLL_S)
        yield destination
    finally:
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True
