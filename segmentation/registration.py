"""Rigid registration of two scans round the kidney, and how far it may be believed.

On small images: the scan is cropped, thinned and smoothed first (``segmentation.reduction``), which
is what makes this fast. Every shift within reach is tried (``segmentation.shifts``), then least
squares takes over (``segmentation.alignment``). Psoas, ribs and spine do not move with the kidney
and are left out (``segmentation.kidney``); metal and bone are masked.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segmentation.alignment import Aligned, Level, align
from segmentation.reduction import coarser, reduced
from segmentation.rigid import Rigid
from segmentation.sampling import grid_around, resample, sample
from segmentation.shifts import candidates
from segmentation.volume import Volume

STEP_MM = 3.0
"""Grid of the kidney's patch."""

SCAN_STEP_MM = 2.0
"""Grid that a scan is reduced to."""

REACH_MM = 34.0
"""How far round tumour and hilum the kidney is looked for."""

CAPTURE_MM = 24.0
"""Largest shift looked for; free breathing moves the kidney by up to 20 mm (domain facts, 2.2)."""

TURN_MM = 8.0
"""How much further a rotation of 10 degrees may bring the ends of the kidney."""

METAL_HU = 600.0
BONE_HU = 350.0
FAT_HU = -100.0
RIM_STEPS = 2
"""The kidney's mask is widened by this much, so that its edge in fat is inside."""

SMOOTH_MM = (4.0, 1.5)
"""Gaussian of the coarse and of the fine pass."""

ITERATIONS = (12, 16)
OFF_MM = (5.0, 1.5)
"""How far off the coarse and the fine pass may start."""

STARTS = 3
"""So many shifts are refined, as long as none is convincing."""

CONVINCING_CORRELATION = 0.97
CONVINCING_MM = 1.0
"""A correlation this high and an estimated error this low end the search; usually the first do."""

MUCH_WEIGHT = 0.5
"""Agreement of less than this share of the kidney counts against a solution."""

MIN_MASK_VOXELS = 400
DOUBT_MM = 30.0
"""Added to the estimated error for each unit of correlation short of a convincing one: images that
agree no better than 0.87 after registration are off by an unknown amount."""

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
    kidney
        Above 0.5 where the kidney is, on a 3 mm grid, probes in it included.
    coarse, fine
        What is registered, kidney and its edge, without metal and bone, at two resolutions.
    centre_lps_mm
        (3,): about which rotations are counted.
    """

    kidney: Volume
    coarse: Level
    fine: Level
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
    target = np.concatenate([tumour_lps_mm, hilum_lps_mm])
    grid = grid_around(scan, target, REACH_MM, STEP_MM)
    working = reduced(
        scan, target, REACH_MM + 4 * STEP_MM, sigma_mm=SMOOTH_MM[1], step_mm=SCAN_STEP_MM
    )
    image, beyond = _continued(resample(working, grid, outside=np.nan))
    moved = resample(kidney, image, to_scan.inverse(), outside=0.0)
    inside = moved.array > 0.5
    mask = ndimage.binary_dilation(inside, iterations=RIM_STEPS) & ~_hard(scan, image) & ~beyond
    if int(mask.sum()) < MIN_MASK_VOXELS:
        raise RegistrationError("No kidney was found round the tumour.")
    tissues = _tissues(image, inside, _filled(image, tumour_lps_mm))
    centre = tumour_lps_mm.mean(axis=0)
    more = np.sqrt(SMOOTH_MM[0] ** 2 - SMOOTH_MM[1] ** 2) / STEP_MM
    smooth, *others = (
        ndimage.gaussian_filter(array, more, truncate=2.5) for array in (image.array, *tissues)
    )
    blurred = Volume(smooth, image.origin_lps_mm, image.direction, image.spacing_mm)
    return KidneyPatch(
        kidney=moved,
        coarse=Level.of(blurred, others, mask & _every_fourth(mask.shape)),
        fine=Level.of(image, tissues, mask),
        centre_lps_mm=centre,
    )


def _hard(scan: Volume, image: Volume) -> NDArray[np.bool_]:
    """On the image's grid: metal or bone."""
    cropped = scan.crop_around(image.corners_lps_mm, STEP_MM)
    metal = ndimage.binary_dilation(resample(cropped, image).array > METAL_HU, iterations=2)
    bone = ndimage.binary_dilation(image.array > BONE_HU, iterations=1)
    return np.asarray(metal | bone, dtype=bool)


def _continued(image: Volume) -> tuple[Volume, NDArray[np.bool_]]:
    """The image with the nearest value beyond the scan, and where that or a neighbour is so.

    A step to air at the scan's end would look like the sharpest edge of all.
    """
    beyond = ~np.isfinite(image.array)
    if not beyond.any():
        return image, beyond
    nearest = ndimage.distance_transform_edt(beyond, return_distances=False, return_indices=True)
    filled = Volume(
        image.array[tuple(nearest)], image.origin_lps_mm, image.direction, image.spacing_mm
    )
    return filled, ndimage.binary_dilation(beyond)


def _filled(image: Volume, points: Points) -> NDArray[np.bool_]:
    """On the image's grid: voxels that hold a point."""
    mask = np.zeros(image.array.shape, dtype=bool)
    index = np.rint(image.to_index(points)).astype(int)
    i, j, k = index[((index >= 0) & (index < np.array(mask.shape[::-1]))).all(axis=1)].T
    mask[k, j, i] = True
    return mask


def _tissues(
    image: Volume, kidney: NDArray[np.bool_], tumour: NDArray[np.bool_]
) -> list[NDArray[np.float32]]:
    """Shares of what may change its HU as one: everything, kidney with tumour, tumour.

    The share of soft tissue in a voxel is how far its HU is from fat's to the kidney's.
    """
    soft = kidney & (image.array > FAT_HU / 2)
    level = float(np.median(image.array[soft])) if soft.any() else 0.0
    share = np.clip((image.array - FAT_HU) / max(level - FAT_HU, 30.0), 0, 1)
    share *= ndimage.binary_dilation(kidney)
    within = ndimage.gaussian_filter(tumour.astype(np.float32), SMOOTH_MM[1] / STEP_MM)
    every = np.ones(share.shape, dtype=np.float32)
    return [every, share.astype(np.float32), (share * within).astype(np.float32)]


def _every_fourth(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """An even lattice (face-centred) of a quarter of the voxels, enough for a smooth image."""
    k, j, i = np.ogrid[: shape[0], : shape[1], : shape[2]]
    return np.asarray(((i + j) % 2 == 0) & ((j + k) % 2 == 0), dtype=bool)


def register(patch: KidneyPatch, scan: Volume) -> Registered:
    """Find the rigid transform that takes the patch's kidney to where it lies in ``scan``.

    Raises
    ------
    RegistrationError
        The scan does not show the patch, or the images do not agree after registration.
    """
    if np.isnan(sample(scan, patch.centre_lps_mm, outside=np.nan)).any():
        raise RegistrationError("The scan does not show the treated kidney.")
    fine = reduced(
        scan,
        patch.fine.points_lps_mm,
        CAPTURE_MM + TURN_MM,
        sigma_mm=SMOOTH_MM[1],
        step_mm=SCAN_STEP_MM,
    )
    more = float(np.sqrt(SMOOTH_MM[0] ** 2 - SMOOTH_MM[1] ** 2))
    coarse = coarser(fine, sigma_mm=more, step_mm=STEP_MM)
    points, values = patch.coarse.points_lps_mm, patch.coarse.values
    found = candidates(points, values, Rigid.identity(), coarse, CAPTURE_MM, STARTS)
    if not found:
        raise RegistrationError("The scan does not show the treated kidney.")
    best: Aligned | None = None
    for start, changed in itertools.product(found, (True, False)):
        tried = _refined(patch, coarse, fine, start.transform, changed=changed)
        if best is None or _score(tried) > _score(best):
            best = tried
        if _convincing(best):
            break
    assert best is not None
    if not best.correlation >= MIN_CORRELATION or best.agreeing < MIN_WEIGHT:
        raise RegistrationError(
            "The scan could not be aligned with the earlier one "
            f"(agreement {max(best.correlation, 0):.2f})."
        )
    doubt_mm = DOUBT_MM * max(0.0, CONVINCING_CORRELATION - best.correlation)
    return Registered(best.transform, best.residual_mm + doubt_mm, best.correlation)


def _convincing(found: Aligned) -> bool:
    """Whether nothing else needs to be tried."""
    return found.correlation >= CONVINCING_CORRELATION and found.residual_mm <= CONVINCING_MM


def _score(found: Aligned) -> float:
    """Higher is better: the images agree, and in enough of the kidney."""
    return found.correlation - max(0.0, MUCH_WEIGHT - found.agreeing)


def _refined(
    patch: KidneyPatch, coarse: Volume, fine: Volume, start: Rigid, *, changed: bool
) -> Aligned:
    """Coarse, then fine; ``changed`` allows contrast medium in the coarse pass."""
    rough = align(
        patch.coarse, coarse, start, iterations=ITERATIONS[0], off_mm=OFF_MM[0], changed=changed
    )
    return align(
        patch.fine,
        fine,
        rough.transform,
        rough.added_hu,
        iterations=ITERATIONS[1],
        off_mm=OFF_MM[1],
    )
