"""Margins against spheres, where they are known."""

import numpy as np
import pytest

from scanner_sim.breathing import Pose
from scanner_sim.freezing import ICE_C
from scanner_sim.grid import Field, Grid
from scanner_sim.shapes import Ellipsoid, rotation
from scanner_sim.truth import Ruler, ScanTruth


def _ball(radius_mm: float, step_mm: float = 1.5) -> Field:
    """A temperature that reaches the ice's edge on a sphere round the origin."""
    axis = np.arange(-40, 40 + step_mm, step_mm)
    grid = Grid(axis, axis, axis)
    x, y, z = grid.open
    return Field(grid, (ICE_C + 5 * (np.sqrt(x**2 + y**2 + z**2) - radius_mm)), 37.0)


def _sphere(centre: tuple[float, float, float], radius_mm: float) -> Ellipsoid:
    return Ellipsoid(np.array(centre), np.full(3, radius_mm))


def _measure(tumour: Ellipsoid, hilum: Ellipsoid, ice: Field | None, pose: Pose) -> ScanTruth:
    return Ruler(tumour, hilum).measure(
        ice,
        pose,
        series_instance_uid="1.2",
        role="monitoring",
        at_s=0.0,
        phase="freeze",
        ice=np.zeros((1, 1, 1), bool),
    )


REST = Pose.rest(np.zeros(3))


@pytest.mark.parametrize(
    ("offset_mm", "tumour_mm", "ice_mm"), [(3.2, 10.0, 20.0), (0.0, 12.0, 12.6), (9.0, 14.0, 18.0)]
)
def test_margin_of_spheres(offset_mm: float, tumour_mm: float, ice_mm: float) -> None:
    truth = _measure(
        _sphere((offset_mm, 0, 0), tumour_mm), _sphere((0, 38, 0), 5), _ball(ice_mm), REST
    )
    assert truth.margin_mm == pytest.approx(ice_mm - offset_mm - tumour_mm, abs=0.2)
    assert truth.hilum_distance_mm == pytest.approx(38 - 5 - ice_mm, abs=0.2)
    assert truth.volume_ml == pytest.approx(4 / 3 * np.pi * ice_mm**3 / 1000, rel=0.03)
    assert truth.nearest_point_lps_mm == pytest.approx((0, 33, 0), abs=1.5)


def test_the_worst_point_moves_with_the_kidney() -> None:
    pose = Pose(rotation(0, 0, 90), np.array([0.0, 0.0, 5.0]), np.zeros(3))
    truth = _measure(_sphere((6, 0, 0), 10), _sphere((0, 38, 0), 5), _ball(20), pose)
    # From (16, 0, 0), a quarter turn about z, then 5 mm up.
    assert truth.worst_point_lps_mm == pytest.approx((0, 16, 5), abs=1.5)
    assert truth.margin_mm == pytest.approx(4, abs=0.2)


def test_overlap_is_negative() -> None:
    truth = _measure(_sphere((0, 0, 0), 8), _sphere((0, 24, 0), 8), _ball(20), REST)
    assert truth.hilum_distance_mm == pytest.approx(16 - 20, abs=0.2)


def test_a_swallowed_structure_is_negative_too() -> None:
    truth = _measure(_sphere((0, 0, 0), 8), _sphere((0, 5, 0), 4), _ball(20), REST)
    assert truth.hilum_distance_mm is not None
    assert truth.hilum_distance_mm < -10


def test_covered_fraction_of_concentric_spheres() -> None:
    truth = _measure(_sphere((0, 0, 0), 12), _sphere((0, 38, 0), 5), _ball(14), REST)
    assert truth.covered_fraction["0"] == 1
    # Deeper than 5 mm is the sphere of 9 mm, deeper than 10 that of 4 mm.
    assert truth.covered_fraction["5"] == pytest.approx((9 / 12) ** 3, abs=0.03)
    assert truth.covered_fraction["10"] == pytest.approx((4 / 12) ** 3, abs=0.02)


def test_without_ice_there_is_no_number() -> None:
    for ice in (None, _ball(-1)):
        truth = _measure(_sphere((0, 0, 0), 8), _sphere((0, 24, 0), 8), ice, REST)
        assert truth.margin_mm is None
        assert truth.hilum_distance_mm is None
        assert truth.worst_point_lps_mm is None
        assert truth.volume_ml == 0
