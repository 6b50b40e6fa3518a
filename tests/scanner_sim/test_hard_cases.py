"""What makes each hard case hard is there in the numbers: small scans without noise."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from scanner_sim.breathing import Pose
from scanner_sim.case import HELD_OUT, Case
from scanner_sim.cases import CASES
from scanner_sim.features import Damage
from scanner_sim.freezing import BODY_C, NEVER_S, Cold
from scanner_sim.grid import F32, F64, Box, Field, Grid
from scanner_sim.imaging import Imager, Protocol
from scanner_sim.neighbours import BowelLoop, Layer, Pocket
from scanner_sim.phantom import Phantom
from scanner_sim.probes import place
from scanner_sim.scene import Scene

QUIET = Protocol(96, 1.25, 16, 3.0, 3.0, 1e-3)
BALL_MM = 20.0


@dataclass(frozen=True, eq=False)
class Bench:
    """One hard case as a small scene, looked at as often as wanted."""

    case: Case
    anatomy: Phantom
    scene: Scene
    imager: Imager
    middle: F64

    @staticmethod
    def of(name: str) -> "Bench":
        """The phantom of a named case at low resolution."""
        case = CASES[name]
        anatomy = Phantom(
            case.build,
            case.site,
            side=case.side,
            prone=case.position == "HFP",
            rng=np.random.default_rng(3),
            clear=case.features.clear,
        )
        middle = np.asarray((anatomy.tumour.box.lower + anatomy.tumour.box.upper) / 2)
        probes = place(middle, anatomy.outwards, case.placement.count, case.placement.ring_mm)
        scene = Scene(
            anatomy,
            probes,
            case.drop_hu,
            1.5,
            features=case.features,
            damage=Damage.draw(case.features, probes, np.random.default_rng(4)),
            freeze_from_s=case.timeline.freeze_from_s,
        )
        return Bench(case, anatomy, scene, Imager(scene, QUIET, middle), middle)

    def look(
        self, at_s: float, cold: Cold | None = None, *, seed: int = 1, probes_in: bool = False
    ) -> F32:
        """HU [k, j, i] of a scan at a time of the procedure."""
        rest = Pose.rest(self.anatomy.kidney_centre)
        rng = np.random.default_rng(seed)
        image = self.imager.take(rest, cold, probes_in=probes_in, rng=rng, at_s=at_s)
        return image.hu.astype(np.float32)

    def ball(self, radius_mm: float, *, was_mm: float | None = None, since_s: float = 0.0) -> Cold:
        """Ice in a ball round the tumour, and the larger ball that it once was."""
        grid = Grid.covering(Box(self.middle - 36, self.middle + 36), 1.5)
        x, y, z = grid.open
        a, b, c = self.middle
        away = np.sqrt((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2)
        largest = max(radius_mm, was_mm or 0.0)

        def frozen(inside_mm: float) -> Field:
            values = np.where(away < inside_mm, -30, BODY_C).astype(np.float32)
            return Field(grid, values, BODY_C)

        since = np.where(away < largest, since_s, NEVER_S).astype(np.float32)
        return Cold(frozen(radius_mm), frozen(largest), Field(grid, since, NEVER_S))

    def away(self) -> F32:
        """Distance of each voxel from the tumour's middle, mm."""
        x, y, z = self.imager.grid.open
        a, b, c = (np.float32(value) for value in self.middle)
        return np.asarray(np.sqrt((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2))

    def deep(self, shape: str, depth_mm: float = 2.5) -> NDArray[np.bool_]:
        """Voxels well inside the tumour or the kidney's tissue."""
        points = self.imager.grid.open
        kidney = self.anatomy.kidney
        tumour = self.anatomy.tumour.distance(*points)
        if shape == "tumour":
            return np.asarray(tumour < -depth_mm)
        tissue = (kidney.outline.distance(*points) < -depth_mm) & (tumour > depth_mm)
        hollow = np.minimum(kidney.sinus.distance(*points), kidney.collecting.distance(*points))
        vessels = np.minimum(kidney.vein.distance(*points), kidney.artery.distance(*points))
        return np.asarray(tissue & (np.minimum(hollow, vessels) > depth_mm))

    def around(self, offset_mm: tuple[float, float, float], reach_mm: float) -> NDArray[np.bool_]:
        """Voxels near a place given in the tumour's frame."""
        at = self.middle + self.anatomy.axes @ np.array(offset_mm)
        x, y, z = self.imager.grid.open
        a, b, c = (np.float32(value) for value in at)
        return np.asarray((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2 < reach_mm**2)


def test_the_split_is_by_name_and_both_parts_have_hard_cases() -> None:
    assert set(CASES) >= HELD_OUT
    tuning = [case for case in CASES.values() if case.part == "tuning" and not case.for_tests]
    test = [case for case in CASES.values() if case.part == "test"]
    assert (len(tuning), len(test)) == (15, 9)
    assert {case.name for case in tuning} >= {"cyst", "contrast-between-scans", "cracks"}
    assert "bowel-gas" in {case.name for case in tuning}
    sites = [case.site for case in test] + [
        case.site for case in tuning if case.timeline.thaw_s < 400
    ]
    assert all(a != b for a, b in combinations(sites, 2))


def test_a_cyst_is_water_that_touches_the_tumour_and_freezes() -> None:
    bench = Bench.of("cyst")
    pocket = bench.case.features.neighbours[0]
    assert isinstance(pocket, Pocket)
    inside = bench.around(pocket.offset_mm, 7.0)
    before = bench.look(0.0)
    assert before[inside].mean() == pytest.approx(8, abs=2)
    # The ball of ice reaches into it, but not through it.
    after = bench.look(0.0, bench.ball(BALL_MM))
    reached = inside & (bench.away() < BALL_MM - 2)
    spared = inside & (bench.away() > BALL_MM + 2)
    assert reached.sum() > 20
    assert spared.sum() > 20
    assert np.median((after - before)[reached]) == pytest.approx(-bench.case.drop_hu, abs=3)
    assert np.abs((after - before)[spared]).max() < 3
    points = bench.imager.grid.open
    close = (bench.anatomy.tumour.distance(*points) > 0) & bench.around(pocket.offset_mm, 9.5)
    assert bench.anatomy.tumour.distance(*points)[close].min() < 2


def test_urine_fills_a_wide_pelvis_beside_the_tumour() -> None:
    bench = Bench.of("urine")
    before = bench.look(0.0)
    for pocket in bench.case.features.neighbours:
        assert isinstance(pocket, Pocket)
        inside = bench.around(pocket.offset_mm, 4.0)
        inside &= bench.anatomy.tumour.distance(*bench.imager.grid.open) > 3
        if inside.any():
            assert before[inside].mean() == pytest.approx(6, abs=3)
    near = (before > -5) & (before < 15) & (bench.away() < BALL_MM) & ~bench.deep("tumour", 0.0)
    # Several millilitres of urine within the ice to come.
    assert near.sum() * 1.25 * 1.25 * 3 / 1000 > 1.0


def test_saline_replaces_fat_after_the_baseline_and_freezes() -> None:
    bench = Bench.of("hydrodissection")
    needles_s = bench.case.timeline.needles_s
    before, early, late = (bench.look(at_s) for at_s in (needles_s, 510.0, 900.0))
    assert np.abs(before - bench.look(0.0)).max() < 3
    was_fat = before < -80
    wet_early, wet_late = (was_fat & (scan > -5) & (scan < 20) for scan in (early, late))
    assert 100 < wet_early.sum() < wet_late.sum()
    iced = bench.look(900.0, bench.ball(BALL_MM))
    frozen = wet_late & (bench.away() < BALL_MM - 2)
    assert frozen.sum() > 50
    assert np.median((iced - late)[frozen]) == pytest.approx(-bench.case.drop_hu, abs=4)


def test_blood_grows_in_the_fat_against_the_kidney() -> None:
    bench = Bench.of("haematoma")
    layer = bench.case.features.neighbours[0]
    assert isinstance(layer, Layer)
    before, early, late = (bench.look(at_s) for at_s in (300.0, 510.0, 900.0))
    was_fat = before < -80
    counts = [int((was_fat & (scan > 40)).sum()) for scan in (before, early, late)]
    assert counts[0] == 0
    assert 100 < counts[1] < 0.8 * counts[2]
    away = bench.anatomy.moving.distance(*bench.imager.grid.open)
    blood = was_fat & (late > 40)
    assert np.median(late[blood & (away > 2.5)]) == pytest.approx(57, abs=8)
    assert away[blood].min() < 2


def test_bowel_gas_is_near_and_never_the_same() -> None:
    bench = Bench.of("bowel-gas")
    assert isinstance(bench.case.features.neighbours[0], BowelLoop)
    scans = [bench.look(0.0, seed=seed) for seed in (1, 2, 3)]
    beyond = bench.anatomy.tumour.distance(*bench.imager.grid.open)
    for scan in scans:
        gas = (scan < -700) & (beyond < 30)
        assert gas.sum() > 50
        assert 6 < beyond[gas].min() < 22
    for one, other in combinations(scans, 2):
        changed = (np.abs(one - other) > 300) & (beyond < 30)
        assert changed.sum() > 50


def test_excreted_contrast_rises_and_falls_with_streaks() -> None:
    bench = Bench.of("excreted-contrast")
    wet = bench.anatomy.kidney.collecting.distance(*bench.imager.grid.open) < -1.5
    scans = {at_s: bench.look(at_s) for at_s in (0.0, 300.0, 705.0, 1300.0)}
    levels = [float(np.median(scan[wet])) for scan in scans.values()]
    assert levels[0] > 200
    assert levels[0] < levels[1] < levels[2]
    assert levels[2] > 500
    assert levels[3] < 0.7 * levels[2]
    other = bench.look(705.0, seed=2)
    near = bench.deep("kidney", 3.0)
    assert 3 < (other - scans[705.0])[near].std() < 40


def test_contrast_in_mid_freeze_spares_what_had_frozen() -> None:
    bench = Bench.of("contrast-between-scans")
    before, after = bench.look(650.0), bench.look(740.0)
    kidney, tumour = bench.deep("kidney"), bench.deep("tumour")
    assert np.median((after - before)[kidney]) == pytest.approx(85, abs=2)
    assert np.median((after - before)[tumour]) == pytest.approx(45, abs=2)
    fat = (before < -85) & (before > -115)
    assert np.abs(np.median((after - before)[fat])) < 1
    washed = bench.look(1305.0)
    assert np.median((washed - before)[kidney]) == pytest.approx(0.6 * 85, abs=2)
    # Frozen at 500 s, thawed long after the contrast came: as it was before.
    thawed = bench.look(1305.0, bench.ball(0.0, was_mm=16.0, since_s=140.0))
    inner = tumour & (bench.away() < 13)
    assert np.abs(np.median((thawed - before)[inner])) < 2
    outer = kidney & (bench.away() > 19)
    assert np.median((thawed - before)[outer]) == pytest.approx(0.6 * 85, abs=2)
    # What froze after it came keeps it: the fall is from the enhanced number.
    later = bench.look(1305.0, bench.ball(16.0, since_s=500.0))
    drop = bench.case.drop_hu
    assert np.median((later - washed)[inner]) == pytest.approx(-drop, abs=3)


def test_only_planning_is_enhanced() -> None:
    bench = Bench.of("enhanced-planning")
    planning, baseline = bench.look(0.0), bench.look(300.0)
    assert np.median((planning - baseline)[bench.deep("kidney")]) == pytest.approx(120, abs=2)
    assert np.median((planning - baseline)[bench.deep("tumour")]) == pytest.approx(60, abs=2)
    assert np.median(baseline[bench.deep("kidney")]) == pytest.approx(35, abs=4)


def test_cracks_are_dark_thin_and_only_in_late_ice() -> None:
    bench = Bench.of("cracks")
    ice = bench.ball(BALL_MM)
    whole, early, late = (bench.look(at_s, ice) for at_s in (500.0, 745.0, 950.0))
    opened = [(whole - scan > 100) & bench.deep("tumour", 0.0) for scan in (early, late)]
    assert (whole - late)[opened[1]].max() > 300
    assert 30 < opened[0].sum() < opened[1].sum()
    # Sheets, not lumps: a small share of the ice.
    assert opened[1].sum() < 0.25 * (bench.away() < BALL_MM).sum()
    outside = bench.away() > BALL_MM + 4
    assert np.abs((whole - late)[outside]).max() < 3
    assert np.abs(late - bench.look(950.0, ice)).max() < 3
    assert np.abs(bench.look(950.0) - bench.look(0.0)).max() < 3


def test_metal_reduction_trades_streaks_for_smooth_errors() -> None:
    bench = Bench.of("mar")
    plain = Imager(
        Scene(bench.anatomy, bench.scene.probes, bench.case.drop_hu, 1.5), QUIET, bench.middle
    )
    rest = Pose.rest(bench.anatomy.kidney_centre)
    bare = bench.look(0.0)
    streaky = plain.take(rest, None, probes_in=True, rng=np.random.default_rng(1)).hu - bare
    first, second = (bench.look(0.0, seed=seed, probes_in=True) - bare for seed in (1, 2))
    points = np.stack(np.broadcast_arrays(*bench.imager.grid.open), axis=-1)
    gaps = []
    for probe in bench.scene.probes:
        delta = points - probe.tip
        along = np.clip(delta @ probe.outwards, 0, 175)
        gaps.append(np.linalg.norm(delta - along[..., None] * probe.outwards, axis=-1))
    gap = np.min(gaps, axis=0)
    far = (gap > 16) & (bare > -900)
    assert np.abs(streaky[far]).mean() > 4 * np.abs(first[far]).mean()
    assert 1200 < first.max() < streaky.max()
    beside = (gap > 5) & (gap < 8)
    errors = first[beside]
    assert 5 < errors.std() < 25
    assert np.percentile(np.abs(errors), 99) < 40
    assert np.corrcoef(first[beside], second[beside])[0, 1] < 0.5


def test_thawed_tissue_stays_darker_in_patches() -> None:
    bench = Bench.of("thaw-rim")
    before = bench.look(0.0)
    after = bench.look(0.0, bench.ball(9.0, was_mm=18.0))
    rim = (
        (bench.away() > 11.5)
        & (bench.away() < 16)
        & (bench.deep("kidney", 1.0) | bench.deep("tumour", 1.0))
    )
    change = (after - before)[rim]
    assert change.mean() == pytest.approx(-13.5, abs=3)
    assert change.std() > 2
    core = bench.deep("tumour") & (bench.away() < 6)
    assert np.median((after - before)[core]) == pytest.approx(-bench.case.drop_hu, abs=2)
    untouched = bench.away() > 21
    assert np.abs((after - before)[untouched]).max() < 3


def test_a_plain_case_has_no_features() -> None:
    assert CASES["upper-pole"].features == CASES["standard"].features
    assert CASES["real-ct-exophytic"].features == CASES["standard"].features
