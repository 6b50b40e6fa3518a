"""What the listener has done since it was started, for the metrics page."""

import threading
from dataclasses import dataclass, fields, replace


@dataclass(frozen=True)
class Counts:
    """One reading of the counters; all but ``open_associations`` only ever rise."""

    connections: int = 0
    """TCP connections let in."""
    connections_refused: int = 0
    """TCP connections of peers outside the allowed networks."""
    associations: int = 0
    """Associations accepted."""
    associations_rejected: int = 0
    """Associations rejected: AE titles, or too many at once."""
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
    handler_errors: int = 0
    """Exceptions nobody expected; each is a defect."""


class Counters:
    """Counts that many threads may add to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = Counts()
        self._names = frozenset(field.name for field in fields(Counts))

    def add(self, **amounts: int) -> None:
        """Add to the counters named by the keywords."""
        unknown = amounts.keys() - self._names
        if unknown:
            raise ValueError(f"no such counter: {', '.join(sorted(unknown))}")
        with self._lock:
            self._counts = replace(
                self._counts,
                **{name: getattr(self._counts, name) + n for name, n in amounts.items()},
            )

    def read(self) -> Counts:
        """All counts at one moment."""
        with self._lock:
            return self._counts
