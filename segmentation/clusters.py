"""Points gathered into small clusters, so that a search can pass over most of them.

A signed distance changes by at most a millimetre per millimetre, so the value at a cluster's centre
and the cluster's radius bound the values at all its points.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Clusters:
    """Clusters of points in any rigid frame.

    Attributes
    ----------
    centres_lps_mm
        (M, 3): mean of each cluster's points.
    radius_mm
        (M,): greatest distance of a cluster's points from its centre.
    of
        (N,): each point's cluster.
    """

    centres_lps_mm: NDArray[np.float64]
    radius_mm: NDArray[np.float64]
    of: NDArray[np.intp]


def clusters_of(points_lps_mm: NDArray[np.float64], size_mm: float) -> Clusters:
    """Clusters of (N, 3) points by cubes with edges of ``size_mm``."""
    if len(points_lps_mm) == 0:
        return Clusters(np.empty((0, 3)), np.empty(0), np.empty(0, dtype=np.intp))
    cube = np.floor((points_lps_mm - points_lps_mm.min(axis=0)) / size_mm).astype(np.int64)
    count = cube.max(axis=0) + 1
    _, of = np.unique(
        (cube[:, 0] * count[1] + cube[:, 1]) * count[2] + cube[:, 2], return_inverse=True
    )
    size = np.bincount(of)
    centres = np.column_stack([np.bincount(of, points_lps_mm[:, n]) / size for n in range(3)])
    radius = np.zeros(len(centres))
    np.maximum.at(radius, of, np.linalg.norm(points_lps_mm - centres[of], axis=1))
    return Clusters(centres, radius, np.asarray(of, dtype=np.intp))
