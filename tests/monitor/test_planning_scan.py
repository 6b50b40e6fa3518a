"""The planning scan's grid, of a bounded size."""

import gzip

import numpy as np

from monitor.planning_scan import reduced
from segmentation.volume import Volume

DIRECTION = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, -1]])


def scan() -> Volume:
    array = np.arange(3 * 5 * 4, dtype=np.int16).reshape(3, 5, 4)
    return Volume(array, np.array([1.0, 2, 3]), DIRECTION, np.array([0.5, 0.5, 2.0]))


def test_a_small_one_is_served_as_it_is() -> None:
    grid = reduced(scan(), 120)
    assert (grid.reduction, grid.shape) == (1, (3, 5, 4))
    read = np.frombuffer(gzip.decompress(grid.compressed), "<i2").reshape(grid.shape)
    assert (read == scan().array).all()


def test_a_large_one_is_made_coarser_in_its_planes() -> None:
    """Four pixels become one in their middle: 0, 1, 4, 5 are 2.5; the fifth row is left out."""
    grid = reduced(scan(), 119)
    assert (grid.reduction, grid.shape) == (2, (3, 2, 2))
    assert grid.volume.array[0].tolist() == [[2, 4], [10, 12]]
    assert grid.volume.spacing_mm.tolist() == [1, 1, 2]
    assert grid.volume.origin_lps_mm.tolist() == [1.25, 2.25, 3]
    assert np.allclose(grid.volume.to_lps([1, 0, 1]), scan().to_lps([2.5, 0.5, 1]))
