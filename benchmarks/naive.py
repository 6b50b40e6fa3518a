"""Naive ways to the same figures, run on the same scans, each independent of the project's code.

What they share with it, in their favour: the registration that it published (but for the way that
has none), and for the threshold, seeds that nobody would have: the middle of the true ice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import SimpleITK as sitk  # noqa: N813  its usual name
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.reading import Planned
from benchmarks.solids import (
    Solid,
    border_clearance_mm,
    border_margin_mm,
    clearance_mm,
    dice,
    margin_mm,
)

THRESHOLD: Final = "absolute threshold"
BORDERS: Final = "voxel borders"
UNREGISTERED: Final = "no registration"
CONTROL: Final = "our masks, sub-voxel ruler"

METHODS: Final = {
    THRESHOLD: "ice by ConnectedThreshold on the scan's own HU, distances between voxel borders",
    BORDERS: "our ice, distances between voxel borders (border voxels, Euclidean distances)",
    UNREGISTERED: "our ice, contours left where they were in the planning scan",
    CONTROL: "our ice and registration, by the ruler that judges the row above; no rival",
}
"""What each is, in a few words."""

ICE_HU = (-60.0, -20.0)
"""Absolute HU that counts as ice: of 25 ranges tried, the one with the greatest Dice in six cases.
(The usual -100 to 10 gives 0.09, since fat and all partial volumes next to it pass for ice.)"""

REACH_MM = 45.0
"""The threshold's image is cut off this far from the tumour: it can't leak further."""

SMOOTHING_STEPS = 5
TIME_STEP = 0.0625

SEED_DEPTH = 0.5
"""Seeds lie at least this share of the greatest depth inside the true ice."""


@dataclass(frozen=True)
class NaiveScore:
    """One naive way on one scan.

    Attributes
    ----------
    dice
        Of its ice.
    margin_error_mm, hilum_error_mm
        Measured less true; None where it found no ice to measure to.
    """

    dice: float
    margin_error_mm: float | None
    hilum_error_mm: float | None


def compare(
    truth: dict[str, Any],
    hu: NDArray[np.int16],
    found: Solid,
    true: Solid,
    planned: Planned,
    to_scan: NDArray[np.float64],
) -> dict[str, NaiveScore]:
    """Every naive way on one scan.

    Parameters
    ----------
    hu
        The scan, [k, j, i].
    found, true
        Our ice and the true ice on the scan's grid; neither is empty.
    to_scan
        (4, 4): the published registration, planning frame to the scan's.
    """
    tumour, hilum = planned.tumour.moved(to_scan), planned.hilum.moved(to_scan)
    shape = (true.mask.shape[0], true.mask.shape[1], true.mask.shape[2])
    # A mask per structure on the scan's voxels, as any toolkit would resample it.
    tumour_here, hilum_here = (solid.on(shape, true.affine) for solid in (tumour, hilum))
    grown = threshold_ice(hu, true, planned.points_lps_mm @ to_scan[:3, :3].T + to_scan[:3, 3])
    scores = {}
    for name, ice in ((THRESHOLD, grown), (BORDERS, found)):
        margin = clearance = None
        if ice.mask.any():
            margin = border_margin_mm(tumour_here, ice)
            clearance = border_clearance_mm(hilum_here, ice)
        scores[name] = _score(truth, dice(ice.mask, true.mask), margin, clearance)
    for name, (mass, sinus) in (
        (UNREGISTERED, (planned.tumour, planned.hilum)),
        (CONTROL, (tumour, hilum)),
    ):
        scores[name] = _score(
            truth, dice(found.mask, true.mask), margin_mm(mass, found), clearance_mm(sinus, found)
        )
    return scores


def threshold_ice(hu: NDArray[np.int16], true: Solid, around_lps_mm: NDArray[np.float64]) -> Solid:
    """What grows from the middle of the true ice within absolute HU, on the smoothed scan."""
    index = true.to_index(around_lps_mm)
    reach = REACH_MM / true.spacing_mm
    low = np.clip(np.floor(index.min(axis=0) - reach).astype(int), 0, true.mask.shape)
    high = np.clip(np.ceil(index.max(axis=0) + reach).astype(int) + 1, 0, true.mask.shape)
    part = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    image = sitk.GetImageFromArray(hu[part].astype(np.float32))
    image.SetSpacing([float(v) for v in true.spacing_mm[::-1]])
    smooth = sitk.CurvatureFlow(image, TIME_STEP, SMOOTHING_STEPS)
    near = true.cropped
    depth = ndimage.distance_transform_edt(near.mask, sampling=tuple(near.spacing_mm))
    deepest = np.argwhere(depth >= SEED_DEPTH * float(depth.max())).astype(np.float64)
    seeds = np.rint(true.to_index(near.to_lps(deepest))).astype(np.int64) - low
    seeds = seeds[((seeds >= 0) & (seeds < high - low)).all(axis=1)]
    grown = sitk.ConnectedThreshold(
        smooth, seedList=_indices(seeds), lower=ICE_HU[0], upper=ICE_HU[1]
    )
    mask = np.zeros_like(true.mask)
    mask[part] = sitk.GetArrayViewFromImage(grown) > 0
    return Solid(mask, true.affine)


def _indices(seeds: NDArray[np.int64]) -> Sequence[tuple[int, int, int]]:
    """(i, j, k) triples, as SimpleITK counts."""
    return [(int(i), int(j), int(k)) for k, j, i in seeds]


def _score(
    truth: dict[str, Any], overlap: float, margin: float | None, clearance: float | None
) -> NaiveScore:
    return NaiveScore(
        overlap,
        None if margin is None else margin - float(truth["margin_mm"]),
        None if clearance is None else clearance - float(truth["hilum_distance_mm"]),
    )
