"""Peers that are called: pynetdicom as a well-behaved one, and sockets that are not."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SegmentationStorage,
)
from pynetdicom import AE, evt
from pynetdicom.transport import ThreadedAssociationServer

from dicom_listener.nodes import Node, Ourselves

CALLER = Ourselves("ICEMARGIN", connect_s=5.0, answer_s=5.0, move_s=5.0)
NATIVE = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)


def node(port: int, **changes: Any) -> Node:
    """A node on this machine."""
    return replace(Node("Archive", "PACS", "127.0.0.1", port), **changes)


@dataclass
class Archive:
    """pynetdicom as an archive: what it was sent, and what it answers.

    Attributes
    ----------
    statuses
        Of the next C-STOREs; Success when there are none left.
    """

    port: int = 0
    stored: list[Dataset] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    held: threading.Event | None = None

    def store(self, event: evt.Event) -> int:
        """C-STORE's handler."""
        if self.held is not None:
            self.held.wait(20)
        status = self.statuses.pop(0) if self.statuses else 0x0000
        if status == 0x0000 or status >> 12 == 0xB:
            dataset = event.dataset
            dataset.file_meta = event.file_meta
            self.stored.append(dataset)
        return status

    @property
    def instances(self) -> list[str]:
        """SOP Instance UIDs in the order in which they came."""
        return [str(dataset.SOPInstanceUID) for dataset in self.stored]


@contextmanager
def provider(
    contexts: Mapping[str, Sequence[str]], handlers: list[Any], *, port: int = 0
) -> Iterator[int]:
    """pynetdicom as a provider of services; its port."""
    entity = AE("PACS")
    entity.require_called_aet = True
    for uid, syntaxes in contexts.items():
        entity.add_supported_context(uid, list(map(str, syntaxes)))
    server = entity.make_server(
        ("127.0.0.1", port), evt_handlers=handlers, server_class=ThreadedAssociationServer
    )
    assert isinstance(server, ThreadedAssociationServer)
    assert server.socket is not None
    entity._servers.append(server)  # as start_server does, which ends only after half a second
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield int(server.socket.getsockname()[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def running_archive(
    archive: Archive | None = None, syntaxes: tuple[str, ...] = NATIVE, port: int = 0
) -> Iterator[Archive]:
    """An archive that takes CT and SEG in some transfer syntaxes."""
    archive = archive or Archive()
    contexts: dict[str, Sequence[str]] = {CTImageStorage: syntaxes, SegmentationStorage: syntaxes}
    with provider(contexts, [(evt.EVT_C_STORE, archive.store)], port=port) as archive.port:
        yield archive


def read_pdu(connection: socket.socket) -> bytes:
    """A whole PDU, its head included."""
    head = connection.recv(6, socket.MSG_WAITALL)
    return head + connection.recv(int.from_bytes(head[2:], "big"), socket.MSG_WAITALL)


@contextmanager
def scripted(script: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port where one caller after the other meets a script; the socket is closed after it."""
    server = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(10)
                try:
                    script(connection)
                except OSError:
                    continue

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield int(server.getsockname()[1])
    finally:
        over.set()
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(10)
        assert not thread.is_alive()
