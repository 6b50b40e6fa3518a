"""Values of a volume at points and on other grids, and smoothing."""

from collections.abc import Sequence

import numpy as np
import SimpleITK
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from segmentation.rigid import Rigid
from segmentation.volume import Volume

AIR_HU = -1024.0

ALONG_AXES_VOXELS = 1e-3
"""Where a grid's axes leave the volume's by less than this over its whole length, they are one."""

ON_EDGE_VOXELS = 1e-6
"""Points this little beyond the outermost voxel centres lie on them: rounding of positions."""

DENSE_LIMIT = 320
"""Axes up to this long are interpolated and smoothed by products with a full matrix, which two
cores do faster than anything that skips its zeros; longer ones would cost more than they save."""

THREADS = 2
TRUNCATE = 3.0
"""Reach of the Gaussian, in standard deviations."""


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
    size = np.array(grid.array.shape[::-1])
    astray = np.abs(step - np.diag(np.diag(step))) @ (size - 1)
    array = None
    if astray.max() < ALONG_AXES_VOXELS:
        array = _along_axes(volume.array, np.diag(step), start, size, outside)
    if array is None:
        array = _turned(volume.array, step, start, size, outside)
    return Volume(array, grid.origin_lps_mm, grid.direction, grid.spacing_mm)


def smooth(
    array: NDArray[np.float32], sigma_voxels: float | Sequence[float]
) -> NDArray[np.float32]:
    """Gaussian of a (k, j, i) array, mirrored at its borders, cut off at three sigma.

    ``sigma_voxels`` is one for all axes or one for each, in the array's order (k, j, i).
    """
    sigmas = np.broadcast_to(np.asarray(sigma_voxels, dtype=np.float64), (3,))
    values = np.asarray(array, dtype=np.float32)
    if max(array.shape) > DENSE_LIMIT:
        return np.asarray(ndimage.gaussian_filter(values, sigmas, truncate=TRUNCATE))
    for axis, sigma in enumerate(sigmas):
        if sigma > 0:
            unit = np.eye(array.shape[axis])
            weights = ndimage.gaussian_filter1d(unit, sigma, axis=0, truncate=TRUNCATE)
            values = _apply(np.asarray(weights, dtype=np.float32), values, axis)
    return values


def _apply(
    weights: NDArray[np.float32], array: NDArray[np.float32], axis: int
) -> NDArray[np.float32]:
    """The matrix (new, old) applied along one axis of a (k, j, i) array."""
    if axis == 0:
        flat = weights @ array.reshape(len(array), -1)
        return flat.reshape(len(weights), *array.shape[1:])
    if axis == 1:
        return np.asarray(np.matmul(weights, array))
    flat = array.reshape(-1, array.shape[2]) @ weights.T
    return flat.reshape(*array.shape[:2], len(weights))


def _along_axes(
    array: NDArray[np.int16] | NDArray[np.float32],
    step: NDArray[np.float64],
    start: NDArray[np.float64],
    size: NDArray[np.intp],
    outside: float,
) -> NDArray[np.float32] | None:
    """Linear interpolation one axis after the other; none where another way is better.

    ``step``, ``start`` and ``size`` are (i, j, k).
    """
    taken, matrices, within = [], [], []
    for axis, length in enumerate(array.shape):
        at = start[2 - axis] + step[2 - axis] * np.arange(size[2 - axis])
        ok = (at >= -ON_EDGE_VOXELS) & (at <= length - 1 + ON_EDGE_VOXELS)
        if not ok.any():
            return np.full(tuple(size[::-1]), outside, dtype=np.float32)
        at = np.clip(at[ok], 0, length - 1)
        lower = np.minimum(np.floor(at).astype(int), max(length - 2, 0))
        upper = np.minimum(lower + 1, length - 1)
        first, last = int(lower.min()), int(upper.max())
        if max(last + 1 - first, len(at)) > DENSE_LIMIT:
            return None
        weights = np.zeros((len(at), last + 1 - first), dtype=np.float32)
        row = np.arange(len(at))
        weights[row, upper - first] = at - lower
        weights[row, lower - first] += 1 - (at - lower)
        taken.append(slice(first, last + 1))
        matrices.append(weights)
        within.append(np.flatnonzero(ok))
    values = np.ascontiguousarray(array[tuple(taken)], dtype=np.float32)
    if not np.isfinite(values).all():
        return None  # zero times infinity would spread along the lines
    # What shrinks the array most goes first.
    growth = [len(weights) / weights.shape[1] for weights in matrices]
    for axis in np.argsort(growth, kind="stable"):
        values = _apply(matrices[axis], values, int(axis))
    if values.shape == tuple(size[::-1]):
        return values
    filled = np.full(tuple(size[::-1]), outside, dtype=np.float32)
    filled[tuple(slice(w[0], w[-1] + 1) for w in within)] = values
    return filled


def _turned(
    array: NDArray[np.int16] | NDArray[np.float32],
    step: NDArray[np.float64],
    start: NDArray[np.float64],
    size: NDArray[np.intp],
    outside: float,
) -> NDArray[np.float32]:
    """Trilinear interpolation on a grid of any orientation; all arguments are (i, j, k)."""
    length = np.array(array.shape[::-1])
    corners = np.array(np.meshgrid(*((0, n - 1) for n in size))).reshape(3, -1)
    reached = step @ corners + start[:, None]
    lower = np.clip(np.floor(reached.min(axis=1)).astype(int) - 1, 0, length - 1)
    upper = np.clip(np.ceil(reached.max(axis=1)).astype(int) + 2, lower + 1, length)
    part = array[lower[2] : upper[2], lower[1] : upper[1], lower[0] : upper[0]]
    move = SimpleITK.AffineTransform(3)
    move.SetMatrix(step.ravel().tolist())
    move.SetTranslation((start - lower).tolist())
    filtering = SimpleITK.ResampleImageFilter()
    filtering.SetNumberOfThreads(THREADS)
    filtering.SetSize(size.tolist())
    filtering.SetTransform(move)
    filtering.SetInterpolator(SimpleITK.sitkLinear)
    filtering.SetOutputPixelType(SimpleITK.sitkFloat32)
    filtering.SetDefaultPixelValue(outside)
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(part))
    values = np.asarray(SimpleITK.GetArrayFromImage(filtering.Execute(image)), dtype=np.float32)
    # ITK's images reach half a voxel beyond the outermost centres; ours end there.
    i, j, k = (np.arange(n) for n in size)
    for axis in range(3):
        if reached[axis].min() < 0 or reached[axis].max() > length[axis] - 1:
            at = (
                start[axis]
                + step[axis, 0] * i
                + (step[axis, 1] * j)[:, None]
                + (step[axis, 2] * k)[:, None, None]
            )
            values[(at < -ON_EDGE_VOXELS) | (at > length[axis] - 1 + ON_EDGE_VOXELS)] = outside
    return values


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
