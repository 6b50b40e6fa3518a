"""The clock, in service and in a demo."""

from datetime import UTC, datetime, timedelta

import pytest

from monitor.clock import Clock
from tests.monitor.made import START


def test_in_service_it_is_the_time() -> None:
    before = datetime.now(UTC)
    now = Clock().now()
    assert before <= now <= datetime.now(UTC)
    assert now.tzinfo is not None
    assert Clock().at(before) == before
    message = Clock().message()
    assert (message.speed, message.simulated) == (1.0, False)


def test_a_lapsed_clock_runs_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = [1000.0]
    monkeypatch.setattr("monitor.clock.time.monotonic", lambda: moment[0])
    lapsed = Clock.lapsed(20.0, START)
    moment[0] += 7.0
    assert lapsed.now() == START  # it stands until it is released
    lapsed.release()
    moment[0] += 3.0
    assert lapsed.now() == START + timedelta(seconds=60)
    message = lapsed.message()
    assert (message.speed, message.simulated) == (20.0, True)
    assert message.now == START + timedelta(seconds=60)


def test_a_lapsed_clock_tells_what_it_read_a_moment_ago() -> None:
    lapsed = Clock.lapsed(20.0, START)
    lapsed.release()
    wall = datetime.now(UTC)
    ago = (lapsed.now() - lapsed.at(wall - timedelta(seconds=2))).total_seconds()
    assert ago == pytest.approx(40.0, abs=2.0)
