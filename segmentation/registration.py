"""Rigid registration of two scans round the kidney, and how far it may be believed.

Least squares over the kidney and its edge on a small grid: the moving image is cropped and smoothed
first, which is what makes this fast. Psoas, ribs and spine do not move with the kidney and are left
out (``segmentation.kidney``); metal and bone are masked; ice, moving gas and whatever else changed
between the scans are outliers to a robust estimator and lose their weight.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk  # noqa: N813  its usual name
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.transform import Rotation

from segmentation.rigid import Rigid
from segmentation.sampling import grid_around, resample, sample, voxel_centres
from segmentation.volume import Volume

STEP_MM = 3.0
"""Grid of the kidney's patch."""

REACH_MM = 34.0
"""How far round tumour and hilum the kidney is looked for."""

CAPTURE_MM = 24.0
"""Largest shift looked for; free breathing moves the kidney by up to 20 mm (domain facts, 2.2)."""

METAL_HU = 600.0
BONE_HU = 350.0
RIM_STEPS = 2
"""The kidney's mask is widened by this much, so that its edge in fat is inside."""

SMOOTH_MM = (4.0, 1.5)
"""Gaussian of the coarse and of the fine pass."""

ITERATIONS = (12, 16)
CONVERGED_MM = 0.01
TUKEY = 4.685
"""Tukey's biweight at 95 % efficiency; differences beyond this many robust sigmas weigh nothing."""

LEAST_SIGMA_HU = 8.0
MIN_MASK_VOXELS = 400
MIN_CORRELATION = 0.6
"""Below this the two images do not show the same anatomy."""

MIN_WEIGHT = 0.35
"""At least this share of the kidney has to agree."""

Points = NDArray[np.float64]


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
        Of the two images within the mask, after registration, where they agree.
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
    kidney
        Above 0.5 where the kidney is, on the image's grid, probes in it included.
    mask
        [k, j, i]: what is registered, kidney and its edge; no metal, no bone.
    centre_lps_mm
        (3,): about which rotations are counted.
    """

    image: Volume
    kidney: Volume
    mask: NDArray[np.bool_]
    centre_lps_mm: NDArray[np.float64]


def kidney_patch(
    scan: Volume, kidney: Volume, to_scan: Rigid, tumour_lps_mm: Points, hilum_lps_mm: Points
) -> KidneyPatch:
    """What is registered in later scans: the kidney and its edge in ``scan``.

    Parameters
    ----------
    kidney
        Above 0.5 in the kidney, in another scan's frame perhaps: probes tie the kidney to the body
        wall, so that its shape is better taken from a scan without them.
    to_scan
        Takes the kidney's frame to the scan's.
    tumour_lps_mm, hilum_lps_mm
        (N, 3) points that fill the structures, in the scan's frame; the hilum's may be none.

    Raises
    ------
    RegistrationError
        Too little of the kidney is in the scan.
    """
    image, hard = _image_and_hard(scan, tumour_lps_mm, hilum_lps_mm)
    moved = resample(kidney, image, to_scan.inverse(), outside=0.0)
    mask = ndimage.binary_dilation(moved.array > 0.5, iterations=RIM_STEPS) & ~hard
    if int(mask.sum()) < MIN_MASK_VOXELS:
        raise RegistrationError("No kidney was found round the tumour.")
    return KidneyPatch(image, moved, mask, tumour_lps_mm.mean(axis=0))


def _image_and_hard(
    scan: Volume, tumour: Points, hilum: Points
) -> tuple[Volume, NDArray[np.bool_]]:
    """HU round the targets on the patch's grid, and where metal or bone is."""
    target = np.concatenate([tumour, hilum])
    cropped = scan.crop_around(target, REACH_MM + 4 * STEP_MM)
    grid = grid_around(scan, target, REACH_MM, STEP_MM)
    image = resample(_smooth(cropped, SMOOTH_MM[1]), grid)
    metal = ndimage.binary_dilation(resample(cropped, grid).array > METAL_HU, iterations=2)
    bone = ndimage.binary_dilation(image.array > BONE_HU, iterations=1)
    beyond = image.array <= -1000
    return image, metal | bone | beyond


def register(patch: KidneyPatch, scan: Volume) -> Registered:
    """Find the rigid transform that takes the patch's kidney to where it lies in ``scan``.

    A whole-grid search of shifts first, so that no start in the capture range ends elsewhere; then
    inverse-compositional least squares (Baker and Matthews 2004) with Tukey's weights, coarse and
    fine, with the scan's HU a linear function of the patch's.

    Raises
    ------
    RegistrationError
        The scan does not show the patch, or the images do not agree after registration.
    """
    corners = patch.image.corners_lps_mm
    moving = scan.crop_around(corners, CAPTURE_MM)
    if np.isnan(sample(moving, patch.centre_lps_mm, outside=np.nan)).any():
        raise RegistrationError("The scan does not show the treated kidney.")
    transform = _best_shift(patch, _on_grid(moving, patch, SMOOTH_MM[0]))
    solution = None
    for sigma_mm, iterations in zip(SMOOTH_MM, ITERATIONS, strict=True):
        fit = _Fit(patch, _on_grid(moving, patch, sigma_mm), sigma_mm)
        transform, solution = fit.solve(transform, iterations)
    assert solution is not None
    if not solution.correlation >= MIN_CORRELATION or solution.agreeing < MIN_WEIGHT:
        raise RegistrationError(
            "The scan could not be aligned with the earlier one "
            f"(agreement {max(solution.correlation, 0):.2f})."
        )
    return Registered(transform, solution.residual_mm, solution.correlation)


def _smooth(volume: Volume, sigma_mm: float) -> Volume:
    sigma = sigma_mm / volume.spacing_mm[::-1]
    clipped = np.clip(volume.array, -200, 400).astype(np.float32)
    array = ndimage.gaussian_filter(clipped, np.where(sigma > 0.3, sigma, 0.0), truncate=2.5)
    return Volume(array, volume.origin_lps_mm, volume.direction, volume.spacing_mm)


def _on_grid(moving: Volume, patch: KidneyPatch, sigma_mm: float) -> Volume:
    """The moving image, smoothed, on half the patch's step along the patch's own axes."""
    step = STEP_MM if sigma_mm > STEP_MM else STEP_MM / 2
    thinned = _thin(moving, step)
    grid = grid_around(patch.image, moving.corners_lps_mm, 0.0, step)
    return resample(_smooth(thinned, sigma_mm), grid)


def _thin(volume: Volume, step_mm: float) -> Volume:
    """Block means within slices where pixels are much finer than what is wanted."""
    factor = max(1, int(step_mm / 2 / float(volume.spacing_mm[:2].max())))
    if factor == 1:
        return volume
    k, j, i = volume.array.shape
    cut = volume.array[:, : j // factor * factor, : i // factor * factor]
    blocks = np.clip(cut, -200, 400).reshape(k, j // factor, factor, i // factor, factor)
    half = (factor - 1) / 2
    return Volume(
        blocks.mean(axis=(2, 4), dtype=np.float32),
        volume.to_lps([half, half, 0]),
        volume.direction,
        volume.spacing_mm * np.array([factor, factor, 1.0]),
    )


def _best_shift(patch: KidneyPatch, moving: Volume) -> Rigid:
    """Whole-grid search of shifts by masked normalised correlation (Padfield 2012).

    On every second voxel: the coarse pass of least squares starts well from half of that.
    """
    other = moving.array[::2, ::2, ::2]
    score = sitk.MaskedFFTNormalizedCorrelation(
        _image(_smooth(patch.image, SMOOTH_MM[0]).array[::2, ::2, ::2]),
        _image(other),
        _image(patch.mask[::2, ::2, ::2].astype(np.float32)),
        _image((other > -1000).astype(np.float32)),
        0,
        0.9,
    )
    array = sitk.GetArrayFromImage(score)
    # Zero shift lies where the other image's last voxel meets the fixed image's first.
    peak = np.array(np.unravel_index(int(np.argmax(array)), array.shape))[::-1]
    steps = peak - (np.array(other.shape[::-1]) - 1)
    gap = moving.origin_lps_mm - patch.image.origin_lps_mm
    return Rigid(np.eye(3), gap - patch.image.direction @ (steps * 2 * STEP_MM))


def _image(array: NDArray[np.generic]) -> "sitk.Image":
    return sitk.GetImageFromArray(np.ascontiguousarray(array, dtype=np.float32))


@dataclass(frozen=True, eq=False)
class _Solution:
    correlation: float
    agreeing: float
    residual_mm: float


class _Fit:
    """One resolution's least squares: the patch's slopes are worked out once."""

    def __init__(self, patch: KidneyPatch, moving: Volume, sigma_mm: float) -> None:
        fixed = _smooth(patch.image, sigma_mm) if sigma_mm > SMOOTH_MM[1] else patch.image
        slopes: list[NDArray[np.float32]] = list(np.gradient(fixed.array, STEP_MM))
        kept = patch.mask
        self._points = voxel_centres(fixed)[kept].astype(np.float64)
        self._values = fixed.array[kept].astype(np.float64)
        self._centre = patch.centre_lps_mm
        # Slopes per array axis (k, j, i) become slopes in LPS.
        self._slope = np.stack([s[kept] for s in slopes[::-1]], axis=1) @ fixed.direction.T
        offset = self._points - self._centre
        self._jacobian = np.concatenate([np.cross(offset, self._slope), self._slope], axis=1)
        self._moving = moving
        self._reach_mm = float(np.sqrt((offset**2).sum(axis=1).mean()))

    def solve(self, start: Rigid, iterations: int) -> tuple[Rigid, _Solution]:
        transform = start
        for _ in range(iterations):
            difference, weight, _ = self._compare(transform)
            step = _least_squares(self._jacobian, difference, weight)
            transform = transform.after(self._rigid(step).inverse())
            if np.hypot(np.linalg.norm(step[:3]) * self._reach_mm, np.linalg.norm(step[3:])) < (
                CONVERGED_MM
            ):
                break
        difference, weight, seen = self._compare(transform)
        correlation = _correlation(self._values, seen, weight)
        residual = self._residual_mm(difference, weight)
        return transform, _Solution(correlation, float((weight > 0.2).mean()), residual)

    def _compare(
        self, transform: Rigid
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """(N,) difference in the patch's HU, weight, and the scan's HU at the patch's points."""
        seen = sample(self._moving, transform.apply(self._points), outside=np.nan)
        known = np.isfinite(seen)
        values = np.where(known, seen, 0.0).astype(np.float64)
        gain, base = 1.0, 0.0
        weight = known.astype(np.float64)
        for _ in range(2):  # brightness and contrast of the scan, then who agrees
            difference = (values - base) / gain - self._values
            sigma = max(1.48 * float(np.median(np.abs(difference[known]))), LEAST_SIGMA_HU)
            share = np.clip(difference / (TUKEY * sigma), -1, 1)
            weight = np.where(known, (1 - share**2) ** 2, 0.0)
            gain, base = _line(self._values, values, weight)
        return (values - base) / gain - self._values, weight, values

    def _rigid(self, step: NDArray[np.float64]) -> Rigid:
        rotation = Rotation.from_rotvec(step[:3]).as_matrix()
        return Rigid(rotation, step[3:] + self._centre - rotation @ self._centre)

    def _residual_mm(self, difference: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
        """Estimated error from the shifts that eight octants of the kidney would still ask for.

        Were the registration exact and the kidney rigid, all would be zero but for noise. The
        root mean square over octants, over the root of their number, is the error of the whole; a
        quarter of it is added for what octants have in common.
        """
        octant = (self._points > self._centre) @ np.array([1, 2, 4])
        shifts = []
        for n in range(8):
            chosen = octant == n
            if weight[chosen].sum() < MIN_MASK_VOXELS / 10:
                continue
            shifts.append(_least_squares(self._slope[chosen], difference[chosen], weight[chosen]))
        if len(shifts) < 3:
            return float("inf")
        squares = (np.array(shifts) ** 2).sum(axis=1)
        rms = float(np.sqrt(squares.mean()))
        return rms / float(np.sqrt(len(shifts))) + rms / 4


def _least_squares(
    jacobian: NDArray[np.float64], difference: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    weighted = jacobian * weight[:, None]
    normal = weighted.T @ jacobian
    damping = 1e-3 * np.diag(np.diag(normal)) + 1e-9 * np.eye(len(normal))
    return np.asarray(np.linalg.solve(normal + damping, weighted.T @ difference), np.float64)


def _line(
    x: NDArray[np.float64], y: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[float, float]:
    """Weighted regression y = gain x + base, the gain kept between 0.5 and 2."""
    total = weight.sum()
    if total <= 0:
        return 1.0, 0.0
    mean_x, mean_y = (weight @ x) / total, (weight @ y) / total
    spread = weight @ (x - mean_x) ** 2
    slope = (weight @ ((x - mean_x) * (y - mean_y))) / spread if spread > 0 else 1.0
    gain = float(np.clip(slope, 0.5, 2.0))
    return gain, float(mean_y - gain * mean_x)


def _correlation(
    x: NDArray[np.float64], y: NDArray[np.float64], weight: NDArray[np.float64]
) -> float:
    total = weight.sum()
    if total <= 0:
        return 0.0
    dx, dy = x - (weight @ x) / total, y - (weight @ y) / total
    size = float(np.sqrt((weight @ dx**2) * (weight @ dy**2)))
    return float(weight @ (dx * dy)) / size if size > 0 else 0.0
