"""Alerts: every transition, and what a person's acknowledgement does and does not do."""

from itertools import product
from typing import get_args

import pytest

from monitor.alerts import RULES, TRANSITIONS, AlertBook, Event, Finding, advance
from monitor.messages import Alert, AlertState, Condition, Priority
from tests.monitor.made import alert, at

UNSEEN, SEEN = AlertState.ACTIVE_UNACKNOWLEDGED, AlertState.ACTIVE_ACKNOWLEDGED
LATCHED, CLEARED = AlertState.LATCHED, AlertState.CLEARED

EXPECTED: dict[tuple[AlertState, str], AlertState] = {
    (UNSEEN, "occurs"): UNSEEN,
    (UNSEEN, "worsens"): UNSEEN,
    (UNSEEN, "ends"): LATCHED,
    (UNSEEN, "acknowledge"): SEEN,
    (SEEN, "occurs"): SEEN,
    (SEEN, "worsens"): UNSEEN,
    (SEEN, "ends"): CLEARED,
    (SEEN, "acknowledge"): SEEN,
    (LATCHED, "occurs"): UNSEEN,
    (LATCHED, "worsens"): UNSEEN,
    (LATCHED, "ends"): LATCHED,
    (LATCHED, "acknowledge"): CLEARED,
    (CLEARED, "ends"): CLEARED,
    (CLEARED, "acknowledge"): CLEARED,
}


def near(value: float, measurement_id: str = "m1") -> Finding:
    """Ice near the hilum."""
    return Finding(
        Condition.HILUM_NEAR,
        present=True,
        text=f"Ice {value} mm from the renal hilum.",
        value=value,
        limit=5.0,
        measurement_id=measurement_id,
        worse_is="lower",
    )


FAR = Finding(Condition.HILUM_NEAR, present=False, text="", value=9.0, limit=5.0)


def book(*, worsened: float = 1.0) -> AlertBook:
    """An empty one."""
    return AlertBook("p", worsened=worsened)


def raised(alerts: AlertBook, finding: Finding, seconds: float = 0) -> Alert:
    """The alert that a finding raises or changes."""
    changed = alerts.consider(finding, at(seconds))
    assert changed is not None
    return changed


@pytest.mark.parametrize(("state", "event"), list(product(AlertState, get_args(Event))))
def test_every_pair(state: AlertState, event: Event) -> None:
    """Also those that can't happen: they raise, and say which."""
    before = alert(state=state)
    if (state, event) in EXPECTED:
        assert advance(before, event) is EXPECTED[state, event]
    else:
        with pytest.raises(ValueError, match=f"{state} has no '{event}'"):
            advance(before, event)


def test_the_table_holds_nothing_else() -> None:
    assert TRANSITIONS == EXPECTED


def test_every_condition_has_a_rule() -> None:
    assert set(RULES) == set(Condition)
    assert RULES[Condition.HILUM_NEAR].priority is Priority.MEDIUM


def test_it_is_raised_once() -> None:
    alerts = book()
    first = raised(alerts, near(4.0))
    assert first.state is UNSEEN
    assert (first.value, first.limit, first.raised_at) == (4.0, 5.0, at(0))
    assert alerts.consider(near(4.0), at(60)) is None
    assert list(alerts) == [first]


def test_a_new_value_is_told_under_the_same_alert() -> None:
    alerts = book()
    first = raised(alerts, near(4.0))
    second = raised(alerts, near(3.8, "m2"), 120)
    assert (second.id, second.raised_at) == (first.id, at(0))
    assert (second.value, second.measurement_id) == (3.8, "m2")


def test_nothing_is_raised_where_nothing_is() -> None:
    alerts = book()
    assert alerts.consider(FAR, at(0)) is None
    assert list(alerts) == []


def test_an_unseen_alert_stays_when_its_condition_has_ended() -> None:
    alerts = book()
    first = raised(alerts, near(4.0))
    ended = raised(alerts, FAR, 60)
    assert (ended.id, ended.state, ended.cleared_at) == (first.id, LATCHED, None)
    assert alerts.consider(FAR, at(120)) is None
    seen, changed = alerts.acknowledge(first.id, by="console", note=None, at=at(180))
    assert changed
    assert (seen.state, seen.cleared_at) == (CLEARED, at(180))


def test_a_latched_alert_that_occurs_again_is_the_same_one() -> None:
    alerts = book()
    first = raised(alerts, near(4.0))
    raised(alerts, FAR, 60)
    again = raised(alerts, near(4.0), 120)
    assert (again.id, again.state, again.raised_at) == (first.id, UNSEEN, at(120))


def test_a_condition_that_does_not_latch_is_cleared_unseen() -> None:
    alerts = book()
    overdue = Finding(Condition.SCAN_OVERDUE, present=True, text="No scan.", limit=240)
    first = raised(alerts, overdue)
    ended = raised(alerts, Finding(Condition.SCAN_OVERDUE, present=False, text=""), 60)
    assert (ended.id, ended.state, ended.cleared_at) == (first.id, CLEARED, at(60))
    assert raised(alerts, overdue, 120).id != first.id


def test_acknowledging_twice_is_once() -> None:
    alerts = book()
    first = raised(alerts, near(4.0))
    seen, changed = alerts.acknowledge(first.id, by="console", note="seen", at=at(10))
    assert changed
    assert (seen.state, seen.acknowledged_by, seen.note) == (SEEN, "console", "seen")
    again, changed = alerts.acknowledge(first.id, by="other", note="too", at=at(20))
    assert not changed
    assert again == seen


def test_a_seen_alert_ends_with_its_condition() -> None:
    alerts = book()
    first = raised(alerts, near(4.0))
    alerts.acknowledge(first.id, by="console", note=None, at=at(10))
    ended = raised(alerts, FAR, 60)
    assert (ended.state, ended.cleared_at) == (CLEARED, at(60))
    assert raised(alerts, near(4.0), 120).id != first.id


def test_a_seen_alert_is_raised_again_when_it_has_become_worse() -> None:
    """By as much as is set, against what was seen, not against the scan before."""
    alerts = book(worsened=1.0)
    first = raised(alerts, near(4.0))
    alerts.acknowledge(first.id, by="console", note="seen", at=at(10))
    assert raised(alerts, near(3.5), 60).state is SEEN
    assert raised(alerts, near(3.25), 120).state is SEEN
    worse = raised(alerts, near(3.0), 180)
    assert (worse.id, worse.state, worse.raised_at) == (first.id, UNSEEN, at(180))
    assert (worse.acknowledged_by, worse.acknowledged_at, worse.note) == (None, None, None)
    seen, changed = alerts.acknowledge(first.id, by="console", note=None, at=at(190))
    assert changed
    assert seen.acknowledged_at == at(190)
    assert raised(alerts, near(2.5), 240).state is SEEN


def test_a_seen_alert_that_becomes_better_stays_seen() -> None:
    alerts = book()
    first = raised(alerts, near(3.0))
    alerts.acknowledge(first.id, by="console", note=None, at=at(10))
    assert raised(alerts, near(4.9), 60).state is SEEN
    assert raised(alerts, near(3.9), 120).state is SEEN


def test_what_was_seen_is_known_after_a_restart() -> None:
    alerts = book(worsened=1.0)
    known = alert(state=SEEN, value=3.5, acknowledged_at=at(10), acknowledged_by="console")
    alerts.restore(known, seen_value=4.0)
    assert raised(alerts, near(3.25), 60).state is SEEN
    assert raised(alerts, near(2.9), 120).state is UNSEEN


def test_an_unknown_alert() -> None:
    with pytest.raises(KeyError):
        book().acknowledge("none", by="console", note=None, at=at(0))


def test_one_condition_does_not_touch_another() -> None:
    alerts = book()
    first = raised(alerts, near(4.0))
    other = raised(
        alerts, Finding(Condition.MARGIN_REACHED, present=True, text="Reached.", value=5)
    )
    assert alerts.consider(FAR, at(60)) is not None
    assert alerts.get(other.id) == other
    assert [a.id for a in alerts] == [first.id, other.id]
