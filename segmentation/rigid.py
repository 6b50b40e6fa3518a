"""Rigid transforms between patient frames (LPS, mm)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class Rigid:
    """A rotation and a shift: ``target = rotation @ source + shift_mm``.

    Attributes
    ----------
    rotation
        (3, 3), proper orthogonal.
    shift_mm
        (3,).
    """

    rotation: NDArray[np.float64]
    shift_mm: NDArray[np.float64]

    @classmethod
    def identity(cls) -> "Rigid":
        """The transform that moves nothing."""
        return cls(np.eye(3), np.zeros(3))

    def apply(self, points_lps_mm: ArrayLike) -> NDArray[np.float64]:
        """(…, 3) points of the source frame to (…, 3) points of the target frame."""
        points = np.asarray(points_lps_mm, dtype=np.float64)
        return points @ self.rotation.T + self.shift_mm

    def inverse(self) -> "Rigid":
        """Target frame to source frame."""
        return Rigid(self.rotation.T, -self.rotation.T @ self.shift_mm)

    def after(self, first: "Rigid") -> "Rigid":
        """This transform applied to the outcome of ``first``."""
        return Rigid(self.rotation @ first.rotation, self.rotation @ first.shift_mm + self.shift_mm)

    def shift_at(self, point_lps_mm: ArrayLike) -> NDArray[np.float64]:
        """(3,): how far the given source point moves, mm."""
        return self.apply(point_lps_mm) - np.asarray(point_lps_mm, dtype=np.float64)

    @property
    def angle_deg(self) -> float:
        """Angle of the rotation, degrees."""
        cosine = (np.trace(self.rotation) - 1) / 2
        return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
