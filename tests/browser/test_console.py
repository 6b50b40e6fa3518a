"""The console in a real browser: what is pressed there holds in the service, and on the display."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser.conftest import PATIENCE_MS, Open, Watched
from tests.browser.test_page import send_procedure, shown_mm
from tests.peers.test_worklists import dcmtks
from tests.quick_case import QuickCase
from tests.service import RunningService, running_service
from tests.waiting import until

pytestmark = pytest.mark.peer


@pytest.fixture(scope="module")
def service(
    quick: QuickCase, storescu: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """A service on which the quick procedure was measured."""
    with running_service(tmp_path_factory.mktemp("console")) as service:
        send_procedure(service, storescu, quick)
        yield service


@pytest.fixture
def uid(quick: QuickCase) -> str:
    """The newest scan's series."""
    return quick.monitoring[-1].uid


def found_of(service: RunningService, uid: str) -> dict[str, Any]:
    """What holds of a scan by the API."""
    return service.wait_for_measurement(uid)


def wait_for(
    service: RunningService, uid: str, right: Callable[[dict[str, Any]], bool], what: str
) -> dict[str, Any]:
    """The scan's measurement, once it is as wanted and nothing waits to be measured again."""

    def look() -> dict[str, Any] | None:
        found = found_of(service, uid)
        procedure = service.procedure()
        assert procedure is not None
        return found if right(found) and procedure["recomputing"] is None else None

    return until(look, what)


def click(watched: Watched, test_id: str) -> None:
    watched.page.get_by_test_id(test_id).click(timeout=PATIENCE_MS)


def wait_for_row(watched: Watched, number: int, words: str) -> None:
    row = watched.page.get_by_test_id(f"scan-{number}")
    row.get_by_text(re.compile(re.escape(words))).first.wait_for(timeout=PATIENCE_MS)


def test_the_table_says_what_the_api_says(
    service: RunningService, uid: str, open_page: Open
) -> None:
    watched = open_page(f"{service.page}console.html#scans")
    found = found_of(service, uid)
    margin = found["tumour"]["margin_mm"]
    row = watched.page.get_by_test_id("scan-2")
    row.wait_for(timeout=PATIENCE_MS)
    said = row.inner_text()
    assert f"{shown_mm(margin['value'])} mm" in said
    assert f"{shown_mm(margin['low'])} to {shown_mm(margin['high'])} mm" in said
    distance = found["structures"][0]["distance_mm"]["value"]
    assert f"{shown_mm(distance)} mm" in said
    assert "Final" in said
    assert watched.page.get_by_test_id("choose-2").get_attribute("aria-pressed") == "true"
    assert watched.errors == []


def test_approving_reaches_the_service(service: RunningService, uid: str, open_page: Open) -> None:
    watched = open_page(f"{service.page}console.html#scans")
    before = found_of(service, uid)
    click(watched, "approve")
    wait_for_row(watched, 2, "approved by console")
    after = found_of(service, uid)
    assert after["id"] == before["id"]
    assert after["review"]["verdict"] == "approved"
    assert watched.page.get_by_test_id("approve").is_disabled()
    assert watched.errors == []


def test_a_rejected_scan_leaves_the_display_at_once(
    service: RunningService, uid: str, open_page: Open
) -> None:
    display = open_page(service.page)
    watched = open_page(f"{service.page}console.html#scans")
    before = found_of(service, uid)
    margin = shown_mm(before["tumour"]["margin_mm"]["value"])
    display.wait_for_text("margin-value", margin)
    click(watched, "reject")
    watched.page.get_by_role("button", name="Artefact").click(timeout=PATIENCE_MS)
    for figure in ("margin-value", "hilum-value"):
        display.page.get_by_test_id(figure).wait_for(state="detached", timeout=PATIENCE_MS)
    assert "Artefact" in display.page.get_by_test_id("figure-reason").first.inner_text()
    wait_for_row(watched, 2, "REJECTED")
    row = watched.page.get_by_test_id("scan-2").inner_text()
    assert row.count("no figure") == 2
    assert watched.page.get_by_test_id("view-axial").count() == 0
    rejected = found_of(service, uid)
    assert rejected["tumour"] is None
    assert [r["code"] for r in rejected["reasons"]] == ["rejected"]
    assert rejected["supersedes"] == before["id"]
    click(watched, "take-back-rejection")
    display.wait_for_text("margin-value", margin)
    wait_for_row(watched, 2, "Final")
    assert found_of(service, uid)["tumour"] == before["tumour"]
    assert (watched.errors, display.errors) == ([], [])


def test_another_reason_in_own_words_and_none_without(
    service: RunningService, quick: QuickCase, open_page: Open
) -> None:
    first = quick.monitoring[0].uid
    watched = open_page(f"{service.page}console.html#scans")
    click(watched, "choose-1")
    click(watched, "reject")
    send = watched.page.get_by_role("button", name="Reject", exact=True)
    assert send.is_disabled()
    watched.page.get_by_test_id("other-reason").fill("  ")
    assert send.is_disabled()
    watched.page.get_by_test_id("other-reason").fill("The table was moved")
    send.click(timeout=PATIENCE_MS)
    rejected = wait_for(service, first, lambda m: m["tumour"] is None, "the rejection")
    assert "The table was moved" in rejected["reasons"][0]["text"]
    click(watched, "take-back-rejection")
    wait_for(service, first, lambda m: m["tumour"] is not None, "figures again")
    assert watched.errors == []


def test_contours_are_nudged_and_go_back(
    service: RunningService, uid: str, open_page: Open
) -> None:
    watched = open_page(f"{service.page}console.html#scans")
    before = found_of(service, uid)
    coronal = watched.page.get_by_test_id("view-coronal")
    coronal.wait_for(timeout=PATIENCE_MS)
    tumour = coronal.locator("g > path.tumour")
    unmoved = tumour.bounding_box()
    for _ in range(2):
        click(watched, "nudge-H")
    click(watched, "nudge-L")
    assert watched.text("redo-nudge") == "1 mm to L, 2 mm to H"
    moved = tumour.bounding_box()
    picture = coronal.locator("img").bounding_box()
    assert unmoved is not None
    assert moved is not None
    assert picture is not None
    pixels_per_mm = picture["width"] / 120  # monitor.views.FIELD_MM
    assert moved["x"] - unmoved["x"] == pytest.approx(pixels_per_mm, abs=0.5)
    assert moved["y"] - unmoved["y"] == pytest.approx(-2 * pixels_per_mm, abs=0.5)
    assert found_of(service, uid) == before, "a preview only"
    watched.page.get_by_test_id("redo-note").fill("one breath higher")
    click(watched, "redo-send")
    after = wait_for(service, uid, lambda m: m["correction"] is not None, "the nudged measurement")
    assert after["correction"]["nudge_mm"] == [1.0, 0.0, 2.0]
    assert after["correction"]["note"] == "one breath higher"
    assert after["supersedes"] == before["id"]
    placed, nudged = (
        np.array(m["registration"]["planning_to_scan"]).reshape(4, 4)[:3, 3]
        for m in (before, after)
    )
    assert nudged - placed == pytest.approx([1, 0, 2], abs=1e-6)
    wait_for_row(watched, 2, "contours moved 1 mm to L, 2 mm to H")
    display = open_page(service.page)
    display.wait_for_text("margin-said", "corrected by hand")
    assert watched.text("redo-nudge") == "1 mm to L, 2 mm to H"
    assert watched.page.get_by_test_id("redo-send").is_disabled(), "nothing is left to be sent"
    click(watched, "redo-automatic")
    back = wait_for(service, uid, lambda m: m["correction"] is None, "the automatic measurement")
    assert back["tumour"] == before["tumour"]
    display.page.get_by_test_id("margin-said").wait_for(state="detached", timeout=PATIENCE_MS)
    assert display.errors == []
    assert watched.errors == []


def test_the_point_that_is_clicked_is_the_seed(
    service: RunningService, uid: str, open_page: Open
) -> None:
    watched = open_page(f"{service.page}console.html#scans")
    before = found_of(service, uid)
    axial = next(
        v
        for v in service.api(f"measurements/{before['id']}/views")["views"]
        if v["plane"] == "axial"
    )
    click(watched, "redo-pick")
    picture = watched.page.get_by_test_id("pick-axial")
    box = picture.bounding_box(timeout=PATIENCE_MS)
    assert box is not None
    picture.click(position={"x": box["width"] * 0.5, "y": box["height"] * 0.45})
    watched.page.get_by_test_id("seed-axial").wait_for(timeout=PATIENCE_MS)
    click(watched, "redo-send")
    after = wait_for(service, uid, lambda m: m["correction"] is not None, "the seeded measurement")
    origin, right, down = (np.array(axial[n]) for n in ("origin_lps_mm", "right_lps", "down_lps"))
    meant = origin + 0.5 * axial["width_mm"] * right + 0.45 * axial["height_mm"] * down
    assert after["correction"]["seed_lps_mm"] == pytest.approx(meant, abs=0.4)  # a picture's pixel
    click(watched, "redo-automatic")
    wait_for(service, uid, lambda m: m["correction"] is None, "the automatic measurement")
    assert watched.errors == []


def test_another_baseline(
    service: RunningService, quick: QuickCase, uid: str, open_page: Open
) -> None:
    watched = open_page(f"{service.page}console.html#scans")
    choice = watched.page.get_by_test_id("redo-baseline")
    choice.wait_for(timeout=PATIENCE_MS)
    offered = choice.locator("option").evaluate_all("all => all.map(o => o.value)")
    assert offered[1:] == [quick.planning.uid, quick.baseline.uid]
    choice.select_option(quick.planning.uid)
    click(watched, "redo-send")
    wait_for_row(watched, 2, "compared with the planning scan")
    after = wait_for(service, uid, lambda m: m["correction"] is not None, "the measurement")
    assert after["correction"]["baseline_series_instance_uid"] == quick.planning.uid
    click(watched, "redo-automatic")
    wait_for(service, uid, lambda m: m["correction"] is None, "the automatic measurement")
    assert watched.errors == []


def test_close_and_begin_the_next(
    quick: QuickCase, storescu: str, tmp_path: Path, open_page: Open
) -> None:
    with dcmtks(tmp_path / "peer") as node:
        worklist = {"host": node.host, "port": node.port, "ae_title": node.ae_title, "every_s": 1}
        with running_service(tmp_path, {"worklist": worklist}) as service:
            assert service.storescu(storescu, quick.baseline.folder).returncode == 0
            first = until(service.procedure, "the first procedure")
            watched = open_page(f"{service.page}console.html")
            watched.page.get_by_test_id("procedure-state").wait_for(timeout=PATIENCE_MS)
            begin = watched.page.get_by_test_id("begin-4711")
            begin.wait_for(timeout=PATIENCE_MS)
            assert begin.is_disabled(), "there is one procedure at a time"
            click(watched, "close-procedure")
            again = watched.page.get_by_role("button", name=re.compile("Press again"))
            again.wait_for(timeout=PATIENCE_MS)
            assert service.api(f"procedures/{first['id']}")["state"] == "open", "only asked"
            again.dblclick(delay=500, timeout=PATIENCE_MS)
            watched.page.get_by_test_id("reopen-procedure").wait_for(timeout=PATIENCE_MS)
            assert service.api(f"procedures/{first['id']}")["state"] == "closed"
            begin.click(timeout=PATIENCE_MS)
            watched.page.get_by_text("Expected: no image has come yet").wait_for()
            second = service.procedure()
            assert second is not None
            assert (second["patient_id"], second["state"]) == ("4711", "expected")
            assert "4711" in watched.text("patient")
            assert watched.page.get_by_test_id(f"reopen-{first['patient_id']}").is_disabled()
            said = watched.page.get_by_test_id("decisions")
            said.get_by_text("began the procedure from the worklist").wait_for()
            kinds = [d["what"]["kind"] for d in service.api(f"procedures/{first['id']}/decisions")]
            assert kinds == ["close"]
            assert watched.errors == []


def test_without_a_worklist_there_is_none(service: RunningService, open_page: Open) -> None:
    watched = open_page(f"{service.page}console.html")
    watched.page.get_by_test_id("procedure-state").wait_for(timeout=PATIENCE_MS)
    assert watched.page.get_by_test_id("worklist").count() == 0
    assert watched.errors == []
