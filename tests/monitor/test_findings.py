"""Findings: what is found when, and figures rounded towards danger."""

from collections.abc import Iterable
from typing import Any

import pytest

from monitor.alerts import Finding
from monitor.config import AlertsSection
from monitor.findings import of_measurement, of_time
from monitor.messages import Assessment, Condition, Measurement, PhaseName, Role
from monitor.nearness import rounded_down
from tests.monitor.made import at, distance, measurement, not_assessable, phase, procedure

LIMITS = AlertsSection(hilum_near_mm=5.0, margin_target_mm=5.0)


def found(newest: Measurement, *before: Measurement) -> dict[Condition, Finding]:
    """What a measurement says, after others."""
    findings = of_measurement(newest, procedure(*before, newest), LIMITS)
    return {finding.condition: finding for finding in findings}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (3.19, "3.1"),
        (3.1, "3.1"),
        (2.3, "2.3"),  # 22.999999999999996 tenths
        (0.29, "0.2"),
        (0.0, "0.0"),
        (-0.0, "0.0"),
        (-0.01, "-0.1"),
        (-0.31, "-0.4"),
        (-4.35, "-4.4"),
        (-2.3, "-2.3"),
        (12.999, "12.9"),
    ],
)
def test_rounded_towards_danger(value: float, shown: str) -> None:
    assert rounded_down(value) == shown


@pytest.mark.parametrize("tenths", range(-200, 201))
def test_what_has_one_decimal_is_shown_as_it_is(tenths: int) -> None:
    """As on the page; floating point makes 4.1 of 4.1 mm, never 4.0."""
    assert rounded_down(tenths / 10) == f"{tenths / 10 + 0.0:.1f}"


@pytest.mark.parametrize(("hilum_mm", "present"), [(5.0, False), (4.99, True), (-1.0, True)])
def test_ice_near_the_hilum(hilum_mm: float, present: bool) -> None:
    finding = found(measurement(hilum_mm=hilum_mm))[Condition.HILUM_NEAR]
    assert finding.present is present
    assert (finding.value, finding.limit, finding.worse_is) == (hilum_mm, 5.0, "lower")
    assert finding.measurement_id == measurement().id


@pytest.mark.parametrize(
    ("hilum_mm", "text"),
    [
        (4.99, "Ice 4.9 mm from the renal hilum."),
        (0.0, "Ice 0.0 mm from the renal hilum."),
        (-0.01, "Ice OVERLAPS the renal hilum by 0.1 mm."),
        (-1.25, "Ice OVERLAPS the renal hilum by 1.3 mm."),
        (-1.3, "Ice OVERLAPS the renal hilum by 1.3 mm."),
    ],
)
def test_the_hilums_text(hilum_mm: float, text: str) -> None:
    assert found(measurement(hilum_mm=hilum_mm))[Condition.HILUM_NEAR].text == text


def test_only_what_was_named_the_hilum_is_the_hilum() -> None:
    near_bowel = [distance(9.0), distance(1.0, "Bowel")]
    assert not found(measurement(structures=near_bowel))[Condition.HILUM_NEAR].present
    assert Condition.HILUM_NEAR not in found(measurement(structures=[distance(1.0, "Bowel")]))


@pytest.mark.parametrize(("margin_mm", "present"), [(4.99, False), (5.0, True), (-2.0, False)])
def test_margin_reached(margin_mm: float, present: bool) -> None:
    finding = found(measurement(margin_mm=margin_mm))[Condition.MARGIN_REACHED]
    assert finding.present is present
    assert (finding.value, finding.limit) == (margin_mm, 5.0)


def test_the_margins_text() -> None:
    text = found(measurement(margin_mm=5.27))[Condition.MARGIN_REACHED].text
    assert text == "Ice reaches 5.2 mm beyond the tumour everywhere (4.2 to 6.2 mm)."


def test_a_scan_that_is_not_assessable() -> None:
    """It is told why; nothing is said about hilum and margin, so nothing there is cleared."""
    findings = found(not_assessable(2), measurement(1, hilum_mm=3.0))
    assert set(findings) == {Condition.SCAN_NOT_ASSESSABLE}
    finding = findings[Condition.SCAN_NOT_ASSESSABLE]
    assert finding.present
    assert finding.text == "Scan not assessable: Two slices are missing."


def test_no_ice_is_no_fault() -> None:
    assert not found(not_assessable(code="no_ice"))[Condition.SCAN_NOT_ASSESSABLE].present


def test_a_good_scan_ends_what_the_bad_one_before_it_raised() -> None:
    findings = found(measurement(2), not_assessable(1))
    assert not findings[Condition.SCAN_NOT_ASSESSABLE].present


def test_a_provisional_figure_alarms_too() -> None:
    early = measurement(hilum_mm=3.0, assessment=Assessment.PROVISIONAL)
    assert found(early)[Condition.HILUM_NEAR].present


def test_an_older_scan_that_comes_late_says_nothing() -> None:
    late, newest = measurement(1, hilum_mm=3.0), measurement(2, hilum_mm=9.0)
    assert list(of_measurement(late, procedure(late, newest), LIMITS)) == []


@pytest.mark.parametrize("role", [Role.PLANNING, Role.BASELINE, Role.IGNORED])
def test_other_series_say_nothing(role: Role) -> None:
    other = not_assessable(role=role)
    assert list(of_measurement(other, procedure(other), LIMITS)) == []


def overdue(seconds: float, *measured: Measurement, phases: Iterable[Any] = ()) -> Finding:
    """Whether a scan is overdue, so long after the start."""
    under_way = procedure(*measured)
    under_way.phases.pressed = list(phases)
    (finding,) = of_time(under_way, at(seconds), 240.0)
    assert finding.condition is Condition.SCAN_OVERDUE
    return finding


FREEZE = phase(PhaseName.FREEZE, 1, 100)


def test_a_scan_is_overdue_while_freezing() -> None:
    assert not overdue(100 + 240, phases=[FREEZE]).present
    late = overdue(100 + 241, phases=[FREEZE])
    assert late.present
    assert late.text == "No scan for more than 4 min while freezing."
    assert late.limit == 240.0


def test_each_scan_starts_the_wait_anew() -> None:
    scan = measurement(2)  # acquired at 240 s
    assert not overdue(240 + 239, scan, phases=[FREEZE]).present
    assert overdue(240 + 241, scan, phases=[FREEZE]).present


def test_a_scan_of_before_the_freeze_does_not_count() -> None:
    scan = measurement(1)  # acquired at 120 s
    again = phase(PhaseName.FREEZE, 2, 1000)
    assert not overdue(1000 + 239, scan, phases=[FREEZE, again]).present


def test_the_wait_counts_from_the_acquisition_by_our_clock() -> None:
    """A scanner's clock that is an hour ahead holds no alert back, nor does a single odd scan."""
    known = measurement(2, acquired_at=at(240 + 3600), clock_offset_s=3600.0)
    assert not overdue(240 + 239, known, phases=[FREEZE]).present
    assert overdue(240 + 241, known, phases=[FREEZE]).present
    odd = measurement(2, acquired_at=at(240 + 3600))  # received at 245 s
    assert not overdue(245 + 239, odd, phases=[FREEZE]).present
    assert overdue(245 + 241, odd, phases=[FREEZE]).present


@pytest.mark.parametrize("name", [PhaseName.THAW, PhaseName.IDLE])
def test_no_scan_is_overdue_in_another_phase(name: PhaseName) -> None:
    assert not overdue(10_000, phases=[FREEZE, phase(name, 1, 700)]).present
    assert not overdue(10_000).present
