"""The bio-heat model against a fine solution, and the order of what it says."""

import numpy as np
import pytest
from numpy.typing import NDArray

from segmentation.bioheat import Course, Protocol, Tissue, run
from segmentation.probes import Probe
from segmentation.sampling import sample
from segmentation.volume import Volume

CELL_MM = 2.5
PROTOCOL = Protocol(600.0, (300.0,), 420.0, 300.0, 240.0, 300.0)
PROBE = Probe(np.array([0.3, 0.6, -20.0]), np.array([0.0, 0.0, 1.0]), 100.0)


def grid(half_mm: float = 35.0) -> Volume:
    count = int(2 * half_mm / CELL_MM) + 1
    array = np.zeros((count,) * 3, dtype=np.float32)
    return Volume(array, np.full(3, -half_mm), np.eye(3), np.full(3, CELL_MM))


def tissue(
    perfusion_per_s: float | NDArray[np.float32] = 0.0,
    water: float | NDArray[np.float32] = 1.0,
    warm: NDArray[np.bool_] | None = None,
) -> Tissue:
    box = grid()
    shape = box.array.shape
    return Tissue(
        box,
        np.broadcast_to(np.float32(water), shape).astype(np.float32),
        np.broadcast_to(np.float32(perfusion_per_s), shape).astype(np.float32),
        np.zeros(shape, dtype=bool) if warm is None else warm,
    )


def diameter_mm(times_s: NDArray[np.float32], at_s: float, towards: int = 1) -> float:
    """Twice the distance from the shaft to where the front is then, along x."""
    box = grid()
    steps = np.arange(0, 30, 0.1)
    points = np.column_stack([0.3 + towards * steps, np.full_like(steps, 0.6), steps * 0])
    field = Volume(times_s, box.origin_lps_mm, box.direction, box.spacing_mm)
    return 2 * float(steps[np.argmax(sample(field, points) > at_s)])


@pytest.fixture(scope="module")
def plain() -> Course:
    return run(tissue(), [PROBE], PROTOCOL)


@pytest.mark.parametrize(("at_s", "expected_mm"), [(180, 17.7), (360, 24.1), (600, 29.6)])
def test_a_single_probe_meets_a_fine_axisymmetric_solution(
    plain: Course, at_s: float, expected_mm: float
) -> None:
    """The table is of 0 C; half frozen, -4.5 C, lies 1 to 3 mm of diameter further in."""
    assert expected_mm - 3.2 < diameter_mm(plain.ice[0].times_s, at_s) < expected_mm - 0.3


def test_perfusion_stops_the_ice(plain: Course) -> None:
    perfused = run(tissue(0.013), [PROBE], PROTOCOL)
    dry, wet = (diameter_mm(c.ice[0].times_s, 600) for c in (plain, perfused))
    assert wet < dry - 6


def test_ice_goes_further_in_fat_than_in_perfused_kidney() -> None:
    """Fat conducts worse, but no blood warms it and a quarter of the latent heat is in it."""
    water = np.ones(grid().array.shape, dtype=np.float32)
    water[..., len(water) // 2 + 3 :] = 0.0  # beyond x = 7.5 mm
    half = run(tissue(0.01 * water, water), [PROBE], PROTOCOL)
    fat, kidney = (diameter_mm(half.ice[0].times_s, 600, side) for side in (1, -1))
    assert fat > kidney + 2


def test_a_vessel_stays_warm(plain: Course) -> None:
    warm = np.zeros(grid().array.shape, dtype=bool)
    warm[..., len(warm) // 2 + 4] = True  # a sheet at x = 10 mm
    beside = run(tissue(warm=warm), [PROBE], PROTOCOL)
    assert diameter_mm(beside.ice[0].times_s, 600) < 2 * 10
    assert diameter_mm(plain.ice[0].times_s, 600) > 2 * 10


def test_the_lethal_surface_lies_inside_the_ice(plain: Course) -> None:
    for ice, lethal in zip(plain.ice, plain.lethal, strict=True):
        if lethal is not None:
            inside = ice.times_s < 600
            assert (lethal.times_s[inside] >= ice.times_s[inside]).all()
    coldest = plain.lethal[0]
    assert coldest is not None
    gap = diameter_mm(plain.ice[0].times_s, 600) - diameter_mm(coldest.times_s, 600)
    assert 6 < gap < 12  # 29.6 against 19.3 mm at 0 and -20 C


def test_ice_melts_from_outside_and_a_refreeze_starts_from_what_is_left(plain: Course) -> None:
    freeze, thaw, again = plain.ice
    assert [f.stage for f in plain.ice] == ["freeze", "thaw", "refreeze"]
    assert plain.lethal[1] is None
    at_stop = freeze.times_s < 300
    assert (thaw.times_s[at_stop] > 0).mean() > 0.97
    later = [int((thaw.times_s > t).sum()) for t in (30, 120, 240, 400)]
    assert later == sorted(later, reverse=True)
    left = thaw.times_s > 240
    assert (again.times_s[left] <= 20).all()
    assert diameter_mm(again.times_s, 300) > diameter_mm(freeze.times_s, 300)


def test_two_runs_are_one_to_the_bit() -> None:
    short = Protocol(120.0, (60.0,), 60.0, 60.0, 30.0, 60.0)
    first, second = (run(tissue(0.005), [PROBE], short) for _ in range(2))
    for a, b in zip(first.ice, second.ice, strict=True):
        assert np.array_equal(a.times_s, b.times_s)
