"""A connection that we opened: whole PDUs, each within its time (PS3.8, 9.3)."""

import hashlib
import select
import socket
import ssl
import struct
import time
from typing import Final

from dicom_listener.nodes import CallError, Node, Ourselves, Secure

MAXIMUM_PDU_BYTES: Final = 1 << 20
"""Longest PDU that is read. We announce 128 KiB, and answers are small."""

_HEAD = struct.Struct(">BBL")


class Connection:
    """TCP to a node, with TLS where it wants that. Belongs to one thread, but for ``break_off``.

    Every failure is a ``CallError``.

    Raises
    ------
    CallError
        ``unreachable``, ``timed_out`` or ``tls``.
    """

    def __init__(self, node: Node, caller: Ourselves) -> None:
        self._node = node
        self._caller = caller
        self._broken_off = False
        try:
            plain = socket.create_connection((node.host, node.port), self._caller.connect_s)
        except TimeoutError as error:
            raise node.error("timed_out", f"does not answer at {node}") from error
        except (OSError, UnicodeError) as error:  # the latter for a host that can be no name
            reason = getattr(error, "strerror", None) or str(error)
            raise node.error("unreachable", f"can't be reached at {node} ({reason})") from error
        # Requests are small, and must not wait for the peer's delayed acknowledgements.
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = plain if node.secure is None else self._secured(plain, node.secure)

    def _secured(self, plain: socket.socket, secure: Secure) -> socket.socket:
        context = secure.context
        try:
            wrapped = context.wrap_socket(plain, server_hostname=self._node.host)
            shown = wrapped.getpeercert(binary_form=True) or b""
        except TimeoutError as error:
            plain.close()
            raise self._node.error("timed_out", "is silent when TLS is asked for") from error
        except (OSError, ValueError) as error:
            plain.close()
            raise self._node.error("tls", _tls_failure(error)) from error
        if secure.certificate_sha256:
            found = hashlib.sha256(shown).hexdigest()
            if found not in secure.certificate_sha256:
                wrapped.close()
                raise self._node.error("tls", f"shows another certificate than expected ({found})")
        return wrapped

    def send(self, data: bytes, within_s: float | None = None) -> None:
        """Send a PDU; ``within_s`` is ``answer_s`` unless given.

        Raises
        ------
        CallError
            ``timed_out`` or ``aborted``.
        """
        self._socket.settimeout(self._caller.answer_s if within_s is None else within_s)
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise self._failed(error) from error

    def has_more(self, within_s: float) -> bool:
        """Whether something comes within that time; also when it is the end."""
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return True
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(within_s * 1000))

    def receive(self, within_s: float) -> tuple[int, bytes]:
        """The next PDU's type and body.

        Raises
        ------
        CallError
            ``timed_out`` or ``aborted``.
        """
        deadline = time.monotonic() + within_s
        kind, _, length = _HEAD.unpack(self._exactly(_HEAD.size, deadline))
        if not 1 <= kind <= 7 or length > MAXIMUM_PDU_BYTES:
            raise self._node.error("aborted", "does not speak DICOM")
        return kind, self._exactly(length, deadline)

    def _exactly(self, count: int, deadline: float) -> bytes:
        data = bytearray(count)
        filled = 0
        while filled < count:
            left = deadline - time.monotonic()
            try:
                if left <= 0:
                    raise TimeoutError
                self._socket.settimeout(left)
                got = self._socket.recv_into(memoryview(data)[filled:])
            except OSError as error:
                raise self._failed(error) from error
            if not got:
                raise self._failed(None)
            filled += got
        return bytes(data)

    def _failed(self, error: OSError | None) -> CallError:
        """What an error of the socket means; None is its end."""
        if self._broken_off:
            return self._node.error("aborted", "was not waited for")
        if error is None:
            return self._node.error("aborted", "closed the connection")
        if isinstance(error, TimeoutError):
            return self._node.error("timed_out", "does not answer in time")
        if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
            return self._node.error("tls", _tls_failure(error))
        return self._node.error("aborted", f"broke the connection ({error.strerror or error})")

    def break_off(self) -> None:
        """End whatever is under way at once, from any thread."""
        self._broken_off = True
        try:
            # Not SSLSocket's own, which takes TLS from under the thread that reads.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        except OSError:
            return  # it is over already

    def close(self) -> None:
        """Close it."""
        self._socket.close()


def _tls_failure(error: Exception) -> str:
    """What went wrong with TLS, as far as the library says."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"shows a certificate that is not trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError) and error.reason:
        reason = str(error.reason).replace("_", " ").lower()
        return f"does not agree on TLS ({reason})"
    return "ended the connection when TLS was asked for"
