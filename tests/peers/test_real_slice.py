"""Real CT slices, shipped by pydicom and its data package, through the real service."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.pixels.processing import apply_rescale
from pydicom.uid import CTImageStorage
from pynetdicom import AE

from dicom_listener.pixels import read_slice
from tests.quick_case import QuickCase
from tests.service import RunningService, running_service
from tests.waiting import until

pytestmark = pytest.mark.peer

REAL = [
    pytest.param("CT_small.dcm", "storescu", id="128 pixels, plain, by dcmtk"),
    # dcmtk can't read this one: its elements of unknown VR are written as few would.
    pytest.param("explicit_VR-UN.dcm", "pynetdicom", id="kidneys, JPEG 2000 lossless"),
]


def shipped(name: str) -> Path:
    """The slice, as its package installed it."""
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str), f"{name} is not in pydicom, nor in pydicom-data"
    return Path(path)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[RunningService]:
    """A service of each test's own: each slice is of another patient."""
    with running_service(tmp_path / "service", {"dicom": {"series_quiet_s": 0.5}}) as service:
        yield service


def series_of(service: RunningService, uid: str) -> dict[str, Any] | None:
    """A series as the procedure tells it, once something was said about it."""
    procedure = service.procedure()
    rows = procedure["series"] if procedure is not None else []
    found = [s for s in rows if s["series_instance_uid"] == uid and s["reason"] is not None]
    return found[0] if found else None


def send_as_it_is(service: RunningService, path: Path, syntax: str) -> int:
    """C-STORE of a file's own bytes; the status."""
    entity = AE("CT")
    entity.add_requested_context(CTImageStorage, syntax)
    association = entity.associate("127.0.0.1", service.dicom_port, ae_title="ICEMARGIN")
    assert association.is_established
    try:
        return int(association.send_c_store(path).Status)
    finally:
        association.release()


@pytest.mark.parametrize(("name", "sender"), REAL)
def test_a_real_slice(service: RunningService, storescu: str, name: str, sender: str) -> None:
    """Stored as it came, in the right Hounsfield units, and plainly no volume."""
    path = shipped(name)
    original = pydicom.dcmread(path)
    if sender == "storescu":
        sent = service.storescu(storescu, path)
        assert sent.returncode == 0, sent.stderr
    else:
        assert send_as_it_is(service, path, original.file_meta.TransferSyntaxUID) == 0
    (kept,) = service.directory.glob(f"objects/*/*/{original.SOPInstanceUID}.dcm")
    stored = pydicom.dcmread(kept)
    assert stored.file_meta.TransferSyntaxUID == original.file_meta.TransferSyntaxUID
    assert stored.PixelData == original.PixelData
    plane, hu = read_slice(kept)
    expected = apply_rescale(original.pixel_array, original)
    # The padding value is no density: it is read as air whatever it was.
    real = np.ones(expected.shape, dtype=bool)
    if "PixelPaddingValue" in original:
        real = original.pixel_array != original.PixelPaddingValue
    assert real.mean() > 0.5
    assert np.array_equal(hu[real], expected[real])
    assert plane.position == pytest.approx(tuple(original.ImagePositionPatient))
    assert plane.pixel_spacing == pytest.approx(tuple(original.PixelSpacing))
    uid = str(original.SeriesInstanceUID)
    series = until(lambda: series_of(service, uid), "what is said of the slice")
    assert series["slices"] == 1
    assert series["reason"]["code"] == "too_few_slices"
    assert "1 slices" in series["reason"]["text"]
    (said,) = service.measurements()
    assert (said["role"], said["assessment"]) == ("ignored", "not_assessable")
    assert (said["tumour"], said["ice"], said["structures"]) == (None, None, [])


def test_a_real_slice_within_a_procedure(
    service: RunningService, storescu: str, quick: QuickCase, tmp_path: Path
) -> None:
    """The scanner's single shot is ignored, with the reason, and scans are measured on."""
    for folder in quick.folders[:3]:
        sent = service.storescu(storescu, folder)
        assert sent.returncode == 0, sent.stderr
    service.wait_for_measurement(quick.baseline.uid)
    dataset = pydicom.dcmread(shipped("CT_small.dcm"))
    ours = pydicom.dcmread(quick.planning.files[0])
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID"):
        setattr(dataset, keyword, ours[keyword].value)
    shot = tmp_path / "shot.dcm"
    dataset.save_as(shot)
    assert service.storescu(storescu, shot).returncode == 0
    found = service.wait_for_measurement(str(dataset.SeriesInstanceUID))
    assert found["role"] == "ignored"
    assert found["assessment"] == "not_assessable"
    assert found["reasons"][0]["code"] == "too_few_slices"
    assert service.storescu(storescu, quick.monitoring[0].folder).returncode == 0
    assert service.wait_for_measurement(quick.monitoring[0].uid)["assessment"] == "final"
