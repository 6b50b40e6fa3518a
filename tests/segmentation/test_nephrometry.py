"""Items of the nephrometry scores on balls whose distances are known."""

import time

import numpy as np
import pytest

from segmentation.nephrometry import Item, axial_diameter, diameter, nephrometry
from segmentation.structures import Kind, Structure
from segmentation.volume import Volume

Centre = tuple[float, float, float]


def ball(
    name: str, kind: Kind, radius_mm: float, centre: Centre = (0, 0, 0), step_mm: float = 1.0
) -> Structure:
    return ellipsoid(name, kind, (radius_mm,) * 3, centre, step_mm)


def ellipsoid(
    name: str, kind: Kind, radii_mm: Centre, centre: Centre = (0, 0, 0), step_mm: float = 1.0
) -> Structure:
    half = np.array(radii_mm) + 3
    axes = [
        np.arange(c - h, c + h + step_mm / 2, step_mm) for c, h in zip(centre, half, strict=True)
    ]
    z, y, x = np.meshgrid(*reversed(axes), indexing="ij")
    scaled = [(a - c) / r for a, c, r in zip((x, y, z), centre, radii_mm, strict=True)]
    field = (1 - np.sqrt(sum(s**2 for s in scaled))) * min(radii_mm)
    origin = np.array([axis[0] for axis in axes])
    return Structure(
        name, kind, Volume(field.astype(np.float32), origin, np.eye(3), np.full(3, step_mm))
    )


TUMOUR = ball("Tumour", "tumour", 20)


def item(name: str, *structures: Structure, score: str = "RENAL") -> Item:
    found = nephrometry((TUMOUR, *structures)).items
    return next(one for one in found if (one.score, one.name) == (score, name))


def beside(name: str, kind: Kind, distance_mm: float) -> Structure:
    """A ball of 10 mm beside the tumour of 20 mm."""
    return ball(name, kind, 10, (30 + distance_mm, 0, 0))


def test_a_ball_is_as_wide_in_any_plane() -> None:
    assert axial_diameter(TUMOUR) == pytest.approx(40, abs=0.2)
    assert diameter(TUMOUR) == pytest.approx(40, abs=0.1)


def test_a_long_solid_is_wider_in_space_than_in_a_section() -> None:
    long = ellipsoid("Tumour", "tumour", (10, 15, 25))
    assert axial_diameter(long) == pytest.approx(30, abs=0.3)
    assert diameter(long) == pytest.approx(50, abs=0.2)


@pytest.mark.parametrize(
    ("radius_mm", "points", "near_step"),
    [(15, 1, False), (19.8, 1, True), (20.3, 2, True), (30, 2, False), (36, 3, False)],
)
def test_points_of_size(radius_mm: float, points: int, near_step: bool) -> None:
    found = nephrometry([ball("T", "tumour", radius_mm)]).items[0]
    assert (found.name, found.points, bool(found.remark)) == ("R", points, near_step)
    assert found.figure == pytest.approx(2 * radius_mm, abs=0.2)


@pytest.mark.parametrize(
    ("distance_mm", "points"), [(-3, 3), (0, 3), (3.5, 3), (5.5, 2), (8, 1), (25, 1)]
)
def test_nearness_to_the_collecting_system(distance_mm: float, points: int) -> None:
    found = item("N", beside("Renal pelvis", "other", distance_mm), beside("Hilum", "hilum", -5))
    assert (found.points, found.at_least, found.computed_from) == (points, None, ("Renal pelvis",))
    assert found.figure == pytest.approx(distance_mm, abs=0.2)


def test_the_nearer_of_sinus_and_collecting_system_counts() -> None:
    found = item("N", beside("Renal pelvis", "other", 8), beside("Renal sinus", "other", 5))
    assert (found.points, found.computed_from) == (2, ("Renal sinus",))


def test_without_either_the_hilum_gives_a_lower_bound() -> None:
    found = item("N", beside("Renal hilum", "hilum", 5))
    assert (found.points, found.at_least, found.computed_from) == (None, 2, ("Renal hilum",))
    assert "hilum" in found.remark


def test_what_is_far_away_has_no_figure() -> None:
    found = item("N", beside("Renal sinus", "other", 60))
    assert (found.points, found.figure, found.remark) == (1, None, "More than 40 mm away.")


@pytest.mark.parametrize(("distance_mm", "touches"), [(-2, True), (0.5, True), (2, False)])
def test_hilar_suffix(distance_mm: float, touches: bool) -> None:
    found = item("h", beside("Renal hilum", "hilum", distance_mm))
    assert (found.flag, "suggests" in found.remark) == (touches, True)


def test_named_vessels_decide_on_the_suffix() -> None:
    found = item("h", beside("Hilum", "hilum", 0), beside("Left renal vein", "other", 6))
    assert (found.flag, found.computed_from, found.remark) == (False, ("Left renal vein",), "")


@pytest.mark.parametrize("name", ["bowel", "ureter"])
@pytest.mark.parametrize(("distance_mm", "close"), [(8, True), (12, False), (70, False)])
def test_bowel_and_ureter(name: str, distance_mm: float, close: bool) -> None:
    found = item(name, beside(f"Left {name}", "other", distance_mm), score="ABLATE")
    assert found.flag is close


def test_flags_of_the_axial_diameter() -> None:
    assert item("axial_3_cm", score="ABLATE").flag is True
    assert item("axial_5_cm", score="ABLATE").flag is False


@pytest.mark.parametrize(("distance_mm", "touches"), [(0, True), (3, False)])
def test_sinus_fat(distance_mm: float, touches: bool) -> None:
    found = item("sinus_fat", beside("Renal sinus", "other", distance_mm), score="ABLATE")
    assert found.flag is touches


@pytest.mark.parametrize(
    ("offset_mm", "points", "share"),
    [(0, 3, 0.0), (45, 1, 1.0), (35, 1, None), (28, 2, None), (20, 2, None)],
)
def test_how_much_lies_outside_the_kidney(
    offset_mm: float, points: int, share: float | None
) -> None:
    """The kidney is a ball of 35 mm, the tumour one of 10 mm; wholly outside at 45."""
    kidney = ball("Left kidney", "other", 35)
    tumour = ball("Tumour", "tumour", 10, (offset_mm, 0, 0))
    found = nephrometry([tumour, kidney]).items[1]
    if share is not None:
        assert found.figure == pytest.approx(share, abs=0.01)
    if offset_mm == 20:  # 30 mm from the centre at most: all inside
        assert found.points == 3
    else:
        assert found.points == points


def lens(offset_mm: float, r: float = 10.0, big: float = 35.0) -> float:
    """Share of a ball of radius r whose centre lies at an offset, outside of a larger ball."""
    d = offset_mm
    common = np.pi * (big + r - d) ** 2 * (d**2 + 2 * d * (r + big) - 3 * (r - big) ** 2) / (12 * d)
    return float(1 - common / (4 / 3 * np.pi * r**3))


@pytest.mark.parametrize("offset_mm", [28.0, 32.0, 36.0, 40.0])
def test_the_share_outside_is_that_of_two_balls(offset_mm: float) -> None:
    """Where the tumour has eaten into the outline, the hull closes it flat, a little further in."""
    kidney = ball("Left kidney", "other", 35)
    tumour = ball("Tumour", "tumour", 10, (offset_mm, 0, 0))
    found = nephrometry([tumour, kidney]).items[1]
    assert found.figure == pytest.approx(lens(offset_mm), abs=0.16)
    assert found.figure is not None
    assert found.figure >= lens(offset_mm) - 0.02


@pytest.mark.parametrize(
    ("place", "letter"),
    [((-20, -22, 0), "a"), ((-20, 22, 0), "p"), ((-30, 0, 0), "x")],
)
def test_anterior_posterior_or_neither(place: Centre, letter: str) -> None:
    """The kidney's long axis is z; its hilum lies to the right, +x: the middle plane is y = 0."""
    kidney = ellipsoid("Kidney", "other", (30, 25, 55), step_mm=2.0)
    tumour = ball("Tumour", "tumour", 9, place)
    found = nephrometry([tumour, kidney, ball("Hilum", "hilum", 8, (28, 0, 0))]).items[3]
    assert (found.name, found.letter) == ("A", letter)


def test_the_middle_plane_turns_with_the_kidney() -> None:
    """The hilum of a left kidney lies to the right and to anterior: a tumour straight to anterior
    of the centre is then on the plane's posterior side no more than on the other."""
    kidney = ellipsoid("Kidney", "other", (27, 27, 55), step_mm=2.0)
    tumour = ball("Tumour", "tumour", 9, (18, -18, 0))
    hilum = ball("Hilum", "hilum", 8, (-19, 19, 0))
    assert nephrometry([tumour, kidney, hilum]).items[3].letter == "x"


def test_without_structures_items_are_open_and_say_why() -> None:
    found = nephrometry([TUMOUR]).items
    for one in found:
        known = (one.points, one.flag, one.letter, one.at_least)
        assert any(value is not None for value in known) != (one.figure is None)
        assert one.figure is not None or one.remark


@pytest.mark.parametrize(
    "kidney",
    [ball("Left kidney", "other", 35, (90, 0, 0)), ball("Kidney", "other", 15, (25, 0, 0))],
)
def test_another_kidney_or_a_part_of_one_is_not_used(kidney: Structure) -> None:
    assert item("E", kidney).figure is None
    assert item("E", kidney).remark


def test_a_cyst_of_the_kidney_is_no_kidney() -> None:
    assert item("E", ball("kidney cyst", "other", 35)).figure is None


def test_it_is_quick() -> None:
    structures = [
        ball("Tumour", "tumour", 20, (40, 0, 0)),
        ellipsoid("Kidney left", "other", (30, 28, 55)),
        ball("Hilum", "hilum", 12, (-28, 0, 0)),
        ellipsoid("Colon", "other", (40, 25, 110), (100, 0, 0), step_mm=1.5),
    ]
    nephrometry(structures)
    begun = time.process_time()
    nephrometry([Structure(s.name, s.kind, s.field) for s in structures])
    assert time.process_time() - begun < 1.0
