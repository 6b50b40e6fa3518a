"""A region of a scan, smoothed and on a coarse even grid: what registration works on.

A scan of 300 slices has a hundred times the voxels that this needs, so everything that makes it
smaller comes first: the crop, then sums of whole-numbered blocks, then smoothing and resampling as
one small matrix an axis. The grid lies along the scan's own axes, which keeps the axes apart.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmentation.volume import Volume

Pixels = NDArray[Any]
"""16-bit whole numbers or floats, as the scan has them."""

CLIP_HU = (-200, 400)
"""Beyond this, gas, metal and bone say nothing about soft tissue."""

_PART_OF_STEP = 0.8
"""Blocks are at most this part of the wanted step, so that they do not blur more than it does."""

_FAINT = 1e-4
"""Smaller weights are none; numbers next to zero would make the products very slow."""

_LINEAR_VARIANCE = 1 / 6
"""Mean variance of linear interpolation's blur, in squared spacings."""


def reduced(
    scan: Volume, around_lps_mm: ArrayLike, reach_mm: float, *, sigma_mm: float, step_mm: float
) -> Volume:
    """The part of a scan within reach of the points' bounding box, blurred to ``sigma_mm``.

    Parameters
    ----------
    around_lps_mm
        (N, 3) in the scan's frame.
    sigma_mm
        Of the Gaussian. Along an axis whose spacing blurs by itself, less is added.
    step_mm
        Spacing of the outcome, along the scan's own axes; it never leaves the scan.
    """
    blocks, spacing, origin = _blocks(scan.crop_around(around_lps_mm, reach_mm), step_mm)
    array = blocks
    for axis in range(3):  # of the array: k, j, i
        weights = _weights(array.shape[axis], float(spacing[2 - axis]), sigma_mm, step_mm)
        array = _along(weights, array, axis)
    return Volume(array, origin, scan.direction, np.full(3, step_mm))


def coarser(volume: Volume, *, sigma_mm: float, step_mm: float) -> Volume:
    """An even volume with more blur and a wider step; ``sigma_mm`` is what is added."""
    array = np.asarray(volume.array, dtype=np.float32)
    for axis in range(3):
        spacing = float(volume.spacing_mm[2 - axis])
        array = _along(_weights(array.shape[axis], spacing, sigma_mm, step_mm), array, axis)
    return Volume(array, volume.origin_lps_mm, volume.direction, np.full(3, step_mm))


def _blocks(
    crop: Volume, step_mm: float
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Means of whole-numbered blocks, their (3,) spacing and the first one's centre, LPS mm."""
    size = np.array(crop.array.shape[::-1])
    most = (_PART_OF_STEP * step_mm / crop.spacing_mm).astype(int)
    factor = np.clip(most, 1, size)
    counts = size // factor
    # Sums of clipped 16-bit numbers; a block would need 80 voxels to overflow them.
    factor = np.minimum(factor, 4)
    counts = size // factor
    i, j, k = (counts * factor).tolist()
    array = crop.array[:k, :j, :i]
    total: Pixels = np.clip(array, *CLIP_HU)
    for axis in (1, 0, 2):  # whole rows are added first, the fastest
        step = int(factor[2 - axis])
        if step > 1:
            total = _sums(total, axis, step)
    mean = total.astype(np.float32)
    mean /= np.float32(factor.prod())
    origin = crop.to_lps((factor - 1) / 2)
    return mean, crop.spacing_mm * factor, origin


def _sums(array: Pixels, axis: int, step: int) -> Pixels:
    """Sums of ``step`` neighbours along one axis."""

    def every(n: int) -> tuple[slice, ...]:
        return tuple(slice(n, None, step) if a == axis else slice(None) for a in range(3))

    total = array[every(0)] + array[every(1)]
    for n in range(2, step):
        total += array[every(n)]
    return total


def _weights(count: int, spacing_mm: float, sigma_mm: float, step_mm: float) -> NDArray[np.float32]:
    """(M, count): a Gaussian and linear interpolation at every ``step_mm``."""
    places = np.arange(count) * spacing_mm
    variance = max(sigma_mm**2 - _LINEAR_VARIANCE * spacing_mm**2, 0.0)
    blur = np.eye(count)
    if variance > (0.3 * spacing_mm) ** 2:  # less than this is nothing on this grid
        blur = np.exp(-((places[:, None] - places) ** 2) / (2 * variance))
        blur[blur < _FAINT] = 0.0
        blur /= blur.sum(axis=1, keepdims=True)
    wanted = np.arange(0, places[-1] + 1e-6, step_mm)
    share = np.clip(1 - np.abs(wanted[:, None] - places) / spacing_mm, 0, 1)
    return np.asarray(share @ blur, dtype=np.float32)


def _along(
    weights: NDArray[np.float32], array: NDArray[np.float32], axis: int
) -> NDArray[np.float32]:
    """The weights applied along one axis of [k, j, i]."""
    if axis == 2:
        return np.asarray(array @ weights.T, dtype=np.float32)
    if axis == 1:
        return np.asarray(np.matmul(weights, array), dtype=np.float32)
    k, j, i = array.shape
    return (weights @ array.reshape(k, j * i)).reshape(-1, j, i)
