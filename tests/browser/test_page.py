"""The page in a real browser, fed by the real service: it shows what the API answers."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import PATIENCE_MS, Open
from tests.quick_case import QuickCase
from tests.service import RunningService, running_service
from tests.waiting import until

pytestmark = pytest.mark.peer

LIMITS = {"alerts": {"hilum_near_mm": 40.0, "value_old_s": 86_400}}


def send_procedure(service: RunningService, storescu: str, quick: QuickCase) -> dict[str, Any]:
    """All of the quick case; the measurement of its last scan."""
    for folder in quick.folders:
        sent = service.storescu(storescu, folder)
        assert sent.returncode == 0, sent.stderr
    return service.wait_for_measurement(quick.monitoring[-1].uid)


@pytest.fixture(scope="module")
def service(
    quick: QuickCase, storescu: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """A service on which the quick procedure was measured."""
    with running_service(tmp_path_factory.mktemp("page"), LIMITS) as service:
        send_procedure(service, storescu, quick)
        yield service


def shown_mm(value: float) -> str:
    """One decimal, rounded down, which is towards danger; a real minus sign."""
    tenths = math.floor(value * 10)
    return f"{'−' if tenths < 0 else ''}{abs(tenths) / 10:.1f}"


def latest(service: RunningService) -> dict[str, Any]:
    """The newest monitoring measurement by the API."""
    return [m for m in service.measurements() if m["role"] == "monitoring"][-1]


def test_the_same_figures_as_the_api(service: RunningService, open_page: Open) -> None:
    watched = open_page(service.page)
    watched.wait_for_text("connection", "LIVE")
    found = latest(service)
    margin = found["tumour"]["margin_mm"]
    (hilum,) = found["structures"]
    distance = hilum["distance_mm"]
    watched.wait_for_text("margin-value", shown_mm(margin["value"]))
    watched.wait_for_text("hilum-value", shown_mm(distance["value"]))
    for name, interval in (("margin", margin), ("hilum", distance)):
        expected = f"{shown_mm(interval['low'])} to {shown_mm(interval['high'])} mm"
        assert watched.text(f"{name}-interval") == expected
        assert "OLD" not in watched.text(f"{name}-age")
    procedure = service.procedure()
    assert procedure is not None
    assert procedure["patient_id"] in watched.text("patient")
    assert watched.page.get_by_test_id("simulated").count() == 0
    assert watched.errors == []


def test_three_views_with_their_pictures(service: RunningService, open_page: Open) -> None:
    watched = open_page(service.page)
    for plane in ("axial", "coronal", "sagittal"):
        view = watched.page.get_by_test_id(f"view-{plane}")
        view.wait_for(timeout=PATIENCE_MS)
        until(
            lambda view=view: view.evaluate(  # type: ignore[misc]  # bound now, not later
                "f => [...f.querySelectorAll('img')].some(i => i.complete && i.naturalWidth > 0)"
            ),
            f"the picture of the {plane} view",
        )
    assert watched.errors == []


def test_pressing_a_phase_reaches_the_service(service: RunningService, open_page: Open) -> None:
    watched = open_page(service.page)
    watched.page.get_by_test_id("phase-thaw").click(timeout=PATIENCE_MS)
    watched.wait_for_text("phase", "THAW")
    procedure = service.procedure()
    assert procedure is not None
    assert procedure["phase"]["phase"] == "thaw"
    assert watched.errors == []


def test_acknowledging_reaches_the_service(service: RunningService, open_page: Open) -> None:
    alert = service.wait_for_alert("hilum_near")
    assert alert["state"] == "active_unacknowledged"
    watched, other = open_page(f"{service.page}console.html"), open_page(service.page)
    button = other.page.get_by_test_id("acknowledge")
    button.wait_for(timeout=PATIENCE_MS)
    watched.page.get_by_test_id("acknowledge").click(timeout=PATIENCE_MS)
    button.wait_for(state="detached", timeout=PATIENCE_MS)
    after = service.wait_for_alert("hilum_near")
    assert after["id"] == alert["id"]
    assert after["state"] == "active_acknowledged"
    assert after["acknowledged_by"]
    assert "Acknowledged by" in watched.text("alert-when")
    assert (watched.errors, other.errors) == ([], [])


def test_a_dead_service_is_seen_and_a_new_one_taken_up(
    quick: QuickCase, storescu: str, tmp_path: Path, open_page: Open
) -> None:
    """No figure outlives the service; nobody has to reload the page."""
    with running_service(tmp_path, LIMITS) as service:
        found = send_procedure(service, storescu, quick)
        margin = shown_mm(found["tumour"]["margin_mm"]["value"])
        watched = open_page(service.page)
        watched.wait_for_text("margin-value", margin)
        assert watched.errors == []
        service.kill()
    watched.wait_for_text("connection", "NO LIVE DATA")
    for name in ("margin-value", "hilum-value", "margin-interval", "view-axial", "trend"):
        assert watched.page.get_by_test_id(name).count() == 0
    assert margin not in watched.page.locator("body").inner_text()
    with running_service(tmp_path, LIMITS | {"web": {"port": service.web_port}}):
        watched.wait_for_text("connection", "LIVE")
        watched.wait_for_text("margin-value", margin)
        assert "NO LIVE DATA" not in watched.page.locator("body").inner_text()
    # Chromium notes every request that nobody answered, the page a picture that was cut off.
    # A connection made while the service starts waits, and may be given up by the page.
    given_up = "closed before the connection is established"
    expected = ("net::ERR_", "pictures failed, trying again", given_up)
    assert [e for e in watched.errors if not any(words in e for words in expected)] == []


def test_before_any_scan_there_is_no_figure(tmp_path: Path, open_page: Open) -> None:
    with running_service(tmp_path) as service:
        watched = open_page(service.page)
        watched.wait_for_text("connection", "LIVE")
        assert watched.page.get_by_test_id("figure-reason").count() == 2
        for name in ("margin-value", "hilum-value"):
            assert watched.page.get_by_test_id(name).count() == 0
        assert watched.page.get_by_test_id("phase-freeze").is_disabled()
        assert watched.errors == []
