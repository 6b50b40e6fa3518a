"""How a file is sent: as it is where that is taken, and converted where nothing is lost by it."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
)

from dicom_listener.client import Call
from dicom_listener.nodes import CallError
from dicom_listener.outgoing import Outgoing, OutgoingError
from tests.dicom_listener.objects import ct_slice, encode, part10
from tests.dicom_listener.providers import CALLER, node, running_archive

EXPLICIT, IMPLICIT = (ExplicitVRLittleEndian,), (ImplicitVRLittleEndian,)


def shipped(name: str) -> Path:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    return Path(path)


def written(folder: Path, syntax: str) -> Path:
    path = folder / "slice.dcm"
    path.write_bytes(part10(ct_slice(7, size=64), syntax))
    return path


def sent(path: Path, taken: tuple[str, ...]) -> pydicom.Dataset:
    """What an archive that takes some syntaxes has afterwards."""
    outgoing = Outgoing.read(path)
    with (
        running_archive(syntaxes=taken) as archive,
        Call(node(archive.port), CALLER, outgoing.proposals()) as call,
    ):
        context = outgoing.context(call)
        data = outgoing.data(context.transfer_syntax)
        assert call.store(context, outgoing.sop_instance_uid, data).status == 0
    (dataset,) = archive.stored
    assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    return dataset


@pytest.mark.parametrize("syntax", [*EXPLICIT, *IMPLICIT, DeflatedExplicitVRLittleEndian])
def test_it_is_sent_as_it_is(tmp_path: Path, syntax: str) -> None:
    path = written(tmp_path, syntax)
    outgoing = Outgoing.read(path)
    assert outgoing.sop_class_uid == CTImageStorage
    assert b"".join(outgoing.data(syntax)) == encode(ct_slice(7, size=64), syntax)
    taken = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
    assert sent(path, taken).file_meta.TransferSyntaxUID == syntax


@pytest.mark.parametrize(
    ("held", "taken"),
    [
        (ExplicitVRLittleEndian, IMPLICIT),
        (ImplicitVRLittleEndian, EXPLICIT),
        (DeflatedExplicitVRLittleEndian, IMPLICIT),
    ],
)
def test_native_ones_are_encoded_anew(tmp_path: Path, held: str, taken: tuple[str]) -> None:
    dataset = sent(written(tmp_path, held), taken)
    assert dataset.file_meta.TransferSyntaxUID == taken[0]
    original = ct_slice(7, size=64)
    assert dataset.PixelData == original.PixelData
    assert dataset.PatientName == original.PatientName


def test_what_is_compressed_without_loss_is_decompressed() -> None:
    path = shipped("693_J2KR.dcm")
    original = pydicom.dcmread(path)
    assert original.file_meta.TransferSyntaxUID == JPEG2000Lossless
    dataset = sent(path, EXPLICIT)
    assert dataset.SOPInstanceUID == original.SOPInstanceUID
    assert np.array_equal(dataset.pixel_array, original.pixel_array)


@pytest.mark.parametrize(
    ("name", "syntax"),
    [
        ("SC_rgb_small_odd_jpeg.dcm", JPEGBaseline8Bit),
        ("MR_small_bigendian.dcm", ExplicitVRBigEndian),
    ],
)
def test_what_would_lose_something_is_not_converted(name: str, syntax: str) -> None:
    outgoing = Outgoing.read(shipped(name))
    assert outgoing.transfer_syntax_uid == syntax
    assert outgoing.proposals() == ((outgoing.sop_class_uid, (syntax,)),)


def test_the_data_set_s_own_uids_count() -> None:
    """Those of the file meta information are of another object."""
    path = shipped("rtplan.dcm")
    meta = pydicom.dcmread(path).file_meta
    outgoing = Outgoing.read(path)
    assert outgoing.sop_instance_uid == pydicom.dcmread(path).SOPInstanceUID
    assert outgoing.sop_instance_uid != meta.MediaStorageSOPInstanceUID


def test_a_peer_that_takes_none_of_it(tmp_path: Path) -> None:
    with pytest.raises(CallError) as raised:
        sent(written(tmp_path, ExplicitVRLittleEndian), (DeflatedExplicitVRLittleEndian,))
    assert raised.value.code == "no_context"


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"no DICOM")
    with pytest.raises(OutgoingError, match="not a DICOM file"):
        Outgoing.read(path)
    content = part10(ct_slice())
    path.write_bytes(content.replace(CTImageStorage.encode(), b"x" * len(CTImageStorage)))
    with pytest.raises(OutgoingError, match="lacks one of its UIDs"):
        Outgoing.read(path)
    path.write_bytes(content[:-1])
    with pytest.raises(OutgoingError, match="An element wants"):
        Outgoing.read(path)
    path.write_bytes(b"")
    with pytest.raises(OutgoingError, match="empty"):
        Outgoing.read(path)
    with pytest.raises(FileNotFoundError):
        Outgoing.read(tmp_path / "absent")


def test_pixels_that_can_not_be_decompressed(tmp_path: Path) -> None:
    path = tmp_path / "broken.dcm"
    dataset = pydicom.dcmread(shipped("693_J2KR.dcm"))
    dataset.PixelData = pydicom.encaps.encapsulate([b"no JPEG 2000"])
    dataset.save_as(path)
    with pytest.raises(OutgoingError, match="encoded anew"):
        Outgoing.read(path).data(ExplicitVRLittleEndian)
