"""Values on other grids, against a field that trilinear interpolation reproduces exactly."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from segmentation.rigid import Rigid
from segmentation.sampling import grid_around, resample, sample, smooth
from segmentation.volume import Volume

SLOPE = np.array([3.0, -2.0, 1.5])


def linear_volume(shape: tuple[int, int, int] = (12, 40, 50)) -> Volume:
    """7 + SLOPE · p on axes that are turned in the patient."""
    angle = np.radians(20)
    axes = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    empty = Volume(
        np.zeros(shape, np.float32), np.array([5.0, -8, 2]), axes, np.array([0.7, 0.8, 3])
    )
    k, j, i = np.indices(shape)
    points = empty.to_lps(np.stack([i, j, k], axis=-1))
    values = (7 + points @ SLOPE).astype(np.float32)
    return Volume(values, empty.origin_lps_mm, axes, empty.spacing_mm)


def turned(degrees: float, about: NDArray[np.float64]) -> Rigid:
    angle = np.radians(degrees)
    rotation = np.array(
        [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    )
    return Rigid(rotation, about - rotation @ about)


@pytest.mark.parametrize("degrees", [0.0, 8.0])
def test_resampling_is_exact_where_the_field_is_linear(degrees: float) -> None:
    volume = linear_volume()
    centre = volume.corners_lps_mm.mean(axis=0)
    grid = grid_around(volume, centre, 9.0, 1.0)
    move = turned(degrees, centre)
    found = resample(volume, grid, move, outside=-999.0).array
    k, j, i = np.indices(grid.array.shape)
    points = move.apply(grid.to_lps(np.stack([i, j, k], axis=-1)))
    assert np.abs(found - (7 + points @ SLOPE)).max() < 2e-3


@pytest.mark.parametrize("degrees", [0.0, 8.0])
def test_resampling_agrees_with_sampling_beyond_the_border_too(degrees: float) -> None:
    volume = linear_volume()
    volume.array[:] += np.random.default_rng(2).normal(size=volume.array.shape).astype(np.float32)
    centre = volume.corners_lps_mm.mean(axis=0)
    grid = grid_around(volume, centre, 24.0, 1.3)
    move = turned(degrees, centre)
    found = resample(volume, grid, move, outside=-999.0).array
    k, j, i = np.indices(grid.array.shape)
    points = move.apply(grid.to_lps(np.stack([i, j, k], axis=-1)))
    expected = sample(volume, points, outside=-999.0)
    assert (found == -999).sum() == (expected == -999).sum() > 1000
    assert np.abs(found - expected).max() < 2e-3


def test_the_volume_on_its_own_grid_is_itself_up_to_the_border() -> None:
    volume = linear_volume()
    assert np.array_equal(resample(volume, volume, outside=-999.0).array, volume.array)


def test_a_grid_clear_of_the_volume_is_all_outside() -> None:
    volume = linear_volume()
    grid = grid_around(volume, [500.0, 0, 0], 5.0, 1.0)
    assert (resample(volume, grid, outside=-7.0).array == -7).all()


def test_an_infinite_voxel_stays_where_it_is() -> None:
    volume = linear_volume()
    volume.array[6, 20, 25] = np.inf
    grid = grid_around(volume, volume.to_lps([25, 20, 6]), 6.0, 1.0)
    assert 0 < (~np.isfinite(resample(volume, grid).array)).sum() < 60


@pytest.mark.parametrize("shape", [(20, 31, 45), (3, 12, 400)])
def test_smoothing_is_the_gaussian(shape: tuple[int, int, int]) -> None:
    values = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    for sigma in (1.3, (0.0, 0.8, 2.0)):
        expected = ndimage.gaussian_filter(values, sigma, truncate=3)
        assert np.abs(smooth(values, sigma) - expected).max() < 1e-6
