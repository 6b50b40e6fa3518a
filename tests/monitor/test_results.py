"""What holds of each series, and what it takes the place of."""

from monitor.results import Results
from tests.monitor.made import measurement, not_assessable

UID = "1.2.1"
OTHER = "1.2.2"


def test_what_came_before_a_restart_is_superseded_though_it_holds_no_longer() -> None:
    results = Results()
    part = not_assessable(1, "registration_failed")
    results.restore([(part, 9)])
    assert results.take_before(UID, 24) is None  # it has grown
    assert results.of(UID) is None
    assert results.newest_id(UID) == part.id
    assert results.newest_id(OTHER) is None
    whole = measurement(1, id="f" * 32)
    results.put(whole)
    assert results.newest_id(UID) == whole.id


def test_what_has_not_grown_is_taken_over_once() -> None:
    results = Results()
    found = measurement(1)
    results.restore([(found, 24)])
    assert results.take_before(UID, 24) == found
    assert results.take_before(UID, 24) is None
