"""Signed distances between the ice and the contoured structures, each with its interval.

The interval's parts, standard deviations added in quadrature: the ice's edge at the point that
decides (``Ice.edge_sd_mm``) and the registrations of planning to baseline and baseline to scan.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.distances import covered_fraction, gap, least_depth
from segmentation.estimate import NINETY_PERCENT, Estimate
from segmentation.ice import Ice
from segmentation.rigid import Rigid
from segmentation.structures import Structure

BESIDE_POINTS = 700
"""Of a structure's surface, that are asked how uncertain the ice is there."""


@dataclass(frozen=True, eq=False)
class TumourMargin:
    """Signed minimum, over the tumour's surface, of its depth inside the ice.

    Attributes
    ----------
    margin_mm
        Negative where tumour lies outside.
    worst_point_lps_mm
        (3,): where on the tumour's surface, in the scan's frame.
    covered_fraction
        For 0, 5 and 10 mm: fraction of the tumour's volume at least that deep inside the ice.
    """

    margin_mm: Estimate
    worst_point_lps_mm: NDArray[np.float64]
    covered_fraction: dict[int, float]


@dataclass(frozen=True, eq=False)
class Clearance:
    """Signed minimum distance from the ice to a structure; negative where the ice overlaps it.

    Attributes
    ----------
    distance_mm
        0 at contact.
    nearest_point_lps_mm
        (3,): on the structure's surface, in the scan's frame.
    """

    structure: Structure
    distance_mm: Estimate
    nearest_point_lps_mm: NDArray[np.float64]


def tumour_margin(
    ice: Ice, tumour: Structure, to_scan: Rigid, *, registration_mm: float
) -> TumourMargin:
    """Margin of the ice to the tumour; ``to_scan`` takes the planning frame to the scan's."""
    worst = least_depth(ice.surface, tumour, to_scan)
    margin = _estimate(worst.depth_mm, ice, worst.nearest, registration_mm)
    depth, sd = _beside(ice, tumour, to_scan, registration_mm)
    return TumourMargin(
        margin_mm=margin.down_to(float((depth - NINETY_PERCENT * sd).min())),
        worst_point_lps_mm=worst.point_lps_mm,
        covered_fraction=covered_fraction(ice.surface, tumour, to_scan),
    )


def clearance(
    ice: Ice, structure: Structure, to_scan: Rigid, *, registration_mm: float
) -> Clearance:
    """Distance of the ice to a structure; ``to_scan`` takes the planning frame to the scan's.

    What the distance is where the two overlap, ``distances.gap`` says.
    """
    found = gap(ice.surface, structure, to_scan)
    distance = _estimate(found.distance_mm, ice, found.nearest, registration_mm)
    if found.distance_mm > 0:
        depth, sd = _beside(ice, structure, to_scan, registration_mm)
        distance = distance.down_to(float((-depth - NINETY_PERCENT * sd).min()))
    return Clearance(structure, distance, found.point_lps_mm)


def _beside(
    ice: Ice, structure: Structure, to_scan: Rigid, registration_mm: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N,) depths in the ice of points of a structure's surface, with their standard deviations.

    Another place may be nearly as bad as the one that decides, and less certain.
    """
    points = structure.surface.points_lps_mm
    chosen = to_scan.apply(points[:: max(1, len(points) // BESIDE_POINTS)])
    depth, nearest = ice.surface.depth(chosen)
    return depth, np.hypot(ice.edge_sd_mm[nearest], registration_mm)


def _estimate(value: float, ice: Ice, at: int, registration_mm: float) -> Estimate:
    """A distance that is decided at one point of the ice's surface."""
    return Estimate.about(value, float(np.hypot(ice.edge_sd_mm[at], registration_mm)))
