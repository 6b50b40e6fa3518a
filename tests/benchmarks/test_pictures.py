"""Pictures show what is where, in colours, and stay small."""

import io

import numpy as np
import pytest
from PIL import Image

from benchmarks.interval import IntervalScore
from benchmarks.pictures import (
    COLOURS,
    CRITERIA,
    GAP_PIXELS,
    LARGEST_BYTES,
    PIXEL_MM,
    SIDE_MM,
    Shown,
    picture,
    place,
    worst,
)
from benchmarks.reading import Planned
from benchmarks.scoring import ScanScore
from benchmarks.solids import Apart, Solid

AFFINE = np.array([[0, 0, 1.0, -50], [0, 1, 0, -50], [1, 0, 0, -50], [0, 0, 0, 1]])
SHAPE = (100, 100, 100)


def _box(low: int, high: int) -> Solid:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[low:high, low:high, low:high] = True
    return Solid(mask, AFFINE)


def _shown(put: np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None) -> Shown:
    rng = np.random.default_rng(1)
    return Shown(
        hu=rng.normal(40, 20, SHAPE).astype(np.int16),
        affine=AFFINE,
        found=_box(30, 66),
        true=_box(30, 70),
        planned=Planned(_box(44, 56), _box(72, 80), np.zeros((1, 3))),
        put=put,
        lies=np.eye(4),
    )


def test_outlines_lie_where_the_solids_do() -> None:
    png = picture(_shown(None), np.array([0.0, 0.0, 0.0]))
    assert len(png) < LARGEST_BYTES
    image = Image.open(io.BytesIO(png))
    side = round(SIDE_MM / PIXEL_MM)
    assert image.size == (2 * side + GAP_PIXELS, side)
    colours = np.asarray(image.convert("RGB"))

    def spans(colour: tuple[int, int, int], left: int) -> tuple[float, ...]:
        """First and last column and row of a colour in one panel, mm from the centre."""
        rows, columns = np.nonzero((colours[:, left : left + side] == colour).all(axis=2))
        edges = np.array([columns.min(), columns.max(), rows.min(), rows.max()])
        return tuple((edges + 0.5) * PIXEL_MM - SIDE_MM / 2)

    # The true box runs from -20.5 to 19.5 mm along every axis; a line is two pixels wide. In the
    # coronal picture the head is on top.
    assert spans(COLOURS["true"], 0) == pytest.approx((-20.5, 19.5, -20.5, 19.5), abs=0.8)
    assert spans(COLOURS["true"], side + GAP_PIXELS) == pytest.approx(
        (-20.5, 19.5, -19.5, 20.5), abs=0.8
    )
    assert spans(COLOURS["found"], 0)[1] == pytest.approx(15.5, abs=0.8)
    assert spans(COLOURS["tumour"], 0) == pytest.approx((-6.5, 5.5, -6.5, 5.5), abs=0.8)
    assert not (colours == COLOURS["hilum"]).all(axis=2).any()


def test_what_registration_did_is_dotted() -> None:
    shift = np.eye(4)
    shift[0, 3] = 5.0
    plain, dotted = (
        np.asarray(Image.open(io.BytesIO(picture(_shown(put), np.zeros(3)))).convert("RGB"))
        for put in (None, shift)
    )
    white = [int((p == COLOURS["tumour"]).all(axis=2).sum()) for p in (plain, dotted)]
    assert white[0] < white[1] < 1.5 * white[0]


def test_the_worst_by_each_criterion() -> None:
    def scan(uid: str, margin: float, hilum: float, overlap: float, hd95: float) -> ScanScore:
        return ScanScore(
            uid,
            uid,
            9.0,
            None,
            overlap,
            Apart(0.1, hd95),
            IntervalScore(0, margin, -9, 9),
            IntervalScore(0, hilum, -9, 9),
        )

    scans = [
        scan("a", -3, 1, 0.9, 1),
        scan("b", 2, -2, 0.8, 1),
        scan("c", 1, 1, 0.7, 3),
        ScanScore("d", "d", 9.0, "leak: It leaks."),
    ]
    assert {name: s.label for name, s in worst(scans).items()} == {
        "margin": "a",
        "hilum": "b",
        "dice": "c",
        "surface": "c",
    }
    assert worst(scans[3:]) == {}
    assert [c.said(scans[0]) for c in CRITERIA] == [
        "margin wrong by -3.0 mm",
        "distance to hilum wrong by +1.0 mm",
        "Dice 0.900",
        "HD95 1.0 mm",
    ]


def test_a_picture_goes_through_what_went_wrong() -> None:
    measurement = {
        "tumour": {"worst_point_lps_mm": [1, 2, 3]},
        "structures": [
            {"name": "Colon", "nearest_point_lps_mm": [0, 0, 0]},
            {"name": "Hilum", "nearest_point_lps_mm": [4, 5, 6]},
        ],
    }
    found, true = _box(30, 66), _box(30, 70)
    assert place("margin", measurement, found, true).tolist() == [1, 2, 3]
    assert place("hilum", measurement, found, true).tolist() == [4, 5, 6]
    assert place("dice", measurement, found, true).max() == pytest.approx(19.5, abs=0.6)
