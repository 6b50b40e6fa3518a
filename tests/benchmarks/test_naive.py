"""The naive ways on a scene whose ice, tumour and hilum are boxes and balls."""

from typing import Any

import numpy as np
import pytest

from benchmarks.naive import (
    BORDERS,
    CONTROL,
    ICE_HU,
    THRESHOLD,
    UNREGISTERED,
    compare,
    threshold_ice,
)
from benchmarks.reading import Planned
from benchmarks.solids import Solid

AFFINE = np.array([[0, 0, 1.0, -30], [0, 1, 0, -30], [1, 0, 0, -30], [0, 0, 0, 1]])
SHAPE = (60, 60, 60)
FROZEN_HU, TISSUE_HU, FAT_HU = -45, 35, -100


def _ball(centre: tuple[float, float, float], radius_mm: float) -> Solid:
    solid = Solid(np.ones(SHAPE, dtype=bool), AFFINE)
    points = solid.to_lps(np.argwhere(solid.mask).astype(np.float64))
    return Solid((np.linalg.norm(points - centre, axis=1) < radius_mm).reshape(SHAPE), AFFINE)


ICE = _ball((-0.5, -0.5, -0.5), 14.25)
TUMOUR = _ball((-0.5, -0.5, -0.5), 8.25)
HILUM = _ball((-0.5, -0.5, 24.5), 5.25)
PLANNED = Planned(TUMOUR, HILUM, TUMOUR.surface.points_lps_mm)
TRUTH: dict[str, Any] = {"margin_mm": 6.0, "hilum_distance_mm": 5.5}


def _scan(ice: Solid = ICE) -> np.ndarray[Any, np.dtype[np.int16]]:
    return np.where(ice.mask, FROZEN_HU, TISSUE_HU).astype(np.int16)


def test_with_everything_right_only_the_rulers_differ() -> None:
    found = compare(TRUTH, _scan(), ICE, ICE, PLANNED, np.eye(4))
    assert set(found) == {THRESHOLD, BORDERS, UNREGISTERED, CONTROL}
    assert found[BORDERS].dice == found[CONTROL].dice == 1
    for name in (UNREGISTERED, CONTROL):
        assert found[name].margin_error_mm == pytest.approx(0, abs=0.5)
        assert found[name].hilum_error_mm == pytest.approx(0, abs=0.5)
    # Between voxels' centres a gap seems wider by a voxel.
    assert found[BORDERS].hilum_error_mm == pytest.approx(1, abs=0.5)
    assert found[THRESHOLD].dice > 0.9


def test_only_the_unregistered_way_leaves_contours_behind() -> None:
    # The kidney lies 4 mm nearer to the head than when the contours were drawn.
    shift, back = np.eye(4), np.eye(4)
    shift[2, 3], back[2, 3] = 4.0, -4.0
    planned = Planned(TUMOUR.moved(back), HILUM.moved(back), PLANNED.points_lps_mm - (0, 0, 4.0))
    found = compare(TRUTH, _scan(), ICE, ICE, planned, shift)
    assert found[UNREGISTERED].margin_error_mm == pytest.approx(-4, abs=0.6)
    assert found[UNREGISTERED].hilum_error_mm == pytest.approx(-4, abs=0.6)
    assert found[CONTROL].margin_error_mm == pytest.approx(0, abs=0.5)
    assert found[BORDERS].hilum_error_mm == pytest.approx(1, abs=0.6)


def test_an_absolute_threshold_takes_in_what_merely_looks_like_ice() -> None:
    hu = _scan()
    assert threshold_ice(hu, ICE, PLANNED.points_lps_mm).volume_ml == pytest.approx(
        ICE.volume_ml, rel=0.1
    )
    hu[:, 40:] = np.mean(ICE_HU)  # a region of such HU that touches the ice
    leaked = threshold_ice(hu, ICE, PLANNED.points_lps_mm)
    assert leaked.volume_ml > 2 * ICE.volume_ml
    assert leaked.mask[30, 50, 30]


def test_an_absolute_threshold_sees_no_ice_in_fat_or_enhanced_tissue() -> None:
    hu = np.full(SHAPE, FAT_HU, dtype=np.int16)
    found = compare(TRUTH, hu, ICE, ICE, PLANNED, np.eye(4))[THRESHOLD]
    assert (found.dice, found.margin_error_mm, found.hilum_error_mm) == (0, None, None)
