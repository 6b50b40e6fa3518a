"""A peer that speaks DICOM's upper layer byte by byte, so that it can also speak it wrongly."""

import socket
import ssl
import struct
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

Contexts = Sequence[tuple[int, str, Sequence[str]]]
CT: Contexts = ((1, CTImageStorage, (ExplicitVRLittleEndian,)),)

ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RP, ABORT = 2, 3, 4, 6, 7


def item(kind: int, body: bytes) -> bytes:
    """An item or sub-item of PS3.8, 9.3."""
    return struct.pack(">BBH", kind, 0, len(body)) + body


def pdu(kind: int, body: bytes) -> bytes:
    """A whole PDU."""
    return struct.pack(">BBL", kind, 0, len(body)) + body


def associate_rq(
    contexts: Contexts = CT, *, called: str = "ICEMARGIN", calling: str = "RAW"
) -> bytes:
    """A-ASSOCIATE-RQ."""
    titles = called.encode().ljust(16) + calling.encode().ljust(16)
    body = struct.pack(">HH", 1, 0) + titles + bytes(32)
    body += item(0x10, b"1.2.840.10008.3.1.1.1")
    for number, abstract, syntaxes in contexts:
        inner = item(0x30, abstract.encode())
        inner += b"".join(item(0x40, syntax.encode()) for syntax in syntaxes)
        body += item(0x20, bytes([number, 0, 0, 0]) + inner)
    user = item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3.4")
    return pdu(1, body + item(0x50, user))


def element(tag: int, value: bytes) -> bytes:
    """An element of a command set: Implicit VR Little Endian."""
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value


def c_store_rq(
    sop_class: str | None, sop_instance: str | None, *, message: int = 1, with_data: bool = True
) -> bytes:
    """The command set of a C-STORE request."""
    body = b""
    if sop_class is not None:
        body += element(0x00000002, sop_class.encode())
    body += element(0x00000100, struct.pack("<H", 1))
    body += element(0x00000110, struct.pack("<H", message))
    body += element(0x00000700, struct.pack("<H", 0))
    body += element(0x00000800, struct.pack("<H", 1 if with_data else 0x0101))
    if sop_instance is not None:
        body += element(0x00001000, sop_instance.encode())
    return element(0, struct.pack("<L", len(body))) + body


def c_echo_rq(message: int = 1) -> bytes:
    """The command set of a C-ECHO request."""
    body = element(0x00000002, b"1.2.840.10008.1.1")
    body += element(0x00000100, struct.pack("<H", 0x30))
    body += element(0x00000110, struct.pack("<H", message))
    body += element(0x00000800, struct.pack("<H", 0x0101))
    return element(0, struct.pack("<L", len(body))) + body


def parse_command(encoded: bytes) -> dict[int, bytes]:
    """The elements of a command set."""
    found, position = {}, 0
    while position < len(encoded):
        group, tag, length = struct.unpack_from("<HHL", encoded, position)
        assert group == 0
        found[tag] = encoded[position + 8 : position + 8 + length]
        position += 8 + length
    return found


def p_data(payload: bytes, *, command: bool, last: bool = True, context: int = 1) -> bytes:
    """P-DATA-TF with one fragment."""
    control = (1 if command else 0) | (2 if last else 0)
    return pdu(4, struct.pack(">LBB", len(payload) + 2, context, control) + payload)


class RawPeer:
    """A connection to the listener.

    Attributes
    ----------
    rejection
        Result, source and reason of the A-ASSOCIATE-RJ that came.
    """

    def __init__(
        self,
        port: int,
        *,
        timeout_s: float = 10.0,
        source: str = "127.0.0.1",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.socket = socket.create_connection(
            ("127.0.0.1", port), timeout=timeout_s, source_address=(source, 0)
        )
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rejection: tuple[int, int, int] | None = None
        if tls is not None:
            try:
                self.socket = tls.wrap_socket(self.socket)
            except BaseException:
                self.socket.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(data)

    def receive(self) -> tuple[int, bytes] | None:
        """The next PDU's type and body, or None when the listener has closed."""
        head = self._exactly(6)
        if head is None:
            return None
        kind, _, length = struct.unpack(">BBL", head)
        body = self._exactly(length)
        return None if body is None else (kind, body)

    def _exactly(self, count: int) -> bytes | None:
        data = b""
        while len(data) < count:
            try:
                part = self.socket.recv(count - len(data))
            except ConnectionResetError:
                return None
            if not part:
                return None
            data += part
        return data

    def associate(self, contexts: Contexts = CT, **titles: str) -> int:
        """Ask for an association; the type of the answer."""
        self.send(associate_rq(contexts, **titles))
        answer = self.receive()
        assert answer is not None
        if answer[0] == ASSOCIATE_RJ:
            _, result, source, reason = answer[1]
            self.rejection = (result, source, reason)
        return answer[0]

    def accepted(self, contexts: Contexts) -> dict[int, str]:
        """Ask for an association; the transfer syntax accepted for each context."""
        self.send(associate_rq(contexts))
        answer = self.receive()
        assert answer is not None
        assert answer[0] == ASSOCIATE_AC
        body, found, position = answer[1], {}, 68
        while position < len(body):
            kind, _, length = struct.unpack_from(">BBH", body, position)
            inner = body[position + 4 : position + 4 + length]
            if kind == 0x21 and inner[2] == 0:
                found[inner[0]] = inner[8:].decode()
            position += 4 + length
        return found

    def store(
        self,
        data: bytes,
        sop_class: str | None,
        sop_instance: str | None,
        *,
        message: int = 1,
        context: int = 1,
    ) -> int | None:
        """One C-STORE; its status, or None when the listener closed or aborted."""
        command = c_store_rq(sop_class, sop_instance, message=message, with_data=bool(data))
        self.send(p_data(command, command=True, context=context))
        for start in range(0, len(data), 16000):
            part = data[start : start + 16000]
            last = start + 16000 >= len(data)
            self.send(p_data(part, command=False, last=last, context=context))
        return self.status()

    def status(self) -> int | None:
        """Status (0000,0900) of the next response."""
        answer = self.receive()
        if answer is None or answer[0] != P_DATA:
            return None
        where = answer[1].index(struct.pack("<HHL", 0, 0x0900, 2))
        status: int = struct.unpack_from("<H", answer[1], where + 8)[0]
        return status

    def message(
        self, elements: dict[int, int | str], data: bytes = b"", *, context: int = 1
    ) -> tuple[dict[int, bytes], bytes]:
        """Send a message; the elements and the data set of the next one that comes."""
        self.send_message(elements, data, context=context)
        return self.next_message()

    def send_message(
        self,
        elements: dict[int, int | str],
        data: bytes = b"",
        *,
        context: int = 1,
        is_last: bool = True,
    ) -> None:
        """A command set with these elements, and a data set, or its first part, if there is one."""
        given = elements | {0x0800: 1 if data else 0x0101}
        body = b"".join(
            element(tag, struct.pack("<H", v) if isinstance(v, int) else v.encode())
            for tag, v in sorted(given.items())
        )
        command = element(0, struct.pack("<L", len(body))) + body
        self.send(p_data(command, command=True, context=context))
        if data:
            self.send(p_data(data, command=False, last=is_last, context=context))

    def next_message(self) -> tuple[dict[int, bytes], bytes]:
        """Elements and data set of the next message."""
        command, data, last = b"", b"", 0
        while not last & 2:
            answer = self.receive()
            assert answer is not None
            assert answer[0] == P_DATA
            length, _, control = struct.unpack_from(">LBB", answer[1])
            assert length == len(answer[1]) - 4
            if control & 1:
                command += answer[1][6:]
                elements = parse_command(command) if control & 2 else {}
                last = control if elements.get(0x0800) == b"\x01\x01" else 0
            else:
                data += answer[1][6:]
                last = control
        return elements, data

    def release(self) -> None:
        """Release, and wait for the answer."""
        self.send(pdu(5, bytes(4)))
        answer = self.receive()
        assert answer is not None
        assert answer[0] == RELEASE_RP

    def wait_for_end(self) -> bool:
        """Whether the listener ends the connection, by an abort or by closing."""
        try:
            while True:
                answer = self.receive()
                if answer is None or answer[0] == ABORT:
                    return True
        except TimeoutError:
            return False
