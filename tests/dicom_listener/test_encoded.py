"""A data set is whole, or it is refused: pydicom itself reads truncated ones without a word."""

import random
import struct
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.data import get_testdata_file
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from dicom_listener import encoded
from dicom_listener.encoded import DatasetError, parse_dataset, read_part10, split_part10
from tests.dicom_listener.objects import ct_slice, encode, part10, structure_set

PATIENT_ID = 0x00100020


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_every_cut_is_noticed_or_on_an_element_border(syntax: str) -> None:
    data = encode(structure_set(), syntax)
    borders, codes = set(), set()
    for length in range(len(data)):
        try:
            parse_dataset(data[:length], syntax, ())
        except DatasetError as error:
            codes.add(error.code)
        else:
            borders.add(length)
    assert codes == {"truncated"}
    # 8 top-level elements: the cuts between them look whole, and the header checks do the rest.
    assert len(borders) == 8


def test_a_cut_within_the_pixels() -> None:
    data = encode(ct_slice())
    with pytest.raises(DatasetError) as caught:
        parse_dataset(data[:-1], ExplicitVRLittleEndian, ())
    assert caught.value.code == "truncated"


def test_trailing_zeros_are_forgiven() -> None:
    data = encode(ct_slice()) + bytes(5)
    parsed = parse_dataset(data, ExplicitVRLittleEndian, (PATIENT_ID,))
    assert parsed.values == {PATIENT_ID: b"4711"}


def test_where_the_pixels_are() -> None:
    data = encode(ct_slice())
    span = parse_dataset(data, ExplicitVRLittleEndian, ()).pixels
    assert span is not None
    assert (span.start, span.stop) == (len(data) - 512, len(data))
    assert not span.encapsulated


def test_fragments() -> None:
    """A basic offset table, one fragment of 4 bytes, the delimiter."""
    head = struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)
    table = struct.pack("<HHL", 0xFFFE, 0xE000, 0)
    fragment = struct.pack("<HHL", 0xFFFE, 0xE000, 4) + b"abcd"
    end = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    span = parse_dataset(head + table + fragment + end, JPEG2000Lossless, ()).pixels
    assert span is not None
    assert span.encapsulated
    for cut in (head + table + fragment, head + table + fragment[:-1]):
        with pytest.raises(DatasetError) as caught:
            parse_dataset(cut, JPEG2000Lossless, ())
        assert caught.value.code == "truncated"
    endless = struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    with pytest.raises(DatasetError) as caught:
        parse_dataset(head + endless + end, JPEG2000Lossless, ())
    assert caught.value.code == "garbled"


def test_sequences_of_undefined_length() -> None:
    ds = structure_set()
    ds["StructureSetROISequence"].is_undefined_length = True
    ds.StructureSetROISequence[0].is_undefined_length_sequence_item = True
    inner = Dataset()
    inner.CodeValue = "T-71000"
    ds.StructureSetROISequence[0].PurposeOfReferenceCodeSequence = [inner]
    data = encode(ds)
    assert data.count(struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)) == 1
    parse_dataset(data, ExplicitVRLittleEndian, ())
    with pytest.raises(DatasetError):
        parse_dataset(data[:-8], ExplicitVRLittleEndian, ())


def test_nesting_has_a_bound() -> None:
    one = struct.pack("<HH2sHL", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF)
    one += struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    with pytest.raises(DatasetError) as caught:
        parse_dataset(one * 5000, ExplicitVRLittleEndian, ())
    assert caught.value.code == "garbled"


def test_deflated(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(ct_slice(), DeflatedExplicitVRLittleEndian)
    parsed = parse_dataset(data, DeflatedExplicitVRLittleEndian, (PATIENT_ID,))
    assert parsed.values == {PATIENT_ID: b"4711"}
    for bad, code in ((data[:-3], "truncated"), (b"\xff" + data, "garbled")):
        with pytest.raises(DatasetError) as caught:
            parse_dataset(bad, DeflatedExplicitVRLittleEndian, ())
        assert caught.value.code == code
    monkeypatch.setattr(encoded, "MAXIMUM_INFLATED_BYTES", 1 << 20)
    bomb = zlib.compress(bytes(1 << 24), wbits=-15)
    with pytest.raises(DatasetError) as caught:
        parse_dataset(bomb, DeflatedExplicitVRLittleEndian, ())
    assert caught.value.code == "too_large"


def test_what_is_deflated_grows_by_a_bound_only() -> None:
    """From 200 kB to 200 MB: no scan is so empty."""
    deflater = zlib.compressobj(wbits=-15)
    bomb = b"".join(deflater.compress(bytes(1 << 20)) for _ in range(200)) + deflater.flush()
    assert len(bomb) < 1 << 18
    with pytest.raises(DatasetError) as caught:
        parse_dataset(bomb, DeflatedExplicitVRLittleEndian, ())
    assert caught.value.code == "too_large"


def test_no_more_than_the_bound_is_inflated() -> None:
    """A bomb is left where it is too large, and what was inflated is held once."""
    bound = encoded.DEFLATED_GROWTH[1]
    deflater = zlib.compressobj(wbits=-15)
    bomb = b"".join(deflater.compress(bytes(1 << 20)) for _ in range(200)) + deflater.flush()
    tracemalloc.start()
    with pytest.raises(DatasetError, match="beyond all measure"):
        parse_dataset(bomb, DeflatedExplicitVRLittleEndian, ())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.25 * bound
    assert encoded.MAXIMUM_INFLATED_BYTES <= 512 << 20


@pytest.mark.parametrize("size", [0, 65534, (1 << 20) - 12, 1 << 20, 3 << 20])
def test_inflated_as_it_was(size: int) -> None:
    """Whatever pieces it is inflated in, and with bytes behind its end."""
    ds = Dataset()
    ds.add_new(PATIENT_ID, "UT", "x" * 10)
    ds.add_new(0x7FE00010, "OW", random.Random(1).randbytes(size // 2) + bytes(size // 2))
    data = encode(ds)
    deflated = encode(ds, DeflatedExplicitVRLittleEndian) + b"\0"
    assert parse_dataset(deflated, DeflatedExplicitVRLittleEndian, ()).data == data


def test_values_have_a_bound() -> None:
    """A patient ID of a megabyte is none, and is not copied."""
    ds = Dataset()
    ds.add_new(PATIENT_ID, "UT", "x" * (1 << 20))
    ds.Modality = "CT"
    parsed = parse_dataset(encode(ds), ExplicitVRLittleEndian, (PATIENT_ID, 0x00080060))
    assert parsed.values == {0x00080060: b"CT"}


def test_part_10() -> None:
    data = part10(ct_slice())
    meta, offset = split_part10(data)
    assert meta[encoded.TRANSFER_SYNTAX_UID].rstrip(b"\0") == ExplicitVRLittleEndian.encode()
    assert data[offset:] == encode(ct_slice())


@pytest.mark.parametrize(
    "name",
    ["reportsi.dcm", "liver.dcm", "eCT_Supplemental.dcm", "priv_SQ.dcm", "UN_sequence.dcm"],
)
def test_real_files_are_walked_to_their_end(name: str) -> None:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    data = Path(path).read_bytes()
    if data[128:132] == b"DICM":
        read_part10(data, ())
    else:
        parse_dataset(data, ImplicitVRLittleEndian, ())


@given(st.binary(max_size=300), st.sampled_from([ExplicitVRLittleEndian, ImplicitVRLittleEndian]))
def test_garbage_raises_nothing_else(data: bytes, syntax: str) -> None:
    try:
        parse_dataset(data, syntax, (PATIENT_ID,))
    except DatasetError:
        return
