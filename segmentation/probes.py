"""Cryoprobes in the needles-in scan: straight metal near the tumour."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from segmentation.volume import Volume

METAL_HU = 1500
"""Above bone (cortical bone reaches about 1300 HU at 120 kVp); shafts saturate at 3071."""

SEARCH_REACH_MM = 40.0
"""Metal further than this from the tumour is no probe of it."""

MIN_LENGTH_MM = 20.0
"""Shorter pieces of metal are clips, stent ends or markers."""

LINE_REACH_MM = 3.0
"""Metal within this distance of a line belongs to it: shaft radius 0.75 mm plus blur."""

MIN_VOXELS = 12

DEAD_TIP_MM = 5.0
"""From the tip to where freezing begins, for 17G argon probes; differs from maker to maker."""

ACTIVE_LENGTH_MM = 30.0
"""Length of the freezing zone of a usual 17G probe; makers' tables differ (domain facts, 6.3)."""


@dataclass(frozen=True, eq=False)
class Probe:
    """One straight probe.

    Attributes
    ----------
    tip_lps_mm
        (3,): its deep end.
    direction
        (3,): unit vector from the tip up the shaft.
    length_mm
        Visible length.
    """

    tip_lps_mm: NDArray[np.float64]
    direction: NDArray[np.float64]
    length_mm: float

    @property
    def active_ends_lps_mm(self) -> NDArray[np.float64]:
        """(2, 3): the ends of the freezing zone, deep end first."""
        far = min(DEAD_TIP_MM + ACTIVE_LENGTH_MM, self.length_mm)
        near = min(DEAD_TIP_MM, self.length_mm / 2)
        return np.stack([self.tip_lps_mm + self.direction * d for d in (near, far)])


def find_probes(scan: Volume, tumour_lps_mm: ArrayLike) -> tuple[Probe, ...]:
    """Straight metal whose deep end lies near the tumour, longest first.

    Lines are taken out one by one: the principal axis of a connected piece of metal, narrowed to
    the metal near that axis, so that probes which touch through a streak still come apart.

    Parameters
    ----------
    scan
        In HU.
    tumour_lps_mm
        (N, 3) points of the tumour's surface in the scan's frame.
    """
    tumour = np.atleast_2d(np.asarray(tumour_lps_mm, dtype=np.float64))
    near = scan.crop_around(tumour, SEARCH_REACH_MM)
    labels, count = ndimage.label(near.array > METAL_HU, structure=np.ones((3, 3, 3)))
    probes: list[Probe] = []
    centre = tumour.mean(axis=0)
    for label in range(1, count + 1):
        points = near.to_lps(np.argwhere(labels == label)[:, ::-1])
        while len(points) >= MIN_VOXELS:
            line = _main_line(points)
            if line is None:
                break
            middle, direction, taken = line
            along = (points[taken] - middle) @ direction
            low, high = float(along.min()), float(along.max())
            ends = middle + direction * low, middle + direction * high
            deep = int(np.linalg.norm(ends[1] - centre) < np.linalg.norm(ends[0] - centre))
            if high - low >= MIN_LENGTH_MM:
                upwards = ends[1 - deep] - ends[deep]
                probes.append(
                    Probe(ends[deep], upwards / np.linalg.norm(upwards), float(high - low))
                )
            points = points[~taken]
    return tuple(sorted(probes, key=lambda probe: -probe.length_mm))


def _main_line(
    points: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]] | None:
    """Middle, unit direction and members of the line that holds the most of the points."""
    best: tuple[int, NDArray[np.float64], NDArray[np.float64]] | None = None
    thinned = points[:: max(1, len(points) // 60)]
    for n, start in enumerate(thinned):
        for end in thinned[n + 1 :]:
            direction = end - start
            length = float(np.linalg.norm(direction))
            if length < MIN_LENGTH_MM / 2:
                continue
            direction = direction / length
            offset = points - start
            across = np.linalg.norm(offset - np.outer(offset @ direction, direction), axis=1)
            count = int((across < LINE_REACH_MM / 2).sum())
            if best is None or count > best[0]:
                best = count, start, direction
    if best is None:
        return None
    _, middle, direction = best
    taken = np.zeros(len(points), dtype=bool)
    for _ in range(3):  # refine: principal axis of the members
        offset = points - middle
        across = np.linalg.norm(offset - np.outer(offset @ direction, direction), axis=1)
        taken = across < LINE_REACH_MM
        middle = points[taken].mean(axis=0)
        direction = np.linalg.svd(points[taken] - middle, full_matrices=False)[2][0]
    return (middle, direction, taken) if taken.sum() >= MIN_VOXELS else None
