"""Every transfer syntax gives the same pixels; lossy ones are marked, and never measured.

The compressed files are made by dcmtk, GDCM and OpenJPH, none of which decodes them here.
"""

import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from dicom_listener.codestreams import read_codestream
from dicom_listener.headers import HeaderError, read_header
from dicom_listener.pixels import read_slice, read_volume
from tests.conftest import needed
from tests.dicom_listener.anatomy import HU, assert_same, datasets, refusal, slices, stored, write
from tests.dicom_listener.multi_frame import enhanced

pytestmark = pytest.mark.peer

Packing = Callable[[], list[Dataset]]


def signed() -> list[Dataset]:
    """Below zero, as stored."""
    return datasets(slices())


def twelve_bits() -> list[Dataset]:
    """As most scanners store it."""
    return [
        stored(
            one,
            n,
            lambda hu: (hu + 1024).astype("<u2"),
            PixelRepresentation=0,
            RescaleIntercept=-1024,
            BitsStored=12,
            HighBit=11,
        )
        for n, one in enumerate(slices())
    ]


def in_one_object() -> list[Dataset]:
    """A multi-frame object."""
    return [enhanced(twelve_bits())]


PACKINGS: Final[dict[str, Packing]] = {
    "signed": signed,
    "12 bit": twelve_bits,
    "multi-frame": in_one_object,
}

TOOLS: Final[dict[str, tuple[str, str, str]]] = {
    # how: program and options, package, transfer syntax
    "JPEG lossless SV1": ("dcmcjpeg +e1 +un", "dcmtk", JPEGLosslessSV1),
    "JPEG lossless, predictor 6": ("dcmcjpeg +el +sv 6 +un", "dcmtk", JPEGLossless),
    "JPEG lossless by GDCM": ("gdcmconv --jpeg", "libgdcm-tools", JPEGLosslessSV1),
    "JPEG lossless in small fragments": ("dcmcjpeg +e1 +un +fs 1 -ot", "dcmtk", JPEGLosslessSV1),
    "JPEG-LS": ("dcmcjpls +el +un", "dcmtk", JPEGLSLossless),
    "JPEG-LS by GDCM": ("gdcmconv --jpegls", "libgdcm-tools", JPEGLSLossless),
    "JPEG 2000": ("gdcmconv --j2k", "libgdcm-tools", JPEG2000Lossless),
    "RLE": ("dcmcrle +un", "dcmtk", RLELossless),
    "RLE by GDCM": ("gdcmconv --rle", "libgdcm-tools", RLELossless),
    "implicit": ("dcmconv +ti", "dcmtk", "1.2.840.10008.1.2"),
    "big endian": ("dcmconv +tb", "dcmtk", "1.2.840.10008.1.2.2"),
    "deflated": ("dcmconv +td", "dcmtk", "1.2.840.10008.1.2.1.99"),
    "undefined lengths": ("dcmconv +te -e", "dcmtk", "1.2.840.10008.1.2.1"),
}


def convert(command: str, package: str, source: Path, target: Path) -> None:
    """One file by another's program."""
    program, *options = command.split()
    paths = [str(source), str(target)]
    done = subprocess.run([needed(program, package), *options, *paths], capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
@pytest.mark.parametrize("packing", PACKINGS.values(), ids=PACKINGS)
def test_lossless_is_the_same(tmp_path: Path, packing: Packing, tool: tuple[str, str, str]) -> None:
    command, package, syntax = tool
    source = write(tmp_path / "plain", packing())[0]
    target = tmp_path / "converted.dcm"
    convert(command, package, source, target)
    header = read_header(target)
    assert header.transfer_syntax_uid == syntax
    assert not header.lossy
    if header.number_of_frames > 1:
        assert_same(read_volume([target]))
    else:
        np.testing.assert_array_equal(read_slice(target)[1], HU[0])


def compressed(ds: Dataset, frames: list[bytes], syntax: str) -> Dataset:
    """The object with these codestreams for its pixels."""
    ds.PixelData = encapsulate(frames)
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    return ds


def openjph(tmp_path: Path, words: NDArray[Any], *options: str) -> bytes:
    """An HTJ2K codestream of 16-bit words."""
    source, target = tmp_path / "frame.pgm", tmp_path / "frame.j2c"
    rows, columns = words.shape
    source.write_bytes(b"P5\n%d %d\n4095\n" % (columns, rows) + words.astype(">u2").tobytes())
    command = [needed("ojph_compress", "openjph-tools"), "-i", str(source), "-o", str(target)]
    subprocess.run([*command, "-num_decomps", "2", *options], check=True, capture_output=True)
    return target.read_bytes()


@pytest.mark.parametrize(
    ("syntax", "options"),
    [
        (HTJ2KLossless, ("-reversible", "true")),
        (HTJ2KLosslessRPCL, ("-reversible", "true", "-prog_order", "RPCL")),
        (HTJ2K, ("-reversible", "true")),
    ],
)
def test_high_throughput_jpeg_2000(tmp_path: Path, syntax: str, options: tuple[str, ...]) -> None:
    plain = twelve_bits()
    frames = [openjph(tmp_path, one.pixel_array, *options) for one in map(readable, plain)]
    objects = [compressed(ds, [f], syntax) for ds, f in zip(twelve_bits(), frames, strict=True)]
    assert_same(read_volume(write(tmp_path / "slices", objects, syntax)))
    whole = compressed(enhanced(plain), frames, syntax)
    assert_same(read_volume(write(tmp_path / "frames", [whole], syntax)))


def readable(ds: Dataset) -> Dataset:
    """With the file meta information that pydicom wants for pixels."""
    ds.file_meta = pydicom.dataset.FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    return ds


LOSSY_TOOLS: Final[dict[str, tuple[str, str]]] = {
    "JPEG baseline": ("dcmcjpeg +eb +un", "dcmtk"),
    "JPEG extended": ("dcmcjpeg +ee +un", "dcmtk"),
    "JPEG spectral selection": ("dcmcjpeg +es +un", "dcmtk"),
    "JPEG progressive": ("dcmcjpeg +ep +un", "dcmtk"),
    "JPEG-LS near-lossless": ("dcmcjpls +en +un", "dcmtk"),
    "JPEG 2000, irreversible": ("gdcmconv --j2k --lossy --irreversible -q 30", "libgdcm-tools"),
    "JPEG 2000, cut short": ("gdcmconv --j2k --lossy -r 8", "libgdcm-tools"),
    "JPEG lossless but for a point transform": ("dcmcjpeg +el +pt 2 +un", "dcmtk"),
}


@pytest.mark.parametrize("packing", [twelve_bits, in_one_object])
@pytest.mark.parametrize("tool", LOSSY_TOOLS.values(), ids=LOSSY_TOOLS)
def test_lossy_is_marked_and_not_measured(
    tmp_path: Path, packing: Packing, tool: tuple[str, str]
) -> None:
    source = write(tmp_path / "plain", packing())[0]
    target = tmp_path / "converted.dcm"
    convert(*tool, source, target)
    assert read_header(target).lossy
    assert refusal([target]) == "lossy"


def frames_by(tmp_path: Path, command: str, package: str = "dcmtk") -> list[bytes]:
    """One codestream for each slice, made by a program."""
    (source,) = write(tmp_path / "plain", in_one_object())
    convert(command, package, source, tmp_path / "converted.dcm")
    data = pydicom.dcmread(tmp_path / "converted.dcm").PixelData
    return list(generate_frames(data, number_of_frames=len(HU)))


@pytest.mark.parametrize(
    ("command", "package", "syntax"),
    [
        ("gdcmconv --j2k --lossy --irreversible -q 30", "libgdcm-tools", JPEG2000),
        ("dcmcjpls +en +un", "dcmtk", JPEGLSNearLossless),
        ("dcmcjpls +en +un", "dcmtk", JPEGLSLossless),
        ("dcmcjpeg +el +pt 2 +un", "dcmtk", JPEGLossless),
    ],
)
def test_a_codestream_tells_what_the_header_does_not(
    tmp_path: Path, command: str, package: str, syntax: str
) -> None:
    """Without the mark that it was compressed with loss; in one frame of many, too."""
    frames = frames_by(tmp_path, command, package)
    objects = [compressed(ds, [f], syntax) for ds, f in zip(twelve_bits(), frames, strict=True)]
    paths = write(tmp_path / "unmarked", objects, syntax)
    assert all(read_header(path).lossy for path in paths)
    assert refusal(paths) == "lossy"


def test_one_lossy_frame_among_lossless_ones(tmp_path: Path) -> None:
    """It is found when it is decoded, at the latest."""
    frames = frames_by(tmp_path, "dcmcjpls +el +un")
    frames[4] = frames_by(tmp_path / "lossy", "dcmcjpls +en +un")[4]
    whole = compressed(enhanced(twelve_bits()), frames, JPEGLSLossless)
    assert refusal(write(tmp_path / "frames", [whole], JPEGLSLossless)) == "lossy"


@pytest.mark.parametrize("bad", ["size", "garbage", "cut", "empty"])
def test_a_frame_that_is_none(tmp_path: Path, bad: str) -> None:
    frames = frames_by(tmp_path, "dcmcjpls +el +un")
    start = frames[3].index(b"\xff\xf7")
    frames[3] = {
        # 30000 x 30000 pixels by its own word, which would take gigabytes
        "size": frames[3][: start + 5] + struct.pack(">HH", 30000, 30000) + frames[3][start + 9 :],
        "garbage": frames[3][:60] + bytes(range(200)),
        "cut": frames[3][: len(frames[3]) // 2 & ~1],
        "empty": bytes(2),
    }[bad]
    whole = compressed(enhanced(twelve_bits()), frames, JPEGLSLossless)
    code = refusal(write(tmp_path / "frames", [whole], JPEGLSLossless))
    assert code == ("bad_pixels" if bad == "size" else "undecodable")


@pytest.mark.parametrize(
    ("command", "package", "syntax"),
    [
        ("dcmcjpeg +e1 +un", "dcmtk", JPEGLosslessSV1),
        ("dcmcjpls +el +un", "dcmtk", JPEGLSLossless),
        ("gdcmconv --j2k", "libgdcm-tools", JPEG2000Lossless),
    ],
)
def test_a_frame_that_ends_too_early(
    tmp_path: Path, command: str, package: str, syntax: str
) -> None:
    """Decoders would fill it up."""
    frames = frames_by(tmp_path, command, package)
    frames[3] = frames[3][: len(frames[3]) * 2 // 3 & ~1]
    whole = compressed(enhanced(twelve_bits()), frames, syntax)
    assert refusal(write(tmp_path / "frames", [whole], syntax)) == "undecodable"


OFFSETS: Final[dict[str, Callable[[list[bytes]], bytes]]] = {
    "a table": encapsulate,
    "an empty table": lambda frames: encapsulate(frames, has_bot=False),
    "fragments with a table": lambda frames: encapsulate(frames, fragments_per_frame=3),
    "fragments without": lambda frames: encapsulate(frames, fragments_per_frame=3, has_bot=False),
    "a table that lies": lambda frames: encapsulate(frames).replace(
        struct.pack("<L", 8 + len(frames[0]) + len(frames[0]) % 2), b"\xff\0\0\0", 1
    ),
}


@pytest.mark.parametrize("offsets", OFFSETS.values(), ids=OFFSETS)
def test_frames_are_found_by_themselves(
    tmp_path: Path, offsets: Callable[[list[bytes]], bytes]
) -> None:
    frames = frames_by(tmp_path, "dcmcjpls +el +un")
    whole = compressed(enhanced(twelve_bits()), frames, JPEGLSLossless)
    whole.PixelData = offsets(frames)
    assert_same(read_volume(write(tmp_path / "frames", [whole], JPEGLSLossless)))


def test_an_extended_offset_table_is_not_needed(tmp_path: Path) -> None:
    frames = frames_by(tmp_path, "dcmcjpeg +e1 +un")
    whole = compressed(enhanced(twelve_bits()), frames, JPEGLosslessSV1)
    whole.PixelData, table, lengths = encapsulate_extended(frames)
    whole.ExtendedOffsetTable, whole.ExtendedOffsetTableLengths = table[::-1], lengths
    assert_same(read_volume(write(tmp_path / "frames", [whole], JPEGLosslessSV1)))


@pytest.mark.parametrize("count", [1, 7, len(HU) - 1])
def test_fewer_fragments_than_frames(tmp_path: Path, count: int) -> None:
    frames = frames_by(tmp_path, "dcmcrle +un")
    whole = compressed(enhanced(twelve_bits()), frames[:count], RLELossless)
    (path,) = write(tmp_path / "frames", [whole], RLELossless)
    with pytest.raises(HeaderError) as caught:
        read_header(path)
    assert caught.value.code == "pixel_data_length"


def test_more_codestreams_than_frames(tmp_path: Path) -> None:
    frames = frames_by(tmp_path, "dcmcjpls +el +un")
    whole = compressed(enhanced(twelve_bits()), [*frames, frames[0]], JPEGLSLossless)
    assert refusal(write(tmp_path / "frames", [whole], JPEGLSLossless)) == "undecodable"


def test_pixels_that_are_not_in_their_syntax(tmp_path: Path) -> None:
    """Native words under a compressed syntax, and fragments under a native one."""
    paths = write(tmp_path / "native", twelve_bits(), "1.2.840.10008.1.2.1")
    for path in paths:
        data = path.read_bytes()
        path.write_bytes(data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0", 1))
    assert refusal(paths) == "bad_pixels"
    frames = frames_by(tmp_path, "dcmcrle +un")
    objects = [
        compressed(ds, [f], RLELossless) for ds, f in zip(twelve_bits(), frames, strict=True)
    ]
    paths = write(tmp_path / "rle", objects, RLELossless)
    for path in paths:
        data = path.read_bytes()
        path.write_bytes(data.replace(b"1.2.840.10008.1.2.5\0", b"1.2.840.10008.1.2.1\0", 1))
    assert refusal(paths) == "bad_pixels"


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"\xff\xd8", b"\xff\xd8\xff\xda\0", b"\xff\x4f\xff\x90\0\2"]
)
def test_what_is_no_codestream(data: bytes) -> None:
    assert read_codestream(data) is None
    assert read_codestream(data + bytes(100_000)) is None
