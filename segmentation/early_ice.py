"""Ice that is there already in what is to be the baseline: everything later would be off by it.

Frozen tissue is some 85 HU darker than before (domain facts, 1.1). Round each freezing zone the
scan is compared with the planning scan, in kidney and tumour only, and beside the metal: streaks
are bright and dark by turns, and a median passes over them.

What it can't tell: ice in a scan with contrast medium where the planning scan has none, for a
tumour that takes up less than the kidney looks alike; ice that reaches less than about 6 mm from
the shaft; ice where there is hardly any water-rich tissue round the probe.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segmentation.probes import Probe
from segmentation.rigid import Rigid
from segmentation.sampling import sample
from segmentation.volume import Volume

RADII_MM = (4.0, 5.0, 6.0)
"""Beside the shaft's metal and its blur; a single probe's ice is this large after a minute."""

ENDS_MM = 2.0
STEP_MM = 1.5
ROUND = 16
"""Points on a circle."""

TISSUE_HU = (0.0, 300.0)
"""Water-rich in the planning scan: fat hardly changes on freezing, nor is bone ice."""

MIN_POINTS = 50

FAR_MM = (20.0, 14.0)
"""Kidney further than this from all freezing zones has not frozen; the second where it is small."""

MIN_FAR = 200

FALL_HU = -20.0
FROZEN_HU = 10.0
"""Ice is darker than this: unfrozen kidney has 30 HU, frozen kidney without contrast medium -30 to
-55."""

FALL_ALONE_HU = -35.0
SAME_LEVEL_HU = 20.0
"""Where kidney far off has not changed by this, a fall says enough by itself: contrast medium is in
both scans or in none."""


def iced_probes(
    planning: Volume,
    scan: Volume,
    to_scan: Rigid,
    kidney: Volume,
    probes: Sequence[Probe],
) -> tuple[int, ...]:
    """Places, in ``probes``, of those round which the scan shows ice.

    Parameters
    ----------
    planning, scan
        In HU; the planning scan shows no ice.
    to_scan
        Takes the planning scan's frame to the scan's.
    kidney
        In the planning scan's frame; above 0.5 where the kidney is.
    probes
        In the scan's frame.
    """
    if not probes:
        return ()
    back = to_scan.inverse()
    level = _level_hu(planning, scan, to_scan, kidney, probes)
    found = []
    for n, probe in enumerate(probes):
        around = _around(probe)
        there = back.apply(around)
        before, now = sample(planning, there), sample(scan, around)
        shown = (sample(kidney, there, outside=0.0) > 0.5) & _tissue(before)
        shown &= now < TISSUE_HU[1]
        if shown.sum() < MIN_POINTS:
            continue
        # Tissue may have lost all the contrast medium that the kidney has lost, and gained none.
        fall = float(np.median((now - before)[shown])) - min(0.0, level)
        dark = fall < FALL_HU and float(np.median(now[shown])) < FROZEN_HU
        if dark or (abs(level) < SAME_LEVEL_HU and fall < FALL_ALONE_HU):
            found.append(n)
    return tuple(found)


def _level_hu(
    planning: Volume, scan: Volume, to_scan: Rigid, kidney: Volume, probes: Sequence[Probe]
) -> float:
    """By how much kidney far from the probes has changed; 0 where none is seen."""
    points = kidney.to_lps(np.argwhere(kidney.array > 0.5)[::3, ::-1])
    moved = to_scan.apply(points)
    ends = [probe.active_ends_lps_mm for probe in probes]
    zones = np.concatenate([np.linspace(near, far, 16) for near, far in ends])
    distance = np.full(len(moved), np.inf)
    for zone in zones:
        distance = np.minimum(distance, np.linalg.norm(moved - zone, axis=1))
    for far_mm in FAR_MM:
        far = distance > far_mm
        before, now = sample(planning, points[far]), sample(scan, moved[far])
        ok = _tissue(before) & (now > -200) & (now < TISSUE_HU[1])
        if ok.sum() >= MIN_FAR:
            return float(np.median((now - before)[ok]))
    return 0.0


def _tissue(hu: NDArray[np.float32]) -> NDArray[np.bool_]:
    return (hu > TISSUE_HU[0]) & (hu < TISSUE_HU[1])


def _around(probe: Probe) -> NDArray[np.float64]:
    """(N, 3) points on cylinders round the freezing zone."""
    near, far = probe.active_ends_lps_mm
    along = np.arange(ENDS_MM, max(float(np.linalg.norm(far - near)) - ENDS_MM, 3.0), STEP_MM)
    across = np.linalg.svd(probe.direction[None])[2][1:]
    angles = np.arange(ROUND) * 2 * np.pi / ROUND
    circle = np.column_stack([np.cos(angles), np.sin(angles)]) @ across
    rings = np.asarray(RADII_MM)[:, None, None] * circle
    axis = near + along[:, None] * probe.direction
    return np.asarray((axis[:, None, None] + rings[None]).reshape(-1, 3), dtype=np.float64)
