"""Alerts: conditions, and the life of each alert, as tables.

An alert *condition* (ice near the hilum) is apart from its *signal* (what the page shows). The
condition ending does not remove an unacknowledged alert: it is latched until a person has seen it.
Priorities follow IEC 60601-1-8: medium is "prompt response", low is "awareness".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import uuid4

from monitor.messages import Alert, AlertState, Condition, Priority

Event = Literal["occurs", "worsens", "ends", "acknowledge"]

TRANSITIONS: dict[tuple[AlertState, Event], AlertState] = {
    (AlertState.ACTIVE_UNACKNOWLEDGED, "occurs"): AlertState.ACTIVE_UNACKNOWLEDGED,
    (AlertState.ACTIVE_UNACKNOWLEDGED, "worsens"): AlertState.ACTIVE_UNACKNOWLEDGED,
    (AlertState.ACTIVE_UNACKNOWLEDGED, "ends"): AlertState.LATCHED,
    (AlertState.ACTIVE_UNACKNOWLEDGED, "acknowledge"): AlertState.ACTIVE_ACKNOWLEDGED,
    (AlertState.ACTIVE_ACKNOWLEDGED, "occurs"): AlertState.ACTIVE_ACKNOWLEDGED,
    (AlertState.ACTIVE_ACKNOWLEDGED, "worsens"): AlertState.ACTIVE_UNACKNOWLEDGED,
    (AlertState.ACTIVE_ACKNOWLEDGED, "ends"): AlertState.CLEARED,
    (AlertState.ACTIVE_ACKNOWLEDGED, "acknowledge"): AlertState.ACTIVE_ACKNOWLEDGED,
    (AlertState.LATCHED, "occurs"): AlertState.ACTIVE_UNACKNOWLEDGED,
    (AlertState.LATCHED, "worsens"): AlertState.ACTIVE_UNACKNOWLEDGED,
    (AlertState.LATCHED, "ends"): AlertState.LATCHED,
    (AlertState.LATCHED, "acknowledge"): AlertState.CLEARED,
    (AlertState.CLEARED, "acknowledge"): AlertState.CLEARED,
    (AlertState.CLEARED, "ends"): AlertState.CLEARED,
}
"""A cleared alert does not come back: the condition's next occurrence is an alert of its own, so
("cleared", "occurs") and ("cleared", "worsens") are not in the table."""


@dataclass(frozen=True)
class Rule:
    """What is fixed for a condition.

    Attributes
    ----------
    latches
        Whether the alert stays until acknowledged after its condition has ended.
    """

    kind: Literal["physiological", "technical"]
    priority: Priority
    latches: bool


RULES: dict[Condition, Rule] = {
    Condition.HILUM_NEAR: Rule("physiological", Priority.MEDIUM, latches=True),
    Condition.STRUCTURE_NEAR: Rule("physiological", Priority.MEDIUM, latches=True),
    Condition.MARGIN_REACHED: Rule("physiological", Priority.LOW, latches=False),
    Condition.SCAN_OVERDUE: Rule("technical", Priority.MEDIUM, latches=False),
    Condition.SCAN_NOT_ASSESSABLE: Rule("technical", Priority.LOW, latches=False),
    Condition.OTHER_PATIENT: Rule("technical", Priority.MEDIUM, latches=True),
    Condition.OBJECT_CONFLICT: Rule("technical", Priority.MEDIUM, latches=True),
    Condition.OBJECT_REFUSED: Rule("technical", Priority.LOW, latches=True),
    Condition.RECEIVING_STOPPED: Rule("technical", Priority.MEDIUM, latches=False),
}
"""Priorities from the hazard table in ``docs/hazards.md``; the two must say the same."""


@dataclass(frozen=True)
class Finding:
    """One look at one condition.

    Attributes
    ----------
    present
        Whether it holds now.
    text
        For people, with the figure rounded towards danger.
    value, limit
        What was compared.
    worse_is
        In which direction the value becomes worse; "none" where it can't.
    subject
        The structure that it is about. Each has alerts of its own.
    """

    condition: Condition
    present: bool
    text: str
    value: float | None = None
    limit: float | None = None
    measurement_id: str | None = None
    worse_is: Literal["lower", "higher", "none"] = "none"
    subject: str = ""


def advance(alert: Alert, event: Event) -> AlertState:
    """The state after an event.

    Raises
    ------
    ValueError
        The event can't happen in this state.
    """
    try:
        return TRANSITIONS[alert.state, event]
    except KeyError:
        raise ValueError(f"an alert that is {alert.state} has no {event!r}") from None


class AlertBook:
    """The alerts of one procedure, oldest first; not shared between threads.

    Parameters
    ----------
    worsened
        An acknowledged alert is raised again when its value is worse by this much, in its unit.
    """

    def __init__(self, procedure_id: str, *, worsened: float) -> None:
        self._procedure_id = procedure_id
        self._worsened = worsened
        self._alerts: dict[str, Alert] = {}
        self._seen_value: dict[str, float] = {}

    def __iter__(self) -> Iterator[Alert]:
        return iter(self._alerts.values())

    def restore(self, alert: Alert, seen_value: float | None = None) -> None:
        """Take back an alert from the journal, with the value it had when it was acknowledged."""
        self._alerts[alert.id] = alert
        if alert.state is AlertState.ACTIVE_ACKNOWLEDGED and seen_value is not None:
            self._seen_value[alert.id] = seen_value

    def get(self, alert_id: str) -> Alert | None:
        """The alert with this id."""
        return self._alerts.get(alert_id)

    def consider(self, finding: Finding, at: datetime) -> Alert | None:
        """Take one look at a condition into account; the alert it raised or changed, if any."""
        current = self._current(finding.condition, finding.subject)
        if not finding.present:
            return self._end(current, at) if current is not None else None
        if current is None:
            return self._raise(finding, at)
        event: Event = "worsens" if self._is_worse(current, finding) else "occurs"
        state = advance(current, event)
        text = finding.text
        again = state is not current.state
        changed = current.model_copy(
            update={
                "state": state,
                "text": text,
                "value": finding.value,
                "limit": finding.limit,
                "measurement_id": finding.measurement_id or current.measurement_id,
                "raised_at": at if again else current.raised_at,
                "acknowledged_by": None if again else current.acknowledged_by,
                "acknowledged_at": None if again else current.acknowledged_at,
                "note": None if again else current.note,
            }
        )
        return self._keep(changed) if changed != current else None

    def acknowledge(
        self, alert_id: str, *, by: str, note: str | None, at: datetime
    ) -> tuple[Alert, bool]:
        """Acknowledge; the alert, and whether this call changed it (the same twice is once).

        Raises
        ------
        KeyError
            There is no such alert here.
        """
        alert = self._alerts[alert_id]
        if alert.acknowledged_at is not None:
            return alert, False
        if alert.state is AlertState.CLEARED:  # never unacknowledged while it mattered
            return alert, False
        state = advance(alert, "acknowledge")
        update: dict[str, object] = {
            "state": state,
            "acknowledged_by": by,
            "acknowledged_at": at,
            "note": note,
        }
        if state is AlertState.CLEARED:
            update["cleared_at"] = at
        if alert.value is not None:
            self._seen_value[alert_id] = alert.value
        return self._keep(alert.model_copy(update=update)), True

    def subjects(self, condition: Condition) -> set[str]:
        """Which structures have an alert of a condition that is not cleared."""
        open_ = (a for a in self._alerts.values() if a.state is not AlertState.CLEARED)
        return {alert.subject for alert in open_ if alert.condition is condition}

    def _current(self, condition: Condition, subject: str) -> Alert | None:
        for alert in reversed(self._alerts.values()):
            if alert.state is AlertState.CLEARED:
                continue
            if alert.condition is condition and alert.subject == subject:
                return alert
        return None

    def _raise(self, finding: Finding, at: datetime) -> Alert:
        rule = RULES[finding.condition]
        return self._keep(
            Alert(
                id=uuid4().hex,
                procedure_id=self._procedure_id,
                measurement_id=finding.measurement_id,
                condition=finding.condition,
                kind=rule.kind,
                priority=rule.priority,
                state=AlertState.ACTIVE_UNACKNOWLEDGED,
                raised_at=at,
                text=finding.text,
                value=finding.value,
                limit=finding.limit,
                acknowledged_by=None,
                acknowledged_at=None,
                note=None,
                cleared_at=None,
                subject=finding.subject,
            )
        )

    def _end(self, alert: Alert, at: datetime) -> Alert | None:
        state = advance(alert, "ends")
        if state is AlertState.LATCHED and not RULES[alert.condition].latches:
            state = AlertState.CLEARED
        if state is alert.state:
            return None
        cleared_at = at if state is AlertState.CLEARED else None
        return self._keep(alert.model_copy(update={"state": state, "cleared_at": cleared_at}))

    def _is_worse(self, alert: Alert, finding: Finding) -> bool:
        seen = self._seen_value.get(alert.id)
        if seen is None or finding.value is None or finding.worse_is == "none":
            return False
        step = finding.value - seen
        return (-step if finding.worse_is == "lower" else step) >= self._worsened

    def _keep(self, alert: Alert) -> Alert:
        self._alerts[alert.id] = alert
        return alert
