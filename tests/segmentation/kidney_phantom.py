"""A kidney among what does not move with it, drawn from formulas in any pose on any grid.

LPS millimetres; the kidney's centre is the origin. Every tissue has a soft edge of a millimetre,
and slices are averaged over their thickness. Nothing is random but the noise.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from segmentation.rigid import Rigid
from segmentation.volume import Volume

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Depth = NDArray[np.floating[Any]]

TUMOUR_LPS_MM = (22.0, 6.0, -18.0)
TUMOUR_RADIUS_MM = 13.0
HILUM_LPS_MM = (-18.0, -2.0, 0.0)
HILUM_RADIUS_MM = 8.0

_HALF_AXES_MM = (26.0, 23.0, 50.0)
_TILT = Rotation.from_euler("xyz", [8, -10, 25], degrees=True).as_matrix()


@dataclass(frozen=True)
class Shown:
    """What a scan shows, besides anatomy in its pose.

    Attributes
    ----------
    kidney_hu, tumour_hu
        Before ice.
    urine_hu
        Above 8 when contrast medium is excreted.
    ice_radius_mm
        0 for none; a ball between tumour and kidney's middle, ``ice_depth`` of the way.
    probes
        Whether two metal needles lie in the tumour.
    gas, haematoma
        Bowel gas against the kidney's front, which does not move with it; a crescent of blood
        behind its outer side, which does.
    noise_hu
        Per voxel, white.
    seed
        Of the noise.
    """

    kidney_hu: float = 35.0
    tumour_hu: float = 42.0
    urine_hu: float = 8.0
    ice_radius_mm: float = 0.0
    ice_depth: float = 0.0
    drop_hu: float = 85.0
    probes: bool = False
    gas: bool = False
    haematoma: bool = False
    noise_hu: float = 8.0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Taken:
    """How a scan is taken.

    Attributes
    ----------
    pixel_mm, spacing_mm
        In the plane; from slice to slice, which is the thickness too.
    centre_lps_mm, extent_mm
        The middle of what is covered and how much along x, y, z.
    direction
        (3, 3), columns are the axes of columns, rows and slices.
    """

    pixel_mm: float = 1.5
    spacing_mm: float = 3.0
    centre_lps_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    extent_mm: tuple[float, float, float] = (160.0, 160.0, 160.0)
    direction: F64 = field(default_factory=lambda: np.eye(3))

    def prone(self) -> "Taken":
        """Columns and rows run the other way."""
        return replace(self, direction=np.diag([-1.0, -1.0, 1.0]))


def pose(shift_mm: tuple[float, float, float], turn_deg: tuple[float, float, float]) -> Rigid:
    """Reference frame to scan; turned about the kidney's centre by a rotation vector."""
    rotation = Rotation.from_rotvec(turn_deg, degrees=True).as_matrix()
    return Rigid(rotation, np.array(shift_mm, dtype=np.float64))


def ball(centre: tuple[float, float, float], radius_mm: float, step_mm: float = 2.0) -> F64:
    """(N, 3): points that fill a ball."""
    axis = np.arange(-radius_mm, radius_mm + 1e-6, step_mm)
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    return np.asarray(grid[(grid**2).sum(axis=1) <= radius_mm**2] + np.array(centre))


def draw(at: Rigid, shown: Shown, taken: Taken) -> Volume:
    """One scan, HU as int16."""
    extent = np.abs(np.array(taken.extent_mm) @ taken.direction)
    spacing = np.array([taken.pixel_mm, taken.pixel_mm, taken.spacing_mm])
    count = np.rint(extent / spacing).astype(int)
    origin = np.array(taken.centre_lps_mm) - taken.direction @ ((count - 1) / 2 * spacing)
    hu = np.empty(tuple(count[::-1]), dtype=np.float32)
    grid = Volume(hu, origin, taken.direction, spacing)
    layers = max(1, round(taken.spacing_mm / 1.5))
    i, j = np.meshgrid(np.arange(count[0]), np.arange(count[1]))
    for k in range(int(count[2])):
        total = np.zeros(i.shape, dtype=np.float32)
        for n in range(layers):
            level = k + (n + 0.5) / layers - 0.5
            points = grid.to_lps(np.stack([i, j, np.full(i.shape, level)], axis=-1))
            total += _hu(points, at, shown)
        hu[k] = total / np.float32(layers)
    rng = np.random.default_rng(shown.seed)
    hu += np.float32(shown.noise_hu) * rng.standard_normal(hu.shape, dtype=np.float32)
    return Volume(np.rint(hu).astype(np.int16), origin, taken.direction, spacing)


def _hu(points: F64, at: Rigid, shown: Shown) -> F32:
    x, y, z = np.moveaxis(points.astype(np.float32), -1, 0)
    hu = np.full(x.shape, -102.0, dtype=np.float32)
    hu += 6 * np.sin(x / 9 + 1) * np.sin(y / 11) * np.sin(z / 13)
    _static(hu, x, y, z)
    own = at.inverse().apply(points).astype(np.float32)
    _kidney(hu, np.moveaxis(own, -1, 0), shown)
    if shown.gas:
        _paint(hu, _ellipsoid(x, y, z, (8, -40, -10), (20, 13, 16)), -900)
    return hu


def _static(hu: F32, x: F32, y: F32, z: F32) -> None:
    """Psoas, spine, ribs, body wall, liver or spleen, bowel, great vessel."""
    _paint(hu, 15 - np.hypot((x + 42) - 0.12 * z, (y - 22) * 0.9), 55)
    spine = np.hypot((x + 82) / 1.2, y - 20)
    _paint(hu, 20 - spine, 150)
    _paint(hu, spine - 17, 350, within=20 - spine)
    _paint(hu, 9 - np.hypot(x + 60, y + 12), 45)
    wall = np.hypot((x + 30) / 118, y / 88)
    _paint(hu, (wall - 0.82) * 90, 55, within=(0.95 - wall) * 90)
    for level in (-50, -18, 14, 46, 78):
        rib = np.hypot((wall - 0.84) * 90, z - level + 0.3 * x - 0.2 * y)
        _paint(hu, 4.5 - rib, 400)
    _paint(hu, _ellipsoid(x, y, z, (10, -25, 82), (48, 50, 34)), 58)
    for place in ((50, -35, 5), (20, -55, -35), (-10, -52, 15), (48, -30, -45)):
        _paint(hu, _ellipsoid(x, y, z, place, (13, 11, 17)), 25)


def _kidney(hu: F32, own: NDArray[np.float32], shown: Shown) -> None:
    x, y, z = own
    u, v, w = np.tensordot(_TILT.T.astype(np.float32), own, axes=1)
    bent = u + np.float32(0.003) * w * w
    parts = [p / np.float32(r) for p, r in zip((bent, v, w), _HALF_AXES_MM, strict=True)]
    level = np.sqrt(sum(p * p for p in parts)) + np.float32(1e-4)
    slope = np.sqrt(sum((p / r) ** 2 for p, r in zip(parts, _HALF_AXES_MM, strict=True)))
    outline = level * (1 - level) / (slope + np.float32(1e-5))
    outline += np.float32(0.9) * np.sin(w / 7) * np.cos(v / 8 + u / 11)
    tumour = _ellipsoid(x, y, z, TUMOUR_LPS_MM, (TUMOUR_RADIUS_MM,) * 3)
    tumour += np.float32(1.2) * np.sin(x / 5) * np.sin(y / 6 + 1) * np.sin(z / 5 + 2)
    both = np.maximum(outline, tumour)
    _paint(hu, both + 3, -102)  # what lies against the kidney gives way
    if shown.haematoma:
        crescent = _ellipsoid(x, y, z, (14, 22, 8), (24, 16, 34))
        _paint(hu, crescent, 58)
    water = np.zeros(hu.shape, dtype=np.float32)
    for inside, value in ((outline, shown.kidney_hu), (tumour, shown.tumour_hu)):
        _paint(hu, inside, value)
    _paint(water, both, 1)
    for place, radii in (
        ((-18, 0, 0), (17, 9, 18)),
        ((-8, 1, 18), (9, 8, 12)),
        ((-8, 1, -18), (9, 8, 12)),
    ):
        sinus = _ellipsoid(u, v, w, place, radii)
        sinus = np.minimum(sinus, -tumour)
        _paint(hu, sinus, -90)
        _paint(water, sinus, 0)
    _paint(hu, _ellipsoid(u, v, w, (-16, 3, -2), (9, 5, 7)), shown.urine_hu)
    for level_w in (17, -1, -18):
        _paint(hu, _ellipsoid(u, v, w, (-4, 2, level_w), (4, 4, 4)), shown.urine_hu)
    _paint(hu, 3.5 - np.hypot(v + 5, w - 2) + np.minimum(0, -14 - u), 45)
    if shown.ice_radius_mm > 0:
        middle = np.array(TUMOUR_LPS_MM) * (1 - shown.ice_depth)
        ice = shown.ice_radius_mm - np.sqrt(
            (x - np.float32(middle[0])) ** 2
            + (y - np.float32(middle[1])) ** 2
            + (z - np.float32(middle[2])) ** 2
        )
        hu -= np.float32(shown.drop_hu) * np.clip(0.5 + ice / 2, 0, 1) * water
    if shown.probes:
        for side in (-5.0, 5.0):
            shaft = np.hypot(z - TUMOUR_LPS_MM[2] - side, y - TUMOUR_LPS_MM[1])
            _paint(hu, 0.8 - shaft, 3000, within=x - TUMOUR_LPS_MM[0] + 10)


def _ellipsoid(
    x: F32, y: F32, z: F32, centre: tuple[float, float, float], radii: tuple[float, float, float]
) -> F32:
    """Depth inside, mm, to first order."""
    parts = [
        (a - np.float32(c)) / np.float32(r)
        for a, c, r in zip((x, y, z), centre, radii, strict=True)
    ]
    level = np.sqrt(sum(p * p for p in parts)) + np.float32(1e-4)
    slope = np.sqrt(sum((p / np.float32(r)) ** 2 for p, r in zip(parts, radii, strict=True)))
    return np.asarray(level * (1 - level) / (slope + np.float32(1e-5)), dtype=np.float32)


def _paint(hu: F32, depth: Depth, value: float, *, within: Depth | None = None) -> None:
    """Blend a value in where the depth (mm) is positive, in place."""
    cover = np.clip(np.float32(0.5) + depth, 0, 1)
    if within is not None:
        cover *= np.clip(np.float32(0.5) + within, 0, 1)
    hu += cover * (np.float32(value) - hu)
