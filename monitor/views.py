"""Pictures for the page: three slices through the worst point, with outlines.

The picture and its outlines are made by the same code from the same grid, so that an outline can't
lie at another depth than its picture.
"""

import io
from dataclasses import dataclass
from typing import Literal

import contourpy
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from monitor import messages
from monitor.artefact import Artefact
from monitor.probe_messages import ProbeLine
from monitor.wire import Point
from segmentation.layout import Numbered
from segmentation.rigid import Rigid
from segmentation.sampling import sample
from segmentation.volume import Volume

PIXEL_MM = 0.4
OUTLINE_STEP_MM = 0.5
WINDOW_HU = (-160.0, 240.0)
"""A soft-tissue window, level 40 and width 400."""

FIELD_MM = 120.0
"""Side of the square that is shown; less where less was kept of the scan."""

SMALLEST_CURVE_POINTS = 8

NEAR_PLANE_MM = 3.0
"""A shaft is drawn as in the picture where it lies this near to its plane: slices are 2 to 5 mm
thick, and found shafts right to about 1 mm."""

LETHAL_NAME = "Modelled −20 °C"

Plane = Literal["axial", "coronal", "sagittal"]

AXES: dict[Plane, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "axial": ((1, 0, 0), (0, 1, 0)),
    "coronal": ((1, 0, 0), (0, 0, -1)),
    "sagittal": ((0, 1, 0), (0, 0, -1)),
}
"""For each plane the LPS directions in which the picture's x and y grow: the patient's left is at
the right, anterior and head are on top, whatever the patient's position on the table."""

LETTERS = {(0, 1): "L", (0, -1): "R", (1, 1): "P", (1, -1): "A", (2, 1): "H", (2, -1): "F"}


@dataclass(frozen=True, eq=False)
class _Frame:
    """A square of a plane: LPS of its upper left corner and its two directions."""

    corner: NDArray[np.float64]
    right: NDArray[np.float64]
    down: NDArray[np.float64]
    side_mm: float

    def points(self, step_mm: float) -> NDArray[np.float64]:
        """(n, n, 3) LPS points at the centres of a raster, row by row."""
        steps = np.arange(step_mm / 2, self.side_mm, step_mm)
        return np.asarray(
            self.corner + steps[None, :, None] * self.right + steps[:, None, None] * self.down,
            dtype=np.float64,
        )

    def place(self, point: NDArray[np.float64]) -> tuple[float, float]:
        """(x, y) in mm of the point's projection, from the upper left corner."""
        offset = point - self.corner
        return float(offset @ self.right), float(offset @ self.down)


def _frame(artefact: Artefact, plane: Plane) -> _Frame:
    right, down = (np.array(axis, dtype=np.float64) for axis in AXES[plane])
    worst = artefact.worst_point_lps_mm
    # The ice's middle, in the plane of the worst point: both are then in the picture.
    ice = artefact.ice.to_lps(np.argwhere(artefact.ice.array > 0)[:, ::-1]).mean(axis=0)
    middle = (worst + ice) / 2
    normal = np.cross(right, down)
    centre = middle + ((worst - middle) @ normal) * normal
    corner = centre - (right + down) * FIELD_MM / 2
    return _Frame(corner, right, down, FIELD_MM)


def picture(artefact: Artefact, plane: Plane) -> bytes:
    """PNG of a plane, 8-bit grey."""
    hu = sample(artefact.scan, _frame(artefact, plane).points(PIXEL_MM))
    low, high = WINDOW_HU
    grey = np.clip((hu - low) / (high - low), 0, 1) * 255
    output = io.BytesIO()
    Image.fromarray(grey.astype(np.uint8)).save(output, "PNG", compress_level=1)
    return output.getvalue()


def views(artefact: Artefact, measurement_id: str) -> messages.Views:
    """The three planes with their outlines; pictures are named by their addresses."""
    return messages.Views(
        measurement_id=measurement_id,
        views=[_view(artefact, plane, measurement_id) for plane in AXES],
    )


def _view(artefact: Artefact, plane: Plane, measurement_id: str) -> messages.View:
    frame = _frame(artefact, plane)
    points = frame.points(OUTLINE_STEP_MM)
    curves = _curves(artefact.ice, Rigid.identity(), points)
    outlines = [messages.Outline(name="Ice ball", kind="ice", curves=curves)]
    if artefact.lethal is not None:
        curves = _curves(artefact.lethal, Rigid.identity(), points)
        outlines.append(messages.Outline(name=LETHAL_NAME, kind="lethal", curves=curves))
    to_planning = artefact.planning_to_scan.inverse()
    for structure in artefact.structures:
        curves = _curves(structure.field, to_planning, points)
        outlines.append(messages.Outline(name=structure.name, kind=structure.kind, curves=curves))
    return messages.View(
        plane=plane,
        image=f"/api/v1/measurements/{measurement_id}/views/{plane}.png",
        width_mm=frame.side_mm,
        height_mm=frame.side_mm,
        left=_letter(-frame.right),
        right=_letter(frame.right),
        top=_letter(-frame.down),
        bottom=_letter(frame.down),
        origin_lps_mm=_point(frame.corner),
        right_lps=_point(frame.right),
        down_lps=_point(frame.down),
        worst_point=frame.place(artefact.worst_point_lps_mm),
        outlines=outlines,
        probes=[_line(frame, one) for one in artefact.probes],
    )


def _line(frame: _Frame, numbered: Numbered) -> ProbeLine:
    """A shaft's projection; its distance from the plane changes evenly along it."""
    probe = numbered.probe
    normal = np.cross(frame.right, frame.down)
    at_tip = float((probe.tip_lps_mm - frame.corner) @ normal)
    rise = float(probe.direction @ normal)

    def place(along_mm: float) -> tuple[float, float]:
        return frame.place(probe.tip_lps_mm + along_mm * probe.direction)

    first, last = 0.0, probe.length_mm
    if abs(rise) > 1e-9:
        borders = sorted((side - at_tip) / rise for side in (-NEAR_PLANE_MM, NEAR_PLANE_MM))
        first, last = max(first, borders[0]), min(last, borders[1])
    elif abs(at_tip) > NEAR_PLANE_MM:
        last = first
    return ProbeLine(
        number=numbered.number,
        line=(place(0.0), place(probe.length_mm)),
        near=(place(first), place(last)) if first < last else None,
        tip_near=abs(at_tip) <= NEAR_PLANE_MM,
    )


def _curves(
    field: Volume, to_field: Rigid, points: NDArray[np.float64]
) -> list[list[tuple[float, float]]]:
    """Zero level of a field on a raster of points, as curves in mm (marching squares)."""
    outside = float(min(field.array.min(), -1))
    values = sample(field, to_field.apply(points), outside=outside)
    if not (values > 0).any():
        return []
    lines = contourpy.contour_generator(z=values).lines(0.0)
    return [
        [
            (float((x + 0.5) * OUTLINE_STEP_MM), float((y + 0.5) * OUTLINE_STEP_MM))
            for x, y in np.asarray(line)
        ]
        for line in lines
        if len(line) >= SMALLEST_CURVE_POINTS
    ]


def _point(values: NDArray[np.float64]) -> Point:
    x, y, z = values.tolist()
    return x, y, z


def _letter(direction: NDArray[np.float64]) -> str:
    axis = int(np.argmax(np.abs(direction)))
    return LETTERS[axis, int(np.sign(direction[axis]))]
