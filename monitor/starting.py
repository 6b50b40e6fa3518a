"""What can go wrong at the start, and sockets, which are bound before anything is announced."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

BACKLOG = 128
"""Connections that may wait while the process that takes them is being restarted."""


class StartError(RuntimeError):
    """The service can't start; the message says why and what to do."""


@contextmanager
def bound_socket(host: str, port: int, key: str = "web.port") -> Iterator[socket.socket]:
    """A listening socket.

    Parameters
    ----------
    key
        The configuration's key of the port, for the message.

    Raises
    ------
    StartError
        The address is taken or not ours.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
            sock.listen(BACKLOG)
        except OSError as error:
            raise StartError(
                f"Can't listen on {host}:{port}: {error.strerror or error}. "
                f"Is another service using this port? Choose another {key}."
            ) from error
        yield sock
    finally:
        sock.close()
