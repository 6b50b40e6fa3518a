"""What truth says of the minutes to come."""

import json

import numpy as np
import pytest

from scanner_sim.course import course
from scanner_sim.freezing import FreezeSolver, Tissue, box_around
from scanner_sim.grid import Field, Grid
from scanner_sim.probes import place
from scanner_sim.procedure import ScanEvent
from scanner_sim.schedule import DueScan, PhaseEvent
from scanner_sim.truth import Reach
from scanner_sim.variation import Variation

PROBES = place(np.zeros(3), np.array([0.0, 0.0, 1.0]), 1, 0.0)
PHASES = (PhaseEvent(100.0, "freeze"), PhaseEvent(300.0, "thaw"), PhaseEvent(400.0, "idle"))
SCANS = (
    DueScan(220.0, "one", "freeze"),
    DueScan(280.0, "two", "freeze"),
    DueScan(380.0, "three", "thaw"),
)


def _solver(variation: Variation | None = None) -> FreezeSolver:
    grid = Grid.covering(box_around(PROBES), 3.0)
    tissue = Tissue(
        grid=grid,
        water=np.ones(grid.shape, np.float32),
        perfusion=np.full(grid.shape, 0.01, np.float32),
        vessel=np.zeros(grid.shape, bool),
    )
    return FreezeSolver(tissue, PROBES, variation or Variation())


def _cold_volume(temperature: Field) -> Reach:
    return Reach(volume_ml=float(np.clip(10 - temperature.array, 0, None).sum()))


def test_looking_ahead_changes_nothing() -> None:
    plain = [item for item in course(_solver(), SCANS, PHASES) if item[1] is not None]
    ahead = [item for item in course(_solver(), SCANS, PHASES, _cold_volume) if item[1] is not None]
    assert [scan for scan, _, _ in plain] == list(SCANS)
    for (_, one, nothing), (_, other, _) in zip(plain, ahead, strict=True):
        assert one is not None
        assert other is not None
        assert (one.temperature.array == other.temperature.array).all()
        assert nothing == {}


def test_what_is_ahead_comes_true() -> None:
    one, two, three = (
        item for item in course(_solver(), SCANS, PHASES, _cold_volume) if item[1] is not None
    )
    assert set(one[2]) == {"60", "180", "300"}
    # A minute after the first scan the second is taken.
    assert two[1] is not None
    now = _cold_volume(two[1].temperature).volume_ml
    assert one[2]["60"].volume_ml == pytest.approx(now, rel=0.02)
    # The freeze ends at 300 s, but what lies ahead goes on freezing.
    endless = _solver()
    endless.switch(on=True)
    endless.advance(280 - 100 + 300)
    expected = _cold_volume(endless.temperature).volume_ml
    assert two[2]["300"].volume_ml == pytest.approx(expected, rel=0.02)
    assert one[2]["60"].volume_ml < one[2]["180"].volume_ml < one[2]["300"].volume_ml
    assert three[2] == {}


def test_the_cold_remembers_what_has_thawed() -> None:
    *_, (_, cold, _) = (item for item in course(_solver(), SCANS, PHASES) if item[1] is not None)
    assert cold is not None
    now, coldest = cold.temperature.array, cold.coldest.array
    assert (coldest <= now).all()
    assert (coldest < now - 20).any()
    through = cold.frozen_at.array <= 1000
    assert (coldest[through] <= -8).all()
    assert through.any()


def test_truth_of_a_freezing_scan_looks_ahead(scans: tuple[ScanEvent, ...]) -> None:
    early, late = scans[2].truth, scans[3].truth
    assert early is not None
    assert late is not None
    margins = [early.margin_mm, *(early.ahead[s].margin_mm for s in ("60", "180", "300"))]
    assert all(margin is not None for margin in margins)
    known = [margin for margin in margins if margin is not None]
    assert known == sorted(known)
    assert late.lethal_margin_mm is not None
    assert late.margin_mm is not None
    assert late.lethal_margin_mm < late.margin_mm - 1
    assert 0 < late.lethal_volume_ml < late.volume_ml
    assert scans[1].truth is not None
    assert scans[1].truth.ahead == {}
    document = json.loads(json.dumps(late.as_json()))
    assert document["ahead"]["180"]["volume_ml"] > document["volume_ml"]
    assert "lethal_volume_ml" in document


def test_variation_changes_the_ice_and_stays_in_its_range() -> None:
    volumes = []
    for variation in (Variation(), Variation(grip=(0.8,)), Variation(perfusion=1.6)):
        solver = _solver(variation)
        solver.switch(on=True)
        solver.advance(200)
        volumes.append(_cold_volume(solver.temperature).volume_ml)
    assert volumes[1] < 0.97 * volumes[0]
    assert volumes[2] < volumes[0]
    drawn = [Variation.draw(np.random.default_rng(seed), 3) for seed in range(50)]
    assert all(0.8 <= grip <= 1.15 for one in drawn for grip in one.grip)
    assert all(0.6 <= one.perfusion <= 1.6 for one in drawn)
    assert all(0.85 <= one.frozen_conductivity <= 1.15 for one in drawn)
    assert all(-150 <= one.probe_c <= -130 for one in drawn)
    assert len({one.grip for one in drawn}) == 50
