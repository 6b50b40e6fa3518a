"""The objects: complete, consistent, the same for the same seed."""

import io
import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from highdicom._standard_utils import check_required_attributes
from pydicom.dataset import Dataset

from scanner_sim.cases import CASES
from scanner_sim.dicom_ct import Identity
from scanner_sim.procedure import (
    Event,
    PhaseEvent,
    ScanEvent,
    StructuresEvent,
    run_procedure,
    schedule,
)
from scanner_sim.write import ProcedureWriter, load_ice
from tests.scanner_sim.conftest import START

CT_MODULES = (
    "patient",
    "general-study",
    "general-series",
    "frame-of-reference",
    "general-equipment",
    "general-acquisition",
    "general-image",
    "image-plane",
    "image-pixel",
    "ct-image",
    "sop-common",
)
RTSTRUCT_MODULES = (
    "patient",
    "general-study",
    "rt-series",
    "general-equipment",
    "structure-set",
    "roi-contour",
    "rt-roi-observations",
    "sop-common",
)


def _bytes(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@pytest.mark.parametrize("module", CT_MODULES)
def test_ct_images_have_what_their_modules_require(
    scans: tuple[ScanEvent, ...], module: str
) -> None:
    check_required_attributes(scans[0].datasets[0], module=module)


@pytest.mark.parametrize("module", RTSTRUCT_MODULES)
def test_structures_have_what_their_modules_require(
    structures: StructuresEvent, module: str
) -> None:
    check_required_attributes(structures.dataset, module=module)


def test_one_patient_study_and_frame(
    scans: tuple[ScanEvent, ...], structures: StructuresEvent
) -> None:
    images = [image for scan in scans for image in scan.datasets]
    for keyword in ("PatientID", "StudyInstanceUID", "FrameOfReferenceUID", "AccessionNumber"):
        assert len({str(image[keyword].value) for image in [*images, structures.dataset]}) == 1
    assert len({image.SOPInstanceUID for image in images}) == len(images)
    assert len({image.SeriesInstanceUID for image in images}) == len(scans)
    for image in images:
        assert image.file_meta.MediaStorageSOPInstanceUID == image.SOPInstanceUID


def test_times_follow_the_procedure(scans: tuple[ScanEvent, ...]) -> None:
    for scan in scans:
        first = scan.datasets[0]
        at = datetime.strptime(str(first.AcquisitionDateTime), "%Y%m%d%H%M%S.%f%z")
        assert (at - START).total_seconds() == pytest.approx(scan.at_s)
        assert first.TimezoneOffsetFromUTC == "+0000"
        assert first.ContentTime > first.AcquisitionTime


def test_events_come_in_order(events: tuple[Event, ...]) -> None:
    times = [event.at_s for event in events]
    assert times == sorted(times)
    phases = [event.phase for event in events if isinstance(event, PhaseEvent)]
    assert phases == ["freeze", "idle"]


def test_the_schedule_of_a_whole_procedure() -> None:
    scans, phases = schedule(CASES["standard"].timeline)
    assert [(phase.at_s, phase.phase) for phase in phases] == [
        (360, "freeze"),
        (960, "thaw"),
        (1440, "freeze"),
        (2040, "idle"),
    ]
    assert [scan.at_s for scan in scans] == [
        510, 660, 810, 945, 1200, 1425, 1590, 1740, 1890, 2025,
    ]  # fmt: skip


def _first_two(seed: int, salt: str = "") -> list[bytes]:
    case = replace(CASES["quick"], signed=False)
    stream = run_procedure(case, seed=seed, start=START, salt=salt, with_truth=False)
    planning, structures = next(stream), next(stream)
    assert isinstance(planning, ScanEvent)
    assert isinstance(structures, StructuresEvent)
    assert planning.truth is None
    return [_bytes(planning.datasets[10]), _bytes(structures.dataset)]


def test_the_same_seed_gives_the_same_bytes() -> None:
    once = _first_two(11)
    assert once == _first_two(11)
    salted = [pydicom.dcmread(io.BytesIO(data)) for data in _first_two(11, salt="b")]
    plain = pydicom.dcmread(io.BytesIO(once[0]))
    assert salted[0].SOPInstanceUID != plain.SOPInstanceUID
    assert salted[0].PatientID != plain.PatientID
    assert salted[0].PixelData == plain.PixelData
    assert plain.PixelRepresentation == 0
    assert plain.BitsStored == 12


def test_no_two_images_of_a_long_procedure_share_a_uid() -> None:
    """Image 12 of series 1 is not image 2 of series 11."""
    identity = Identity("standard", 1, "", START, "HFS", "B30f", signed=True)
    uids = {identity.uid("image", number, k) for number in range(15) for k in range(60)}
    assert len(uids) == 15 * 60


def test_start_needs_an_offset() -> None:
    with pytest.raises(ValueError, match="offset"):
        run_procedure(CASES["quick"], seed=1, start=START.replace(tzinfo=None))


def test_a_real_ct_needs_its_folder() -> None:
    with pytest.raises(ValueError, match="folder"):
        run_procedure(CASES["real-ct-left"], seed=1, start=START)


def test_a_localizer_comes_first_where_asked_for() -> None:
    case = replace(CASES["quick"], localizer=True)
    stream = run_procedure(case, seed=1, start=START, with_truth=False)
    first = next(stream)
    assert isinstance(first, ScanEvent)
    assert first.role == "ignored"
    (image,) = first.datasets
    assert image.ImageType[2] == "LOCALIZER"
    check_required_attributes(image, module="ct-image")
    check_required_attributes(image, module="image-plane")
    assert float(np.std(image.pixel_array)) > 10


def test_structures_are_read_back_on_the_planning_scan(
    scans: tuple[ScanEvent, ...], structures: StructuresEvent
) -> None:
    read = pydicom.dcmread(io.BytesIO(_bytes(structures.dataset)))
    planning = {image.SOPInstanceUID: image for image in scans[0].datasets}
    names = [roi.ROIName for roi in read.StructureSetROISequence]
    assert names == ["Tumour", "Renal hilum"]
    volumes_ml = []
    for contours in read.ROIContourSequence:
        area_mm2 = 0.0
        for contour in contours.ContourSequence:
            assert contour.ContourGeometricType == "CLOSED_PLANAR"
            image = planning[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
            points = np.array(contour.ContourData, dtype=float).reshape(-1, 3)
            assert len(points) == contour.NumberOfContourPoints
            assert points[:, 2] == pytest.approx(float(image.ImagePositionPatient[2]), abs=1e-3)
            x, y = points[:, 0], points[:, 1]
            area_mm2 += abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
        volumes_ml.append(area_mm2 * 4.0 / 1000)
    # A tumour of 20 mm holds 4.2 ml.
    assert volumes_ml[0] == pytest.approx(4.2, rel=0.25)
    assert 4 < volumes_ml[1] < 15
    frame = read.ReferencedFrameOfReferenceSequence[0]
    series = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    assert series.SeriesInstanceUID == scans[0].datasets[0].SeriesInstanceUID
    assert len(series.ContourImageSequence) == len(planning)


def test_files_and_truth(events: tuple[Event, ...], tmp_path: Path) -> None:
    writer = ProcedureWriter(tmp_path / "dicom", tmp_path / "truth")
    folders = [writer.write(event) for event in events]
    names = sorted(path.name for path in (tmp_path / "dicom").iterdir())
    assert names[:3] == ["01-planning", "02-structures", "03-needles-in"]
    assert [folder for folder in folders if folder is None] == [None, None]
    files = sorted((tmp_path / "dicom" / "01-planning").iterdir())
    assert files[0].name == "IM0001.dcm"
    assert len(files) == 24
    truth = json.loads((tmp_path / "truth" / "truth.json").read_text(encoding="utf-8"))
    assert [phase["phase"] for phase in truth["phases"]] == ["freeze", "idle"]
    assert [scan["role"] for scan in truth["scans"]] == [
        "planning",
        "baseline",
        "monitoring",
        "monitoring",
    ]
    last = truth["scans"][-1]
    scan = events[-2]
    assert isinstance(scan, ScanEvent)
    assert scan.truth is not None
    assert last["margin_mm"] == scan.truth.margin_mm
    ice = load_ice(tmp_path / "truth" / f"{last['series_instance_uid']}.npz")
    assert (ice == scan.truth.ice).all()


def test_cases_are_told_apart() -> None:
    assert len([case for case in CASES.values() if not case.for_tests]) >= 8
    assert {"standard", "exophytic", "central", "prone", "quick"} <= set(CASES)
    for name, case in CASES.items():
        assert case.name == name
        assert case.description
    with pytest.raises(ValueError, match="drop_hu"):
        replace(CASES["standard"], drop_hu=20)
