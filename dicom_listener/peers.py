"""Who may call, and within which bounds.

A caller is recognized by three things together: what it calls itself, which anybody can do; the
address it calls from; and the TLS certificate that it shows, where it calls by TLS. Each peer has
places, pace and limits of its own, so that none can take those of another.
"""

import ipaddress
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from pydicom.dataset import Dataset

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

Service = Literal["store", "commitment", "mpps"]
"""Storage, storage commitment (PS3.4, annex J), performed procedure steps (PS3.4, annex F).
Verification needs no permission."""

SERVICES: Final[frozenset[Service]] = frozenset(get_args(Service))

CREDIT_S: Final = 0.1
"""A peer with a rate that was slower than it may be can catch up with so much."""


@dataclass(frozen=True)
class Peer:
    """One caller that is let in, and within which bounds.

    Attributes
    ----------
    name
        What people and figures call it; unique.
    ae_title
        Its calling AE title.
    networks
        Where it may call from; empty: from anywhere.
    tls_required
        Refused on the port without TLS.
    certificate_sha256
        Fingerprints (64 lower-case hexadecimal digits) of the certificates it may show; empty: any
        that the authorities have signed. Naming one means that TLS is required.
    services
        What it may ask for, besides verification.
    maximum_associations
        At once; those of others are not counted.
    maximum_object_bytes
        Longest data set.
    maximum_pdu_bytes
        Longest PDU; announced to it. 128 KiB is the fastest with dcmtk.
    idle_s
        Silence after which its association is ended.
    rate_bytes_s
        It is read no faster than this, all its associations together; 0: as fast as it sends.
    host, port
        Where it is called for the report of storage commitment; no host: never.
    """

    name: str
    ae_title: str
    networks: tuple[Network, ...] = ()
    tls_required: bool = False
    certificate_sha256: frozenset[str] = frozenset()
    services: frozenset[Service] = SERVICES
    maximum_associations: int = 4
    maximum_object_bytes: int = 1 << 30
    maximum_pdu_bytes: int = 131072
    idle_s: float = 60.0
    rate_bytes_s: float = 0.0
    host: str = ""
    port: int = 104

    def __post_init__(self) -> None:
        wrong = [digits for digits in self.certificate_sha256 if len(digits) != 64]
        if wrong:
            raise ValueError(f"{self.name}: {wrong[0]!r} is no SHA-256 fingerprint")
        if self.maximum_pdu_bytes < 4096:
            raise ValueError(f"{self.name}: a PDU of {self.maximum_pdu_bytes} bytes is too short")


@dataclass(frozen=True)
class Rejection:
    """Why an association is not accepted.

    Attributes
    ----------
    code
        Result, source and reason of A-ASSOCIATE-RJ (PS3.8, table 9-21).
    reason
        A sentence, for the audit trail; the caller only gets the code.
    """

    code: tuple[int, int, int]
    reason: str


NO_REASON: Final = (1, 1, 1)
"""Rejected permanently, by the user, no reason given."""
APPLICATION_CONTEXT: Final = (1, 1, 2)
"""Application context name not supported."""
CALLING_TITLE: Final = (1, 1, 3)
"""Calling AE title not recognized: the title itself, or not from this address or certificate."""
CALLED_TITLE: Final = (1, 1, 7)
"""Called AE title not recognized."""
PROTOCOL_VERSION: Final = (1, 2, 2)
"""Protocol version not supported."""
CONGESTION: Final = (2, 3, 1)
"""Rejected for now, temporary congestion: the service is ending."""
LOCAL_LIMIT: Final = (2, 3, 2)
"""Rejected for now, local limit exceeded: the caller has taken all of its places."""


def _no_report(_information: Dataset, _event_type_id: int) -> bool:
    return False


@dataclass(frozen=True)
class Caller:
    """Who sends a request, for those who answer it.

    Attributes
    ----------
    secure
        Whether it calls by TLS.
    certificate
        Subject of its certificate; empty without TLS.
    report
        ``report(information, event_type_id)`` sends N-EVENT-REPORT of Storage Commitment on the
        caller's association, after the N-ACTION is answered, and waits for its answer for a few
        seconds. True when the caller has answered with Success; False when it has not, when the
        association is over, or when this is called from the thread that handles its requests, which
        would wait for itself: so from a thread of one's own.
    """

    association_id: str
    calling_ae_title: str
    peer_address: str
    peer: Peer
    secure: bool = False
    certificate: str = ""
    report: Callable[[Dataset, int], bool] = _no_report


def parse_address(text: str) -> Address:
    """An IP address as a socket gives it; IPv4 that came in through IPv6 is IPv4."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


class Peers:
    """Those that may call, with the places they have taken and the pace they are read at.

    Parameters
    ----------
    named
        Callers that are let in.
    everybody
        Bounds that callers share when nobody is named; they are called by their AE titles.
        None: nobody is let in then.

    Raises
    ------
    ValueError
        When two have one name.
    """

    def __init__(self, named: Iterable[Peer], everybody: Peer | None = None) -> None:
        self._named = tuple(named)
        names = Counter(peer.name for peer in self._named)
        if names and names.most_common(1)[0][1] > 1:
            raise ValueError(f"two peers are called {names.most_common(1)[0][0]!r}")
        self._everybody = None if self._named else everybody
        self._taken: Counter[str] = Counter()
        self._free_at: dict[str, float] = {}
        self._lock = threading.Lock()

    def may_connect(self, address: Address) -> bool:
        """Whether anybody may call from an address."""
        if self._everybody is not None:
            return _is_within(address, self._everybody)
        return any(_is_within(address, peer) for peer in self._named)

    def recognize(
        self, title: str, address: Address, *, secure: bool, fingerprint: str = ""
    ) -> Peer | Rejection:
        """The peer that a caller is, or why it is none.

        Parameters
        ----------
        title
            Its calling AE title.
        secure
            Whether it calls by TLS.
        fingerprint
            SHA-256 of its certificate, 64 lower-case hexadecimal digits.
        """
        if self._everybody is not None:
            return replace(self._everybody, name=title, ae_title=title)
        rejection = Rejection(CALLING_TITLE, f"Nobody called {title!r} may call.")
        for peer in self._named:
            if peer.ae_title != title:
                continue
            found = _why_not(peer, address, secure=secure, fingerprint=fingerprint)
            if found is None:
                return peer
            rejection = found
        return rejection

    def take_place(self, peer: Peer) -> bool:
        """Take one of a peer's places; False when it has none left."""
        with self._lock:
            if self._taken[self._key(peer)] >= peer.maximum_associations:
                return False
            self._taken[self._key(peer)] += 1
            return True

    def leave_place(self, peer: Peer) -> None:
        """Give a place back."""
        with self._lock:
            self._taken[self._key(peer)] -= 1

    def pause_s(self, peer: Peer, octets: int) -> float:
        """How long to wait before a peer with a rate is read on, after this many bytes."""
        now = time.monotonic()
        with self._lock:
            before = max(self._free_at.get(peer.name, 0.0), now - CREDIT_S)
            free_at = self._free_at[peer.name] = before + octets / peer.rate_bytes_s
        return max(0.0, free_at - now)

    def _key(self, peer: Peer) -> str:
        return "" if self._everybody is not None else peer.name


def _is_within(address: Address, peer: Peer) -> bool:
    return not peer.networks or any(address in network for network in peer.networks)


def _why_not(peer: Peer, address: Address, *, secure: bool, fingerprint: str) -> Rejection | None:
    if not _is_within(address, peer):
        return Rejection(CALLING_TITLE, f"{peer.name} may not call from {address}.")
    if not secure and (peer.tls_required or peer.certificate_sha256):
        return Rejection(NO_REASON, f"{peer.name} must call by TLS.")
    if peer.certificate_sha256 and fingerprint not in peer.certificate_sha256:
        return Rejection(CALLING_TITLE, f"{peer.name} has shown a certificate that is not its own.")
    return None
