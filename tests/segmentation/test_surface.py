"""Distances to sub-voxel surfaces, against analytic spheres."""

import numpy as np
import pytest

from segmentation.surface import surface_of
from segmentation.volume import Volume
from tests.segmentation.shapes import ball_field


@pytest.mark.parametrize("step_mm", [0.8, 1.0, 2.0])
def test_depth_in_and_round_a_sphere(step_mm: float) -> None:
    centre = (0.3, -0.2, 0.4)
    surface = surface_of(ball_field(20.3, centre, step_mm))
    generator = np.random.default_rng(1)
    direction = generator.normal(size=(3000, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    radius = generator.uniform(8, 34, size=3000)
    depth, _ = surface.depth(direction * radius[:, None] + centre)
    error = depth - (20.3 - radius)
    assert abs(error.mean()) < 0.02
    assert np.abs(error).max() < 0.12


def test_normals_point_outwards() -> None:
    surface = surface_of(ball_field(15.0))
    outward = surface.points_lps_mm / np.linalg.norm(surface.points_lps_mm, axis=1, keepdims=True)
    assert np.einsum("ij,ij->i", surface.normals, outward).min() > 0.99


def test_points_beyond_the_grid_are_outside() -> None:
    depth, _ = surface_of(ball_field(15.0)).depth([[0.0, 0.0, 100.0]])
    assert depth[0] == pytest.approx(-85.0, abs=0.1)


def test_no_surface_is_said_so() -> None:
    empty = Volume(np.full((5, 5, 5), -1, np.float32), np.zeros(3), np.eye(3), np.ones(3))
    surface = surface_of(empty)
    assert surface.empty
    with pytest.raises(ValueError, match="no surface"):
        surface.depth([[0.0, 0.0, 0.0]])


def test_thick_slices_are_refined() -> None:
    fine = ball_field(20.0, (0.4, -0.3, 0.2), 1.0)
    thick = Volume(fine.array[::5], fine.origin_lps_mm, np.eye(3), np.array([1.0, 1, 5]))
    surface = surface_of(thick)
    radius = np.linalg.norm(surface.points_lps_mm - [0.4, -0.3, 0.2], axis=1)
    assert np.abs(radius - 20).max() < 0.25
    assert surface.field.spacing_mm[2] < 2


def test_beyond_the_reach_only_the_sign_is_known() -> None:
    depth, _ = surface_of(ball_field(15.0)).depth([[0, 0, 2], [0, 0, 12], [0, 0, 30]], reach_mm=5)
    assert depth == pytest.approx([np.inf, 3.0, -np.inf], abs=0.05)


def test_a_surface_at_the_border_of_its_grid() -> None:
    cut = ball_field(15.0).crop((40, 0, 0), (81, 81, 81))
    normals = surface_of(cut).normals
    assert np.linalg.norm(normals, axis=1) == pytest.approx(1.0)
