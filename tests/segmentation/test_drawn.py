"""What was drawn keeps its volume and its place: contours and masks to solids, and back."""

import numpy as np
import pytest
from numpy.typing import NDArray

from segmentation.sampling import sample
from segmentation.structures import (
    Structure,
    StructureError,
    solid_from_contours,
    solid_from_mask,
    solid_from_planes,
)
from tests.segmentation.drawn import AXES, SHAPES, Shape, contours, grid
from tests.segmentation.shapes import circle

VOLUME = 0.01
"""The relative error of a volume that is still right."""

SPACINGS_MM = dict.fromkeys(SHAPES, (1.0, 3.0, 5.0)) | {"lobed": (1.0,)}
"""Between planes. At 3 mm and more up to 6 % of a lobe of 8 mm that ends obliquely is missed."""

CASES = [
    pytest.param(SHAPES[name], axes, spacing, id=f"{name}-{plane}-{spacing:g}")
    for name in SHAPES
    for plane, axes in AXES.items()
    for spacing in SPACINGS_MM[name]
]


def off_mm(shape: Shape, solid: Structure) -> NDArray[np.float64]:
    """How far each point of the solid's surface is inside the shape."""
    return shape.depth(solid.surface.points_lps_mm)


@pytest.mark.parametrize(("shape", "axes", "spacing_mm"), CASES)
def test_contours_and_back(shape: Shape, axes: NDArray[np.float64], spacing_mm: float) -> None:
    solid = solid_from_contours("Tumour", "tumour", contours(shape, spacing_mm, axes))
    assert solid.volume_ml == pytest.approx(shape.volume_ml, rel=VOLUME)
    assert abs(off_mm(shape, solid).mean()) < 0.06
    again = Shape(lambda points: sampled(solid, points), solid.volume_ml)
    back = solid_from_contours("Tumour", "tumour", contours(again, spacing_mm, axes))
    assert back.volume_ml == pytest.approx(shape.volume_ml, rel=VOLUME)


def sampled(solid: Structure, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Its level set at (..., 3) points."""
    return (
        sample(solid.field, points.reshape(-1, 3), outside=-5.0)
        .reshape(points.shape[:-1])
        .astype(float)
    )


@pytest.mark.parametrize(("shape", "axes", "spacing_mm"), CASES)
def test_masks(shape: Shape, axes: NDArray[np.float64], spacing_mm: float) -> None:
    spacing = np.array([0.7, 0.7, spacing_mm])
    origin, centres = grid(spacing, axes)
    mask = shape.depth(centres) > 0
    solid = solid_from_mask("Tumour", "tumour", mask, origin, axes, spacing)
    assert solid.volume_ml == pytest.approx(shape.volume_ml, rel=VOLUME)
    off = off_mm(shape, solid)
    assert abs(off.mean()) < 0.07
    if shape in (SHAPES["sphere"], SHAPES["ellipsoid"]):
        assert np.percentile(np.abs(off), 95) < 0.25  # the voxels' own borders: 0.35 in plane


def test_the_planes_that_are_furthest_apart_are_cut() -> None:
    """A mask of sagittal frames may be coarse within them."""
    shape, spacing = SHAPES["sphere"], np.array([0.7, 3.0, 0.7])
    origin, centres = grid(spacing, np.eye(3))
    solid = solid_from_mask("T", "tumour", shape.depth(centres) > 0, origin, np.eye(3), spacing)
    assert solid.volume_ml == pytest.approx(shape.volume_ml, rel=VOLUME)
    assert abs(off_mm(shape, solid).mean()) < 0.06


def test_fractions_tell_more_than_a_mask() -> None:
    shape, spacing = SHAPES["sphere"], np.array([1.5, 1.5, 3.0])
    origin, centres = grid(spacing, np.eye(3))
    fraction = np.clip(shape.depth(centres) / 1.5 + 0.5, 0, 1)
    solid = solid_from_mask("T", "tumour", fraction, origin, np.eye(3), spacing)
    assert solid.volume_ml == pytest.approx(shape.volume_ml, rel=VOLUME)
    assert np.percentile(np.abs(off_mm(shape, solid)), 95) < 0.1


def test_planes_at_distances_of_any_length_and_in_any_order() -> None:
    shape = SHAPES["sphere"]
    heights = np.array([-14.0, -8, -5, -3.5, -1, 1.5, 3, 6, 8, 9.5, 13])
    generator = np.random.default_rng(1)
    generator.shuffle(heights)
    j, i = np.indices((60, 60))
    origins = [np.array([-20.0, -20.0, height]) for height in heights]
    planes = [
        shape.depth(origin + np.stack([0.7 * i, 0.7 * j, 0 * i], axis=-1)) > 0 for origin in origins
    ]
    solid = solid_from_planes("T", "tumour", planes, origins, np.eye(3), (0.7, 0.7))
    assert solid.volume_ml == pytest.approx(shape.volume_ml, rel=0.02)


def test_an_empty_plane_ends_it() -> None:
    """Nothing is marked there, so nothing is between: two solids, not one."""
    mask = np.zeros((9, 40, 40), dtype=bool)
    mask[[1, 2, 3, 5, 6, 7], 10:30, 10:30] = True
    solid = solid_from_mask("T", "other", mask, np.zeros(3), np.eye(3), np.array([1.0, 1.0, 4.0]))
    height = solid.inside_lps_mm[:, 2]
    assert not ((height > 15.9) & (height < 16.1)).any()
    assert (height < 15).any()
    assert (height > 17).any()


def test_one_voxel_is_a_solid() -> None:
    mask = np.zeros((5, 5, 5), dtype=bool)
    mask[2, 2, 2] = True
    solid = solid_from_mask("Dot", "other", mask, np.zeros(3), np.eye(3), np.full(3, 2.0))
    assert solid.centre_lps_mm == pytest.approx([4, 4, 4], abs=0.3)
    assert 2 < solid.volume_ml * 1000 < 12


def test_nothing_marked() -> None:
    with pytest.raises(StructureError, match="encloses no volume"):
        solid_from_mask("T", "tumour", np.zeros((3, 9, 9)), np.zeros(3), np.eye(3), np.ones(3))


def keyhole(outer: float, inner: float, z: float) -> NDArray[np.float64]:
    """A ring as one contour: round, in to the hole along a line, round it, and out again."""
    round_it, hole = circle(outer, z), circle(inner, z)[::-1]
    return np.concatenate([round_it, round_it[:1], hole[-1:], hole, round_it[:1]])


@pytest.mark.parametrize("gap_mm", [0.0, 0.05])
def test_a_keyhole_is_a_hole(gap_mm: float) -> None:
    """Of the way in and out nothing is left, also where it is as wide as a rounded number."""
    heights = np.arange(-10.0, 10.1, 2.0)
    keyholes = [keyhole(12.0, 6.0, z) for z in heights]
    for one in keyholes:
        one[-2:, 1] -= gap_mm
    rings = [circle(r, z) for z in heights for r in (12.0, 6.0)]
    found = solid_from_contours("Ring", "other", keyholes)
    wanted = solid_from_contours("Ring", "other", rings)
    assert found.volume_ml == pytest.approx(wanted.volume_ml, rel=0.005)
    nearest = np.linalg.norm(found.surface.points_lps_mm - np.array([9.0, 0, 0]), axis=1)
    assert nearest.min() > 2.5  # no surface runs along the way in


def test_contours_that_overlap_combine_by_exclusive_or() -> None:
    heights = np.arange(-10.0, 10.1, 2.0)
    pairs = [circle(8.0, z) + np.array([x, 0, 0]) for z in heights for x in (-4.0, 4.0)]
    inside = solid_from_contours("Two", "other", pairs).inside_lps_mm
    assert (
        not (np.abs(inside[:, 0]) < 2).any()
        or np.abs(inside[np.abs(inside[:, 0]) < 2][:, 1]).min() > 5
    )
    assert (np.abs(inside[:, 0]) > 9).any()


def test_an_island_in_a_hole_is_solid() -> None:
    rings = [circle(r, z) for z in np.arange(-10.0, 10.1, 2.0) for r in (14.0, 10.0, 4.0)]
    solid = solid_from_contours("Target", "other", rings)
    radius = np.linalg.norm(solid.inside_lps_mm[:, :2], axis=1)
    assert (radius < 3).any()
    assert not ((radius > 4.6) & (radius < 9.4)).any()


def test_a_body_s_outline_takes_no_more_memory_than_is_sensible() -> None:
    body = [circle(180.0, z, 400) * np.array([1.0, 0.7, 1.0]) for z in np.arange(0, 300, 5.0)]
    solid = solid_from_contours("Body", "other", body)
    assert solid.field.array.size < 3_000_000
    assert solid.volume_ml == pytest.approx(np.pi * 180 * 126 * 300 / 1000, rel=0.02)
