"""Whatever is changed in an object: a volume, or one of our refusals, in bounded time and space.

What passes is a volume of a file that says so; changed pixels alone can't be known for what they
are.
"""

import random
import resource
import subprocess
import time
from pathlib import Path
from typing import Final

import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGLosslessSV1

from dicom_listener.headers import HeaderError, read_header
from dicom_listener.images import PixelError
from dicom_listener.pixels import read_volume
from segmentation.volume import GeometryError
from tests.conftest import needed
from tests.dicom_listener.anatomy import HU, refusal, write
from tests.dicom_listener.multi_frame import enhanced
from tests.dicom_listener.mutations import mutated
from tests.dicom_listener.test_syntaxes import compressed, frames_by, twelve_bits

COUNT: Final = 120
SLOWEST_S: Final = 10.0
MEMORY_KB: Final = 200_000

ENCODINGS: Final[dict[str, tuple[str, str]]] = {
    "explicit": ("dcmconv +te", "dcmtk"),
    "undefined lengths": ("dcmconv +te -e", "dcmtk"),
    "implicit": ("dcmconv +ti", "dcmtk"),
    "big endian": ("dcmconv +tb", "dcmtk"),
    "deflated": ("dcmconv +td", "dcmtk"),
    "RLE": ("dcmcrle +un", "dcmtk"),
    "JPEG lossless": ("dcmcjpeg +e1 +un", "dcmtk"),
    "JPEG-LS": ("dcmcjpls +un", "dcmtk"),
    "JPEG 2000": ("gdcmconv --j2k", "libgdcm-tools"),
}


@pytest.mark.peer
@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
def test_nothing_else_comes_out(tmp_path: Path, encoding: tuple[str, str]) -> None:
    command, package = encoding
    program, *options = command.split()
    (source,) = write(tmp_path, [enhanced(twelve_bits())])
    whole = tmp_path / "whole.dcm"
    subprocess.run([needed(program, package), *options, str(source), str(whole)], check=True)
    path = tmp_path / "mutated.dcm"
    memory_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    codes: set[str] = set()
    for data in mutated(whole.read_bytes(), COUNT, seed=7):
        path.write_bytes(data)
        start = time.monotonic()
        try:
            header = read_header(path)
            assert len(header.planes) in {0, header.number_of_frames}
            assert read_volume([path]).array.size <= HU.size
        except (HeaderError, PixelError, GeometryError) as error:
            codes.add(error.code)
        assert time.monotonic() - start < SLOWEST_S
    assert len(codes) >= 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory_kb < MEMORY_KB


@pytest.mark.parametrize("seed", range(4))
def test_headers_of_codestreams(tmp_path: Path, seed: int) -> None:
    """Where a decoder may do worse than raise an error: it must not be let at these at all."""
    frames = frames_by(tmp_path, "dcmcjpeg +e1 +un")
    chance = random.Random(seed)
    whole = compressed(enhanced(twelve_bits()), frames, JPEGLosslessSV1)
    codes: set[str] = set()
    for _ in range(60):
        broken = bytearray(frames[0])
        for _ in range(chance.randint(1, 3)):
            broken[chance.randrange(90)] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
        whole.PixelData = encapsulate([bytes(broken), *frames[1:]])
        (path,) = write(tmp_path / "frames", [whole], JPEGLosslessSV1)
        try:
            read_volume([path])
        except PixelError as error:
            codes.add(error.code)
    assert "undecodable" in codes
    assert codes <= {"undecodable", "bad_pixels", "lossy"}


@pytest.mark.parametrize("byte", [11, 24, 34])
def test_what_has_ended_a_decoder_s_process(tmp_path: Path, byte: int) -> None:
    """The JFIF version, the bits of a pixel, and the marker of a Huffman table."""
    frames = frames_by(tmp_path, "dcmcjpeg +e1 +un")
    frames[0] = frames[0][:byte] + b"\xff" + frames[0][byte + 1 :]
    whole = compressed(enhanced(twelve_bits()), frames, JPEGLosslessSV1)
    found = refusal(write(tmp_path / "frames", [whole], JPEGLosslessSV1))
    assert found == ("measured" if byte == 11 else "undecodable")
