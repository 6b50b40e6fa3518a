"""What a scan looks like: geometry, numbers, breathing, ice."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from pydicom.dataset import Dataset

from scanner_sim.body import Build
from scanner_sim.breathing import Motion, Pose, draw_poses
from scanner_sim.cases import CASES, Case
from scanner_sim.freezing import BODY_C, NEVER_S, Cold
from scanner_sim.grid import Box, Field, Grid
from scanner_sim.imaging import Imager, Protocol
from scanner_sim.phantom import Phantom, TumourSite, water_share
from scanner_sim.probes import place
from scanner_sim.procedure import ScanEvent, run_procedure
from scanner_sim.scene import Scene
from scanner_sim.shapes import at_points
from segmentation.volume import SlicePlane, Stack, check_stack
from tests.scanner_sim.conftest import START


def stack_of(datasets: Sequence[Dataset]) -> Stack:
    """The checked geometry of a series."""
    planes = []
    for image in datasets:
        x, y, z = (float(value) for value in image.ImagePositionPatient)
        a, b, c, d, e, f = (float(value) for value in image.ImageOrientationPatient)
        rows, columns = (float(value) for value in image.PixelSpacing)
        planes.append(
            SlicePlane((x, y, z), (a, b, c, d, e, f), (rows, columns), image.Rows, image.Columns)
        )
    return check_stack(planes)


def hu_of(datasets: Sequence[Dataset]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """[k, j, i] in HU, k in the order given."""
    return np.stack(
        [
            image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept)
            for image in datasets
        ]
    )


def test_every_scan_is_a_volume(scans: tuple[ScanEvent, ...]) -> None:
    for scan in scans:
        stack = stack_of(scan.datasets)
        assert stack.order == tuple(range(len(scan.datasets)))
        assert scan.truth is not None
        assert scan.truth.ice.shape == stack.shape
        assert stack.spacing_mm == pytest.approx([1.5, 1.5, 4.0])


def test_numbers_are_those_of_twelve_bits(scans: tuple[ScanEvent, ...]) -> None:
    hu = hu_of(scans[1].datasets)
    assert hu.min() >= -1024
    assert hu.max() == 3071


def test_metal_is_there_only_with_needles(scans: tuple[ScanEvent, ...]) -> None:
    assert hu_of(scans[0].datasets).max() < 2000
    assert (hu_of(scans[2].datasets) >= 3000).sum() > 20


@pytest.fixture(scope="module")
def anatomy() -> Phantom:
    return Phantom(
        Build(),
        TumourSite(24, 4, -20, 22),
        side=1,
        prone=False,
        rng=np.random.default_rng(5),
    )


@pytest.fixture(scope="module")
def scene(anatomy: Phantom) -> Scene:
    box = anatomy.tumour.box
    target = (box.lower + box.upper) / 2
    return Scene(anatomy, place(target, anatomy.outwards, 2, 6.5), 85.0, 1.5)


def _cold(scene: Scene, radius_mm: float) -> Cold:
    """All frozen hard within a ball round the tumour, all warm outside."""
    box = scene.anatomy.tumour.box
    centre = (box.lower + box.upper) / 2
    grid = Grid.covering(Box(centre - 40, centre + 40), 1.5)
    x, y, z = grid.open
    away = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2)
    now = Field(grid, np.where(away < radius_mm, -30, BODY_C).astype(np.float32), BODY_C)
    since = np.where(away < radius_mm, 0, NEVER_S).astype(np.float32)
    return Cold(now, now, Field(grid, since, NEVER_S))


def test_tissue_falls_by_the_drop_and_fat_hardly_changes(scene: Scene) -> None:
    imager = Imager(scene, Protocol(160, 1.5, 16, 4.0, 4.0, 1e-3), scene.anatomy.kidney_centre)
    rest = Pose.rest(scene.anatomy.kidney_centre)
    chance = [np.random.default_rng(1) for _ in range(2)]
    before = imager.take(rest, None, probes_in=False, rng=chance[0])
    after = imager.take(rest, _cold(scene, 20.0), probes_in=False, rng=chance[1])
    change = after.hu.astype(float) - before.hu
    assert np.abs(change[~after.ice]).mean() < 0.5
    tissue = after.ice & (before.hu > 25) & (before.hu < 60)
    fat = after.ice & (before.hu > -125) & (before.hu < -95)
    assert tissue.sum() > 500
    assert fat.sum() > 200
    assert np.median(change[tissue]) == pytest.approx(-85, abs=3)
    assert -18 < np.median(change[fat]) < -8


def test_cold_but_unfrozen_tissue_grows_denser(scene: Scene) -> None:
    water, fat = (np.array([value], dtype=np.float32) for value in (1.0, 0.15))
    cool = np.array([7.0], dtype=np.float32)
    # 30 degrees at 0.35 HU each.
    assert scene.change_hu(cool, water)[0] == pytest.approx(10.5)
    assert scene.change_hu(cool, fat)[0] == pytest.approx(1.575)


def test_water_share() -> None:
    hu = np.array([-1000, -105, 0, 40, 1000], dtype=np.float32)
    assert water_share(hu).tolist() == pytest.approx([0, 0.15, 1, 1, 0.25], abs=0.01)


def test_kidney_moves_and_spine_stays(scene: Scene, anatomy: Phantom) -> None:
    pose = Pose(np.eye(3), np.array([1.0, -1.5, 7.0]), anatomy.kidney_centre)
    motion = Motion(anatomy, scene.box)
    moved = motion.displacement(pose)
    field = Field(scene.block.grid, scene.block.array)
    rng = np.random.default_rng(2)
    points = rng.uniform(anatomy.tumour.box.lower, anatomy.tumour.box.upper, (200, 3))
    points = points[at_points(anatomy.tumour, points) < 0]
    axis = [np.sort(points[:, n] + pose.shift[n]) for n in range(3)]
    grid = Grid(axis[0], axis[1], axis[2])
    pulled = motion.pull(field, grid, moved)
    back = Grid(*(a - s for a, s in zip(axis, pose.shift, strict=True)))
    inside = anatomy.tumour.distance(*back.open) < 0
    # Grid steps are uneven here, so compare against the field point by point.
    index = np.argwhere(inside)[:400]
    where = np.column_stack([back.x[index[:, 2]], back.y[index[:, 1]], back.z[index[:, 0]]])
    assert pulled[tuple(index.T)] == pytest.approx(field.at(where), abs=0.5)
    spine = Grid(np.linspace(2, 20, 4), np.linspace(40, 55, 4), np.linspace(-40, 40, 5))
    still = motion.pull(field, spine, moved)
    assert still == pytest.approx(field.on(spine), abs=0.5)


def test_breathing_steps_are_within_range() -> None:
    centre = np.array([80.0, 40.0, 0.0])
    for seed in range(20):
        poses = draw_poses(np.random.default_rng(seed), centre, 13, (4.0, 8.0))
        shifts = np.array([pose.shift for pose in poses])
        steps = np.linalg.norm(np.diff(shifts, axis=0), axis=1)
        assert shifts[0] == pytest.approx([0, 0, 0])
        assert ((steps > 3.9) & (steps < 8.1)).all()
        assert (np.abs(shifts[:, 2]) <= 8.01).all()
        share = np.abs(np.diff(shifts, axis=0)[:, 2]) / steps
        assert share.min() > 0.9
        for pose in poses:
            angle = np.degrees(np.arccos(np.clip((np.trace(pose.rotation) - 1) / 2, -1, 1)))
            assert angle <= 2.2


def test_truth_names_the_motion(scans: tuple[ScanEvent, ...]) -> None:
    truth = scans[-1].truth
    assert truth is not None
    matrix = np.array(truth.kidney_matrix)
    assert matrix[:3, :3] @ matrix[:3, :3].T == pytest.approx(np.eye(3), abs=1e-9)
    assert scans[0].truth is not None
    assert np.array(scans[0].truth.kidney_matrix) == pytest.approx(np.eye(4))


def test_ice_grows_and_reaches_past_the_tumour(scans: tuple[ScanEvent, ...]) -> None:
    truths = [scan.truth for scan in scans]
    assert [scan.role for scan in scans] == ["planning", "baseline", "monitoring", "monitoring"]
    assert truths[0] is not None
    assert truths[0].margin_mm is None
    early, late = truths[2], truths[3]
    assert early is not None
    assert late is not None
    assert early.margin_mm is not None
    assert late.margin_mm is not None
    assert early.margin_mm < late.margin_mm
    assert 10 < early.volume_ml < late.volume_ml < 40
    voxels_ml = late.ice.sum() * 1.5 * 1.5 * 4.0 / 1000
    assert voxels_ml == pytest.approx(late.volume_ml, rel=0.06)


def test_ice_is_dark_in_the_image(scans: tuple[ScanEvent, ...]) -> None:
    last = scans[-1]
    assert last.truth is not None
    hu = hu_of(last.datasets)
    inside = last.truth.ice & (hu < 300)
    assert -70 < np.median(hu[inside]) < -20


def test_prone_pictures_are_turned_and_lie_in_the_same_place() -> None:
    quick = CASES["quick"]
    small = replace(quick, planning=Protocol(64, 3.0, 8, 6.0, 6.0, 1e-3))
    stacks, volumes = [], []
    for position in ("HFS", "HFP"):
        scan = _planning(replace(small, position=position))
        stacks.append(stack_of(scan.datasets))
        volumes.append(hu_of(scan.datasets))
    supine, prone = stacks
    assert prone.direction[:, 0] == pytest.approx([-1, 0, 0])
    assert prone.direction[:, 2] == pytest.approx([0, 0, 1])
    last = supine.origin_lps_mm + supine.direction @ (supine.spacing_mm * [63, 63, 0])
    assert prone.origin_lps_mm == pytest.approx(last, abs=1e-3)
    # The spine stays behind the kidney in the patient: turned back, the bright pixels agree.
    turned = volumes[1][:, ::-1, ::-1]
    bone = volumes[0] > 150
    assert bone.sum() > 300
    assert (turned[bone] > 100).mean() > 0.95


def _planning(case: Case) -> ScanEvent:
    event = next(iter(run_procedure(case, seed=3, start=START)))
    assert isinstance(event, ScanEvent)
    return event
