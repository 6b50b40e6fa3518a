"""Values of a volume at points and on other grids."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from segmentation.rigid import Rigid
from segmentation.volume import Volume

AIR_HU = -1024.0


def sample(
    volume: Volume, points_lps_mm: ArrayLike, *, outside: float = AIR_HU
) -> NDArray[np.float32]:
    """Trilinear values at (…, 3) LPS points; ``outside`` beyond the outermost voxel centres."""
    index = volume.to_index(points_lps_mm)
    flat = index.reshape(-1, 3)[:, ::-1].T
    values = ndimage.map_coordinates(
        volume.array, flat, output=np.float32, order=1, mode="constant", cval=outside
    )
    return np.asarray(values, dtype=np.float32).reshape(index.shape[:-1])


def grid_around(like: Volume, points_lps_mm: ArrayLike, reach_mm: float, step_mm: float) -> Volume:
    """An empty (zero) isotropic grid along ``like``'s axes that holds the points with a rim.

    The grid is not clipped to ``like``: what lies outside is sampled as air.
    """
    axes = like.direction
    points = np.atleast_2d(np.asarray(points_lps_mm, dtype=np.float64)) @ axes
    lower = points.min(axis=0) - reach_mm
    count = np.ceil((points.max(axis=0) + reach_mm - lower) / step_mm).astype(int) + 1
    return Volume(
        array=np.zeros(tuple(count[::-1]), dtype=np.float32),
        origin_lps_mm=axes @ lower,
        direction=axes,
        spacing_mm=np.full(3, step_mm),
    )


def resample(
    volume: Volume, grid: Volume, grid_to_volume: Rigid | None = None, *, outside: float = AIR_HU
) -> Volume:
    """``volume`` on the voxels of ``grid``, trilinear.

    Parameters
    ----------
    grid_to_volume
        Takes the grid's patient frame to the volume's; none where they are one.
    outside
        Value beyond the volume's outermost voxel centres.
    """
    move = grid_to_volume or Rigid.identity()
    to_index = np.linalg.inv(volume.matrix)
    step = to_index @ move.rotation @ grid.matrix
    start = to_index @ (move.apply(grid.origin_lps_mm) - volume.origin_lps_mm)
    # ndimage counts axes as the array does, (k, j, i); ours are (i, j, k).
    array = ndimage.affine_transform(
        volume.array,
        step[::-1, ::-1],
        offset=start[::-1],
        output_shape=grid.array.shape,
        output=np.float32,
        order=1,
        mode="constant",
        cval=outside,
    )
    return Volume(array, grid.origin_lps_mm, grid.direction, grid.spacing_mm)


def voxel_centres(grid: Volume) -> NDArray[np.float32]:
    """(k, j, i, 3) LPS points of all voxel centres."""
    k, j, i = (np.arange(size, dtype=np.float32) for size in grid.array.shape)
    matrix = grid.matrix.astype(np.float32)
    origin = grid.origin_lps_mm.astype(np.float32)
    return np.asarray(
        origin
        + i[None, None, :, None] * matrix[:, 0]
        + j[None, :, None, None] * matrix[:, 1]
        + k[:, None, None, None] * matrix[:, 2],
        dtype=np.float32,
    )
