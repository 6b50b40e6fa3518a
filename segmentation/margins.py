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
from segmentation.surface import Surface

NINETY_PERCENT = 1.645
"""Half-width of the central 90 % of a normal distribution, in standard deviations."""

SLICE_SHARE = 0.12
"""Part of the slice spacing that enters as a standard deviation of the edge's place."""

EDGE_FLOOR_MM = 0.35
"""The edge itself is 1.5 to 2 mm thick in temperature (domain facts, 1.2)."""

MODELLED_FLOOR_MM = 1.2
"""Least standard deviation of an edge that was not seen."""

MARGIN_STEPS_MM = (0, 5, 10)

NEAR_STEP_MM = 0.4
"""What carrying a depth over 2.5 mm along the gradient of ice with a radius of 10 mm may err by."""

CONTACT_MM = 1.0
"""Nearer than this the ice may enter the structure between two points of the structure's surface:
they lie 1 mm apart."""


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
    worst = ice.surface.shallowest(tumour.surface.points_lps_mm, tumour.surface.clusters, to_scan)
    spread = _spread_mm(ice, worst.nearest, registration_mm, slice_mm)
    return TumourMargin(
        margin_mm=_estimate(worst.depth_mm, spread),
        worst_point_lps_mm=worst.point_lps_mm,
        covered_fraction=covered_fraction(ice.surface, tumour, to_scan),
    )


def covered_fraction(ice: Surface, tumour: Structure, to_scan: Rigid) -> dict[int, float]:
    """Fractions of the tumour's volume at least 0, 5 and 10 mm inside the ice.

    Depths are measured at the centres of clusters of the tumour's points and carried to the points
    along the gradient, which is the surface's normal; only points near a step are measured again.
    """
    points = to_scan.apply(tumour.inside_lps_mm)
    clusters = tumour.inside_clusters
    centres = to_scan.apply(clusters.centres_lps_mm)
    reach = MARGIN_STEPS_MM[-1] + float(clusters.radius_mm.max()) + NEAR_STEP_MM
    depth, nearest = ice.depth(centres, reach_mm=reach)
    along = np.einsum("ij,ij->i", points - centres[clusters.of], -ice.normals[nearest][clusters.of])
    carried = depth[clusters.of] + along
    inside = ice.holds(points)
    steps = np.array(MARGIN_STEPS_MM[1:])
    near = inside & (np.abs(carried[:, None] - steps).min(axis=1) < NEAR_STEP_MM)
    carried[near], _ = ice.depth(points[near], reach_mm=reach)
    carried[~inside] = -np.inf
    return {
        step: float((carried >= step).mean() if step else inside.mean()) for step in MARGIN_STEPS_MM
    }


def clearance(
    ice: Ice, structure: Structure, to_scan: Rigid, *, registration_mm: float, slice_mm: float
) -> Clearance:
    """Distance of the ice to a structure; ``to_scan`` takes the planning frame to the scan's.

    The least, over the ice's surface, of the signed distance to the structure. A structure that
    lies wholly inside the ice is as deep as its own deepest point.
    """
    edge = structure.surface
    found = ice.surface.deepest(edge.points_lps_mm, edge.clusters, to_scan)
    value, point, at = -found.depth_mm, found.point_lps_mm, found.nearest
    if value < CONTACT_MM:
        to_planning = to_scan.inverse()
        inner = np.flatnonzero(edge.holds(to_planning.apply(ice.surface.points_lps_mm)))
        if len(inner):
            reached = to_planning.apply(ice.surface.points_lps_mm[inner])
            depth, nearest = edge.depth(reached)
            deepest = int(np.argmax(depth))
            value, at = -float(depth[deepest]), int(inner[deepest])
            point = to_scan.apply(edge.points_lps_mm[nearest[deepest]])
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
