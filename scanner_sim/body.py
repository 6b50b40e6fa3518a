"""The body round the kidneys: skin, fat, muscle, spine, great vessels, liver, spleen, bowel, table.

The origin lies in the middle of the body at the level of the kidneys. Everything here stays where
it is when the kidney moves with breathing, but for the gas in the bowel.
"""

from dataclasses import dataclass

import numpy as np

from scanner_sim.grid import F32, F64, Grid
from scanner_sim.render import paint
from scanner_sim.shapes import Capsule, Column, Ellipsoid, Shape, Union

AIR_HU = -1000.0
FAT_HU = -102.0
MUSCLE_HU = 55.0
BLOOD_HU = 42.0
GAS_HU = -960.0

_SKIN_MM = 2.0
_WALL_MM = 15.0
_SPINE_Y = 48.0
_VERTEBRA_MM = 35.0
"""Height of a vertebra with its disc."""


@dataclass(frozen=True)
class Build:
    """How large the patient is: half width and half depth of the trunk and the fat under the skin,
    millimetres."""

    half_width_mm: float = 168.0
    half_depth_mm: float = 118.0
    fat_mm: float = 18.0


_LIVER = Union(
    (
        Ellipsoid(np.array([-82.0, -8.0, 92.0]), np.array([78.0, 84.0, 92.0])),
        Ellipsoid(np.array([-30.0, -45.0, 110.0]), np.array([70.0, 45.0, 60.0])),
    ),
    blend_mm=12,
)
_SPLEEN = Ellipsoid(np.array([118.0, 40.0, 88.0]), np.array([30.0, 48.0, 52.0]))


@dataclass(frozen=True, eq=False)
class Loop:
    """A piece of bowel; ``gas`` is the share of its height that gas fills, on average."""

    shape: Ellipsoid
    content_hu: float
    gas: float


class Body:
    """The trunk without the kidney that is treated.

    Parameters
    ----------
    build
        Size.
    prone
        Gas rises towards the back and the table lies in front.
    rng
        Draws bowel and small vessels.
    keep_free
        Bowel and mesentery stay about 9 mm away from these.
    """

    def __init__(
        self, build: Build, *, prone: bool, rng: np.random.Generator, keep_free: Shape
    ) -> None:
        self.build = build
        self.prone = prone
        self._loops = self._draw_bowel(rng, keep_free)
        self._threads = self._draw_mesentery(rng, keep_free)
        self.psoas = tuple(
            Column(
                np.array([s * 37.0, 52.0]), (14.0, 17.0), -170, 140, (-0.13 * s, -0.03), s * 20.0
            )
            for s in (-1, 1)
        )
        self.lumborum = tuple(
            Column(np.array([s * 66.0, 78.0]), (17.0, 7.0), -170, 140, (-0.1 * s, 0.0), s * 28.0)
            for s in (-1, 1)
        )
        self.spine = Column(np.array([0.0, _SPINE_Y]), (24.0, 18.0), -200, 200)
        self.aorta = Column(np.array([9.0, 20.0]), (9.5, 9.5), -200, 200)
        self.cava = Column(np.array([-19.0, 17.0]), (12.0, 8.5), -200, 200, turn_deg=-15)

    def static_distance(self, x: F32, y: F32, z: F32) -> F32:
        """Distance in mm to what does not move with breathing: spine, psoas, body wall."""
        total = _inwards(self.build, x, y, z)
        for shape in (*self.psoas, *self.lumborum, self.spine):
            total = np.minimum(total, shape.distance(x, y, z))
        return total

    def paint(self, hu: F32, grid: Grid, cloud: F32) -> None:
        """Everything outside the kidneys' own fat, in place; ``cloud`` is the tissue's texture."""
        trunk = _Trunk(self.build, grid, prone=self.prone)
        for k, z in enumerate(grid.z):
            trunk.paint(hu[k], float(z), cloud[k])
        for thread in self._threads:
            paint(hu, grid, thread, 30.0)
        paint(hu, grid, _LIVER, 58.0, (5.0, cloud))
        paint(hu, grid, _SPLEEN, 49.0, (5.0, cloud))
        for loop in self._loops:
            paint(hu, grid, loop.shape, 38.0, (5.0, cloud))
            paint(hu, grid, loop.shape, loop.content_hu, (8.0, cloud), grow_mm=-2.2)
        for vessel in (self.aorta, self.cava):
            paint(hu, grid, vessel, BLOOD_HU, (3.0, cloud))

    def enhance(self, added: F32, grid: Grid, organs_hu: float, vessels_hu: float) -> None:
        """What contrast adds to liver, spleen and great vessels, in place."""
        for organ in (_LIVER, _SPLEEN):
            paint(added, grid, organ, organs_hu)
        for vessel in (self.aorta, self.cava):
            paint(added, grid, vessel, vessels_hu)

    def paint_walls(self, hu: F32, grid: Grid, cloud: F32) -> None:
        """Muscle and bone that border on the kidneys' fat, in place."""
        for shape in (*self.psoas, *self.lumborum):
            paint(hu, grid, shape, MUSCLE_HU, (6.0, cloud))
        _paint_spine(hu, grid, cloud)

    def paint_gas(self, hu: F32, grid: Grid, rng: np.random.Generator) -> None:
        """Gas in the bowel as it is in one scan, in place."""
        up = 1.0 if self.prone else -1.0
        for loop in self._loops:
            share = loop.gas * rng.uniform(0.5, 1.3) if loop.gas else 0.0
            if share <= 0.05:
                continue
            window = grid.window(loop.shape.box.grow(1))
            if window is None:
                continue
            part = grid.part(window)
            x, y, z = part.open
            height = float(loop.shape.box.upper[1] - loop.shape.box.lower[1]) - 5
            level = float(loop.shape.centre[1]) + up * height * (0.5 - min(share, 0.95))
            fluid = (np.float32(level) - y) * np.float32(up)
            depth = np.maximum(loop.shape.distance(x, y, z) + np.float32(2.6), fluid)
            cover = np.clip(0.5 - depth, 0, 1)
            hu[window] += cover * (np.float32(GAS_HU) - hu[window])

    def _draw_bowel(self, rng: np.random.Generator, keep_free: Shape) -> tuple[Loop, ...]:
        """Colon at both flanks and loops of small bowel in front."""
        loops: list[Loop] = []
        wide = self.build.half_width_mm - self.build.fat_mm - 17
        deep = self.build.half_depth_mm - self.build.fat_mm - 17
        for side in (-1, 1):
            for z in np.arange(-150, 110 if side > 0 else 20, 27.0):
                centre = np.array([side * (wide - 34), -12.0, z]) + rng.uniform(-4, 4, 3)
                radii = rng.uniform([21, 20, 17], [27, 26, 20])
                content, gas = rng.uniform(5, 35), float(rng.uniform(0.25, 0.85))
                loops.append(Loop(Ellipsoid(centre, radii), float(content), gas))
        for _ in range(110):
            x, z = rng.uniform(-wide + 60, wide - 60), rng.uniform(-150, 130)
            room = deep * np.sqrt(max(1 - (x / wide) ** 2, 0.05)) - 20
            centre = np.array([x, rng.uniform(-room, -5), z])
            radii = rng.uniform([11, 11, 15], [19, 15, 34])
            axes, _ = np.linalg.qr(rng.normal(size=(3, 3)))
            gas = float(rng.uniform(0.3, 0.7)) if rng.random() < 0.25 else 0.0
            loops.append(Loop(Ellipsoid(centre, radii, axes), float(rng.uniform(12, 38)), gas))
        return tuple(
            loop for loop in loops if _clear(loop.shape.centre, loop.shape.radii, keep_free)
        )

    def _draw_mesentery(self, rng: np.random.Generator, keep_free: Shape) -> tuple[Capsule, ...]:
        """Small vessels in the fat of the abdomen."""
        threads = []
        for _ in range(160):
            start = rng.uniform([-110, -75, -160], [110, 15, 140])
            stop = start + rng.normal(0, [14, 12, 12])
            if _clear((start + stop) / 2, np.array([10.0]), keep_free):
                threads.append(Capsule(start, stop, float(rng.uniform(0.8, 2.0)), 0.8))
        return tuple(threads)


def _surface(build: Build, x: F32, y: F32) -> F32:
    """Rough distance to the skin in an axial plane at waist level, negative inside."""
    # A superellipse; the back has a groove over the spine.
    level = (
        np.abs(x / np.float32(build.half_width_mm)) ** np.float32(2.3)
        + np.abs(y / np.float32(build.half_depth_mm)) ** np.float32(2.3)
    ) ** np.float32(1 / 2.3) + np.float32(1e-4)
    groove = 7 * np.exp(-((x / 14) ** 2)) * (y > 0)
    result: F32 = np.hypot(x, y) * (1 - 1 / level) + groove
    return result.astype(np.float32)


def _waist(z: F32 | float) -> F32:
    """How far the surface lies further in at a level, mm."""
    return np.asarray(5 * np.cos((np.asarray(z) + 40) * 2 * np.pi / 300), dtype=np.float32)


def _fat_mm(build: Build, x: F32, y: F32) -> F32:
    """Thickness of the fat under the skin: most at the flanks and the back."""
    angle = np.arctan2(y, np.abs(x) + np.float32(1e-3))
    thickness = build.fat_mm * (0.85 + 0.35 * np.sin(angle) - 0.15 * np.cos(2 * angle))
    return np.asarray(thickness, dtype=np.float32)


def _inwards(build: Build, x: F32, y: F32, z: F32) -> F32:
    """Distance to the inside of the abdominal wall; positive inside the abdomen."""
    depth = _fat_mm(build, x, y) + np.float32(_SKIN_MM + _WALL_MM)
    return -(_surface(build, x, y) + _waist(z) + depth)


def _cover(distance: F32, width_mm: float = 1.0) -> F32:
    """Share of a pixel inside a surface."""
    share: F32 = np.clip(0.5 - distance / np.float32(width_mm), 0, 1)
    return share


class _Trunk:
    """Skin, fat, wall, ribs, back muscles and table, plane by plane on one grid."""

    def __init__(self, build: Build, grid: Grid, *, prone: bool) -> None:
        x, y = grid.open[0][0], grid.open[1][0]
        self._skin = _surface(build, x, y)
        self._fat = _fat_mm(build, x, y)
        self._angle = np.arctan2(-y, np.abs(x) + np.float32(1e-3))
        # Three sheets of muscle at the flanks, with fat between them.
        self._flank = np.clip(1.3 - np.abs(y - 5) / 55, 0, 1) * np.ones_like(x)
        self._back = np.zeros_like(self._skin)
        deep = (y - (build.half_depth_mm - build.fat_mm * 1.15 - 22)) / 21
        for side in (-1, 1):
            level = np.hypot((x - side * 35) / 31, deep)
            self._back = np.maximum(self._back, _cover((level - 1) * 22))
        self._streaks = -25 * np.clip(np.sin(x / 3.1 + y / 4.3) - 0.75, 0, 1)
        down = -1.0 if prone else 1.0
        board = y * down - (build.half_depth_mm + 4) + (x / 30) ** 2 * 0.45
        self._table = np.full_like(self._skin, AIR_HU)
        for depth in (6.0, 26.0):
            self._table += np.clip(1.6 - np.abs(board - depth), 0, 1) * (np.abs(x) < 200) * 940

    def paint(self, hu: F32, z: float, cloud: F32) -> None:
        """One axial plane, overwriting it."""
        skin = self._skin + _waist(z)
        wall = skin + self._fat + np.float32(_SKIN_MM)
        inside = wall + np.float32(_WALL_MM)
        hu[:] = self._table
        trunk = _cover(skin)
        hu += trunk * (15 - hu)
        fat = FAT_HU + 6 * cloud
        hu += _cover(skin + _SKIN_MM) * (fat - hu)
        muscle = MUSCLE_HU + 6 * cloud
        hu += _cover(wall) * (muscle - hu)
        for depth in (5.0, 10.0):
            sheet = np.clip(1 - np.abs(wall + depth) / np.float32(1.1), 0, 1)
            hu += sheet * self._flank * (-60 - hu)
        hu += _cover(inside) * (fat - hu)
        hu += self._back * (muscle - 3 + self._streaks - hu)
        self._paint_ribs(hu, inside, z)

    def _paint_ribs(self, hu: F32, inside: F32, z: float) -> None:
        """The lowest ribs, in the wall, falling forwards."""
        for n, (level, front) in enumerate(((10.0, -0.2), (42.0, 0.35), (74.0, 0.9), (106.0, 1.2))):
            rear = -1.12 + 0.02 * n
            if not level - 34 * (front + 0.9) - 9 < z < level - 34 * (rear + 0.9) + 9:
                continue
            axis = level - 34 * (self._angle + 0.9)
            gap = np.hypot((inside - 5) / 0.8, (z - axis) * 0.8) - 4.6
            gap = np.maximum(gap, (self._angle - front) * 60)
            gap = np.maximum(gap, (rear - self._angle) * 60)
            hu += _cover(gap) * (520 - hu)
            hu += _cover(gap + np.float32(1.6)) * (180 - hu)


def _paint_spine(hu: F32, grid: Grid, cloud: F32) -> None:
    """Vertebrae with cortex, discs, canal, arches and processes."""
    centre = np.array([0.0, _SPINE_Y])
    back = _SPINE_Y + 26
    paint(hu, grid, Column(centre, (23.0, 17.0), -220, 220), 85.0, (6.0, cloud))
    first = int(np.floor(grid.z.min() / _VERTEBRA_MM)) - 1
    last = int(np.ceil(grid.z.max() / _VERTEBRA_MM)) + 1
    for n in range(first, last + 1):
        middle = n * _VERTEBRA_MM + 8
        paint(hu, grid, Column(centre, (24.0, 18.0), middle - 13.5, middle + 13.5), 360.0)
        inner = Column(centre, (22.4, 16.4), middle - 12, middle + 12)
        paint(hu, grid, inner, 150.0, (18.0, cloud))
        parts = [
            Capsule(
                np.array([0, back + 9, middle - 2]), np.array([0, back + 30, middle - 12]), 3.6, 4.4
            )
        ]
        for s in (-1, 1):
            arch = np.array([s * 15, back - 9, middle + 3]), np.array([0, back + 9, middle - 4])
            wing = (
                np.array([s * 14, back - 4, middle + 2]),
                np.array([s * 42, back + 4, middle + 4]),
            )
            parts += [Capsule(*arch, 4.6, 4.0), Capsule(*wing, 4.6, 2.8)]
        for part in parts:
            paint(hu, grid, part, 440.0)
            paint(hu, grid, part, 210.0, grow_mm=-1.7)
    canal = Column(np.array([0.0, _SPINE_Y + 25]), (10.0, 7.5), -220, 220)
    paint(hu, grid, canal, 22.0, (4.0, cloud))


def _clear(centre: F64, radii: F64, keep_free: Shape) -> bool:
    """Whether a ball stays clear of a shape."""
    x, y, z = (np.array([value], dtype=np.float32) for value in centre)
    return bool(keep_free.distance(x, y, z)[0] > 9 + radii.mean())
