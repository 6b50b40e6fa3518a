"""Probes against one another and the tumour, with distances worked out by hand."""

import numpy as np
import pytest

from segmentation.layout import (
    Numbered,
    matches,
    numbers_of,
    place,
    segments_gap_mm,
    tips_gap_mm,
    without,
    zones_gap_mm,
)
from segmentation.probes import Probe
from segmentation.rigid import Rigid
from segmentation.structures import Structure
from tests.segmentation.shapes import ball_field

TUMOUR = Structure("Tumour", "tumour", ball_field(10.0))


def shaft(x: float, y: float = 0.0, tip_z: float = -20.0, length: float = 60.0) -> Probe:
    """Upwards along z: its freezing zone runs from 5 to 35 mm above the tip."""
    return Probe(np.array([x, y, tip_z]), np.array([0.0, 0.0, 1.0]), length)


def leaning(x: float, degrees: float) -> Probe:
    turn = np.radians(degrees)
    direction = np.array([0.0, np.sin(turn), np.cos(turn)])
    return Probe(np.array([x, 0.0, -20.0]), direction, 60.0)


def test_parallel_shafts_are_apart_by_what_lies_between_them() -> None:
    assert zones_gap_mm(shaft(0), shaft(15)) == pytest.approx(15)
    assert tips_gap_mm(shaft(0), shaft(15)) == pytest.approx(15)


def test_a_shaft_that_is_less_deep_is_no_further_away_but_its_tip_is() -> None:
    less_deep = shaft(12, tip_z=-11.0)
    assert zones_gap_mm(shaft(0), less_deep) == pytest.approx(12)
    assert tips_gap_mm(shaft(0), less_deep) == pytest.approx(15)  # 9, 12, 15


def test_zones_that_lie_one_after_the_other_are_apart_at_their_ends() -> None:
    """One ends at z = 15; the other begins at 45, beyond it by 30, and 40 beside it."""
    assert zones_gap_mm(shaft(0), shaft(40, tip_z=40.0)) == pytest.approx(50)


def test_segments_that_cross_at_a_distance() -> None:
    a, b = np.array([-5.0, 0, 0]), np.array([5.0, 0, 0])
    c, d = np.array([0.0, -5, 7]), np.array([0.0, 5, 7])
    aside = np.array([20.0, 0, 0])
    assert segments_gap_mm(a, b, c, d) == pytest.approx(7)
    assert segments_gap_mm(a, b, c + aside, d + aside) == pytest.approx(np.hypot(15, 7))


@pytest.mark.parametrize(
    ("x_mm", "distance_mm", "inside_mm"),
    [(0.0, -10.0, 20.0), (6.0, -4.0, 16.0), (16.0, 6.0, 0.0)],
)
def test_distance_to_a_tumour_of_10_mm(x_mm: float, distance_mm: float, inside_mm: float) -> None:
    """Through the centre; 6 mm off it, where the chord is 2 x 8 mm; and past it."""
    (placed,) = place([shaft(x_mm)], Rigid.identity(), TUMOUR)
    assert placed.tumour_distance_mm == pytest.approx(distance_mm, abs=0.3)
    assert placed.inside_mm == pytest.approx(inside_mm, abs=1.0)


def test_the_tumour_lies_in_the_planning_frame() -> None:
    back = Rigid(np.eye(3), np.array([0.0, 0.0, -100.0]))
    (placed,) = place([shaft(16, tip_z=80.0)], back, TUMOUR)
    assert placed.tumour_distance_mm == pytest.approx(6.0, abs=0.3)
    assert placed.probe.tip_lps_mm[2] == 80
    assert placed.planned.tip_lps_mm[2] == -20


def test_a_probe_keeps_its_number_whatever_the_order() -> None:
    known = [Numbered(1, shaft(0)), Numbered(2, shaft(15)), Numbered(5, shaft(30))]
    assert numbers_of([shaft(15.8), shaft(60), shaft(0, 1), shaft(80)], known) == [2, 6, 1, 7]


def test_of_two_lines_near_one_the_nearer_is_the_same() -> None:
    assert matches([shaft(4), shaft(1)], [shaft(0)]) == [None, 0]


def test_a_shaft_in_another_direction_is_another() -> None:
    assert matches([leaning(0, 20)], [shaft(0)]) == [None]


def test_what_was_taken_away_takes_no_true_one_with_it() -> None:
    true, false = shaft(0), shaft(4.5)
    assert without([true, false], [shaft(4.4)]) == (true,)
