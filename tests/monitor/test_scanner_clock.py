"""A scanner's clock against ours, told from what it sends."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from dicom_listener.events import ObjectStored, Outcome, Receipt
from monitor.phase_messages import ScannerClock
from monitor.scanner_clock import FARTHEST_S, REMEMBERED, ScannerClocks, spoken
from tests.dicom_listener.objects import at, header

HOUR_S = 3600.0


def image(
    series: int, acquired_s: float, received_s: float, outcome: Outcome = "new"
) -> ObjectStored:
    """A slice; the first time by the scanner's clock, the second by ours."""
    one = replace(header(0.0, series), acquired_at=at(acquired_s))
    return ObjectStored(one, Path("f"), Receipt(at(received_s), "a", "CT1", "192.0.2.17"), outcome)


def clock_of(
    scans: Sequence[tuple[float, float]], clocks: ScannerClocks | None = None
) -> ScannerClock | None:
    """What is known after scans, of which each was acquired and received at these seconds."""
    clocks = clocks or ScannerClocks()
    for n, (acquired_s, received_s) in enumerate(scans, start=1):
        clocks.take(image(n, acquired_s, received_s))
        clocks.settle("CT1")
    return clocks.known("CT1")


def prompt(offset_s: float, count: int = 4, lag_s: float = 20.0) -> list[tuple[float, float]]:
    """Scans every 2.5 min that come at once, by a clock that is ahead."""
    return [(150 * n + offset_s, 150 * n + lag_s + n) for n in range(count)]


def test_a_clock_that_is_right() -> None:
    assert clock_of(prompt(0)) is None


@pytest.mark.parametrize("offset_s", [40.0, 420.0, 5000.0])
def test_a_clock_that_is_ahead_is_surely_so_by_what_came_before_it_was_taken(
    offset_s: float,
) -> None:
    found = clock_of(prompt(offset_s + 20, count=2))
    assert found is not None
    assert found.offset_s == found.low_s == offset_s
    assert found.low_s <= offset_s + 20 <= found.high_s


def test_little_is_not_told() -> None:
    assert clock_of(prompt(20 + 29)) is None
    assert clock_of(prompt(20 + 31)) is not None


def test_a_clock_that_is_behind_is_told_from_three_scans_over_three_minutes() -> None:
    scans = prompt(-600)
    assert clock_of(scans[:2]) is None
    found = clock_of(scans[:3])
    assert found is not None
    assert (found.low_s, found.high_s) == (-620, -500)
    assert found.offset_s == -500, "no younger than it surely is"
    assert clock_of([(n, n + 620) for n in range(0, 90, 30)]) is None


@pytest.mark.parametrize("hours", [-9.5, -1.0, 1.0, 2.0])
def test_another_time_zone_is_whole_half_hours(hours: float) -> None:
    found = clock_of(prompt(hours * HOUR_S))
    assert found is not None
    assert found.offset_s == hours * HOUR_S


def test_a_transfer_that_takes_long_is_no_clock() -> None:
    """Up to two minutes from acquisition to receipt are explained by it."""
    assert clock_of(prompt(0, lag_s=140)) is None
    assert clock_of(prompt(0, lag_s=155)) is not None


def test_a_batch_of_old_scans_is_no_clock() -> None:
    """They come together, minutes or years after they were taken, minutes apart."""
    for age_s in (600, 7200, 10 * 365 * 86_400):
        assert clock_of([(150 * n - age_s, 1000 + n) for n in range(5)]) is None


def test_scans_of_years_ago_one_by_one_are_no_clock() -> None:
    assert clock_of([(150 * n - FARTHEST_S - 100, 150 * n) for n in range(5)]) is None


def test_an_old_scan_among_prompt_ones_changes_nothing() -> None:
    scans = prompt(HOUR_S)
    old = [(-86_400.0, 5.0), *scans]
    assert clock_of(old) == clock_of(scans)


def test_one_scan_with_a_wrong_date_shifts_no_other() -> None:
    assert clock_of([*prompt(0, 3), (5000, 470)]) is None
    assert clock_of([*prompt(0, 3), (1e9, 470)]) is None


def test_a_clock_that_was_set_right_is_soon_known_to_be() -> None:
    clocks = ScannerClocks()
    assert clock_of(prompt(HOUR_S), clocks) is not None
    for n in range(REMEMBERED):
        clocks.take(image(10 + n, 1000 + 150 * n, 1020 + 150 * n))
        clocks.settle("CT1")
    assert clocks.known("CT1") is None


def test_what_was_told_stays_while_it_can_be_so() -> None:
    """Scans are not measured again for a second more or less."""
    clocks = ScannerClocks()
    first = clock_of(prompt(400, count=2, lag_s=25), clocks)
    clocks.take(image(7, 700, 310))
    assert not clocks.settle("CT1")
    assert clocks.known("CT1") == first


def test_what_comes_twice_or_is_no_image_says_nothing() -> None:
    clocks = ScannerClocks()
    for n in range(4):
        clocks.take(image(n, 150 * n, 150 * n + 600, "identical"))
        localizer = image(10 + n, 150 * n, 150 * n + 600)
        changed = replace(localizer.header, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"))
        clocks.take(replace(localizer, header=changed))
    assert not clocks.settle("CT1")
    assert clocks.known("CT1") is None


def test_nothing_is_measured_where_time_is_made_up() -> None:
    clocks = ScannerClocks(measured=False)
    assert clock_of(prompt(HOUR_S), clocks) is None
    assert clocks.offset_s("CT1", at(100), at(0)) == 0


def test_a_scans_own_time() -> None:
    clocks = ScannerClocks()
    assert clocks.offset_s("CT1", at(0), at(20)) == 0
    assert clocks.offset_s("CT1", at(30), at(20)) == 10, "not before it was taken"
    assert clocks.offset_s("CT1", at(60), at(20)) == 0, "too much to be believed of one scan"
    clock_of(prompt(HOUR_S), clocks)
    assert clocks.offset_s("CT1", at(0) + timedelta(hours=1), at(20)) == HOUR_S


@pytest.mark.parametrize(
    ("offset_s", "said"),
    [
        (3600, "about 1 h ahead"),
        (-3600, "about 1 h behind"),
        (-34_200, "about 9 h 30 min behind"),
        (420, "about 7 min ahead"),
        (-42, "about 42 s behind"),
        (3570, "about 1 h ahead"),
    ],
)
def test_as_people_say_it(offset_s: float, said: str) -> None:
    assert spoken(offset_s) == said
