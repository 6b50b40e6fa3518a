"""Whom we call, as whom, and what may go wrong in a call."""

import ssl
from dataclasses import dataclass
from typing import Literal

CallCode = Literal[
    "unreachable", "tls", "rejected", "no_context", "timed_out", "aborted", "refused"
]
"""How a call failed:

``unreachable``: no connection; ``tls``: a connection, but no trust; ``rejected``: the association
was not accepted; ``no_context``: it was, but without what we need; ``timed_out``: the peer was
silent for too long; ``aborted``: it ended the association, or spoke no DICOM; ``refused``: it
answered with a failure."""


class CallError(Exception):
    """A call did not succeed.

    Attributes
    ----------
    code
        How it failed.
    text
        One sentence for people; it names the peer.
    status
        The DIMSE status (PS3.7, annex C) when it was refused, else None.
    """

    def __init__(self, code: CallCode, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.code: CallCode = code
        self.text = text
        self.status = status


@dataclass(frozen=True)
class Secure:
    """TLS of a call.

    Attributes
    ----------
    context
        Holds our certificate, and the authorities that the peer's must come from.
    certificate_sha256
        Certificates that the peer may show: SHA-256 of the whole, in hexadecimal digits. When
        empty, the peer's certificate must name the host that was called.
    """

    context: ssl.SSLContext
    certificate_sha256: tuple[str, ...] = ()


@dataclass(frozen=True)
class Node:
    """A DICOM application that we call.

    Attributes
    ----------
    name
        What people call it.
    secure
        None for a call without TLS.
    """

    name: str
    ae_title: str
    host: str
    port: int
    secure: Secure | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.ae_title}@{host}:{self.port}"

    def error(self, code: CallCode, what: str, status: int | None = None) -> CallError:
        """A failure of a call to it: its name, and ``what`` it does or did."""
        return CallError(code, f"{self.name} {what}.", status)


@dataclass(frozen=True)
class Ourselves:
    """Ourselves, and how long we wait.

    Attributes
    ----------
    ae_title
        Ours.
    connect_s
        For the TCP connection, and again for the TLS handshake. Looking up a host's name is up to
        the system and not bounded.
    answer_s
        For an answer, for each further one where several come, and for the peer to take a PDU.
    move_s
        The same between two answers of C-MOVE: an archive may fetch a study from a slow store, and
        need not tell how it gets on (PS3.4, C.4.2.1.5).
    """

    ae_title: str
    connect_s: float = 10.0
    answer_s: float = 30.0
    move_s: float = 300.0
