"""dcmtk's programs, as their Debian package ships them."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from dicom_listener.events import AssociationEnded, ObjectRefused, ObjectStored
from dicom_listener.pixels import read_volume
from dicom_listener.series import SeriesAssembler, SeriesReady
from tests.dicom_listener.conftest import Running, Start
from tests.dicom_listener.objects import ct_slice, part10

pytestmark = pytest.mark.peer

Dcmtk = Callable[[str], str]


def run(program: str, port: int, *arguments: object, called: str = "ICEMARGIN") -> int:
    """Run one of dcmtk's senders; its exit code."""
    given = [str(argument) for argument in arguments]
    options = [one for one in given if one.startswith("-")]
    paths = [one for one in given if not one.startswith("-")]
    finished = subprocess.run(
        [program, *options, "-aec", called, "127.0.0.1", str(port), *paths],
        env=os.environ | {"TCP_NODELAY": "1"},
        capture_output=True,
        timeout=60,
    )
    return finished.returncode


@pytest.fixture
def slices(tmp_path: Path) -> list[Path]:
    """Six slices as files, in an order that is not theirs."""
    folder = tmp_path / "slices"
    folder.mkdir()
    paths: list[Path] = []
    for n in (3, 1, 5, 0, 2, 4):
        paths.append(folder / f"{len(paths)}.dcm")
        paths[-1].write_bytes(part10(ct_slice(n, size=64)))
    return paths


def test_echoscu(running: Running, dcmtk: Dcmtk) -> None:
    assert run(dcmtk("echoscu"), running.port) == 0
    assert run(dcmtk("echoscu"), running.port, called="OTHER") != 0
    assert running.sink.wait(AssociationEnded)[0].how == "released"
    assert running.listener.counters.read().echoes == 1


@pytest.mark.parametrize("program", ["storescu", "dcmsend"])
def test_a_series_becomes_a_volume(
    running: Running, dcmtk: Dcmtk, slices: list[Path], program: str
) -> None:
    """All the way: network, spool, assembly, pixels."""
    assert run(dcmtk(program), running.port, *slices) == 0
    (ended,) = running.sink.wait(AssociationEnded)
    assembler = SeriesAssembler()
    for one in running.sink.of(ObjectStored):
        assembler.add(one.header, one.path, one.received_at, one.association_id)
    (ready,) = assembler.association_ended(ended.association_id, ended.how, ended.at)
    assert isinstance(ready, SeriesReady)
    assert (ready.completeness, ready.evidence) == ("final", "release")
    volume = read_volume([item.path for item in ready.objects])
    assert volume.array[:, 5, 5].tolist() == [-1024, -1023, -1022, -1021, -1020, -1019]


def test_the_same_again(running: Running, dcmtk: Dcmtk, slices: list[Path]) -> None:
    for _ in range(2):
        assert run(dcmtk("storescu"), running.port, *slices) == 0
    running.sink.wait(AssociationEnded, 2)
    outcomes = [one.outcome for one in running.sink.of(ObjectStored)]
    assert outcomes == ["new"] * 6 + ["identical"] * 6


def test_two_senders_at_once(running: Running, dcmtk: Dcmtk, slices: list[Path]) -> None:
    senders = [
        subprocess.Popen(
            [dcmtk("storescu"), "-aec", "ICEMARGIN", "127.0.0.1", str(running.port), *part],
            env=os.environ | {"TCP_NODELAY": "1"},
        )
        for part in (slices[:3], slices[3:])
    ]
    assert [sender.wait(30) for sender in senders] == [0, 0]
    running.sink.wait(AssociationEnded, 2)
    assert len(running.spool.unknown(())) == 6


def test_a_full_disk_is_told_to_the_sender(start: Start, dcmtk: Dcmtk, slices: list[Path]) -> None:
    running = start(free_floor_bytes=1 << 60)
    assert run(dcmtk("storescu"), running.port, slices[0]) != 0
    assert running.sink.wait(ObjectRefused)[0].status == 0xA700


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("CT_small.dcm", "-xe"),
        ("693_J2KR.dcm", "-xv"),  # JPEG 2000 lossless
        ("JPGLosslessP14SV1_1s_1f_8b.dcm", "-xs"),  # ultrasound, JPEG lossless
        ("MR_small_RLE.dcm", "-xr"),
        ("reportsi.dcm", "-xi"),  # a structured report
        ("rtplan.dcm", "-xi"),
        ("rtdose.dcm", "-xi"),
        ("liver.dcm", "-xe"),  # a segmentation
        ("SC_rgb_jpeg_gdcm.dcm", "-xs"),
        ("eCT_Supplemental.dcm", "-xe"),  # an enhanced CT
        ("image_dfl.dcm", "-xd"),  # deflated
    ],
)
def test_what_else_is_sent(running: Running, dcmtk: Dcmtk, name: str, option: str) -> None:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    assert run(dcmtk("storescu"), running.port, "-R", option, path) == 0
    (stored,) = running.sink.wait(ObjectStored)
    sent, kept = pydicom.dcmread(path), pydicom.dcmread(stored.path)
    assert kept.SOPInstanceUID == sent.SOPInstanceUID
    if "PixelData" in sent and kept.file_meta.TransferSyntaxUID.is_compressed:
        assert kept.PixelData == sent.PixelData


@pytest.mark.shared_data
def test_every_transfer_syntax(running: Running, dcmtk: Dcmtk, awkward: Path) -> None:
    """Each file in its own association, as it is; dcmtk turns native ones into Explicit."""
    paths = sorted((awkward / "transfer-syntaxes").glob("CTImage*Syntax*.dcm"))
    for path in paths:
        run(dcmtk("dcmsend"), running.port, "-dn", path)
    stored = running.sink.wait(ObjectStored, len(paths))
    syntaxes = [one.header.transfer_syntax_uid for one in stored]
    as_sent = {path.stem.split("_")[-1] for path in paths}
    assert set(syntaxes) == as_sent - {ImplicitVRLittleEndian, ExplicitVRBigEndian}
    lossy = {
        one.header.transfer_syntax_uid.rpartition(".")[2] for one in stored if one.header.lossy
    }
    assert lossy == {"50", "51", "53", "55", "81", "91"}


@pytest.mark.shared_data
def test_a_real_series(running: Running, dcmtk: Dcmtk, awkward: Path) -> None:
    paths = sorted((awkward / "tilt-mixed-spacing").glob("*.dcm"))
    assert run(dcmtk("storescu"), running.port, *paths) == 0
    running.sink.wait(AssociationEnded)
    assert len(running.spool.unknown(())) == len(paths) == 28
