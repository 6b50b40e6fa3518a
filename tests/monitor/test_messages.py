"""Messages that can't be wrong."""

from datetime import datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from monitor.forecast_messages import Until
from monitor.messages import (
    Assessment,
    HeartbeatMessage,
    Measurement,
    Role,
    ServerMessage,
    rfc3339,
)
from monitor.wire import Interval
from tests.monitor.made import (
    at,
    distance,
    forecast,
    interval,
    lethal,
    measurement,
    not_assessable,
)


@pytest.mark.parametrize("field", ["ice", "tumour", "structures", "forecast", "lethal"])
def test_no_number_in_place_of_a_reason(field: str) -> None:
    good = measurement(forecast=forecast(), lethal=lethal())
    number = {field: getattr(good, field)}
    with pytest.raises(ValidationError, match="carries no number"):
        not_assessable(**number)


def test_no_missing_reason() -> None:
    with pytest.raises(ValidationError, match="says why"):
        not_assessable(reasons=[])


@pytest.mark.parametrize("role", [Role.PLANNING, Role.BASELINE, Role.IGNORED])
def test_only_monitoring_scans_are_measured(role: Role) -> None:
    with pytest.raises(ValidationError, match=f"a {role} series is not measured"):
        measurement(role=role)
    assert not_assessable(role=role).role is role


@pytest.mark.parametrize(("low", "value", "high"), [(2, 1, 3), (1, 3, 2), (3, 2, 1)])
def test_intervals_are_ordered(low: float, value: float, high: float) -> None:
    with pytest.raises(ValidationError, match="not ordered"):
        Interval(value=value, low=low, high=high)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_number_is_a_number(bad: float) -> None:
    """An infinite or missing number would be drawn as something, or as nothing."""
    with pytest.raises(ValidationError):
        Interval(value=bad, low=bad, high=bad)


def test_a_not_assessable_measurement_has_no_digit_that_could_be_shown() -> None:
    written = not_assessable().model_dump(mode="json")
    assert written["tumour"] is None
    assert written["ice"] is None
    assert written["structures"] == []


def test_there_and_back() -> None:
    modelled = measurement(forecast=forecast(), lethal=lethal())
    near = measurement(structures=[distance(-1.5)])
    for one in (measurement(), not_assessable(), near, modelled):
        assert Measurement.model_validate_json(one.model_dump_json()) == one


def test_what_was_journaled_before_there_were_forecasts_is_read() -> None:
    written = measurement().model_dump(mode="json")
    for added in ("forecast", "lethal"):
        del written[added]
    del written["structures"][0]["contact_interval_s"]
    written["registration"] = {"residual_mm": 0.4, "shift_mm": [1, 2, 3]}
    read = Measurement.model_validate(written)
    assert (read.forecast, read.lethal) == (None, None)
    assert read.structures[0].contact_interval_s is None
    assert read.registration is not None
    assert read.registration.planning_to_scan is None


@pytest.mark.parametrize(
    ("low", "value", "high"), [(-1, 2, 3), (3, 3, 2), (2, 1, 3), (2, 4, 3), (2, 1, None)]
)
def test_times_until_something_are_ordered(low: float, value: float, high: float | None) -> None:
    with pytest.raises(ValidationError, match="not ordered"):
        Until(value=value, low=low, high=high)


@pytest.mark.parametrize(("value", "high"), [(None, None), (None, 900), (300, None), (300, 300)])
def test_what_may_never_be_reached_is_null(value: float | None, high: float | None) -> None:
    until = Until(value=value, low=200, high=high)
    assert until.model_dump() == {"value": value, "low": 200, "high": high}


def test_no_unknown_field() -> None:
    fields = measurement().model_dump()
    with pytest.raises(ValidationError, match="Extra inputs"):
        Measurement.model_validate(fields | {"margin": 2.0})


def test_times_have_an_offset() -> None:
    naive = datetime(2026, 3, 1, 9, 0)  # noqa: DTZ001  what must be refused
    with pytest.raises(ValidationError):
        measurement(acquired_at=naive)
    with pytest.raises(ValueError, match="without offset"):
        rfc3339(naive)
    assert rfc3339(at(0)) == "2026-03-01T09:00:00+00:00"


def test_messages_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        measurement().assessment = Assessment.PROVISIONAL  # type: ignore[misc]
    assert interval(2.0).low == 1.0


def test_a_message_is_known_by_its_type() -> None:
    parse: TypeAdapter[ServerMessage] = TypeAdapter(ServerMessage)
    clock = {"now": "2026-03-01T09:00:00Z", "speed": 1, "simulated": False}
    head = {"seq": 1, "run": "r", "at": "2026-03-01T09:00:00Z"}
    found = parse.validate_python(head | {"type": "heartbeat", "data": clock})
    assert isinstance(found, HeartbeatMessage)
    with pytest.raises(ValidationError):
        parse.validate_python(head | {"type": "alert", "data": clock})
