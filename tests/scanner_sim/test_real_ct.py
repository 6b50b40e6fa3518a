"""The real CT as anatomy; its folder lies beside the checkout and is never part of it."""

from pathlib import Path

import numpy as np
import pytest

from scanner_sim.cases import CASES
from scanner_sim.grid import Grid
from scanner_sim.real_ct import RealAnatomy
from scanner_sim.shapes import at_points
from scanner_sim.truth import Surface, sampled

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "abdomen-ct"


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["real-ct-left", "real-ct-right", "real-ct-exophytic"])
def test_the_tumour_sits_in_the_chosen_kidney(name: str) -> None:
    if not FOLDER.is_dir():
        pytest.skip(f"THE DEVELOPMENT DATA ARE NOT HERE: {FOLDER}")
    case = CASES[name]
    anatomy = RealAnatomy(FOLDER, side=case.side, site=case.site, rng=np.random.default_rng(1))
    assert np.sign(anatomy.kidney_centre[0]) == case.side
    tumour = Surface.of(sampled(anatomy.tumour))
    hilum = Surface.of(sampled(anatomy.hilum))
    assert 4 < tumour.distance(hilum.points).min() < 35
    middle = (anatomy.tumour.box.lower + anatomy.tumour.box.upper) / 2
    grid = Grid(*(np.linspace(c - 4, c + 4, 9) for c in middle))
    # Its texture has a standard deviation of 6 HU.
    assert anatomy.hu(grid).mean() == pytest.approx(41, abs=18)
    # Irregular: the radius differs by 15 to 20 % from its mean, up and down.
    radius = np.linalg.norm(tumour.points - middle, axis=1)
    assert 0.15 < np.ptp(radius) / 2 / radius.mean() < 0.2
    # Lateral of the hilum, and not in what stays behind when the kidney moves.
    sides = (middle - (anatomy.hilum.box.lower + anatomy.hilum.box.upper) / 2) * case.side
    assert sides[0] > 15
    x, y, z = middle.astype(np.float32)
    still = anatomy.static_distance(*(np.array([value]) for value in (x, y, z)))
    assert still[0] > 8
    assert at_points(anatomy.moving, middle[None])[0] < 0
