"""The forecast on the page, in a real browser: beside a real measurement, and gone when it ends."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import PATIENCE_MS, Open, Watched
from tests.quick_case import QuickCase, acquired_at, changed
from tests.service import RunningService, running_service

pytestmark = pytest.mark.peer

LINES = ("margin-forecast", "hilum-forecast")


def send_procedure(service: RunningService, storescu: str, quick: QuickCase, scratch: Path) -> None:
    """All of the quick case, its last scan acquired just now."""
    now = acquired_at(datetime.now(UTC))
    last = changed(quick.monitoring[-1].folder, scratch / "last", now)
    for folder in (*quick.folders[:-1], last):
        sent = service.storescu(storescu, folder)
        assert sent.returncode == 0, sent.stderr
    service.wait_for_measurement(quick.monitoring[-1].uid)


@pytest.fixture(scope="module")
def service(
    quick: QuickCase, storescu: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """A service on which a scan was measured a moment ago."""
    root = tmp_path_factory.mktemp("forecast")
    with running_service(root) as service:
        send_procedure(service, storescu, quick, root)
        yield service


def latest(service: RunningService) -> dict[str, Any]:
    """The newest monitoring measurement by the API."""
    return [m for m in service.measurements() if m["role"] == "monitoring"][-1]


def boxes(watched: Watched) -> list[Any]:
    """Where the parts of both figures are, but for the forecasts themselves."""
    found: list[Any] = watched.page.evaluate(
        "() => [...document.querySelectorAll('.figure, .figure > *, .phase-panel')].map(e => "
        "{ const r = e.getBoundingClientRect(); return [r.x, r.y, r.width, r.height] })"
    )
    return found


def wait_for_forecasts(watched: Watched) -> None:
    for line in LINES:
        watched.page.get_by_test_id(line).wait_for(timeout=PATIENCE_MS)


def test_it_is_told_apart_from_the_figure_and_goes_with_the_freeze(
    service: RunningService, open_page: Open
) -> None:
    found = latest(service)
    assert found["forecast"] is not None
    watched = open_page(service.page)
    wait_for_forecasts(watched)
    for line in LINES:
        text = watched.text(line)
        assert text.startswith("FORECAST"), text
        assert "." not in text, "no decimals: it is no measurement"
    figure = watched.page.get_by_test_id("margin-value").bounding_box()
    forecast = watched.page.get_by_test_id("margin-forecast").bounding_box()
    assert figure is not None
    assert forecast is not None
    assert forecast["y"] > figure["y"] + figure["height"]
    assert forecast["height"] < figure["height"] / 3
    before = boxes(watched)
    watched.page.get_by_test_id("phase-thaw").click(timeout=PATIENCE_MS)
    for line in LINES:
        watched.page.get_by_test_id(line).wait_for(state="detached", timeout=PATIENCE_MS)
    watched.wait_for_text("phase", "THAW")
    assert boxes(watched) == before, "nothing moves when it goes"
    assert watched.page.get_by_test_id("margin-value").count() == 1
    assert watched.errors == []


def test_it_goes_without_live_data(
    quick: QuickCase, storescu: str, tmp_path: Path, open_page: Open
) -> None:
    with running_service(tmp_path) as service:
        send_procedure(service, storescu, quick, tmp_path)
        watched = open_page(service.page)
        wait_for_forecasts(watched)
        service.kill()
    watched.wait_for_text("connection", "NO LIVE DATA")
    for line in LINES:
        assert watched.page.get_by_test_id(line).count() == 0


def test_the_modelled_surface_is_drawn_dashed_and_named(
    service: RunningService, open_page: Open
) -> None:
    watched = open_page(service.page)
    view = watched.page.get_by_test_id("view-axial")
    view.wait_for(timeout=PATIENCE_MS)
    modelled = view.locator("path.lethal")
    assert modelled.evaluate("p => getComputedStyle(p).strokeDasharray") != "none"
    assert view.locator("path.ice").evaluate("p => getComputedStyle(p).strokeDasharray") == "none"
    legend = watched.page.locator(".legend").inner_text()
    assert re.search(r"Modelled −20 °C", legend)
    assert watched.errors == []
