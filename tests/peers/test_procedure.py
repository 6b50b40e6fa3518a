"""One whole procedure through the real service: dcmtk sends, independent clients watch."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import SegmentationStorage

from monitor import messages
from monitor.messages import (
    AlertMessage,
    HeartbeatMessage,
    MeasurementMessage,
    PhaseMessage,
    ProcedureMessage,
    ScanProgressMessage,
    ServerMessage,
    SnapshotMessage,
)
from tests.quick_case import QuickCase, Scan, acquired_at, changed
from tests.seg_objects import dice, read_segmentation
from tests.service import RunningService, StreamReader, running_service, stream

pytestmark = pytest.mark.peer

HILUM_NEAR_MM = 40.0
"""Far more than anybody would set: every ice ball of the quick case is nearer."""

MARGIN_TOLERANCE_MM = 3.0
"""The quick case has voxels of 1.5 x 1.5 x 4 mm; accuracy proper is for the benchmarks."""

SLICES = 24


@dataclass(frozen=True)
class Course:
    """What was done and seen in one procedure."""

    service: RunningService
    quick: QuickCase
    procedure_id: str
    seen: StreamReader
    freeze_pressed: dict[str, Any]
    acknowledged: tuple[dict[str, Any], dict[str, Any]]

    def measurement(self, scan: Scan) -> dict[str, Any]:
        """A scan's measurement by the API."""
        found = self.service.measurements()
        return next(m for m in found if m["series_instance_uid"] == scan.uid)


@pytest.fixture(scope="module")
def course(
    quick: QuickCase, storescu: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Course]:
    """Planning, contours, needles in, freeze pressed, two scans, an alert acknowledged."""
    root = tmp_path_factory.mktemp("course")
    limits = {"alerts": {"hilum_near_mm": HILUM_NEAR_MM}}
    with running_service(root, limits) as service, stream(service) as seen:

        def send(scan: Scan) -> None:
            """As a scanner would: acquired just now."""
            now = datetime.now(UTC)
            folder = changed(scan.folder, root / scan.uid, acquired_at(now))
            sent = service.storescu(storescu, folder)
            assert sent.returncode == 0, sent.stderr
            seen.read_until(_measures(scan.uid))

        sent = service.storescu(storescu, quick.structures)
        assert sent.returncode == 0, sent.stderr
        send(quick.planning)
        send(quick.baseline)
        procedure = service.procedure()
        assert procedure is not None
        answer = service.post(f"api/v1/procedures/{procedure['id']}/phase", {"phase": "freeze"})
        assert answer.status_code == 200, answer.text
        for scan in quick.monitoring:
            send(scan)
        seen.read_until(lambda m: isinstance(m, AlertMessage))
        alert = seen.of(AlertMessage)[0].data
        answers = [
            service.post(f"api/v1/alerts/{alert.id}/acknowledge", {"note": "seen"}).json()
            for _ in range(2)
        ]
        seen.read_until(
            lambda m: isinstance(m, AlertMessage) and m.data.acknowledged_at is not None
        )
        seen.read_until(lambda m: m is not seen.messages[0] and isinstance(m, HeartbeatMessage))
        yield Course(service, quick, procedure["id"], seen, answer.json(), (answers[0], answers[1]))


def _measures(uid: str) -> Any:
    def wanted(message: ServerMessage) -> bool:
        return isinstance(message, MeasurementMessage) and message.data.series_instance_uid == uid

    return wanted


def test_the_stream_begins_with_a_snapshot_and_leaves_nothing_out(course: Course) -> None:
    first, *others = course.seen.messages
    assert isinstance(first, SnapshotMessage)
    assert first.data.procedure is None
    assert first.data.limits.hilum_near_mm == HILUM_NEAR_MM
    assert [m.seq for m in others] == [first.seq + 1 + n for n in range(len(others))]
    assert {m.run for m in others} == {first.run}
    assert len(course.seen.of(SnapshotMessage)) == 1


def test_the_heart_beats_every_second(course: Course) -> None:
    while len(course.seen.of(HeartbeatMessage)) < 3:  # a quick machine is done before
        course.seen.read()
    beats = [m.data.now for m in course.seen.of(HeartbeatMessage)]
    gaps = [(b - a).total_seconds() for a, b in pairwise(beats)]
    assert max(gaps) < 3  # what a display takes for NO LIVE DATA


def test_it_is_told_how_far_a_scan_is(course: Course) -> None:
    scan = course.quick.monitoring[1]
    told = [m.data for m in course.seen.of(ScanProgressMessage)]
    of_scan = [p for p in told if p.series_instance_uid == scan.uid]
    received = [p.received for p in of_scan]
    assert received[0] == 1
    assert received[-1] == SLICES
    assert received == sorted(received)
    assert len(received) <= SLICES + 1  # ten times a second at most, and the end
    assert {p.expected for p in of_scan} == {SLICES}
    assert [p.complete for p in of_scan] == [False] * (len(of_scan) - 1) + [True]


def test_every_series_has_its_role(course: Course) -> None:
    roles = [(m["series_instance_uid"], m["role"]) for m in course.service.measurements()]
    quick = course.quick
    scans = (quick.planning, quick.baseline, *quick.monitoring)
    assert roles == [(scan.uid, scan.role) for scan in scans]


def test_figures_agree_with_the_truth(course: Course) -> None:
    for scan in course.quick.monitoring:
        found = course.measurement(scan)
        assert found["reasons"] == []
        assert found["assessment"] == "final"
        margin = found["tumour"]["margin_mm"]
        assert margin["low"] <= margin["value"] <= margin["high"]
        assert margin["value"] == pytest.approx(scan.margin_mm, abs=MARGIN_TOLERANCE_MM)
        (hilum,) = found["structures"]
        assert hilum["name"] == "Renal hilum"
        distance = hilum["distance_mm"]["value"]
        assert distance == pytest.approx(scan.hilum_distance_mm, abs=MARGIN_TOLERANCE_MM)
        assert set(found["tumour"]["covered_fraction"]) == {"0", "5", "10"}


def test_what_is_not_measured_has_a_reason_and_no_number(course: Course) -> None:
    for scan in (course.quick.planning, course.quick.baseline):
        found = course.measurement(scan)
        assert found["assessment"] == "not_assessable"
        assert found["tumour"] is None
        assert found["structures"] == []
        assert found["reasons"][0]["code"] == scan.role


def test_the_pressed_phase_is_the_scans_phase(course: Course) -> None:
    pressed = course.freeze_pressed
    assert (pressed["phase"], pressed["cycle"]) == ("freeze", 1)
    (told,) = course.seen.of(PhaseMessage)
    assert told.data.model_dump(mode="json") == pressed
    assert course.measurement(course.quick.baseline)["phase"] is None
    for scan in course.quick.monitoring:
        found = course.measurement(scan)
        assert found["phase"] == "freeze"
        assert 0 <= found["elapsed_freeze_s"] < 120
    procedure = course.service.api(f"procedures/{course.procedure_id}")
    assert procedure["phase"] == pressed


def test_an_alert_is_acknowledged_once(course: Course) -> None:
    first, again = course.acknowledged
    assert again == first
    assert first["condition"] == "hilum_near"
    assert first["state"] == "active_acknowledged"
    assert first["note"] == "seen"
    assert first["limit"] == HILUM_NEAR_MM
    assert course.service.alerts() == [first]
    told = [m.data for m in course.seen.of(AlertMessage)]
    assert told[0].state == messages.AlertState.ACTIVE_UNACKNOWLEDGED
    assert [a.acknowledged_at for a in told].count(None) == len(told) - 1
    assert told[-1].model_dump(mode="json") == first


def test_the_api_answers_what_the_stream_said(course: Course) -> None:
    told = {
        m.data.series_instance_uid: m.data.model_dump(mode="json")
        for m in course.seen.of(MeasurementMessage)
    }
    assert course.service.measurements() == list(told.values())
    procedure = course.service.api(f"procedures/{course.procedure_id}")
    course.seen.read_until(
        lambda m: isinstance(m, ProcedureMessage) and m.data.model_dump(mode="json") == procedure
    )
    assert course.service.api("procedures") == [procedure]
    assert {s["kind"] for s in procedure["structures"]} == {"tumour", "hilum"}


def test_a_display_that_comes_later_sees_it_all(course: Course) -> None:
    with stream(course.service) as late:
        snapshot = late.read()
    assert isinstance(snapshot, SnapshotMessage)
    shown = snapshot.model_dump(mode="json")["data"]
    assert shown["measurements"] == course.service.measurements()
    assert shown["alerts"] == course.service.alerts()
    assert shown["procedure"]["id"] == course.procedure_id


@pytest.mark.parametrize("number", [0, 1])
def test_segmentation(course: Course, number: int) -> None:
    scan = course.quick.monitoring[number]
    found = course.measurement(scan)
    answer = course.service.get(f"api/v1/measurements/{found['id']}/segmentation")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/dicom"
    segmentation = read_segmentation(answer.content)
    first = pydicom.dcmread(scan.files[0])
    last = pydicom.dcmread(scan.files[-1])
    dataset = segmentation.dataset
    assert dataset.FrameOfReferenceUID == first.FrameOfReferenceUID
    assert dataset.PatientID == first.PatientID
    assert dataset.StudyInstanceUID == first.StudyInstanceUID
    assert segmentation.positions[0] == pytest.approx(list(first.ImagePositionPatient))
    assert segmentation.positions[-1] == pytest.approx(list(last.ImagePositionPatient))
    assert set(segmentation.masks) == {"Ice ball", "Tumour", "Hilum", "Modelled -20 °C"}
    assert dice(segmentation.masks["Ice ball"], scan.ice()) > 0.8
    for label in ("Tumour", "Hilum"):
        assert segmentation.masks[label].any()


def test_the_segmentation_may_be_sent_back(course: Course, storescu: str, tmp_path: Path) -> None:
    """A SEG is stored, not measured, and does not disturb the procedure."""
    found = course.measurement(course.quick.monitoring[0])
    content = course.service.get(f"api/v1/measurements/{found['id']}/segmentation").content
    path = tmp_path / "seg.dcm"
    path.write_bytes(content)
    before = course.service.measurements()
    assert course.service.storescu(storescu, path).returncode == 0
    uid = pydicom.dcmread(io.BytesIO(content)).SOPInstanceUID
    stored = list(course.service.directory.glob(f"objects/*/*/{uid}.dcm"))
    assert [pydicom.dcmread(p).SOPClassUID for p in stored] == [SegmentationStorage]
    assert course.service.measurements() == before


def test_views_are_pictures(course: Course) -> None:
    found = course.measurement(course.quick.monitoring[1])
    views = course.service.api(f"measurements/{found['id']}/views")["views"]
    assert [view["plane"] for view in views] == ["axial", "coronal", "sagittal"]
    for view in views:
        answer = course.service.get(view["image"].removeprefix("/"))
        assert answer.headers["content-type"] == "image/png"
        assert answer.content.startswith(b"\x89PNG\r\n\x1a\n")
        kinds = {o["kind"] for o in view["outlines"]}
        assert kinds - {"lethal"} == {"ice", "tumour", "hilum"}


def test_health_and_metrics(course: Course) -> None:
    assert course.service.get("healthz").text == "ok\n"
    ready = course.service.get("readyz")
    assert (ready.status_code, ready.text) == (200, "ready\n")
    metrics = course.service.get("metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    assert re.search(r"(?m)^icemargin_\w+(\{[^}]*\})? \d", metrics.text)
