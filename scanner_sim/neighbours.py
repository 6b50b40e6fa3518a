"""What lies beside the tumour and makes its ice hard to see: cysts, urine, fluid, blood, bowel.

A neighbour is described in a case by its place relative to the tumour's centre, mm along u, v, w:
the kidney's own frame in the phantom (see ``kidney``), else lateral, posterior, cranial. Each is
painted anew for every scan over the anatomy in the reference position, and moves with the kidney.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import ndimage

from scanner_sim.body import GAS_HU
from scanner_sim.grid import F32, F64, Box, Grid, Window
from scanner_sim.phantom import Anatomy
from scanner_sim.shapes import Ellipsoid, Shape, Without

Triple = tuple[float, float, float]

_EDGE_MM = 1.0
_ALWAYS_S = -1e9
_LEAST_SIZE = 0.35
"""Share of its full size at which a growing neighbour appears."""
_MOTTLE_MM = 2.5


@dataclass(frozen=True, eq=False)
class Moment:
    """One scan's view of the neighbours.

    Attributes
    ----------
    grid
        What they are painted on, reference position.
    at_s
        Procedure time.
    rng
        Draws what differs from scan to scan.
    """

    grid: Grid
    anatomy: Anatomy
    at_s: float
    rng: np.random.Generator


class Neighbour(Protocol):
    """Anything that is painted over the anatomy scan by scan."""

    def paint(self, hu: F32, moment: Moment) -> tuple[Window, F32] | None:
        """Paint it in place as it is at a time of the procedure.

        Returns
        -------
        The part of the grid it touches and its share of each voxel there; None when it is absent.
        """


@dataclass(frozen=True)
class Pocket:
    """A rounded space full of fluid that presses against the tumour: a cyst, a calyx."""

    offset_mm: Triple
    radii_mm: Triple
    hu: float = 8.0

    def paint(self, hu: F32, moment: Moment) -> tuple[Window, F32] | None:
        """See Neighbour."""
        whole = _ellipsoid(moment.anatomy, self.offset_mm, self.radii_mm)
        return _fill(hu, moment.grid, Without(whole, (moment.anatomy.tumour,)), self.hu)


@dataclass(frozen=True)
class Layer:
    """Fluid or blood spread over the kidney, in the fat between it and what stays in place.

    Attributes
    ----------
    offset_mm, radii_mm
        The region it spreads over, an ellipsoid.
    thickness_mm
        Greatest distance from kidney and tumour.
    begins_s, full_s
        It appears at the first and is full at the second, procedure time.
    mottle_hu
        Standard deviation of clots in it, drawn for the patient, not for the scan.
    """

    offset_mm: Triple
    radii_mm: Triple
    thickness_mm: float
    hu: float
    begins_s: float = _ALWAYS_S
    full_s: float = _ALWAYS_S
    mottle_hu: float = 0.0

    def paint(self, hu: F32, moment: Moment) -> tuple[Window, F32] | None:
        """See Neighbour."""
        if moment.at_s < self.begins_s:
            return None
        grown = (moment.at_s - self.begins_s) / max(self.full_s - self.begins_s, 1e-6)
        size = _LEAST_SIZE + (1 - _LEAST_SIZE) * min(grown, 1.0)
        radii = tuple(radius * (0.5 + 0.5 * size) for radius in self.radii_mm)
        region = _ellipsoid(moment.anatomy, self.offset_mm, (radii[0], radii[1], radii[2]))
        shape = _Spread(region, moment.anatomy, self.thickness_mm * size)
        return _fill(hu, moment.grid, shape, self.hu, self.mottle_hu)


@dataclass(frozen=True)
class BowelLoop:
    """A loop of bowel that wanders and fills with more or less gas from scan to scan.

    Attributes
    ----------
    wander_mm
        Greatest step from its usual place along each axis of the patient.
    gas
        Least and greatest share of its height that gas fills.
    """

    offset_mm: Triple
    radii_mm: Triple
    wander_mm: Triple = (4.0, 2.5, 6.0)
    gas: tuple[float, float] = (0.4, 1.0)
    wall_hu: float = 38.0
    content_hu: float = 22.0

    def paint(self, hu: F32, moment: Moment) -> tuple[Window, F32] | None:
        """See Neighbour."""
        anatomy, grid, rng = moment.anatomy, moment.grid, moment.rng
        usual = _ellipsoid(anatomy, self.offset_mm, self.radii_mm)
        step = rng.uniform(-1, 1, 3) * np.array(self.wander_mm)
        swell = rng.uniform(0.85, 1.1, 3)
        share = float(rng.uniform(*self.gas))
        whole = Ellipsoid(usual.centre + step, usual.radii * swell, usual.axes)
        loop = Without(whole, (anatomy.moving,))
        done = _fill(hu, grid, loop, self.wall_hu)
        if done is None:
            return None
        window, cover = done
        x, y, z = grid.part(window).open
        depth = loop.distance(x, y, z) + np.float32(2.2)
        inside = np.clip(0.5 - depth, 0, 1)
        target = hu[window]
        target += inside * (np.float32(self.content_hu) - target)
        # Gas rises to the front of a supine patient, +y being posterior.
        low, high = float(whole.box.lower[1]) + 2, float(whole.box.upper[1]) - 2
        level = low + share * (high - low)
        gas = np.clip(0.5 - np.maximum(depth + np.float32(0.4), y - np.float32(level)), 0, 1)
        target += gas * (np.float32(GAS_HU) - target)
        return window, cover


@dataclass(frozen=True, eq=False)
class _Spread:
    """What is near the moving parts of the anatomy, but neither in them nor in what stays."""

    region: Ellipsoid
    anatomy: Anatomy
    thickness_mm: float

    @property
    def box(self) -> Box:
        """Of the region."""
        return self.region.box

    def distance(self, x: F32, y: F32, z: F32) -> F32:
        """Greatest of the bounds' distances; thins out towards the region's rim."""
        region = self.region.distance(x, y, z)
        away = self.anatomy.moving.distance(x, y, z)
        reach = np.float32(self.thickness_mm) * np.clip(-region / 8, 0, 1)
        total = np.maximum(np.maximum(-away, away - reach), region)
        still = self.anatomy.static_distance(x, y, z)
        result: F32 = np.maximum(total, 0.5 - still)
        return result


def _ellipsoid(anatomy: Anatomy, offset_mm: Triple, radii_mm: Triple) -> Ellipsoid:
    """In LPS, from the tumour's frame."""
    box = anatomy.tumour.box
    middle: F64 = (box.lower + box.upper) / 2
    axes = anatomy.axes
    return Ellipsoid(middle + axes @ np.array(offset_mm), np.array(radii_mm), axes)


def _fill(
    hu: F32, grid: Grid, shape: Shape, value: float, mottle_hu: float = 0.0
) -> tuple[Window, F32] | None:
    """Blend a value into a shape, in place; its part of the grid and its share there."""
    window = grid.window(shape.box.grow(_EDGE_MM))
    if window is None:
        return None
    distance = shape.distance(*grid.part(window).open)
    cover = np.clip(np.float32(0.5) - distance / np.float32(_EDGE_MM), 0, 1)
    target = hu[window]
    paint = np.full(target.shape, value, dtype=np.float32)
    if mottle_hu:
        paint += np.float32(mottle_hu) * _mottle(grid.part(window))
    target += cover * (paint - target)
    return window, cover


def _mottle(grid: Grid) -> F32:
    """Clots: a cloudy field of unit variance, the same for the same extent."""
    white = np.random.default_rng(grid.shape).standard_normal(grid.shape, dtype=np.float32)
    cloud: F32 = ndimage.gaussian_filter(white, _MOTTLE_MM / grid.spacing[::-1])
    return cloud / np.float32(cloud.std() + 1e-6)
