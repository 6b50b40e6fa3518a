"""A scan in one object is the same scan: the same volume, to the bit, or a reason."""

import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pydicom
import pytest
from highdicom.legacy import LegacyConvertedEnhancedCTImage
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    LegacyConvertedEnhancedCTImageStorage,
)

from dicom_listener import encoded, headers
from dicom_listener.encoded import parse_dataset
from dicom_listener.frames import MAXIMUM_FRAMES
from dicom_listener.headers import HEADER_TAGS, ObjectHeader, parse_header, read_header
from dicom_listener.pixels import PixelError, read_volume
from tests.dicom_listener.anatomy import (
    HU,
    assert_same,
    datasets,
    new_uid,
    refusal,
    slices,
    write,
)
from tests.dicom_listener.multi_frame import Change, enhanced, macro
from tests.dicom_listener.objects import encode

SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
)


def header_of(ds: Dataset, syntax: str = ExplicitVRLittleEndian) -> ObjectHeader:
    return parse_header(parse_dataset(encode(ds, syntax), syntax, HEADER_TAGS), UTC)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_an_enhanced_object_is_its_slices(tmp_path: Path, syntax: str) -> None:
    ds = enhanced(datasets(slices()))
    if syntax == ExplicitVRBigEndian:
        ds.PixelData = HU.astype(">i2").tobytes()
    assert_same(read_volume(write(tmp_path, [ds], syntax)))


@pytest.mark.parametrize(
    "shared", [(), ("PixelValueTransformationSequence", "PixelMeasuresSequence")]
)
def test_groups_may_be_shared_or_not(tmp_path: Path, shared: tuple[str, ...]) -> None:
    assert_same(read_volume(write(tmp_path, [enhanced(datasets(slices()), shared=shared)])))


@pytest.mark.parametrize("lengths", ["sequences", "items", "both"])
def test_groups_of_undefined_length(tmp_path: Path, lengths: str) -> None:
    ds = enhanced(datasets(slices()))

    def open_ended(inner: Dataset) -> None:
        for element in inner:
            if element.VR == "SQ":
                element.is_undefined_length = lengths != "items"
                for item in element.value:
                    item.is_undefined_length_sequence_item = lengths != "sequences"
                    open_ended(item)

    open_ended(ds)
    assert_same(read_volume(write(tmp_path, [ds])))


def test_legacy_converted_by_another_hand(tmp_path: Path) -> None:
    """highdicom's converter, which leaves what it has no place for in groups of their own."""
    source = datasets(slices())
    for n, ds in enumerate(source):
        ds.AcquisitionTime = f"0901{n:02d}"
    paths = write(tmp_path / "slices", source)
    converted = LegacyConvertedEnhancedCTImage(
        [pydicom.dcmread(path) for path in paths],
        series_instance_uid=new_uid(),
        series_number=9,
        sop_instance_uid=new_uid(),
        instance_number=1,
    )
    assert converted.SOPClassUID == LegacyConvertedEnhancedCTImageStorage
    path = tmp_path / "converted.dcm"
    converted.save_as(path, enforce_file_format=True)
    assert_same(read_volume([path]))
    header = read_header(path, UTC)
    assert len(header.planes) == header.number_of_frames == len(HU)
    assert header.convolution_kernel == "B30f"
    assert header.acquired_at == datetime(2026, 3, 1, 9, 1, tzinfo=UTC)


def test_each_frame_with_its_own_scale(tmp_path: Path) -> None:
    found = slices()
    objects = datasets(found, PixelRepresentation=0, RescaleSlope="0.5")
    for n, (ds, one) in enumerate(zip(objects, found, strict=True)):
        ds.RescaleIntercept = f"{-1024 - n / 2}"
        ds.PixelData = ((one.hu.astype(int) + 1024) * 2 + n).astype("<u2").tobytes()
    assert_same(read_volume(write(tmp_path / "slices", objects)))
    assert_same(read_volume(write(tmp_path / "frames", [enhanced(objects)])))


@pytest.mark.parametrize(
    "layout", [("+x", "-y", "-z"), ("+x", "-z", "+y"), ("-y", "+x", "+z")], ids=str
)
def test_laid_out_in_any_way_and_shuffled(tmp_path: Path, layout: tuple[str, str, str]) -> None:
    found = datasets(slices(*layout))
    order = np.random.default_rng(1).permutation(len(found))
    assert_same(read_volume(write(tmp_path, [enhanced([found[n] for n in order])])))


def test_one_series_of_several_objects(tmp_path: Path) -> None:
    """Two multi-frame objects, one of one frame, and slices: one anatomy."""
    found = datasets(slices())
    mixed = [enhanced(found[6:]), enhanced(found[2:5]), enhanced(found[5:6]), *found[:2]]
    assert_same(read_volume(write(tmp_path, mixed)))


def test_what_the_header_tells() -> None:
    found = datasets(slices())
    for n, ds in enumerate(found):
        ds.AcquisitionTime = f"0901{30 - n:02d}"
    header = header_of(enhanced(found))
    plain = [header_of(ds).plane for ds in found]
    assert [
        (p.position, p.orientation, p.pixel_spacing, p.rows, p.columns) for p in header.planes
    ] == [(p.position, p.orientation, p.pixel_spacing, p.rows, p.columns) for p in plain if p]
    assert header.plane is None
    assert header.number_of_frames == len(found)
    assert header.acquired_at == datetime(2026, 3, 1, 9, 1, 30 - len(found) + 1, tzinfo=UTC)
    assert header.convolution_kernel == "B30f"
    assert header.image_type == ("ORIGINAL", "PRIMARY", "VOLUME", "NONE", "AXIAL")
    assert not header.is_localizer
    assert not header.lossy


def test_what_tells_one_acquisition_from_another() -> None:
    """The events of all frames, from the first to the last of their times."""

    def change(ds: Dataset) -> None:
        for n, frame in enumerate(ds.PerFrameFunctionalGroupsSequence):
            content = frame.FrameContentSequence[0]
            content.FrameAcquisitionDateTime = f"20260302090{n % 10}00+0000"
            event = macro(IrradiationEventUID=f"1.2.{1 + n % 2}")
            frame.IrradiationEventIdentificationSequence = event
        kind = macro(FluoroscopyFlag="YES")
        ds.SharedFunctionalGroupsSequence[0].CTAcquisitionTypeSequence = kind
        ds.BodyPartExamined = "ABDOMEN"

    ds = enhanced(datasets(slices())[:4], change=change)
    found = parse_header(parse_dataset(encode(ds), ExplicitVRLittleEndian, HEADER_TAGS))
    assert found.event_uids == ("1.2.1", "1.2.2")
    assert found.acquired_from == datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
    assert found.acquired_to == datetime(2026, 3, 2, 9, 3, tzinfo=UTC)
    assert found.slice_thickness_mm == float(datasets(slices())[0].SliceThickness)
    assert found.fluoroscopy
    assert found.body_part == "ABDOMEN"


def test_a_single_frame_of_an_enhanced_object_has_a_plane() -> None:
    (one, *_) = datasets(slices())
    header = header_of(enhanced([one]))
    assert header.plane is not None
    assert header.plane.position == tuple(one.ImagePositionPatient)


def test_a_frame_that_is_a_localizer_marks_the_object() -> None:
    found = datasets(slices())
    found[3].ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    assert header_of(enhanced(found, shared=())).is_localizer


def lossy_shared(ds: Dataset) -> None:
    ds.SharedFunctionalGroupsSequence[0].LossyImageCompression = "01"


def lossy_unassigned(ds: Dataset) -> None:
    ds.SharedFunctionalGroupsSequence[0].UnassignedSharedConvertedAttributesSequence = macro(
        LossyImageCompression="01"
    )


def lossy_frame(ds: Dataset) -> None:
    for n, mark in ((2, "00"), (7, "01")):
        frame = ds.PerFrameFunctionalGroupsSequence[n]
        frame.UnassignedPerFrameConvertedAttributesSequence = macro(LossyImageCompression=mark)


def lossy_and_not(ds: Dataset) -> None:
    lossy_shared(ds)
    lossy_frame(ds)


def lossy_method(ds: Dataset) -> None:
    ds.LossyImageCompressionMethod = "ISO_10918_1"


@pytest.mark.parametrize(
    "change", [lossy_shared, lossy_unassigned, lossy_frame, lossy_and_not, lossy_method]
)
def test_lossy_wherever_it_is_said(tmp_path: Path, change: Change) -> None:
    ds = enhanced(datasets(slices()), change=change)
    assert header_of(ds).lossy
    with pytest.raises(PixelError) as caught:
        read_volume(write(tmp_path, [ds]))
    assert caught.value.code == "lossy"


def without(sequence: str) -> Change:
    def change(ds: Dataset) -> None:
        for item in (ds.SharedFunctionalGroupsSequence[0], *ds.PerFrameFunctionalGroupsSequence):
            if sequence in item:
                delattr(item, sequence)

    return change


def one_frame_without(ds: Dataset) -> None:
    del ds.PerFrameFunctionalGroupsSequence[5].PlanePositionSequence


def empty_macro(ds: Dataset) -> None:
    ds.PerFrameFunctionalGroupsSequence[5].PlanePositionSequence = []


def top_level_only(ds: Dataset) -> None:
    without("PlaneOrientationSequence")(ds)
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]


def fewer_groups(ds: Dataset) -> None:
    del ds.PerFrameFunctionalGroupsSequence[-1]


def more_groups(ds: Dataset) -> None:
    ds.PerFrameFunctionalGroupsSequence.append(ds.PerFrameFunctionalGroupsSequence[0])


def fewer_frames(ds: Dataset) -> None:
    ds.NumberOfFrames = len(HU) - 1
    fewer_groups(ds)


def no_groups(ds: Dataset) -> None:
    del ds.PerFrameFunctionalGroupsSequence
    del ds.SharedFunctionalGroupsSequence


def stacks(ds: Dataset) -> None:
    """Twice the same positions, as two stacks of one object."""
    frames = list(ds.PerFrameFunctionalGroupsSequence)
    for n, frame in enumerate(frames):
        half = n * 2 // len(frames)
        frame.FrameContentSequence[0].StackID = str(half + 1)
        place = frames[n - half * len(frames) // 2].PlanePositionSequence[0]
        frame.PlanePositionSequence = macro(ImagePositionPatient=place.ImagePositionPatient)


def phases(ds: Dataset) -> None:
    frames = list(ds.PerFrameFunctionalGroupsSequence)
    for n, frame in enumerate(frames):
        frame.FrameContentSequence[0].TemporalPositionIndex = n % 2 + 1
        place = frames[n - n % 2].PlanePositionSequence[0]
        frame.PlanePositionSequence = macro(ImagePositionPatient=place.ImagePositionPatient)


def perfusion(ds: Dataset) -> None:
    for frame in ds.PerFrameFunctionalGroupsSequence:
        frame.PixelValueTransformationSequence[0].RescaleType = "US"


FAULTS: dict[str, tuple[Change, str]] = {
    "no positions": (without("PlanePositionSequence"), "no_plane"),
    "no orientation": (without("PlaneOrientationSequence"), "no_plane"),
    "no pixel spacing": (without("PixelMeasuresSequence"), "no_plane"),
    "no rescale": (without("PixelValueTransformationSequence"), "not_hu"),
    "orientation at the top level only": (top_level_only, "no_plane"),
    "one frame without position": (one_frame_without, "no_plane"),
    "an empty group": (empty_macro, "no_plane"),
    "groups of fewer frames": (fewer_groups, "no_plane"),
    "groups of more frames": (more_groups, "no_plane"),
    "no groups at all": (no_groups, "no_plane"),
    "fewer frames than pixels": (fewer_frames, "bad_pixels"),
    "two stacks at one place": (stacks, "several_acquisitions"),
    "two phases": (phases, "several_acquisitions"),
    "other units": (perfusion, "not_hu"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_is_refused(tmp_path: Path, fault: tuple[Change, str]) -> None:
    change, code = fault
    paths = write(tmp_path, [enhanced(datasets(slices()), change=change)])
    assert refusal(paths) == code


@pytest.mark.parametrize("claim", ["13", "2000000000", "-4"])
def test_a_number_of_frames_that_lies_takes_no_memory(tmp_path: Path, claim: str) -> None:
    def change(ds: Dataset) -> None:
        ds.NumberOfFrames = claim

    (path,) = write(tmp_path, [enhanced(datasets(slices()), change=change)])
    tracemalloc.start()
    with pytest.raises(PixelError) as caught:
        read_volume([path])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.code in {"pixel_data_length", "no_plane"}
    assert peak < 4e6


def test_lengths_that_lie_within_the_groups(tmp_path: Path) -> None:
    """The object as a whole is whole: it is stored, and not measured."""
    (path,) = write(tmp_path, [enhanced(datasets(slices()))])
    content = bytearray(path.read_bytes())
    item = content.index(b"\x20\x00\x13\x91SQ")  # the first Plane Position Sequence
    content[item + 8 : item + 12] = (1 << 20).to_bytes(4, "little")
    path.write_bytes(content)
    assert read_header(path).planes == ()
    with pytest.raises(PixelError) as caught:
        read_volume([path])
    assert caught.value.code == "no_plane"


def test_elements_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(enhanced(datasets(slices())))
    monkeypatch.setattr(encoded, "MAXIMUM_ELEMENTS", 10)
    with pytest.raises(encoded.DatasetError) as caught:
        parse_dataset(data, ExplicitVRLittleEndian, HEADER_TAGS)
    assert caught.value.code == "too_large"


def test_frames_beyond_all_measure_are_only_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of them is looked at: the header is small, and soon made."""
    count = MAXIMUM_FRAMES + 1

    def change(ds: Dataset) -> None:
        ds.NumberOfFrames = count
        ds.Rows = ds.Columns = 1
        ds.PixelData = bytes(2 * count)
        ds.PerFrameFunctionalGroupsSequence = [Dataset() for _ in range(count)]

    looked = Mock(return_value=[])
    monkeypatch.setattr(headers, "frame_values", looked)
    header = header_of(enhanced(datasets(slices()), change=change))
    assert (header.number_of_frames, header.planes) == (count, ())
    looked.assert_not_called()
