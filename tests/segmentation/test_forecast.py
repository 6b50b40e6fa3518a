"""Forecasts against the ice that the same freeze really makes later."""

import math

import numpy as np
import pytest

from segmentation.estimate import Estimate
from segmentation.forecast import Until, forecast, lethal
from segmentation.ice import find_ice
from segmentation.margins import clearance, tumour_margin
from segmentation.moment import Earlier, Moment
from segmentation.rigid import Rigid
from segmentation.structures import Structure, solid_from_contours
from tests.segmentation.frozen_block import SPHERE_MM, block, frozen

STILL = Rigid.identity()


def sphere(name: str, centre_mm: tuple[float, float, float], radius_mm: float) -> Structure:
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    rings = []
    for height in np.arange(-radius_mm + 0.5, radius_mm, 2.0):
        ring = math.sqrt(radius_mm**2 - height**2)
        x, y = ring * np.cos(angle), ring * np.sin(angle)
        rings.append(np.column_stack([x, y, np.full(48, height)]) + np.array(centre_mm))
    kind = "tumour" if name == "tumour" else "hilum"
    return solid_from_contours(name, kind, rings)  # type: ignore[arg-type]


TUMOUR = sphere("tumour", (0, 0, 0), SPHERE_MM)
HILUM = sphere("hilum", (-26, 0, 0), 6.0)


FREEZING = Moment(phase="freeze", phase_s=240.0, cycle=1)


def measured(time_s: float, moment: Moment = FREEZING) -> tuple[object, ...]:
    """Ice, margin and distance of the block after so long a freeze."""
    ice = find_ice(frozen("freeze", time_s), block().ground, STILL, moment)
    assert ice is not None
    margin = tumour_margin(ice, TUMOUR, STILL, registration_mm=0.3).margin_mm
    distance = clearance(ice, HILUM, STILL, registration_mm=0.3).distance_mm
    ahead = forecast(
        ice, block().ground, moment, STILL, (TUMOUR, margin), [(HILUM, distance)], STILL
    )
    return ice, margin, distance, ahead


def test_the_forecast_is_what_comes() -> None:
    _, _, _, ahead = measured(240)
    assert ahead is not None
    for step in ahead.ahead:  # type: ignore[attr-defined]
        ice, margin, distance, _ = measured(240 + step.after_s)
        assert step.margin_mm.value == pytest.approx(margin.value, abs=0.8)  # type: ignore[attr-defined]
        assert step.distances_mm[0].value == pytest.approx(distance.value, abs=0.8)  # type: ignore[attr-defined]
        assert step.volume_ml.value == pytest.approx(ice.volume_ml, rel=0.12)  # type: ignore[attr-defined]
        assert step.margin_mm.low <= margin.value <= step.margin_mm.high  # type: ignore[attr-defined]


def test_further_ahead_is_less_certain() -> None:
    _, margin, _, ahead = measured(240)
    widths = [e.sd for e in (margin, *(a.margin_mm for a in ahead.ahead))]  # type: ignore[attr-defined]
    assert widths == sorted(widths)


def test_a_slower_freeze_than_expected_goes_on_slowly() -> None:
    """The ice of 240 s came only 480 s after that of 120 s."""
    first, _, _, _ = measured(120)
    usual = Moment(earlier=(Earlier(120.0, first.volume_ml),), baseline_s=500)  # type: ignore[attr-defined]
    slow = Moment(earlier=(Earlier(480.0, first.volume_ml),), baseline_s=800)  # type: ignore[attr-defined]
    paces = [measured(240, moment)[3].pace for moment in (usual, slow)]  # type: ignore[attr-defined]
    assert paces[0] == pytest.approx(1, abs=0.25)
    assert paces[1] < 0.75 * paces[0]


def test_nothing_is_foretold_in_a_thaw() -> None:
    moment = Moment(phase="thaw", phase_s=200, earlier=(Earlier(240.0, 40.0),))
    ice = find_ice(frozen("thaw", 150), block().ground, STILL, moment)
    assert ice is not None
    estimate = Estimate.about(1, 1)
    assert forecast(ice, block().ground, moment, STILL, (TUMOUR, estimate), [], STILL) is None
    assert lethal(ice, block().ground, moment, STILL, TUMOUR, STILL, 0.3) is None


def test_the_lethal_surface_is_smaller_than_the_ice() -> None:
    ice, margin, _, _ = measured(420)
    cold = lethal(ice, block().ground, FREEZING, STILL, TUMOUR, STILL, 0.3)  # type: ignore[arg-type]
    assert cold is not None
    assert 0.15 * ice.volume_ml < cold.volume_ml.value < 0.7 * ice.volume_ml  # type: ignore[attr-defined]
    assert cold.margin_mm.value < margin.value - 1.5  # type: ignore[attr-defined]
    assert 0 < cold.covered_fraction < 1


def test_contact_and_the_wanted_margin_are_timed() -> None:
    _, margin, distance, ahead = measured(240)
    reached: Until = ahead.margin_reached  # type: ignore[attr-defined]
    assert ahead.ahead[-1].margin_mm.value < 5  # type: ignore[attr-defined]
    assert reached.value is None or reached.value > 300
    assert margin.value < 5  # type: ignore[attr-defined]
    contact: Until = ahead.contact[0]  # type: ignore[attr-defined]
    assert distance.value > 0  # type: ignore[attr-defined]
    assert contact.low > 0
    assert contact.low <= (contact.value or math.inf) <= contact.high
