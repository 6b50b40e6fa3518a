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
from monitor.structure_sets import Contoured, StructureSet, StructureSetError
from monitor.structures import MAXIMUM_STRUCTURE_SET_BYTES, Offered, read_structure_set
from monitor.workers import Workers, process_pool
from scanner_sim.cases import CASES
from tests.dicom_listener.objects import at
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
    assert found.drawn.series_uids == (quick.planning.uid,)
    planning = pydicom.dcmread(quick.planning.files[0])
    assert found.drawn.frame_of_reference_uid == planning.FrameOfReferenceUID
    assert [(s.name, s.kind) for s in found.structures] == [
        ("Tumour", "tumour"),
        ("Renal hilum", "hilum"),
    ]
    solid = found.structures[0].solid()
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
    with pytest.raises(StructureSetError, match="“patient” is no anatomy"):
        parse(tmp_path / "rtstruct.dcm")
    original.RTROIObservationsSequence[0].RTROIInterpretedType = "ORGAN"
    original.save_as(tmp_path / "rtstruct.dcm", enforce_file_format=True)
    found = parse(tmp_path / "rtstruct.dcm")
    assert found.drawn.series_uids == ("1.2.826.0.1.3680043.8.498.2010020400001.2.1.1",)
    assert found.drawn.frame_of_reference_uid == "1.2.826.0.1.3680043.8.498.2010020400001.2"
    (patient,) = found.structures  # the two isocentres are points
    assert (patient.name, patient.kind) == ("patient", "other")
    assert isinstance(patient, Contoured)
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


def no_reference_at_all(dataset: FileDataset) -> None:
    no_reference(dataset)
    dataset.pop("FrameOfReferenceUID", None)
    for roi in dataset.StructureSetROISequence:
        del roi.ReferencedFrameOfReferenceUID
    for item in dataset.ROIContourSequence:
        for contour in item.ContourSequence:
            if "ContourImageSequence" in contour:
                del contour.ContourImageSequence


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
    (no_reference_at_all, "does not say which scan"),
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
        with pytest.raises(StructureSetError):
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
    ("tumours", "code"), [(0, ""), (1, ""), (2, "several_tumours"), (3, "bad_contours")]
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
        assert found.drawn.series_uids == (quick.planning.uid,)
        assert found.has_tumour == (tumours == 1)


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


def test_a_tumour_without_volume_is_refused_and_another_structure_is_left_out(
    drawn: FileDataset, tmp_path: Path
) -> None:
    def flatten(roi: int) -> None:
        for contour in drawn.ROIContourSequence[roi].ContourSequence:
            x, y, z = (float(v) for v in list(contour.ContourData)[:3])
            contour.ContourData = [x, y, z, x + 5, y, z, x + 9, y, z]

    flatten(1)
    drawn.StructureSetROISequence[1].ROIName = "Bowel"
    answer = read_structures(Offered(written(drawn, tmp_path), "1", "2", TUMOUR, HILUM, at(0)))
    assert isinstance(answer, Planned)
    assert [solid.name for solid in answer.structures] == ["Tumour"]
    assert answer.remarks == ("Structure 'Bowel' has a contour that is a line; it was left out.",)
    drawn.StructureSetROISequence[1].ROIName = "Renal hilum"
    answer = read_structures(Offered(written(drawn, tmp_path), "1", "2", TUMOUR, HILUM, at(0)))
    assert isinstance(answer, Refused)
    assert "Renal hilum" in answer.text
    flatten(0)
    answer = read_structures(Offered(written(drawn, tmp_path), "1", "2", TUMOUR, HILUM, at(0)))
    assert isinstance(answer, Refused)
    assert "Tumour" in answer.text


def test_what_is_left_out_is_said(drawn: FileDataset, tmp_path: Path) -> None:
    """Points beside contours, another frame, no anatomy, nothing, and what nothing names."""
    first, second = drawn.ROIContourSequence
    first.ContourSequence[0].ContourGeometricType = "POINT"
    for number, (name, kind, frame) in enumerate(
        [
            ("Elsewhere", "ORGAN", "1.9.9"),
            ("Skin", "EXTERNAL", drawn.FrameOfReferenceUID),
            ("Ureter", "ORGAN", drawn.FrameOfReferenceUID),
        ],
        start=3,
    ):
        roi, item, observed = Dataset(), Dataset(), Dataset()
        roi.ROINumber = item.ReferencedROINumber = observed.ReferencedROINumber = number
        roi.ROIName, observed.RTROIInterpretedType = name, kind
        roi.ReferencedFrameOfReferenceUID = frame
        if name != "Ureter":
            item.ContourSequence = second.ContourSequence
        drawn.StructureSetROISequence.append(roi)
        drawn.ROIContourSequence.append(item)
        drawn.RTROIObservationsSequence.append(observed)
    unnamed = Dataset()
    unnamed.ReferencedROINumber = 77
    drawn.ROIContourSequence.append(unnamed)
    found = parse(written(drawn, tmp_path))
    assert [one.name for one in found.structures] == ["Tumour", "Renal hilum"]
    assert found.remarks == (
        "Of “Tumour” 1 points or open lines were left out.",
        "“Skin” is no anatomy (EXTERNAL) and was left out.",
        "“Ureter” has no contours and was left out.",
        "Contours of a structure 77 without a name were left out.",
        "Drawn in another frame of reference, and left out: “Elsewhere”.",
    )


@pytest.mark.parametrize("fault", [no_reference, empty_reference])
def test_without_a_named_series_frame_and_images_are_left(
    drawn: FileDataset, tmp_path: Path, fault: Fault
) -> None:
    fault(drawn)
    found = parse(written(drawn, tmp_path)).drawn
    assert found.series_uids == ()
    assert found.frame_of_reference_uid == drawn.FrameOfReferenceUID
    assert found.image_uids
