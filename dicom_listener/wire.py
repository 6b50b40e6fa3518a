"""One connection, read and written within bounds of time and length.

Its thread blocks in the kernel until something is there or its time is over: nothing is polled. It
takes all that has come at once, so that the busier it is, the fewer calls it makes.
"""

import contextlib
import fcntl
import os
import select
import socket
import ssl
import struct
import termios
import threading
import time
from typing import Final, Literal

LINGER_S: Final = 1.0
LINGER_BYTES: Final = 4 << 20
"""For so long, and so many bytes, we go on reading after our last word: closing with bytes unread
would take that word from the peer (RFC 1122, 4.2.2.13)."""

ANSWERS_BYTES: Final = 64 << 10
"""Answers that the system keeps for a peer that does not read them; then it has to, or is ended."""

BUFFER_BYTES: Final = 512 << 10
"""Read at once, when it comes to objects: some PDUs of the usual 128 KiB."""

_FIRST_BYTES = 16 << 10
_RESET = struct.pack("ii", 1, 0)
_HEADER = struct.Struct(">BxL")

Waited = Literal["bytes", "woken", "silence"]


class WireError(Exception):
    """The connection is of no more use; the text is a sentence that says why."""


class Wire:
    """A connection. Belongs to one thread, but for ``wake`` and ``hang_up``.

    Parameters
    ----------
    connection
        Ours from now on.
    pdu_s
        Time for a PDU from its first bytes to its last, and for each of our own to be taken.
    """

    def __init__(self, connection: socket.socket, pdu_s: float) -> None:
        self._socket = connection
        self._pdu_s = pdu_s
        self._buffer = bytearray(_FIRST_BYTES)
        self._start = self._end = 0
        self._lock = threading.Lock()
        self._closed = False
        # Our answers are small and must not wait for the peer's delayed acknowledgement.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ANSWERS_BYTES)
        connection.settimeout(None)
        bound = struct.pack("@ll", int(pdu_s), int(pdu_s % 1 * 1e6))
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            connection.setsockopt(socket.SOL_SOCKET, option, bound)
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._wake, select.POLLIN)
        self._poll.register(connection, select.POLLIN)

    def secure(self, context: ssl.SSLContext, timeout_s: float) -> ssl.SSLSocket:
        """Do TLS's handshake.

        Raises
        ------
        WireError
            When it fails or does not come to its end in time.
        """
        try:
            # This fails already when the peer has gone after its first bytes; nothing of the
            # connection is left then.
            self._socket = secured = context.wrap_socket(
                self._socket, server_side=True, do_handshake_on_connect=False
            )
            secured.settimeout(timeout_s)
            secured.do_handshake()
        except TimeoutError as error:
            raise WireError("The TLS handshake did not come to its end in time.") from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "verify_message", "") or getattr(error, "reason", "") or error
            raise WireError(f"The TLS handshake failed: {reason}.") from error
        secured.settimeout(self._pdu_s)
        return secured

    def wait(self, timeout_s: float) -> Waited:
        """Wait until bytes have come, somebody wakes us, or the time is over."""
        if self._start < self._end:
            return "bytes"
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return "bytes"
        ready = [handle for handle, _ in self._poll.poll(max(0, timeout_s) * 1000)]
        if self._wake in ready:
            os.eventfd_read(self._wake)
            return "woken"
        return "bytes" if ready else "silence"

    def read_header(self) -> tuple[int, int]:
        """Type and length of the next PDU.

        Raises
        ------
        WireError
            When the peer closes instead, or is too slow.
        """
        kind, length = _HEADER.unpack(self.read(_HEADER.size))
        return kind, length

    def read(self, count: int) -> memoryview:
        """Exactly so many bytes, which stand until the next call.

        Raises
        ------
        WireError
            When the peer closes instead, or is too slow.
        """
        if self._end - self._start < count:
            self._fill(count)
        self._start += count
        return memoryview(self._buffer)[self._start - count : self._start]

    def _fill(self, count: int) -> None:
        """Have at least so many bytes in the buffer, and what else has come."""
        if self._start + count > len(self._buffer):
            rest = self._buffer[self._start : self._end]
            if count > len(self._buffer):
                self._buffer = bytearray(max(count, BUFFER_BYTES))
            self._buffer[: len(rest)] = rest
            self._start, self._end = 0, len(rest)
        until = time.monotonic() + self._pdu_s
        view = memoryview(self._buffer)
        while self._end - self._start < count:
            try:
                got = self._socket.recv_into(view[self._end :])
            except (BlockingIOError, TimeoutError) as error:
                raise WireError("A PDU did not come to its end in time.") from error
            except OSError as error:
                raise WireError("The connection broke.") from error
            if not got:
                raise WireError("The connection was closed without a release.")
            self._end += got
            if time.monotonic() > until and self._end - self._start < count:
                raise WireError("A PDU did not come to its end in time.")

    def send(self, data: bytes) -> None:
        """Send all of it.

        Raises
        ------
        WireError
            When the peer does not take it in time, or is gone.
        """
        try:
            self._socket.sendall(data)
        except (BlockingIOError, TimeoutError) as error:
            raise WireError("The peer does not take our answers.") from error
        except OSError as error:
            raise WireError("The connection broke.") from error

    def wake(self) -> None:
        """End a ``wait``; from any thread."""
        with self._lock:
            if not self._closed:
                os.eventfd_write(self._wake, 1)

    def hang_up(self) -> None:
        """End the connection, whatever its thread is doing; from any thread."""
        with self._lock, contextlib.suppress(OSError):  # it may be broken already
            if not self._closed:
                # Not SSLSocket.shutdown, after which its thread would go on without TLS.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def linger(self) -> None:
        """After our last word: give the peer a moment to hear it and to close."""
        until, left = time.monotonic() + LINGER_S, LINGER_BYTES
        with contextlib.suppress(OSError, ValueError):  # it does not hear, or is gone
            if not isinstance(self._socket, ssl.SSLSocket):
                self._socket.shutdown(socket.SHUT_WR)
            while left > 0 and (rest_s := until - time.monotonic()) > 0:
                self._socket.settimeout(rest_s)
                if not (got := self._socket.recv_into(self._buffer)):
                    break
                left -= got

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            self._closed = True
            with contextlib.suppress(OSError, ValueError):  # ValueError: it is closed already
                if struct.unpack("i", fcntl.ioctl(self._socket, termios.TIOCOUTQ, bytes(4)))[0]:
                    # The peer has not taken it in all that time: the system need not keep it.
                    self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._socket.close()
            os.close(self._wake)
