"""Several planning objects: what they come to, and what is said of those that do not count."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from monitor.analysis import Planned, Refused
from monitor.plan import InUse, Plan
from monitor.series_record import SeriesRecord
from monitor.structure_sets import Drawn
from monitor.structures import Offered
from segmentation.structures import Kind, Structure, solid_from_contours
from tests.dicom_listener.objects import at
from tests.segmentation.shapes import ball_contours

CT, OTHER_CT = "1.1", "1.2"
FRAME, OTHER_FRAME = "2.1", "2.2"
IMAGES = frozenset({"3.1", "3.2"})
BALL = ball_contours(10.0, 5.0)


def solid(name: str) -> Structure:
    """A ball of that name."""
    kinds: dict[str, Kind] = {"Tumour": "tumour", "Hilum": "hilum"}
    return solid_from_contours(name, kinds.get(name, "other"), BALL)


def scan(
    uid: str = CT, frame: str = FRAME, images: frozenset[str] = IMAGES, *, whole: bool = True
) -> dict[str, SeriesRecord]:
    """A series that has come; one that is not whole makes no volume."""
    record = SimpleNamespace(
        uid=uid,
        frame_of_reference_uid=frame,
        instance_uids=images,
        ready=SimpleNamespace(stack=object() if whole else None),
    )
    return {uid: cast("SeriesRecord", record)}


def drawn(*series: str, frame: str = FRAME, images: frozenset[str] = frozenset()) -> Drawn:
    """What an object says it was drawn on."""
    return Drawn(series, frame, images)


@pytest.fixture
def plan() -> Plan:
    return Plan()


def add(plan: Plan, uid: str, on: Drawn, *names: str, minute: int = 0) -> None:
    """One more was read."""
    offered = Offered(Path(uid), f"series {uid}", uid, "", "", at(60 * minute))
    plan.take(offered, Planned("RTSTRUCT", "", on, tuple(map(solid, names)), ()))


def names(found: InUse) -> list[str]:
    """Of the structures in use."""
    return [structure.name for structure in found.structures]


def said(plan: Plan) -> dict[str, Any]:
    """State, and reason's code, of each object."""
    return {
        one.sop_instance_uid: (one.state, one.reason.code if one.reason is not None else None)
        for one in plan.messages()
    }


def test_one(plan: Plan) -> None:
    add(plan, "a", drawn(CT), "Hilum", "Tumour")
    found = plan.in_use(scan())
    assert (found.scan_uid, names(found)) == (CT, ["Tumour", "Hilum"])
    assert said(plan) == {"a": ("in_use", None)}
    assert plan.in_use(scan()).key == found.key


def test_a_newer_tumour_takes_the_older_one_s_place(plan: Plan) -> None:
    """Whichever is read first: after a restart it may be another."""
    add(plan, "new", drawn(CT), "Tumour", minute=2)
    add(plan, "old", drawn(CT), "Tumour", "Hilum", minute=1)
    assert names(plan.in_use(scan())) == ["Tumour"]
    assert said(plan) == {"old": ("not_used", "replaced"), "new": ("in_use", None)}


def test_one_without_a_tumour_adds_to_it(plan: Plan) -> None:
    add(plan, "tumour", drawn(CT), "Tumour", "Bowel", minute=1)
    before = plan.in_use(scan())
    add(plan, "more", drawn(CT), "bowel", "Ureter", minute=2)
    found = plan.in_use(scan())
    assert names(found) == ["Tumour", "bowel", "Ureter"]  # the newer bowel
    assert found.key != before.key
    assert said(plan) == {"tumour": ("in_use", None), "more": ("in_use", None)}


def test_what_was_added_stays_with_a_newer_tumour(plan: Plan) -> None:
    add(plan, "more", drawn(CT), "Ureter", minute=1)
    assert not plan.in_use(scan()).structures
    assert said(plan) == {"more": ("waiting", "no_tumour")}
    add(plan, "a", drawn(CT), "Tumour", minute=2)
    add(plan, "b", drawn(CT), "Tumour", minute=3)
    assert names(plan.in_use(scan())) == ["Tumour", "Ureter"]


def test_it_adds_in_the_tumour_s_frame_only(plan: Plan) -> None:
    add(plan, "tumour", drawn(CT), "Tumour")
    add(plan, "more", drawn(OTHER_CT, frame=OTHER_FRAME), "Ureter", minute=1)
    series = scan() | scan(OTHER_CT, OTHER_FRAME)
    assert names(plan.in_use(series)) == ["Tumour"]
    assert said(plan)["more"] == ("not_used", "another_frame")


def test_one_whose_scan_has_not_come_leaves_the_older_in_use(plan: Plan) -> None:
    add(plan, "old", drawn(CT), "Tumour")
    add(plan, "new", drawn(OTHER_CT), "Tumour", "Hilum", minute=1)
    assert plan.in_use(scan()).scan_uid == CT
    assert said(plan) == {"old": ("in_use", None), "new": ("waiting", "scan_awaited")}
    assert plan.in_use(scan() | scan(OTHER_CT, whole=False)).scan_uid == CT
    assert plan.in_use(scan() | scan(OTHER_CT)).scan_uid == OTHER_CT


@pytest.mark.parametrize(
    "on",
    [drawn(CT, frame=OTHER_FRAME), drawn(CT, images=frozenset({"9.9"}))],
    ids=["frame", "images"],
)
def test_one_that_does_not_fit_is_not_used(plan: Plan, on: Drawn) -> None:
    add(plan, "good", drawn(CT), "Tumour")
    add(plan, "bad", on, "Tumour", "Hilum", minute=1)
    assert names(plan.in_use(scan())) == ["Tumour"]
    assert said(plan) == {"good": ("in_use", None), "bad": ("not_used", "misfit")}


def test_some_of_its_images_are_enough(plan: Plan) -> None:
    add(plan, "a", drawn(CT, images=frozenset({"3.2", "9.9"})), "Tumour")
    assert plan.in_use(scan()).scan_uid == CT


def test_of_several_series_the_one_with_its_images_counts(plan: Plan) -> None:
    add(plan, "a", drawn(OTHER_CT, CT, images=IMAGES), "Tumour")
    series = scan(OTHER_CT, images=frozenset({"9.9"})) | scan()
    assert plan.in_use(series).scan_uid == CT


@pytest.mark.parametrize("on", [drawn(), drawn(frame="", images=IMAGES)], ids=["frame", "images"])
def test_without_a_series_frame_or_images_tell(plan: Plan, on: Drawn) -> None:
    add(plan, "a", on, "Tumour")
    assert plan.in_use({}).scan_uid == ""
    assert said(plan) == {"a": ("waiting", "scan_awaited")}
    series = scan() | scan(OTHER_CT, OTHER_FRAME, frozenset({"9.9"}))
    assert plan.in_use(series).scan_uid == CT
    later = series | scan("1.3", images=frozenset({"8.8"}))
    assert plan.in_use(later).scan_uid == CT  # what is certain stays so


def test_where_several_scans_would_do_none_is_guessed(plan: Plan) -> None:
    add(plan, "a", drawn(), "Tumour")
    assert not plan.in_use(scan() | scan(OTHER_CT)).structures
    assert said(plan) == {"a": ("waiting", "scan_unnamed")}


def test_what_was_refused_is_told_and_not_read_again(plan: Plan) -> None:
    offered = Offered(Path("x"), "series x", "x", "", "", at(0))
    plan.take(offered, Refused("bad_contours", "It holds nothing."))
    assert said(plan) == {"x": ("refused", "bad_contours")}
    assert plan.knows("x")


def test_one_that_was_gone_back_to_is_the_newest(plan: Plan) -> None:
    add(plan, "old", drawn(CT), "Tumour", minute=1)
    add(plan, "new", drawn(CT), "Tumour", "Hilum", minute=2)
    key = plan.in_use(scan()).key
    plan.came_again(Offered(Path("new"), "", "new", "", "", at(180)))
    assert plan.in_use(scan()).key == key
    plan.came_again(Offered(Path("old"), "", "old", "", "", at(240)))
    assert names(plan.in_use(scan())) == ["Tumour"]


def test_what_failed_may_be_sent_again(plan: Plan) -> None:
    offered = Offered(Path("x"), "series x", "x", "", "", at(0))
    plan.take(offered, Refused("analysis_timeout", "The analysis was not done."))
    assert not plan.knows("x")
    plan.take(offered, Planned("SEG", "", drawn(CT), (solid("Tumour"),), ()))
    assert names(plan.in_use(scan())) == ["Tumour"]
    assert said(plan) == {"x": ("in_use", None)}


def test_when_all_is_over_the_solids_go_and_the_words_stay(plan: Plan) -> None:
    add(plan, "a", drawn(CT), "Tumour")
    plan.in_use(scan())
    plan.let_go()
    assert said(plan) == {"a": ("in_use", None)}
    assert plan.sources == []
    assert [one.sop_instance_uid for one in plan.offered()] == ["a"]
