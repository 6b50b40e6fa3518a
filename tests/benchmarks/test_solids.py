"""Both rulers on shapes whose distances are known."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.solids import (
    Solid,
    apart,
    border_clearance_mm,
    border_margin_mm,
    clearance_mm,
    dice,
    filled,
    margin_mm,
)

SPACING = (2.0, 1.0, 1.0)
"""Slices, rows, columns; mm."""


def _solid(mask: NDArray[np.bool_], spacing: tuple[float, float, float] = SPACING) -> Solid:
    """Axial slices whose first voxel lies at (-40, -40, -40)."""
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, 0, spacing[2]], [0, spacing[1], 0], [spacing[0], 0, 0]])
    affine[:3, 3] = -40
    return Solid(mask, affine)


def _ball(
    centre: tuple[float, float, float],
    radius_mm: float,
    spacing: tuple[float, float, float] = SPACING,
) -> Solid:
    shape = tuple(round(80 / step) + 1 for step in spacing)
    solid = _solid(np.ones(shape, dtype=bool), spacing)
    points = solid.to_lps(np.argwhere(solid.mask).astype(np.float64))
    inside = np.linalg.norm(points - centre, axis=1) < radius_mm
    return _solid(inside.reshape(shape), spacing)


def _block(k: slice, j: slice, i: slice) -> Solid:
    mask = np.zeros((20, 40, 40), dtype=bool)
    mask[k, j, i] = True
    return _solid(mask)


def test_dice() -> None:
    mask = np.zeros((4, 5, 6), dtype=bool)
    mask[1, 1:3, 2:5] = True
    assert dice(mask, mask) == 1
    assert dice(np.roll(mask, 1, axis=2), mask) == pytest.approx(2 * 4 / 12)
    assert dice(mask, np.zeros_like(mask)) == 0
    assert dice(np.zeros_like(mask), np.zeros_like(mask)) == 1
    with pytest.raises(ValueError, match="shape"):
        dice(mask[1:], mask)


def test_volume_and_places() -> None:
    block = _block(slice(3, 5), slice(10, 14), slice(20, 30))
    assert block.volume_ml == pytest.approx(2 * 4 * 10 * 2 / 1000)
    np.testing.assert_allclose(block.to_lps(np.array([[3.0, 10.0, 20.0]])), [[-20, -30, -34]])
    np.testing.assert_allclose(block.to_index(np.array([[-20.0, -30.0, -34.0]])), [[3, 10, 20]])
    holds = block.holds(np.array([[-20.4, -30.4, -34.9], [-20.6, -30, -34], [99, 0, 0]]))
    assert holds.tolist() == [True, False, False]


def test_a_surface_lies_halfway_between_voxels_and_has_the_shapes_area() -> None:
    ball = _ball((0.3, -0.2, 0.4), 20, (1.0, 1.0, 1.0))
    radii = np.linalg.norm(ball.surface.points_lps_mm - (0.3, -0.2, 0.4), axis=1)
    assert radii.mean() == pytest.approx(20, abs=0.15)
    assert ball.surface.areas_mm2.sum() == pytest.approx(4 * math.pi * 400, rel=0.03)
    outwards = (ball.surface.points_lps_mm - (0.3, -0.2, 0.4)) / radii[:, None]
    assert (ball.surface.normals * outwards).sum(axis=1).min() > 0.8


def test_equal_solids_do_not_lie_apart() -> None:
    ball = _ball((0, 0, 0), 15)
    found = apart(ball, _ball((0, 0, 0), 15))
    assert found.mean_mm == pytest.approx(0, abs=1e-9)
    assert found.hd95_mm == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("slice_mm", [1.0, 2.5, 5.0])
def test_a_ball_in_a_larger_one_lies_apart_by_the_radii(slice_mm: float) -> None:
    spacing = (slice_mm, 0.8, 0.8)
    found = apart(_ball((0.3, 0.1, -0.4), 18, spacing), _ball((0.3, 0.1, -0.4), 21, spacing))
    assert found.mean_mm == pytest.approx(3, abs=0.35)
    assert 3 <= found.hd95_mm < 3 + 0.5 * slice_mm


def test_hd95_is_the_worse_way_and_leaves_out_the_last_twentieth() -> None:
    body = np.zeros((20, 40, 40), dtype=bool)
    body[5:15, 10:30, 10:30] = True
    spike = body.copy()
    spike[10, 20, 30:38] = True  # 8 mm long; of 3000 square mm of surface, about 50
    found = apart(_solid(spike), _solid(body))
    assert found.hd95_mm < 1
    assert found.mean_mm < 0.3
    slab = body.copy()
    slab[5:15, 10:30, 30:36] = True  # 6 mm thicker on one of six sides
    assert apart(_solid(slab), _solid(body)).hd95_mm == pytest.approx(6, abs=0.3)


@pytest.mark.parametrize("offset_mm", [0.0, 3.0, 9.0])
def test_margin_and_its_sign(offset_mm: float) -> None:
    # Each mask's surface is right to half a voxel, so that a distance is right to one.
    ice = _ball((0.2, 0.2, 0.5), 18, (1.0, 0.8, 0.8))
    tumour = _ball((0.2 + offset_mm, 0.2, 0.5), 12, (1.0, 0.8, 0.8))
    # The farthest point of the tumour lies at its centre's distance and its radius.
    assert margin_mm(tumour, ice) == pytest.approx(6 - offset_mm, abs=0.8)
    assert border_margin_mm(tumour, ice) == pytest.approx(6 - offset_mm, abs=1.5)


@pytest.mark.parametrize("gap_mm", [5.6, 0.0, -4.0])
def test_clearance_and_its_sign(gap_mm: float) -> None:
    ice = _ball((-10.2, 0, 0.5), 14, (1.0, 0.8, 0.8))
    hilum = _ball((3.8 + gap_mm + 8, 0, 0.5), 8, (1.0, 0.8, 0.8))
    assert clearance_mm(hilum, ice) == pytest.approx(gap_mm, abs=0.4)
    assert border_clearance_mm(hilum, ice) == pytest.approx(gap_mm, abs=2)


def test_distances_between_border_voxels_count_from_centre_to_centre() -> None:
    ice = _block(slice(5, 15), slice(10, 30), slice(10, 20))
    # Surfaces 4 mm apart (columns 20 to 23 are empty); the centres of the voxels 5 mm.
    away = _block(slice(8, 12), slice(15, 25), slice(24, 30))
    assert border_clearance_mm(away, ice) == 5
    assert clearance_mm(away, ice) == pytest.approx(4, abs=0.1)
    inner = _block(slice(8, 12), slice(14, 26), slice(12, 16))
    assert border_margin_mm(inner, ice) == 2
    assert border_margin_mm(away, ice) == -10


def test_moved_and_brought_onto_another_grid() -> None:
    block = _block(slice(5, 10), slice(10, 20), slice(10, 20))
    shift = np.eye(4)
    shift[:3, 3] = (3, -2, 4)
    moved = block.moved(shift).on((20, 40, 40), block.affine)
    expected = _block(slice(7, 12), slice(8, 18), slice(13, 23))
    np.testing.assert_array_equal(moved.mask, expected.mask)
    turned = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    point = np.array([[-30.0, -26.0, -24.0]])
    assert block.holds(point)[0]
    assert block.moved(turned).holds(point @ turned[:3, :3].T)[0]


def test_contours_fill_what_they_surround() -> None:
    affine = _block(slice(0, 1), slice(0, 1), slice(0, 1)).affine
    square = np.array([[-30.5, -30.5, -30], [-20.5, -30.5, -30], [-20.5, -25.5, -30]])
    square = np.concatenate([square, [[-30.5, -25.5, -30]]])
    hole = (square - square.mean(axis=0)) * (0.4, 0.6, 1) + square.mean(axis=0)
    solid = filled([square, hole], (20, 40, 40), affine)
    assert solid.mask[5].sum() == 10 * 5 - 4 * 3
    assert solid.mask.sum() == solid.mask[5].sum()


def test_an_empty_mask_has_no_surface() -> None:
    with pytest.raises(ValueError, match="empty"):
        _ = _solid(np.zeros((4, 4, 4), dtype=bool)).surface


def test_a_mask_too_small_to_be_smoothed_keeps_its_place() -> None:
    speck = _block(slice(5, 6), slice(10, 11), slice(10, 11))
    np.testing.assert_allclose(speck.surface.points_lps_mm.mean(axis=0), (-30, -30, -30), atol=1e-6)
