"""The header is parsed once, and what is odd in it does not lose the object."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pydicom
import pytest
from pydicom.data import get_charset_files, get_testdata_file
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from dicom_listener.encoded import parse_dataset
from dicom_listener.headers import HEADER_TAGS, HeaderError, ObjectHeader, parse_header, read_header
from dicom_listener.syntaxes import is_storage_class, is_uid
from segmentation.volume import SlicePlane
from tests.dicom_listener.objects import FRAME, SERIES, STUDY, ct_slice, encode, structure_set

SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
)


def without(keyword: str) -> pydicom.Dataset:
    ds = ct_slice()
    delattr(ds, keyword)
    return ds


def parse(
    ds: pydicom.Dataset, syntax: str = ExplicitVRLittleEndian, zone: ZoneInfo | None = None
) -> ObjectHeader:
    return parse_header(parse_dataset(encode(ds, syntax), syntax, HEADER_TAGS), zone)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_slice(syntax: str) -> None:
    ds = ct_slice(2)
    if syntax == ExplicitVRBigEndian:
        ds.PixelData = np.full((16, 16), 2, ">i2").tobytes()
    found = parse(ds, syntax)
    assert found == ObjectHeader(
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        sop_instance_uid=f"{SERIES}.3",
        transfer_syntax_uid=syntax,
        modality="CT",
        patient_id="4711",
        patient_name="Müller^Åse",
        patient_birth_date="",
        study_instance_uid=STUDY,
        series_instance_uid=SERIES,
        series_number=None,
        series_description="Monitoring",
        frame_of_reference_uid=FRAME,
        image_type=("ORIGINAL", "PRIMARY", "AXIAL"),
        convolution_kernel="B30f",
        acquired_at=datetime(2026, 3, 1, 8, 0, 0, 500000, UTC),
        instance_number=3,
        acquisition_number=None,
        lossy=False,
        rescale_slope=1.0,
        rescale_intercept=-1024.0,
        rescale_type="",
        planes=(
            SlicePlane(
                (-8, -8, 6), (1, 0, 0, 0, 1, 0), (1, 1), 16, 16, acquired="20260301090000.5"
            ),
        ),
        number_of_frames=1,
        acquired_from=datetime(2026, 3, 1, 8, 0, 0, 500000, UTC),
        acquired_to=datetime(2026, 3, 1, 8, 0, 0, 500000, UTC),
    )


def test_what_its_role_hangs_on() -> None:
    found = parse(
        ct_slice(
            IrradiationEventUID=["1.2.3", "1.2.4"],
            AcquisitionUID="1.2.5",
            SliceThickness="2.5",
            BodyPartExamined="KIDNEY",
            ScanOptions=["HELICAL", "X"],
        )
    )
    assert found.event_uids == ("1.2.3", "1.2.4", "1.2.5")
    assert found.slice_thickness_mm == 2.5
    assert (found.body_part, found.scan_options) == ("KIDNEY", ("HELICAL", "X"))


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_what_its_role_hangs_on_is_absent_where_it_is_wrong() -> None:
    found = parse(ct_slice(IrradiationEventUID="../x", AcquisitionTime="2599"))
    assert found.event_uids == ()
    assert found.acquired_from is None
    assert found.acquired_to is None


def test_no_plane_without_pixels_or_position() -> None:
    assert parse(structure_set()).plane is None
    assert parse(ct_slice(PixelData=None)).plane is None
    assert parse(ct_slice(ImagePositionPatient=None)).plane is None
    assert parse(ct_slice(PixelSpacing=None)).plane is None


@pytest.mark.parametrize(
    "keyword", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]
)
def test_uids_that_must_be_there(keyword: str) -> None:
    with pytest.raises(HeaderError) as caught:
        parse(without(keyword))
    assert caught.value.code == "missing_uid"


@pytest.mark.parametrize(
    "uid",
    ["../../x", "1.2..3", "1.02.3", "1", "1.2.3.", "1.2.a", "1." + "2" * 63, "1.2/3"],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.filterwarnings("ignore:The value length")
def test_uids_that_are_none(uid: str) -> None:
    assert not is_uid(uid)
    assert not is_uid("1.2\n")
    with pytest.raises(HeaderError) as caught:
        parse(ct_slice(SOPInstanceUID=uid))
    assert caught.value.code == "bad_uid"


def test_a_wrong_frame_of_reference_is_none() -> None:
    data = encode(ct_slice()).replace(FRAME.encode(), b"x" * len(FRAME))
    found = parse_header(parse_dataset(data, ExplicitVRLittleEndian, HEADER_TAGS))
    assert found.frame_of_reference_uid is None


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({}, datetime(2026, 3, 1, 8, 0, 0, 500000, UTC)),
        (
            {"AcquisitionDateTime": "20260301101530.25-0500"},
            datetime(2026, 3, 1, 15, 15, 30, 250000, UTC),
        ),
        ({"AcquisitionDateTime": "20260301101530"}, datetime(2026, 3, 1, 9, 15, 30, tzinfo=UTC)),
        ({"AcquisitionDateTime": "2026"}, datetime(2026, 3, 1, 8, 0, 0, 500000, UTC)),
        ({"TimezoneOffsetFromUTC": None}, datetime(2026, 3, 1, 14, 0, 0, 500000, UTC)),
        ({"AcquisitionTime": "0930"}, datetime(2026, 3, 1, 8, 30, tzinfo=UTC)),
        (
            {"AcquisitionDate": None, "SeriesDate": "20260228", "SeriesTime": "235960"},
            datetime(2026, 2, 28, 22, 59, 59, tzinfo=UTC),
        ),
        ({"AcquisitionDate": "20260231"}, None),
        ({"AcquisitionTime": None}, None),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_when_it_was_acquired(elements: dict[str, Any], expected: datetime | None) -> None:
    found = parse(ct_slice(**elements), zone=ZoneInfo("America/New_York"))
    assert found.acquired_at == expected


def test_without_an_offset_it_is_this_machine_s_time() -> None:
    found = parse(ct_slice(TimezoneOffsetFromUTC=None))
    local = datetime(2026, 3, 1, 9, 0, 0, 500000).astimezone()
    assert found.acquired_at == local


def test_the_object_s_own_offset_is_kept() -> None:
    acquired = parse(ct_slice()).acquired_at
    assert acquired is not None
    assert acquired.tzinfo == timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("chrArab.dcm", "قباني^لنزار"),
        ("chrH31.dcm", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("chrI2.dcm", "Hong^Gildong=洪^吉洞=홍^길동"),
        ("chrX1.dcm", "Wang^XiaoDong=王^小東="),
    ],
)
def test_character_sets(name: str, expected: str) -> None:
    (path,) = get_charset_files(name)
    assert read_header(Path(path)).patient_name == expected


@pytest.mark.parametrize("character_set", [b"ISO_IR 999", b"ISO_IR 87\\", b"          "])
def test_odd_character_sets_survive(character_set: bytes) -> None:
    data = encode(ct_slice()).replace(b"ISO_IR 100", character_set)
    found = parse_header(parse_dataset(data, ExplicitVRLittleEndian, HEADER_TAGS))
    assert found.patient_id == "4711"
    assert found.patient_name.startswith("M")


@pytest.mark.parametrize(
    ("elements", "lossy"),
    [
        ({}, False),
        ({"LossyImageCompression": "00"}, False),
        ({"LossyImageCompression": "01"}, True),
    ],
)
def test_lossy_is_marked(elements: dict[str, Any], lossy: bool) -> None:
    assert parse(ct_slice(**elements)).lossy is lossy


def test_native_pixels_must_fill_the_matrix() -> None:
    with pytest.raises(HeaderError) as caught:
        parse(ct_slice(Rows=17))
    assert caught.value.code == "pixel_data_length"


def test_an_unknown_syntax() -> None:
    with pytest.raises(HeaderError) as caught:
        parse_header(parse_dataset(encode(ct_slice()), "1.2.840.10008.1.2.4.100", HEADER_TAGS))
    assert caught.value.code == "unknown_syntax"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("no_meta.dcm", "not_dicom"),
        ("rtplan_truncated.dcm", "truncated"),
        ("meta_missing_tsyntax.dcm", "garbled"),
        ("empty_charset_LEI.dcm", "missing_uid"),
    ],
)
def test_files_that_can_t_be_used(name: str, code: str) -> None:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    with pytest.raises(HeaderError) as caught:
        read_header(Path(path))
    assert caught.value.code == code


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(HeaderError) as caught:
        read_header(tmp_path / "empty")
    assert caught.value.code == "not_dicom"


@pytest.mark.parametrize("name", ["CT_small.dcm", "693_J2KR.dcm", "MR_small.dcm", "rtplan.dcm"])
def test_agrees_with_pydicom(name: str) -> None:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    ds = pydicom.dcmread(path)
    found = read_header(Path(path))
    assert found.sop_instance_uid == ds.SOPInstanceUID
    assert found.study_instance_uid == ds.StudyInstanceUID
    assert found.patient_name == str(ds.PatientName)
    assert found.transfer_syntax_uid == ds.file_meta.TransferSyntaxUID
    if found.plane:
        assert list(found.plane.position) == list(ds.ImagePositionPatient)
        assert (found.plane.rows, found.plane.columns) == (ds.Rows, ds.Columns)


@pytest.mark.parametrize(
    ("uid", "expected"),
    [
        ("1.2.840.10008.5.1.4.1.1.2", True),  # CT
        ("1.2.840.10008.5.1.4.1.1.481.3", True),  # RT Structure Set
        ("1.3.12.2.1107.5.9.1", True),  # Siemens CSA non-image
        ("1.2.840.10008.5.1.4.1.1.999.1", True),  # under the storage arc, not known here
        ("1.2.840.10008.5.1.4.1.2.2.1", False),  # Study Root Query/Retrieve FIND
        ("1.2.840.10008.3.1.2.3.3", False),  # MPPS
        ("../x", False),
    ],
)
def test_storage_classes(uid: str, expected: bool) -> None:
    assert is_storage_class(uid) is expected
