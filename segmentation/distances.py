"""Where ice and contoured structures come nearest: signed distances between sub-voxel surfaces.

Nothing here knows how sure a surface is; ``margins`` adds the intervals.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.rigid import Rigid
from segmentation.structures import Structure
from segmentation.surface import Found, Surface

MARGIN_STEPS_MM = (0, 5, 10)

NEAR_STEP_MM = 0.4
"""What carrying a depth over 2.5 mm along the gradient of ice with a radius of 10 mm may err by."""


@dataclass(frozen=True, eq=False)
class Gap:
    """Signed distance from the ice to a structure.

    Attributes
    ----------
    distance_mm
        0 at contact, negative where they overlap.
    point_lps_mm
        (3,): the structure's nearest point, in the ice's frame.
    nearest
        Index of the nearest point of the ice's surface.
    """

    distance_mm: float
    point_lps_mm: NDArray[np.float64]
    nearest: int


def least_depth(ice: Surface, tumour: Structure, to_scan: Rigid) -> Found:
    """The point of the tumour's surface that lies least deep in the ice, or furthest outside.

    ``to_scan`` takes the tumour's frame to the ice's.

    Raises
    ------
    ValueError
        The ice has no surface.
    """
    edge = tumour.surface
    return ice.shallowest(edge.points_lps_mm, edge.clusters, to_scan)


def covered_fraction(ice: Surface, tumour: Structure, to_scan: Rigid) -> dict[int, float]:
    """Fractions of the tumour's volume at least 0, 5 and 10 mm inside the ice.

    Depths are measured at the centres of clusters of the tumour's points and carried to the points
    along the gradient, which is the surface's normal; only points near a step are measured again.

    Raises
    ------
    ValueError
        The ice has no surface.
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


def gap(ice: Surface, structure: Structure, to_scan: Rigid) -> Gap:
    """Distance from the ice's surface to a structure.

    The least, over the ice's surface, of the signed distance to the structure. A structure that
    lies wholly inside the ice is as deep as its own deepest point. ``to_scan`` takes the
    structure's frame to the ice's.

    Raises
    ------
    ValueError
        The ice has no surface.
    """
    edge = structure.surface
    reached = to_scan.inverse().apply(ice.points_lps_mm)
    entered = np.flatnonzero(edge.holds(reached))
    if len(entered):
        depth, nearest = edge.depth(reached[entered])
        at = int(np.argmax(depth))
        point = to_scan.apply(edge.points_lps_mm[nearest[at]])
        return Gap(-float(depth[at]), point, int(entered[at]))
    # Nothing of the ice's surface inside: apart, or the structure lies wholly inside the ice.
    found = ice.deepest(edge.points_lps_mm, edge.clusters, to_scan)
    return Gap(-found.depth_mm, found.point_lps_mm, found.nearest)
