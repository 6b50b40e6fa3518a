"""Pictures of the scans where most went wrong, of simulated patients only."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import contourpy
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from benchmarks.reading import HILUM, Planned
from benchmarks.scoring import ScanScore
from benchmarks.solids import Points, Solid

SIDE_MM = 90.0
PIXEL_MM = 0.25
WINDOW_HU = (-160.0, 240.0)
"""A soft-tissue window, level 40 and width 400."""

LARGEST_BYTES = 120_000
"""Of a file: a picture is small change beside the code."""

GREYS = 32
COLOURS: Final = {
    "true": (0, 230, 90),
    "found": (255, 150, 0),
    "tumour": (255, 255, 255),
    "hilum": (255, 80, 255),
    "point": (255, 0, 0),
}
"""After the greys in the palette."""

GAP_PIXELS = 6
CROSS_PIXELS = 5
DOTS = 4
"""A dotted line leaves out every second stretch of this many points."""

Plane = Literal["axial", "coronal"]
DOWN: Final[dict[Plane, tuple[float, float, float]]] = {"axial": (0, 1, 0), "coronal": (0, 0, -1)}
"""LPS direction in which a picture's rows go; its columns go to the patient's left."""


@dataclass(frozen=True)
class Criterion:
    """A way to be the worst.

    Attributes
    ----------
    badness
        Of a scan; larger is worse. None where it does not apply.
    said
        In words, with the figure.
    """

    name: str
    badness: Callable[[ScanScore], float | None]
    said: Callable[[ScanScore], str]


CRITERIA: Final = (
    Criterion(
        "margin",
        lambda s: None if s.margin is None else abs(s.margin.error),
        lambda s: "" if s.margin is None else f"margin wrong by {s.margin.error:+.1f} mm",
    ),
    Criterion(
        "hilum",
        lambda s: None if s.hilum is None else abs(s.hilum.error),
        lambda s: "" if s.hilum is None else f"distance to hilum wrong by {s.hilum.error:+.1f} mm",
    ),
    Criterion(
        "dice",
        lambda s: None if s.dice is None else -s.dice,
        lambda s: "" if s.dice is None else f"Dice {s.dice:.3f}",
    ),
    Criterion(
        "surface",
        lambda s: None if s.surfaces is None else s.surfaces.hd95_mm,
        lambda s: "" if s.surfaces is None else f"HD95 {s.surfaces.hd95_mm:.1f} mm",
    ),
)


@dataclass(frozen=True, eq=False)
class Shown:
    """What one picture is made of, all on or moved to one scan.

    Attributes
    ----------
    hu, affine
        The scan, [k, j, i], and its place.
    put, lies
        (4, 4): planning frame to the scan's, as published (None where it is not), and as it is.
    """

    hu: NDArray[np.int16]
    affine: NDArray[np.float64]
    found: Solid
    true: Solid
    planned: Planned
    put: NDArray[np.float64] | None
    lies: NDArray[np.float64]


def worst(scans: Sequence[ScanScore]) -> dict[str, ScanScore]:
    """For each criterion the worst of the scans to which it applies."""
    chosen = {}
    for criterion in CRITERIA:
        rated = [(value, s) for s in scans if (value := criterion.badness(s)) is not None]
        if rated:
            chosen[criterion.name] = max(rated, key=lambda pair: pair[0])[1]
    return chosen


def place(criterion: str, measurement: dict[str, Any], found: Solid, true: Solid) -> Points:
    """(3,): the point that the picture goes through, LPS mm."""
    if criterion == "margin":
        return np.array(measurement["tumour"]["worst_point_lps_mm"], dtype=np.float64)
    if criterion == "hilum":
        named = [s for s in measurement["structures"] if HILUM.search(s["name"])]
        return np.array(named[0]["nearest_point_lps_mm"], dtype=np.float64)
    points = np.concatenate([true.surface.points_lps_mm, found.surface.points_lps_mm])
    away = np.concatenate(
        [
            found.surface.distance(true.surface.points_lps_mm),
            true.surface.distance(found.surface.points_lps_mm),
        ]
    )
    return np.asarray(points[int(np.argmax(away))])


def picture(shown: Shown, centre: Points) -> bytes:
    """PNG: an axial and a coronal plane through a point, side by side, with outlines."""
    size = round(SIDE_MM / PIXEL_MM)
    whole = Image.new("P", (2 * size + GAP_PIXELS, size))
    greys = [level * 255 // (GREYS - 1) for level in range(GREYS) for _ in range(3)]
    whole.putpalette([*greys, *(part for colour in COLOURS.values() for part in colour)])
    planes: tuple[Plane, ...] = ("axial", "coronal")
    for n, plane in enumerate(planes):
        whole.paste(_panel(shown, centre, plane), (n * (size + GAP_PIXELS), 0))
    output = io.BytesIO()
    whole.save(output, "PNG", optimize=True)
    return output.getvalue()


def _panel(shown: Shown, centre: Points, plane: Plane) -> Image.Image:
    right, down = np.array([1.0, 0.0, 0.0]), np.array(DOWN[plane])
    steps = (np.arange(round(SIDE_MM / PIXEL_MM)) + 0.5) * PIXEL_MM - SIDE_MM / 2
    raster = centre + steps[None, :, None] * right + steps[:, None, None] * down
    points = raster.reshape(-1, 3)
    hu = _sampled(shown.hu, shown.affine, points, -1000.0).reshape(raster.shape[:2])
    low, high = WINDOW_HU
    grey = np.clip((hu - low) / (high - low) * GREYS, 0, GREYS - 1).astype(np.uint8)
    panel = Image.fromarray(grey)
    draw = ImageDraw.Draw(panel)
    for solid, name in ((shown.true, "true"), (shown.found, "found")):
        _outline(draw, solid, points, raster.shape[:2], name)
    for solid, name in ((shown.planned.tumour, "tumour"), (shown.planned.hilum, "hilum")):
        _outline(draw, solid.moved(shown.lies), points, raster.shape[:2], name)
        if shown.put is not None:
            moved = solid.moved(shown.put)
            _outline(draw, moved, points, raster.shape[:2], name, dotted=True)
    middle, arm, red = panel.width / 2, CROSS_PIXELS, _index("point")
    draw.line([(middle - arm, middle), (middle + arm, middle)], fill=red, width=2)
    draw.line([(middle, middle - arm), (middle, middle + arm)], fill=red, width=2)
    return panel


def _index(name: str) -> int:
    """Of a colour in the palette."""
    return GREYS + list(COLOURS).index(name)


def _outline(
    draw: ImageDraw.ImageDraw,
    solid: Solid,
    points: Points,
    shape: tuple[int, ...],
    name: str,
    *,
    dotted: bool = False,
) -> None:
    values = _sampled(solid.smooth, solid.cropped.affine, points, -0.5).reshape(shape)
    for line in contourpy.contour_generator(z=values).lines(0.0):
        course = [(float(x), float(y)) for x, y in np.asarray(line)]
        if not dotted:
            draw.line(course, fill=_index(name), width=2)
            continue
        for start in range(0, len(course), 2 * DOTS):
            draw.line(course[start : start + DOTS], fill=_index(name))


def _sampled(
    array: NDArray[np.float32] | NDArray[np.int16],
    affine: NDArray[np.float64],
    points: Points,
    outside: float,
) -> NDArray[np.float32]:
    """Linear between voxels."""
    inverse = np.linalg.inv(affine)
    index = points @ inverse[:3, :3].T + inverse[:3, 3]
    return np.asarray(
        ndimage.map_coordinates(array, index.T, output=np.float32, order=1, cval=outside)
    )
