"""Peers that connect and then say nothing, or stop in the middle of a word."""

import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

TIMEOUT_S = 10.0
_ACCEPTED = 2
_CONTEXT = 1
_FRAGMENT_BYTES = 10_000


@contextmanager
def stalled_peers(count: int, port: int, title: str) -> Iterator[None]:
    """So many of them, a quarter of each kind, at a plain port.

    Raises
    ------
    OSError
        One of them is not let in.
    """
    with ExitStack() as stack:
        for n in range(count):
            peer = stack.enter_context(_connected(port))
            KINDS[n % len(KINDS)](peer, title)
        yield


@contextmanager
def stalled_tls_peers(count: int, port: int, title: str, context: ssl.SSLContext) -> Iterator[None]:
    """So many at a port with TLS: in the handshake, before, in the middle of, or after their first
    word; or after it, in an object.

    Raises
    ------
    OSError
        One of them is not let in.
    """
    hello = _client_hello()
    with ExitStack() as stack:
        for n in range(count):
            peer = stack.enter_context(_connected(port))
            if n % 4 < 3:
                peer.sendall(hello[: len(hello) * (n % 4) // 2])
            else:
                secured = stack.enter_context(context.wrap_socket(peer))
                _in_an_object(secured, title)
        yield


def _connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)


def _silent(_peer: socket.socket, _title: str) -> None:
    """Nothing after the connection."""


def _in_its_request(peer: socket.socket, title: str) -> None:
    """Three bytes of an A-ASSOCIATE-RQ."""
    peer.sendall(_request(title)[:3])


def _in_a_pdu(peer: socket.socket, title: str) -> None:
    """A P-DATA-TF that says it is longer than it is."""
    _associate(peer, title)
    whole = _p_data(_store_request(), command=True)
    peer.sendall(whole[: len(whole) // 2])


def _in_an_object(peer: socket.socket, title: str) -> None:
    """A whole request, and the first of its object's fragments."""
    _associate(peer, title)
    peer.sendall(_p_data(_store_request(), command=True))
    peer.sendall(_p_data(bytes(_FRAGMENT_BYTES), command=False, last=False))


KINDS: tuple[Callable[[socket.socket, str], None], ...] = (
    _silent,
    _in_its_request,
    _in_a_pdu,
    _in_an_object,
)
"""What a peer does before it falls silent."""


def _associate(peer: socket.socket, title: str) -> None:
    peer.sendall(_request(title))
    answer = peer.recv(4096)
    if not answer or answer[0] != _ACCEPTED:
        raise ConnectionRefusedError("a peer that was to stall is not let in")


def _request(title: str) -> bytes:
    """A-ASSOCIATE-RQ for CT images (PS3.8, 9.3.2)."""

    def item(kind: int, body: bytes) -> bytes:
        return struct.pack(">BBH", kind, 0, len(body)) + body

    syntaxes = item(0x30, CTImageStorage.encode()) + item(0x40, ExplicitVRLittleEndian.encode())
    body = struct.pack(">HH", 1, 0) + title.encode().ljust(16) + b"STALLED".ljust(16) + bytes(32)
    body += item(0x10, b"1.2.840.10008.3.1.1.1")
    body += item(0x20, bytes([_CONTEXT, 0, 0, 0]) + syntaxes)
    body += item(0x50, item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3.4"))
    return struct.pack(">BBL", 1, 0, len(body)) + body


def _store_request() -> bytes:
    """Command set of a C-STORE (PS3.7, 9.3.1)."""

    def element(tag: int, value: bytes) -> bytes:
        value += b"\0" * (len(value) % 2)
        return struct.pack("<HHL", 0, tag, len(value)) + value

    body = element(0x0002, CTImageStorage.encode())
    body += b"".join(
        element(tag, struct.pack("<H", value))
        for tag, value in ((0x0100, 1), (0x0110, 1), (0x0700, 0), (0x0800, 1))
    )
    body += element(0x1000, generate_uid().encode())
    return element(0, struct.pack("<L", len(body))) + body


def _p_data(payload: bytes, *, command: bool, last: bool = True) -> bytes:
    """P-DATA-TF with one fragment (PS3.8, 9.3.5)."""
    control = int(command) | 2 * int(last)
    fragment = struct.pack(">LBB", len(payload) + 2, _CONTEXT, control) + payload
    return struct.pack(">BBL", 4, 0, len(fragment)) + fragment


def _client_hello() -> bytes:
    """What a TLS client says first."""
    context = ssl.create_default_context()
    out = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="icemargin")
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return out.read()
    raise AssertionError("a handshake can't end without an answer")
