"""Phases: pressed, corrected, offered."""

from datetime import timedelta
from typing import Any

import pytest

from monitor import messages
from monitor.decisions import CommandError, PhaseMoved, PhaseOfferDismissed, PhaseTakenBack
from monitor.messages import Measurement, PhaseName
from monitor.phases import CYCLES, Phases
from tests.monitor.made import at, measurement, not_assessable

FREEZE, THAW, IDLE = PhaseName.FREEZE, PhaseName.THAW, PhaseName.IDLE


def phases(*pressed: tuple[PhaseName, float]) -> Phases:
    """Pressed one after the other, at these seconds."""
    made = Phases("p", at(0))
    for name, seconds in pressed:
        press(made, name, seconds)
    return made


def press(made: Phases, name: PhaseName, now_s: float, since_s: float | None = None) -> None:
    since = at(since_s) if since_s is not None else None
    phase = made.after_press(name, at(now_s), since, at(0))
    if phase not in made.pressed:
        made.pressed.append(phase)


def shown(made: Phases) -> list[tuple[PhaseName, int, float]]:
    """Name, cycle and begin of each."""
    return [(p.phase, p.cycle, (p.since - at(0)).total_seconds()) for p in made.pressed]


def scan(number: int, seconds: float, volume_ml: float, **changes: Any) -> Measurement:
    """A final measurement of so much ice."""
    ice = messages.Ice(volume_ml=volume_ml, visible_surface_fraction=0.7, longest_axis_mm=40)
    return measurement(number, acquired_at=at(seconds), ice=ice, **changes)


def test_the_table_knows_every_pair() -> None:
    befores = [None, *PhaseName]
    assert set(CYCLES) == {(before, after) for before in befores for after in PhaseName}


def test_cycles_count_freezes() -> None:
    made = phases((IDLE, 1), (FREEZE, 2), (FREEZE, 3), (THAW, 4), (FREEZE, 5), (IDLE, 6))
    assert shown(made) == [(IDLE, 0, 1), (FREEZE, 1, 2), (THAW, 1, 4), (FREEZE, 2, 5), (IDLE, 2, 6)]


def test_before_any_press_it_is_idle_since_the_opening() -> None:
    made = phases()
    assert (made.current.phase, made.current.since, made.current.cycle) == (IDLE, at(0), 0)
    assert made.at(at(100)) is None


def test_a_press_may_be_later_than_what_it_tells_of() -> None:
    made = phases((FREEZE, 100))
    press(made, THAW, 800, 700)
    assert shown(made)[-1] == (THAW, 1, 700)
    held = made.at(at(699)), made.at(at(700))
    assert [phase.phase for phase in held if phase is not None] == [FREEZE, THAW]


@pytest.mark.parametrize(
    ("since_s", "why"), [(801, "future"), (100, "before it"), (50, "before it"), (-1, "before it")]
)
def test_a_time_that_can_not_be(since_s: float, why: str) -> None:
    made = phases((FREEZE, 100))
    with pytest.raises(CommandError, match=why) as refused:
        press(made, THAW, 800, since_s)
    assert refused.value.code == "bad_time"
    assert shown(made) == [(FREEZE, 1, 100)]


def test_nothing_begins_before_the_procedure() -> None:
    with pytest.raises(CommandError, match="began later"):
        press(phases(), FREEZE, 800, -1)


def test_a_clock_that_was_set_back_puts_no_phase_before_another() -> None:
    made = phases((FREEZE, 100), (THAW, 90))
    assert shown(made) == [(FREEZE, 1, 100), (THAW, 1, 100)]


def test_a_wrong_press_is_taken_back_and_the_same_press_again_counts_anew() -> None:
    """After a restart all presses come before all corrections."""
    made = phases((FREEZE, 100), (THAW, 200))
    back = PhaseTakenBack(pressed_at=at(200))
    made.check(back, at(210), at(0), None)
    assert made.take(back) == at(200)
    press(made, THAW, 300, 200)
    again = phases((FREEZE, 100))
    again.pressed += [
        messages.Phase(procedure_id="p", phase=THAW, since=at(200), cycle=1, pressed_at=at(when))
        for when in (200, 300)
    ]
    again.take(back)
    assert shown(again) == shown(made) == [(FREEZE, 1, 100), (THAW, 1, 200)]


def test_only_the_last_press_is_corrected() -> None:
    made = phases((FREEZE, 100), (THAW, 200))
    for what in (
        PhaseTakenBack(pressed_at=at(100)),
        PhaseMoved(pressed_at=at(100), since=at(50)),
    ):
        with pytest.raises(CommandError) as refused:
            made.check(what, at(300), at(0), None)
        assert refused.value.code == "phase_changed"


def test_a_press_is_moved_within_what_is_around_it() -> None:
    made = phases((FREEZE, 100), (THAW, 200))
    for wrong_s in (100, 301):
        with pytest.raises(CommandError):
            made.check(PhaseMoved(pressed_at=at(200), since=at(wrong_s)), at(300), at(0), None)
    moved = PhaseMoved(pressed_at=at(200), since=at(150))
    made.check(moved, at(300), at(0), None)
    assert made.take(moved) == at(150)
    assert shown(made)[-1] == (THAW, 1, 150)
    back = PhaseMoved(pressed_at=at(200), since=at(250))
    assert made.take(back) == at(150), "from where on another phase holds"


def test_a_press_that_was_journaled_without_its_own_moment_can_be_corrected() -> None:
    made = phases()
    made.pressed = [messages.Phase(procedure_id="p", phase=FREEZE, since=at(5), cycle=1)]
    made.take(PhaseTakenBack(pressed_at=at(5)))
    assert made.pressed == []


def test_ice_with_nothing_pressed_offers_a_freeze() -> None:
    found = phases().offered([scan(1, 510, 16.7)], at(300))
    assert found is not None
    assert (found.phase, found.since, found.earliest, found.latest) == (
        FREEZE,
        at(405),
        at(300),
        at(510),
    )
    assert found.text == "Ice of 17 ml in scan 1, none in the baseline."


def test_what_is_offered_is_numbered_as_on_the_page_and_by_the_services_clock() -> None:
    """Scan 2 has no figures, and still is scan 2. The scanner's clock is 60 s ahead."""
    made = phases((FREEZE, 100), (THAW, 960))
    scans = [
        scan(1, 1260, 22.6, clock_offset_s=60.0),
        not_assessable(2, acquired_at=at(1320)),
        scan(3, 1460, 33.3, clock_offset_s=60.0),
    ]
    found = made.offered(scans, at(0))
    assert found is not None
    assert (found.phase, found.since, found.latest) == (FREEZE, at(1300), at(1400))
    assert found.text == "Ice grew from 22.6 to 33.3 ml, scan 1 to 3."


def test_shrinking_ice_offers_a_thaw() -> None:
    found = phases((FREEZE, 100)).offered([scan(1, 945, 45.2), scan(2, 1200, 35.5)], at(0))
    assert found is not None
    assert (found.phase, found.text) == (THAW, "Ice shrank from 45.2 to 35.5 ml, scan 1 to 2.")


def test_provisional_figures_offer_nothing() -> None:
    doubts = [messages.Reason(code="incomplete", text="More may follow.")]
    provisional = {"assessment": messages.Assessment.PROVISIONAL, "reasons": doubts}
    scans = [scan(1, 945, 45.2), scan(2, 1200, 20.0, **provisional)]
    assert phases((FREEZE, 100)).offered(scans, at(0)) is None


def test_a_dismissed_offer_does_not_come_again_when_the_scan_is_measured_again() -> None:
    made = phases((FREEZE, 100))
    scans = [scan(1, 945, 45.2), scan(2, 1200, 35.5)]
    found = made.offered(scans, at(0))
    assert found is not None
    no = PhaseOfferDismissed(offer_id=found.id)
    made.check(no, at(1300), at(0), found)
    assert made.take(no) is None
    assert made.offered(scans, at(0)) is None
    again = scan(2, 1200, 34.0, id="f" * 32)
    assert made.offered([scans[0], again], at(0)) is None
    third = scan(3, 1380, 22.0)
    newer = made.offered([*scans, third], at(0))
    assert newer is not None
    assert newer.id != found.id
    with pytest.raises(CommandError) as refused:
        made.check(no, at(1300), at(0), newer)
    assert refused.value.code == "no_such_offer"


def test_who_says_no_has_seen_all_scans_up_to_then() -> None:
    """With nothing pressed two scans show ice; the second has grown beside the first."""
    made = phases()
    scans = [scan(1, 510, 16.7), scan(2, 660, 28.9)]
    found = made.offered(scans, at(300))
    assert found is not None
    made.take(PhaseOfferDismissed(offer_id=found.id))
    assert made.offered(scans, at(300)) is None
    third = made.offered([*scans, scan(3, 810, 38.1)], at(300))
    assert third is not None
    assert third.text == "Ice grew from 28.9 to 38.1 ml, scan 2 to 3."


def test_a_scan_that_comes_while_a_person_says_no() -> None:
    made = phases((FREEZE, 100))
    scans = [scan(1, 945, 45.2), scan(2, 1200, 35.5)]
    seen, now = made.offered(scans, at(0)), made.offered([*scans, scan(3, 1380, 22.0)], at(0))
    assert seen is not None
    no = PhaseOfferDismissed(offer_id=seen.id)
    made.check(no, at(1400), at(0), now)
    made.take(no)
    newer = made.offered([*scans, scan(3, 1380, 22.0)], at(0))
    assert newer is not None, "the third scan was not seen"


def test_a_late_start_is_caught_up_with_one_offer_after_the_other() -> None:
    """The service was not there for the freeze and the thaw; each is confirmed in the past."""
    made = phases()
    volumes = [(510, 16.7), (660, 28.9), (945, 45.2), (1200, 35.5), (1425, 22.6), (1590, 33.3)]
    scans = [scan(n, *each) for n, each in enumerate(volumes, start=1)]
    found: list[PhaseName] = []
    while (offered := made.offered(scans, at(300))) is not None:
        press(made, offered.phase, 1700, (offered.since - at(0)).total_seconds())
        made.pressed[-1] = made.pressed[-1].model_copy(
            update={"pressed_at": at(1700) + timedelta(seconds=len(found))}
        )
        found.append(offered.phase)
    assert found == [FREEZE, THAW, FREEZE]
    assert [cycle for _, cycle, _ in shown(made)] == [1, 1, 2]
