"""What the listener has done since it was started, for the metrics page."""

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

MAXIMUM_PEERS: Final = 64
"""Peers that are counted apart. Where nobody is named, callers choose their own names, and could
make figures without end."""

OTHERS: Final = "(others)"
"""All beyond ``MAXIMUM_PEERS`` together."""


@dataclass(frozen=True)
class Counts:
    """One reading of the counters; all but ``open_associations`` only ever rise."""

    connections: int = 0
    """TCP connections let in."""
    connections_refused: int = 0
    """TCP connections of peers outside the allowed networks."""
    connections_crowded_out: int = 0
    """TCP connections without an association that were closed to make room for others."""
    associations: int = 0
    """Associations accepted."""
    associations_rejected: int = 0
    """Associations rejected, and connections that asked for none in a way that could be read."""
    associations_released: int = 0
    """Associations that ended as the standard wants it."""
    associations_aborted: int = 0
    """Associations that ended in any other way."""
    open_associations: int = 0
    """Associations at this moment."""
    echoes: int = 0
    """C-ECHO answered."""
    objects_stored: int = 0
    """Objects that are new and durable."""
    objects_identical: int = 0
    """Objects that were there already, with the same content."""
    objects_conflicting: int = 0
    """Objects whose UID was there already, with another content."""
    objects_refused: int = 0
    """C-STORE requests answered with a failure."""
    bytes_received: int = 0
    """Bytes of data sets that were stored."""
    steps_reported: int = 0
    """N-CREATE and N-SET of performed procedure steps answered with Success."""
    commitments_requested: int = 0
    """N-ACTION of storage commitment answered with Success."""
    records_failed: int = 0
    """Events that could not be written down."""
    handler_errors: int = 0
    """Exceptions nobody expected; each is a defect."""


@dataclass(frozen=True)
class PeerCounts:
    """One peer's counters; all but ``open_associations`` only ever rise."""

    associations_rejected: int = 0
    """Associations rejected because it had no place left."""
    associations_released: int = 0
    """Associations that ended as the standard wants it."""
    associations_aborted: int = 0
    """Associations that ended in any other way."""
    open_associations: int = 0
    """Associations at this moment."""
    objects: int = 0
    """C-STORE requests answered with Success."""
    objects_refused: int = 0
    """C-STORE requests answered with a failure."""
    bytes_received: int = 0
    """Bytes of data sets that were stored."""


class Counters:
    """Counts that many threads may add to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = asdict(Counts())
        self._peers: dict[str, dict[str, int]] = {}

    def add(self, **amounts: int) -> None:
        """Add to the counters named by the keywords."""
        with self._lock:
            _add(self._counts, amounts)

    def add_for(self, peer: str, **amounts: int) -> None:
        """Add to the counters of one peer."""
        with self._lock:
            if peer not in self._peers:
                peer = peer if len(self._peers) < MAXIMUM_PEERS else OTHERS
                self._peers.setdefault(peer, asdict(PeerCounts()))
            _add(self._peers[peer], amounts)

    def read(self) -> Counts:
        """All counts at one moment."""
        with self._lock:
            return Counts(**self._counts)

    def read_peers(self) -> Mapping[str, PeerCounts]:
        """Each peer's counts at one moment, by its name."""
        with self._lock:
            return {name: PeerCounts(**counts) for name, counts in self._peers.items()}


def _add(counts: dict[str, int], amounts: Mapping[str, int]) -> None:
    unknown = amounts.keys() - counts.keys()
    if unknown:
        raise ValueError(f"no such counter: {', '.join(sorted(unknown))}")
    for name, amount in amounts.items():
        counts[name] += amount
