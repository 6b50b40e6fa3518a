"""The kidney that holds the tumour: what moves with it, apart from what only touches it.

Psoas, body wall, liver and spleen touch the kidney or an exophytic tumour in many patients, and do
not move with it. They are told apart by where they lead: seeds of the kidney are the tumour and the
tissue between tumour and hilum; seeds of the rest are tissue on bone and tissue that runs out of
the region sideways. Between them a watershed cuts at the narrowest neck.
"""

import numpy as np
import SimpleITK as sitk  # noqa: N813  its usual name
from numpy.typing import NDArray
from scipy import ndimage

from segmentation.sampling import grid_around, resample, voxel_centres
from segmentation.volume import Volume

STEP_MM = 2.0
REACH_MM = 40.0
"""How far round tumour and hilum is looked at."""

SMOOTH_MM = 1.5
SOFT_TISSUE_HU = (-30.0, 300.0)
BONE_HU = 250.0
METAL_HU = 1500.0
ON_BONE_MM = 7.0
"""Tissue this near to bone is muscle, cartilage or disc."""

SIDE_MM = 6.0
"""Tissue this near to the region's sides leads out of it; kidneys run out upwards or downwards."""

SEED_DEPTH_MM = 4.0
"""Seeds are taken this deep inside tissue, so that none sits on a neck."""

BETWEEN_MM = 9.0
"""Half-width of the corridor from tumour to hilum that is taken for kidney."""

SINUS_MM = 16.0
"""Gaps up to this between parts of the kidney are its sinus, and move with it."""

APART_MM = 6.0
"""The gap between the kidney and other tissue is no sinus."""

Points = NDArray[np.float64]
Mask = NDArray[np.bool_]


def kidney_region(scan: Volume, tumour_lps_mm: Points, hilum_lps_mm: Points) -> Volume:
    """Above 0.5 where the kidney is, sinus, hilum and tumour included.

    Parameters
    ----------
    scan
        In HU; best without probes in it.
    tumour_lps_mm, hilum_lps_mm
        (N, 3) points that fill the structures, in the scan's frame; the hilum's may be none.
    """
    targets = np.concatenate([tumour_lps_mm, hilum_lps_mm])
    cropped = scan.crop_around(targets, REACH_MM + 4 * SMOOTH_MM)
    grid = grid_around(scan, targets, REACH_MM, STEP_MM)
    clipped = Volume(
        np.clip(cropped.array, -200, 1600).astype(np.float32),
        cropped.origin_lps_mm,
        cropped.direction,
        cropped.spacing_mm,
    )
    raw = resample(clipped, grid).array
    smooth = ndimage.gaussian_filter(raw, SMOOTH_MM / STEP_MM, truncate=3)
    bone = (raw > BONE_HU) & (smooth > BONE_HU / 2)
    soft = (smooth > SOFT_TISSUE_HU[0]) & (smooth < SOFT_TISSUE_HU[1]) & ~bone
    tumour, hilum = _voxels(grid, tumour_lps_mm), _voxels(grid, hilum_lps_mm)
    soft |= tumour
    depth = _distance(soft)
    kidney_seed = tumour | (soft & _corridor(grid, tumour_lps_mm, hilum_lps_mm))
    away = ~ndimage.binary_dilation(kidney_seed, iterations=2)
    deep = depth > SEED_DEPTH_MM
    on_bone = (_distance(~_large(bone)) < ON_BONE_MM) & soft
    other_seed = (on_bone | (deep & _sides(grid))) & away
    markers = np.zeros(soft.shape, dtype=np.uint8)
    markers[other_seed] = 1
    markers[~soft] = 3
    markers[kidney_seed] = 2
    flooded = sitk.MorphologicalWatershedFromMarkers(
        sitk.GetImageFromArray((-depth).astype(np.float32)),
        sitk.GetImageFromArray(markers),
        markWatershedLine=False,
        fullyConnected=False,
    )
    kidney = sitk.GetArrayFromImage(flooded) == 2
    kidney = _connected(kidney & soft, kidney_seed) | ndimage.binary_dilation(hilum)
    other = soft & ~kidney
    beside = ndimage.binary_dilation(other, iterations=int(APART_MM / STEP_MM))
    closed = _closed(kidney, int(SINUS_MM / 2 / STEP_MM)) & ~beside
    kidney = ((kidney | closed) & ~on_bone | tumour) & ~bone
    return Volume(kidney.astype(np.float32), grid.origin_lps_mm, grid.direction, grid.spacing_mm)


def _voxels(grid: Volume, points: Points) -> Mask:
    """[k, j, i]: whether a voxel holds a point."""
    mask = np.zeros(grid.array.shape, dtype=bool)
    index = np.rint(grid.to_index(points)).astype(int)
    i, j, k = index[((index >= 0) & (index < np.array(mask.shape[::-1]))).all(axis=1)].T
    mask[k, j, i] = True
    return mask


def _distance(mask: Mask) -> NDArray[np.float32]:
    """mm from each voxel inside to the outside; the region's border is no outside."""
    return np.asarray(ndimage.distance_transform_edt(mask, sampling=STEP_MM), dtype=np.float32)


def _corridor(grid: Volume, tumour: Points, hilum: Points) -> Mask:
    """Voxels near the straight line from tumour to hilum."""
    if len(hilum) == 0:
        return np.zeros(grid.array.shape, dtype=bool)
    start, end = tumour.mean(axis=0), hilum.mean(axis=0)
    length = float(np.linalg.norm(end - start))
    direction = (end - start) / max(length, 1e-6)
    offset = voxel_centres(grid) - start.astype(np.float32)
    along = offset @ direction
    across = np.sqrt(np.maximum((offset**2).sum(axis=-1) - along**2, 0))
    return np.asarray((across < BETWEEN_MM) & (along > 0) & (along < length), dtype=bool)


def _sides(grid: Volume) -> Mask:
    """Voxels at the four sides of the region, not at its ends along the patient's axis."""
    axis = int(np.argmax(np.abs(grid.direction[2])))  # of i, j, k: the one along head and feet
    rim = int(SIDE_MM / STEP_MM)
    mask = np.zeros(grid.array.shape, dtype=bool)
    for n in range(3):
        if n == axis:
            continue
        view = np.moveaxis(mask, 2 - n, 0)
        view[:rim] = True
        view[-rim:] = True
    return mask


def _large(mask: Mask) -> Mask:
    """Without small pieces: calcifications, contrast in a calyx, markers."""
    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    return np.asarray((sizes >= 30)[labels], dtype=bool)


def _connected(mask: Mask, seed: Mask) -> Mask:
    labels, _ = ndimage.label(mask)
    kept = np.unique(labels[seed & mask])
    return np.isin(labels, kept[kept > 0])


def _closed(mask: Mask, steps: int) -> Mask:
    padded = np.pad(mask, steps)
    closed = ndimage.binary_closing(padded, iterations=steps)
    return np.asarray(closed[(slice(steps, -steps),) * 3], dtype=bool)
