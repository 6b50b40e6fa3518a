"""What the journal held at start: read once, in memory from then on."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TypeVar

from pydantic import ValidationError

from monitor import messages
from monitor.decisions import Decision
from monitor.wire import Wire

W = TypeVar("W", bound=Wire)


class JournalError(RuntimeError):
    """The database can't be opened, read or written; the message says which and why."""


class Past:
    """The journal's rows. Documents are checked when they are asked for.

    One that is none of this version's then costs its own procedure its past, and no other.

    Parameters
    ----------
    procedures
        The columns of their table, oldest first.
    measurements
        Procedure id, document and number of slices, as they were written.
    alerts
        Procedure id and document of each in its latest state.
    events
        Procedure id, kind and document of each change, as they were written.
    """

    def __init__(
        self,
        procedures: list[dict[str, str]],
        measurements: Iterable[tuple[str, str, int]],
        alerts: Iterable[tuple[str, str]],
        events: Iterable[tuple[str, str, str]],
    ) -> None:
        self._procedures = procedures
        self._measurements: dict[str, list[tuple[str, int]]] = defaultdict(list)
        self._documents: dict[tuple[str, str], list[str]] = defaultdict(list)
        for procedure_id, document, slices in measurements:
            self._measurements[procedure_id].append((document, slices))
        for procedure_id, document in alerts:
            self._documents[procedure_id, "alert now"].append(document)
        for procedure_id, kind, document in events:
            self._documents[procedure_id, kind].append(document)

    def procedures(self) -> list[dict[str, str]]:
        """All procedures, oldest first: the columns of their table."""
        return self._procedures

    def measurements(self, procedure_id: str) -> list[tuple[messages.Measurement, int]]:
        """A procedure's measurements with their numbers of slices, as they were written.

        Raises
        ------
        JournalError
            One of them is none of this version's; so with all that follow.
        """
        rows = self._measurements.get(procedure_id, [])
        found = _parsed(messages.Measurement, [document for document, _ in rows])
        return [(one, slices) for one, (_, slices) in zip(found, rows, strict=True)]

    def alerts(self, procedure_id: str) -> list[messages.Alert]:
        """A procedure's alerts in their latest state, oldest first."""
        found = self._of(messages.Alert, procedure_id, "alert now")
        return sorted(found, key=lambda alert: alert.raised_at)

    def values_when_acknowledged(self, procedure_id: str) -> dict[str, float]:
        """What a person saw: each alert's value at its latest acknowledgement, by alert id."""
        found: dict[str, tuple[datetime, float]] = {}
        for alert in self._of(messages.Alert, procedure_id, "alert"):
            if alert.acknowledged_at is None or alert.value is None:
                continue
            known = found.get(alert.id)
            if known is None or known[0] != alert.acknowledged_at:
                found[alert.id] = (alert.acknowledged_at, alert.value)
        return {alert_id: value for alert_id, (_, value) in found.items()}

    def phases(self, procedure_id: str) -> list[messages.Phase]:
        """A procedure's pressed phases, oldest first."""
        return self._of(messages.Phase, procedure_id, "phase")

    def decisions(self, procedure_id: str) -> list[Decision]:
        """What people have decided about a procedure, oldest first."""
        return self._of(Decision, procedure_id, "decision")

    def all_decisions(self) -> list[Decision]:
        """What people have decided about any procedure, in no order."""
        found = []
        for procedure_id, kind in self._documents:
            if kind == "decision":
                with suppress(JournalError):
                    found += self.decisions(procedure_id)
        return found

    def _of(self, kind: type[W], procedure_id: str, name: str) -> list[W]:
        return _parsed(kind, self._documents.get((procedure_id, name), []))


def _parsed(kind: type[W], documents: Sequence[str]) -> list[W]:
    try:
        return [kind.model_validate_json(document) for document in documents]
    except ValidationError as error:
        text = f"{error.error_count()} values in it are none of this version's"
        raise JournalError(f"the journal: {text} ({error.title})") from error
