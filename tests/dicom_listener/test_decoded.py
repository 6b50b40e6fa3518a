"""What was decoded ahead of time is a shortcut, and never another picture."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.uid import JPEGLSLossless, RLELossless

from dicom_listener import decoded
from dicom_listener.decoded import decode_into, trim
from dicom_listener.images import Image, PixelError, open_image
from dicom_listener.pixels import read_volume
from tests.dicom_listener.anatomy import HU, assert_same, datasets, slices, write
from tests.dicom_listener.multi_frame import enhanced


@pytest.fixture(params=["slices", "frames"])
def paths(request: pytest.FixtureRequest, tmp_path: Path) -> list[Path]:
    """The anatomy, compressed, as slices and as one object."""
    plain = datasets(slices())
    found = write(tmp_path / "objects", plain if request.param == "slices" else [enhanced(plain)])
    for path in found:
        ds = pydicom.dcmread(path)
        ds.compress(RLELossless, generate_instance_uid=False)
        ds.save_as(path)
    return found


@pytest.fixture
def folder(tmp_path: Path, paths: list[Path]) -> Path:
    """Where all of it is kept decoded."""
    (tmp_path / "decoded").mkdir()
    assert all(decode_into(path, tmp_path / "decoded") for path in paths)
    return tmp_path / "decoded"


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one for each frame that is decoded."""
    done: list[int] = []
    original = Image.frames

    def counted(image: Image) -> Iterator[NDArray[np.int16]]:
        for frame in original(image):
            done.append(1)
            yield frame

    monkeypatch.setattr(Image, "frames", counted)
    return done


def test_nothing_is_decoded_twice(paths: list[Path], folder: Path, decodings: list[int]) -> None:
    assert_same(read_volume(paths, decoded=folder))
    assert decodings == []
    assert {path.suffix for path in folder.iterdir()} == {".hu"}
    assert_same(read_volume(paths))
    assert len(decodings) == len(HU)


@pytest.mark.parametrize("part", [0, 20, 60, 500, -1])
def test_torn(paths: list[Path], folder: Path, decodings: list[int], part: int) -> None:
    """As a power failure leaves it, cut or filled with zeros."""
    for kept in folder.iterdir():
        content = kept.read_bytes()
        kept.write_bytes(content[:part])
    assert_same(read_volume(paths, decoded=folder))
    assert decodings
    for kept in folder.iterdir():
        kept.write_bytes(content[:part] + bytes(len(content[part:])))
    assert_same(read_volume(paths, decoded=folder))


def test_one_bit_changed(paths: list[Path], folder: Path, decodings: list[int]) -> None:
    (kept, *_) = sorted(folder.iterdir())
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 4
    kept.write_bytes(content)
    assert_same(read_volume(paths, decoded=folder))
    assert decodings


def test_another_version(
    paths: list[Path], folder: Path, decodings: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoded, "VERSION", decoded.VERSION + 1)
    assert_same(read_volume(paths, decoded=folder))
    assert len(decodings) == len(HU)


def test_another_source_of_the_same_name(
    paths: list[Path], folder: Path, decodings: list[int]
) -> None:
    """Same UIDs, same size, even the same time: another file."""
    for path in paths:
        state = path.stat()
        copy = path.with_suffix(".copy")
        copy.write_bytes(path.read_bytes())
        os.utime(copy, ns=(state.st_atime_ns, state.st_mtime_ns))
        copy.rename(path)
    assert_same(read_volume(paths, decoded=folder))
    assert len(decodings) == len(HU)


def test_without_the_folder(paths: list[Path], tmp_path: Path) -> None:
    assert_same(read_volume(paths, decoded=tmp_path / "nowhere"))


def test_native_pixels_are_not_kept(tmp_path: Path) -> None:
    (path, *_) = write(tmp_path / "objects", datasets(slices()))
    assert not decode_into(path, tmp_path)
    assert list(tmp_path.glob("*.hu")) == []


def test_nothing_is_left_of_what_can_t_be_decoded(tmp_path: Path) -> None:
    ds = enhanced(datasets(slices()))
    ds.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8\xff\xf7 no picture"] * len(HU))
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    (path,) = write(tmp_path / "objects", [ds], JPEGLSLossless)
    (tmp_path / "decoded").mkdir()
    with pytest.raises(PixelError):
        decode_into(path, tmp_path / "decoded")
    assert list((tmp_path / "decoded").iterdir()) == []


def test_the_oldest_go_first(paths: list[Path], folder: Path) -> None:
    for n, path in enumerate(sorted(folder.iterdir())):
        os.utime(path, (n, n))
    sizes = [path.stat().st_size for path in sorted(folder.iterdir())]
    trim(folder, sum(sizes[1:]))
    assert [path.stat().st_mtime for path in sorted(folder.iterdir())] == list(range(1, len(sizes)))
    assert_same(read_volume(paths, decoded=folder))


def test_a_file_that_has_become_shorter(paths: list[Path]) -> None:
    """Between the look at its header and the reading of its frames."""
    images = [open_image(path) for path in paths]
    for path in paths:
        os.truncate(path, path.stat().st_size - 200)
    frames = (frame for image in images for frame in image.frames())
    with pytest.raises(PixelError) as caught:
        list(frames)
    assert caught.value.code == "truncated"
