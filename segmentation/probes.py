"""Cryoprobes in the needles-in scan: straight metal near the tumour."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segmentation.rigid import Rigid
from segmentation.volume import Volume

METAL_HU = 450
"""A shaft saturates, but shows little more than this where it fills a third of a 5 mm slice. Bone
is as bright, and told apart by its shape."""

SEARCH_REACH_MM = 60.0
"""Metal further than this from the tumour is not looked at; enough to tell tip from shaft."""

NEAR_TUMOUR_MM = 15.0
"""A probe passes the tumour's surface at least this near."""

MIN_LENGTH_MM = 30.0
"""Shorter pieces of metal are clips, stent ends or markers."""

MIN_SHAFT_MM = 50.0
"""A shaft leads from its tip past the tumour out of what is looked at, 60 mm and more; a calyx full
of contrast medium is straight and bright over 40 mm at most."""

GAP_MM = 15.0
"""A shaft that runs obliquely between thick slices shows gaps up to this."""

LINE_REACH_MM = 1.3
"""Metal within this distance of a line is a shaft's: radius 0.75 mm and half a pixel's diagonal; in
thick slices the half of their spacing comes to it."""

REMOVED_REACH_MM = 4.0
"""What is taken out with a shaft: its blur and the brightest of its streaks."""

MIN_FILL = 0.5
"""Share of a shaft's length that must show as metal; a rib crosses a straight line only briefly."""

TRIALS = 600
"""Pairs of points tried for a line; with three in five points on five probes, one pair in forty is
on one probe, and the chance to miss all in 600 is below one in a million."""

SAME_MM = 5.0
SAME_COSINE = 0.97
"""A shaft that lies on another's line to this, 14 degrees, is that one: probes are put 10 to 20 mm
apart."""

SLICES_MM = 2.0
"""Of thinner slices only every so many are looked at: a shaft is no shorter for it."""

MAX_POINTS = 4000
MAX_PROBES = 8

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

    def same_as(self, other: "Probe") -> bool:
        """Whether the other is this one, found in another scan: the shaft lies on its line."""
        middle = self.active_ends_lps_mm.mean(axis=0) - other.tip_lps_mm
        across = np.linalg.norm(middle - (middle @ other.direction) * other.direction)
        return bool(across < SAME_MM and self.direction @ other.direction > SAME_COSINE)

    def moved(self, by: Rigid) -> "Probe":
        """Where it lies after a rigid motion."""
        return Probe(by.apply(self.tip_lps_mm), by.rotation @ self.direction, self.length_mm)


def find_probes(scan: Volume, tumour_lps_mm: ArrayLike) -> tuple[Probe, ...]:
    """Straight shafts of metal that pass the tumour, the one with most metal first.

    Lines are found one after the other by random sample consensus (Fischler and Bolles 1981; the
    same samples every time) and taken out, so that probes which touch through a streak come apart,
    and a shaft that shows in pieces stays one.

    Parameters
    ----------
    scan
        In HU.
    tumour_lps_mm
        (N, 3) points of the tumour's surface in the scan's frame.
    """
    tumour = np.atleast_2d(np.asarray(tumour_lps_mm, dtype=np.float64))
    near = scan.crop_around(tumour, SEARCH_REACH_MM)
    every = max(1, round(SLICES_MM / float(scan.spacing_mm[2])))
    index = np.argwhere(near.array[::every] > METAL_HU)[:, ::-1] * np.array([1, 1, every])
    points = near.to_lps(index)
    reach_mm = float(np.hypot(LINE_REACH_MM, every * scan.spacing_mm[2] / 2))
    generator = np.random.default_rng(0)
    probes: list[Probe] = []
    while len(probes) < MAX_PROBES:
        line = _best_line(points, reach_mm, generator)
        if line is None:
            break
        middle, direction = line
        probe = _probe_on(points, middle, direction, reach_mm, tumour)
        if probe is not None:
            probes.append(probe)
        points = points[_across(points, middle, direction) > REMOVED_REACH_MM]
    return tuple(probes)


def _across(
    points: NDArray[np.float64], middle: NDArray[np.float64], direction: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(N,) distance of points from a line, mm."""
    offset = points - middle
    return np.asarray(
        np.linalg.norm(offset - np.outer(offset @ direction, direction), axis=1), np.float64
    )


def _counts(
    points: NDArray[np.float64],
    starts: NDArray[np.float64],
    directions: NDArray[np.float64],
    reach_mm: float,
) -> NDArray[np.intp]:
    """(T,) how many of the (N, 3) points lie near each of T lines, all at once."""
    centre = points.mean(axis=0)
    offsets, starts = points - centre, starts - centre
    along = offsets @ directions.T - (starts * directions).sum(axis=1)
    square = (offsets**2).sum(axis=1)[:, None] + (starts**2).sum(axis=1) - 2 * (offsets @ starts.T)
    return np.asarray((square - along**2 < reach_mm**2).sum(axis=0), np.intp)


def _best_line(
    points: NDArray[np.float64], reach_mm: float, generator: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Middle and unit direction of the line with the most metal; None where none is long enough."""
    if len(points) < MIN_LENGTH_MM:
        return None
    thinned = points
    if len(points) > MAX_POINTS:
        thinned = points[generator.choice(len(points), MAX_POINTS, replace=False)]
    pairs = thinned[generator.integers(0, len(thinned), size=(TRIALS, 2))]
    starts, steps = pairs[:, 0], pairs[:, 1] - pairs[:, 0]
    lengths = np.linalg.norm(steps, axis=1)
    fit = (lengths > MIN_LENGTH_MM / 3) & (lengths < 4 * MIN_LENGTH_MM)
    if not fit.any():
        return None
    starts, directions = starts[fit], steps[fit] / lengths[fit, None]
    best = int(np.argmax(_counts(thinned, starts, directions, reach_mm)))
    middle, direction = starts[best], directions[best]
    for _ in range(3):  # refine: principal axis of what lies near
        members = points[_across(points, middle, direction) < reach_mm]
        if len(members) < 3:
            return None
        middle = members.mean(axis=0)
        direction = np.linalg.svd(members - middle, full_matrices=False)[2][0]
    return middle, direction


def _probe_on(
    points: NDArray[np.float64],
    middle: NDArray[np.float64],
    direction: NDArray[np.float64],
    reach_mm: float,
    tumour: NDArray[np.float64],
) -> Probe | None:
    """The probe on a line, if there is one: long, mostly metal, and past the tumour."""
    members = points[_across(points, middle, direction) < reach_mm]
    along = np.sort((members - middle) @ direction)
    ends = np.flatnonzero(np.diff(along) > GAP_MM)
    starts = np.concatenate([[0], ends + 1])
    stops = np.concatenate([ends, [len(along) - 1]])
    first, last = max(
        zip(starts, stops, strict=True), key=lambda ends: along[ends[1]] - along[ends[0]]
    )
    low, high = float(along[first]), float(along[last])
    filled = len(np.unique(np.round(along[first : last + 1])))
    if high - low < MIN_SHAFT_MM or filled < MIN_FILL * (high - low):
        return None
    two = middle + direction * low, middle + direction * high
    centre = tumour.mean(axis=0)
    deep = int(np.linalg.norm(two[1] - centre) < np.linalg.norm(two[0] - centre))
    upwards = (two[1 - deep] - two[deep]) / (high - low)
    freezing = two[deep] + np.outer(np.arange(0, ACTIVE_LENGTH_MM + DEAD_TIP_MM, 2.0), upwards)
    gaps = np.linalg.norm(freezing[:, None] - tumour[None, ::20], axis=2)
    if gaps.min() > NEAR_TUMOUR_MM:
        return None
    return Probe(two[deep], upwards, high - low)
