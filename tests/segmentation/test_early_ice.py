"""Ice in a would-be baseline, in a block of kidney with a straight probe."""

from dataclasses import dataclass

import numpy as np
import pytest

from segmentation.early_ice import iced_probes
from segmentation.probes import Probe
from segmentation.rigid import Rigid
from segmentation.volume import Volume

STEP_MM = 2.0
SIDE = 50
TO_SCAN = Rigid(np.eye(3), np.array([3.0, -2.0, 5.0]))
"""The scan's frame is another than the planning scan's."""

FIRST = Probe(np.array([-8.0, 0.0, -22.0]), np.array([0.0, 0.0, 1.0]), 60.0)
SECOND = Probe(np.array([8.0, 0.0, -22.0]), np.array([0.0, 0.0, 1.0]), 60.0)
"""In the planning scan's frame; freezing from z = -17 to 13."""


@dataclass(frozen=True)
class Scan:
    """Of tissue that held ``before_hu`` and holds ``now_hu`` unfrozen, ice 85 HU less."""

    before_hu: float = 35.0
    now_hu: float = 35.0
    radius_mm: float = 0.0
    blood_hu: float = 0.0
    drop_hu: float = 85.0

    def iced(self) -> tuple[int, ...]:
        rng = np.random.default_rng(4)
        axis = STEP_MM * (np.arange(SIDE) - SIDE / 2)
        z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
        planning = self.before_hu + rng.normal(0, 12, z.shape)
        now = self.now_hu + rng.normal(0, 12, z.shape)
        ice = (np.hypot(x + 8, y) < self.radius_mm) & (z > -22) & (z < 18)
        now = np.where(ice, now - self.drop_hu, now)
        now = np.where(np.hypot(x - 8, y) < 10, now + self.blood_hu, now)
        for probe in (FIRST, SECOND):  # metal, and a streak beside it
            metal = np.hypot(x - probe.tip_lps_mm[0], y) < 2
            now = np.where(metal & (z > -22), 2500, now)
            now = np.where((np.abs(y) < 1) & ~metal & (np.abs(x) < 14), now - 60, now)
        kidney = (np.sqrt(x**2 + y**2 + z**2) < 45).astype(np.float32)

        def volume(array: object, move: Rigid) -> Volume:
            origin = move.apply(np.full(3, axis[0]))
            values = np.asarray(array, dtype=np.float32)
            return Volume(values, origin, np.eye(3), np.full(3, STEP_MM))

        none = Rigid.identity()
        return iced_probes(
            volume(planning, none),
            volume(now, TO_SCAN),
            TO_SCAN,
            volume(kidney, none),
            [FIRST.moved(TO_SCAN), SECOND.moved(TO_SCAN)],
        )


def test_no_ice() -> None:
    assert Scan().iced() == ()


@pytest.mark.parametrize(
    "scan",
    [
        Scan(radius_mm=8),
        Scan(radius_mm=8, drop_hu=60),
        Scan(radius_mm=14),
        Scan(radius_mm=8, before_hu=130, now_hu=130),
        Scan(radius_mm=8, before_hu=130, now_hu=35),
    ],
    ids=["ice", "little drop", "much ice", "contrast medium in both", "washed out since"],
)
def test_ice_round_one_of_two_probes(scan: Scan) -> None:
    assert scan.iced() == (0,)


@pytest.mark.parametrize(
    "scan",
    [
        Scan(now_hu=120),
        Scan(before_hu=150, now_hu=40),
        Scan(blood_hu=25),
        Scan(blood_hu=-15),
    ],
    ids=["contrast medium since", "washed out since", "blood", "water"],
)
def test_what_is_no_ice(scan: Scan) -> None:
    assert scan.iced() == ()


def test_no_probes_no_ice() -> None:
    none = Volume(np.zeros((2, 2, 2), np.float32), np.zeros(3), np.eye(3), np.ones(3))
    assert iced_probes(none, none, Rigid.identity(), none, []) == ()
