"""Contours become solids; those that can't are refused."""

import numpy as np
import pytest
from numpy.typing import NDArray

from segmentation.rigid import Rigid
from segmentation.structures import StructureError, solid_from_contours
from tests.segmentation.shapes import ball_contours, circle


@pytest.mark.parametrize(("spacing_mm", "worst_mm"), [(0.8, 0.55), (2.5, 0.85), (5.0, 1.4)])
def test_sphere_from_contours(spacing_mm: float, worst_mm: float) -> None:
    solid = solid_from_contours("Tumour", "tumour", ball_contours(15.0, spacing_mm))
    radius = np.linalg.norm(solid.surface.points_lps_mm, axis=1)
    assert abs(radius.mean() - 15) < 0.1
    assert np.abs(radius - 15).max() < worst_mm
    assert solid.volume_ml == pytest.approx(4 / 3 * np.pi * 15**3 / 1000, rel=0.05)
    assert solid.centre_lps_mm == pytest.approx([0, 0, 0], abs=0.3)


def test_a_contour_inside_another_is_a_hole() -> None:
    heights = np.arange(-6.0, 6.5, 2.0)
    rings = [circle(r, z) for z in heights for r in (12.0, 6.0)]
    solid = solid_from_contours("Ring", "other", rings)
    assert len(solid.inside_lps_mm) > 0
    middle = np.linalg.norm(solid.inside_lps_mm[:, :2], axis=1)
    assert middle.min() > 5.5
    assert middle.max() < 12.5


def test_planes_of_any_orientation() -> None:
    angle = np.radians(35)
    turn = Rigid(
        np.array(
            [
                [1, 0, 0],
                [0, np.cos(angle), -np.sin(angle)],
                [0, np.sin(angle), np.cos(angle)],
            ]
        ),
        np.array([10.0, 20.0, 30.0]),
    )
    tilted = [turn.apply(contour) for contour in ball_contours(15.0, 2.5)]
    solid = solid_from_contours("Oblique", "tumour", tilted)
    radius = np.linalg.norm(solid.surface.points_lps_mm - turn.shift_mm, axis=1)
    assert abs(radius.mean() - 15) < 0.1
    assert np.abs(radius - 15).max() < 0.85


@pytest.mark.parametrize(
    "contours",
    [
        [],
        [np.zeros((2, 3))],
        [np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]])],
        [np.array([[0.0, 0, 0], [10, 0, 0], [10, 10, 5], [0, 10, -5]])],
    ],
    ids=["none", "two points", "a line", "not planar"],
)
def test_contours_that_make_no_solid(contours: list[NDArray[np.float64]]) -> None:
    with pytest.raises(StructureError):
        solid_from_contours("Tumour", "tumour", contours)
