"""The service ended, killed and started again on the same folder."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest

from monitor.messages import HeartbeatMessage, MeasurementMessage, ProcedureMessage, SnapshotMessage
from tests.quick_case import QuickCase
from tests.service import END_S, RunningService, running_service, stream
from tests.waiting import until

pytestmark = pytest.mark.peer

LIMITS = {"alerts": {"hilum_near_mm": 40.0}}


def send(service: RunningService, storescu: str, *paths: Path) -> None:
    """Send, and hear Success for every object."""
    sent = service.storescu(storescu, *paths)
    assert sent.returncode == 0, sent.stderr


def send_procedure(service: RunningService, storescu: str, quick: QuickCase) -> None:
    """All of the quick case, measured."""
    for folder in quick.folders:
        send(service, storescu, folder)
    service.wait_for_measurement(quick.monitoring[-1].uid)


def spooled(service: RunningService) -> set[str]:
    """SOP Instance UIDs in the spool, each file read to its end."""
    paths = service.directory.glob("objects/*/*/*.dcm")
    return {str(pydicom.dcmread(path).SOPInstanceUID) for path in paths}


def test_ended_and_started_again(quick: QuickCase, storescu: str, tmp_path: Path) -> None:
    """Nothing is measured twice, and what a person has seen stays seen."""
    with running_service(tmp_path, LIMITS) as service:
        send_procedure(service, storescu, quick)
        alert = service.wait_for_alert("hilum_near")
        acknowledged = service.post(f"api/v1/alerts/{alert['id']}/acknowledge").json()
        procedure = service.procedure()
        assert procedure is not None
        pressed = service.post(
            f"api/v1/procedures/{procedure['id']}/phase", {"phase": "freeze"}
        ).json()
        before = service.measurements()
        with stream(service) as seen:
            seen.read()
            first_run = seen.messages[0].run
        assert service.end() == 0
        assert "Traceback" not in service.log
    with running_service(tmp_path, LIMITS) as service, stream(service) as seen:
        snapshot = seen.read()
        assert isinstance(snapshot, SnapshotMessage)
        assert snapshot.run != first_run
        until(lambda: len(service.measurements()) == len(before), "the measurements of before")
        assert service.measurements() == before
        assert service.alerts() == [acknowledged]
        again = service.procedure()
        assert again is not None
        assert again["id"] == procedure["id"]
        assert again["phase"] == pressed
        assert [s["series_instance_uid"] for s in again["series"]] == [
            s["series_instance_uid"] for s in procedure["series"]
        ]
        # Until well after the quiet time: what is told again is what was told before.
        seen.read_until(lambda _: len(seen.of(HeartbeatMessage)) >= 5)
        for message in seen.of(MeasurementMessage):
            assert message.data.model_dump(mode="json") in before
        assert service.measurements() == before
        ice = service.get(f"api/v1/measurements/{before[-1]['id']}/segmentation")
        assert ice.status_code == 200
        assert service.end() == 0


def test_a_display_that_is_there_before_all_is_found_again(
    quick: QuickCase, storescu: str, tmp_path: Path
) -> None:
    """A display reconnects at once after a restart, and must not stay empty."""
    with running_service(tmp_path, LIMITS) as service:
        send_procedure(service, storescu, quick)
        before = {m["id"] for m in service.measurements()}
        assert service.end() == 0
    with running_service(tmp_path, LIMITS) as service, stream(service) as seen:
        first = seen.read()
        assert isinstance(first, SnapshotMessage)
        until(lambda: len(service.measurements()) == len(before), "the measurements of before")
        beats = len(seen.of(HeartbeatMessage))
        seen.read_until(lambda _: len(seen.of(HeartbeatMessage)) >= beats + 5)
        shown = {m.id for m in first.data.measurements}
        shown |= {m.data.id for m in seen.of(MeasurementMessage)}
        assert shown == before


def test_the_next_scan_after_a_restart_is_measured(
    quick: QuickCase, storescu: str, tmp_path: Path
) -> None:
    """The baseline and the structures are found again."""
    first, second = quick.monitoring
    with running_service(tmp_path) as service:
        for folder in quick.folders[:-1]:
            send(service, storescu, folder)
        before = service.wait_for_measurement(first.uid)
        assert service.end() == 0
    with running_service(tmp_path) as service:
        send(service, storescu, second.folder)
        found = service.wait_for_measurement(second.uid)
        assert found["assessment"] == "final"
        assert found["procedure_id"] == before["procedure_id"]
        assert found["tumour"]["margin_mm"]["value"] > before["tumour"]["margin_mm"]["value"]
        kept = next(m for m in service.measurements() if m["series_instance_uid"] == first.uid)
        assert kept == before


@pytest.fixture
def sender(quick: QuickCase, storescu: str) -> Iterator[Any]:
    """A sender that is slow as packaged (Nagle's algorithm) and tells of each Success."""
    started: list[subprocess.Popen[str]] = []

    def start(service: RunningService, folder: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            service.storescu_command(storescu, folder, "-v"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait(END_S)
        if process.stdout is not None:
            process.stdout.close()


def test_killed_in_the_middle_of_a_scan(
    quick: QuickCase, storescu: str, sender: Any, tmp_path: Path
) -> None:
    """What was acknowledged is kept; the scan sent again is measured."""
    scan = quick.monitoring[0]
    with running_service(tmp_path) as service:
        send(service, storescu, *quick.folders[:3])
        service.wait_for_measurement(quick.baseline.uid)
        process = sender(service, scan.folder)
        sending: str | None = None
        acknowledged: list[str] = []
        for line in process.stdout:
            if "Sending file: " in line:
                sending = line.split("Sending file: ")[1].strip()
            if "Received Store Response (Success)" in line and sending is not None:
                acknowledged.append(sending)
            if len(acknowledged) == 7:
                break
        service.kill()
        rest = process.stdout.read()
        assert process.wait(END_S) != 0, "the whole scan was sent before the service was killed"
        assert service.process.returncode == -signal.SIGKILL
    sure = {str(pydicom.dcmread(path).SOPInstanceUID) for path in acknowledged}
    assert 7 <= len(sure) + rest.count("(Success)") < len(scan.files)
    with running_service(tmp_path) as service:
        assert sure <= spooled(service)
        assert not list(service.directory.glob("incoming/*"))
        send(service, storescu, scan.folder)

        def whole() -> dict[str, Any] | None:
            found = service.wait_for_measurement(scan.uid)
            return found if found["assessment"] == "final" else None

        found = until(whole, "the whole scan's measurement")
        assert found["tumour"]["margin_mm"]["value"] == pytest.approx(scan.margin_mm, abs=3.0)
        rows = [m for m in service.measurements() if m["series_instance_uid"] == scan.uid]
        assert len(rows) == 1
        assert service.end() == 0


def test_ended_in_the_middle_of_a_scan(
    quick: QuickCase, storescu: str, sender: Any, tmp_path: Path
) -> None:
    """SIGTERM does not wait for a sender, and loses nothing."""
    with running_service(tmp_path) as service:
        process = sender(service, quick.planning.folder)
        successes = 0
        for line in process.stdout:
            successes += "(Success)" in line
            if successes == 5:
                break
        assert service.end() == 0
        successes += process.stdout.read().count("(Success)")
        assert successes <= len(spooled(service))


def test_ended_while_displays_are_connected(tmp_path: Path) -> None:
    with running_service(tmp_path) as service, stream(service) as one, stream(service) as other:
        for display in (one, other):
            display.read_until(lambda m: isinstance(m, HeartbeatMessage))
        assert service.end() == 0
        assert one.of(ProcedureMessage) == []


def test_a_second_service_on_the_same_folder_does_not_start(tmp_path: Path) -> None:
    with running_service(tmp_path) as service:
        second = RunningService(tmp_path, {})
        assert second.process.wait(END_S) == 1
        assert "storage.directory" in second.log
        assert "another process" in second.log.lower()
        assert service.get("readyz").status_code == 200
