"""Phases on the page, in a real browser: offered, confirmed, timed, undone; and a wrong clock."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import PATIENCE_MS, Open, Watched
from tests.quick_case import QuickCase, acquired_at, changed
from tests.service import RunningService, running_service
from tests.waiting import until

pytestmark = pytest.mark.peer

PROTOCOL = {"procedure": {"protocol": ["freeze 10", "thaw 8", "freeze 10"]}}


def send(
    service: RunningService, storescu: str, quick: QuickCase, scratch: Path, times: list[datetime]
) -> None:
    """The quick case, its four scans acquired at these times."""
    scans = [quick.planning, quick.baseline, *quick.monitoring]
    folders = [
        changed(scan.folder, scratch / str(n), acquired_at(at))
        for n, (scan, at) in enumerate(zip(scans, times, strict=True))
    ]
    for folder in (folders[0], quick.structures, *folders[1:]):
        sent = service.storescu(storescu, folder)
        assert sent.returncode == 0, sent.stderr
    service.wait_for_measurement(quick.monitoring[-1].uid)


def recent() -> list[datetime]:
    """Acquired in the last quarter of an hour, the last one a moment ago."""
    now = datetime.now(UTC)
    return [now - timedelta(seconds=s) for s in (900, 780, 300, 75)]


def gone(watched: Watched, test_id: str) -> None:
    watched.page.get_by_test_id(test_id).wait_for(state="detached", timeout=PATIENCE_MS)


def boxes(watched: Watched) -> list[Any]:
    """Where the figures, with their parts, and the phase panel are; none covers another."""
    found: list[Any] = watched.page.evaluate(
        "() => [...document.querySelectorAll('.figure, .figure > *, .phase-panel')].map(e => "
        "{ const r = e.getBoundingClientRect(); "
        "return [r.x, r.y, r.width, r.height].map(Math.round) })"
    )
    covered = watched.page.evaluate(
        "() => Math.max(...[...document.querySelectorAll('.figure > *')].map(e => "
        "e.getBoundingClientRect().bottom)) - "
        "document.querySelector('.phase-panel').getBoundingClientRect().top"
    )
    assert covered <= 0, f"the phase panel covers {covered} px of a figure"
    return found


def phase(service: RunningService) -> dict[str, Any]:
    procedure = service.procedure()
    assert procedure is not None
    found: dict[str, Any] = procedure["phase"]
    return found


def test_what_the_ice_shows_is_offered_confirmed_timed_and_undone(
    quick: QuickCase, storescu: str, tmp_path: Path, open_page: Open
) -> None:
    with running_service(tmp_path, PROTOCOL) as service:
        times = recent()
        send(service, storescu, quick, tmp_path / "files", times)
        watched = open_page(service.page)
        offer = watched.page.get_by_test_id("offered-phase")
        offer.wait_for(timeout=PATIENCE_MS)
        assert "FREEZE since about" in offer.inner_text()
        assert phase(service)["phase"] == "idle", "nothing is applied by itself"
        before = boxes(watched)
        watched.page.get_by_test_id("offer-confirm").click(timeout=PATIENCE_MS)
        gone(watched, "offered-phase")
        assert boxes(watched) == before, "no figure and no panel moves"
        watched.wait_for_text("phase", "FREEZE 1")
        since = datetime.fromisoformat(phase(service)["since"])
        assert times[1] < since < times[2], "between the baseline and the first ice"
        elapsed = (datetime.now(UTC) - since).total_seconds()
        shown = watched.text("freeze-clock")
        minutes, seconds = (int(part) for part in shown.split(":"))
        assert abs(60 * minutes + seconds - elapsed) < 10
        assert "of 10:00" in watched.text("phase-plan")
        scans = until(
            lambda: (m := [one for one in service.measurements() if one["phase"]]) and m,
            "the scans measured again",
        )
        last = (times[3] - since).total_seconds()
        until(
            lambda: any(
                one["elapsed_freeze_s"] == pytest.approx(last, abs=1.5)
                for one in service.measurements()
            ),
            "the time of the freeze in the last scan",
        )
        assert all(one["supersedes"] for one in scans if one["role"] == "monitoring")
        watched.page.get_by_test_id("take-back").click(timeout=PATIENCE_MS)
        watched.wait_for_text("phase", "IDLE")
        offer.wait_for(timeout=PATIENCE_MS)
        watched.page.get_by_test_id("offer-no").click(timeout=PATIENCE_MS)
        gone(watched, "offered-phase")
        assert watched.errors == []
    with running_service(tmp_path, PROTOCOL) as service:
        until(service.procedure, "the procedure after a restart")
        assert phase(service)["pressed_at"] is None
        until(
            lambda: all(one["phase"] is None for one in service.measurements()),
            "no scan of a phase that was taken back",
        )
        procedure = service.procedure()
        assert procedure is not None
        assert procedure["offered_phase"] is None


def test_a_freeze_that_lasts_longer_than_planned_says_so_calmly(
    quick: QuickCase, storescu: str, tmp_path: Path, open_page: Open
) -> None:
    with running_service(tmp_path, {"procedure": {"protocol": ["freeze 1"]}}) as service:
        sent = service.storescu(storescu, quick.planning.folder)
        assert sent.returncode == 0, sent.stderr
        procedure = until(service.procedure, "the procedure")
        since = (datetime.now(UTC) - timedelta(seconds=75)).isoformat()
        path = f"api/v1/procedures/{procedure['id']}/phase"
        answer = service.post(path, {"phase": "freeze", "since": since})
        assert answer.status_code == 200, answer.text
        watched = open_page(service.page)
        watched.wait_for_text("phase", "FREEZE 1")
        assert "OVER 00:" in watched.text("phase-plan")
        assert service.alerts() == [], "no alert: nothing is wrong"
        future = (datetime.now(UTC) + timedelta(seconds=60)).isoformat()
        refused = service.post(path, {"phase": "thaw", "since": future})
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "bad_time")
        assert service.post(path, {"phase": "thaw", "since": "now"}).status_code == 422
        back = service.post(f"{path}/take-back", {"pressed_at": future})
        assert back.json()["error"]["code"] == "phase_changed"
        console = open_page(f"{service.page}console.html#phases")
        later = datetime.now().astimezone().replace(microsecond=0) - timedelta(seconds=20)
        console.page.get_by_test_id("phase-time").fill(later.strftime("%H:%M:%S"))
        console.page.get_by_test_id("phase-move").click(timeout=PATIENCE_MS)
        until(
            lambda: datetime.fromisoformat(phase(service)["since"]) == later,
            "the phase moved by the console",
        )
        gone_over = watched.page.get_by_test_id("phase-plan").get_by_text("left")
        gone_over.wait_for(timeout=PATIENCE_MS)
        assert (watched.errors, console.errors) == ([], [])


def test_a_scanners_clock_an_hour_ahead_is_shown_and_ages_are_right(
    quick: QuickCase, storescu: str, tmp_path: Path, open_page: Open
) -> None:
    with running_service(tmp_path) as service:
        hour = timedelta(hours=1)
        now = datetime.now(UTC)
        times = [now + hour - timedelta(seconds=s) for s in (40, 30, 20, 10)]
        send(service, storescu, quick, tmp_path / "files", times)
        watched = open_page(service.page)
        watched.wait_for_text("scanner-clock", "SCANNER CLOCK 1 h AHEAD")
        age = watched.text("margin-age")
        assert "unknown" not in age
        assert re.match(r"(\d+ s|1 min)", age), age
        last = service.wait_for_measurement(quick.monitoring[-1].uid)
        assert last["clock_offset_s"] == 3600.0
        assert watched.errors == []
