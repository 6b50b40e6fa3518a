"""What scanners and networks send that is no good scan, to the real service.

Each gets a clear status or reason and is kept where it can be looked at, and the next good scan is
measured as if nothing had been.
"""

import json
import socket
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import FileDataset
from pydicom.uid import CTImageStorage, generate_uid

from scanner_sim.push import Destination, Pusher
from tests.dicom_listener.objects import encode
from tests.dicom_listener.raw_peer import RawPeer
from tests.quick_case import Change, QuickCase, acquired_at, read, renamed
from tests.service import RunningService, running_service
from tests.waiting import until

QUIET_S = 0.5
SOON_S = 15.0
"""For what mostly takes a second, where waiting longer would tell nothing new."""


@dataclass
class Room:
    """A procedure under way: planned, needles in, one scan measured."""

    service: RunningService
    quick: QuickCase
    sent: list[str] = field(default_factory=list)

    def send(self, datasets: list[FileDataset]) -> None:
        """By C-STORE, on one association; every object must be taken."""
        pusher = Pusher(Destination("ICEMARGIN", "127.0.0.1", self.service.dicom_port))
        assert pusher.send(datasets) == len(datasets)

    def scan(self, name: str, *changes: Change) -> list[FileDataset]:
        """A scan of its own, acquired now, put through the changes."""
        folder = self.quick.monitoring[1].folder
        return read(folder, renamed(name), acquired_at(datetime.now(UTC)), *changes)

    def measured(self, datasets: list[FileDataset]) -> dict[str, Any]:
        """What became of a series."""
        return self.service.wait_for_measurement(str(datasets[0].SeriesInstanceUID))

    def final(self, series_uid: str) -> dict[str, Any]:
        """A series' final measurement; it may be provisional for a while on a busy machine."""

        def look() -> dict[str, Any] | None:
            found = self.service.wait_for_measurement(series_uid)
            return found if found["assessment"] == "final" else None

        return until(look, f"the final measurement of {series_uid}")

    def still_measures(self, name: str) -> None:
        """A good scan is measured, and the service is well."""
        scan = self.scan(f"after {name}")
        self.send(scan)
        found = self.final(str(scan[0].SeriesInstanceUID))
        truth = self.quick.monitoring[1].margin_mm
        assert found["tumour"]["margin_mm"]["value"] == pytest.approx(truth, abs=3.0)
        assert self.service.get("readyz").status_code == 200
        assert "Traceback" not in self.service.log

    def spooled(self, datasets: list[FileDataset]) -> list[Path]:
        """Files of these objects in the spool."""
        objects = self.service.directory / "objects"
        found = [list(objects.glob(f"*/*/{d.SOPInstanceUID}*.dcm")) for d in datasets]
        return [path for paths in found for path in paths]

    def quarantined(self) -> list[tuple[Path, dict[str, Any]]]:
        """Refused objects, oldest first, with what is written beside each."""
        notes = sorted((self.service.directory / "quarantine").glob("*.json"))
        return [(path.with_suffix(".dcm"), json.loads(path.read_text())) for path in notes]


def start_procedure(service: RunningService, quick: QuickCase) -> Room:
    """The procedure of a service that is up."""
    room = Room(service, quick)
    for folder in quick.folders[:-1]:
        room.send(read(folder))
    room.final(quick.monitoring[0].uid)
    return room


@pytest.fixture(scope="module")
def room(quick: QuickCase, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    """One service for all of them: what one input breaks, the next test sees."""
    root = tmp_path_factory.mktemp("bad-input")
    with running_service(root, {"dicom": {"series_quiet_s": QUIET_S}}) as service:
        yield start_procedure(service, quick)


def store_raw(room: Room, data: bytes, uid: str) -> int | None:
    """C-STORE of any bytes whatever; the status."""
    with RawPeer(room.service.dicom_port) as peer:
        peer.associate()
        status = peer.store(data, CTImageStorage, uid)
        peer.release()
    return status


def test_a_truncated_object(room: Room) -> None:
    (dataset, *_) = room.scan("truncated")
    data = encode(dataset)
    known = len(room.quarantined())
    status = store_raw(room, data[: len(data) // 2], str(dataset.SOPInstanceUID))
    assert status == 0xC001
    path, note = room.quarantined()[known]
    assert data[: len(data) // 2] in path.read_bytes()
    assert note["code"] == "truncated"
    assert note["text"]
    assert room.spooled([dataset]) == []
    room.still_measures("a truncated object")


def test_a_data_set_that_is_none(room: Room) -> None:
    known = len(room.quarantined())
    garbage = bytes(range(7, 250)) * 40
    status = store_raw(room, garbage, "1.2.3.4.5")
    assert status is not None
    assert status >> 12 in {0xA, 0xC}
    path, note = room.quarantined()[known]
    assert garbage in path.read_bytes()
    assert note["text"]
    room.still_measures("garbage as a data set")


def test_a_peer_that_does_not_speak_dicom(room: Room) -> None:
    for garbage in (b"GET / HTTP/1.1\r\nHost: scanner\r\n\r\n", b"\xff" * 5000):
        address = ("127.0.0.1", room.service.dicom_port)
        with socket.create_connection(address, timeout=10) as peer:
            peer.sendall(garbage)
            try:
                while peer.recv(4096):
                    pass
            except ConnectionResetError:
                pass
    room.still_measures("garbage on the socket")


def test_a_missing_slice(room: Room) -> None:
    scan = room.scan("missing")
    del scan[11]
    room.send(scan)
    found = room.measured(scan)
    assert found["role"] == "monitoring"
    assert found["assessment"] == "not_assessable"
    assert found["tumour"] is None
    assert found["reasons"][0]["code"] == "missing_slices"
    assert "1 slices are missing" in found["reasons"][0]["text"]
    assert len(room.spooled(scan)) == len(scan)
    alert = room.service.wait_for_alert("scan_not_assessable")
    assert "missing" in alert["text"]
    room.still_measures("a missing slice")


def test_a_missing_slice_that_comes_late(room: Room) -> None:
    scan = room.scan("late")
    late = scan.pop(11)
    room.send(scan)
    assert room.measured(scan)["assessment"] == "not_assessable"
    room.send([late])
    found = room.final(str(late.SeriesInstanceUID))
    assert found["reasons"] == []
    rows = [
        m
        for m in room.service.measurements()
        if m["series_instance_uid"] == found["series_instance_uid"]
    ]
    assert len(rows) == 1


def test_two_slices_at_one_place(room: Room) -> None:
    scan = room.scan("double")
    twin = deepcopy(scan[5])
    twin.SOPInstanceUID = generate_uid()
    room.send([*scan, twin])
    found = room.measured(scan)
    assert found["assessment"] == "not_assessable"
    assert found["reasons"][0]["code"] == "duplicate_position"
    assert len(room.spooled([*scan, twin])) == len(scan) + 1
    room.still_measures("two slices at one place")


def test_gantry_tilt(room: Room) -> None:
    def sheared(dataset: FileDataset) -> None:
        x, y, z = dataset.ImagePositionPatient
        dataset.ImagePositionPatient = [x, round(y + 0.7 * int(dataset.InstanceNumber), 4), z]

    scan = room.scan("tilted", sheared)
    room.send(scan)
    found = room.measured(scan)
    assert found["assessment"] == "not_assessable"
    assert found["reasons"][0]["code"] == "gantry_tilt"
    assert "9.9 degrees" in found["reasons"][0]["text"]  # atan(0.7 / 4.0)
    assert len(room.spooled(scan)) == len(scan)
    room.still_measures("gantry tilt")


def test_a_localizer(room: Room) -> None:
    def localizer(dataset: FileDataset) -> None:
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    (scout,) = room.scan("localizer", localizer)[:1]
    before = room.service.measurements()
    room.send([scout])
    found = room.measured([scout])
    assert found["role"] == "ignored"
    assert found["assessment"] == "not_assessable"
    assert found["reasons"][0]["code"] == "localizer"
    figures = [m for m in room.service.measurements() if m["tumour"] is not None]
    assert figures == [m for m in before if m["tumour"] is not None]
    room.still_measures("a localizer")


def test_another_patient(room: Room) -> None:
    def stranger(dataset: FileDataset) -> None:
        dataset.PatientID = "SOMEBODY-ELSE"
        dataset.PatientName = "Else^Somebody"
        dataset.StudyInstanceUID = generate_uid(entropy_srcs=["else", "study"])
        dataset.FrameOfReferenceUID = generate_uid(entropy_srcs=["else", "frame"])

    scan = room.scan("stranger", stranger)
    before = room.service.measurements()
    room.send(scan)
    alert = room.service.wait_for_alert("other_patient")
    assert alert["state"] == "active_unacknowledged"
    assert alert["kind"] == "technical"
    assert "ANOTHER PATIENT" in alert["text"]
    assert len(room.spooled(scan)) == len(scan)
    room.still_measures("another patient")
    after = room.service.measurements()
    assert after[: len(before)] == before
    uids = {m["series_instance_uid"] for m in after}
    assert str(scan[0].SeriesInstanceUID) not in uids
    procedures = room.service.api("procedures")
    assert [p["study_instance_uid"] for p in procedures] == [room.quick.study_uid]
    assert "SOMEBODY-ELSE" not in json.dumps(procedures)


def test_another_patient_under_a_known_series_uid(room: Room) -> None:
    """A slice of somebody else does not slip into a scan by its series UID."""

    def stranger(dataset: FileDataset) -> None:
        dataset.PatientID = "SOMEBODY-ELSE"

    scan = room.scan("mixed")
    intruder = room.scan("mixed", stranger)[5]
    intruder.SOPInstanceUID = generate_uid()
    room.send([*scan, intruder])
    found = room.final(str(scan[0].SeriesInstanceUID))
    assert found["tumour"] is not None
    assert len(room.spooled([intruder])) == 1
    assert room.service.wait_for_alert("other_patient")["condition"] == "other_patient"


def test_the_same_uid_with_another_content(room: Room) -> None:
    scan = room.scan("twice")
    room.send(scan)
    before = room.final(str(scan[0].SeriesInstanceUID))
    other = scan[8]
    other.PixelData = bytes(len(other.PixelData))
    room.send([other])
    paths = until(lambda: p if len(p := room.spooled([other])) == 2 else None, "both contents")
    contents = {pydicom.dcmread(path).PixelData for path in paths}
    assert len(contents) == 2
    assert other.PixelData in contents
    assert f"{other.SOPInstanceUID} came again with another content" in room.service.log
    room.still_measures("the same UID with another content")
    assert room.measured(scan) == before


def test_a_structure_set_without_tumour(quick: QuickCase, tmp_path: Path) -> None:
    """It is told; a good one that comes after it is used."""
    with running_service(tmp_path, {"dicom": {"series_quiet_s": QUIET_S}}) as service:
        room = Room(service, quick)
        (without,) = read(quick.structures, renamed("without"), no_tumour)
        room.send(read(quick.planning.folder))
        room.send([without])
        assert "tumour" in reason_of(service, without)["text"]
        for folder in quick.folders[1:4]:
            room.send(read(folder))
        assert room.final(quick.monitoring[0].uid)["tumour"] is not None


def reason_of(service: RunningService, dataset: FileDataset) -> dict[str, Any]:
    """Why a series is not used, as the procedure tells it."""

    def look() -> dict[str, Any] | None:
        procedure = service.procedure()
        assert procedure is not None
        uid = dataset.SeriesInstanceUID
        rows = [s for s in procedure["series"] if s["series_instance_uid"] == uid]
        return rows[0]["reason"] if rows else None

    return until(look, "the reason", SOON_S)


def no_tumour(dataset: FileDataset) -> None:
    dataset.StructureSetROISequence[0].ROIName = "Kidney"


def unreadable(dataset: FileDataset) -> None:
    del dataset.ROIContourSequence


def no_volume(dataset: FileDataset) -> None:
    """The tumour's contours are there, and are lines."""
    for contour in dataset.ROIContourSequence[0].ContourSequence:
        x, y, z = list(contour.ContourData)[:3]
        contour.ContourData = [x, y, z, float(x) + 5, y, z, float(x) + 9, y, z]


@pytest.mark.parametrize("fault", [unreadable, no_volume])
def test_a_bad_structure_set_after_a_good_one(
    quick: QuickCase, tmp_path: Path, fault: Change
) -> None:
    """It is told why, and scans are measured on with the good one."""
    with running_service(tmp_path, {"dicom": {"series_quiet_s": QUIET_S}}) as service:
        room = start_procedure(service, quick)
        (bad,) = read(quick.structures, renamed("bad"), fault)
        room.send([bad])
        assert reason_of(service, bad)["text"]
        scan = room.scan("after bad contours")
        room.send(scan)
        uid = str(scan[0].SeriesInstanceUID)
        assert service.wait_for_measurement(uid, SOON_S)["tumour"] is not None
