"""Structure sets: read as drawn, or refused with a sentence."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from monitor.analysis import Planned, Refused, read_structures
from monitor.structures import (
    MAXIMUM_STRUCTURE_SET_BYTES,
    Offered,
    StructureSet,
    StructureSetError,
    read_structure_set,
)
from monitor.workers import Workers, process_pool
from scanner_sim.cases import CASES
from segmentation.structures import solid_from_contours
from tests.quick_case import QuickCase
from tests.waiting import PATIENCE_S

TUMOUR, HILUM = "(?i)tum(o|ou)r|gtv|mass|lesion", "(?i)hil"
NOW = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)


def parse(path: Path) -> StructureSet:
    """With the patterns that are built in."""
    return read_structure_set(path, tumour_pattern=TUMOUR, hilum_pattern=HILUM)


@pytest.fixture
def drawn(quick: QuickCase) -> FileDataset:
    """The quick case's structure set."""
    return pydicom.dcmread(next(quick.structures.glob("*.dcm")))


def written(dataset: FileDataset, folder: Path) -> Path:
    """As a file."""
    path = folder / "structures.dcm"
    dataset.save_as(path)
    return path


def test_the_simulators(drawn: FileDataset, quick: QuickCase, tmp_path: Path) -> None:
    found = parse(written(drawn, tmp_path))
    assert found.planning_series_uid == quick.planning.uid
    planning = pydicom.dcmread(quick.planning.files[0])
    assert found.frame_of_reference_uid == planning.FrameOfReferenceUID
    assert [(s.name, s.kind) for s in found.structures] == [
        ("Tumour", "tumour"),
        ("Renal hilum", "hilum"),
    ]
    tumour = found.structures[0]
    solid = solid_from_contours(tumour.name, tumour.kind, tumour.contours)
    radius = CASES["quick"].site.diameter_mm / 2
    assert solid.volume_ml == pytest.approx(4 / 3 * np.pi * radius**3 / 1000, rel=0.2)


def test_pydicoms(tmp_path: Path) -> None:
    """An older planning station's, with points beside contours."""
    path = get_testdata_file("rtstruct.dcm", download=False)
    assert isinstance(path, str)
    original = pydicom.dcmread(path, force=True)  # it comes without the preamble of a file
    original.ensure_file_meta()
    original.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    original.save_as(tmp_path / "rtstruct.dcm", enforce_file_format=True)
    found = parse(tmp_path / "rtstruct.dcm")
    assert found.planning_series_uid == "1.2.826.0.1.3680043.8.498.2010020400001.2.1.1"
    assert found.frame_of_reference_uid == "1.2.826.0.1.3680043.8.498.2010020400001.2"
    (patient,) = found.structures  # the two isocentres are points
    assert (patient.name, patient.kind) == ("patient", "other")
    assert [contour.shape for contour in patient.contours] == [(5, 3), (6, 3), (6, 3)]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("TUMOR", "tumour"),
        ("Renal tumour left", "tumour"),
        ("GTV1", "tumour"),
        ("mass", "tumour"),
        ("Lesion A", "tumour"),
        ("Hilum", "hilum"),
        ("renal hilus", "hilum"),
        ("Bowel", "other"),
    ],
)
def test_kinds(drawn: FileDataset, tmp_path: Path, name: str, kind: str) -> None:
    drawn.StructureSetROISequence[0].ROIName = name
    assert parse(written(drawn, tmp_path)).structures[0].kind == kind


def test_what_is_no_closed_contour_is_passed_over(drawn: FileDataset, tmp_path: Path) -> None:
    for contour in drawn.ROIContourSequence[1].ContourSequence:
        contour.ContourGeometricType = "OPEN_PLANAR"
    found = parse(written(drawn, tmp_path))
    assert [s.name for s in found.structures] == ["Tumour"]


Fault = Callable[[FileDataset], None]


def no_contours(dataset: FileDataset) -> None:
    dataset.ROIContourSequence = []


def no_reference(dataset: FileDataset) -> None:
    del dataset.ReferencedFrameOfReferenceSequence


def empty_reference(dataset: FileDataset) -> None:
    dataset.ReferencedFrameOfReferenceSequence = [Dataset()]


def no_names(dataset: FileDataset) -> None:
    del dataset.StructureSetROISequence


def no_triples(dataset: FileDataset) -> None:
    contour = dataset.ROIContourSequence[0].ContourSequence[0]
    contour.ContourData = list(contour.ContourData)[:-1]


def no_numbers(dataset: FileDataset) -> None:
    contour = dataset.ROIContourSequence[0].ContourSequence[0]
    contour.ContourData = ["1E400", *list(contour.ContourData)[1:]]


def no_roi_number(dataset: FileDataset) -> None:
    del dataset.ROIContourSequence[0].ReferencedROINumber


FAULTS = [
    (no_contours, "no closed contours"),
    (no_reference, "refers to no image series"),
    (empty_reference, "refers to no image series"),
    (no_names, "can't be read"),
    (no_triples, "triples of numbers"),
    (no_numbers, "triples of numbers"),
    (no_roi_number, "can't be read"),
]


@pytest.mark.parametrize(("fault", "said"), FAULTS)
def test_a_wrong_one_is_refused(
    drawn: FileDataset, tmp_path: Path, fault: Fault, said: str
) -> None:
    fault(drawn)
    with pytest.raises(StructureSetError, match=said) as caught:
        parse(written(drawn, tmp_path))
    assert str(caught.value).startswith("The structure set ")
    assert str(caught.value).endswith(".")


def test_an_unknown_value_representation(drawn: FileDataset, tmp_path: Path) -> None:
    path = written(drawn, tmp_path)
    # ROI Name (3006,0026), of an LO that a bit was lost of.
    name = b"\x06\x30\x26\x00L"
    path.write_bytes(path.read_bytes().replace(name + b"O", name + b"\x7f"))
    with pytest.raises(StructureSetError, match="Unknown Value Representation"):
        parse(path)


def test_what_is_no_structure_set(quick: QuickCase, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.dcm"
    garbage.write_bytes(b"garbage" * 100)
    for path in (garbage, tmp_path / "none.dcm", quick.planning.files[0]):
        with pytest.raises(StructureSetError, match="The structure set can't be read"):
            parse(path)


def test_one_that_inflates_beyond_all_measure(drawn: FileDataset, tmp_path: Path) -> None:
    """It is as large as it becomes, not as large as its file."""
    drawn.ROIContourSequence[0].add_new(0x00091001, "OB", bytes(MAXIMUM_STRUCTURE_SET_BYTES))
    drawn.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = written(drawn, tmp_path)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(StructureSetError, match="too large"):
        parse(path)


@pytest.mark.parametrize(
    ("tumours", "code"), [(0, "no_tumour"), (1, ""), (2, "no_tumour"), (3, "bad_contours")]
)
def test_what_the_analysis_process_answers(
    drawn: FileDataset, quick: QuickCase, tmp_path: Path, tumours: int, code: str
) -> None:
    """Solids where there is exactly one tumour."""
    if tumours == 3:
        no_contours(drawn)
    for n, roi in enumerate(drawn.StructureSetROISequence):
        roi.ROIName = "Tumour" if n < tumours else "Kidney"
    found = read_structures(Offered(written(drawn, tmp_path), "1.2", "1.2.3", TUMOUR, HILUM, NOW))
    if code:
        assert isinstance(found, Refused)
        assert found.code == code
    else:
        assert isinstance(found, Planned)
        assert found.planning_series_uid == quick.planning.uid
        assert [s.kind for s in found.structures] == ["tumour", "other"]


def test_nothing_of_what_was_sent_is_written_into_the_log(
    drawn: FileDataset, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not by the library that reads it either, in the process where it is read."""
    drawn.StructureSetROISequence[0].ROINumber = 7777
    path = written(drawn, tmp_path)
    path.write_bytes(path.read_bytes().replace(b"7777", b"\nx!y"))
    workers = Workers(partial(process_pool, 1))
    try:
        offered = Offered(path, "1.2", "1.2.3", TUMOUR, HILUM, NOW)
        answer = workers.submit(0, read_structures, offered).result(PATIENCE_S)
    finally:
        workers.close()
    assert isinstance(answer, Refused)
    assert "x!y" not in capfd.readouterr().err
