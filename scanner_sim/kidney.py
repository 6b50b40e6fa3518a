"""One kidney: parenchyma, sinus, collecting system, vessels, and what grows in it.

The kidney's own frame has its origin at the kidney's centre: u away from the hilum (lateral and a
little posterior), v to posterior, w along the long axis to the head. ``Kidney.place`` turns points
of that frame, mm, into LPS.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scanner_sim.grid import F32, F64, Box
from scanner_sim.shapes import Capsule, Ellipsoid, Shape, Union, tube

HALF_AXES_MM = (27.0, 24.0, 53.0)
"""Along u, v, w: an adult kidney of 11 x 5 x 5.5 cm."""

_BEND_PER_MM = 0.0032
"""The poles curve towards the midline by this times w squared."""

_LOBULATION_MM = 0.7


@dataclass(frozen=True, eq=False)
class Bean:
    """The outline of the kidney, sinus included: an ellipsoid bent round the hilum."""

    centre: F64
    axes: F64

    @property
    def box(self) -> Box:
        """Bounding box, a little generous."""
        u, v, w = HALF_AXES_MM
        bend = _BEND_PER_MM * w * w
        half = np.abs(self.axes) @ np.array([u + bend / 2, v, w]) * 0.9
        return Box(self.centre - half - 2, self.centre + half + 2)

    def distance(self, x: F32, y: F32, z: F32) -> F32:
        """First-order distance of the bent ellipsoid."""
        deltas = [a - np.float32(c) for a, c in zip((x, y, z), self.centre, strict=True)]

        def along(n: int) -> F32:
            a, b, c = (np.float32(value) for value in self.axes[:, n])
            result: F32 = deltas[0] * a + deltas[1] * b + deltas[2] * c
            return result

        v, w = along(1), along(2)
        u = along(0) + np.float32(_BEND_PER_MM) * w * w
        parts = [p / np.float32(r) for p, r in zip((u, v, w), HALF_AXES_MM, strict=True)]
        level = np.sqrt(sum(p * p for p in parts))
        slope = np.sqrt(
            sum((p / np.float32(r)) ** 2 for p, r in zip(parts, HALF_AXES_MM, strict=True))
        )
        lobes = np.float32(_LOBULATION_MM) * np.sin(w / 7) * np.cos(v / 8 + u / 11)
        result: F32 = level * (level - 1) / (slope + np.float32(1e-5)) + lobes
        return np.where(level < 0.02, np.float32(-min(HALF_AXES_MM)), result)


@dataclass(frozen=True, eq=False)
class Kidney:
    """A kidney at a place; ``side`` is +1 for the patient's left, -1 for the right."""

    centre: F64
    side: int
    hilum_turn_deg: float = 30.0

    @cached_property
    def axes(self) -> F64:
        """(3, 3): columns are u, v, w in LPS. A mirror image on the right."""
        s = float(self.side)
        w = np.array([-0.18 * s, 0.14, 1.0])
        w /= np.linalg.norm(w)
        turn = np.radians(self.hilum_turn_deg)
        u = np.array([np.cos(turn) * s, np.sin(turn), 0.0])
        u -= (u @ w) * w
        u /= np.linalg.norm(u)
        return np.column_stack([u, s * np.cross(w, u), w])

    def place(self, u: float, v: float, w: float) -> F64:
        """A point of the kidney's frame in LPS mm."""
        return np.asarray(self.centre + self.axes @ np.array([u, v, w]))

    @cached_property
    def outline(self) -> Bean:
        """Parenchyma and sinus together."""
        return Bean(self.centre, self.axes)

    @cached_property
    def sinus(self) -> Union:
        """The fat-filled hollow that opens towards the midline."""

        def lobe(at: tuple[float, float, float], radii: tuple[float, float, float]) -> Shape:
            return Ellipsoid(self.place(*at), np.array(radii), self.axes)

        return Union(
            (
                lobe((-18, 0, 0), (18, 9, 20)),
                lobe((-9, 1, 19), (9, 8, 13)),
                lobe((-4, 1, -2), (10, 8, 10)),
                lobe((-9, 1, -20), (9, 8, 13)),
            ),
            blend_mm=6.0,
        )

    @cached_property
    def collecting(self) -> Union:
        """Renal pelvis, calyces and the first part of the ureter."""
        pelvis, neck = self.place(-19, 4, -2), self.place(-29, 5, -8)
        calyces = [
            part
            for end in ((-3, 2, 19), (2, 2, -1), (-3, 2, -20))
            for part in tube(
                [
                    pelvis,
                    self.place(*(0.6 * np.array(end) + np.array([-6.0, 1.0, 0.0]))),
                    self.place(*end),
                ],
                [2.6, 2.0, 3.2],
            )
        ]
        ureter = tube([neck, self.place(-33, 4, -25), self.place(-34, 3, -80)], [3.2, 2.2, 2.2])
        funnel = Capsule(pelvis, neck, 5.2, 3.2)
        return Union((funnel, *calyces, *ureter), blend_mm=3.0)

    @cached_property
    def artery(self) -> Union:
        """From the aorta into the sinus."""
        stem = [np.array([self.side * 10.0, 22.0, 6.0]) + self._sunk, self.place(-34, -1, 4)]
        root = self.place(-23, -2, 3)
        parts = tube([stem[0], stem[1], root], [3.0, 2.8, 2.6])
        branches = [
            part
            for end in ((-6, -3, 15), (-4, -3, 2), (-7, -3, -15))
            for part in tube(
                [root, self.place(-13, -3, 0.6 * end[2]), self.place(*end)], [2.2, 1.8, 1.3]
            )
        ]
        return Union((*parts, *branches), blend_mm=1.5)

    @cached_property
    def vein(self) -> Union:
        """From the sinus, in front of the artery, towards the vena cava."""
        root = self.place(-23, -5, -1)
        # The left renal vein crosses in front of the aorta.
        cross = np.array([10.0, 4.0, 0.0]) if self.side > 0 else np.array([-26.0, 14.0, 0.0])
        end = np.array([-14.0, 8.0, 2.0]) if self.side > 0 else np.array([-20.0, 14.0, 2.0])
        line = [end + self._sunk, cross + self._sunk, self.place(-36, -6, 0), root]
        parts = tube(line, [4.6, 4.6, 4.6, 4.0])
        branches = [
            part
            for end_at in ((-7, -5, 13), (-7, -5, -13))
            for part in tube([root, self.place(*end_at)], [3.2, 1.6])
        ]
        return Union((*parts, *branches), blend_mm=2.0)

    @cached_property
    def trunks(self) -> Union:
        """The vessels at the hilum that are wide enough to keep their temperature."""
        artery = tube([self.place(-34, -1, 4), self.place(-23, -2, 3)], [2.8, 2.6])
        vein = tube([self.place(-36, -6, 0), self.place(-23, -5, -1)], [4.6, 4.0])
        forks = [
            Capsule(self.place(-23, -5, -1), self.place(-15, -5, w), 3.2, 2.4) for w in (6, -7)
        ]
        return Union((*artery, *vein, *forks))

    @property
    def _sunk(self) -> F64:
        """Where the great vessels lie compared with a kidney at the usual place."""
        return np.array([0.0, 0.0, self.centre[2]])

    @cached_property
    def hilum(self) -> Union:
        """The structure at risk: the opening of the sinus with pelvis and vessels in it."""
        core = Ellipsoid(self.place(-22, 0, 0), np.array([8.0, 8.5, 12.0]), self.axes)
        pelvis = Capsule(self.place(-17, 4, -2), self.place(-29, 5, -8), 6.0, 4.5)
        vessels = Capsule(self.place(-15, -4, 1), self.place(-31, -5, 2), 5.0, 6.0)
        return Union((core, pelvis, vessels), blend_mm=5.0)
