"""Pictures and outlines: of spheres, whose cuts are circles with known centres and radii."""

import io
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from monitor import artefact
from monitor.artefact import ArtefactError
from monitor.messages import View
from monitor.views import PIXEL_MM, WINDOW_HU, Plane, picture, views
from tests.monitor.artefacts import (
    HILUM_LPS_MM,
    HILUM_RADIUS_MM,
    ICE_LPS_MM,
    ICE_RADIUS_MM,
    LETHAL_LPS_MM,
    LETHAL_RADIUS_MM,
    TUMOUR_LPS_MM,
    TUMOUR_RADIUS_MM,
    WORST_LPS_MM,
    MadeScan,
    Position,
    make_scan,
)

AXES = {
    "axial": ([1, 0, 0], [0, 1, 0]),  # x to the left, y to posterior
    "coronal": ([1, 0, 0], [0, 0, -1]),  # y to the feet
    "sagittal": ([0, 1, 0], [0, 0, -1]),
}
LETTERS = {"axial": "RLAP", "coronal": "RLHF", "sagittal": "APHF"}
BALLS = {
    "ice": (ICE_LPS_MM, ICE_RADIUS_MM),
    "lethal": (LETHAL_LPS_MM, LETHAL_RADIUS_MM),
    "tumour": (TUMOUR_LPS_MM, TUMOUR_RADIUS_MM),
    "hilum": (HILUM_LPS_MM, HILUM_RADIUS_MM),
}
TOLERANCE_MM = 0.2
"""Half of half a millimetre: the outlines' raster."""
COARSE_MM = 0.25
"""What lies on a grid of 2.5 mm is drawn by straight lines between its points."""


@pytest.fixture(scope="module", params=get_args(Position))
def scan(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> MadeScan:
    """The same patient, supine and prone."""
    return make_scan(tmp_path_factory.mktemp("balls"), request.param)


def in_plane(view: View, point: NDArray[np.float64]) -> NDArray[np.float64]:
    """(2,): where a point's projection lies in the picture."""
    offset = point - WORST_LPS_MM
    moved = [float(offset @ np.array(axis)) for axis in AXES[view.plane]]
    return np.add(view.worst_point, moved)


def radius_in_plane(view: View, centre: NDArray[np.float64], radius: float) -> float:
    """Of the circle that the plane through the worst point cuts out of a ball; 0 for none."""
    right, down = AXES[view.plane]
    normal = np.cross(right, down)
    away = float((centre - WORST_LPS_MM) @ normal)
    return float(np.sqrt(max(radius**2 - away**2, 0)))


def test_three_planes(scan: MadeScan) -> None:
    found = views(scan.artefact, "0f" * 16)
    assert found.measurement_id == "0f" * 16
    assert [view.plane for view in found.views] == ["axial", "coronal", "sagittal"]
    for view in found.views:
        assert view.image == f"/api/v1/measurements/{'0f' * 16}/views/{view.plane}.png"


def test_directions_are_the_patients(scan: MadeScan) -> None:
    """On the page the patient lies as the radiologist is used to, prone or supine."""
    for view in views(scan.artefact, "m").views:
        assert view.left + view.right + view.top + view.bottom == LETTERS[view.plane]


def test_a_point_of_a_picture_is_a_point_of_the_patient(scan: MadeScan) -> None:
    """What is clicked is meant: the mark of the worst point leads back to it."""
    for view in views(scan.artefact, "m").views:
        assert (view.right_lps, view.down_lps) == tuple(tuple(a) for a in AXES[view.plane])
        x, y = view.worst_point
        right, down = np.array(view.right_lps), np.array(view.down_lps)
        clicked = np.array(view.origin_lps_mm) + x * right + y * down
        assert clicked == pytest.approx(WORST_LPS_MM, abs=1e-9)


def test_outlines_are_circles_where_they_should_be(scan: MadeScan) -> None:
    seen = 0
    for view in views(scan.artefact, "m").views:
        for outline in view.outlines:
            centre, ball_radius = BALLS[outline.kind]
            radius = radius_in_plane(view, centre, ball_radius)
            if radius == 0:
                assert outline.curves == []
                continue
            (curve,) = outline.curves
            away = np.linalg.norm(np.array(curve) - in_plane(view, centre), axis=1)
            tolerance = COARSE_MM if outline.kind == "lethal" else TOLERANCE_MM
            assert np.abs(away - radius).max() < tolerance, (view.plane, outline.name)
            seen += 1
    assert seen >= 7


def test_outlines_are_named(scan: MadeScan) -> None:
    for view in views(scan.artefact, "m").views:
        named = [(outline.name, outline.kind) for outline in view.outlines]
        modelled = [("Modelled −20 °C", "lethal")]
        contoured = [("Tumour 1", "tumour"), ("Renal hilum", "hilum")]
        assert named == [("Ice ball", "ice"), *modelled, *contoured]


def test_without_a_model_nothing_is_drawn_as_modelled(scan: MadeScan) -> None:
    found = views(replace(scan.artefact, lethal=None), "m").views
    assert all(outline.kind != "lethal" for view in found for outline in view.outlines)


@pytest.mark.parametrize("plane", get_args(Plane))
def test_the_picture_lies_under_its_outlines(scan: MadeScan, plane: Plane) -> None:
    """The bright ball in the picture is the ice's circle."""
    view = next(v for v in views(scan.artefact, "m").views if v.plane == plane)
    image = Image.open(io.BytesIO(picture(scan.artefact, plane)))
    grey = np.asarray(image, dtype=float)
    rows, columns = grey.shape
    assert (columns, rows) == (
        pytest.approx(view.width_mm / PIXEL_MM, abs=1),
        pytest.approx(view.height_mm / PIXEL_MM, abs=1),
    )
    low, high = WINDOW_HU
    bright = grey > 255 * (50 - low) / (high - low)
    y, x = np.nonzero(bright)
    middle = (np.array([x.mean(), y.mean()]) + 0.5) * PIXEL_MM
    assert middle == pytest.approx(in_plane(view, ICE_LPS_MM), abs=0.4)
    radius = np.sqrt(bright.sum() * PIXEL_MM**2 / np.pi)
    expected = radius_in_plane(view, ICE_LPS_MM, ICE_RADIUS_MM)
    assert radius == pytest.approx(expected, abs=0.4)


def test_the_worst_point_is_in_the_picture(scan: MadeScan) -> None:
    for view in views(scan.artefact, "m").views:
        x, y = view.worst_point
        assert 0 < x < view.width_mm
        assert 0 < y < view.height_mm


def test_an_artefact_that_is_absent_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"none\.npz"):
        artefact.load(tmp_path / "none.npz")
    damaged = tmp_path / "damaged.npz"
    for content in (b"", b"PK\x03\x04 half of it", b"\0" * 5000):
        damaged.write_bytes(content)
        with pytest.raises(ArtefactError, match=r"damaged\.npz"):
            artefact.load(damaged)
    np.savez(damaged, other=np.zeros(3))
    with pytest.raises(ArtefactError, match=r"damaged\.npz"):
        artefact.load(damaged)
