"""What a person has put right in the measurement of one scan."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.registration import Registered
from segmentation.rigid import Rigid

NUDGED_MM = 1.5
"""Error of a kidney's place that was judged by eye, one standard deviation: about two pixels."""

Point = tuple[float, float, float]


@dataclass(frozen=True)
class Correction:
    """What a person knows better.

    Attributes
    ----------
    nudge_lps_mm
        How far the earlier scans' contours are to be moved in this scan from where registration has
        put them, or from where they lay in the baseline if it has not found them; LPS, mm.
    seed_lps_mm
        A point of this scan that lies in ice, LPS, mm: ice is grown from there, too, and as far as
        it is seen, whatever the freezing model says.
    """

    nudge_lps_mm: Point | None = None
    seed_lps_mm: Point | None = None

    def nudged(self, registered: Registered | None) -> Registered:
        """The registration, put right. ``registered`` is None where it has failed."""
        found = registered.transform if registered is not None else Rigid.identity()
        correlation = registered.correlation if registered is not None else 0.0
        shift = found.shift_mm + np.asarray(self.nudge_lps_mm, dtype=np.float64)
        return Registered(Rigid(found.rotation, shift), NUDGED_MM, correlation)

    def seed_before(self, baseline_to_scan: Rigid) -> NDArray[np.float64] | None:
        """(3,): where the seed lies in the baseline's frame; None without one."""
        if self.seed_lps_mm is None:
            return None
        return baseline_to_scan.inverse().apply(self.seed_lps_mm)


NONE = Correction()
"""It is measured as it is found."""
