"""Hounsfield units from files, equal to the bit with what pydicom makes of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.data import get_testdata_file
from pydicom.pixels.processing import apply_rescale
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from dicom_listener.pixels import PADDING_HU, PixelError, read_slice, read_volume
from segmentation.volume import GeometryError
from tests.dicom_listener.objects import ct_slice, encode, part10


def by_pydicom(path: Path) -> NDArray[Any]:
    """HU by pydicom's own functions, padding replaced."""
    ds = pydicom.dcmread(path)
    stored = ds.pixel_array
    hu = apply_rescale(stored, ds)
    if "PixelPaddingValue" in ds:
        hu[stored == ds.PixelPaddingValue] = PADDING_HU
    return np.asarray(hu)


def package_file(name: str) -> Path:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    return Path(path)


def write(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "slice.dcm"
    path.write_bytes(content)
    return path


def hu_of(tmp_path: Path, stored: NDArray[Any], **elements: Any) -> list[int]:
    """HU of a slice whose first row holds ``stored``, as little endian words."""
    pixels = np.zeros((16, 16), stored.dtype)
    pixels[0, : stored.size] = stored
    signed = int(np.issubdtype(stored.dtype, np.signedinteger))
    ds = ct_slice(PixelData=pixels.tobytes(), PixelRepresentation=signed)
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    _, hu = read_slice(write(tmp_path, part10(ds)))
    assert hu.dtype == np.int16
    return [int(value) for value in hu[0, : stored.size]]


def refusal(tmp_path: Path, ds: pydicom.Dataset) -> str:
    with pytest.raises(PixelError) as caught:
        read_slice(write(tmp_path, part10(ds)))
    return caught.value.code


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "693_UNCR.dcm", "693_J2KR.dcm", "explicit_VR-UN.dcm"]
)
def test_real_slices_of_packages(name: str) -> None:
    path = package_file(name)
    plane, hu = read_slice(path)
    assert hu.shape == (plane.rows, plane.columns)
    np.testing.assert_array_equal(hu, by_pydicom(path))


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian]
)
def test_native_encodings(tmp_path: Path, syntax: str) -> None:
    source = pydicom.dcmread(package_file("CT_small.dcm"))
    expected = by_pydicom(package_file("CT_small.dcm"))
    bare = pydicom.Dataset({elem.tag: elem for elem in source if not elem.tag.is_private})
    content = part10(bare, syntax)
    np.testing.assert_array_equal(read_slice(write(tmp_path, content))[1], expected)


def test_big_endian(tmp_path: Path) -> None:
    stored = np.arange(256, dtype=">i2").reshape(16, 16)
    ds = ct_slice(PixelData=stored.tobytes())
    content = part10(ct_slice(), ExplicitVRLittleEndian)
    head = content[: -len(encode(ct_slice()))]
    head = head.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.2\0")
    _, hu = read_slice(write(tmp_path, head + encode(ds, ExplicitVRBigEndian)))
    np.testing.assert_array_equal(hu, np.arange(256).reshape(16, 16) - 1024)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_compressed_is_equal_to_plain(tmp_path: Path, syntax: str) -> None:
    source = pydicom.dcmread(package_file("CT_small.dcm"))
    expected = by_pydicom(package_file("CT_small.dcm"))
    source.compress(syntax, generate_instance_uid=False)
    path = tmp_path / "compressed.dcm"
    source.save_as(path)
    np.testing.assert_array_equal(read_slice(path)[1], expected)


@pytest.mark.shared_data
def test_one_slice_in_all_lossless_syntaxes(awkward: Path) -> None:
    paths = sorted((awkward / "transfer-syntaxes").glob("CTImage.dcm*"))
    assert len(paths) == 16
    expected = by_pydicom(awkward / "transfer-syntaxes" / "CTImage.dcm")
    equal, refused = 0, []
    for path in paths:
        try:
            _, hu = read_slice(path)
        except PixelError as error:
            refused.append(error.code)
            continue
        np.testing.assert_array_equal(hu, expected)
        equal += 1
    assert equal == 10
    assert refused == ["lossy"] * 6


def test_slope_and_intercept(tmp_path: Path) -> None:
    stored = np.array([-2, 0, 3, 1000], np.int16)
    assert hu_of(tmp_path, stored) == [-1026, -1024, -1021, -24]
    assert hu_of(tmp_path, stored, RescaleSlope="0.5", RescaleIntercept="10") == [9, 10, 12, 510]
    assert hu_of(tmp_path, stored, RescaleSlope=2, RescaleIntercept=-1) == [-5, -1, 5, 1999]


def test_values_beyond_16_bits_are_clipped(tmp_path: Path) -> None:
    assert hu_of(tmp_path, np.array([0, 40000, 65535], np.uint16)) == [-1024, 32767, 32767]
    assert hu_of(tmp_path, np.array([-32768], np.int16)) == [-32768]
    extended = np.array([8192, 30000], np.int16)
    assert hu_of(tmp_path, extended, RescaleIntercept=-8192) == [0, 21808]


def test_bits_above_the_high_bit_are_ignored(tmp_path: Path) -> None:
    twelve = {"BitsStored": 12, "HighBit": 11, "RescaleIntercept": 0}
    assert hu_of(tmp_path, np.array([0xF005, 0x8FFF], np.uint16), **twelve) == [5, 4095]
    signed = np.array([0x0FFF, 0x0800, 0x07FF], np.uint16).view(np.int16)
    assert hu_of(tmp_path, signed, **twelve) == [-1, -2048, 2047]
    high = {"BitsStored": 12, "HighBit": 15, "RescaleIntercept": 0}
    assert hu_of(tmp_path, np.array([0x0050, 0xFFF7], np.uint16), **high) == [5, 4095]


def test_padding(tmp_path: Path) -> None:
    stored = np.array([-2000, -1999, 5], np.int16)
    expected = [PADDING_HU, -3023, -1019]
    assert hu_of(tmp_path, stored, PixelPaddingValue=-2000) == expected
    limited = {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1990}
    assert hu_of(tmp_path, stored, **limited) == [PADDING_HU, PADDING_HU, -1019]
    unsigned = np.array([63536, 5], np.uint16)
    assert hu_of(tmp_path, unsigned, PixelPaddingValue=63536) == [PADDING_HU, -1019]


def test_eight_bits(tmp_path: Path) -> None:
    eight = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    assert hu_of(tmp_path, np.array([0, 255], np.uint8), **eight) == [-1024, -769]


@pytest.mark.parametrize(
    ("elements", "code"),
    [
        ({"LossyImageCompression": "01"}, "lossy"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "not_grey"),
        ({"RescaleType": "US"}, "not_hu"),
        ({"RescaleSlope": 0}, "not_hu"),
        ({"RescaleSlope": None}, "not_hu"),
        ({"ImagePositionPatient": None}, "no_plane"),
        ({"NumberOfFrames": 1, "PixelData": None}, "no_pixel_data"),
        ({"BitsStored": 17}, "bad_pixels"),
        ({"HighBit": 3}, "bad_pixels"),
        ({"Rows": 17}, "pixel_data_length"),
    ],
)
def test_what_is_not_read(tmp_path: Path, elements: dict[str, Any], code: str) -> None:
    assert refusal(tmp_path, ct_slice(0, **elements)) == code


def test_files_that_are_none(tmp_path: Path) -> None:
    for content, code in ((b"no", "not_dicom"), (part10(ct_slice())[:-5], "truncated")):
        with pytest.raises(PixelError) as caught:
            read_slice(write(tmp_path, content))
        assert caught.value.code == code
    with pytest.raises(PixelError) as caught:
        read_slice(tmp_path / "not there")
    assert caught.value.code == "unreadable"


def test_compressed_rubbish(tmp_path: Path) -> None:
    content = bytearray(package_file("693_J2KR.dcm").read_bytes())
    start = content.index(b"\xff\x4f\xff\x51")
    content[start : start + 200] = bytes(200)
    with pytest.raises(PixelError) as caught:
        read_slice(write(tmp_path, bytes(content)))
    assert caught.value.code == "undecodable"


def test_a_volume_from_files_in_any_order(tmp_path: Path) -> None:
    paths = []
    for n in (2, 0, 3, 1):
        paths.append(tmp_path / f"{n}.dcm")
        paths[-1].write_bytes(part10(ct_slice(n)))
    volume = read_volume(paths)
    assert volume.array.shape == (4, 16, 16)
    assert volume.array[:, 0, 0].tolist() == [-1024, -1023, -1022, -1021]
    assert volume.spacing_mm.tolist() == [1, 1, 3]
    assert volume.origin_lps_mm.tolist() == [-8, -8, 0]
    with pytest.raises(GeometryError):
        read_volume(paths[:3])
