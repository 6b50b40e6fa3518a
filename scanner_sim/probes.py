"""Cryoprobes: where they lie and what they do to the tissue round them."""

from dataclasses import dataclass

import numpy as np

from scanner_sim.grid import F64

SHAFT_RADIUS_MM = 0.75
"""17 gauge: 1.5 mm outside."""

DEAD_TIP_MM = 5.0
"""Uncooled length at the tip."""

SHAFT_LENGTH_MM = 175.0
"""Tip to handle."""


@dataclass(frozen=True, eq=False)
class Probe:
    """A straight probe in the reference (planning) position.

    Attributes
    ----------
    tip
        (3,) LPS mm.
    outwards
        (3,) unit vector from the tip along the shaft to the handle.
    active_mm
        Length of the cooled part, which begins ``DEAD_TIP_MM`` from the tip.
    """

    tip: F64
    outwards: F64
    active_mm: float = 30.0

    @property
    def active_ends(self) -> tuple[F64, F64]:
        """Both ends of the cooled part, LPS mm."""
        near = self.tip + DEAD_TIP_MM * self.outwards
        return near, near + self.active_mm * self.outwards

    def points(self, start_mm: float, stop_mm: float, step_mm: float) -> F64:
        """(n, 3) evenly spaced points of the axis between two distances from the tip."""
        count = max(round((stop_mm - start_mm) / step_mm), 1)
        at = start_mm + (np.arange(count) + 0.5) * (stop_mm - start_mm) / count
        return self.tip + at[:, None] * self.outwards


def across(outwards: F64) -> tuple[F64, F64]:
    """Two unit vectors at right angles to the shaft and to each other."""
    helper = np.array([0.0, 0.0, 1.0]) if abs(outwards[2]) < 0.9 else np.array([1.0, 0.0, 0.0])
    first = np.cross(outwards, helper)
    first /= np.linalg.norm(first)
    return first, np.cross(outwards, first)


def place(
    target: F64,
    outwards: F64,
    count: int,
    ring_mm: float,
    *,
    turn_deg: float = 0.0,
    splay_deg: float = 0.0,
    active_mm: float = 30.0,
) -> tuple[Probe, ...]:
    """Probes evenly on a ring round the target, the middle of the cooled part at its depth.

    Parameters
    ----------
    target
        (3,) LPS mm, usually the tumour's centre.
    outwards
        (3,) direction from the target to the skin.
    count
        1 lies on the axis; from 5 on the last one does.
    ring_mm
        Radius of the ring.
    turn_deg
        Angle of the first probe on the ring.
    splay_deg
        How far each shaft leans outwards from the common direction.
    """
    axis = outwards / np.linalg.norm(outwards)
    first, second = across(axis)
    ringed = count if count < 5 else count - 1
    probes = []
    for n in range(count):
        angle = np.radians(turn_deg) + 2 * np.pi * n / max(ringed, 1)
        radial = np.cos(angle) * first + np.sin(angle) * second
        radius = 0.0 if count == 1 or n >= ringed else ring_mm
        lean = np.radians(splay_deg) if radius else 0.0
        shaft = np.cos(lean) * axis + np.sin(lean) * radial
        tip = target + radius * radial - (DEAD_TIP_MM + active_mm / 2) * shaft
        probes.append(Probe(tip, shaft, active_mm))
    return tuple(probes)
