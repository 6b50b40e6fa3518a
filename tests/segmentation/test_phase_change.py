"""Freezing and thawing as the ice shows it, against what was pressed: the simulator's volumes."""

import math

import pytest

from segmentation.phase_change import Change, Held, Seen, change

FREEZE_1 = [Seen(510, 16.7), Seen(660, 28.9), Seen(810, 38.1), Seen(945, 45.2)]
THAW = [Seen(1200, 35.5), Seen(1425, 22.6)]
FREEZE_2 = [Seen(1590, 33.3), Seen(1740, 44.1)]
ALL = FREEZE_1 + THAW + FREEZE_2
BASELINE_S = 300.0


def test_the_first_ice_with_one_scan_begins_half_way() -> None:
    found = change(FREEZE_1[:1], Held(), BASELINE_S)
    assert found == Change("freeze", 405, 300, 510, None, 0)


def test_with_two_scans_growth_is_followed_back() -> None:
    """The freeze really began at 360 s; by hand: 16.7^1.3 = 38.9, 28.9^1.3 = 79.3, 144 s."""
    found = change(FREEZE_1, Held(), BASELINE_S)
    assert found is not None
    assert found.since_s == pytest.approx(510 - 144.4, abs=1.0)
    assert (found.earliest_s, found.latest_s) == (300, 510)


def test_growth_leads_back_no_further_than_to_the_baseline() -> None:
    found = change([Seen(600, 30), Seen(700, 33)], Held(), BASELINE_S)
    assert found is not None
    assert found.since_s == BASELINE_S


def test_ice_that_was_there_when_idle_was_pressed_is_known_to_the_person() -> None:
    assert change(FREEZE_1[:1], Held("idle", 600), BASELINE_S) is None
    found = change(FREEZE_1[:2], Held("idle", 600), BASELINE_S)
    assert found is not None
    assert (found.earliest_s, found.latest_s, found.after) == (600, 660, 1)


def test_nothing_without_a_baseline_and_without_ice() -> None:
    assert change(FREEZE_1, Held(), None) is None
    assert change([], Held(), BASELINE_S) is None
    assert change([Seen(510, 0.0)], Held(), BASELINE_S) is None


def test_a_freeze_that_goes_on_fits() -> None:
    assert change(FREEZE_1, Held("freeze", 360, frozen=True), BASELINE_S) is None


def test_a_thaw_while_freeze_is_held() -> None:
    """It really began at 960 s, 15 s after the last scan of the freeze."""
    found = change(ALL, Held("freeze", 360, frozen=True), BASELINE_S)
    assert found == Change("thaw", (945 + 1200) / 2, 900, 1200, 3, 4)


def test_a_freeze_while_thaw_is_held() -> None:
    """It really began at 1440 s."""
    for held in (Held("thaw", 960, frozen=True), Held("idle", 960, frozen=True)):
        found = change(ALL, held, BASELINE_S)
        assert found == Change("freeze", (1425 + 1590) / 2, 1380, 1590, 5, 6)


@pytest.mark.parametrize("factor", [0.94, 1.0, 1.07])
def test_two_scans_of_the_same_ice_are_no_change(factor: float) -> None:
    scans = [Seen(1200, 30), Seen(1380, 30 * factor)]
    assert change(scans, Held("freeze", 360, frozen=True), BASELINE_S) is None
    assert change(scans, Held("thaw", 960, frozen=True), BASELINE_S) is None


def test_slow_changes_add_up() -> None:
    """Each by 5 %, together by 10 %: seen against the most ice there was."""
    scans = [Seen(600, 30.0), Seen(800, 28.5), Seen(1000, 27.1)]
    found = change(scans, Held("freeze", 360, frozen=True), BASELINE_S)
    assert found is not None
    assert (found.before, found.after) == (0, 2)


def test_ice_goes_on_for_a_while_after_a_press() -> None:
    """A scan 20 s into the thaw holds less ice than one at its end, and proves nothing."""
    scans = [Seen(980, 40.0), Seen(1020, 46.0), Seen(1200, 35.0)]
    assert change(scans, Held("thaw", 960, frozen=True), BASELINE_S) is None


def test_what_was_denied_is_not_found_again_but_new_growth_is() -> None:
    held = Held("thaw", 960, frozen=True)
    scans = [*THAW, Seen(1590, 33.3), Seen(1700, 34.0)]
    assert change(scans, held, BASELINE_S, denied=2) is None
    found = change([*scans, Seen(1800, 44.0)], held, BASELINE_S, denied=2)
    assert found is not None
    assert (found.before, found.after) == (2, 4)


def test_first_ice_that_was_denied() -> None:
    assert change(FREEZE_1[:1], Held(), BASELINE_S, denied=0) is None
    found = change(FREEZE_1[:2], Held(), BASELINE_S, denied=0)
    assert found is not None
    assert (found.before, found.after) == (0, 1)
    assert math.isfinite(found.earliest_s)
