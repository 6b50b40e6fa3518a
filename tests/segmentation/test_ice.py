"""Ice in a block of kidney and fat: seen, completed, and told from what is no ice."""

from dataclasses import replace

import numpy as np
import pytest

from segmentation.change import compare, level_of
from segmentation.freezing import volume_ml
from segmentation.ground import Ground, survey
from segmentation.ice import HiddenError, Ice, UncertainError, find_ice
from segmentation.moment import Earlier, Moment
from segmentation.rigid import Rigid
from segmentation.sampling import resample, voxel_centres
from segmentation.volume import Volume
from tests.segmentation.frozen_block import (
    FAT_FROM_X_MM,
    PROBE,
    SPHERE_MM,
    ball,
    block,
    candidate,
    frozen,
    volume,
    volume_of,
)

FIRST = Moment()
LATER = Moment(earlier=(Earlier(480.0, 15.0), Earlier(240.0, 30.0)))


def found(scan: Volume, moment: Moment = FIRST) -> Ice:
    ice = find_ice(scan, block().ground, Rigid.identity(), moment)
    assert ice is not None
    return ice


def dice(ice: Ice, stage: str, time_s: float) -> float:
    true = volume_of(candidate(stage, time_s)).array > 0
    mask = resample(ice.surface.field, block().baseline, outside=-3.0).array > 0
    return float(2 * (mask & true).sum() / (mask.sum() + true.sum()))


@pytest.mark.parametrize("drop_hu", [60.0, 85.0, 95.0])
def test_the_part_in_fat_is_completed_from_the_part_in_kidney(drop_hu: float) -> None:
    """Half of the ball lies in fat, where nothing shows."""
    ice = found(frozen("freeze", 420, drop_hu=drop_hu, noise_hu=8))
    assert dice(ice, "freeze", 420) > 0.93
    assert 0.2 < ice.visible_surface_fraction < 0.75
    assert ice.drop_hu == pytest.approx(drop_hu, abs=6)
    assert ice.volume_ml == pytest.approx(volume_ml(volume_of_coarse(420)), rel=0.1)


def volume_of_coarse(time_s: float) -> Volume:
    fine = volume_of(candidate("freeze", time_s))
    return resample(fine, block().ground.grid, outside=-12.0)


def test_where_it_was_not_seen_it_is_less_certain() -> None:
    ice = found(frozen("freeze", 420))
    seen, modelled = ice.visible > 0.95, ice.visible < 0.05
    assert ice.edge_sd_mm[modelled].min() > 1.5 * ice.edge_sd_mm[seen].max()


def test_a_thaw_is_told_from_a_freeze_by_the_scan_before() -> None:
    true = volume_of(candidate("thaw", 100)).array > 0
    before = Earlier(240.0, 1.4 * float(true.sum()) * 2 / 1000)
    ice = found(frozen("thaw", 100), Moment(earlier=(Earlier(480.0, 5.0), before)))
    assert ice.model is not None
    assert ice.model.candidates[0].stage == "thaw"
    assert dice(ice, "thaw", 100) > 0.9


@pytest.mark.parametrize("rise_hu", [40.0, 90.0, -30.0])
def test_contrast_medium_is_allowed_for(rise_hu: float) -> None:
    ice = found(frozen("freeze", 420, rise_hu=rise_hu))
    assert ice.level.overall_hu == pytest.approx(rise_hu, abs=4)
    assert dice(ice, "freeze", 420) > 0.9


def test_the_level_is_told_by_class_of_tissue() -> None:
    """Fluid in a cyst takes up no medium, kidney beside it does."""
    change = compare(frozen("freeze", 420, rise_hu=80), block().ground, Rigid.identity())
    level = level_of(change)
    assert level.overall_hu == pytest.approx(80, abs=3)
    assert level.spread_hu < 5
    assert level.without_rise().overall_hu == 0


def test_a_crack_belongs_to_the_ice() -> None:
    scan = frozen("freeze", 420)
    hu = scan.array.astype(np.float32).copy()
    depth = volume_of(candidate("freeze", 420)).array
    points = np.indices(hu.shape)[2] - hu.shape[2] // 2
    crack = (points == -4) & (depth > 0.5)  # a sheet one voxel thick, at x = -4 mm
    hu[crack] = -600
    assert crack.sum() > 100
    assert dice(found(volume(hu)), "freeze", 420) > 0.93


def test_gas_beside_the_ice_is_none() -> None:
    scan = frozen("freeze", 420)
    hu = scan.array.astype(np.float32).copy()
    i = np.indices(hu.shape)[2] - hu.shape[2] // 2
    hu[i > 9] = -900  # a loop of bowel in the fat, from x = 9 mm on
    ice = found(volume(hu))
    mask = resample(ice.surface.field, block().baseline, outside=-3.0).array > 0
    assert mask[(i > 10)].mean() < 0.001
    assert mask[(i < -4)].sum() > 700


@pytest.fixture(scope="module")
def three_probes() -> Ground:
    """The block with three probes 24 mm apart along z."""
    probes = [PROBE.moved(Rigid(np.eye(3), np.array([0.0, 0.0, z]))) for z in (-24.0, 0.0, 24.0)]
    return survey(block().baseline, block().kidney, probes, ball(SPHERE_MM), np.empty((0, 3)))


def balls(radius_mm: float, *heights_mm: float) -> Volume:
    """Ice round the middle of the freezing zones at these heights, where it can be seen."""
    points = voxel_centres(block().baseline)
    hu = block().baseline.array.astype(np.float32).copy()
    for height in heights_mm:
        away = np.linalg.norm(points - np.array([0.0, 0.0, height], dtype=np.float32), axis=-1)
        share = np.clip(0.5 + (radius_mm - away) / 2, 0, 1)
        hu -= np.where((hu < 500) & (points[..., 0] < FAT_FROM_X_MM), 85 * share, 0)
    return volume(hu)


def test_early_on_each_probe_has_a_ball_of_its_own(three_probes: Ground) -> None:
    ice = find_ice(balls(9, -24, 24), three_probes, Rigid.identity(), FIRST)
    assert ice is not None
    heights = ice.surface.points_lps_mm[:, 2]
    assert heights.min() < -30
    assert heights.max() > 30


def test_one_probe_of_several_is_enough(three_probes: Ground) -> None:
    ice = find_ice(balls(8, 24), three_probes, Rigid.identity(), FIRST)
    assert ice is not None
    assert ice.surface.points_lps_mm[:, 2].mean() == pytest.approx(24, abs=2)


def test_a_little_darkening_is_neither_ice_nor_none(three_probes: Ground) -> None:
    with pytest.raises(UncertainError):
        find_ice(balls(5.5, 0), three_probes, Rigid.identity(), FIRST)


def test_without_enough_unfrozen_kidney_the_level_is_not_known() -> None:
    change = compare(frozen("freeze", 420), block().ground, Rigid.identity())
    small = replace(change, kidney=change.kidney & (change.probe_distance_mm < 10))
    assert not level_of(small).known
    assert level_of(change).known


def test_nor_is_there_said_to_be_no_ice_then() -> None:
    """A scan called free of ice may become the baseline."""
    ground = replace(block().ground, kidney=block().ground.kidney & False)
    with pytest.raises(UncertainError):
        find_ice(block().baseline, ground, Rigid.identity(), FIRST)


def test_without_ice_there_is_none() -> None:
    assert find_ice(block().baseline, block().ground, Rigid.identity(), FIRST) is None


def test_metal_all_round_hides_whether_there_is_ice() -> None:
    hu = block().baseline.array.astype(np.float32).copy()
    points = np.indices(hu.shape)
    away = np.hypot(points[2] - hu.shape[2] // 2, 2 * (points[0] - hu.shape[0] // 2))
    hu[away < 9] = 3000
    with pytest.raises(HiddenError):
        find_ice(volume(hu), block().ground, Rigid.identity(), FIRST)


def test_a_moved_scan_gives_the_same_ice_in_its_own_frame() -> None:
    scan = frozen("freeze", 420)
    shift = np.array([5.0, -3.0, 8.0])
    moved = Volume(scan.array, scan.origin_lps_mm + shift, scan.direction, scan.spacing_mm)
    here = found(scan)
    there = find_ice(moved, block().ground, Rigid(np.eye(3), shift), FIRST)
    assert there is not None
    assert there.volume_ml == pytest.approx(here.volume_ml, rel=1e-3)
    gap = there.surface.points_lps_mm.mean(axis=0) - here.surface.points_lps_mm.mean(axis=0)
    assert gap == pytest.approx(shift, abs=0.05)
