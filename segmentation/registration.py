"""Rigid registration of two scans round the kidney, and how far it may be believed.

The moving image is cropped first: what makes this fast is the small grid (about 100 mm at 3 mm).
Metal is masked, for it moves the metric more than the kidney does, and so is bone, which does not
move with the kidney.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk  # noqa: N813  its usual name
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from segmentation.rigid import Rigid
from segmentation.sampling import grid_around, resample, sample, voxel_centres
from segmentation.volume import Volume

STEP_MM = 3.0
"""Grid of the metric: 3 mm over about 100 mm reaches 0.5 mm in 0.2 s."""

REACH_MM = 34.0
"""How far round tumour and hilum the kidney is looked for."""

CAPTURE_MM = 24.0
"""Largest shift looked for; free breathing moves the kidney by up to 20 mm (domain facts, 2.2)."""

SOFT_TISSUE_HU = (-20.0, 260.0)
METAL_HU = 600.0
BONE_HU = 300.0
MASK_RIM = 2
"""Grid steps by which the kidney's mask is widened, so that its edge in fat is inside."""

MIN_MASK_VOXELS = 400
MIN_CORRELATION = 0.55
"""Below this the two images do not show the same anatomy."""

SOLID_CHANGE_HU = 45.0
"""A voxel that differs by more than this after a first pass is ice, gas or metal: left out."""


class RegistrationError(ValueError):
    """The scans could not be registered; the message is a sentence for people."""


@dataclass(frozen=True, eq=False)
class Registered:
    """How the reference's kidney lies in the scan.

    Attributes
    ----------
    transform
        Takes the reference's patient frame to the scan's.
    residual_mm
        Estimated error at the kidney, one standard deviation.
    correlation
        Of the two images within the mask, after registration.
    """

    transform: Rigid
    residual_mm: float
    correlation: float


@dataclass(frozen=True, eq=False)
class KidneyPatch:
    """The part of a scan that is registered: made once, used for each later scan.

    Attributes
    ----------
    image
        HU on a 3 mm grid.
    mask
        [k, j, i]: soft tissue connected with the tumour and its edge; no metal, no bone.
    centre_lps_mm
        (3,): about which rotations are counted.
    """

    image: Volume
    mask: NDArray[np.bool_]
    centre_lps_mm: NDArray[np.float64]


def kidney_patch(scan: Volume, target_lps_mm: ArrayLike) -> KidneyPatch:
    """The kidney round the given (N, 3) target points, on the registration's grid.

    Raises
    ------
    RegistrationError
        There is no soft tissue round the target.
    """
    target = np.atleast_2d(np.asarray(target_lps_mm, dtype=np.float64))
    cropped = scan.crop_around(target, REACH_MM + 2 * STEP_MM)
    grid = grid_around(scan, target, REACH_MM, STEP_MM)
    image = resample(_smooth(cropped, STEP_MM / 2), grid)
    metal = ndimage.binary_dilation(image.array > METAL_HU, iterations=1)
    soft = (image.array > SOFT_TISSUE_HU[0]) & (image.array < SOFT_TISSUE_HU[1])
    core = ndimage.binary_erosion(soft, iterations=1)
    labels, _ = ndimage.label(core)
    index = np.rint(image.to_index(target)).astype(int)
    size = np.array(image.array.shape[::-1])
    index = index[((index >= 0) & (index < size)).all(axis=1)]
    touched = np.unique(labels[index[:, 2], index[:, 1], index[:, 0]])
    kidney = np.isin(labels, touched[touched > 0])
    mask = ndimage.binary_dilation(kidney, iterations=1 + MASK_RIM)
    mask &= ~metal & ~ndimage.binary_dilation(image.array > BONE_HU, iterations=1)
    if int(mask.sum()) < MIN_MASK_VOXELS:
        raise RegistrationError("No kidney was found round the tumour.")
    return KidneyPatch(image, mask, target.mean(axis=0))


def register(patch: KidneyPatch, scan: Volume, *, same_contrast: bool = True) -> Registered:
    """Find the rigid transform that takes the patch's kidney to where it lies in ``scan``.

    Parameters
    ----------
    same_contrast
        Whether HU mean the same in both; if not (a planning scan with contrast medium), changed
        voxels are not left out in the second pass.

    Raises
    ------
    RegistrationError
        The scan does not show the patch, or the images do not agree after registration.
    """
    corners = patch.image.corners_lps_mm
    moving = scan.crop_around(corners, CAPTURE_MM)
    inside = sample(moving, patch.centre_lps_mm, outside=np.nan)
    if np.isnan(inside).any():
        raise RegistrationError("The scan does not show the treated kidney.")
    grid = grid_around(scan, corners, CAPTURE_MM, STEP_MM)
    coarse = resample(_smooth(moving, STEP_MM / 2), grid)
    start = _best_shift(patch, coarse)
    mask = patch.mask
    transform = _refine(patch, mask, coarse, start)
    if same_contrast:
        moved = resample(coarse, patch.image, transform)
        kept = mask & (np.abs(moved.array - patch.image.array) < SOLID_CHANGE_HU)
        if int(kept.sum()) >= MIN_MASK_VOXELS:
            mask = kept
            transform = _refine(patch, mask, coarse, transform)
    moved = resample(coarse, patch.image, transform)
    correlation = float(np.corrcoef(moved.array[mask], patch.image.array[mask])[0, 1])
    if not correlation >= MIN_CORRELATION:
        raise RegistrationError(
            f"The scan could not be aligned with the earlier one (agreement {correlation:.2f})."
        )
    residual = _residual_mm(patch, mask, moved)
    return Registered(transform, residual, correlation)


def _smooth(volume: Volume, sigma_mm: float) -> Volume:
    sigma = sigma_mm / volume.spacing_mm[::-1]
    clipped = np.clip(volume.array, -200, 400).astype(np.float32)
    array = ndimage.gaussian_filter(clipped, np.where(sigma > 0.3, sigma, 0.0), truncate=2.5)
    return Volume(array, volume.origin_lps_mm, volume.direction, volume.spacing_mm)


def _best_shift(patch: KidneyPatch, moving: Volume) -> Rigid:
    """Whole-grid search of shifts by masked normalised correlation (Padfield 2012)."""
    fixed = _unplaced(patch.image.array)
    fixed_mask = _unplaced(patch.mask.astype(np.float32))
    on_axes = resample(moving, _like(patch.image, moving))
    other = _unplaced(on_axes.array)
    other_mask = _unplaced((on_axes.array > -1000).astype(np.float32))
    score = sitk.MaskedFFTNormalizedCorrelation(
        fixed,
        other,
        sitk.Cast(fixed_mask, sitk.sitkUInt8),
        sitk.Cast(other_mask, sitk.sitkUInt8),
        0,
        0.9,
    )
    array = sitk.GetArrayFromImage(score)
    # Zero shift lies where the other image's last voxel meets the fixed image's first.
    peak = np.array(np.unravel_index(int(np.argmax(array)), array.shape))[::-1]
    steps = peak - (np.array(other.GetSize()) - 1)
    origin_gap = on_axes.origin_lps_mm - patch.image.origin_lps_mm
    shift = origin_gap - patch.image.direction @ (steps * STEP_MM)
    return Rigid(np.eye(3), shift)


def _like(image: Volume, moving: Volume) -> Volume:
    """A grid along ``image``'s axes that covers ``moving``."""
    return grid_around(image, moving.corners_lps_mm, 0.0, STEP_MM)


def _unplaced(array: NDArray[np.generic]) -> "sitk.Image":
    return sitk.GetImageFromArray(np.ascontiguousarray(array, dtype=np.float32))


def _placed(volume: Volume) -> "sitk.Image":
    image = _unplaced(volume.array)
    image.SetOrigin(volume.origin_lps_mm.tolist())
    image.SetSpacing(volume.spacing_mm.tolist())
    image.SetDirection(volume.direction.ravel().tolist())
    return image


def _refine(patch: KidneyPatch, mask: NDArray[np.bool_], moving: Volume, start: Rigid) -> Rigid:
    """Rigid registration by Mattes mutual information within the mask; one thread, no sampling."""
    fixed = _placed(patch.image)
    fixed_mask = _placed(
        Volume(
            mask.astype(np.float32),
            patch.image.origin_lps_mm,
            patch.image.direction,
            patch.image.spacing_mm,
        )
    )
    initial = sitk.Euler3DTransform()
    initial.SetCenter(patch.centre_lps_mm.tolist())
    initial.SetMatrix(start.rotation.ravel().tolist(), 1e-6)
    initial.SetTranslation(start.shift_at(patch.centre_lps_mm).tolist())
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.NONE)
    method.SetMetricFixedMask(sitk.Cast(fixed_mask, sitk.sitkUInt8))
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=1.0, minStep=0.01, numberOfIterations=60, relaxationFactor=0.6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(initial, inPlace=True)
    method.Execute(fixed, _placed(moving))
    centre = np.array(initial.GetCenter())
    rotation = np.array(initial.GetMatrix()).reshape(3, 3)
    shift = np.array(initial.GetTranslation()) + centre - rotation @ centre
    return Rigid(rotation, shift)


def _residual_mm(patch: KidneyPatch, mask: NDArray[np.bool_], moved: Volume) -> float:
    """Spread of the shifts that eight octants of the kidney would still ask for.

    Each octant's remaining shift is the least-squares solution of ``gradient . shift = difference``
    (one step of Lucas and Kanade 1981); were the registration exact and the kidney rigid, all would
    be zero but for noise. Returns the octants' root mean square over the root of their number
    (error of the whole), plus a quarter of it for what octants have in common.
    """
    slopes: list[NDArray[np.float32]] = list(np.gradient(patch.image.array, STEP_MM))
    gradient = np.stack(slopes, axis=-1)
    difference = patch.image.array - moved.array
    offset = voxel_centres(patch.image) - patch.centre_lps_mm.astype(np.float32)
    octant = (offset > 0) @ np.array([1, 2, 4])
    shifts = []
    for n in range(8):
        chosen = mask & (octant == n)
        if int(chosen.sum()) < MIN_MASK_VOXELS // 8:
            continue
        g, d = gradient[chosen].astype(np.float64), difference[chosen].astype(np.float64)
        d = np.clip(d, -SOLID_CHANGE_HU, SOLID_CHANGE_HU)
        normal = g.T @ g + np.eye(3) * 1e-2 * np.trace(g.T @ g)
        shifts.append(np.linalg.solve(normal, g.T @ d))
    if len(shifts) < 3:
        return float("nan")
    squares = (np.array(shifts) ** 2).sum(axis=1)
    rms = float(np.sqrt(np.median(squares)))
    return rms / float(np.sqrt(len(shifts))) + rms / 4
