"""What the analysis forecasts, on the wire: infinities become null, what can't be is left out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monitor.analysis import Distance, Found, Lethal, measure, prepare_reference
from monitor.artefact import load
from monitor.forecast_messages import Until as WireUntil
from monitor.forecasts import contacts_of, forecast_of, lethal_of
from monitor.structures import read_structure_set
from segmentation.assessment import Reference
from segmentation.estimate import Estimate
from segmentation.forecast import Ahead, Forecast, Until
from segmentation.moment import Earlier, Moment
from tests.quick_case import QuickCase

NEVER = float("inf")
ABOUT = Estimate(2, 1, 3)
FORECAST = Forecast(
    pace=1.0,
    ahead=(Ahead(180, Estimate(30, 25, 35), Estimate(4, 2, 6), (Estimate(8, 7, 9), ABOUT)),),
    margin_reached=Until(200, 100, NEVER),
    contact=(Until(None, NEVER, NEVER), Until(300, 150, 420)),
)
FOUND = Found(
    residual_mm=0.5,
    shift_mm=(0, 0, 0),
    planning_to_scan=tuple(np.eye(4).ravel()),
    volume_ml=20,
    visible_surface_fraction=0.7,
    longest_axis_mm=40,
    margin_mm=ABOUT,
    worst_point_lps_mm=(0, 0, 0),
    covered_fraction={0: 1.0},
    distances=(
        Distance("bowel", "other", ABOUT, (0, 0, 0)),
        Distance("hilum", "hilum", ABOUT, (0, 0, 0)),
    ),
    forecast=FORECAST,
    lethal=Lethal(Estimate(10, 8, 12), Estimate(-1, -3, 1), 0.9),
    probes=2,
    late=(),
    ground=None,
    seconds={},
)


def test_each_structure_keeps_its_own_forecast() -> None:
    found = forecast_of(FOUND)
    assert found is not None
    (ahead,) = found.ahead
    assert [(s.name, s.distance_mm.value) for s in ahead.structures] == [("bowel", 8), ("hilum", 2)]
    assert contacts_of(FOUND) == [None, WireUntil(value=300, low=150, high=420)]


def test_json_knows_no_infinity() -> None:
    found = forecast_of(FOUND)
    assert found is not None
    assert found.margin_5_mm_in_s == WireUntil(value=200, low=100, high=None)
    assert "nfinity" not in found.model_dump_json()


def test_no_forecast_is_null() -> None:
    none = replace(FOUND, forecast=None, lethal=None)
    assert (forecast_of(none), lethal_of(none), contacts_of(none)) == (None, None, [None, None])


@pytest.mark.parametrize("bad", [Estimate(float("nan"), 0, 1), Estimate(5, 6, 7)])
def test_what_can_not_be_is_left_out(bad: Estimate) -> None:
    """The measurement stays: its figures do not come from the model's future."""
    broken = replace(FORECAST, ahead=(replace(FORECAST.ahead[0], margin_mm=bad),))
    assert forecast_of(replace(FOUND, forecast=broken)) is None
    assert lethal_of(replace(FOUND, lethal=Lethal(bad, ABOUT, 0.5))) is None
    broken = replace(FORECAST, contact=(Until(300, 400, 500), FORECAST.contact[1]))
    assert contacts_of(replace(FOUND, forecast=broken))[0] is None


@pytest.fixture(scope="module")
def reference(quick: QuickCase) -> Reference:
    """Of the quick case."""
    (path,) = quick.structures.glob("*.dcm")
    contoured = read_structure_set(path, tumour_pattern="(?i)tum", hilum_pattern="(?i)hil")
    structures = tuple(one.solid() for one in contoured.structures)
    found = prepare_reference(quick.planning.files, quick.baseline.files, structures)
    assert isinstance(found, Reference)
    return found


def test_a_scan_while_freezing_has_a_forecast(
    quick: QuickCase, reference: Reference, tmp_path: Path
) -> None:
    """More ice, a greater margin and a nearer hilum, minute by minute; the cold inside the ice."""
    moment = Moment(phase="freeze", phase_s=180, cycle=1, baseline_s=300)
    found = measure(quick.monitoring[0].files, reference, tmp_path / "a.npz", moment)
    assert isinstance(found, Found)
    assert np.array(found.planning_to_scan).reshape(4, 4)[3] == pytest.approx([0, 0, 0, 1])
    assert found.forecast is not None
    assert [ahead.after_s for ahead in found.forecast.ahead] == [60, 180, 300]
    volumes = [found.volume_ml, *(ahead.volume_ml.value for ahead in found.forecast.ahead)]
    margins = [found.margin_mm.value, *(a.margin_mm.value for a in found.forecast.ahead)]
    hilum = [found.distances[0].distance_mm.value]
    hilum += [a.distances_mm[0].value for a in found.forecast.ahead]
    assert volumes == sorted(volumes)
    assert margins == sorted(margins)
    assert hilum == sorted(hilum, reverse=True)
    assert found.lethal is not None
    assert found.lethal.volume_ml.value < found.volume_ml
    assert found.lethal.margin_mm.value < found.margin_mm.value
    assert forecast_of(found) is not None
    assert lethal_of(found) is not None


def test_a_scan_while_thawing_has_none(
    quick: QuickCase, reference: Reference, tmp_path: Path
) -> None:
    """The same ice, a little less than two minutes before."""
    scan = quick.monitoring[0].files
    freezing = Moment(phase="freeze", phase_s=180, cycle=1)
    frozen = measure(scan, reference, tmp_path / "a.npz", freezing)
    assert isinstance(frozen, Found)
    before = (Earlier(before_s=120, volume_ml=1.2 * frozen.volume_ml),)
    thawing = Moment(phase="thaw", phase_s=100, cycle=1, baseline_s=700, earlier=before)
    found = measure(scan, reference, tmp_path / "b.npz", thawing)
    assert isinstance(found, Found)
    assert (found.forecast, found.lethal) == (None, None)
    assert load(tmp_path / "a.npz").lethal is not None
    assert load(tmp_path / "b.npz").lethal is None
