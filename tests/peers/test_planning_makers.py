"""Planning objects by other makers' programs are read where their own masks were.

highdicom's are in ``tests/monitor/test_segmentations.py``, and an older dcmqi's.
"""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dicom_listener.pixels import read_volume
from monitor.analysis import Planned, read_structures
from monitor.structures import Offered
from tests.dicom_listener.objects import at
from tests.peers.makers import MAKERS, Maker, Masks
from tests.quick_case import QuickCase
from tests.segmentation.drawn import SHAPES, Shape

TUMOUR, HILUM = "(?i)tum(o|ou)r|gtv|mass|lesion", "(?i)hil"

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def middle(quick: QuickCase) -> NDArray[np.float64]:
    """Of the planning scan, LPS mm; not on a voxel's centre."""
    scan = read_volume(quick.planning.files)
    count = np.array(scan.array.shape[::-1])
    return np.asarray(scan.to_lps((count - 1) / 2 + 0.3), dtype=np.float64)


@pytest.fixture(scope="module")
def shapes(middle: NDArray[np.float64]) -> dict[str, Shape]:
    """A tumour, a hilum beside it, and a bowel with a hole; none like another in a mirror."""
    places = {
        "Tumour": ("ellipsoid", 0.0),
        "Hilum": ("sphere", 25.0),
        "Bowel": ("with a hole", -35.0),
    }
    return {
        name: _moved(SHAPES[kind], middle + np.array([x, x / 3, 0.0]))
        for name, (kind, x) in places.items()
    }


def _moved(shape: Shape, to: NDArray[np.float64]) -> Shape:
    return Shape(lambda points: shape.depth(points - to), shape.volume_ml)


@pytest.fixture(scope="module")
def masks(quick: QuickCase, shapes: dict[str, Shape]) -> Masks:
    """On the planning scan's voxels."""
    scan = read_volume(quick.planning.files)
    k, j, i = np.indices(scan.array.shape)
    centres = scan.to_lps(np.stack([i, j, k], axis=-1).reshape(-1, 3)).reshape(*k.shape, 3)
    return {name: shape.depth(centres) > 0 for name, shape in shapes.items()}


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_it_is_where_its_own_mask_was(
    make: Maker, quick: QuickCase, masks: Masks, shapes: dict[str, Shape], tmp_path: Path
) -> None:
    path = make(quick.planning.folder, masks, tmp_path)
    answer = read_structures(Offered(path, "1", "2", TUMOUR, HILUM, at(0)))
    assert isinstance(answer, Planned), answer
    assert answer.drawn.series_uids == (quick.planning.uid,)
    assert {s.name: s.kind for s in answer.structures} == {
        "Tumour": "tumour",
        "Hilum": "hilum",
        "Bowel": "other",
    }
    scan = read_volume(quick.planning.files)
    voxel_ml = float(np.prod(scan.spacing_mm)) / 1000
    for solid in answer.structures:
        mask = masks[solid.name]
        own_ml = float(mask.sum()) * voxel_ml
        index = np.argwhere(mask).mean(axis=0)[::-1]
        off = shapes[solid.name].depth(solid.surface.points_lps_mm)
        assert solid.centre_lps_mm == pytest.approx(scan.to_lps(index), abs=0.5)
        assert off.mean() == pytest.approx(0, abs=0.1)
        assert solid.volume_ml == pytest.approx(own_ml, rel=0.03)
