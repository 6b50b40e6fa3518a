"""Probes through the real service: found, taken away by a person, over a restart, and put back."""

from pathlib import Path
from typing import Any

import pytest

from tests.peers.test_roles import PATIENT, choose, measured, send, wait_for_role
from tests.quick_case import QuickCase
from tests.service import RunningService, running_service
from tests.waiting import until

pytestmark = pytest.mark.peer


def probes(service: RunningService) -> dict[str, Any]:
    """As the API tells of them."""
    procedure = service.procedure()
    assert procedure is not None
    found: dict[str, Any] = service.api(f"procedures/{procedure['id']}/probes")
    assert found == procedure["probes"]
    return found


def press(service: RunningService, probe: str, what: str) -> Any:
    """Take a probe away, or put it back."""
    procedure = service.procedure()
    assert procedure is not None
    return service.post(f"api/v1/procedures/{procedure['id']}/probes/{probe}/{what}")


def numbers(service: RunningService) -> list[int]:
    """Of those that are in use."""
    return [probe["number"] for probe in probes(service)["found"]]


def lines(service: RunningService, uid: str) -> set[int]:
    """Numbers that are drawn in a scan's pictures."""
    found = service.api(f"measurements/{measured(service)[uid]['id']}/views")
    return {line["number"] for view in found["views"] for line in view["probes"]}


def wait_for(service: RunningService, uid: str, *drawn: int) -> dict[str, Any]:
    """The scan's figures, once it was measured with these probes."""

    def look() -> bool:
        return uid in measured(service) and lines(service, uid) == set(drawn)

    until(look, f"{drawn}\n{service.log[-3000:]}")
    found: dict[str, Any] = measured(service)[uid]
    return found


def test_a_false_probe_is_taken_away(quick: QuickCase, storescu: str, tmp_path: Path) -> None:
    scan = quick.monitoring[0]
    with running_service(tmp_path, PATIENT) as service:
        send(service, storescu, *quick.folders[:-1])
        before = wait_for(service, scan.uid, 1, 2)
        (between,) = probes(service)["spacings"]
        assert between["zones_mm"] == pytest.approx(13, abs=1.5)  # 2 x 6.5 mm, by the simulator
        assert between["neighbours"]
        for probe in probes(service)["found"]:
            assert probe["series_instance_uid"] == quick.baseline.uid
            assert not probe["late"]
            assert -10 < probe["tumour_distance_mm"] < 0  # a tumour of 20 mm, 6.5 mm off its axis
            assert 8 < probe["inside_tumour_mm"] < 22
        assert press(service, "probe-9", "remove").status_code == 404
        assert press(service, "probe-1", "restore").status_code == 404

        assert press(service, "probe-1", "remove").status_code == 200
        assert press(service, "probe-1", "remove").status_code == 404
        alone = wait_for(service, scan.uid, 2)
        assert numbers(service) == [2]
        assert alone["supersedes"] != before["id"] or alone["basis"] != before["basis"]
        service.kill()
    with running_service(tmp_path, PATIENT) as service:
        until(lambda: scan.uid in measured(service), "the scan")
        assert measured(service)[scan.uid]["id"] == alone["id"]
        assert numbers(service) == [2]
        send(service, storescu, quick.monitoring[1].folder)
        wait_for(service, quick.monitoring[1].uid, 2)

        assert press(service, "probe-2", "remove").status_code == 200
        until(lambda: _reasons(service, scan.uid) == ["no_probes"], "no probes")
        assert numbers(service) == []
        assert press(service, "probe-1", "restore").status_code == 200
        assert press(service, "probe-2", "restore").status_code == 200
        again = wait_for(service, scan.uid, 1, 2)
        assert again["tumour"]["margin_mm"] == before["tumour"]["margin_mm"]
        assert probes(service)["removed"] == []


def test_a_baseline_that_holds_ice_is_refused_until_a_person_says_so(
    quick: QuickCase, storescu: str, tmp_path: Path
) -> None:
    first, second = quick.monitoring
    with running_service(tmp_path, PATIENT) as service:
        send(service, storescu, quick.planning.folder, quick.structures, first.folder)
        until(lambda: _reasons(service, first.uid) == ["baseline_frozen"], "refused")
        assert numbers(service) == []
        assert choose(service, first.uid, "baseline").status_code == 200
        wait_for_role(service, first.uid, "baseline", "baseline")
        until(lambda: numbers(service) == [1, 2], "probes of the chosen baseline")
        # The scan before the ice comes late: the rules may have it again.
        assert choose(service, first.uid, None).status_code == 200
        send(service, storescu, quick.baseline.folder, second.folder)
        wait_for_role(service, quick.baseline.uid, "baseline", "baseline")
        wait_for(service, first.uid, 1, 2)
        assert probes(service)["found"][0]["series_instance_uid"] == quick.baseline.uid


def _reasons(service: RunningService, uid: str) -> list[str]:
    found = [m for m in service.measurements() if m["series_instance_uid"] == uid]
    return [reason["code"] for m in found for reason in m["reasons"]]
