"""Signed distances between the ice and the contoured structures, each with its interval.

Sources of the interval's parts, added in quadrature (standard deviations, mm): the edge where it
was seen (noise over the slope of the edge, and slice thickness), the edge where it was modelled
(spread of the visible edge about the model), the registration of planning to baseline and of
baseline to scan.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.ice import EDGE_WIDTH_MM, Ice
from segmentation.rigid import Rigid
from segmentation.structures import Structure

NINETY_PERCENT = 1.645
"""Half-width of the central 90 % of a normal distribution, in standard deviations."""

SLICE_SHARE = 0.12
"""Part of the slice spacing that enters as a standard deviation of the edge's place."""

EDGE_FLOOR_MM = 0.35
"""The edge itself is 1.5 to 2 mm thick in temperature (domain facts, 1.2)."""

MODELLED_FLOOR_MM = 1.2
"""Least standard deviation of an edge that was not seen."""

COVERED_EVERY = 5
"""Of the tumour's points, 1 mm apart, every this many count for the covered fractions: even 4 ml
leave 800 points, and a fraction is then right to about 0.01."""

MARGIN_STEPS_MM = (0, 5, 10)


@dataclass(frozen=True)
class Estimate:
    """A distance in mm with its 90 % interval."""

    value: float
    low: float
    high: float


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
    ice: Ice, tumour: Structure, to_scan: Rigid, *, registration_mm: float, slice_mm: float
) -> TumourMargin:
    """Margin of the ice to the tumour; ``to_scan`` takes the planning frame to the scan's."""
    points = to_scan.apply(tumour.surface.points_lps_mm)
    depth, nearest = ice.surface.depth(points)
    worst = int(np.argmin(depth))
    spread = _spread_mm(ice, int(nearest[worst]), registration_mm, slice_mm)
    inside, _ = ice.surface.depth(to_scan.apply(tumour.inside_lps_mm[::COVERED_EVERY]))
    return TumourMargin(
        margin_mm=_estimate(float(depth[worst]), spread),
        worst_point_lps_mm=points[worst],
        covered_fraction={step: float((inside >= step).mean()) for step in MARGIN_STEPS_MM},
    )


def clearance(
    ice: Ice, structure: Structure, to_scan: Rigid, *, registration_mm: float, slice_mm: float
) -> Clearance:
    """Distance of the ice to a structure; ``to_scan`` takes the planning frame to the scan's.

    The least, over the ice's surface, of the signed distance to the structure. A structure that
    lies wholly inside the ice is as deep as its own deepest point.
    """
    in_planning = to_scan.inverse().apply(ice.surface.points_lps_mm)
    inside, nearest = structure.surface.depth(in_planning)
    at = int(np.argmax(inside))
    value = -float(inside[at])
    point = to_scan.apply(structure.surface.points_lps_mm[nearest[at]])
    if value > 0:
        points = to_scan.apply(structure.surface.points_lps_mm)
        depth, touched = ice.surface.depth(points)
        deepest = int(np.argmax(depth))
        if depth[deepest] > 0:
            value, point, at = -float(depth[deepest]), points[deepest], int(touched[deepest])
    spread = _spread_mm(ice, at, registration_mm, slice_mm)
    return Clearance(structure, _estimate(value, spread), point)


def _spread_mm(ice: Ice, at: int, registration_mm: float, slice_mm: float) -> float:
    noise_hu = ice.noise_hu if np.isfinite(ice.noise_hu) else 15.0
    seen = np.hypot(noise_hu * EDGE_WIDTH_MM / ice.drop_hu, SLICE_SHARE * slice_mm)
    seen = float(np.hypot(seen, EDGE_FLOOR_MM))
    residual = ice.model_residual_mm if np.isfinite(ice.model_residual_mm) else 3.0
    modelled = float(np.hypot(max(residual, MODELLED_FLOOR_MM), EDGE_FLOOR_MM))
    share = float(np.clip(ice.visible[at], 0, 1))
    return float(np.hypot(share * seen + (1 - share) * modelled, registration_mm))


def _estimate(value: float, spread_mm: float) -> Estimate:
    half = NINETY_PERCENT * spread_mm
    return Estimate(value, value - half, value + half)
