"""Numbers of probes, those found late, those that a person takes away."""

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from monitor.analysis import Found
from monitor.decisions import CommandError, Decision
from monitor.probe_book import ProbeBook
from monitor.probe_messages import ProbeRemoved, ProbeRestored
from segmentation.assessment import Reference
from segmentation.ground import Ground
from segmentation.layout import Placed, place
from segmentation.probes import Probe
from segmentation.rigid import Rigid
from segmentation.structures import Structure
from tests.monitor.made import at
from tests.segmentation.shapes import ball_field

TUMOUR = Structure("Tumour", "tumour", ball_field(10.0, step_mm=4))
GROUND = cast("Ground", object())
NOTHING = cast("Any", None)
NOBODY = Reference(NOTHING, NOTHING, NOTHING, (TUMOUR,), None)


def shaft(x: float) -> Probe:
    return Probe(np.array([x, 0.0, -20.0]), np.array([0.0, 0.0, 1.0]), 60.0)


def placed(book: ProbeBook, *xs: float, planning: str = "plan") -> tuple[Placed, ...]:
    """Found in a scan that lies as the planning scan."""
    known = book.known(planning, "")
    return place([shaft(x) for x in xs], Rigid.identity(), TUMOUR, known.numbered)


def prepared(book: ProbeBook, *xs: float) -> Reference:
    reference = replace(NOBODY, placed=placed(book, *xs))
    book.take_baseline("needles", reference)
    return reference


def measured(book: ProbeBook, reference: Reference, minute: float, uid: str, *late: float) -> Found:
    """A scan that shows probes beyond those of the reference that it was given."""
    given = book.reference(reference, "plan", at(60 * minute), main=True)
    found = cast("Any", object.__new__(Found))
    object.__setattr__(found, "late", placed(book, *late))
    object.__setattr__(found, "ground", GROUND if late else None)
    book.take_late(uid, at(60 * minute), given, found)
    return cast("Found", found)


def decision(what: ProbeRemoved | ProbeRestored, key: str = "d1") -> Decision:
    return Decision(id=key, procedure_id="p", at=at(0), by="console", what=what)


def remove(book: ProbeBook, number: int) -> ProbeRemoved:
    probe = next(p for p in book.message().found if p.number == number)
    what = ProbeRemoved(planning_series_uid="plan", probe=probe)
    book.check(what)
    book.decide(decision(what), what)
    return what


def numbers(book: ProbeBook) -> list[int]:
    return [probe.number for probe in book.message().found]


def test_another_baseline_leaves_the_numbers() -> None:
    book = ProbeBook()
    prepared(book, 0, 15, 30)
    book.take_baseline("later", replace(NOBODY, placed=placed(book, 30.5, 0.4, 45)))
    message = book.message()
    assert [(p.number, round(p.tip_lps_mm[0])) for p in message.found] == [(1, 0), (3, 30), (4, 45)]
    assert {p.series_instance_uid for p in message.found} == {"later"}


def test_spacings_and_which_are_neighbours() -> None:
    book = ProbeBook()
    prepared(book, 0, 12, 40)
    gaps = {s.numbers: (round(s.zones_mm), s.neighbours) for s in book.message().spacings}
    assert gaps == {(1, 2): (12, True), (1, 3): (40, False), (2, 3): (28, True)}


def test_one_probe_has_no_spacing() -> None:
    book = ProbeBook()
    prepared(book, 0)
    assert book.message().spacings == []


def test_a_probe_found_late_is_kept_with_the_ground_it_makes() -> None:
    book = ProbeBook()
    reference = prepared(book, 0, 15)
    measured(book, reference, 4, "scan 4", 30)
    (late,) = book.of("scan 4")
    assert (late.number, late.late) == (3, True)
    after = book.reference(reference, "plan", at(300), main=True)
    assert after.ground is GROUND
    assert [p.number for p in after.placed] == [1, 2, 3]
    before = book.reference(reference, "plan", at(120), main=True)
    assert before.ground is None
    other = book.reference(NOBODY, "plan", at(300), main=False)
    assert other.ground is None


def test_what_is_found_late_twice_is_told_once() -> None:
    book = ProbeBook()
    reference = prepared(book, 0)
    measured(book, reference, 4, "scan 4", 15)
    measured(book, reference, 2, "scan 2, sent late", 15.5)
    assert numbers(book) == [1, 2]


def test_a_late_probe_that_is_not_found_again_is_gone() -> None:
    book = ProbeBook()
    reference = prepared(book, 0)
    measured(book, reference, 4, "scan 4", 15)
    book.forget()
    measured(book, reference, 4, "scan 4")
    assert numbers(book) == [1]


def test_one_that_was_taken_away_is_no_more_and_comes_back() -> None:
    book = ProbeBook()
    prepared(book, 0, 15)
    remove(book, 1)
    assert numbers(book) == [2]
    assert [r.probe.number for r in book.message().removed] == [1]
    assert book.message().spacings == []
    (line,) = book.known("plan", "needles").removed
    assert line.same_as(shaft(0))
    what = ProbeRestored(number=1)
    book.check(what)
    book.decide(decision(what), what)
    assert book.known("plan", "needles").removed == ()
    prepared(book, 0, 15)
    assert numbers(book) == [1, 2]


def test_a_decision_holds_in_a_book_that_knows_nothing_yet() -> None:
    """After a restart the decisions come before the scans."""
    before = ProbeBook()
    prepared(before, 0, 15)
    what = remove(before, 1)
    book = ProbeBook()
    book.decide(decision(ProbeRemoved.model_validate_json(what.model_dump_json())), what)
    (line,) = book.known("plan", "needles").removed
    assert line.same_as(shaft(0))
    prepared(book, 15)  # the other is not offered again
    assert numbers(book) == [2]
    assert book.basis() == before.basis() == ["d1"]


def test_numbers_come_back_from_the_journal() -> None:
    before = ProbeBook()
    reference = prepared(before, 0, 15)
    measured(before, reference, 4, "scan 4", 30)
    book = ProbeBook()
    book.restore(before.of("needles"), "plan")
    book.restore(before.of("scan 4"), "plan")
    assert book.message() == before.message()
    assert [p.number for p in placed(book, 30, 15, 45)] == [3, 2, 4]


def test_in_another_planning_frame_it_is_known_by_its_place_in_its_scan() -> None:
    book = ProbeBook()
    prepared(book, 0, 15)
    remove(book, 1)
    known = book.known("another plan", "needles")
    assert known.removed == ()
    assert [line.same_as(shaft(0)) for line in known.removed_here] == [True]
    assert book.known("another plan", "another scan").removed_here == ()


@pytest.mark.parametrize("number", [0, 7])
def test_only_what_was_taken_away_is_put_back(number: int) -> None:
    book = ProbeBook()
    prepared(book, 0)
    with pytest.raises(CommandError):
        book.check(ProbeRestored(number=number))


def test_only_what_is_found_is_taken_away() -> None:
    book = ProbeBook()
    prepared(book, 0)
    what = remove(book, 1)
    with pytest.raises(CommandError):
        book.check(what)
