"""Contours become solids; those that can't are refused."""

import numpy as np
import pytest
from numpy.typing import NDArray

from segmentation.rigid import Rigid
from segmentation.structures import StructureError, solid_from_contours
from tests.segmentation.ellipsoids import Ellipsoid, turned
from tests.segmentation.shapes import ball_contours, circle


@pytest.mark.parametrize(("spacing_mm", "worst_mm"), [(0.8, 0.1), (2.5, 0.15), (5.0, 0.2)])
def test_sphere_from_contours(spacing_mm: float, worst_mm: float) -> None:
    solid = solid_from_contours("Tumour", "tumour", ball_contours(15.0, spacing_mm))
    radius = np.linalg.norm(solid.surface.points_lps_mm, axis=1)
    assert abs(radius.mean() - 15) < 0.1
    assert np.abs(radius - 15).max() < worst_mm
    assert solid.volume_ml == pytest.approx(4 / 3 * np.pi * 15**3 / 1000, rel=0.05)
    assert solid.centre_lps_mm == pytest.approx([0, 0, 0], abs=0.3)


@pytest.mark.parametrize("spacing_mm", [0.8, 1.25, 2.5, 3.0, 5.0])
def test_oblique_ellipsoids_from_contours(spacing_mm: float) -> None:
    for seed in range(3):
        generator = np.random.default_rng(seed)
        half_axes = np.array([17.0, 12.0, 9.0])
        solid = Ellipsoid(generator.uniform(-3, 3, 3), half_axes, turned(generator))
        contours = solid.contours(spacing_mm, generator.uniform(0, spacing_mm), turned(generator))
        found = solid_from_contours("Tumour", "tumour", contours)
        error = solid.depth(found.surface.points_lps_mm)
        assert np.abs(error).mean() < 0.06
        assert np.abs(error).max() < 0.5
        assert found.volume_ml == pytest.approx(4 / 3 * np.pi * half_axes.prod() / 1000, rel=0.03)


def test_the_solid_ends_before_the_next_plane() -> None:
    """A cylinder's end is blunt: no telling where it is, but nothing was drawn 4 mm further on."""
    drawn = [circle(9.0, z) for z in np.arange(-12.0, 12.1, 4.0)]
    height = solid_from_contours("Bar", "other", drawn).surface.points_lps_mm[:, 2]
    assert 12.2 < height.max() <= 16
    assert -16 <= height.min() < -12.2


@pytest.mark.parametrize("count", [1, 2])
def test_few_planes_close_as_a_sphere(count: int) -> None:
    found = solid_from_contours("Small", "tumour", [circle(6.0, 3.0 * n) for n in range(count)])
    height = found.surface.points_lps_mm[:, 2]
    assert -3 < height.min() < -1.5
    assert 3 * (count - 1) + 1.5 < height.max() < 3 * count


def test_thin_solids_have_a_finer_grid() -> None:
    thin = solid_from_contours("Thin", "tumour", [circle(2.0, z) for z in np.arange(0, 30, 2.0)])
    assert thin.field.spacing_mm == pytest.approx([0.5] * 3)
    middle = np.abs(thin.surface.points_lps_mm[:, 2] - 14) < 8
    radius = np.linalg.norm(thin.surface.points_lps_mm[middle, :2], axis=1)
    assert np.abs(radius - 2).max() < 0.05


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
    assert np.abs(radius - 15).max() < 0.15


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
