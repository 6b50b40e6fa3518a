"""What a series is for, through the real service: sent by dcmtk, changed over the API."""

from pathlib import Path
from typing import Any

import pytest

from tests.quick_case import QuickCase
from tests.service import RunningService, running_service
from tests.twins import metal_reduced_twin, sharp_twin, uid_of
from tests.waiting import until

pytestmark = pytest.mark.peer

PATIENT = {"analysis": {"timeout_s": 60.0}}
"""On a machine that others use as well, too."""


def send(service: RunningService, storescu: str, *paths: Path) -> None:
    """Send, and hear Success for every object."""
    sent = service.storescu(storescu, *paths)
    assert sent.returncode == 0, sent.stderr


def series_of(service: RunningService) -> dict[str, dict[str, Any]]:
    """All series of the procedure, by UID."""
    procedure = service.procedure()
    assert procedure is not None
    return {one["series_instance_uid"]: one for one in procedure["series"]}


def wait_for_role(service: RunningService, uid: str, role: str, code: str) -> dict[str, Any]:
    """Wait until a series has a role, with a reason."""

    def look() -> dict[str, Any] | None:
        found = series_of(service).get(uid, {})
        reason = found.get("reason") or {"code": ""}
        return found if (found.get("role"), reason["code"]) == (role, code) else None

    return until(look, f"{role} {code}: {series_of(service).get(uid)}\n{service.log[-3000:]}")


def choose(service: RunningService, uid: str, role: str | None) -> Any:
    """Choose a role."""
    procedure = service.procedure()
    assert procedure is not None
    path = f"api/v1/procedures/{procedure['id']}/series/{uid}/role"
    return service.post(path, {"role": role})


def measured(service: RunningService) -> dict[str, dict[str, Any]]:
    """Scans with figures; those under way keep everyone waiting."""
    found = {m["series_instance_uid"]: m for m in service.measurements()}
    if any(r["code"] == "recomputing" for m in found.values() for r in m["reasons"]):
        return {}
    return {uid: m for uid, m in found.items() if m["tumour"] is not None}


def wait_for_measured(service: RunningService, *uids: str) -> dict[str, dict[str, Any]]:
    """Wait until these have figures, and no others."""
    what = f"figures of {uids}\n{service.log[-3000:]}"
    until(lambda: set(measured(service)) == set(uids), what)
    return measured(service)


def test_one_acquisition_one_measurement(quick: QuickCase, storescu: str, tmp_path: Path) -> None:
    """Twins come before and after the series that is used; a person then wants another one."""
    first, second = quick.monitoring
    sharp = sharp_twin(first.folder, tmp_path / "sharp", 40)
    reduced = metal_reduced_twin(first.folder, tmp_path / "reduced", 41)
    of_baseline = sharp_twin(quick.baseline.folder, tmp_path / "baseline", 42)
    of_planning = sharp_twin(quick.planning.folder, tmp_path / "planning", 43)
    with running_service(tmp_path / "service", PATIENT) as service:
        send(service, storescu, of_planning, quick.planning.folder, quick.structures)
        # The twin comes first: it is the baseline until the right one comes.
        send(service, storescu, of_baseline)
        wait_for_role(service, uid_of(of_baseline), "baseline", "baseline")
        wait_for_role(service, uid_of(of_planning), "ignored", "sharp_kernel")
        send(service, storescu, sharp)
        wait_for_measured(service, uid_of(sharp))
        send(service, storescu, quick.baseline.folder)
        wait_for_role(service, quick.baseline.uid, "baseline", "baseline")
        wait_for_role(service, uid_of(of_baseline), "ignored", "sharp_kernel")
        found = until(
            lambda: [m for m in measured(service).values() if m["reasons"]], "the scan, anew"
        )
        assert [r["code"] for r in found[0]["reasons"]] == ["other_kernel"]
        assert found[0]["assessment"] == "provisional"
        send(service, storescu, reduced, first.folder, second.folder)
        figures = wait_for_measured(service, first.uid, second.uid)
        assert figures[first.uid]["assessment"] == "final"
        ignored = wait_for_role(service, uid_of(sharp), "ignored", "sharp_kernel")
        assert ignored["same_acquisition_as"] == first.uid
        assert "series 3" in ignored["reason"]["text"]
        wait_for_role(service, uid_of(reduced), "ignored", "metal_artefact_reduction")

        # The tumour's planning scan can't be measured, and what isn't there can't be chosen.
        refused = choose(service, quick.planning.uid, "monitoring")
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "is_planning")
        assert choose(service, "1.2.3", "ignored").status_code == 404

        # A person wants the twin measured; the other leaves the display.
        assert choose(service, uid_of(sharp), "monitoring").status_code == 200
        figures = wait_for_measured(service, uid_of(sharp), second.uid)
        assert [r["code"] for r in figures[uid_of(sharp)]["reasons"]] == ["other_kernel"]
        chosen = series_of(service)[uid_of(sharp)]
        assert chosen["chosen_by"] == "console"
        wait_for_role(service, first.uid, "ignored", "same_acquisition")
        assert choose(service, second.uid, "ignored").status_code == 200
        before = wait_for_measured(service, uid_of(sharp))
        wait_for_role(service, second.uid, "ignored", "chosen")
        service.kill()
    with running_service(tmp_path / "service", PATIENT) as service:
        after = wait_for_measured(service, uid_of(sharp))
        wait_for_role(service, second.uid, "ignored", "chosen")
        assert after[uid_of(sharp)]["tumour"] == before[uid_of(sharp)]["tumour"]
        for uid in (uid_of(sharp), second.uid):
            assert choose(service, uid, None).status_code == 200
        wait_for_measured(service, first.uid, second.uid)
        # The first freeze as baseline: the scan before it is set aside, the one after it is judged.
        assert choose(service, first.uid, "baseline").status_code == 200
        wait_for_role(service, first.uid, "baseline", "baseline")
        wait_for_role(service, quick.baseline.uid, "ignored", "earlier_baseline")
        until(
            lambda: (
                service.measurements()[-1]["supersedes"] is not None
                and service.measurements()[-1]["role"] == "monitoring"
            ),
            "the last scan, against another baseline",
        )
