"""Contrast medium: what it adds to which tissue, and how much of it is there at what time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scanner_sim.breathing import Pose
from scanner_sim.freezing import Cold
from scanner_sim.grid import F32, F64, Field, Grid
from scanner_sim.phantom import Dose

_DENSE_HU = 150.0
"""Urine denser than this throws streaks."""
_STREAK_SHARE = 0.05
"""Height of a streak beside the densest urine, as a share of its HU."""
_STREAK_REACH_MM = 38.0
_RAYS = (5, 8, 13)
"""Periods of the streaks round their source."""


@dataclass(frozen=True)
class Enhancement:
    """One giving of contrast.

    Attributes
    ----------
    dose
        HU at the peak, by tissue.
    curve
        (procedure time in seconds, share of the peak), ascending; linear in between, nothing before
        the first time.
    given_s
        When it was given, procedure time. Tissue that had frozen through by then has lost its
        vessels and never enhances; what froze later keeps what reached it, frozen or thawed.
    """

    dose: Dose
    curve: tuple[tuple[float, float], ...]
    given_s: float = -1e9

    def share(self, at_s: float) -> float:
        """Of the peak, at a time of the procedure."""
        times, shares = zip(*self.curve, strict=True)
        if at_s < max(times[0], self.given_s):
            return 0.0
        return float(np.interp(at_s, times, shares))

    def reached(self, cold: Cold | None, freeze_from_s: float, grid: Grid) -> F32 | float:
        """Share of the tissue on a grid whose vessels were open when it was given.

        Parameters
        ----------
        freeze_from_s
            Procedure time at which the clock of ``cold`` started.
        """
        if cold is None:
            return 1.0
        lost = cold.frozen_at.array <= self.given_s - freeze_from_s
        if not lost.any():
            return 1.0
        closed = Field(cold.frozen_at.grid, lost.astype(np.float32), 0.0).on(grid)
        result: F32 = 1 - closed
        return result


def dense_points(enhancement: Field) -> F64:
    """(n, 3): where urine is dense enough at its peak to throw streaks, reference position."""
    index = np.argwhere(enhancement.array[::2, ::2, ::2] > _DENSE_HU)[:, ::-1] * 2
    return np.asarray(enhancement.grid.origin + index * enhancement.grid.spacing)


def add_streaks(
    hu: F32, grid: Grid, points: F64, pose: Pose, peak_hu: float, rng: np.random.Generator
) -> None:
    """Fans of bright and dark rays round the dense urine of each slice, in place.

    Parameters
    ----------
    points
        (n, 3): the dense urine in the reference position.
    peak_hu
        Its HU in this scan.
    """
    if peak_hu < _DENSE_HU or not points.size:
        return
    moved = pose.apply(points)
    x, y = grid.open[0][0], grid.open[1][0]
    phases = rng.uniform(0, 2 * np.pi, len(_RAYS))
    for k, z in enumerate(grid.z):
        phases += rng.normal(0, 0.5, len(_RAYS))
        here = moved[np.abs(moved[:, 2] - z) < 2.0]
        if len(here) < 3:
            continue
        centre = here.mean(axis=0)
        dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
        angle, radius = np.arctan2(dy, dx), np.hypot(dx, dy)
        fan = sum(np.sin(n * angle + phase) for n, phase in zip(_RAYS, phases, strict=True))
        fade = np.exp(-radius / np.float32(_STREAK_REACH_MM)) * np.clip(radius / 9, 0, 1)
        body: NDArray[np.bool_] = hu[k] > -900
        hu[k] += np.float32(_STREAK_SHARE * peak_hu / 1.5) * fan * fade * body
